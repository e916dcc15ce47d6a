//! What the VNNI kernels share: a row of the matrix in each of sixteen 32-bit lanes.
//!
//! 64 packed bytes hold `F` columns x 4 bytes of each of 16 rows. They become `F` vectors of
//! unsigned codes (trit + 1); lane `r` of vector `f` holds four neighbouring columns of row `r`.
//! `vpdpbusd` multiplies these with the four activations that all rows share, broadcast from
//! memory, and adds the products to the row's int32 sum: no lane ever has to be added to another.
//! The codes are one too large, so the sum of the activations is subtracted at the end.
//!
//! A tile of 16 rows is contiguous, and so is the matrix. For one token it is read in streams, by
//! turns ([`crate::streams`]).

use std::ops::Range;

use super::layout::Place;
use super::prepare::Preparation;
use crate::input::Quantized;
use crate::trits::Trits;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;

/// Bytes loaded at once.
pub(super) const LINE: usize = 64;

/// Columns whose activations are broadcast together.
const QUAD: usize = 4;

/// Lines of one tile: `F` fields of four columns each.
pub(super) fn lines<const F: usize>(cols: usize) -> usize {
    cols.div_ceil(QUAD * F)
}

/// Packs `F` trits a byte; `bytes` makes four neighbouring bytes of a word of four codes for each
/// field, the lowest columns first. All four are made at once: as each fits a byte, plain
/// arithmetic on words carries nothing from one into the next.
///
/// Field `f` of byte `4 r + j` of a line is row `r`, column `4 f + j` of the line's columns.
pub(super) fn pack<const F: usize>(
    trits: &Trits,
    packed: &mut [u8],
    bytes: impl Fn([u32; F]) -> u32,
) {
    let lines = lines::<F>(trits.cols());
    let (all, _) = packed.as_chunks_mut::<LINE>();
    for (tile, lines) in all.chunks_exact_mut(lines).enumerate() {
        for row in tile * ROWS..trits.rows().min((tile + 1) * ROWS) {
            let (quads, tail) = trits.row(row).as_chunks::<QUAD>();
            let (whole, some) = quads.as_chunks::<F>();
            let (first, last) = lines.split_at_mut(whole.len());
            let put = |line: &mut [u8; LINE], fields| {
                let at = row % ROWS * QUAD;
                line[at..at + QUAD].copy_from_slice(&bytes(fields).to_le_bytes());
            };
            for (line, quads) in first.iter_mut().zip(whole) {
                put(line, quads.map(codes));
            }
            if let [line] = last {
                // Outside of the matrix any code will do: the activations there are 0.
                let mut quad = [0; QUAD];
                quad[..tail.len()].copy_from_slice(tail);
                let mut words = some.iter().chain([&quad]).map(|&quad| codes(quad));
                put(line, std::array::from_fn(|_| words.next().unwrap_or(0)));
            }
        }
    }
}

/// Bytes of a packed matrix.
pub(super) fn bytes<const F: usize>(rows: usize, cols: usize) -> usize {
    rows.div_ceil(ROWS) * lines::<F>(cols) * LINE
}

/// The byte of a weight, and its field.
pub(super) fn place<const F: usize>(at: Place) -> (usize, usize) {
    let (quad, tile) = (at.k / QUAD, at.n / ROWS);
    let line = tile * lines::<F>(at.cols) + quad / F;
    (line * LINE + at.n % ROWS * QUAD + at.k % QUAD, quad % F)
}

/// Trit + 1 in each byte. Adding to the low seven bits carries into no neighbour, and the eighth
/// bit is set in -1 alone, whose carry it takes back.
fn codes(quad: [i8; QUAD]) -> u32 {
    let word = u32::from_le_bytes(quad.map(|trit| trit as u8));
    ((word & 0x7f7f_7f7f) + 0x0101_0101) ^ (word & 0x8080_8080)
}

/// Of `left` tokens, those whose activations lie next to each other.
pub(super) fn group(left: usize) -> usize {
    match left {
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Activations in groups of tokens ([`group`]): `[group][quad of columns][token of the group]`.
pub(super) const fn preparation<const F: usize>() -> Preparation {
    Preparation::Shares {
        grain: 8,
        shares: |tokens| tokens,
        bytes: |cols| lines::<F>(cols) * F * QUAD,
        write: prepare::<F>,
    }
}

fn prepare<const F: usize>(quantized: &Quantized, tokens: Range<usize>, table: &mut [u8]) {
    let quads = lines::<F>(quantized.cols()) * F;
    let (table, _) = bytemuck::cast_slice_mut::<u8, i8>(table).as_chunks_mut::<QUAD>();
    let mut t = tokens.start;
    while t < tokens.end {
        let to = &mut table[(t - tokens.start) * quads..];
        t += match group(tokens.end - t) {
            8 => interleave::<8>(quantized, t, quads, to),
            4 => interleave::<4>(quantized, t, quads, to),
            2 => interleave::<2>(quantized, t, quads, to),
            _ => interleave::<1>(quantized, t, quads, to),
        };
    }
}

/// Writes the group of `T` tokens from `first` on.
fn interleave<const T: usize>(
    quantized: &Quantized,
    first: usize,
    quads: usize,
    to: &mut [[i8; QUAD]],
) -> usize {
    let rows: [&[[i8; QUAD]]; T] =
        std::array::from_fn(|t| &quantized.padded(first + t).as_chunks().0[..quads]);
    let (groups, _) = to.as_chunks_mut::<T>();
    for (i, group) in groups[..quads].iter_mut().enumerate() {
        *group = rows.map(|row| row[i]);
    }
    T
}

/// How a packed line becomes codes.
#[cfg(target_arch = "x86_64")]
pub(super) trait Unpack<const F: usize>: Copy {
    /// Bits by which [`Unpack::fields`] leaves the codes of each field shifted left in their byte.
    const SHIFTS: [u32; F];

    /// Loads constants.
    ///
    /// # Safety
    /// The CPU must have the features of the kernel.
    unsafe fn new() -> Self;

    /// The code vectors of a line, each shifted by its entry of `SHIFTS`.
    ///
    /// # Safety
    /// The CPU must have the features of the kernel.
    unsafe fn fields(self, line: std::arch::x86_64::__m512i) -> [std::arch::x86_64::__m512i; F];

    /// The code vectors of a line, none shifted.
    ///
    /// # Safety
    /// The CPU must have the features of the kernel.
    unsafe fn plain(self, line: std::arch::x86_64::__m512i) -> [std::arch::x86_64::__m512i; F];
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::rows;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::ops::Range;

    use crate::prefetch::{self, Distance};
    use crate::streams::{Block, STREAMS, TURN};

    use super::super::{Operands, several_avx512 as several};
    use super::*;

    /// Lines of a turn of [`crate::streams`].
    const TURN_LINES: usize = TURN / LINE;

    /// Lines after which sums of shifted codes are brought down, lest they overflow: a line adds
    /// up to `4 * 2 * 128 << 6` to a lane, so that 32767 lines would fit.
    const RUN: usize = 16 << 10;

    /// The sums of a range of rows; see [`super::super::Rows`].
    ///
    /// # Safety
    /// The CPU must have AVX-512 F, BW and VNNI, and what `U` needs.
    /// The weights must begin on a cache line.
    #[inline(always)]
    pub(in super::super) unsafe fn rows<U: Unpack<F>, const F: usize>(
        op: &Operands<'_>,
        range: Range<usize>,
        out: &mut [i32],
    ) {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let unpack = U::new();
            if op.quantized.tokens() > 1 {
                return several::rows::<U, F>(unpack, op, 0, range, out);
            }
            match prefetch::distance() {
                Distance::Bytes(n) => one::<U, F, true>(unpack, n.get(), op, range, out),
                Distance::Off => one::<U, F, false>(unpack, 0, op, range, out),
            }
        }
    }

    /// One token: codes are left where they lie in their bytes, a sum for each field, and the
    /// sums are shifted at the end. Weights are asked for `ahead` bytes before their turn if `ASK`.
    #[inline(always)]
    unsafe fn one<U: Unpack<F>, const F: usize, const ASK: bool>(
        unpack: U,
        ahead: usize,
        op: &Operands<'_>,
        range: Range<usize>,
        out: &mut [i32],
    ) {
        let lines = lines::<F>(op.cols);
        let count = range.len().div_ceil(ROWS);
        let weights = &op.weights[range.start / ROWS * lines * LINE..][..count * lines * LINE];
        let (weights, _) = weights.as_chunks::<LINE>();
        let (table, _) = op.tables.as_slice::<i32>()[..lines * F].as_chunks::<F>();
        if let (Some(block), true) = (Block::all(count, lines * LINE).next(), ASK) {
            block.begin(weights.as_ptr().cast(), ahead);
        }
        for block in Block::all(count, lines * LINE) {
            for i in 0..block.longest() {
                let places = block.abreast(i);
                // SAFETY: the caller vouches for the features.
                let mut exact = unsafe { [_mm512_setzero_si512(); STREAMS] };
                for (run, table) in (0..).step_by(RUN).zip(table.chunks(RUN)) {
                    // SAFETY: as above.
                    let mut sums = unsafe { [[_mm512_setzero_si512(); F]; STREAMS] };
                    let turns = (run..).step_by(TURN_LINES).zip(table.chunks(TURN_LINES));
                    for (at, q) in turns {
                        for (place, sums) in places.iter().zip(&mut sums) {
                            let Some(place) = place else { continue };
                            let turn = &weights[place.tile * lines + at..][..q.len()];
                            let beyond = place.beyond(at * LINE, ahead);
                            // SAFETY: as above.
                            *sums = unsafe { add::<U, F, ASK>(unpack, *sums, turn, q, beyond) };
                        }
                    }
                    for (exact, sums) in exact.iter_mut().zip(sums) {
                        for (sums, shift) in sums.into_iter().zip(U::SHIFTS) {
                            // SAFETY: as above.
                            *exact = unsafe {
                                let sums = _mm512_sra_epi32(sums, _mm_cvtsi32_si128(shift as i32));
                                _mm512_add_epi32(*exact, sums)
                            };
                        }
                    }
                }
                for (place, exact) in places.into_iter().zip(exact) {
                    let Some(place) = place else { continue };
                    // Sums of codes may wrap; the difference is the true sum, which fits.
                    // SAFETY: as above; `column` holds the 16 lanes.
                    let column = unsafe {
                        let sum =
                            _mm512_sub_epi32(exact, _mm512_set1_epi32(op.quantized.sums()[0]));
                        let mut column = [0i32; ROWS];
                        _mm512_storeu_si512(column.as_mut_ptr().cast(), sum);
                        column
                    };
                    for (out, sum) in out[place.tile * ROWS..].iter_mut().zip(column) {
                        *out = sum;
                    }
                }
            }
        }
    }

    /// Adds a turn of a tile to the sums of each field, and asks for what lies so far `beyond` if
    /// `ASK`.
    #[inline(always)]
    unsafe fn add<U: Unpack<F>, const F: usize, const ASK: bool>(
        unpack: U,
        mut sums: [__m512i; F],
        turn: &[[u8; LINE]],
        q: &[[i32; F]],
        beyond: usize,
    ) -> [__m512i; F] {
        for (line, q) in turn.iter().zip(q) {
            if ASK {
                prefetch::beyond(line.as_ptr(), beyond);
            }
            // SAFETY: the caller vouches for the features; a line is as long as a register.
            unsafe {
                let fields = unpack.fields(_mm512_loadu_si512(line.as_ptr().cast()));
                for ((sum, fields), &q) in sums.iter_mut().zip(fields).zip(q) {
                    *sum = _mm512_dpbusd_epi32(*sum, fields, _mm512_set1_epi32(q));
                }
            }
        }
        sums
    }
}
