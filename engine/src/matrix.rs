//! Packed ternary matrices, each with the one kernel that can read it.

use std::ops::Range;

use crate::aligned::Aligned;
use crate::input::Input;
use crate::kernels::{Kernel, Operands};
use crate::threads::{Scheduler, Work};
use crate::trits::Trits;

/// Sums that a task keeps on its stack before they are scaled and written out.
const BLOCK: usize = 2048;

/// An N x K ternary matrix in the layout of the kernel that it owns.
pub struct Matrix {
    kernel: Kernel,
    rows: usize,
    cols: usize,
    weights: Aligned,
}

impl Matrix {
    /// Packs `trits` for `kernel`.
    pub fn pack(kernel: Kernel, trits: &Trits) -> Self {
        Self {
            kernel,
            rows: trits.rows(),
            cols: trits.cols(),
            weights: kernel.pack(trits),
        }
    }

    /// N, the number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// K, the number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The kernel that reads it.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Bytes in memory, padding included.
    pub fn bytes(&self) -> usize {
        self.weights.len()
    }

    /// The exact sums of rows `range`: `out[(n - range.start) * tokens + t]`.
    ///
    /// # Panics
    /// When `input` was not prepared for this matrix's kernel or is not K wide, or `range` does
    /// not begin at a multiple of the kernel's tile, exceeds the rows, or does not fit `out`.
    pub fn sums(&self, input: &Input, range: Range<usize>, out: &mut [i32]) {
        let quantized = input.quantized();
        let tile = self.kernel.spec().tile();
        assert_eq!(
            quantized.cols(),
            self.cols,
            "the input must be as wide as the matrix"
        );
        assert!(
            range.start.is_multiple_of(tile),
            "a range of rows begins at a tile"
        );
        assert!(range.end <= self.rows, "rows {range:?} of {}", self.rows);
        assert_eq!(
            out.len(),
            range.len() * quantized.tokens(),
            "one sum a row and token"
        );
        let tables = input
            .tables(self.kernel)
            .expect("an input prepared for this kernel");
        let operands = Operands {
            weights: self.weights.as_slice(),
            rows: self.rows,
            cols: self.cols,
            quantized,
            tables,
        };
        self.kernel.rows(&operands, range, out);
    }

    /// The product, each sum turned into a float by `finish(row, token, sum)`:
    /// `out[n * tokens + t]`.
    pub fn product(
        &self,
        input: &Input,
        scheduler: &dyn Scheduler,
        out: &mut [f32],
        finish: &(dyn Fn(Range<usize>, &[i32], &mut [f32]) + Sync),
    ) {
        let tokens = input.quantized().tokens();
        let tile = self.kernel.spec().tile();
        let step = (BLOCK / tokens / tile).max(1) * tile;
        let work = Work {
            out,
            width: tokens,
            grain: tile,
            bytes: self.bytes() / self.rows,
        };
        scheduler.run(work, &|range, out| {
            let mut sums = [0i32; BLOCK];
            let mut large = Vec::new();
            for (start, out) in range
                .clone()
                .step_by(step)
                .zip(out.chunks_mut(step * tokens))
            {
                let rows = start..(start + step).min(range.end);
                let sums = match sums.get_mut(..out.len()) {
                    Some(sums) => sums,
                    None => {
                        large.resize(out.len(), 0);
                        &mut large[..]
                    }
                };
                self.sums(input, rows.clone(), sums);
                finish(rows, sums, out);
            }
        });
    }
}
