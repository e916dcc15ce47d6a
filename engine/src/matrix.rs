//! Packed ternary matrices, each with the one kernel that can read it.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use crate::aligned::{self, Aligned};
use crate::buffer::Buffer;
use crate::input::Input;
use crate::kernels::{Kernel, Operands};
use crate::threads::{Scheduler, Work};
use crate::trits::Trits;

/// Sums that are formed before they are scaled and written out: rows enough a call for kernels
/// that make tables for all of them (4096 at 32 tokens), few enough for the second-level cache.
const BLOCK: usize = 128 << 10;

/// Turns the sums of a range of rows into floats: `(rows, sums, out)`, `sums` and `out` as
/// [`Matrix::sums`] has them.
pub type Finish<'a> = dyn Fn(Range<usize>, &[i32], &mut [f32]) + Sync + 'a;

/// An N x K ternary matrix in the layout of the kernel that it owns.
pub struct Matrix {
    kernel: Kernel,
    rows: usize,
    cols: usize,
    /// Holds the weights, beside those of others after [`Matrix::gather`].
    memory: Arc<Aligned>,
    weights: Range<usize>,
}

/// A clone has memory of its own.
impl Clone for Matrix {
    fn clone(&self) -> Self {
        let memory = Aligned::from(self.weights());
        Self {
            weights: 0..memory.len(),
            memory: Arc::new(memory),
            ..*self
        }
    }
}

impl Matrix {
    /// Packs `trits` for `kernel`.
    pub fn pack(kernel: Kernel, trits: &Trits) -> Self {
        let memory = kernel.pack(trits);
        Self {
            kernel,
            rows: trits.rows(),
            cols: trits.cols(),
            weights: 0..memory.len(),
            memory: Arc::new(memory),
        }
    }

    /// Moves the weights of matrices that are read one after the other next to each other.
    pub fn gather<const M: usize>(matrices: [&mut Matrix; M]) {
        let mut end = 0;
        let places = matrices.each_ref().map(|m| {
            let start = end;
            end = (start + m.bytes()).next_multiple_of(aligned::LINE);
            start..start + m.bytes()
        });
        let mut memory = Aligned::zeroed(end);
        for (matrix, place) in matrices.iter().zip(&places) {
            memory.as_mut_slice::<u8>()[place.clone()].copy_from_slice(matrix.weights());
        }
        let memory = Arc::new(memory);
        for (matrix, place) in matrices.into_iter().zip(places) {
            matrix.memory = Arc::clone(&memory);
            matrix.weights = place;
        }
    }

    fn weights(&self) -> &[u8] {
        &self.memory.as_slice()[self.weights.clone()]
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
            weights: self.weights(),
            rows: self.rows,
            cols: self.cols,
            quantized,
            tables,
        };
        self.kernel.rows(&operands, range, out);
    }

    /// The product, its sums turned into floats by `finish`: `out[n * tokens + t]`.
    ///
    /// Allocates only when a thread first sees so many tokens.
    pub fn product(
        &self,
        input: &Input,
        scheduler: &dyn Scheduler,
        out: &mut [f32],
        finish: &Finish<'_>,
    ) {
        thread_local! {
            static SUMS: RefCell<Buffer<i32>> = RefCell::default();
        }
        let tokens = input.quantized().tokens();
        let tile = self.kernel.spec().tile();
        let step = (BLOCK / tokens / tile).max(1) * tile;
        let bytes = self.bytes() / self.rows;
        let work = Work {
            out,
            width: tokens,
            grain: tile,
            bytes,
        };
        scheduler.run(work, &|range, out| {
            SUMS.with_borrow_mut(|sums| {
                for (start, out) in range
                    .clone()
                    .step_by(step)
                    .zip(out.chunks_mut(step * tokens))
                {
                    let rows = start..(start + step).min(range.end);
                    sums.resize(out.len());
                    self.sums(input, rows.clone(), sums);
                    finish(rows, sums, out);
                }
            });
        });
    }
}
