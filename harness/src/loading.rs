//! What loading a model costs: time beside that of reading its files and of taking memory that nobody
//! touched before, and memory beside that of its weights.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::model::{Dispatch, Model, Vocabulary};
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Pool;
use rayon::prelude::*;
use serde::Serialize;

use crate::exit::Failure;
use crate::machine;
use crate::model_source::ModelSource;
use crate::run::Measured;

/// Files are read and the model is loaded in turn, so many times.
const ROUNDS: usize = 3;

/// Bytes of the smallest page of any system that this runs on.
const PAGE: usize = 4096;

/// Bytes that a thread touches at once: a large page.
const PIECE: usize = 2 << 20;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Loading {
    /// Bytes of the model's files.
    pub file_bytes: u64,
    /// Seconds for reading them from front to back, a round each.
    pub read_s: Vec<f64>,
    /// Seconds for loading the model right after, with a quantised head.
    pub load_s: Vec<f64>,
    /// The median over rounds of the ratio of the two.
    pub ratio: f64,
    /// Seconds for the system to hand out as much memory as the weights take, a round each: loading
    /// can't be faster than this and the reading, unless weights stay where the file is mapped.
    pub fresh_s: Vec<f64>,
    /// The median over rounds of loading beside reading and fresh memory together.
    pub ratio_to_floor: f64,
    /// Bytes of all weights in memory, the quantised head included.
    pub weight_bytes: u64,
    /// Bytes of keys and values of one position, as much as the session was given.
    pub cache_bytes: u64,
    /// The most memory that the process held until the first token was decoded, in bytes.
    pub peak_resident_bytes: Measured<u64>,
}

impl Loading {
    /// By how much the peak exceeds weights and cache, as a fraction.
    pub fn excess(&self) -> Measured<f64> {
        let needed = (self.weight_bytes + self.cache_bytes) as f64;
        self.peak_resident_bytes
            .clone()
            .map(|peak| peak as f64 / needed - 1.0)
    }
}

/// Loads `model` as `generate` does.
///
/// # Errors
/// When it has no files, or they can't be read or loaded.
pub fn measure(model: &ModelSource, dispatch: &dyn Dispatch) -> Result<Loading, Failure> {
    let files = files(model)?;
    // The first reading may come from the disk, which says nothing about loading.
    let file_bytes = read(&files)?.1;
    let (mut read_s, mut load_s, mut fresh_s) = (Vec::new(), Vec::new(), Vec::new());
    let (mut weight_bytes, mut cache_bytes) = (0, 0);
    let mut peak = None;
    for round in 0..ROUNDS {
        read_s.push(read(&files)?.0);
        let begin = Instant::now();
        let vocabulary = Vocabulary::load_quantized(model.source())?;
        let loaded = Model::with_vocabulary(model.source(), dispatch, Arc::new(vocabulary))?;
        load_s.push(begin.elapsed().as_secs_f64());
        if round == 0 {
            let pool = Pool::new(1)?;
            let mut session = Session::new(&loaded, &pool, 1)?;
            session.decode_greedy(0)?;
            cache_bytes = session.cache_bytes_per_position() as u64;
            weight_bytes = weights(&loaded);
            peak = machine::peak_resident();
        }
        // Beside the model: its own pages, just given back, would be quicker to have.
        fresh_s.push(fresh(weight_bytes)?);
    }
    Ok(Loading {
        file_bytes,
        ratio: median(|round| load_s[round] / read_s[round]),
        ratio_to_floor: median(|round| load_s[round] / (read_s[round] + fresh_s[round])),
        read_s,
        load_s,
        fresh_s,
        weight_bytes,
        cache_bytes,
        peak_resident_bytes: Measured::or(peak, "this system does not say"),
    })
}

fn median(of: impl Fn(usize) -> f64) -> f64 {
    let mut rounds: [f64; ROUNDS] = std::array::from_fn(of);
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Seconds until the first byte of every page of `bytes` fresh ones was written, on all threads that
/// loading uses.
fn fresh(bytes: u64) -> Result<f64, Failure> {
    let begin = Instant::now();
    let mut memory = usize::try_from(bytes)
        .ok()
        .and_then(Aligned::try_zeroed)
        .ok_or_else(|| {
            Failure::could_not_run(format!(
                "--load: there is no room for {bytes} bytes beside the model's files"
            ))
        })?;
    memory
        .as_mut_slice::<u8>()
        .par_chunks_mut(PIECE)
        .for_each(|piece| {
            for page in piece.chunks_mut(PAGE) {
                page[0] = std::hint::black_box(1);
            }
        });
    Ok(begin.elapsed().as_secs_f64())
}

/// All bytes of a model; a head that is tied to the embedding is there once.
fn weights(model: &Model) -> u64 {
    let vocabulary = model.vocabulary();
    let quantized = vocabulary.quantized_head().map_or(0, |head| head.bytes());
    (model.ternary_bytes() + vocabulary.bytes() + quantized) as u64
}

fn files(model: &ModelSource) -> Result<Vec<PathBuf>, Failure> {
    match model {
        ModelSource::Synthetic(_, name) => Err(Failure::could_not_run(format!(
            "--load: the shape `{name}` has no file to load; `cargo run --release -p bitgauge-engine --example synthetic_checkpoint -- {name} DIR` writes one"
        ))),
        _ => Ok(model.files()),
    }
}

/// Seconds and bytes of reading all of `files`.
fn read(files: &[PathBuf]) -> Result<(f64, u64), Failure> {
    let mut piece = vec![0; 1 << 20];
    let (begin, mut bytes) = (Instant::now(), 0);
    for path in files {
        let failed = |e| Failure::could_not_run(format!("{}: {e}", path.display()));
        let mut file = File::open(path).map_err(failed)?;
        loop {
            match file.read(&mut piece).map_err(failed)? {
                0 => break,
                n => bytes += n as u64,
            }
        }
    }
    Ok((begin.elapsed().as_secs_f64(), bytes))
}
