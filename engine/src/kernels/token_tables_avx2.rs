//! Products of many tokens with AVX2: tables whose entries are vectors over 32 tokens.
//!
//! The trits of four columns have 81 values. For each of these a table holds the sums of the four
//! columns' activations, of 32 tokens in int16. It is built once a group of columns and serves
//! every row: a row then costs two loads and two additions a group, for 128 multiply-adds.
//!
//! A *step* of columns is 32 groups. What its codes ask of the tables is found for all rows at once
//! and kept in the order in which it will be read: the codes of a step lie far apart, and would come
//! late. A *pass* takes eight groups, whose tables fill the first-level cache, and walks all rows;
//! between passes the rows' int16 sums wait in the second-level cache. A run of passes ends, and its
//! sums are widened into the output, where the magnitudes of some token's activations no longer add
//! up to an int16.

use std::arch::x86_64::*;
use std::array;
use std::cell::RefCell;
use std::ops::Range;

use super::Operands;
use crate::aligned::Aligned;
use crate::input::Quantized;
use crate::prefetch;

/// Tokens of an entry.
pub(super) const TOKENS: usize = 32;
/// Columns of a group.
const GROUP: usize = 4;
/// Groups of a pass.
const GROUPS: usize = 8;
/// Passes of a step.
const PASSES: usize = 4;
/// Bytes of a row's codes of a step: one a group.
pub(super) const CODES: usize = PASSES * GROUPS;
/// Rows whose codes lie next to each other.
const ROWS: usize = 4;
/// Rows whose sums are kept between passes.
const BLOCK: usize = 4096;
/// Tiles between which the next step is asked for.
const SPAN: usize = 16;
/// Rows below which tables cost more than they save.
pub(super) const MIN_ROWS: usize = 512;
/// Tokens below which a table, which always costs that of 32, is not worth it.
const MIN_TOKENS: usize = 20;

/// One int16 a token.
type Entry = [i16; TOKENS];
/// Values of the trits of a group.
const VALUES: usize = 81;
/// The tables of a pass, one after the other, and beyond them what a byte could ask of the last.
type Tables = [Entry; 1024];
const _: () = assert!((GROUPS - 1) * VALUES + 256 <= size_of::<Tables>() / size_of::<Entry>());
/// The codes of a step of some rows, each trit + 1 in two bits: byte `i` has those of columns `i`,
/// `i + 32`, `i + 64` and `i + 96`, low bits first.
pub(super) type Step = [[u8; CODES]; ROWS];
/// The entries of a pass's tables that a row asks for.
type Places = [u8; GROUPS];
/// The activations of a group's columns, of one token.
pub(super) type Quad = [i8; GROUP];
/// Those of all tokens of an entry.
pub(super) type Quads = [Quad; TOKENS];

/// The first tokens of a product that tables serve; the others are left to another way.
pub(super) fn tokens_served(tokens: usize) -> usize {
    match tokens % TOKENS {
        rest if rest >= MIN_TOKENS => tokens,
        rest => tokens - rest,
    }
}

/// Tokens of whole entries.
pub(super) fn shares(tokens: usize) -> usize {
    tokens_served(tokens).next_multiple_of(TOKENS)
}

/// Bytes of the activations of one of them.
pub(super) fn share_bytes(steps: usize) -> usize {
    steps * CODES * size_of::<Quad>()
}

/// Activations as tables are built from them: `[32 tokens][step][group]`, zeros for tokens beyond
/// the last.
#[target_feature(enable = "avx2")]
pub(super) fn prepare(quantized: &Quantized, some: Range<usize>, steps: usize, to: &mut [u8]) {
    let served = tokens_served(quantized.tokens());
    let groups = steps * CODES;
    let all = bytemuck::cast_slice_mut::<u8, Quads>(to).chunks_exact_mut(groups);
    for (first, groups) in some.step_by(TOKENS).zip(all) {
        for (step, groups) in groups.chunks_exact_mut(CODES).enumerate() {
            for t in 0..TOKENS {
                let quads = match first + t {
                    t if t < served => quads(quantized.padded(t), step),
                    _ => [[0; GROUP]; CODES],
                };
                for (group, quad) in groups.iter_mut().zip(quads) {
                    group[t] = quad;
                }
            }
        }
    }
}

/// A token's activations of a step, by group.
#[target_feature(enable = "avx2")]
fn quads(q: &[i8], step: usize) -> [Quad; CODES] {
    let planes: [[i8; CODES]; GROUP] = bytemuck::cast(q.as_chunks::<{ GROUP * CODES }>().0[step]);
    let planes: [__m256i; GROUP] = planes.map(bytemuck::cast);
    let pairs = |low, high| {
        [
            _mm256_unpacklo_epi8(planes[low], planes[high]),
            _mm256_unpackhi_epi8(planes[low], planes[high]),
        ]
    };
    let (low, high) = (pairs(0, 1), pairs(2, 3));
    let quads = [
        _mm256_unpacklo_epi16(low[0], high[0]),
        _mm256_unpackhi_epi16(low[0], high[0]),
        _mm256_unpacklo_epi16(low[1], high[1]),
        _mm256_unpackhi_epi16(low[1], high[1]),
    ];
    // The halves of each are sixteen groups apart.
    bytemuck::cast([
        _mm256_permute2x128_si256::<0x20>(quads[0], quads[1]),
        _mm256_permute2x128_si256::<0x20>(quads[2], quads[3]),
        _mm256_permute2x128_si256::<0x31>(quads[0], quads[1]),
        _mm256_permute2x128_si256::<0x31>(quads[2], quads[3]),
    ])
}

#[derive(Default)]
struct Scratch {
    tables: Aligned,
    /// Sums of rows between passes.
    kept: Aligned,
    /// Of the rows in each pass of a step.
    places: Aligned,
}

/// The sums of some tokens, at most 32.
///
/// `groups` holds their activations as [`prepare`] writes them, `tiles` the codes of four rows each
/// from the range's first on.
#[target_feature(enable = "avx2")]
pub(super) fn sums(
    op: &Operands<'_>,
    groups: &[Quads],
    tiles: &[Step],
    some: Range<usize>,
    out: &mut [i32],
) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    let tokens = op.quantized.tokens();
    let steps = groups.len() / CODES;
    // Taken, not borrowed: code in a closure would be compiled without AVX2.
    let mut scratch = SCRATCH.take();
    scratch.tables.reserve(size_of::<Tables>());
    scratch.kept.reserve(BLOCK * size_of::<Entry>());
    scratch.places.reserve(BLOCK * CODES);
    let [tables] = scratch.tables.as_mut_slice::<Tables>() else {
        unreachable!("reserved for one pass")
    };
    let kept = scratch.kept.as_mut_slice::<[Entry; ROWS]>();
    let places = scratch.places.as_mut_slice::<[Places; ROWS]>();
    let blocks = tiles.chunks(BLOCK / ROWS * steps);
    for (tiles, out) in blocks.zip(out.chunks_mut(BLOCK * tokens)) {
        let kept = &mut kept[..tiles.len() / steps];
        kept.fill([[0; TOKENS]; ROWS]);
        let mut passes = groups.chunks_exact(GROUPS).enumerate().peekable();
        let mut reach = [0; TOKENS];
        let mut first = true;
        while let Some((pass, groups)) = passes.next() {
            let (step, pass) = (pass / PASSES, pass % PASSES);
            if pass == 0 {
                find(tiles.iter().skip(step).step_by(steps), places);
            }
            // A quarter of what the next step reads, or the first step of the next block.
            let ahead = match step + 1 < steps {
                true => size_of::<Step>(),
                false => size_of_val(tiles) - step * size_of::<Step>(),
            };
            let mut asked = tiles
                .iter()
                .skip(pass * steps + step)
                .step_by(PASSES * steps);
            build(groups, tables);
            let rows = places[pass * BLOCK / ROWS..].chunks(SPAN);
            for (kept, places) in kept.chunks_mut(SPAN).zip(rows) {
                for step in asked.by_ref().take(SPAN / PASSES) {
                    prefetch::all_beyond(step, ahead);
                }
                look_up(kept.as_flattened_mut(), tables, places.as_flattened());
            }
            reach = add_magnitudes(reach, groups);
            let beyond = |(_, next): &(_, &[Quads])| {
                let reach = add_magnitudes(reach, next);
                reach.into_iter().any(|sum| sum > i32::from(i16::MAX))
            };
            if passes.peek().is_none_or(beyond) {
                let rows = kept.as_flattened_mut().iter_mut();
                for (kept, out) in rows.zip(out.chunks_exact_mut(tokens)) {
                    widen(kept, &mut out[some.clone()], first);
                    *kept = [0; TOKENS];
                }
                (reach, first) = ([0; TOKENS], false);
            }
        }
    }
    SCRATCH.set(scratch);
}

/// Turns the codes of one step of all rows into places in the tables, where the codes are digits of
/// base three: `[pass][row]`.
#[target_feature(enable = "avx2")]
fn find<'a>(steps: impl Iterator<Item = &'a Step>, places: &mut [[Places; ROWS]]) {
    /// By two codes; the last of a line can't occur.
    const DIGITS: [u8; 16] = [0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 0, 0, 0, 0];
    let digits: __m256i = bytemuck::cast([DIGITS; 2]);
    let nines: __m256i = bytemuck::cast([DIGITS.map(|d| 9 * d); 2]);
    let two = _mm256_set1_epi8(15);
    for (tile, step) in steps.enumerate() {
        let mut rows = [_mm256_setzero_si256(); ROWS];
        for (places, codes) in rows.iter_mut().zip(step) {
            let codes: __m256i = bytemuck::cast(*codes);
            let low = _mm256_shuffle_epi8(digits, _mm256_and_si256(codes, two));
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), two);
            *places = _mm256_add_epi8(low, _mm256_shuffle_epi8(nines, high));
        }
        let even = [
            _mm256_unpacklo_epi64(rows[0], rows[1]),
            _mm256_unpacklo_epi64(rows[2], rows[3]),
        ];
        let odd = [
            _mm256_unpackhi_epi64(rows[0], rows[1]),
            _mm256_unpackhi_epi64(rows[2], rows[3]),
        ];
        let passes = [
            _mm256_permute2x128_si256::<0x20>(even[0], even[1]),
            _mm256_permute2x128_si256::<0x20>(odd[0], odd[1]),
            _mm256_permute2x128_si256::<0x31>(even[0], even[1]),
            _mm256_permute2x128_si256::<0x31>(odd[0], odd[1]),
        ];
        for (pass, found) in passes.into_iter().enumerate() {
            places[pass * BLOCK / ROWS + tile] = bytemuck::cast(found);
        }
    }
}

/// Adds to each token's sum the magnitudes of its activations in the groups of a pass.
#[target_feature(enable = "avx2")]
fn add_magnitudes(sums: [i32; TOKENS], groups: &[Quads]) -> [i32; TOKENS] {
    let mut sums: [__m256i; 4] = bytemuck::cast(sums);
    for quads in groups {
        let quads: [__m256i; 4] = bytemuck::cast(*quads);
        for (sum, quads) in sums.iter_mut().zip(quads) {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(quads), _mm256_set1_epi8(1));
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
    }
    bytemuck::cast(sums)
}

/// Adds what each row finds in the tables of a pass to its sums.
#[inline(never)] // Among other code, addresses don't stay in registers.
#[target_feature(enable = "avx2")]
fn look_up(kept: &mut [Entry], tables: &Tables, places: &[Places]) {
    for (kept, places) in kept.iter_mut().zip(places) {
        *kept = add_entries(*kept, tables, *places);
    }
}

#[target_feature(enable = "avx2")]
fn add_entries(sums: Entry, tables: &Tables, places: Places) -> Entry {
    let [mut low, mut high]: [__m256i; 2] = bytemuck::cast(sums);
    let mut places = u64::from_le_bytes(places);
    for group in 0..GROUPS {
        let entry = &tables[group * VALUES + usize::from(places as u8)];
        let [more_low, more_high]: [__m256i; 2] = bytemuck::cast(*entry);
        low = _mm256_add_epi16(low, more_low);
        high = _mm256_add_epi16(high, more_high);
        places >>= 8;
    }
    bytemuck::cast([low, high])
}

/// Writes a row's sums, or adds them to those of earlier runs.
#[target_feature(enable = "avx2")]
fn widen(sums: &Entry, out: &mut [i32], first: bool) {
    // All tokens of an entry are the rule, and quicker by themselves.
    let (whole, rest) = out.as_chunks_mut::<TOKENS>();
    let add = |out: &mut i32, sum| *out = i32::from(sum) + if first { 0 } else { *out };
    for whole in whole {
        whole
            .iter_mut()
            .zip(sums)
            .for_each(|(out, &sum)| add(out, sum));
    }
    rest.iter_mut()
        .zip(sums)
        .for_each(|(out, &sum)| add(out, sum));
}

/// Fills the tables of a pass: entry `sum d_j 3^j` is the sum of `(d_j - 1) q_j`. Each digit triples
/// what the digits below it have filled.
#[target_feature(enable = "avx2")]
fn build(groups: &[Quads], tables: &mut Tables) {
    for (table, quads) in tables.chunks_exact_mut(VALUES).zip(groups) {
        let columns = columns(quads);
        let zero = [0; TOKENS];
        table[0] = columns
            .into_iter()
            .fold(zero, |sum, column| sub(sum, column));
        let mut filled = 1;
        for column in columns {
            for from in 0..2 * filled {
                table[filled + from] = add(table[from], column);
            }
            filled *= 3;
        }
    }
}

/// A group's activations, by column.
#[target_feature(enable = "avx2")]
fn columns(quads: &Quads) -> [Entry; GROUP] {
    let quads: [__m256i; 4] = bytemuck::cast(*quads);
    let column = |shift: __m128i| -> Entry {
        let of = |quads| _mm256_srai_epi32::<24>(_mm256_sll_epi32(quads, shift));
        let pair = |low, high| {
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(of(low), of(high)))
        };
        bytemuck::cast([pair(quads[0], quads[1]), pair(quads[2], quads[3])])
    };
    array::from_fn(|j| column(_mm_cvtsi32_si128(24 - 8 * j as i32)))
}

#[target_feature(enable = "avx2")]
fn add(a: Entry, b: Entry) -> Entry {
    let (a, b): ([__m256i; 2], [__m256i; 2]) = (bytemuck::cast(a), bytemuck::cast(b));
    bytemuck::cast([_mm256_add_epi16(a[0], b[0]), _mm256_add_epi16(a[1], b[1])])
}

#[target_feature(enable = "avx2")]
fn sub(a: Entry, b: Entry) -> Entry {
    let (a, b): ([__m256i; 2], [__m256i; 2]) = (bytemuck::cast(a), bytemuck::cast(b));
    bytemuck::cast([_mm256_sub_epi16(a[0], b[0]), _mm256_sub_epi16(a[1], b[1])])
}
