//! Whole models: one decoded token, or one batch of a prompt.

use std::sync::Arc;

use bitgauge_engine::checkpoint::{Config, Linear, Norm, WeightScale};
use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Group, Model, Source};
use bitgauge_engine::session::Session;
use bitgauge_engine::synthetic::{self, Synthetic};
use bitgauge_engine::threads::{Pool, Scheduler};
use bitgauge_engine::{Error, Token};
use self_cell::self_cell;

use super::blueprint::Plan;
use super::id::{CUT, Phase};
use super::operands::Operands;
use super::placement::Placement;
use super::{Body, Refusal, hold};
use crate::decoder::cases::{CONTEXT, token};
use crate::measure::{Answer, Digest, Tolerance};
use crate::oracle::{self, LinearName, ScaleRule};

/// Seed of all weights.
const SEED: u64 = 1;

/// The oracle's decoder reads a token in about a nanosecond a weight; models with more weights
/// than this are judged by their products alone.
const ORACLE_WEIGHTS: usize = 200_000_000;

/// Relative L2 error of logits. Where an activation lies near the boundary of two int8 values,
/// float32 and `f64` may take different ones, and from then on the two differ by what the
/// quantisers round away, some per cent on random weights. A wrong decoder is off by about 1; the
/// sums, where kernels can be wrong, are compared exactly.
const LOGITS: f64 = 0.1;

/// What is made once for all placements of a model.
pub(super) struct DecoderPlan {
    source: Synthetic,
    model: Model,
    phase: Phase,
}

fn config(name: &str) -> Option<Config> {
    if name != CUT {
        return synthetic::shape(name);
    }
    Some(Config {
        hidden_size: 640,
        intermediate_size: 1728,
        num_hidden_layers: 1,
        num_attention_heads: 10,
        head_dim: 64,
        vocab_size: 4096,
        ..synthetic::shape("2b4t")?
    })
}

impl DecoderPlan {
    pub fn new(name: &str, phase: Phase, kernel: Kernel) -> Result<Self, Refusal> {
        let config = config(name)
            .ok_or_else(|| Refusal::Failed(format!("the engine has no shape `{name}`")))?;
        let source = synthetic::model(config, SEED);
        let model = Model::load(&source, &kernel)?;
        Ok(Self {
            source,
            model,
            phase,
        })
    }

    fn layer_weights(&self) -> usize {
        let linears = self.model.config().linears();
        linears.iter().map(|(_, (n, k))| n * k).sum()
    }

    /// The sums of every product of the first and the last layer, on random activations.
    fn judge_products(&self) -> Result<(), Refusal> {
        let layers = self.model.layers();
        let mut ends = vec![0, layers.len() - 1];
        ends.dedup();
        for layer in ends {
            for group in Group::ALL {
                let matrix = layers[layer].projection(group).matrix();
                let (rows, cols) = (matrix.rows(), matrix.cols());
                let mut trits = Vec::with_capacity(rows * cols);
                for &linear in group.linears() {
                    trits.extend(self.source.linear(layer, linear).map_err(Error::from)?.0);
                }
                let activations = Operands::of_size(rows, cols).int8s(cols);
                let mut input = Input::default();
                input.set(&activations, cols);
                input.prepare(matrix.kernel());
                let mut got = vec![i32::MIN; rows];
                matrix.sums(&input, 0..rows, &mut got);
                let want = oracle::ops::dot_rows(&trits, rows, cols, &activations);
                hold(
                    format!("layer {layer}, {}", group.name()),
                    &Answer::Integers(got),
                    &Answer::Integers(want),
                    Tolerance::Exact,
                )?;
            }
        }
        Ok(())
    }

    /// Logits of the first `tokens` tokens, read one by one.
    fn one_by_one(&self, tokens: usize) -> Result<Vec<f32>, Refusal> {
        let pool = Pool::new(1)?;
        let mut session = Session::new(&self.model, &pool, tokens)?;
        let mut logits = Vec::new();
        for i in 0..tokens {
            logits = session.decode(token(&self.model, i))?.to_vec();
        }
        Ok(logits)
    }

    /// The token after [`CONTEXT`] others, against the oracle's decoder.
    fn judge_token(&self) -> Result<(), Refusal> {
        let model = oracle_model(&self.source)?;
        let mut decoder = oracle::Decoder::new(&model);
        for i in 0..CONTEXT {
            decoder.push(token(&self.model, i))?;
        }
        let want = decoder.step(token(&self.model, CONTEXT))?;
        hold(
            "logits against the oracle's decoder",
            &Answer::from_f32(&self.one_by_one(CONTEXT + 1)?),
            &Answer::Floats(want),
            Tolerance::RelativeL2(LOGITS),
        )
    }
}

impl Plan for DecoderPlan {
    fn place(
        &self,
        placement: &mut Placement,
        scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        placement.pad(self.model.config().hidden_size);
        let model = self.model.apart();
        placement.pad(model.config().hidden_size * size_of::<f32>());
        let phase = self.phase;
        let (seen, read) = match phase {
            Phase::Decode => (CONTEXT, CONTEXT + 1),
            Phase::Prefill => (0, phase.tokens()),
        };
        let tokens: Vec<Token> = (0..read).map(|i| token(&model, i)).collect();
        let mut running = Running::try_new(Loaded { model, scheduler }, |loaded| {
            Session::new(&loaded.model, &*loaded.scheduler, read)
        })?;
        if seen > 0 {
            running.with_dependent_mut(|_, session| session.prefill(&tokens[..seen]).map(drop))?;
        }
        Ok(Box::new(Decoder {
            running,
            seen,
            tokens,
            logits: Vec::new(),
        }))
    }

    fn bytes(&self) -> usize {
        let matrices = Group::ALL.map(|group| self.model.layers()[0].projection(group).matrix());
        let layer: usize = matrices.iter().map(|matrix| matrix.bytes()).sum();
        layer * self.model.layers().len()
    }

    /// The products of the first and last layer and, where it is quick, a token's logits against
    /// the oracle. The case's own logits must then be, bit for bit, those of the same tokens read
    /// one by one on one thread.
    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        self.judge_products()?;
        let config = self.model.config();
        let embedding = config.vocab_size * config.hidden_size;
        if self.layer_weights() * config.num_hidden_layers + embedding <= ORACLE_WEIGHTS {
            self.judge_token()?;
        }
        let tokens = match self.phase {
            Phase::Decode => CONTEXT + 1,
            Phase::Prefill => self.phase.tokens(),
        };
        let want = Answer::from_f32(&self.one_by_one(tokens)?);
        let what = "logits against those of the same tokens read one by one";
        hold(what, got, &want, Tolerance::Exact)
    }
}

/// The same weights for the oracle.
fn oracle_model(source: &dyn Source) -> Result<oracle::Model, Refusal> {
    let config = source.config();
    let failed = |error| Refusal::from(Error::from(error));
    let norm = |layer, norm| source.norm(layer, norm).map_err(failed);
    let linear = |layer: usize, name: LinearName| -> Result<oracle::Linear, Refusal> {
        let linear = Linear::ALL.into_iter().find(|l| l.name() == name.as_str());
        let linear = linear
            .ok_or_else(|| Refusal::Failed(format!("the engine has no {}", name.as_str())))?;
        let (rows, cols) = linear.shape(config);
        let (trits, scale) = source.linear(layer, linear).map_err(failed)?;
        let (weight_scale, rule) = match scale {
            WeightScale::Multiply(ws) => (ws, ScaleRule::Multiply),
            WeightScale::Divide(ws) => (ws, ScaleRule::Divide),
        };
        Ok(oracle::Linear {
            rows,
            cols,
            trits,
            weight_scale,
            rule,
        })
    };
    let layer = |at: usize| -> Result<oracle::Layer, Refusal> {
        Ok(oracle::Layer {
            input_norm: norm(at, Norm::Input)?,
            q: linear(at, LinearName::Q)?,
            k: linear(at, LinearName::K)?,
            v: linear(at, LinearName::V)?,
            attn_sub_norm: norm(at, Norm::AttnSub)?,
            o: linear(at, LinearName::O)?,
            post_attention_norm: norm(at, Norm::PostAttention)?,
            gate: linear(at, LinearName::Gate)?,
            up: linear(at, LinearName::Up)?,
            ffn_sub_norm: norm(at, Norm::FfnSub)?,
            down: linear(at, LinearName::Down)?,
        })
    };
    let layers = (0..config.num_hidden_layers).map(layer);
    Ok(oracle::Model::from_parts(oracle::Parts {
        shape: oracle::Shape {
            vocabulary: config.vocab_size,
            hidden: config.hidden_size,
            intermediate: config.intermediate_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            key_value_heads: config.num_key_value_heads,
            max_positions: config.max_position_embeddings,
            rms_norm_eps: config.rms_norm_eps,
            rope_theta: config.rope_theta,
        },
        layers: layers.collect::<Result<_, _>>()?,
        embedding: source.embedding().map_err(failed)?.into_f32(),
        final_norm: source.final_norm().map_err(failed)?,
        head: source.head().map_err(failed)?.map(|head| head.into_f32()),
    })?)
}

/// What a session reads.
struct Loaded {
    model: Model,
    scheduler: Arc<dyn Scheduler>,
}

self_cell!(
    /// A session together with the model and threads that it borrows.
    struct Running {
        owner: Loaded,
        #[covariant]
        dependent: Session,
    }
);

/// A model in its place.
struct Decoder {
    running: Running,
    /// Tokens that are read once, before the first iteration.
    seen: usize,
    tokens: Vec<Token>,
    logits: Vec<f32>,
}

impl Body for Decoder {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        let (seen, tokens) = (self.seen, &self.tokens[..]);
        let logits = &mut self.logits;
        self.running.with_dependent_mut(|_, session| {
            for left in (0..iterations).rev() {
                session.truncate(seen);
                let last = match tokens[seen..] {
                    [token] => session.decode(token)?,
                    _ => session.prefill(&tokens[seen..])?,
                };
                if left == 0 {
                    logits.clear();
                    logits.extend_from_slice(last);
                }
            }
            Ok(())
        })
    }

    fn answer(&self) -> Answer {
        Answer::from_f32(&self.logits)
    }

    fn digest(&self) -> Digest {
        Digest::of_f32(&self.logits)
    }
}
