//! Several tokens for the VNNI kernels: three tiles of rows meet eight tokens in registers.
//!
//! A register of codes serves eight tokens, and a broadcast of activations three tiles: eleven
//! loads for twenty-four `vpdpbusd`, in a loop short enough to come out of the cache of decoded
//! instructions at full pace, for which it begins on a cache line. Columns are taken in blocks:
//! their codes are unpacked into the first-level cache once for all tokens of the batch, up to
//! [`TOKENS`]; there too a group's sums wait for the next block.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::Operands;
use super::lanes_avx512::{self as lanes, LINE, ROWS, Unpack};
use super::sums_avx512::Sums;
use crate::prefetch;

/// Tiles of rows that are multiplied at once.
const TILES: usize = 3;

/// Tokens that the registers hold sums of.
const GROUP: usize = 8;

/// Tokens that codes are unpacked for at once.
const TOKENS: usize = 128;

/// Lines of a block: many, as groups begin and end with loads and stores of their sums; but their
/// codes are to leave room for activations in a first-level cache of 32 KiB.
const LINES: usize = 16;

/// Unpacked codes of a line of up to three tiles: `[field][tile]`.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Codes<const F: usize>([[[u8; LINE]; TILES]; F]);

/// The sums of a range of rows, of all tokens but the first `served`; see [`super::Rows`].
///
/// # Safety
/// The CPU must have AVX-512 F, BW and VNNI, and what `U` needs.
/// The weights must begin on a cache line.
#[inline(always)]
pub(super) unsafe fn rows<U: Unpack<F>, const F: usize>(
    unpack: U,
    op: &Operands<'_>,
    served: usize,
    range: Range<usize>,
    out: &mut [i32],
) {
    let tokens = op.quantized.tokens();
    let lines = lanes::lines::<F>(op.cols);
    let mut batch = Batch {
        unpack,
        lines,
        weights: op.weights.as_chunks::<LINE>().0,
        table: op.tables.as_slice::<i32>(),
        some: 0..0,
        codes: [Codes([[[0; LINE]; TILES]; F]); LINES],
        sums: Sums::zero(),
    };
    for first in (served..tokens).step_by(TOKENS) {
        batch.some = first..tokens.min(first + TOKENS);
        let parts = out.chunks_mut(TILES * ROWS * tokens);
        for (row, out) in range.clone().step_by(TILES * ROWS).zip(parts) {
            let first = row / ROWS;
            // SAFETY: the caller vouches for the features.
            unsafe {
                match out.len().div_ceil(ROWS * tokens) {
                    1 => batch.multiply([first], out),
                    2 => batch.multiply([first, first + 1], out),
                    _ => batch.multiply([first, first + 1, first + 2], out),
                }
                for (tile, out) in out.chunks_mut(ROWS * tokens).enumerate() {
                    let factors = op.factors(row + tile * ROWS);
                    batch.sums.write(tile, op, factors, batch.some.clone(), out);
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
    sums: Sums<TOKENS, TILES>,
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
    /// The sums of `R` tiles of rows, into `sums`; `out` is where they go from there.
    #[inline(always)]
    unsafe fn multiply<const R: usize>(&mut self, tiles: [usize; R], out: &[i32]) {
        self.sums.0[..self.some.len()].fill([[0; ROWS]; TILES]);
        // What comes next is asked for a little at each turn: a processor has few requests under way.
        let groups = self.some.len().div_ceil(GROUP);
        let turns = self.lines.div_ceil(LINES) * groups;
        let mut unasked = out.chunks(out.len().div_ceil(turns));
        let share = LINES.div_ceil(groups);
        for start in (0..self.lines).step_by(LINES) {
            let end = self.lines.min(start + LINES);
            let block = Block {
                tiles: tiles.map(|tile| &self.weights[tile * self.lines..][start..end]),
                start,
            };
            let mut t = self.some.start;
            let mut next = block.tiles.map(|tile| tile.as_ptr());
            while t < self.some.end {
                if let Some(out) = unasked.next() {
                    prefetch::to_write(out);
                }
                for line in &mut next {
                    for _ in 0..share {
                        prefetch::far_beyond(line.cast(), TILES * self.lines * LINE);
                        prefetch::beyond(line.cast(), LINES * LINE);
                        *line = line.wrapping_add(1);
                    }
                }
                // SAFETY: the caller vouches for the features.
                t += unsafe {
                    match (lanes::group(self.some.end - t), t == self.some.start) {
                        (GROUP, first) if R == TILES => {
                            if first {
                                self.unpack(block);
                            }
                            self.whole(block, t)
                        }
                        (GROUP, true) => self.group::<R, GROUP, true>(block, t),
                        (GROUP, false) => self.group::<R, GROUP, false>(block, t),
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

    /// Unpacks all lines of a block.
    #[inline(always)]
    unsafe fn unpack<const R: usize>(&mut self, block: Block<'_, R>) {
        for line in 0..block.tiles[0].len() {
            // SAFETY: the caller vouches for the features.
            unsafe { self.fill(block, line) };
        }
    }

    /// Adds the products of a block of whole codes and the eight tokens from `t` on.
    #[inline(always)]
    unsafe fn whole<const R: usize>(&mut self, block: Block<'_, R>, t: usize) -> usize {
        let quads = self.lines * F;
        let activations = &self.table[t * quads..][..GROUP * quads];
        let count = block.tiles[0].len() * F;
        let activations = &activations[block.start * F * GROUP..][..count * GROUP];
        let codes = &self.codes[..block.tiles[0].len()];
        let first = t - self.some.start;
        let sums = &mut self.sums.0[first..][..GROUP];
        macro_rules! line {
            ($($part:expr),*) => { concat!($($part,)* "\n") };
        }
        /// Sums of token `$t`, in registers `$a` to `$c`.
        macro_rules! load {
            ($a:literal, $b:literal, $c:literal, $t:literal) => {
                concat!(
                    line!("vmovdqa64 zmm", $a, ", [{sums} + 192 * ", $t, "]"),
                    line!("vmovdqa64 zmm", $b, ", [{sums} + 192 * ", $t, " + 64]"),
                    line!("vmovdqa64 zmm", $c, ", [{sums} + 192 * ", $t, " + 128]"),
                )
            };
        }
        macro_rules! store {
            ($a:literal, $b:literal, $c:literal, $t:literal) => {
                concat!(
                    line!("vmovdqa64 [{sums} + 192 * ", $t, "], zmm", $a),
                    line!("vmovdqa64 [{sums} + 192 * ", $t, " + 64], zmm", $b),
                    line!("vmovdqa64 [{sums} + 192 * ", $t, " + 128], zmm", $c),
                )
            };
        }
        /// The products of token `$t`, its activations in register `$q`.
        macro_rules! multiply {
            ($a:literal, $b:literal, $c:literal, $t:literal, $q:literal) => {
                concat!(
                    line!("vpbroadcastd zmm", $q, ", dword ptr [{a} + 4 * ", $t, "]"),
                    line!("vpdpbusd zmm", $a, ", zmm24, zmm", $q),
                    line!("vpdpbusd zmm", $b, ", zmm25, zmm", $q),
                    line!("vpdpbusd zmm", $c, ", zmm26, zmm", $q),
                )
            };
        }
        // SAFETY: the caller vouches for the features. The pointers stay within `codes`,
        // `activations` and `sums`, all checked above; registers are aligned like lines.
        unsafe {
            asm!(
                load!(0, 1, 2, 0),
                load!(3, 4, 5, 1),
                load!(6, 7, 8, 2),
                load!(9, 10, 11, 3),
                load!(12, 13, 14, 4),
                load!(15, 16, 17, 5),
                load!(18, 19, 20, 6),
                load!(21, 22, 23, 7),
                ".p2align 6",
                "2:",
                "vmovdqa64 zmm24, [{codes}]",
                "vmovdqa64 zmm25, [{codes} + 64]",
                "vmovdqa64 zmm26, [{codes} + 128]",
                multiply!(0, 1, 2, 0, 27),
                multiply!(3, 4, 5, 1, 28),
                multiply!(6, 7, 8, 2, 29),
                multiply!(9, 10, 11, 3, 30),
                multiply!(12, 13, 14, 4, 31),
                multiply!(15, 16, 17, 5, 27),
                multiply!(18, 19, 20, 6, 28),
                multiply!(21, 22, 23, 7, 29),
                "add {codes}, 192",
                "add {a}, 32",
                "cmp {a}, {end}",
                "jne 2b",
                store!(0, 1, 2, 0),
                store!(3, 4, 5, 1),
                store!(6, 7, 8, 2),
                store!(9, 10, 11, 3),
                store!(12, 13, 14, 4),
                store!(15, 16, 17, 5),
                store!(18, 19, 20, 6),
                store!(21, 22, 23, 7),
                sums = in(reg) sums.as_mut_ptr(),
                codes = inout(reg) codes.as_ptr() => _,
                a = inout(reg) activations.as_ptr() => _,
                end = in(reg) activations.as_ptr_range().end,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
                out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
                out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
                options(nostack),
            );
        }
        GROUP
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
                for (sum, from) in sums.iter_mut().zip(from) {
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
                for (&sum, to) in sums.iter().zip(to) {
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
