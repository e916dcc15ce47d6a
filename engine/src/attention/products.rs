//! Scores and weighted values of up to [`QUERIES`] query heads that share a key/value head: what is
//! cached is read once for all of them.
//!
//! A score is [`float::dot`] of key and query, and a weighted value the sum over positions one after
//! another; neither depends on how many queries are taken together.

use super::cache::Rows;
use crate::float::{LANES, fold, versions};
use crate::prefetch;

/// Queries that are taken together at most.
pub(super) const QUERIES: usize = 4;

/// Positions whose values stay in the first-level cache while all columns are summed.
const BLOCK: usize = 16;

/// A number of a cache, as the float that it is, up to the row's step.
trait Number: Copy {
    fn wide(self) -> f32;
}

impl Number for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

/// bf16.
impl Number for u16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }
}

impl Number for i8 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from(self)
    }
}

/// `scores[q][p] = (keys[p] . queries[q]) * scale`; `queries` is `[q][d]`.
pub(super) fn scores(keys: Rows<'_>, queries: &[f32], d: usize, scale: f32, scores: &mut [f32]) {
    match keys {
        Rows::F32(keys) => dots_f32(keys, queries, d, scores),
        Rows::Bf16(keys) => dots_bf16(keys, queries, d, scores),
        Rows::Int8 { numbers, steps } => {
            dots_int8(numbers, queries, d, scores);
            for scores in scores.chunks_exact_mut(steps.len()) {
                scores
                    .iter_mut()
                    .zip(steps)
                    .for_each(|(s, step)| *s *= step);
            }
        }
    }
    scores.iter_mut().for_each(|s| *s *= scale);
}

/// `out[q][..d] = sum over p of weights[q][p] * values[p]`, the first `d` of each `width` numbers.
/// `weights` hold anything afterwards.
pub(super) fn weigh(
    values: Rows<'_>,
    weights: &mut [f32],
    d: usize,
    width: usize,
    out: &mut [f32],
) {
    match values {
        Rows::F32(values) => sums_f32(values, weights, d, width, out),
        Rows::Bf16(values) => sums_bf16(values, weights, d, width, out),
        Rows::Int8 { numbers, steps } => {
            for weights in weights.chunks_exact_mut(steps.len()) {
                weights
                    .iter_mut()
                    .zip(steps)
                    .for_each(|(w, step)| *w *= step);
            }
            sums_int8(numbers, weights, d, width, out);
        }
    }
}

versions! {
    fn dots_f32(rows: &[f32], queries: &[f32], d: usize, out: &mut [f32]) = dots
}
versions! {
    fn dots_bf16(rows: &[u16], queries: &[f32], d: usize, out: &mut [f32]) = dots
}
versions! {
    fn dots_int8(rows: &[i8], queries: &[f32], d: usize, out: &mut [f32]) = dots
}
versions! {
    fn sums_f32(rows: &[f32], weights: &[f32], d: usize, width: usize, out: &mut [f32]) = sums
}
versions! {
    fn sums_bf16(rows: &[u16], weights: &[f32], d: usize, width: usize, out: &mut [f32]) = sums
}
versions! {
    fn sums_int8(rows: &[i8], weights: &[f32], d: usize, width: usize, out: &mut [f32]) = sums
}

#[inline(always)]
fn dots<T: Number>(rows: &[T], queries: &[f32], d: usize, out: &mut [f32]) {
    match queries.len() / d {
        4 => dots_of::<T, 4>(rows, queries, d, out),
        3 => dots_of::<T, 3>(rows, queries, d, out),
        2 => dots_of::<T, 2>(rows, queries, d, out),
        _ => dots_of::<T, 1>(rows, queries, d, out),
    }
}

#[inline(always)]
fn dots_of<T: Number, const Q: usize>(rows: &[T], queries: &[f32], d: usize, out: &mut [f32]) {
    let positions = rows.len() / d;
    assert!(queries.len() == Q * d && out.len() == Q * positions);
    for (p, row) in rows.chunks_exact(d).enumerate() {
        let mut lanes = [[0f32; LANES]; Q];
        let (chunks, rest) = row.as_chunks::<LANES>();
        for (c, chunk) in chunks.iter().enumerate() {
            prefetch::in_two_steps(chunk.as_ptr().cast());
            let mut wide = [0f32; LANES];
            for i in 0..LANES {
                wide[i] = chunk[i].wide();
            }
            for q in 0..Q {
                let query = &queries[q * d + c * LANES..][..LANES];
                for i in 0..LANES {
                    lanes[q][i] += wide[i] * query[i];
                }
            }
        }
        if !rest.is_empty() {
            // A running sum is never -0, so that adding 0 changes nothing.
            let mut wide = [0f32; LANES];
            wide.iter_mut().zip(rest).for_each(|(w, r)| *w = r.wide());
            for q in 0..Q {
                let mut query = [0f32; LANES];
                query[..rest.len()]
                    .copy_from_slice(&queries[(q + 1) * d - rest.len()..][..rest.len()]);
                for i in 0..LANES {
                    lanes[q][i] += wide[i] * query[i];
                }
            }
        }
        for q in 0..Q {
            out[q * positions + p] = fold(lanes[q]);
        }
    }
}

#[inline(always)]
fn sums<T: Number>(rows: &[T], weights: &[f32], d: usize, width: usize, out: &mut [f32]) {
    match out.len() / width {
        4 => sums_of::<T, 4>(rows, weights, d, width, out),
        3 => sums_of::<T, 3>(rows, weights, d, width, out),
        2 => sums_of::<T, 2>(rows, weights, d, width, out),
        _ => sums_of::<T, 1>(rows, weights, d, width, out),
    }
}

#[inline(always)]
fn sums_of<T: Number, const Q: usize>(
    rows: &[T],
    weights: &[f32],
    d: usize,
    width: usize,
    out: &mut [f32],
) {
    let positions = rows.len() / d;
    assert!(weights.len() == Q * positions && out.len() == Q * width);
    for out in out.chunks_exact_mut(width) {
        out[..d].fill(0.0);
    }
    let whole = d / LANES * LANES;
    for (block, rows) in rows.chunks(BLOCK * d).enumerate() {
        let first = block * BLOCK;
        for column in (0..whole).step_by(LANES) {
            let mut lanes = [[0f32; LANES]; Q];
            for q in 0..Q {
                lanes[q].copy_from_slice(&out[q * width + column..][..LANES]);
            }
            for (p, row) in rows.chunks_exact(d).enumerate() {
                let row = &row[column..][..LANES];
                prefetch::in_two_steps(row.as_ptr().cast());
                for q in 0..Q {
                    let weight = weights[q * positions + first + p];
                    for i in 0..LANES {
                        lanes[q][i] += weight * row[i].wide();
                    }
                }
            }
            for q in 0..Q {
                out[q * width + column..][..LANES].copy_from_slice(&lanes[q]);
            }
        }
        for (p, row) in rows.chunks_exact(d).enumerate() {
            for q in 0..Q {
                let weight = weights[q * positions + first + p];
                let out = &mut out[q * width + whole..q * width + d];
                for (out, value) in out.iter_mut().zip(&row[whole..]) {
                    *out += weight * value.wide();
                }
            }
        }
    }
}
