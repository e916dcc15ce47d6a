//! Models planned for one difficulty each, through loader, decoder and kernels, against the oracle.
//!
//! Golden files come from outside and hold what they hold; these fill the gaps: the dividing class,
//! untied heads, online weights, half-precision norms, an epsilon that decides, scores too large
//! for a softmax without its maximum, sums beyond int16, and ids beyond them. A prompt is taken only when no
//! activation of its whole run lies near the boundary between two int8 values, so that a right
//! decoder has no excuse to differ.

use bitgauge_engine::attention::CacheFormat;
use bitgauge_engine::checkpoint::Checkpoint;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Pool;
use tempfile::TempDir;

use super::cache;
use super::check::{Book, Check, guarded};
use super::made::{self, Real, Shape, Tensor};
use super::random::Random;
use crate::fixtures::Drift;
use crate::oracle;

/// Prompts to try before giving up.
const ATTEMPTS: u64 = 400;

/// How weights are stored.
#[derive(Clone, Copy)]
enum Weights {
    /// Packed; the scale multiplies or divides.
    Packed { class: &'static str },
    /// Master weights.
    Online { real: Real },
}

struct Plan {
    id: &'static str,
    shape: Shape,
    weights: Weights,
    /// The KV cache of engine and oracle.
    cache: CacheFormat,
    norms: Real,
    tied: bool,
    /// Standard deviation of the embedding.
    embedding: f64,
    /// Size of a linear's scale, however it is stored.
    scale: f64,
    /// All rows of gate, up and down alike, so that sums grow with I.
    aligned: bool,
    /// Tokens of the prompt.
    tokens: usize,
    /// Greedy steps after it.
    steps: usize,
    /// Least `|y - half-integer| / (|y| + 8)` of all quantiser products of the run, and of what is
    /// rounded for the cache.
    gap: f64,
    /// Largest relative L2 error of a row of logits.
    limit: f64,
    /// The run must reach a sum of this size somewhere.
    least_sum: i32,
}

const BASE: Plan = Plan {
    id: "",
    shape: Shape {
        vocabulary: 40,
        hidden: 32,
        intermediate: 44,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        positions: 64,
        eps: 1e-5,
        theta: 10_000.0,
    },
    weights: Weights::Packed {
        class: "autobitlinear",
    },
    cache: CacheFormat::F32,
    norms: Real::F32,
    tied: true,
    embedding: 1.0,
    scale: 0.25,
    aligned: false,
    tokens: 5,
    steps: 3,
    gap: 1e-5,
    limit: 5e-5,
    least_sum: 0,
};

fn plans() -> Vec<Plan> {
    vec![
        Plan {
            id: "bitlinear-untied",
            weights: Weights::Packed { class: "bitlinear" },
            norms: Real::F16,
            tied: false,
            ..BASE
        },
        Plan {
            id: "online-bf16",
            shape: Shape {
                hidden: 30,
                intermediate: 45,
                heads: 5,
                kv_heads: 5,
                ..BASE.shape
            },
            weights: Weights::Online { real: Real::Bf16 },
            norms: Real::Bf16,
            ..BASE
        },
        Plan {
            id: "online-f32-untied",
            shape: Shape {
                heads: 8,
                kv_heads: 1,
                ..BASE.shape
            },
            weights: Weights::Online { real: Real::F32 },
            tied: false,
            ..BASE
        },
        Plan {
            id: "epsilon-decides",
            shape: Shape {
                eps: 3e-5,
                ..BASE.shape
            },
            embedding: 2e-3,
            scale: 2e-3,
            ..BASE
        },
        // Rounding of a score of s shows as a relative s * 1e-7 in its probability.
        Plan {
            id: "scores-above-88",
            shape: Shape {
                layers: 1,
                hidden: 16,
                intermediate: 20,
                heads: 2,
                kv_heads: 1,
                ..BASE.shape
            },
            scale: 4.0,
            tokens: 3,
            steps: 1,
            gap: 1e-4,
            limit: 1e-3,
            ..BASE
        },
        Plan {
            id: "sums-beyond-int16",
            shape: Shape {
                layers: 1,
                hidden: 16,
                intermediate: 1036,
                heads: 2,
                kv_heads: 2,
                ..BASE.shape
            },
            aligned: true,
            tokens: 3,
            steps: 1,
            least_sum: 127 * 1036,
            ..BASE
        },
        // More positions than a batch of prefill, and a grouping that `h % G` would get wrong.
        Plan {
            id: "long-context",
            shape: Shape {
                layers: 1,
                hidden: 24,
                intermediate: 28,
                heads: 6,
                kv_heads: 2,
                positions: 45,
                theta: 500.0,
                ..BASE.shape
            },
            tokens: 40,
            steps: 5,
            gap: 4e-6,
            ..BASE
        },
        // Ids that sixteen bits don't hold.
        Plan {
            id: "large-vocabulary",
            shape: Shape {
                vocabulary: 132_000,
                layers: 1,
                hidden: 16,
                intermediate: 20,
                heads: 2,
                kv_heads: 2,
                ..BASE.shape
            },
            tokens: 4,
            steps: 2,
            ..BASE
        },
        Plan {
            id: "cache-bf16",
            cache: CacheFormat::Bf16,
            ..BASE
        },
        Plan {
            id: "cache-int8",
            cache: CacheFormat::Int8,
            ..BASE
        },
    ]
}

/// A planned model on disk, a prompt for it, and the oracle's logits.
struct Planned {
    plan: Plan,
    folder: TempDir,
    /// Prompt and continuation, all fed in.
    tokens: Vec<u32>,
    /// `[tokens.len()][V]`
    logits: Vec<Vec<f32>>,
    largest_sum: i32,
}

/// The planned models with their expected logits.
pub struct PlannedModels(Vec<Result<Planned, (&'static str, String)>>);

impl PlannedModels {
    /// Makes the models, the same every time, and lets the oracle answer.
    pub fn new() -> Self {
        let make = |plan: Plan| {
            let id = plan.id;
            plan.make().map_err(|why| (id, why))
        };
        Self(plans().into_iter().map(make).collect())
    }

    /// Judges the engine with `kernel` on all of them.
    pub fn judge(&self, kernel: Kernel, book: &mut Book<'_>) {
        for planned in &self.0 {
            let check = match planned {
                Err((id, why)) => Check::broken(format!("planned/{id}"), why),
                Ok(planned) => {
                    let id = format!("planned/{}", planned.plan.id);
                    match guarded(|| planned.error(kernel)) {
                        Ok(Ok(error)) => {
                            Check::at_most(id, error, planned.plan.limit).note(format!(
                                "worst row, relative L2; largest sum {}",
                                planned.largest_sum
                            ))
                        }
                        Ok(Err(why)) | Err(why) => Check::broken(id, why),
                    }
                }
            };
            book.record(check.kernel(kernel).threads(1));
        }
    }
}

impl Default for PlannedModels {
    fn default() -> Self {
        Self::new()
    }
}

impl Plan {
    fn make(self) -> Result<Planned, String> {
        let (class, mode) = match self.weights {
            Weights::Packed { class } => (class, "offline"),
            Weights::Online { .. } => ("autobitlinear", "online"),
        };
        let config = self.shape.config(class, mode, self.tied);
        let folder = made::write(&config, &self.tensors()).map_err(|e| e.to_string())?;
        let model = oracle::Model::open(folder.path()).map_err(|e| e.to_string())?;
        for seed in 0..ATTEMPTS {
            let run = self.run(&model, seed).map_err(|e| e.to_string())?;
            if run.gap > self.gap && run.largest_sum >= self.least_sum {
                return Ok(Planned {
                    plan: self,
                    folder,
                    tokens: run.tokens,
                    logits: run.logits,
                    largest_sum: run.largest_sum,
                });
            }
        }
        Err(format!(
            "no prompt of {ATTEMPTS} is far enough from int8 boundaries"
        ))
    }

    fn tensors(&self) -> Vec<Tensor> {
        let mut random = Random::new(self.id.bytes().map(u64::from).sum());
        let shape = &self.shape;
        let table = [shape.vocabulary, shape.hidden];
        let mut reals = |name: &str, dims: &[usize], real: Real, mean: f64, deviation: f64| {
            let len = dims.iter().product();
            let values: Vec<f32> = (0..len)
                .map(|_| (mean + deviation * random.normal()) as f32)
                .collect();
            Tensor::reals(name, dims, real, &values)
        };
        let embed = "model.embed_tokens.weight";
        let mut tensors = vec![reals(embed, &table, Real::Bf16, 0.0, self.embedding)];
        if !self.tied {
            tensors.push(reals("lm_head.weight", &table, Real::F16, 0.0, 1.0));
        }
        // Equal norms keep aligned activations equal, so that all saturate.
        let spread = if self.aligned { 0.0 } else { 0.2 };
        tensors.push(reals(
            "model.norm.weight",
            &[shape.hidden],
            self.norms,
            1.0,
            0.2,
        ));
        for layer in 0..shape.layers {
            for (name, len) in shape.norms(layer) {
                tensors.push(reals(&name, &[len], self.norms, 1.0, spread));
            }
        }
        for layer in 0..shape.layers {
            for (i, (name, n, k)) in shape.linears(layer).into_iter().enumerate() {
                // Scales differ, so that a swap of two shows.
                let scale = self.scale * (1.0 + 0.1 * i as f64);
                match self.weights {
                    Weights::Packed { class } => {
                        let trits = self.trits(&mut random, &name, n, k);
                        tensors.push(Tensor::packed(&name, n, k, &trits));
                        let stored = if class == "bitlinear" {
                            1.0 / scale
                        } else {
                            scale
                        };
                        let name = format!("{name}_scale");
                        let values = [stored as f32];
                        tensors.push(Tensor::reals(&name, &[1], Real::Bf16, &values));
                    }
                    Weights::Online { real } => {
                        let values: Vec<f32> = random.normals(n * k);
                        let values: Vec<f32> = values.iter().map(|v| v * scale as f32).collect();
                        tensors.push(Tensor::reals(&name, &[n, k], real, &values));
                    }
                }
            }
        }
        tensors
    }

    fn trits(&self, random: &mut Random, name: &str, n: usize, k: usize) -> Vec<i8> {
        if !self.aligned {
            random.trits(n * k)
        } else if name.contains("down_proj") {
            let sign = |row: usize| if row.is_multiple_of(3) { -1 } else { 1 };
            (0..n * k).map(|i| sign(i / k)).collect()
        } else {
            random.trits(k).repeat(n)
        }
    }

    fn run(&self, model: &oracle::Model, seed: u64) -> Result<Run, oracle::OracleError> {
        let mut random = Random::new(seed);
        let vocabulary = self.shape.vocabulary as u32;
        let mut run = Run {
            tokens: (0..self.tokens).map(|_| random.below(vocabulary)).collect(),
            logits: Vec::new(),
            gap: f64::INFINITY,
            largest_sum: 0,
        };
        let mut decoder = oracle::Decoder::with_cache(model, cache::rounding(self.cache));
        for at in 0..self.tokens + self.steps {
            if at == run.tokens.len() {
                let last: Vec<f64> = run.logits[at - 1].iter().map(|&l| f64::from(l)).collect();
                run.tokens
                    .push(oracle::ops::argmax(&last).unwrap_or(0) as u32);
            }
            let (gap, sum) = (&mut run.gap, &mut run.largest_sum);
            let logits = decoder.step_with(run.tokens[at], &mut |tap| {
                for &x in tap.input {
                    let y = f64::from(x) * f64::from(tap.quantized.scale);
                    let boundary = (y - y.floor() - 0.5).abs();
                    *gap = gap.min(boundary / (y.abs() + 8.0));
                }
                let sums = tap.accumulators.iter().map(|a| a.abs());
                *sum = (*sum).max(sums.max().unwrap_or(0));
            })?;
            run.gap = run.gap.min(decoder.cache_gap());
            run.logits.push(logits.iter().map(|&l| l as f32).collect());
            if run.gap <= self.gap {
                break;
            }
        }
        Ok(run)
    }
}

struct Run {
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
    gap: f64,
    largest_sum: i32,
}

impl Planned {
    /// Worst relative L2 error of a row of logits: the prompt in batches, then token by token.
    fn error(&self, kernel: Kernel) -> Result<f64, String> {
        let checkpoint = Checkpoint::open(self.folder.path()).map_err(|e| e.to_string())?;
        let model = Model::load(&checkpoint, &kernel).map_err(|e| e.to_string())?;
        let pool = Pool::new(1).map_err(|e| e.to_string())?;
        let capacity = self.plan.shape.positions;
        let settings = cache::settings(self.plan.cache);
        let mut session =
            Session::with_settings(&model, &pool, capacity, settings).map_err(|e| e.to_string())?;
        let (prompt, rest) = self.tokens.split_at(self.plan.tokens);
        let mut rows: Vec<Vec<f32>> = Vec::new();
        session
            .prefill_each(prompt, &mut |_, logits| rows.push(logits.to_vec()))
            .map_err(|e| e.to_string())?;
        for &token in rest {
            rows.push(session.decode(token).map_err(|e| e.to_string())?.to_vec());
        }
        let drift = Drift::measure(&self.logits.concat(), &rows);
        Ok(drift.logit_rel_l2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan that found no prompt would judge nothing.
    #[test]
    fn every_plan_finds_a_prompt() {
        for planned in PlannedModels::new().0 {
            assert!(planned.is_ok(), "{:?}", planned.err());
        }
    }
}
