//! Products of many tokens with AVX2: tables whose entries are vectors over 32 tokens.
//!
//! The trits of four columns have 81 values. For each of these a table holds the sums of the four
//! columns' activations, of 32 tokens in int16. It is built once a group of columns and serves
//! every row: a row then costs two loads and two additions a group, for 128 multiply-adds.
//!
//! A *pass* takes four groups, whose tables fit the first-level cache together, and walks all
//! rows; between passes the rows' int16 sums wait in the second-level cache. An entry is at most
//! 4 * 128 in magnitude, so that 63 groups fit int16 (63 * 512 = 32256); after 15 passes of four
//! the sums are widened into the output.

use std::arch::x86_64::*;
use std::array;
use std::cell::RefCell;
use std::ops::Range;

use super::Operands;
use crate::aligned::Aligned;

/// Tokens of an entry.
pub(super) const TOKENS: usize = 32;
/// Columns of a group.
pub(super) const GROUP: usize = 4;
/// Groups of a pass.
pub(super) const GROUPS: usize = 4;
/// Rows whose indices are found together.
pub(super) const ROWS: usize = 4;
/// Passes whose sums fit int16.
const RUN: usize = i16::MAX as usize / (GROUP * 128 * GROUPS);
/// Rows whose sums are kept between passes.
const BLOCK: usize = 4096;
/// Rows below which tables cost more than they save.
pub(super) const MIN_ROWS: usize = 512;
/// Tokens below which a table, which always costs that of 32, is not worth it.
const MIN_TOKENS: usize = 24;

/// One int16 a token.
type Entry = [i16; TOKENS];
/// As many entries as a byte can ask for; 81 are in use.
type Table = [Entry; 256];
/// The activations of a group's columns, of one token.
pub(super) type Quad = [i8; GROUP];

/// The first tokens of a product that tables serve; the others are left to another way.
pub(super) fn tokens_served(tokens: usize) -> usize {
    match tokens % TOKENS {
        rest if rest >= MIN_TOKENS => tokens,
        rest => tokens - rest,
    }
}

/// Turns bytes of four codes (trit + 1, two bits each, low bits first) into places in a table,
/// where the codes are digits of base three.
#[target_feature(enable = "avx2")]
pub(super) fn places(codes: [u32; ROWS]) -> [[u8; GROUPS]; ROWS] {
    /// By two codes; the last of a line can't occur.
    const DIGITS: [u8; 16] = [0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 0, 0, 0, 0];
    let digits: __m128i = bytemuck::cast(DIGITS);
    let nines: __m128i = bytemuck::cast(DIGITS.map(|d| 9 * d));
    let (codes, two): (__m128i, _) = (bytemuck::cast(codes), _mm_set1_epi8(15));
    let low = _mm_shuffle_epi8(digits, _mm_and_si128(codes, two));
    let high = _mm_shuffle_epi8(nines, _mm_and_si128(_mm_srli_epi16::<4>(codes), two));
    bytemuck::cast(_mm_add_epi8(low, high))
}

/// The sums of some tokens, at most 32.
///
/// `groups` holds the activations of all tokens, `[pass][group][token]`; `codes` gives those of
/// four rows from a multiple of four on: a byte a group of the pass.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sums(
    op: &Operands<'_>,
    groups: &[Quad],
    codes: impl Fn(usize, usize) -> [u32; ROWS],
    range: Range<usize>,
    some: Range<usize>,
    out: &mut [i32],
) {
    thread_local! {
        static SCRATCH: RefCell<(Aligned, Aligned)> = RefCell::default();
    }
    let tokens = op.quantized.tokens();
    // Taken, not borrowed: code in a closure would be compiled without AVX2.
    let (mut tables, mut kept) = SCRATCH.take();
    tables.reserve(GROUPS * size_of::<Table>());
    kept.reserve(BLOCK * size_of::<Entry>());
    let table_of = tables.as_mut_slice::<Table>();
    let Some(table_of) = table_of.first_chunk_mut::<GROUPS>() else {
        unreachable!("reserved above")
    };
    let kept_rows = kept.as_mut_slice::<Entry>();
    let passes = groups.len() / (GROUPS * tokens);
    for (first, out) in range.step_by(BLOCK).zip(out.chunks_mut(BLOCK * tokens)) {
        for pass in 0..passes {
            let quads = groups[pass * GROUPS * tokens..].chunks_exact(tokens);
            for (table, quads) in table_of.iter_mut().zip(quads) {
                build(&quads[some.clone()], table);
            }
            let (begins, ends) = (pass % RUN == 0, pass % RUN == RUN - 1 || pass == passes - 1);
            let tiles = out.chunks_mut(ROWS * tokens);
            for (i, (out, kept)) in tiles.zip(kept_rows.as_chunks_mut::<ROWS>().0).enumerate() {
                let places = places(codes(first + i * ROWS, pass));
                if begins {
                    *kept = [[0; TOKENS]; ROWS];
                }
                for (kept, places) in kept.iter_mut().zip(places) {
                    *kept = look_up(*kept, table_of, places);
                }
                if ends {
                    for (out, kept) in out.chunks_exact_mut(tokens).zip(kept) {
                        widen(kept, &mut out[some.clone()], pass < RUN);
                    }
                }
            }
        }
    }
    SCRATCH.set((tables, kept));
}

#[target_feature(enable = "avx2")]
fn look_up(sums: Entry, tables: &[Table; GROUPS], places: [u8; GROUPS]) -> Entry {
    let [mut low, mut high]: [__m256i; 2] = bytemuck::cast(sums);
    for (table, place) in tables.iter().zip(places) {
        let [more_low, more_high]: [__m256i; 2] = bytemuck::cast(table[usize::from(place)]);
        low = _mm256_add_epi16(low, more_low);
        high = _mm256_add_epi16(high, more_high);
    }
    bytemuck::cast([low, high])
}

/// Writes a row's sums, or adds them to those of earlier runs.
#[target_feature(enable = "avx2")]
fn widen(sums: &Entry, out: &mut [i32], first: bool) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        *out = i32::from(sum) + if first { 0 } else { *out };
    }
}

/// Fills a table: entry `sum d_j 3^j` is the sum of `(d_j - 1) q_j`. Each digit triples what the
/// digits below it have filled.
#[target_feature(enable = "avx2")]
fn build(quads: &[Quad], table: &mut Table) {
    let columns: [Entry; GROUP] =
        array::from_fn(|j| array::from_fn(|t| quads.get(t).map_or(0, |quad| i16::from(quad[j]))));
    table[0] = array::from_fn(|t| -columns.iter().map(|column| column[t]).sum::<i16>());
    let mut filled = 1;
    for column in columns {
        for from in 0..2 * filled {
            table[filled + from] = add(table[from], column);
        }
        filled *= 3;
    }
}

#[target_feature(enable = "avx2")]
fn add(a: Entry, b: Entry) -> Entry {
    let (a, b): ([__m256i; 2], [__m256i; 2]) = (bytemuck::cast(a), bytemuck::cast(b));
    bytemuck::cast([_mm256_add_epi16(a[0], b[0]), _mm256_add_epi16(a[1], b[1])])
}
