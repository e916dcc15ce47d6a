//! The head's input in integers, and what they leave of it.

use super::dot::{Halves, halves};
use super::plane::padded;
use crate::buffer::Buffer;
use crate::float::LANES;

/// The largest integer, where the sum with codes allows it: both halves multiply in int8.
const LARGEST: usize = (1 << 14) - 1;

/// What rounding in f64, in the estimates kept as float32 and in the norms adds to a bound, in
/// norms of row and input: thousands of times more than it can be.
const SLACK: f64 = 1.0 / (1 << 20) as f64;

/// An input `x` as `step * values`, with a remainder; and the bounds of what a product with it can
/// be off by, as [`super`] derives them.
#[derive(Default)]
pub(super) struct Input {
    values: Halves<Buffer<i8>>,
    step: f64,
    sum: i64,
    /// Norm of `x`.
    size: f64,
    /// What a bound takes for each unit of what is left of a row, of a row's norm, and in any case.
    of_rest: f64,
    of_norm: f64,
    least: f64,
}

impl Input {
    /// Takes `x`.
    pub fn set(&mut self, x: &[f32]) {
        let cols = x.len();
        // Codes are at most 15, so that every sum of products is an int32.
        let largest = (i32::MAX as usize / (15 * cols)).min(LARGEST) as f64;
        let max = x.iter().fold(0f32, |m, x| m.max(x.abs()));
        self.step = f64::from(max) / largest;
        let inverse = if max == 0.0 { 0.0 } else { self.step.recip() };
        let Halves { high, low } = &mut self.values;
        for half in [&mut *high, &mut *low] {
            half.resize(padded(cols, 2));
            half[cols..].fill(0);
        }
        let (mut sum, mut size, mut rest) = (0, 0.0, 0.0);
        for ((high, low), &x) in high.iter_mut().zip(low.iter_mut()).zip(x) {
            let x = f64::from(x);
            let integer = (x * inverse).round_ties_even();
            let value = integer as i16;
            (*high, *low) = (halves(value).high, halves(value).low);
            sum += i64::from(value);
            size += x * x;
            let left = x - integer * self.step;
            rest += left * left;
        }
        self.sum = sum;
        self.size = size.sqrt();
        let rest = rest.sqrt();
        let roundings = (cols.div_ceil(LANES) + 6) as f64;
        let unit = f64::from(f32::EPSILON) / 2.0;
        let rounding = roundings * unit / (1.0 - roundings * unit).max(0.0);
        self.of_rest = self.size + rest;
        self.of_norm = rest + rounding * self.size + SLACK * self.of_rest;
        self.least = (cols + 2) as f64 * 2f64.powi(-149);
    }

    /// The integers, padded with zeros.
    pub fn values(&self) -> Halves<&[i8]> {
        Halves {
            high: &self.values.high,
            low: &self.values.low,
        }
    }

    /// What an integer stands for.
    #[inline(always)]
    pub fn step(&self) -> f64 {
        self.step
    }

    /// The sum of the integers.
    pub fn sum(&self) -> f64 {
        self.sum as f64
    }

    /// Whether all is finite, and no sum with a row of this norm comes near the largest float32.
    pub fn stays_finite(&self, norm: f32) -> bool {
        f64::from(norm) * self.size < 2f64.powi(120)
    }

    /// How far the float32 product with a row of norm `norm` can be from its estimate, when the
    /// estimate leaves `rest` of the row.
    #[inline(always)]
    pub fn radius(&self, norm: f32, rest: f32) -> f64 {
        f64::from(rest) * self.of_rest + f64::from(norm) * self.of_norm + self.least
    }
}
