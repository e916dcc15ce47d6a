//! Float arithmetic with one order of operations on every machine.
//!
//! Each function is written once, over [`LANES`] running sums, and compiled for several
//! instruction sets. Rust neither fuses nor reorders float operations, so all of them, and every
//! architecture, give the same bits. This is what makes logits identical for every kernel,
//! tiling and thread count.

use crate::prefetch;

/// Running sums of a reduction: lane `i` takes elements `i`, `i + LANES`, ...; then the upper half
/// of the lanes is added to the lower until one is left.
pub const LANES: usize = 32;

/// Compiles `$body` for each vector width and calls the widest that may run.
macro_rules! versions {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:ident) => {
        $(#[$doc])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
                fn avx512($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
                match $crate::isa::Isa::highest() {
                    $crate::isa::Isa::Portable => {}
                    // SAFETY: `Isa::highest` is a level whose features were all detected.
                    $crate::isa::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    // SAFETY: every level above AVX2 includes the features of `Isa::Avx512`.
                    _ => return unsafe { avx512($($arg),*) },
                }
            }
            $body($($arg),*)
        }
    };
}
pub(crate) use versions;

versions! {
    /// Sum of `a[i] * b[i]`, each product rounded before it is added.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}
versions! {
    /// [`dot`] of each row of `rows`, as long as `x`, with `x`.
    pub fn dot_rows(rows: &[f32], x: &[f32], out: &mut [f32]) = dot_rows_body
}
versions! {
    /// [`dot_rows`] with the rows in bf16, widened exactly.
    pub fn dot_rows_bf16(rows: &[u16], x: &[f32], out: &mut [f32]) = dot_rows_bf16_body
}
versions! {
    /// bf16 as float32, exactly.
    pub fn widen(bits: &[u16], out: &mut [f32]) = widen_body
}
versions! {
    /// Sum of squares, in f64: hidden states may be larger than the root of the largest f32.
    pub fn sum_of_squares(x: &[f32]) -> f64 = sum_of_squares_body
}
versions! {
    /// `y[i] = (x[i] * factor) * w[i]`.
    pub fn scale_by(x: &[f32], factor: f32, w: &[f32], y: &mut [f32]) = scale_by_body
}
versions! {
    /// `y[i] += x[i]`.
    pub fn add(y: &mut [f32], x: &[f32]) = add_body
}
versions! {
    /// `gate[i] = max(gate[i], 0)^2 * up[i]`.
    pub fn relu2(gate: &mut [f32], up: &[f32]) = relu2_body
}
versions! {
    /// Probabilities from scores, in place: `exp(s - max) / sum`. A score of minus infinity gives 0.
    pub fn softmax(scores: &mut [f32]) -> Peak = softmax_body
}
versions! {
    /// `y[i] = a * y[i] + b * x[i]`, both products rounded before they are added.
    pub fn mix(y: &mut [f32], a: f32, x: &[f32], b: f32) = mix_body
}
versions! {
    /// float32 as bf16, to the nearest, ties to even. A NaN stays one.
    pub fn narrow(x: &[f32], bits: &mut [u16]) = narrow_body
}
versions! {
    /// Rotates pairs `(low[i], high[i])` by angles given as `(cos, sin)`.
    pub fn rotate(low: &mut [f32], high: &mut [f32], angles: &[(f32, f32)]) = rotate_body
}
versions! {
    /// Sum of int8 values, exact.
    pub fn sum_i8(q: &[i8]) -> i32 = sum_i8_body
}
versions! {
    /// `sums[i]` becomes the bits of `sums[i] as f32 * factors[i % factors.len()]`.
    pub fn finish(sums: &mut [i32], factors: &[f32]) = finish_body
}
versions! {
    /// The activation quantiser of one token; returns the scale, or `None` where a value is NaN or
    /// infinite.
    ///
    /// `m = max(max |x|, fl(1e-5))`, `s = fl(fl(1/m) * 127)`,
    /// `q = clamp(round-half-even(fl(x * s)), -128, 127)`.
    pub fn quantize(x: &[f32], q: &mut [i8]) -> Option<f32> = quantize_body
}

/// What a [`softmax`] divided by, so that it can be joined with that of other scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// The largest score.
    pub max: f32,
    /// Sum of `exp(s - max)`.
    pub sum: f32,
}

/// The sum of all lanes.
#[inline(always)]
pub(crate) fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn reduce<A: Copy, B: Copy>(a: &[A], b: &[B], product: impl Fn(A, B) -> f32) -> f32 {
    assert_eq!(
        a.len(),
        b.len(),
        "a dot product takes vectors of one length"
    );
    let mut lanes = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a.remainder(), b.remainder());
    for (a, b) in a.zip(b) {
        // `a` is the side that streams from memory: rows of the head, cached keys.
        prefetch::in_two_steps(a.as_ptr().cast());
        for i in 0..LANES {
            lanes[i] += product(a[i], b[i]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += product(a, b);
    }
    fold(lanes)
}

#[inline(always)]
fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    reduce(a, b, |a, b| a * b)
}

#[inline(always)]
fn dot_rows_body(rows: &[f32], x: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(x.len()).zip(out) {
        *out = reduce(row, x, |a, b| a * b);
    }
}

#[inline(always)]
fn dot_rows_bf16_body(rows: &[u16], x: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(x.len()).zip(out) {
        *out = reduce(row, x, |a, b| f32::from_bits(u32::from(a) << 16) * b);
    }
}

#[inline(always)]
fn widen_body(bits: &[u16], out: &mut [f32]) {
    for (out, &bits) in out.iter_mut().zip(bits) {
        *out = f32::from_bits(u32::from(bits) << 16);
    }
}

#[inline(always)]
fn sum_of_squares_body(x: &[f32]) -> f64 {
    let mut lanes = [0f64; LANES];
    let square = |x: f32| f64::from(x) * f64::from(x);
    // Whole chunks apart, here and below: only with a known length do the lanes stay in registers.
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += square(chunk[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += square(x);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn scale_by_body(x: &[f32], factor: f32, w: &[f32], y: &mut [f32]) {
    for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
        *y = (x * factor) * w;
    }
}

#[inline(always)]
fn add_body(y: &mut [f32], x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

#[inline(always)]
fn relu2_body(gate: &mut [f32], up: &[f32]) {
    for (g, &u) in gate.iter_mut().zip(up) {
        let positive = if *g < 0.0 { 0.0 } else { *g };
        *g = positive * positive * u;
    }
}

#[inline(always)]
fn rotate_body(low: &mut [f32], high: &mut [f32], angles: &[(f32, f32)]) {
    for ((a, b), &(cos, sin)) in low.iter_mut().zip(high).zip(angles) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

#[inline(always)]
fn sum_i8_body(q: &[i8]) -> i32 {
    q.iter().map(|&q| i32::from(q)).sum()
}

#[inline(always)]
fn finish_body(sums: &mut [i32], factors: &[f32]) {
    let scale = |sum: &mut i32, factor: f32| *sum = (*sum as f32 * factor).to_bits() as i32;
    if let [factor] = *factors {
        sums.iter_mut().for_each(|sum| scale(sum, factor));
        return;
    }
    for sums in sums.chunks_mut(factors.len()) {
        for (sum, &factor) in sums.iter_mut().zip(factors) {
            scale(sum, factor);
        }
    }
}

#[inline(always)]
fn mix_body(y: &mut [f32], a: f32, x: &[f32], b: f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = a * *y + b * x;
    }
}

#[inline(always)]
fn narrow_body(x: &[f32], bits: &mut [u16]) {
    for (out, x) in bits.iter_mut().zip(x) {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        *out = if x.is_nan() { 0x7fc0 } else { rounded as u16 };
    }
}

#[inline(always)]
fn softmax_body(scores: &mut [f32]) -> Peak {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    let max = lanes
        .into_iter()
        .chain(rest.iter().copied())
        .fold(f32::NEG_INFINITY, larger);
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = exp_of_non_positive(chunk[i] - max);
            lanes[i] += chunk[i];
        }
    }
    for (lane, s) in lanes.iter_mut().zip(rest) {
        *s = exp_of_non_positive(*s - max);
        *lane += *s;
    }
    let sum = fold(lanes);
    for s in scores {
        *s /= sum;
    }
    Peak { max, sum }
}

/// `exp(x)` for `x <= 0`: `2^n * exp(r)` with `|r| <= ln(2) / 2` and the Taylor polynomial of
/// degree 7 for `exp(r)`, whose remainder (5e-9 relative) is below f32 rounding. 0 below -87.
#[inline(always)]
pub(crate) fn exp_of_non_positive(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4; // ln 2 to 10 bits, so that n * LN2_HIGH is exact
    const LN2_LOW: f32 = (std::f64::consts::LN_2 - LN2_HIGH as f64) as f32;
    // Not `max`, which would hide a NaN.
    let above = if x < -87.0 { -87.0 } else { x };
    let shifted = above * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (above - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.0 / 5040.0;
    for c in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = p * r + c;
    }
    // The lowest bits of a sum with `MAGIC` are the whole number, without a cast.
    let power = f32::from_bits((shifted.to_bits().wrapping_add(127)) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

/// 1.5 * 2^23: floats about it are one apart, so that the sum of it and a `|y| < 2^22` has no bits
/// left for a fraction, and is rounded to a whole number, ties to even, as IEEE 754 says.
const MAGIC: f32 = 12_582_912.0;

#[inline(always)]
fn quantize_body(x: &[f32], q: &mut [i8]) -> Option<f32> {
    // Magnitudes order like their bits; NaN and infinity come last.
    const INFINITE: u32 = 0x7f80_0000;
    let largest = x.iter().fold(0u32, |m, x| m.max(x.to_bits() & 0x7fff_ffff));
    if largest >= INFINITE {
        return None;
    }
    let m = f32::from_bits(largest).max(1e-5);
    let scale = (1.0 / m) * 127.0;
    for (q, &x) in q.iter_mut().zip(x) {
        // A whole number plus `MAGIC` has that number, in two's complement, in its lowest bits: a
        // cast would take care of what no float here can be, one value at a time.
        *q = ((x * scale).clamp(-128.0, 127.0) + MAGIC).to_bits() as i8;
    }
    Some(scale)
}
