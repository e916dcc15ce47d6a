//! T-MAC with 512-bit registers: sums of activations, looked up by groups of weight trits.
//!
//! Three trits have 27 values, so that the table of a group of three columns fits one register of
//! 32 words, and `vpermw` looks up 32 rows at once. A 16-bit word of the packed matrix holds the
//! indices of three groups, five bits each; `vpermw` ignores all but the low five bits, so that
//! the word, the word shifted by 5 and by 10 are the indices as they are.
//!
//! Per 64 packed bytes, 288 weights: 3 `vpermw`, 3 `vpaddw`, 2 shifts; 8 operations on two ports,
//! of which `vpermw` wants one and the shifts the other: 4 cycles. The tables take 64 bytes for
//! three columns, more than the first-level cache holds, so two lines of rows share each load.

use super::layout::{self, Layout};
use super::prepare::Preparation;
use super::{Mix, Packing, Spec};
use crate::isa::Isa;
use crate::trits::Trits;

/// Rows of a packed line, one a word.
const LINE_ROWS: usize = 32;

/// Lines of rows that share the loads of tables.
const LINES: usize = 2;

/// Rows of a tile.
const ROWS: usize = LINES * LINE_ROWS;

/// Trits of an index.
const GROUP: usize = 3;

/// Indices of a word.
const GROUPS: usize = 3;

/// Entries of a table, words as `vpermw` takes them.
const ENTRIES: usize = 32;

/// Columns of a word.
const COLS: usize = GROUP * GROUPS;

pub(super) const SPEC: Spec = Spec {
    name: "tmac-avx512",
    idea: "tables of activation sums by 3 trits, 32 rows looked up by one vpermw",
    isa: Isa::Avx512,
    bits_per_weight: 16.0 / COLS as f64,
    tile: ROWS,
    rows_of_a_call: |_| 0,
    scales: false,
    mix: Some(Mix {
        vector: 64,
        instructions: 8,
    }),
    prepare: Preparation::Shares {
        grain: 1,
        shares: |tokens| tokens,
        bytes: |cols| cols.div_ceil(COLS) * GROUPS * size_of::<[i16; ENTRIES]>(),
        write: prepare,
    },
    rows,
    packing: Packing::LaidOut(Layout {
        bytes: |rows, cols| rows.div_ceil(ROWS) * cols.div_ceil(COLS) * ROWS * size_of::<u16>(),
        pack,
        code: |weights, at| {
            let column = at.n / ROWS * at.cols.div_ceil(COLS) + at.k / COLS;
            let byte = (column * ROWS + at.n % ROWS) * size_of::<u16>();
            let word = u16::from_le_bytes([weights[byte], weights[byte + 1]]);
            let index = (word >> (at.k % COLS / GROUP * 5)) & 31;
            layout::digit(index as u8, at.k % GROUP)
        },
        sound: |bytes| {
            let (words, rest) = bytes.as_chunks::<2>();
            let sound = |word: u16| {
                let index = |g: usize| (word >> (5 * g)) & 31;
                (word >> 15 == 0) & (index(0) < 27) & (index(1) < 27) & (index(2) < 27)
            };
            let word = |&pair: &[u8; 2]| sound(u16::from_le_bytes(pair));
            rest.is_empty() & words.iter().fold(true, |all, pair| all & word(pair))
        },
    }),
};

/// `[tile][word of the row][line of the tile][row of the line]`.
fn pack(trits: &Trits, packed: &mut [u8]) {
    let words = trits.cols().div_ceil(COLS);
    let columns = bytemuck::cast_slice_mut::<u8, u16>(packed).chunks_exact_mut(ROWS);
    for (i, column) in columns.enumerate() {
        let (first_row, first_col) = (i / words * ROWS, i % words * COLS);
        for (row, word) in (first_row..trits.rows()).zip(column) {
            let cols = &trits.row(row)[first_col..];
            for (g, group) in cols.chunks(GROUP).take(GROUPS).enumerate() {
                let index = group
                    .iter()
                    .rfold(0, |index, &w| 3 * index + (w + 1) as u16);
                *word |= index << (5 * g);
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
use super::absent::{prepare, rows};
#[cfg(target_arch = "x86_64")]
use x86::{prepare, rows};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::ops::Range;

    use crate::prefetch;

    use super::super::Operands;
    use super::*;
    use crate::input::Quantized;

    /// Words of a row after which int16 sums are widened: an entry is at most 3 * 128 in
    /// magnitude, of which 85 fit, and a word adds three.
    const RUN: usize = 28;

    /// The weight that digit `d` of an index stands for; 0 for indices of no group.
    const fn digits(power: usize) -> [i16; ENTRIES] {
        let mut weights = [0; ENTRIES];
        let mut i = 0;
        while i < 27 {
            weights[i] = (i / power % 3) as i16 - 1;
            i += 1;
        }
        weights
    }

    static DIGITS: [[i16; ENTRIES]; GROUP] = [digits(1), digits(3), digits(9)];

    /// A table for each token and group of three columns: `[token][group][index]`.
    ///
    /// # Safety
    /// The CPU must have the features of [`Isa::Avx512`].
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
    pub(super) unsafe fn prepare(quantized: &Quantized, tokens: Range<usize>, tables: &mut [u8]) {
        let groups = quantized.cols().div_ceil(COLS) * GROUPS;
        let entries: &mut [[i16; ENTRIES]] = bytemuck::cast_slice_mut(tables);
        // SAFETY: each of `DIGITS` is as long as a register.
        let digits = DIGITS
            .each_ref()
            .map(|d| unsafe { _mm512_loadu_si512(d.as_ptr().cast()) });
        for (t, entries) in tokens.zip(entries.chunks_exact_mut(groups)) {
            let (groups, _) = quantized.padded(t).as_chunks::<GROUP>();
            for (entries, q) in entries.iter_mut().zip(groups) {
                let [a, b, c]: [__m512i; GROUP] = std::array::from_fn(|j| {
                    _mm512_mullo_epi16(digits[j], _mm512_set1_epi16(i16::from(q[j])))
                });
                let sum = _mm512_add_epi16(_mm512_add_epi16(a, b), c);
                // SAFETY: `entries` is as long as a register.
                unsafe { _mm512_storeu_si512(entries.as_mut_ptr().cast(), sum) };
            }
        }
    }

    /// # Safety
    /// The CPU must have the features of [`Isa::Avx512`].
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
    pub(super) unsafe fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
        let tokens = op.quantized.tokens();
        let words = op.cols.div_ceil(COLS);
        let tables = op.tables.as_slice::<[i16; ENTRIES]>();
        let (columns, _) = op.weights.as_chunks::<{ ROWS * size_of::<u16>() }>();
        let tiles = out.chunks_mut(ROWS * tokens);
        for (first, out) in range.step_by(ROWS).zip(tiles) {
            let weights = &columns[first / ROWS * words..][..words];
            let mut t = 0;
            while t < tokens {
                let tables = &tables[t * words * GROUPS..];
                // SAFETY: this function's own features.
                t += unsafe {
                    match tokens - t {
                        4.. => tile::<4>(weights, tables, &mut out[t..], tokens),
                        _ => tile::<1>(weights, tables, &mut out[t..], tokens),
                    }
                };
            }
        }
    }

    /// The sums of a tile and `T` tokens; returns `T`.
    ///
    /// # Safety
    /// The CPU must have the features of [`Isa::Avx512`].
    #[inline]
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
    unsafe fn tile<const T: usize>(
        weights: &[[u8; ROWS * size_of::<u16>()]],
        tables: &[[i16; ENTRIES]],
        out: &mut [i32],
        tokens: usize,
    ) -> usize {
        let groups = weights.len() * GROUPS;
        let tables: [_; T] = std::array::from_fn(|t| &tables[t * groups..][..groups]);
        let zero = _mm512_setzero_si512();
        let mut wide = [[[zero; 2]; LINES]; T];
        for (run, weights) in weights.chunks(RUN).enumerate() {
            let mut sums = [[zero; LINES]; T];
            for (i, column) in weights.iter().enumerate() {
                let first_group = (run * RUN + i) * GROUPS;
                let line = column.as_ptr();
                let words: [__m512i; LINES] = std::array::from_fn(|l| {
                    prefetch::in_two_steps(line.wrapping_add(l * 64));
                    // SAFETY: `column` is LINES registers long.
                    unsafe { _mm512_loadu_si512(line.add(l * 64).cast()) }
                });
                let shifted = [
                    words,
                    words.map(|w| _mm512_srli_epi16::<5>(w)),
                    words.map(|w| _mm512_srli_epi16::<10>(w)),
                ];
                for (t, sums) in sums.iter_mut().enumerate() {
                    for (g, words) in shifted.iter().enumerate() {
                        // SAFETY: each word of a row has GROUPS tables, and this is one of its words.
                        let table = unsafe {
                            _mm512_loadu_si512(tables[t].as_ptr().add(first_group + g).cast())
                        };
                        for (sum, &word) in sums.iter_mut().zip(words) {
                            *sum = _mm512_add_epi16(*sum, _mm512_permutexvar_epi16(word, table));
                        }
                    }
                }
            }
            for (wide, sums) in wide.iter_mut().flatten().zip(sums.into_iter().flatten()) {
                let halves = [
                    _mm512_castsi512_si256(sums),
                    _mm512_extracti64x4_epi64::<1>(sums),
                ];
                for (wide, half) in wide.iter_mut().zip(halves) {
                    *wide = _mm512_add_epi32(*wide, _mm512_cvtepi16_epi32(half));
                }
            }
        }
        for (t, wide) in wide.iter().enumerate() {
            let mut column = [0i32; ROWS];
            let (parts, _) = column.as_chunks_mut::<16>();
            for (part, &sums) in parts.iter_mut().zip(wide.as_flattened()) {
                // SAFETY: `part` is as long as a register.
                unsafe { _mm512_storeu_si512(part.as_mut_ptr().cast(), sums) };
            }
            for (out, sum) in out[t..].iter_mut().step_by(tokens).zip(column) {
                *out = sum;
            }
        }
        T
    }
}
