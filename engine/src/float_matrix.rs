//! Embedding and output head in memory.

use std::ops::Range;

use crate::checkpoint::Floats;
use crate::float;

/// A dense matrix of real numbers, `rows` x `cols`, row-major, in the width that the source has.
#[derive(Clone)]
pub struct FloatMatrix {
    values: Floats,
    cols: usize,
}

impl FloatMatrix {
    /// Takes `values`, row-major.
    ///
    /// # Panics
    /// When they are not whole rows of `cols`.
    pub fn new(values: Floats, cols: usize) -> Self {
        assert!(
            cols > 0 && values.len().is_multiple_of(cols),
            "whole rows only"
        );
        Self { values, cols }
    }

    /// All of it, row-major.
    pub(crate) fn values(&self) -> &Floats {
        &self.values
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.values.bytes()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.cols
    }

    /// Values a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Writes row `n` as float32.
    pub fn read(&self, n: usize, out: &mut [f32]) {
        let row = n * self.cols..(n + 1) * self.cols;
        match &self.values {
            Floats::Bf16(bits) => float::widen(&bits[row], out),
            Floats::F32(values) => out.copy_from_slice(&values[row]),
        }
    }

    /// `out[i]` is the dot product of row `range.start + i` and `x`, in the order of [`float::dot`].
    pub fn dot_rows(&self, range: Range<usize>, x: &[f32], out: &mut [f32]) {
        let values = range.start * self.cols..range.end * self.cols;
        match &self.values {
            Floats::Bf16(bits) => float::dot_rows_bf16(&bits[values], x, out),
            Floats::F32(floats) => float::dot_rows(&floats[values], x, out),
        }
    }
}
