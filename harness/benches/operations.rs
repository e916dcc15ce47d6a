//! The operations between the products. See README.md for the names.

mod common;

use std::cell::LazyCell;
use std::hint::black_box;

use bitgauge::oracle::ops as oracle;
use bitgauge_engine::attention::{LayerCache, attend};
use bitgauge_engine::threads::Pool;
use bitgauge_engine::{float, ops};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use common::{Random, assert_close, settings};

/// Query heads, key/value heads and head size of BitNet b1.58 2B4T.
const HEADS: usize = 20;
const KV_HEADS: usize = 5;
const HEAD_DIM: usize = 128;
/// Base of its rotary frequencies.
const THETA: f32 = 500_000.0;
/// Its hidden and feed-forward sizes.
const WIDTHS: [usize; 2] = [2560, 6912];

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

fn row(elements: usize) -> Throughput {
    Throughput::ElementsAndBytes {
        elements: elements as u64,
        bytes: 4 * elements as u64,
    }
}

/// A filled cache, queries of the last tokens, and the oracle's attention.
struct Attention {
    cache: LayerCache,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Attention {
    fn new(context: usize, tokens: usize) -> Self {
        let mut random = Random(context as u64);
        let width = KV_HEADS * HEAD_DIM;
        let keys = random.floats(context * width);
        let values = random.floats(context * width);
        let mut cache = LayerCache::new(KV_HEADS, HEAD_DIM, context).expect("memory for a cache");
        // Rotated by nothing: rotation has benchmarks of its own.
        let still = [(1.0, 0.0); HEAD_DIM / 2];
        for (t, (k, v)) in keys.chunks(width).zip(values.chunks(width)).enumerate() {
            cache.store(t, k, v, &still);
        }
        let queries = random.floats(tokens * HEADS * HEAD_DIM);
        Self {
            cache,
            queries,
            keys,
            values,
        }
    }

    fn attend(&self, context: usize, pool: &Pool, out: &mut [f32]) {
        let start = context - self.queries.len() / (HEADS * HEAD_DIM);
        let queries = &self.queries;
        attend(&self.cache, queries, out, HEADS, KV_HEADS, start, pool);
    }

    /// The oracle's answer for the last token, `[head][d]`.
    fn expected(&self) -> Vec<f64> {
        let last = &self.queries[self.queries.len() - HEADS * HEAD_DIM..];
        let head = |(h, query): (usize, &[f32])| {
            let of = |cached: &[f32]| -> Vec<Vec<f64>> {
                let heads = cached.chunks(HEAD_DIM).skip(h / (HEADS / KV_HEADS));
                heads.step_by(KV_HEADS).map(wide).collect()
            };
            let query = wide(query);
            let scale = (HEAD_DIM as f64).sqrt().recip();
            let score = |key: &Vec<f64>| oracle::dot(&query, key) * scale;
            let scores: Vec<f64> = of(&self.keys).iter().map(score).collect();
            let mut out = vec![0.0; HEAD_DIM];
            for (p, value) in oracle::softmax(&scores).iter().zip(of(&self.values)) {
                out.iter_mut().zip(value).for_each(|(o, v)| *o += p * v);
            }
            out
        };
        last.chunks(HEAD_DIM).enumerate().flat_map(head).collect()
    }
}

fn attention(c: &mut Criterion) {
    let pool = Pool::new(1).expect("one thread");
    for (phase, tokens, contexts) in [
        ("decode", 1, &[128, 1024, 4096][..]),
        ("prefill", 32, &[1024]),
    ] {
        let mut group = c.benchmark_group(format!("attention/2b4t/{phase}"));
        for &context in contexts {
            let ready = LazyCell::new(|| {
                let case = Attention::new(context, tokens);
                let mut out = vec![0.0; case.queries.len()];
                case.attend(context, &pool, &mut out);
                let last = &out[out.len() - HEADS * HEAD_DIM..];
                assert_close("attention", last, &case.expected());
                case
            });
            // Token t of the batch sees all but the tokens after it.
            let seen: usize = (0..tokens).map(|t| context - t).sum();
            group.throughput(Throughput::ElementsAndBytes {
                elements: (seen * HEADS * HEAD_DIM * 2) as u64,
                bytes: (seen * KV_HEADS * HEAD_DIM * 2 * size_of::<f32>()) as u64,
            });
            group.bench_function(context.to_string(), |b| {
                let case = &*ready;
                let mut out = vec![0.0; case.queries.len()];
                b.iter(|| case.attend(context, &pool, black_box(&mut out)));
            });
        }
    }
}

fn softmax(c: &mut Criterion) {
    let mut group = c.benchmark_group("softmax");
    for n in [128usize, 1024, 4096] {
        let scores = LazyCell::new(|| {
            let scores = Random(n as u64).floats(n);
            let mut p = scores.clone();
            float::softmax(&mut p);
            assert_close("softmax", &p, &oracle::softmax(&wide(&scores)));
            scores
        });
        group.throughput(row(n));
        group.bench_function(n.to_string(), |b| {
            let mut p = scores.clone();
            b.iter(|| {
                // In place: without fresh scores, each call would flatten them further.
                p.copy_from_slice(&scores);
                float::softmax(black_box(&mut p));
            });
        });
    }
}

fn norm(c: &mut Criterion) {
    let mut group = c.benchmark_group("norm");
    for n in WIDTHS {
        let ready = LazyCell::new(|| {
            let mut random = Random(n as u64);
            let (x, weight) = (random.floats(n), random.floats(n));
            let mut y = vec![0.0; n];
            ops::rms_norm(&x, &weight, 1e-5, &mut y);
            let want = oracle::rmsnorm(&wide(&x), &weight, f64::from(1e-5f32));
            assert_close("norm", &y, &want);
            (x, weight)
        });
        group.throughput(row(n));
        group.bench_function(n.to_string(), |b| {
            let (x, weight) = &*ready;
            let mut y = vec![0.0; n];
            b.iter(|| ops::rms_norm(black_box(x), weight, 1e-5, black_box(&mut y)));
        });
    }
}

fn quantize(c: &mut Criterion) {
    let mut group = c.benchmark_group("quantize");
    for n in WIDTHS {
        let x = LazyCell::new(|| {
            let x = Random(n as u64).floats(n);
            let mut q = vec![0; n];
            let scale = float::quantize(&x, &mut q).expect("finite values");
            let want = oracle::quantize(&x).expect("finite values");
            assert!(
                scale.to_bits() == want.scale.to_bits() && q == want.values,
                "quantize is wrong on {n} values; what is wrong is not timed"
            );
            x
        });
        group.throughput(row(n));
        group.bench_function(n.to_string(), |b| {
            let x = &x[..];
            let mut q = vec![0; n];
            b.iter(|| float::quantize(black_box(x), black_box(&mut q)));
        });
    }
}

fn relu2(c: &mut Criterion) {
    let n = WIDTHS[1];
    let mut group = c.benchmark_group("relu2");
    let ready = LazyCell::new(|| {
        let mut random = Random(n as u64);
        let (gate, up) = (random.floats(n), random.floats(n));
        let mut y = gate.clone();
        float::relu2(&mut y, &up);
        let gated = |(&g, &u): (&f32, &f32)| oracle::relu2(f64::from(g)) * f64::from(u);
        let want: Vec<f64> = gate.iter().zip(&up).map(gated).collect();
        assert_close("relu2", &y, &want);
        (gate, up)
    });
    group.throughput(row(2 * n));
    group.bench_function(n.to_string(), |b| {
        let (gate, up) = &*ready;
        let mut y = gate.clone();
        b.iter(|| {
            // In place: squared again and again, the values would become subnormal.
            y.copy_from_slice(gate);
            float::relu2(black_box(&mut y), up);
        });
    });
}

fn rope(c: &mut Criterion) {
    const POSITION: usize = 1000;
    let rope = ops::Rope::new(HEAD_DIM, THETA);
    let mut angles = vec![(0.0, 0.0); HEAD_DIM / 2];
    rope.angles(POSITION, &mut angles);
    let x = Random(1).floats(HEAD_DIM);
    let (mut got, mut want) = (x.clone(), wide(&x));
    ops::rotate(&mut got, &angles);
    let frequencies = oracle::inverse_frequencies(HEAD_DIM, f64::from(THETA));
    oracle::rope(&mut want, POSITION, &frequencies);
    assert_close("rope", &got, &want);

    let mut group = c.benchmark_group("rope/angles");
    group.throughput(Throughput::ElementsAndBytes {
        elements: HEAD_DIM as u64 / 2,
        bytes: HEAD_DIM as u64 * 4,
    });
    group.bench_function(HEAD_DIM.to_string(), |b| {
        b.iter(|| rope.angles(black_box(POSITION), black_box(&mut angles)));
    });
    group.finish();
    let mut group = c.benchmark_group("rope/rotate");
    group.throughput(Throughput::ElementsAndBytes {
        elements: HEAD_DIM as u64 / 2,
        bytes: HEAD_DIM as u64 * 4,
    });
    group.bench_function(HEAD_DIM.to_string(), |b| {
        b.iter(|| ops::rotate(black_box(&mut got), black_box(&angles)));
    });
}

fn head(c: &mut Criterion) {
    const ROWS: usize = 1000;
    let n = WIDTHS[0];
    let ready = LazyCell::new(|| {
        let mut random = Random(n as u64);
        let x = random.floats(n);
        let bf16 = |v: f32| (v.to_bits() >> 16) as u16;
        let rows: Vec<u16> = random.floats(ROWS * n).into_iter().map(bf16).collect();
        let float = |&bits: &u16| f64::from(f32::from_bits(u32::from(bits) << 16));
        let dot = |row: &[u16]| oracle::dot(&row.iter().map(float).collect::<Vec<_>>(), &wide(&x));
        let want: Vec<f64> = rows.chunks(n).map(dot).collect();
        let mut got = vec![0.0; ROWS];
        float::dot_rows_bf16(&rows, &x, &mut got);
        assert_close("head", &got, &want);
        (rows, x)
    });
    let mut group = c.benchmark_group("head");
    group.throughput(Throughput::ElementsAndBytes {
        elements: (ROWS * n) as u64,
        bytes: (ROWS * n * 2) as u64,
    });
    group.bench_function(n.to_string(), |b| {
        let (rows, x) = &*ready;
        let mut out = vec![0.0; ROWS];
        b.iter(|| float::dot_rows_bf16(rows, black_box(x), &mut out));
    });
}

criterion_group! {
    name = operations;
    config = settings();
    targets = attention, softmax, norm, quantize, relu2, rope, head
}
criterion_main!(operations);
