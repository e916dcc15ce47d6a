//! Several tokens for the VNNI kernels: two tiles of rows meet up to eight tokens in registers.
//!
//! A register of codes serves eight tokens, and a broadcast of activations two tiles: ten loads
//! for sixteen `vpdpbusd`, few enough where a cycle has one of each. Columns are taken in blocks.
//! The first group of tokens unpacks the codes of a block, a line ahead of its own need, into the
//! first-level cache, whence the others take them; there too a group's sums wait for the next block.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Operands;
use super::lanes_avx512::{self as lanes, LINE, ROWS, Unpack};
use super::sums_avx512::{Sums, TOKENS};
use crate::prefetch;

/// Tiles of rows that are multiplied at once.
const PAIR: usize = 2;

/// Lines of a block: many, as groups begin and end with loads and stores of their sums; but their
/// codes fill the better part of a first-level cache of 32 KiB.
const LINES: usize = 32;

/// Unpacked codes of a line of up to two tiles: `[field][tile]`.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Codes<const F: usize>([[[u8; LINE]; PAIR]; F]);

/// The sums of a range of rows; see [`super::Rows`].
///
/// # Safety
/// The CPU must have AVX-512 F, BW and VNNI, and what `U` needs.
#[inline(always)]
pub(super) unsafe fn rows<U: Unpack<F>, const F: usize>(
    unpack: U,
    op: &Operands<'_>,
    range: Range<usize>,
    out: &mut [i32],
) {
    let (tokens, biases) = (op.quantized.tokens(), op.quantized.sums());
    let lines = lanes::lines::<F>(op.cols);
    let mut batch = Batch {
        unpack,
        lines,
        weights: op.weights.as_chunks::<LINE>().0,
        table: op.tables.as_slice::<i32>(),
        some: 0..0,
        codes: [Codes([[[0; LINE]; PAIR]; F]); LINES],
        sums: Sums::zero(),
    };
    for first in (0..tokens).step_by(TOKENS) {
        batch.some = first..tokens.min(first + TOKENS);
        let pairs = out.chunks_mut(PAIR * ROWS * tokens);
        for (row, out) in range.clone().step_by(PAIR * ROWS).zip(pairs) {
            let first = row / ROWS;
            // SAFETY: the caller vouches for the features.
            unsafe {
                match out.len() > ROWS * tokens {
                    true => batch.multiply([first, first + 1]),
                    false => batch.multiply([first]),
                }
                for (half, out) in out.chunks_mut(ROWS * tokens).enumerate() {
                    batch.sums.write(half, biases, batch.some.clone(), out);
                }
            }
        }
    }
}

/// Tokens that meet the weights at once, and room for what is made on the way.
struct Batch<'a, U, const F: usize> {
    unpack: U,
    /// Lines of a tile.
    lines: usize,
    weights: &'a [[u8; LINE]],
    table: &'a [i32],
    some: Range<usize>,
    codes: [Codes<F>; LINES],
    sums: Sums,
}

/// What a group of tokens meets.
#[derive(Clone, Copy)]
struct Block<'a, const R: usize> {
    /// The lines of each tile.
    tiles: [&'a [[u8; LINE]]; R],
    /// Index of the first within its tile.
    start: usize,
}

impl<U: Unpack<F>, const F: usize> Batch<'_, U, F> {
    /// The sums of `R` tiles of rows, into `sums`.
    #[inline(always)]
    unsafe fn multiply<const R: usize>(&mut self, tiles: [usize; R]) {
        self.sums = Sums::zero();
        for start in (0..self.lines).step_by(LINES) {
            let end = self.lines.min(start + LINES);
            let block = Block {
                tiles: tiles.map(|tile| &self.weights[tile * self.lines..][start..end]),
                start,
            };
            let mut t = self.some.start;
            while t < self.some.end {
                // SAFETY: the caller vouches for the features.
                t += unsafe {
                    match (lanes::group(self.some.end - t), t == self.some.start) {
                        (8, true) => self.group::<R, 8, true>(block, t),
                        (8, false) => self.group::<R, 8, false>(block, t),
                        (4, true) => self.group::<R, 4, true>(block, t),
                        (4, false) => self.group::<R, 4, false>(block, t),
                        (2, true) => self.group::<R, 2, true>(block, t),
                        (2, false) => self.group::<R, 2, false>(block, t),
                        (_, true) => self.group::<R, 1, true>(block, t),
                        (_, false) => self.group::<R, 1, false>(block, t),
                    }
                };
            }
        }
    }

    /// Adds the products of a block and the `T` tokens from `t` on. The `FIRST` group unpacks.
    #[inline(always)]
    unsafe fn group<const R: usize, const T: usize, const FIRST: bool>(
        &mut self,
        block: Block<'_, R>,
        t: usize,
    ) -> usize {
        let quads = self.lines * F;
        let (activations, _) = self.table[t * quads..][..T * quads].as_chunks::<T>();
        let (activations, _) = activations.as_chunks::<F>();
        let activations = &activations[block.start..][..block.tiles[0].len()];
        let first = t - self.some.start;
        // SAFETY: the caller vouches for the features; a line of codes and sixteen sums are as
        // long as a register, and aligned like one.
        unsafe {
            let mut sums = [[_mm512_setzero_si512(); R]; T];
            for (sums, from) in sums.iter_mut().zip(&self.sums.0[first..][..T]) {
                for (sum, from) in sums.iter_mut().zip(from.as_chunks::<ROWS>().0) {
                    *sum = _mm512_load_si512(from.as_ptr().cast());
                }
            }
            if FIRST {
                self.fill(block, 0);
            }
            for (line, activations) in activations.iter().enumerate() {
                if FIRST {
                    self.fill(block, line + 1);
                }
                for (codes, activations) in self.codes[line].0.iter().zip(activations) {
                    let mut fields = [_mm512_setzero_si512(); R];
                    for (field, codes) in fields.iter_mut().zip(codes) {
                        *field = _mm512_load_si512(codes.as_ptr().cast());
                    }
                    for (sums, &q) in sums.iter_mut().zip(activations) {
                        let q = _mm512_set1_epi32(q);
                        for (sum, &field) in sums.iter_mut().zip(&fields) {
                            *sum = _mm512_dpbusd_epi32(*sum, field, q);
                        }
                    }
                }
            }
            for (sums, to) in sums.iter().zip(&mut self.sums.0[first..][..T]) {
                for (&sum, to) in sums.iter().zip(to.as_chunks_mut::<ROWS>().0) {
                    _mm512_store_si512(to.as_mut_ptr().cast(), sum);
                }
            }
        }
        T
    }

    /// Unpacks a line of each tile, if the block has it.
    #[inline(always)]
    unsafe fn fill<const R: usize>(&mut self, block: Block<'_, R>, line: usize) {
        for (r, tile) in block.tiles.into_iter().enumerate() {
            let Some(packed) = tile.get(line) else { return };
            prefetch::in_two_steps(packed.as_ptr());
            // SAFETY: the caller vouches for the features; a line is as long as a register, and
            // aligned like one.
            unsafe {
                let plain = self.unpack.plain(_mm512_load_si512(packed.as_ptr().cast()));
                for (codes, plain) in self.codes[line].0.iter_mut().zip(plain) {
                    _mm512_store_si512(codes[r].as_mut_ptr().cast(), plain);
                }
            }
        }
    }
}
