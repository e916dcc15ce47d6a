//! T-MAC with AVX2: tables of two activations' partial sums, looked up by `pshufb`.
//!
//! The nine sums of two activations reach 256, so a table has two halves of 16 bytes: a sum is
//! `32 * high + low`. Both parts are small enough for several to be summed in bytes, where a
//! lookup costs one shuffle and one addition for 32 rows, before anything is widened.
//!
//! Per 32 packed bytes, 128 weights: 1 shift, 2 `and`, 4 `vpshufb`, 4 `vpaddb`, and for each four of
//! them 4 `vpmaddubsw` and 4 `vpaddw`.

use std::arch::x86_64::*;
use std::ops::Range;

use super::layout::{self, Layout};
use super::prepare::Preparation;
use super::{Mix, Operands, Packing, Spec};
use crate::input::Quantized;
use crate::isa::Isa;
use crate::prefetch;
use crate::trits::Trits;

pub(super) const SPEC: Spec = Spec {
    name: "tmac-avx2",
    idea: "two trits in four bits index a table of nine sums by pshufb, 32 rows at once",
    isa: Isa::Avx2,
    bits_per_weight: 2.0,
    tile: TILE,
    rows_of_a_call: |_| 0,
    scales: false,
    mix: Some(Mix {
        vector: 32,
        instructions: 13,
    }),
    prepare: Preparation::Shares {
        grain: 1,
        shares: |tokens| tokens,
        bytes: |cols| units(cols) * size_of::<Tables>(),
        write: prepare,
    },
    rows,
    packing: Packing::LaidOut(Layout {
        bytes: |rows, cols| rows.div_ceil(TILE) * units(cols) * UNIT * TILE,
        pack,
        code: |weights, at| {
            let step = at.n / TILE * units(at.cols) * UNIT + at.k / STEP;
            let indices = weights[step * TILE + at.n % TILE];
            let (pair, place) = (at.k % STEP / 2, at.k % 2);
            layout::digit((indices >> (4 * pair)) & 15, place)
        },
        sound: |bytes| layout::all(bytes, |byte| (byte & 15 < 9) & (byte >> 4 < 9)),
    }),
};

/// Rows of a vector: a byte each.
const LANES: usize = 32;
/// Vectors that share the loads of tables.
const VECTORS: usize = 2;
/// Rows of a tile.
const TILE: usize = VECTORS * LANES;
/// Columns of a step: two of the low half of each byte, two of the high half.
const STEP: usize = 4;
/// Steps that byte sums survive: each adds two low parts, -16 at least, and 4 * 2 * -16 is just
/// -128. (The high parts reach 8.)
const UNIT: usize = 4;
/// Units that int16 sums survive: each adds eight table entries, 256 at most, and
/// 15 * 8 * 256 < 2^15.
const FLUSH: usize = 15;
/// Tokens that walk a tile together, so that it is read from memory once for all of them.
const BATCH: usize = 8;
/// Tiles that a batch walks before the next one does: its tables stay in L2.
const TILES: usize = 8;
/// How far ahead of its use the weights are asked for, in bytes.
const AHEAD: usize = 2048;

/// A step of a tile: byte i of a vector holds the two indices of row i, the lower columns' low.
type Step = [[u8; LANES]; VECTORS];
/// Low and high parts of the sums of two activations, by index `3 * (w1 + 1) + (w0 + 1)`.
type Table = [[i8; 16]; 2];
/// Tables of a unit: two a step.
type Tables = [Table; 2 * UNIT];
/// int32 sums of a vector's rows: that of row `4 * i + j` is at `[j][i]`.
type Sums = [[i32; LANES / 4]; 4];

fn units(cols: usize) -> usize {
    cols.div_ceil(STEP * UNIT)
}

/// Tiles of [`TILE`] rows, each of all steps.
fn pack(trits: &Trits, packed: &mut [u8]) {
    let steps = units(trits.cols()) * UNIT;
    let tiles = bytemuck::cast_slice_mut::<u8, Step>(packed).chunks_exact_mut(steps);
    for (i, tile) in tiles.enumerate() {
        for n in i * TILE..trits.rows().min((i + 1) * TILE) {
            for (step, trits) in tile.iter_mut().zip(trits.row(n).chunks(STEP)) {
                let byte = &mut step.as_flattened_mut()[n % TILE];
                for (&w, place) in trits.iter().zip([1, 3, 16, 48]) {
                    *byte += (w + 1) as u8 * place;
                }
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn prepare(quantized: &Quantized, tokens: Range<usize>, tables: &mut [u8]) {
    let units = units(quantized.cols());
    let (tables, _) = tables.as_chunks_mut::<32>();
    let (tables, _) = tables.as_chunks_mut::<{ 2 * UNIT }>();
    for (t, tables) in tokens.zip(tables.chunks_exact_mut(units)) {
        let (pairs, _) = quantized.padded(t).as_chunks::<2>();
        for (table, &pair) in tables.as_flattened_mut().iter_mut().zip(pairs) {
            *table = bytemuck::cast(fill(pair));
        }
    }
}

/// The [`Table`] of two activations.
#[target_feature(enable = "avx2")]
fn fill(pair: [i8; 2]) -> __m256i {
    // Codes (trit + 1) of the two columns, by index.
    let codes = _mm256_setr_epi8(
        0, 0, 1, 0, 2, 0, 0, 1, 1, 1, 2, 1, 0, 2, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    );
    let pair = _mm256_set1_epi16(i16::from_le_bytes(pair.map(|q| q as u8)));
    let sums = _mm256_sub_epi16(
        _mm256_maddubs_epi16(codes, pair),
        _mm256_maddubs_epi16(_mm256_set1_epi8(1), pair),
    );
    let high = _mm256_srai_epi16::<5>(_mm256_add_epi16(sums, _mm256_set1_epi16(16)));
    let low = _mm256_sub_epi16(sums, _mm256_slli_epi16::<5>(high));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high))
}

#[target_feature(enable = "avx2")]
fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    let units = units(op.cols);
    let tokens = op.quantized.tokens();
    let bytes = units * UNIT * size_of::<Step>();
    let tiles = &op.weights[range.start / TILE * bytes..][..range.len().div_ceil(TILE) * bytes];
    let tiles: &[[Step; UNIT]] = bytemuck::cast_slice(tiles);
    let tables: &[Tables] =
        bytemuck::cast_slice(&op.tables.as_slice::<u8>()[..tokens * units * size_of::<Tables>()]);

    let groups = tiles
        .chunks(TILES * units)
        .zip(out.chunks_mut(TILES * TILE * tokens));
    for (tiles, out) in groups {
        for first in (0..tokens).step_by(BATCH) {
            let batch = first..tokens.min(first + BATCH);
            let tiles = tiles.chunks_exact(units);
            for (tile, out) in tiles.zip(out.chunks_mut(TILE * tokens)) {
                let mut sums = [[Sums::default(); VECTORS]; BATCH];
                for (at, tile) in (0..).step_by(FLUSH).zip(tile.chunks(FLUSH)) {
                    for (t, sums) in batch.clone().zip(&mut sums) {
                        add(tile, &tables[t * units + at..][..tile.len()], sums);
                    }
                }
                for (row, out) in out.chunks_exact_mut(tokens).enumerate() {
                    for (t, sums) in batch.clone().zip(&sums) {
                        out[t] = sums[row / LANES][row % 4][row % LANES / 4];
                    }
                }
            }
        }
    }
}

/// Adds the products of at most [`FLUSH`] units to `sums`.
#[target_feature(enable = "avx2")]
fn add(tile: &[[Step; UNIT]], tables: &[Tables], sums: &mut [Sums; VECTORS]) {
    let nibble = _mm256_set1_epi8(15);
    let zero = _mm256_setzero_si256();
    let mut even = [zero; VECTORS];
    let mut odd = [zero; VECTORS];
    for (unit, tables) in tile.iter().zip(tables) {
        prefetch::ahead::<_, AHEAD>(unit);
        let mut low = [zero; VECTORS];
        let mut high = [zero; VECTORS];
        for (step, tables) in unit.iter().zip(tables.as_chunks::<2>().0) {
            let [[low_0, high_0], [low_1, high_1]] = tables;
            let (low_0, high_0) = (twice(low_0), twice(high_0));
            let (low_1, high_1) = (twice(low_1), twice(high_1));
            for v in 0..VECTORS {
                let pairs: __m256i = bytemuck::cast(step[v]);
                let first = _mm256_and_si256(pairs, nibble);
                let second = _mm256_and_si256(_mm256_srli_epi16::<4>(pairs), nibble);
                low[v] = _mm256_add_epi8(low[v], _mm256_shuffle_epi8(low_0, first));
                high[v] = _mm256_add_epi8(high[v], _mm256_shuffle_epi8(high_0, first));
                low[v] = _mm256_add_epi8(low[v], _mm256_shuffle_epi8(low_1, second));
                high[v] = _mm256_add_epi8(high[v], _mm256_shuffle_epi8(high_1, second));
            }
        }
        for v in 0..VECTORS {
            even[v] = add_bytes::<0>(even[v], low[v], high[v]);
            odd[v] = add_bytes::<8>(odd[v], low[v], high[v]);
        }
    }
    for v in 0..VECTORS {
        for (j, short) in [(0, even[v]), (1, odd[v])] {
            add_words::<0>(&mut sums[v][j], short);
            add_words::<16>(&mut sums[v][j + 2], short);
        }
    }
}

#[target_feature(enable = "avx2")]
fn twice(half: &[i8; 16]) -> __m256i {
    _mm256_broadcastsi128_si256(bytemuck::cast(*half))
}

/// Adds `32 * high + low` to int16 sums: of even bytes (`SHIFT` 0) or odd ones (8).
#[target_feature(enable = "avx2")]
fn add_bytes<const SHIFT: i32>(sum: __m256i, low: __m256i, high: __m256i) -> __m256i {
    let low = _mm256_maddubs_epi16(_mm256_set1_epi16(1 << SHIFT), low);
    let high = _mm256_maddubs_epi16(_mm256_set1_epi16(32 << SHIFT), high);
    _mm256_add_epi16(sum, _mm256_add_epi16(low, high))
}

/// Adds int16 sums to int32 ones: the even words (`SHIFT` 0) or the odd ones (16).
#[target_feature(enable = "avx2")]
fn add_words<const SHIFT: i32>(sums: &mut [i32; 8], short: __m256i) {
    let words = _mm256_madd_epi16(short, _mm256_set1_epi32(1 << SHIFT));
    *sums = bytemuck::cast(_mm256_add_epi32(bytemuck::cast(*sums), words));
}
