//! Error by depth: the residual stream after each layer, against the oracle's.
//!
//! A session shows logits only. So the stream is read as the logits of a model that ends after the
//! layer asked for, has the identity as its head, and ones as its final norm's weights: what comes
//! out is the stream itself, scaled to a root mean square of one.

use std::sync::Arc;

use bitgauge_engine::checkpoint::Checkpoint;
use bitgauge_engine::checkpoint::{CheckpointError, Config, Floats, Linear, Norm, WeightScale};
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Model, Source, Vocabulary};
use bitgauge_engine::threads::Scheduler;

use crate::exit::Failure;
use crate::fixtures::Document;
use crate::fixtures::golden::Golden;
use crate::oracle;
use crate::run::{DepthError, Measured, Scan};
use crate::verify::identity::{self, Rows};

/// What was read.
pub struct Depth {
    /// Error after each layer and of the logits, by the last kernel.
    pub errors: Measured<Vec<DepthError>>,
    /// Every number of it, by every kernel.
    pub scans: Vec<Scan>,
}

/// Reads the golden file's longest text with each of `models`, layer by layer.
///
/// # Errors
/// When the oracle can't read the model, or a session can't read the text.
pub fn measure(
    golden: &Document<Golden>,
    checkpoint: &Checkpoint,
    models: &[(Kernel, Model)],
    scheduler: &dyn Scheduler,
) -> Result<Depth, Failure> {
    let texts = golden.content.cases.iter();
    let texts = texts.map(|case| [&case.prompt[..], &case.continuation].concat());
    let config = checkpoint.config();
    let mut tokens = texts.max_by_key(Vec::len).unwrap_or_default();
    tokens.truncate(config.max_position_embeddings);
    let Some(vocabulary) = identity_head(checkpoint)? else {
        let why = "the vocabulary has fewer rows than the residual stream has numbers";
        return Ok(Depth {
            errors: Measured::unavailable(why),
            scans: Vec::new(),
        });
    };
    let mut streams = Scanner::new("residual streams");
    let mut logits = Scanner::new("logits");
    let mut last = Vec::new();
    for (kernel, model) in models {
        last.clear();
        for layers in 1..=config.num_hidden_layers {
            let cut = Cut::new(checkpoint, layers);
            let model = Model::with_vocabulary(&cut, kernel, Arc::clone(&vocabulary))?;
            let mut rows = identity::logits(&model, scheduler, &tokens, tokens.len())?;
            rows.iter_mut()
                .for_each(|row| row.truncate(config.hidden_size));
            last.push(rows);
        }
        streams.look(&last);
        last.push(identity::logits(model, scheduler, &tokens, tokens.len())?);
        logits.look(&last[config.num_hidden_layers..]);
    }
    Ok(Depth {
        errors: Measured::Is(errors(golden, &tokens, &last)?),
        scans: vec![streams.scan, logits.scan],
    })
}

/// Relative L2 error of every depth of `got`, over all of `tokens`.
fn errors(
    golden: &Document<Golden>,
    tokens: &[u32],
    got: &[Rows],
) -> Result<Vec<DepthError>, Failure> {
    let oracle = oracle::Model::open(golden.model_folder())?;
    let mut decoder = oracle::Decoder::new(&oracle);
    let mut distances = vec![Vec::new(); got.len()];
    for (t, &token) in tokens.iter().enumerate() {
        let (mut want, logits) = decoder.step_with_streams(token)?;
        want.push(logits);
        for ((want, got), distances) in want.iter().zip(got).zip(&mut distances) {
            distances.push(relative_l2(&got[t], want));
        }
    }
    let named = |(depth, mut distances): (usize, Vec<f64>)| {
        distances.sort_by(f64::total_cmp);
        let at = |percent: usize| distances[(distances.len() * percent).div_ceil(100).max(1) - 1];
        DepthError {
            at: match depth + 1 == got.len() {
                true => "output head".into(),
                false => format!("layer {depth}"),
            },
            tokens: distances.len(),
            median: at(50),
            p90: at(90),
            worst: at(100),
        }
    };
    Ok(distances.into_iter().enumerate().map(named).collect())
}

fn relative_l2(got: &[f32], want: &[f64]) -> f64 {
    let pairs = got.iter().zip(want);
    let difference: f64 = pairs.map(|(&g, w)| (f64::from(g) - w).powi(2)).sum();
    let norm: f64 = want.iter().map(|w| w * w).sum();
    (difference / norm).sqrt()
}

/// Counts numbers that are none, and those whose bits differ from the first kernel's.
struct Scanner {
    first: Option<Vec<u32>>,
    scan: Scan,
}

impl Scanner {
    fn new(what: &str) -> Self {
        Self {
            first: None,
            scan: Scan {
                what: what.into(),
                kernels: 0,
                numbers: 0,
                not_finite: 0,
                unlike_naive: 0,
            },
        }
    }

    fn look(&mut self, rows: &[Rows]) {
        let numbers = || rows.iter().flatten().flatten();
        let bits: Vec<u32> = numbers().map(|x| x.to_bits()).collect();
        let first = self.first.get_or_insert_with(|| bits.clone());
        let scan = &mut self.scan;
        scan.kernels += 1;
        scan.numbers += bits.len() as u64;
        scan.not_finite += numbers().filter(|x| !x.is_finite()).count() as u64;
        scan.unlike_naive += bits.iter().zip(first).filter(|(a, b)| a != b).count() as u64;
    }
}

/// The embedding of `checkpoint` with the identity as its head, zero rows below; `None` where it
/// would not fit.
fn identity_head(checkpoint: &Checkpoint) -> Result<Option<Arc<Vocabulary>>, Failure> {
    let config = checkpoint.config();
    if config.vocab_size < config.hidden_size {
        return Ok(None);
    }
    let source = Cut::new(checkpoint, config.num_hidden_layers);
    Ok(Some(Arc::new(Vocabulary::load(&source)?)))
}

/// A model that ends after some of its layers and shows the residual stream in place of logits.
struct Cut<'c> {
    whole: &'c Checkpoint,
    config: Config,
}

impl<'c> Cut<'c> {
    fn new(whole: &'c Checkpoint, layers: usize) -> Self {
        let config = Config {
            num_hidden_layers: layers,
            tie_word_embeddings: false,
            ..whole.config().clone()
        };
        Self { whole, config }
    }
}

impl Source for Cut<'_> {
    fn config(&self) -> &Config {
        &self.config
    }

    fn embedding(&self) -> Result<Floats, CheckpointError> {
        self.whole.embedding()
    }

    fn head(&self) -> Result<Option<Floats>, CheckpointError> {
        let (rows, hidden) = (self.config.vocab_size, self.config.hidden_size);
        let mut identity = vec![0.0; rows * hidden];
        identity
            .iter_mut()
            .step_by(hidden + 1)
            .take(hidden)
            .for_each(|x| *x = 1.0);
        Ok(Some(Floats::F32(identity.into())))
    }

    fn final_norm(&self) -> Result<Vec<f32>, CheckpointError> {
        Ok(vec![1.0; self.config.hidden_size])
    }

    fn norm(&self, layer: usize, norm: Norm) -> Result<Vec<f32>, CheckpointError> {
        self.whole.norm(layer, norm)
    }

    fn read_linear(
        &self,
        layer: usize,
        linear: Linear,
        trits: &mut [i8],
    ) -> Result<WeightScale, CheckpointError> {
        self.whole.read_linear(layer, linear, trits)
    }
}
