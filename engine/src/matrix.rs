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

/// A piece that a thread takes has about so many times the rows that are worth a call: what is made
/// anew then costs little, and others can still take over from a thread that has lost its core.
const PIECE: usize = 4;

/// Turns the sums of a range of rows into floats: `(rows, sums, out)`, `sums` and `out` as
/// [`Matrix::sums`] has them.
pub type Finish<'a> = dyn Fn(Range<usize>, &[i32], &mut [f32]) + Sync + 'a;

/// Places of so many bytes each, one after the other from a line on, and the bytes of all.
pub(crate) fn side_by_side<const M: usize>(bytes: [usize; M]) -> ([Range<usize>; M], usize) {
    let mut end = 0;
    let places = bytes.map(|bytes| {
        let start = end;
        end = (start + bytes).next_multiple_of(aligned::LINE);
        start..start + bytes
    });
    (places, end)
}

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
    pub fn gather<const M: usize>(mut matrices: [&mut Matrix; M]) {
        let (places, end) = side_by_side(matrices.each_ref().map(|m| m.bytes()));
        let mut memory = Aligned::zeroed(end);
        for (matrix, place) in matrices.iter_mut().zip(places) {
            memory.as_mut_slice::<u8>()[place.clone()].copy_from_slice(matrix.weights());
            // Lets go of the old memory, so that never all weights are there twice.
            matrix.memory = Arc::default();
            matrix.weights = place;
        }
        let memory = Arc::new(memory);
        for matrix in matrices {
            matrix.memory = Arc::clone(&memory);
        }
    }

    /// The matrix whose weights, packed for `kernel`, are a part of `memory`.
    pub(crate) fn within(
        kernel: Kernel,
        (rows, cols): (usize, usize),
        memory: &Arc<Aligned>,
        weights: Range<usize>,
    ) -> Self {
        Self {
            kernel,
            rows,
            cols,
            memory: Arc::clone(memory),
            weights,
        }
    }

    /// What holds the weights, beside those of others after [`Matrix::gather`].
    pub(crate) fn memory(&self) -> &[u8] {
        self.memory.as_slice()
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

    /// Rows of the smallest piece: a tile. Where the kernel makes something anew in each call, a
    /// thread's share in pieces of equal size, each several times what is worth that; unless the
    /// share itself is not, when the kernel can do without.
    fn grain(&self, tokens: usize, threads: usize) -> usize {
        let spec = self.kernel.spec();
        let (tile, worth) = (spec.tile(), spec.rows_of_a_call(tokens));
        let share = self.rows / threads;
        if threads == 1 || worth == 0 || share < worth {
            return tile;
        }
        let pieces = threads * (share / (PIECE * worth)).max(1);
        self.rows.div_ceil(pieces).next_multiple_of(tile)
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
            grain: self.grain(tokens, scheduler.threads()),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Some kernel of this machine makes something anew in each call, or none does.
    #[test]
    fn pieces_are_worth_a_call_and_occupy_all_threads() {
        for kernel in crate::kernels::available() {
            let (spec, tile) = (kernel.spec(), kernel.spec().tile());
            for rows in [64, 2560, 3840, 13824] {
                let matrix = Matrix::pack(kernel, &Trits::new(rows, 4, vec![1; rows * 4]).unwrap());
                for tokens in [1, 32] {
                    let worth = spec.rows_of_a_call(tokens);
                    assert!(tokens > 1 || worth == 0, "{}", spec.name());
                    for threads in [1, 2, 3, 16] {
                        let grain = matrix.grain(tokens, threads);
                        let seen = format!("{} {rows} {tokens} {threads}: {grain}", spec.name());
                        assert!(grain.is_multiple_of(tile), "{seen}");
                        if worth == 0 || threads == 1 || rows / threads < worth {
                            assert_eq!(grain, tile, "{seen}");
                        } else {
                            assert!(grain >= worth, "{seen}");
                            assert!(rows.div_ceil(grain) >= threads, "{seen}");
                        }
                    }
                }
            }
        }
    }
}
