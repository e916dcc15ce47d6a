//! The operations between the products. Each function holds one against the oracle, ends the suite
//! if it is wrong, and gives it back ready to be repeated.

use std::hint::black_box;

use bitgauge::oracle::ops as oracle;
use bitgauge_engine::attention::{Attend, Batch, CacheFormat, Chunked, LayerCache, Scratch};
use bitgauge_engine::threads::Pool;
use bitgauge_engine::{float, ops};

use super::{Random, assert_close};

/// Query heads, key/value heads and head size of BitNet b1.58 2B4T.
pub const HEADS: usize = 20;
pub const KV_HEADS: usize = 5;
pub const HEAD_DIM: usize = 128;
/// Base of its rotary frequencies.
const THETA: f32 = 500_000.0;
/// Its hidden and feed-forward sizes.
pub const WIDTHS: [usize; 2] = [2560, 6912];
/// Rows of the head that are measured.
pub const HEAD_ROWS: usize = 1000;

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// A filled cache, queries of the last tokens, and the oracle's attention.
struct Attention {
    cache: LayerCache,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    scratch: Scratch,
    pool: Pool,
}

impl Attention {
    fn new(context: usize, tokens: usize) -> Self {
        let mut random = Random(context as u64);
        let width = KV_HEADS * HEAD_DIM;
        let keys = random.floats(context * width);
        let values = random.floats(context * width);
        let cache = LayerCache::new(KV_HEADS, HEAD_DIM, context, CacheFormat::F32);
        let mut cache = cache.expect("memory for a cache");
        for (t, (k, v)) in keys.chunks(width).zip(values.chunks(width)).enumerate() {
            cache.store(t, k, v);
        }
        let queries = random.floats(tokens * HEADS * HEAD_DIM);
        Self {
            cache,
            queries,
            keys,
            values,
            scratch: Scratch::default(),
            pool: Pool::new(1).expect("one thread"),
        }
    }

    fn attend(&mut self, context: usize, out: &mut [f32]) {
        let batch = Batch {
            cache: &self.cache,
            queries: &self.queries,
            heads: HEADS,
            start: context - self.queries.len() / (HEADS * HEAD_DIM),
        };
        Chunked::new().attend(batch, out, &mut self.scratch, &self.pool);
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

pub fn attention(context: usize, tokens: usize) -> impl FnMut() {
    let mut case = Attention::new(context, tokens);
    let mut out = vec![0.0; case.queries.len()];
    case.attend(context, &mut out);
    let last = &out[out.len() - HEADS * HEAD_DIM..];
    assert_close("attention", last, &case.expected());
    move || case.attend(context, black_box(&mut out))
}

pub fn softmax(n: usize) -> impl FnMut() {
    let scores = Random(n as u64).floats(n);
    let mut p = scores.clone();
    float::softmax(&mut p);
    assert_close("softmax", &p, &oracle::softmax(&wide(&scores)));
    move || {
        // In place: without fresh scores, each call would flatten them further.
        p.copy_from_slice(&scores);
        float::softmax(black_box(&mut p));
    }
}

pub fn norm(n: usize) -> impl FnMut() {
    let mut random = Random(n as u64);
    let (x, weight) = (random.floats(n), random.floats(n));
    let mut y = vec![0.0; n];
    ops::rms_norm(&x, &weight, 1e-5, &mut y);
    let want = oracle::rmsnorm(&wide(&x), &weight, f64::from(1e-5f32));
    assert_close("norm", &y, &want);
    move || ops::rms_norm(black_box(&x), &weight, 1e-5, black_box(&mut y))
}

pub fn quantize(n: usize) -> impl FnMut() {
    let x = Random(n as u64).floats(n);
    let mut q = vec![0; n];
    let scale = float::quantize(&x, &mut q).expect("finite values");
    let want = oracle::quantize(&x).expect("finite values");
    assert!(
        scale.to_bits() == want.scale.to_bits() && q == want.values,
        "quantize is wrong on {n} values; what is wrong is not measured"
    );
    move || {
        let _ = black_box(float::quantize(black_box(&x), black_box(&mut q)));
    }
}

pub fn relu2(n: usize) -> impl FnMut() {
    let mut random = Random(n as u64);
    let (gate, up) = (random.floats(n), random.floats(n));
    let mut y = gate.clone();
    float::relu2(&mut y, &up);
    let gated = |(&g, &u): (&f32, &f32)| oracle::relu2(f64::from(g)) * f64::from(u);
    let want: Vec<f64> = gate.iter().zip(&up).map(gated).collect();
    assert_close("relu2", &y, &want);
    move || {
        // In place: squared again and again, the values would become subnormal.
        y.copy_from_slice(&gate);
        float::relu2(black_box(&mut y), &up);
    }
}

/// A rotation at one position: angles first, then one head.
struct Rotation {
    rope: ops::Rope,
    angles: Vec<(f32, f32)>,
    rotated: Vec<f32>,
}

impl Rotation {
    const POSITION: usize = 1000;

    fn judged() -> Self {
        let rope = ops::Rope::new(HEAD_DIM, THETA);
        let mut angles = vec![(0.0, 0.0); HEAD_DIM / 2];
        rope.angles(Self::POSITION, &mut angles);
        let x = Random(1).floats(HEAD_DIM);
        let (mut rotated, mut want) = (x.clone(), wide(&x));
        ops::rotate(&mut rotated, &angles);
        let frequencies = oracle::inverse_frequencies(HEAD_DIM, f64::from(THETA));
        oracle::rope(&mut want, Self::POSITION, &frequencies);
        assert_close("rope", &rotated, &want);
        Self {
            rope,
            angles,
            rotated,
        }
    }
}

pub fn rope_angles() -> impl FnMut() {
    let mut r = Rotation::judged();
    move || {
        let position = black_box(Rotation::POSITION);
        r.rope.angles(position, black_box(&mut r.angles));
    }
}

pub fn rope_rotate() -> impl FnMut() {
    let mut r = Rotation::judged();
    move || ops::rotate(black_box(&mut r.rotated), black_box(&r.angles))
}

pub fn head(n: usize) -> impl FnMut() {
    let mut random = Random(n as u64);
    let x = random.floats(n);
    let bf16 = |v: f32| (v.to_bits() >> 16) as u16;
    let rows: Vec<u16> = random.floats(HEAD_ROWS * n).into_iter().map(bf16).collect();
    let float = |&bits: &u16| f64::from(f32::from_bits(u32::from(bits) << 16));
    let dot = |row: &[u16]| oracle::dot(&row.iter().map(float).collect::<Vec<_>>(), &wide(&x));
    let want: Vec<f64> = rows.chunks(n).map(dot).collect();
    let mut out = vec![0.0; HEAD_ROWS];
    float::dot_rows_bf16(&rows, &x, &mut out);
    assert_close("head", &out, &want);
    move || float::dot_rows_bf16(&rows, black_box(&x), &mut out)
}
