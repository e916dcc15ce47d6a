//! The operations beside the products.

use std::ops::Range;
use std::sync::Arc;

use bitgauge_engine::attention::{Attend, Batch, CacheFormat, Chunked, LayerCache, Scratch};
use bitgauge_engine::buffer::Buffer;
use bitgauge_engine::checkpoint::Floats;
use bitgauge_engine::float_matrix::FloatMatrix;
use bitgauge_engine::input::Input;
use bitgauge_engine::threads::{Scheduler, Task, Work};
use bitgauge_engine::{Error, float, ops};

use super::blueprint::{Extra, Plan};
use super::greedy::GreedyPlan;
use super::id::Operation;
use super::operands::Operands;
use super::packing::PackPlan;
use super::placement::Placement;
use super::sampling::SamplePlan;
use super::{Body, Refusal, hold};
use crate::measure::{Answer, Digest, Tolerance};
use crate::oracle::ops as oracle;
use crate::verify::cache::rounding;

/// Epsilon of the models' norms.
const EPS: f32 = 1e-5;
/// Query heads, key/value heads and head size of BitNet b1.58 2B4T, and the base of its rotation.
const HEADS: usize = 20;
const KV_HEADS: usize = 5;
const HEAD_DIM: usize = 128;
const THETA: f32 = 500_000.0;
/// Where heads are rotated to.
const POSITION: usize = 1000;

/// The largest difference from the oracle, over its largest number: float32 rounding over some
/// thousand terms.
pub(super) const ROUNDING: f64 = 1e-5;

pub(super) fn plan(operation: Operation, size: [usize; 2]) -> Result<Box<dyn Plan>, Refusal> {
    Ok(match operation {
        Operation::Quantize => Box::new(QuantizePlan::new(size)),
        Operation::Attention(format) => Box::new(AttentionPlan::new(size, format)?),
        Operation::RmsNorm => Box::new(RowsPlan::new(Row::RmsNorm, size)),
        Operation::Relu2 => Box::new(RowsPlan::new(Row::Relu2, size)),
        Operation::Softmax => Box::new(RowsPlan::new(Row::Softmax, size)),
        Operation::Rotate => Box::new(RowsPlan::new(Row::Rotate, size)),
        Operation::Head => Box::new(RowsPlan::new(Row::Head, size)),
        Operation::Greedy => Box::new(GreedyPlan::new(size)),
        Operation::Pack => Box::new(PackPlan::new(size)?),
        Operation::Sample => Box::new(SamplePlan::new(size)),
    })
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

fn close(what: &str, got: &Answer, want: Vec<f64>) -> Result<(), Refusal> {
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let tolerance = Tolerance::Absolute(ROUNDING * largest);
    hold(what, got, &Answer::Floats(want), tolerance)
}

/// Operations on rows that do not depend on each other.
#[derive(Clone, Copy)]
enum Row {
    RmsNorm,
    Relu2,
    Softmax,
    Rotate,
    Head,
}

/// Works on one row: its index, what it holds, where its result goes.
type EachRow<'a> = dyn Fn(usize, &[f32], &mut [f32]) + 'a;

/// `a` rows of `b` numbers, and what they meet: the norm's weights or the head's input, `[b]`, or
/// up, `[a][b]`.
struct RowsPlan {
    row: Row,
    b: usize,
    x: Vec<f32>,
    other: Vec<f32>,
    head: Option<FloatMatrix>,
}

impl RowsPlan {
    fn new(row: Row, [a, b]: [usize; 2]) -> Self {
        let mut operands = Operands::of_size(a, b);
        let mut x = operands.floats(a * b);
        let other = match row {
            Row::RmsNorm | Row::Head => operands.floats(b),
            Row::Relu2 => operands.floats(a * b),
            Row::Softmax | Row::Rotate => Vec::new(),
        };
        let head = matches!(row, Row::Head).then(|| {
            let upper: Vec<_> = x.iter().map(|v| (v.to_bits() >> 16) as u16).collect();
            FloatMatrix::new(Floats::Bf16(upper.into()), b)
        });
        if head.is_some() {
            for value in &mut x {
                *value = f32::from_bits(value.to_bits() & 0xffff_0000);
            }
        }
        Self {
            row,
            b,
            x,
            other,
            head,
        }
    }

    fn rows(&self) -> usize {
        self.x.len() / self.b
    }

    /// The oracle's result for row `n`, `x`.
    fn expected(&self, n: usize, x: &[f32]) -> Vec<f64> {
        let mut x = wide(x);
        match self.row {
            Row::RmsNorm => oracle::rmsnorm(&x, &self.other, f64::from(EPS)),
            Row::Relu2 => {
                let up = &self.other[n * self.b..][..self.b];
                let gated = |(&g, &u)| oracle::relu2(g) * f64::from(u);
                x.iter().zip(up).map(gated).collect()
            }
            Row::Softmax => oracle::softmax(&x),
            Row::Rotate => {
                let frequencies = oracle::inverse_frequencies(self.b, f64::from(THETA));
                oracle::rope(&mut x, POSITION, &frequencies);
                x
            }
            Row::Head => vec![oracle::dot(&x, &wide(&self.other))],
        }
    }

    /// The operation on rows `range`, owning copies of all that it reads.
    fn task(&self, placement: &mut Placement) -> Box<Task<'static>> {
        let b = self.b;
        let other = placement.copy(&self.other);
        if let Some(head) = &self.head {
            placement.pad(head.bytes());
            let head = head.clone();
            return Box::new(move |rows, out| head.dot_rows(rows, &other, out));
        }
        let x = placement.copy(&self.x);
        let each = move |rows: Range<usize>, out: &mut [f32], row: &EachRow<'_>| {
            for (n, y) in rows.zip(out.chunks_exact_mut(b)) {
                row(n, &x[n * b..][..b], y);
            }
        };
        match self.row {
            Row::RmsNorm | Row::Head => Box::new(move |rows, out| {
                each(rows, out, &|_, x, y| ops::rms_norm(x, &other, EPS, y));
            }),
            // In place, as the engine has them: without fresh values, each iteration would find
            // what the last has left.
            Row::Relu2 => Box::new(move |rows, out| {
                each(rows, out, &|n, gate, y| {
                    y.copy_from_slice(gate);
                    float::relu2(y, &other[n * b..][..b]);
                });
            }),
            Row::Softmax => Box::new(move |rows, out| {
                each(rows, out, &|_, scores, y| {
                    y.copy_from_slice(scores);
                    float::softmax(y);
                });
            }),
            Row::Rotate => {
                let mut angles = vec![(0.0, 0.0); b / 2];
                ops::Rope::new(b, THETA).angles(POSITION, &mut angles);
                Box::new(move |rows, out| {
                    each(rows, out, &|_, head, y| {
                        y.copy_from_slice(head);
                        ops::rotate(y, &angles);
                    });
                })
            }
        }
    }
}

impl Plan for RowsPlan {
    fn place(
        &self,
        placement: &mut Placement,
        scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        let task = self.task(placement);
        let (width, bytes) = match self.row {
            Row::Head => (1, self.b * size_of::<u16>()),
            _ => (self.b, self.b * size_of::<f32>()),
        };
        Ok(Box::new(Rows {
            out: placement.poisoned(self.rows() * width),
            width,
            bytes,
            task,
            scheduler,
        }))
    }

    fn bytes(&self) -> usize {
        (2 * self.x.len() + self.other.len()) * size_of::<f32>()
    }

    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        let rows = self.x.chunks_exact(self.b).enumerate();
        let want = rows.flat_map(|(n, x)| self.expected(n, x)).collect();
        close("the operation", got, want)
    }
}

struct Rows {
    out: Buffer<f32>,
    width: usize,
    bytes: usize,
    task: Box<Task<'static>>,
    scheduler: Arc<dyn Scheduler>,
}

impl Body for Rows {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        let (scheduler, out) = (&*self.scheduler, &mut self.out);
        let (width, bytes, task) = (self.width, self.bytes, &*self.task);
        repeat(scheduler, iterations, || {
            let work = Work {
                out,
                width,
                grain: 1,
                bytes,
            };
            scheduler.run(work, task);
        });
        Ok(())
    }

    fn answer(&self) -> Answer {
        Answer::from_f32(&self.out)
    }

    fn digest(&self) -> Digest {
        Digest::of_f32(&self.out)
    }
}

/// Repeats `body` where parallel regions are cheapest.
pub(super) fn repeat(scheduler: &dyn Scheduler, iterations: u64, mut body: impl FnMut() + Send) {
    scheduler.enter(&mut || (0..iterations).for_each(|_| body()));
}

/// Activations to be quantised, `[token][K]`.
struct QuantizePlan {
    x: Vec<f32>,
    cols: usize,
}

impl QuantizePlan {
    fn new([tokens, cols]: [usize; 2]) -> Self {
        Self {
            x: Operands::of_size(tokens, cols).floats(tokens * cols),
            cols,
        }
    }
}

impl Plan for QuantizePlan {
    fn place(
        &self,
        placement: &mut Placement,
        _scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        let x = placement.copy(&self.x);
        placement.pad(self.x.len());
        Ok(Box::new(Quantize {
            x,
            cols: self.cols,
            input: Input::default(),
        }))
    }

    fn bytes(&self) -> usize {
        self.x.len() * (size_of::<f32>() + size_of::<i8>())
    }

    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        let mut want = Vec::new();
        for x in self.x.chunks_exact(self.cols) {
            let quantized = oracle::quantize(x)?;
            want.push(quantized.scale.to_bits() as i32);
            want.extend(quantized.values.iter().map(|&q| i32::from(q)));
        }
        let want = Answer::Integers(want);
        hold("scales and values", got, &want, Tolerance::Exact)
    }

    fn extra(&mut self, _share: f64) -> Extra {
        Extra::Nobody("tokens are quantised all at once; plant it in another operation")
    }
}

struct Quantize {
    x: Buffer<f32>,
    cols: usize,
    input: Input,
}

impl Quantize {
    /// Of each token the scale's bits and the values.
    fn integers(&self) -> Vec<i32> {
        let quantized = self.input.quantized();
        let token = |t: usize| {
            let scale = quantized.scales()[t].to_bits() as i32;
            let values = quantized.row(t).iter().map(|&q| i32::from(q));
            std::iter::once(scale).chain(values)
        };
        (0..quantized.tokens()).flat_map(token).collect()
    }
}

impl Body for Quantize {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        for _ in 0..iterations {
            // Operands are finite.
            let result = self.input.quantize(&self.x, self.cols);
            debug_assert!(result.is_ok());
        }
        Ok(())
    }

    fn answer(&self) -> Answer {
        Answer::Integers(self.integers())
    }

    fn digest(&self) -> Digest {
        let quantized = self.input.quantized();
        let mut bytes = Vec::with_capacity(quantized.tokens() * (self.cols + 4));
        for (t, scale) in quantized.scales().iter().enumerate() {
            bytes.extend(scale.to_le_bytes());
            bytes.extend(quantized.row(t).iter().map(|&q| q as u8));
        }
        Digest::of_bytes(&bytes)
    }
}

/// A filled cache and the queries of its last tokens.
struct AttentionPlan {
    cache: LayerCache,
    /// `[token][head][d]`
    queries: Vec<f32>,
    /// `[position][kv head][d]`
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl AttentionPlan {
    fn new([tokens, context]: [usize; 2], format: CacheFormat) -> Result<Self, Refusal> {
        let mut operands = Operands::of_size(tokens, context);
        let width = KV_HEADS * HEAD_DIM;
        let keys = operands.floats(context * width);
        let values = operands.floats(context * width);
        let mut cache = LayerCache::new(KV_HEADS, HEAD_DIM, context, format)?;
        let pairs = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (position, (key, value)) in pairs.enumerate() {
            cache.store(position, key, value);
        }
        Ok(Self {
            cache,
            queries: operands.floats(tokens * HEADS * HEAD_DIM),
            keys,
            values,
        })
    }

    fn context(&self) -> usize {
        self.keys.len() / (KV_HEADS * HEAD_DIM)
    }

    /// Position of the first query.
    fn start(&self) -> usize {
        self.context() - self.queries.len() / (HEADS * HEAD_DIM)
    }
}

impl Plan for AttentionPlan {
    fn place(
        &self,
        placement: &mut Placement,
        scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        placement.pad(self.cache.bytes_per_position() * self.context());
        Ok(Box::new(Attention {
            cache: self.cache.clone(),
            queries: placement.copy(&self.queries),
            out: placement.poisoned(self.queries.len()),
            start: self.start(),
            scratch: Scratch::default(),
            scheduler,
        }))
    }

    fn bytes(&self) -> usize {
        self.cache.bytes_per_position() * self.context() + 2 * self.queries.len() * size_of::<f32>()
    }

    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        let rounding = rounding(self.cache.format());
        let rounded = |cached: &[f32]| -> Result<Vec<Vec<f64>>, Refusal> {
            let heads = cached.chunks_exact(HEAD_DIM);
            Ok(heads
                .map(|x| rounding.round(&wide(x)))
                .collect::<Result<_, _>>()?)
        };
        let (all_keys, all_values) = (rounded(&self.keys)?, rounded(&self.values)?);
        let scale = (HEAD_DIM as f64).sqrt().recip();
        let mut want = Vec::with_capacity(self.queries.len());
        for (i, query) in self.queries.chunks_exact(HEAD_DIM).enumerate() {
            let (token, head) = (i / HEADS, i % HEADS / (HEADS / KV_HEADS));
            let seen = self.start() + token + 1;
            let query = wide(query);
            let keys = all_keys.iter().skip(head).step_by(KV_HEADS).take(seen);
            let scores: Vec<f64> = keys.map(|k| oracle::dot(&query, k) * scale).collect();
            let mut out = vec![0.0; HEAD_DIM];
            let values = all_values.iter().skip(head).step_by(KV_HEADS);
            for (p, value) in oracle::softmax(&scores).into_iter().zip(values) {
                out.iter_mut().zip(value).for_each(|(o, v)| *o += p * v);
            }
            want.extend(out);
        }
        close("attention", got, want)
    }
}

struct Attention {
    cache: LayerCache,
    queries: Buffer<f32>,
    out: Buffer<f32>,
    start: usize,
    scratch: Scratch,
    scheduler: Arc<dyn Scheduler>,
}

impl Body for Attention {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        let scheduler = &*self.scheduler;
        let batch = Batch {
            cache: &self.cache,
            queries: &self.queries,
            heads: HEADS,
            start: self.start,
        };
        let (out, scratch) = (&mut self.out, &mut self.scratch);
        repeat(scheduler, iterations, || {
            Chunked::new().attend(batch, out, scratch, scheduler);
        });
        Ok(())
    }

    fn answer(&self) -> Answer {
        Answer::from_f32(&self.out)
    }

    fn digest(&self) -> Digest {
        Digest::of_f32(&self.out)
    }
}
