//! `bitgauge tune`: which kernel is fastest here.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::threads::Pool;
use clap::Args;
use serde::Serialize;

use super::judging::seconds;
use super::output::{Output, tell};
use super::progress::Progress;
use crate::exit::{Exit, Failure};
use crate::measure::{SplitMix64, fresh_seed};
use crate::model_source::ModelSource;
use crate::suite::{CaseId, Work};
use crate::tuning::{self, Entry, Goal, Phase, Plan, Size, Tuning, told};
use crate::user_cache::{CacheError, folder};

/// Arguments of `bitgauge tune`.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint folder, a GGUF file, the name of a synthetic shape, or one matrix: a product of
    /// 2b4t by its name (qkv, o, gate_up, down), or ROWSxCOLS
    #[arg(value_name = "MODEL|SHAPE", default_value = "2b4t")]
    what: String,
    /// Race only these kernels, and the one that detection selects [default: all that can run here]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    kernels: Vec<String>,
    /// Measure again what is stored
    #[arg(long)]
    again: bool,
    /// Whose fastest kernel a matrix gets: it is packed once, for one kernel
    #[arg(long, value_enum, value_name = "PHASE", default_value = "both")]
    tune_for: Goal,
    /// Time for measuring, about; twelve rounds of each race are run in any case
    #[arg(long, value_name = "SECONDS", default_value = "4s", value_parser = seconds)]
    max_time: Duration,
    /// Seed of every random order [default: a fresh one, which is recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    command: &'static str,
    machine: &'a str,
    cpu: Option<&'a str>,
    engine: &'a str,
    threads: usize,
    seed: u64,
    sizes: Vec<Row<'a>>,
    stored: PathBuf,
    exit: u8,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    kernel: &'a str,
    /// Whether it was measured by this call, and not by an earlier one.
    fresh: bool,
}

/// Measures what is not known yet, tells and stores.
///
/// # Errors
/// When the model, a kernel or the cache folder can't be used, or a kernel answers wrongly.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    // Known before seconds are spent: a cache that can't be read can't be added to either.
    folder()?;
    let kernels = named(&arguments.kernels)?;
    let sizes = sizes(&arguments.what)?;
    let known = match tuning::stored() {
        Ok(known) => known,
        Err(error @ (CacheError::NoFolder | CacheError::File { .. })) => return Err(error.into()),
        Err(error) => {
            tell(format!("WARNING: {error}; measuring again"));
            Tuning::here()
        }
    };
    let measured_anew = arguments.again || !arguments.kernels.is_empty();
    let earlier = |size: &Size| {
        let found = known.entry(size.rows, size.cols, threads)?;
        (!measured_anew).then(|| Entry {
            goal: arguments.tune_for,
            ..found.clone()
        })
    };
    let seed = arguments.seed.unwrap_or_else(|| fresh_seed() >> 11);
    let mut rng = SplitMix64::new(seed);
    let token_bytes: usize = sizes.iter().map(bytes).sum();
    let missing = sizes.iter().filter(|size| earlier(size).is_none()).count();
    let budget = arguments.max_time.div_f64((2 * missing.max(1)) as f64);
    let mut plan = Plan {
        kernels: &kernels,
        scheduler: Arc::new(Pool::new(threads)?),
        token_bytes,
        goal: arguments.tune_for,
        budget,
        seed,
    };
    let progress = Progress::new();
    let mut found = Vec::new();
    for size in &sizes {
        let (entry, fresh) = match earlier(size) {
            Some(entry) => (entry, false),
            None => {
                plan.seed = rng.next_u64();
                let stage = |title: &str, steps| progress.stage(title, steps);
                let entry = tuning::measure(size, &plan, &stage, &|| progress.step())?;
                (entry, true)
            }
        };
        found.push((entry, fresh));
    }
    progress.finish();
    let entries: Vec<Entry> = found.iter().map(|(entry, _)| entry.clone()).collect();
    let stored = tuning::save(&entries);
    show(&found, output)?;
    let stored = stored?;
    output.line(format!("stored in {}", stored.display()))?;
    output.document(&Document {
        command: "tune",
        machine: &known.machine,
        cpu: known.cpu.as_deref(),
        engine: &known.engine,
        threads,
        seed,
        sizes: found
            .iter()
            .map(|(entry, fresh)| Row {
                entry,
                kernel: entry.kernel(),
                fresh: *fresh,
            })
            .collect(),
        stored,
        exit: Exit::Held as u8,
    })?;
    Ok(Exit::Held)
}

/// The kernels to race: those named, or all that are worth it.
fn named(names: &[String]) -> Result<Vec<Kernel>, Failure> {
    match names {
        [] => Ok(tuning::candidates()),
        names => Ok(names
            .iter()
            .map(|name| Kernel::by_name(name))
            .collect::<Result<_, _>>()?),
    }
}

/// Layers that a matrix on its own is taken to have: those of 2b4t.
const LAYERS: usize = 30;

/// The sizes of a model, or the one that is named.
fn sizes(what: &str) -> Result<Vec<Size>, Failure> {
    let nothing = [ErrorKind::NotFound, ErrorKind::NotADirectory];
    // What is there and can't be reached is told as such, and is no shape.
    let product: Option<CaseId> = match Path::new(what).symlink_metadata() {
        Err(error) if nothing.contains(&error.kind()) => {
            format!("decode/{what}/best/1t").parse().ok()
        }
        _ => None,
    };
    match product.as_ref().map(CaseId::work) {
        Some(Work::Product { shape, .. }) => Ok(vec![Size {
            rows: shape.rows,
            cols: shape.cols,
            count: LAYERS,
        }]),
        _ => Ok(tuning::sizes(ModelSource::open(what)?.source().config())),
    }
}

/// Bytes of all matrices of a size, for the detected kernel.
fn bytes(size: &Size) -> usize {
    let weights = size.rows * size.cols * size.count;
    (weights as f64 * Kernel::best().spec().bits_per_weight() / 8.0) as usize
}

fn show(found: &[(Entry, bool)], output: Output) -> Result<(), Failure> {
    output.line(format!(
        "{:<13} {:<7} {:>7}  {:<16} {:>10}  against the detected kernel",
        "matrix", "phase", "threads", "kernel", "us"
    ))?;
    for (entry, fresh) in found {
        let size = format!("{}x{}", entry.rows, entry.cols);
        for (phase, name) in [(Phase::Decode, "decode"), (Phase::Prefill, "prefill")] {
            let race = entry.race(phase);
            for c in &race.candidates {
                let against = match &c.speedup {
                    None => "detected".to_owned(),
                    Some(speedup) => told(speedup),
                };
                let mark = if c.kernel == race.choice { '*' } else { ' ' };
                output.line(format!(
                    "{size:<13} {name:<7} {:>7} {mark}{:<16} {:>10.1}  {against}",
                    entry.threads, c.kernel, c.us
                ))?;
            }
            output.line(format!(
                "{:<13} {name:<7} {}: {}",
                "", race.choice, race.why
            ))?;
        }
        output.line(format!("{size:<13} {}", chosen(entry, *fresh)))?;
    }
    Ok(())
}

/// `gets vbmi-avx512: decode's choice; decode 1.31x (..), prefill 0.90x (..)`.
fn chosen(entry: &Entry, fresh: bool) -> String {
    let kernel = entry.kernel();
    let why = match entry.goal {
        Goal::Both if entry.costs_more_than_it_gains() => format!(
            "decode's choice, {}, costs prefill more than it gains",
            entry.decode.choice
        ),
        Goal::Both if entry.decode_does_not_mind() => {
            "prefill's choice, with which decode is as fast".to_owned()
        }
        Goal::Both | Goal::Decode => "decode's choice".to_owned(),
        Goal::Prefill => "prefill's choice".to_owned(),
    };
    let both = [("decode", &entry.decode), ("prefill", &entry.prefill)];
    let speedups = both.map(|(phase, race)| {
        let speedup = race.speedup(kernel)?;
        Some(format!("{phase} {}", told(speedup)))
    });
    let against = match speedups {
        [Some(decode), Some(prefill)] => format!("; {decode}, {prefill}"),
        _ => String::new(),
    };
    let when = match fresh {
        true => String::new(),
        false => format!(" (measured {}; --again measures anew)", entry.measured),
    };
    format!("gets {kernel}: {why}{against}{when}")
}
