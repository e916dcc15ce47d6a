//! Packed ternary matrices, each with the one kernel that can read it.

use std::ops::Range;
use std::sync::Arc;

use crate::aligned::{self, Aligned};
use crate::checkpoint::WeightScale;
use crate::float;
use crate::input::Input;
use crate::kernels::{Kernel, Operands};
use crate::threads::{Scheduler, Work};
use crate::tiled::{self, Tiled};
use crate::trits::Trits;

/// Sums that are formed before they are scaled: rows enough a call for kernels that make tables for
/// all of them (4096 at 64 tokens), few enough for the second-level cache.
const BLOCK: usize = 256 << 10;

/// A piece that a thread takes has about so many times the rows that are worth a call: what is made
/// anew then costs little, and others can still take over from a thread that has lost its core.
const PIECE: usize = 4;

/// What turns the sums of a product into floats.
#[derive(Clone, Copy)]
pub struct Scaling<'a> {
    /// Rows that have factors in common: how many, one part after the other.
    pub parts: &'a [(usize, WeightScale)],
    /// `[part][token]`
    pub factors: &'a [f32],
}

impl<'a> Scaling<'a> {
    /// The rows that are scaled like `row`, itself among them, and the factor of each token.
    pub(crate) fn of(self, row: usize) -> (Range<usize>, &'a [f32]) {
        let tokens = self.factors.len() / self.parts.len();
        let mut end = 0;
        for (part, &(rows, _)) in self.parts.iter().enumerate() {
            end += rows;
            if row < end {
                return (end - rows..end, &self.factors[part * tokens..][..tokens]);
            }
        }
        panic!("row {row} of {end}");
    }
}

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
    /// Packs `trits` for `kernel`. Where there is no memory for it the process ends, as with `Vec`.
    pub fn pack(kernel: Kernel, trits: &Trits) -> Self {
        let memory = kernel.spec().pack(trits);
        Self {
            kernel,
            rows: trits.rows(),
            cols: trits.cols(),
            weights: 0..memory.len(),
            memory: Arc::new(memory),
        }
    }

    /// Moves the weights of matrices that are read one after the other next to each other. Where there
    /// is no memory for it the process ends, as with `Vec`.
    pub fn gather<const M: usize>(matrices: [&mut Matrix; M]) {
        Self::try_gather(matrices).unwrap_or_else(|bytes| aligned::no_memory(bytes));
    }

    /// As [`Matrix::gather`], or the bytes that there is no memory for.
    pub(crate) fn try_gather<const M: usize>(mut matrices: [&mut Matrix; M]) -> Result<(), usize> {
        let (places, end) = side_by_side(matrices.each_ref().map(|m| m.bytes()));
        let mut memory = Aligned::try_zeroed(end).ok_or(end)?;
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
        Ok(())
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
        self.rows_of(input, range, None, out);
    }

    /// The sums, or the bits of floats where there is a `scaling`.
    fn rows_of(
        &self,
        input: &Input,
        range: Range<usize>,
        scaling: Option<Scaling<'_>>,
        out: &mut [i32],
    ) {
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
            scaling,
        };
        self.kernel.rows(&operands, range, out);
    }

    /// Rows of the smallest piece: a tile. Where the kernel makes something anew in each call, a
    /// thread's share in pieces of equal size, each several times what is worth that; unless the
    /// share itself is not, when the kernel can do without.
    fn grain(&self, tokens: usize, threads: usize) -> usize {
        let spec = self.kernel.spec();
        let (tile, worth) = (self.tile(tokens), spec.rows_of_a_call(tokens));
        let share = self.rows / threads;
        if threads == 1 || worth == 0 || share < worth {
            return tile;
        }
        let pieces = threads * (share / (PIECE * worth)).max(1);
        self.rows.div_ceil(pieces).next_multiple_of(tile)
    }

    /// Tells `scheduler` that the product of one token follows.
    pub fn announce(&self, scheduler: &dyn Scheduler) {
        let grain = self.grain(1, scheduler.threads());
        scheduler.announce(self.weights(), self.rows, grain);
    }

    /// The product, scaled: `sum as f32 * factor`.
    ///
    /// # Panics
    /// As [`Matrix::sums`].
    pub fn product(
        &self,
        input: &Input,
        scheduler: &dyn Scheduler,
        product: &mut Tiled,
        scaling: Scaling<'_>,
    ) {
        let tokens = input.quantized().tokens();
        let work = Work {
            out: product.resize(tokens, self.rows),
            width: tokens,
            grain: self.grain(tokens, scheduler.threads()),
            bytes: self.bytes() / self.rows,
        };
        scheduler.run(work, &|range, out| self.scaled(input, range, out, scaling));
    }

    /// The product, scaled, of a range of rows.
    ///
    /// Sums are formed where the floats will stand, so that memory that is in no cache yet is
    /// written to among the products, which hide what that takes.
    fn scaled(&self, input: &Input, range: Range<usize>, out: &mut [f32], scaling: Scaling<'_>) {
        let tokens = input.quantized().tokens();
        let sums: &mut [i32] = bytemuck::cast_slice_mut(out);
        if tokens > 1 && self.kernel.spec().scales() && self.parts_are_tiles(scaling) {
            return self.rows_of(input, range, Some(scaling), sums);
        }
        let tile = self.tile(tokens);
        let step = (BLOCK / tokens / tile).max(1) * tile;
        // Made once a call, whose sums take far longer.
        let mut room = match tokens {
            1 => Vec::new(),
            _ => vec![0.0; tiled::TILE * tokens],
        };
        let starts = range.clone().step_by(step);
        for (start, sums) in starts.zip(sums.chunks_mut(step * tokens)) {
            let rows = start..(start + step).min(range.end);
            self.sums(input, rows.clone(), sums);
            let (mut rest, mut start) = (&mut *sums, rows.start);
            while start < rows.end {
                let (alike, factors) = scaling.of(start);
                let part = start..alike.end.min(rows.end);
                start = part.end;
                let here;
                (here, rest) = rest.split_at_mut(part.len() * tokens);
                float::finish(here, factors);
            }
            if tokens > 1 {
                let floats: &mut [f32] = bytemuck::cast_slice_mut(sums);
                for tile in floats.chunks_mut(tiled::TILE * tokens) {
                    tiled::turn(tile, tokens, &mut room[..tile.len()]);
                }
            }
        }
    }

    /// Ranges of rows begin at multiples of this: the kernel's tile, and for several tokens that of the
    /// product too.
    fn tile(&self, tokens: usize) -> usize {
        let tile = self.kernel.spec().tile();
        match tokens {
            1 => tile,
            _ => (tile..)
                .step_by(tile)
                .find(|n| n.is_multiple_of(tiled::TILE))
                .unwrap_or(tile),
        }
    }

    /// Whether every tile is scaled by one set of factors.
    fn parts_are_tiles(&self, scaling: Scaling<'_>) -> bool {
        let mut start = 0usize;
        scaling.parts.iter().all(|&(rows, _)| {
            let whole = start.is_multiple_of(self.kernel.spec().tile());
            start += rows;
            whole
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::split_mix;
    use crate::threads::Pool;

    /// Parts that end within a tile and at its end, matrices whose last tile is not whole, rows enough for
    /// tables to be worth it and columns enough for their sums to be widened on the way, and numbers of tokens that fill groups, tiles and batches or just miss them.
    #[test]
    fn every_part_of_a_product_is_scaled_by_its_own_factors() {
        let pool = Pool::new(1).unwrap();
        let mut state = 3;
        let mut next = move || split_mix(&mut state);
        for (rows, end, cols) in [
            (37, 16, 333),
            (96, 48, 333),
            (131, 64, 333),
            (115, 50, 333),
            (520, 512, 700),
        ] {
            let trits: Vec<i8> = (0..rows * cols).map(|_| (next() % 3) as i8 - 1).collect();
            // All up to a batch of prefill and beyond where there are few weights.
            let most = if rows == 37 { 72 } else { 33 };
            for tokens in (1..=most).chain([127, 128, 129, 161]) {
                let q: Vec<i8> = (0..tokens * cols).map(|_| next() as i8).collect();
                let factors: Vec<f32> = (0..2 * tokens)
                    .map(|_| (next() % 1000) as f32 / 777.0 - 0.5)
                    .collect();
                let want: Vec<f32> = (0..rows * tokens)
                    .map(|i| {
                        let (n, t) = (i % rows, i / rows);
                        let products = trits[n * cols..][..cols].iter().zip(&q[t * cols..]);
                        let sum: i32 = products.map(|(&w, &q)| i32::from(w) * i32::from(q)).sum();
                        sum as f32 * factors[if n < end { t } else { tokens + t }]
                    })
                    .collect();
                let trits = Trits::new(rows, cols, trits.clone()).unwrap();
                for kernel in crate::kernels::available() {
                    let matrix = Matrix::pack(kernel, &trits);
                    let mut input = Input::default();
                    input.set(&q, cols);
                    input.prepare(kernel);
                    let mut product = Tiled::default();
                    product.resize(tokens, rows).fill(f32::NAN);
                    let scaling = Scaling {
                        parts: &[end, rows - end].map(|rows| (rows, WeightScale::Multiply(1.0))),
                        factors: &factors,
                    };
                    matrix.product(&input, &pool, &mut product, scaling);
                    let mut got = vec![f32::NAN; rows * tokens];
                    product.gather(0..tokens, 0..rows, rows, &mut got);
                    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert!(
                        bits(&got) == bits(&want),
                        "{kernel:?} {rows} rows, {tokens} tokens"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "weights begin on a cache line")]
    fn weights_that_begin_within_a_line_are_refused() {
        let kernel = Kernel::by_name("naive").unwrap();
        let memory = Arc::new(Aligned::zeroed(256));
        let matrix = Matrix::within(kernel, (8, 16), &memory, 16..16 + 128);
        let mut input = Input::default();
        input.set(&[0; 16], 16);
        input.prepare(kernel);
        matrix.sums(&input, 0..8, &mut [0; 8]);
    }

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
                        let least = matrix.tile(tokens);
                        let both = [tile, if tokens == 1 { 1 } else { tiled::TILE }];
                        assert!(both.iter().all(|n| least.is_multiple_of(*n)), "{seen}");
                        if worth == 0 || threads == 1 || rows / threads < worth {
                            assert_eq!(grain, least, "{seen}");
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
