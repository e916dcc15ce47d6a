//! Embedding and output head in memory.

use std::ops::Range;

use crate::aligned::Aligned;
use crate::checkpoint::Floats;
use crate::float;

/// A dense matrix of real numbers, `rows` x `cols`, row-major, in the width that the source has.
#[derive(Clone)]
pub struct FloatMatrix {
    values: Aligned,
    width: Width,
    cols: usize,
}

#[derive(Clone, Copy)]
enum Width {
    Bf16,
    F32,
}

impl FloatMatrix {
    /// Moves `values`, row-major, to where a stream of them is read fastest.
    ///
    /// # Panics
    /// When they are not whole rows of `cols`.
    pub fn new(values: &Floats, cols: usize) -> Self {
        assert!(
            cols > 0 && values.len().is_multiple_of(cols),
            "whole rows only"
        );
        let mut aligned = Aligned::zeroed(values.bytes());
        let width = match values {
            Floats::Bf16(bits) => {
                aligned.as_mut_slice().copy_from_slice(bits);
                Width::Bf16
            }
            Floats::F32(values) => {
                aligned.as_mut_slice().copy_from_slice(values);
                Width::F32
            }
        };
        Self {
            values: aligned,
            width,
            cols,
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.values.len()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        let width = match self.width {
            Width::Bf16 => size_of::<u16>(),
            Width::F32 => size_of::<f32>(),
        };
        self.values.len() / (self.cols * width)
    }

    /// Values a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Writes row `n` as float32.
    pub fn read(&self, n: usize, out: &mut [f32]) {
        let row = n * self.cols..(n + 1) * self.cols;
        match self.width {
            Width::Bf16 => float::widen(&self.values.as_slice()[row], out),
            Width::F32 => out.copy_from_slice(&self.values.as_slice()[row]),
        }
    }

    /// `out[i]` is the dot product of row `range.start + i` and `x`, in the order of [`float::dot`].
    pub fn dot_rows(&self, range: Range<usize>, x: &[f32], out: &mut [f32]) {
        let values = range.start * self.cols..range.end * self.cols;
        match self.width {
            Width::Bf16 => float::dot_rows_bf16(&self.values.as_slice()[values], x, out),
            Width::F32 => float::dot_rows(&self.values.as_slice()[values], x, out),
        }
    }
}
