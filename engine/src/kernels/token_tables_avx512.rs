//! Products of many tokens with AVX-512: tables whose entries are vectors over 32 tokens.
//!
//! The trits of four columns have 81 values. For each of these a table holds the sums of the four
//! columns' activations, of 32 tokens in int16: one register. It is built once a group of columns and
//! serves every row: a row then costs one load and one addition a group, for 128 multiply-adds, twice
//! those of a `vpdpbusd`.
//!
//! A group is what four codes of a byte make, or the first codes of the four bytes of a word: so few
//! instructions find the entries that a packed line asks for.
//!
//! A *step* of columns is eight lines of a tile. What its codes ask of the tables is found for all rows
//! at once and kept in the order in which it will be read. A *pass* takes eight groups, whose tables
//! fill the first-level cache, and walks all rows; between passes the rows' int16 sums wait in the
//! second-level cache. A run of passes ends, and its sums are widened into the output, where the
//! magnitudes of some token's activations no longer add up to an int16.

use std::arch::x86_64::*;
use std::array;
use std::cell::RefCell;
use std::ops::Range;

use super::Operands;
use super::lanes_avx512::{self as lanes, LINE, ROWS, Unpack};
use super::sums_avx512::transpose;
use super::vbmi_avx512::{DIGITS, FIELDS, FiveTrits};
use crate::aligned::Aligned;
use crate::prefetch;

/// Tokens of an entry.
const TOKENS: usize = 32;
/// Rows below which tables cost more than they save.
pub(super) const MIN_ROWS: usize = 512;
/// Columns of a group.
const GROUP: usize = 4;
/// Groups of a pass.
const GROUPS: usize = 8;
/// Lines of a step.
const LINES: usize = 8;
/// Passes of a step: of groups within the bytes of a pair of lines each, four to a line, and one of
/// groups across the bytes of words.
const PASSES: usize = LINES / PAIR + 1;
const PAIR: usize = GROUPS / 4;
const ACROSS: usize = PASSES - 1;
/// Rows whose sums are kept between passes.
const BLOCK: usize = 4096;
/// Tiles of a block.
const TILES: usize = BLOCK / ROWS;
/// Tiles between which the next step is asked for.
const SPAN: usize = 4;
/// Tokens whose activations lie next to each other.
const TOGETHER: usize = 8;

/// One int16 a token: those of tokens 0 to 15 in even places, of 16 to 31 in odd ones.
type Entry = [i16; TOKENS];
/// Values of the trits of a group.
const VALUES: usize = 81;
/// The tables of a pass, one after the other, and what a byte that is no code would find.
type Tables = [Entry; GROUPS * VALUES + 1];
/// The entry of a row in each table of a pass.
type Places = [u8; GROUPS];
/// The activations of a group's columns.
type Columns = [__m512i; GROUP];

/// The rows of a tile, in the order of their places and sums: as they come out of four lanes.
const ORDER: [usize; ROWS] = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];

/// The first tokens of a product that tables serve; the others are left to another way.
pub(super) fn tokens_served(tokens: usize) -> usize {
    tokens / TOKENS * TOKENS
}

#[derive(Default)]
struct Scratch {
    tables: Aligned,
    /// Sums of rows between passes.
    kept: Aligned,
    /// Of the rows in each pass of a step.
    places: Aligned,
}

/// The sums of a range of rows and the first `served` tokens; see [`super::Rows`].
///
/// # Safety
/// The CPU must have the features of [`crate::isa::Isa::Avx512Vbmi`].
/// The weights must begin on a cache line.
#[inline(always)]
pub(super) unsafe fn rows(op: &Operands<'_>, served: usize, range: Range<usize>, out: &mut [i32]) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    let tokens = op.quantized.tokens();
    let lines = lanes::lines::<FIELDS>(op.cols);
    let quads = lines * FIELDS;
    let tiles = range.len().div_ceil(ROWS);
    let (weights, _) = op.weights.as_chunks::<LINE>();
    let weights = &weights[range.start / ROWS * lines..][..tiles * lines];
    let (activations, _) = op.tables.as_slice::<i32>().as_chunks::<TOGETHER>();
    // Taken, not borrowed: code in a closure would be compiled without these instructions.
    let mut scratch = SCRATCH.take();
    scratch.tables.reserve(size_of::<Tables>());
    scratch.kept.reserve(BLOCK * size_of::<Entry>());
    scratch.places.reserve(PASSES * BLOCK * size_of::<Places>());
    let (tables, _) = scratch.tables.as_mut_slice::<Entry>().as_chunks_mut();
    let kept = scratch.kept.as_mut_slice::<[Entry; ROWS]>();
    let places = scratch.places.as_mut_slice::<[Places; ROWS]>();
    for first in (0..served).step_by(TOKENS) {
        let activations = &activations[first / TOGETHER * quads..][..TOKENS / TOGETHER * quads];
        let blocks = weights.chunks(TILES * lines);
        let parts = out.chunks_mut(BLOCK * tokens);
        for (row, (weights, out)) in range.clone().step_by(BLOCK).zip(blocks.zip(parts)) {
            let block = Block {
                lines,
                weights,
                activations,
                row,
                first,
            };
            let kept = &mut kept[..weights.len() / lines];
            // SAFETY: the caller vouches for the features.
            unsafe { block.sums(op, &mut tables[0], kept, places, out) };
        }
    }
    SCRATCH.set(scratch);
}

/// Rows that meet 32 tokens.
struct Block<'a> {
    /// Lines of a tile.
    lines: usize,
    weights: &'a [[u8; LINE]],
    /// `[eight tokens][quad of columns][token]`.
    activations: &'a [[i32; TOGETHER]],
    /// The first row.
    row: usize,
    /// The first token.
    first: usize,
}

impl Block<'_> {
    #[inline(always)]
    unsafe fn sums(
        &self,
        op: &Operands<'_>,
        tables: &mut Tables,
        kept: &mut [[Entry; ROWS]],
        places: &mut [[Places; ROWS]],
        out: &mut [i32],
    ) {
        const NONE: [Entry; ROWS] = [[0; TOKENS]; ROWS];
        kept.fill(NONE);
        // SAFETY: the caller vouches for the features.
        unsafe {
            let mut reach = _mm512_setzero_si512();
            let mut new = true;
            for start in (0..self.lines).step_by(LINES) {
                let step = start..self.lines.min(start + LINES);
                self.find(step.clone(), places);
                // The next step, or the first one of the next block.
                let ahead = match step.end < self.lines {
                    true => LINES,
                    false => self.weights.len() - start,
                };
                for pass in 0..PASSES {
                    let lines = start + PAIR * pass..step.end.min(start + PAIR * (pass + 1));
                    let columns = match pass {
                        ACROSS => self.columns_across(step.clone()),
                        _ if lines.is_empty() => continue,
                        _ => self.columns_within(lines),
                    };
                    let mut more = add_magnitudes(reach, &columns);
                    if _mm512_movepi16_mask(more) != 0 {
                        self.widen(op, kept, new, false, out);
                        new = false;
                        kept.fill(NONE);
                        more = add_magnitudes(_mm512_setzero_si512(), &columns);
                    }
                    reach = more;
                    build(&columns, tables);
                    let mut asked = self.weights[start..].chunks(self.lines);
                    let rows = places[pass * TILES..].chunks(SPAN);
                    for (kept, places) in kept.chunks_mut(SPAN).zip(rows) {
                        if pass < ACROSS {
                            for tile in asked.by_ref().take(SPAN) {
                                for line in PAIR * pass..PAIR * (pass + 1) {
                                    prefetch::far_beyond(
                                        tile.as_ptr().cast(),
                                        (ahead + line) * LINE,
                                    );
                                }
                            }
                        }
                        look_up(kept.as_flattened_mut(), tables, places.as_flattened());
                    }
                }
            }
            self.widen(op, kept, new, true, out);
        }
    }

    /// Turns the codes of the lines of a step, of all tiles, into places: `[pass][tile]`.
    #[inline(always)]
    unsafe fn find(&self, step: Range<usize>, places: &mut [[Places; ROWS]]) {
        // SAFETY: the caller vouches for the features; a line is as long as a register, and aligned
        // like one.
        unsafe {
            let unpack = FiveTrits::new();
            for (tile, lines) in self.weights.chunks_exact(self.lines).enumerate() {
                let zero = _mm512_setzero_si512();
                let mut within = [zero; LINES];
                let mut across = [zero; LINES];
                for (i, line) in lines[step.clone()].iter().enumerate() {
                    let line = _mm512_load_si512(line.as_ptr().cast());
                    [within[i], across[i]] = unpack.numbers(line);
                }
                for (pass, pair) in within.as_chunks::<PAIR>().0.iter().enumerate() {
                    store(*pair, &mut places[pass * TILES + tile]);
                }
                let across = across.as_chunks::<GROUP>().0;
                let pair = [bytes(across[0]), bytes(across[1])];
                store(pair, &mut places[ACROSS * TILES + tile]);
            }
        }
    }

    /// The columns of the groups within the bytes of some lines, two at most.
    #[inline(always)]
    unsafe fn columns_within(&self, lines: Range<usize>) -> [Columns; GROUPS] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let mut columns = [[_mm512_setzero_si512(); GROUP]; GROUPS];
            for (line, columns) in lines.zip(columns.as_chunks_mut::<GROUP>().0) {
                for (digit, field) in DIGITS.into_iter().enumerate() {
                    for (columns, q) in columns.iter_mut().zip(self.quad(line * FIELDS + field)) {
                        columns[digit] = q;
                    }
                }
            }
            columns
        }
    }

    /// The columns of the groups across the bytes of a step's lines: those of their first fields.
    #[inline(always)]
    unsafe fn columns_across(&self, step: Range<usize>) -> [Columns; GROUPS] {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let mut columns = [[_mm512_setzero_si512(); GROUP]; GROUPS];
            for (line, columns) in step.zip(&mut columns) {
                *columns = self.quad(line * FIELDS);
            }
            columns
        }
    }

    /// The activations of four neighbouring columns.
    #[inline(always)]
    unsafe fn quad(&self, quad: usize) -> Columns {
        /// Odd words.
        const ODD: u32 = 0xaaaa_aaaa;
        let quads = self.activations.len() / (TOKENS / TOGETHER);
        // SAFETY: the caller vouches for the features; an eighth of activations is half as long as a
        // register.
        unsafe {
            let of = |eight: usize| {
                let eight = &self.activations[eight * quads + quad];
                _mm256_loadu_si256(eight.as_ptr().cast())
            };
            let sixteen =
                |low, high| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(of(low)), of(high));
            let (even, odd) = (sixteen(0, 1), sixteen(2, 3));
            array::from_fn(|j| {
                let left = _mm_cvtsi32_si128(24 - 8 * j as i32);
                let even = _mm512_srai_epi32::<24>(_mm512_sll_epi32(even, left));
                let odd = _mm512_srai_epi32::<8>(_mm512_sll_epi32(odd, left));
                _mm512_mask_blend_epi16(ODD, even, odd)
            })
        }
    }

    /// Adds the rows' sums to what stands in `out`, unless it is `new`. The `last` time what was added up
    /// is scaled if the operands say how. What is to be scaled stands by token, else by row.
    #[inline(always)]
    unsafe fn widen(
        &self,
        op: &Operands<'_>,
        kept: &[[Entry; ROWS]],
        new: bool,
        last: bool,
        out: &mut [i32],
    ) {
        let tokens = op.quantized.tokens();
        let tiles = out.chunks_mut(ROWS * tokens);
        for (tile, (kept, out)) in kept.iter().zip(tiles).enumerate() {
            let rows = out.len() / tokens;
            // SAFETY: the caller vouches for the features; sums are as long as a register, and aligned
            // like one, and the mask is as wide as the places.
            unsafe {
                let mut halves = [[_mm512_setzero_si512(); ROWS]; 2];
                for (kept, row) in kept.iter().zip(ORDER) {
                    let sums = _mm512_load_si512(kept.as_ptr().cast());
                    halves[0][row] = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(sums));
                    halves[1][row] = _mm512_srai_epi32::<16>(sums);
                }
                let factors = op.factors(self.row + tile * ROWS);
                let (mask, stride) = match factors {
                    Some(_) => {
                        for block in &mut halves {
                            transpose(block);
                        }
                        (u16::MAX >> (ROWS - rows), rows)
                    }
                    None => (u16::MAX, tokens),
                };
                for (half, block) in halves.into_iter().enumerate() {
                    let first = self.first + half * ROWS;
                    for (i, mut sums) in block.into_iter().enumerate() {
                        let place = match factors {
                            Some(_) => (first + i) * stride..(first + i) * stride + rows,
                            None => i * stride + first..i * stride + first + ROWS,
                        };
                        let Some(place) = out.get_mut(place) else {
                            break; // Beyond the last row.
                        };
                        if !new {
                            let before = _mm512_maskz_loadu_epi32(mask, place.as_ptr());
                            sums = _mm512_add_epi32(sums, before);
                        }
                        if let Some(factors) = factors.filter(|_| last) {
                            let factor = _mm512_set1_ps(factors[first + i]);
                            let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), factor);
                            sums = _mm512_castps_si512(scaled);
                        }
                        _mm512_mask_storeu_epi32(place.as_mut_ptr(), mask, sums);
                    }
                }
            }
        }
    }
}

/// Lays out the places of sixteen rows, four of each row in a lane's word of either register.
#[inline(always)]
unsafe fn store([low, high]: [__m512i; PAIR], to: &mut [Places; ROWS]) {
    // SAFETY: the caller vouches for the features; `to` is two registers long, and aligned.
    unsafe {
        let to: *mut __m512i = to.as_mut_ptr().cast();
        _mm512_store_si512(to, _mm512_unpacklo_epi32(low, high));
        _mm512_store_si512(to.add(1), _mm512_unpackhi_epi32(low, high));
    }
}

/// Four numbers for each of sixteen rows, next to each other as bytes.
#[inline(always)]
unsafe fn bytes([a, b, c, d]: [__m512i; GROUP]) -> __m512i {
    // SAFETY: the caller vouches for the features.
    unsafe {
        let pairs = [
            _mm512_or_si512(a, _mm512_slli_epi32::<8>(b)),
            _mm512_or_si512(c, _mm512_slli_epi32::<8>(d)),
        ];
        _mm512_or_si512(pairs[0], _mm512_slli_epi32::<16>(pairs[1]))
    }
}

/// Adds to each token's sum the magnitudes of its activations in the groups of a pass.
#[inline(always)]
unsafe fn add_magnitudes(mut sums: __m512i, columns: &[Columns; GROUPS]) -> __m512i {
    for column in columns.as_flattened() {
        // SAFETY: the caller vouches for the features.
        sums = unsafe { _mm512_adds_epu16(sums, _mm512_abs_epi16(*column)) };
    }
    sums
}

/// Fills the tables of a pass: entry `sum d_j 3^j` is the sum of `(d_j - 1) q_j`. Each digit triples
/// what the digits below it have filled.
#[inline(always)]
unsafe fn build(groups: &[Columns; GROUPS], tables: &mut Tables) {
    for (table, columns) in tables.chunks_exact_mut(VALUES).zip(groups) {
        // SAFETY: the caller vouches for the features; an entry is as long as a register, and aligned
        // like one.
        unsafe {
            let lowest = columns
                .iter()
                .fold(_mm512_setzero_si512(), |sum, &q| _mm512_sub_epi16(sum, q));
            _mm512_store_si512(table[0].as_mut_ptr().cast(), lowest);
            let mut filled = 1;
            for &q in columns {
                for from in 0..2 * filled {
                    let sum = _mm512_load_si512(table[from].as_ptr().cast());
                    let to = table[filled + from].as_mut_ptr();
                    _mm512_store_si512(to.cast(), _mm512_add_epi16(sum, q));
                }
                filled *= 3;
            }
        }
    }
}

/// Adds what each row finds in the tables of a pass to its sums.
#[inline(always)]
unsafe fn look_up(kept: &mut [Entry], tables: &Tables, places: &[Places]) {
    for (kept, places) in kept.iter_mut().zip(places) {
        let mut places = u64::from_le_bytes(*places);
        // SAFETY: the caller vouches for the features; an entry is as long as a register, and aligned
        // like one. A place is at most 81, and one entry follows the last table.
        unsafe {
            let mut sums = _mm512_load_si512(kept.as_ptr().cast());
            for group in 0..GROUPS {
                let entry = tables.get_unchecked(group * VALUES + usize::from(places as u8));
                sums = _mm512_add_epi16(sums, _mm512_load_si512(entry.as_ptr().cast()));
                places >>= 8;
            }
            _mm512_store_si512(kept.as_mut_ptr().cast(), sums);
        }
    }
}
