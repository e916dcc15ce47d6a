//! Direct products with AVX2: two-bit codes times int8 activations by `vpmaddubsw`.
//!
//! A code is trit + 1, unsigned as the instruction wants it, so a row's sum comes out too large by
//! the sum of the activations. Padding columns meet zero activations and count for nothing.
//!
//! Per 32 packed bytes, 128 weights: 1 shift, 4 `and`, 4 `vpmaddubsw`, 4 `vpaddw`.

use std::arch::x86_64::*;
use std::array;
use std::ops::Range;

use super::layout::{self, Layout};
use super::prepare::Preparation;
use super::token_tables_avx2 as token_tables;
use super::{Mix, Operands, Packing, Spec};
use crate::input::Quantized;
use crate::isa::Isa;
use crate::prefetch::{self, Distance};
use crate::streams::{Block, STREAMS, TURN};
use crate::trits::Trits;

pub(super) const SPEC: Spec = Spec {
    name: "maddubs-avx2",
    idea: "two-bit codes times int8 activations, pairs summed in int16 by vpmaddubsw",
    isa: Isa::Avx2,
    bits_per_weight: 2.0,
    tile: TILE,
    rows_of_a_call: |tokens| match token_tables::tokens_served(tokens) {
        0 => 0,
        _ => token_tables::MIN_ROWS,
    },
    scales: false,
    mix: Some(Mix {
        vector: 32,
        instructions: 13,
    }),
    prepare: Preparation::Shares {
        grain: token_tables::TOKENS,
        shares: token_tables::shares,
        bytes: |cols| token_tables::share_bytes(steps(cols)),
        write: prepare,
    },
    rows,
    packing: Packing::LaidOut(Layout {
        bytes: |rows, cols| rows.div_ceil(TILE) * steps(cols) * size_of::<Step>(),
        pack,
        code: |weights, at| {
            let step = at.n / TILE * steps(at.cols) + at.k / STEP;
            let byte = (step * TILE + at.n % TILE) * LANES + at.k % LANES;
            (weights[byte] >> (at.k % STEP / LANES * 2)) & 3
        },
        sound: layout::pairs_of_bits,
    }),
};

/// Rows that share a load of activations.
const TILE: usize = 4;
/// Bytes of a vector.
const LANES: usize = 32;
/// Columns of a step: four codes in each byte of a vector.
const STEP: usize = 4 * LANES;
/// Steps that int16 sums survive: each adds four products of a code four times too large (at most
/// 8) and an activation (at least -128), and 8 * 4 * 8 * -128 is just -32768.
const FLUSH: usize = 8;
/// Steps of a turn of [`crate::streams`].
const TURN_STEPS: usize = TURN / size_of::<Step>();
const _: () = assert!(TURN_STEPS > 0 && TURN_STEPS <= FLUSH);
/// Tokens that share the unpacking of a row.
const BATCH: usize = 4;
/// Tiles that a batch of tokens walks before the next batch does: their weights stay in L2.
const TILES: usize = 8;

type Vector = [u8; LANES];
/// A step of a tile: a vector for each row. Bits 2p and 2p+1 of byte i are the code of column 32p + i.
type Step = [Vector; TILE];

fn steps(cols: usize) -> usize {
    cols.div_ceil(STEP)
}

/// Tiles of [`TILE`] rows, each of all steps.
fn pack(trits: &Trits, packed: &mut [u8]) {
    let steps = steps(trits.cols());
    let tiles = bytemuck::cast_slice_mut::<u8, Step>(packed).chunks_exact_mut(steps);
    for (i, tile) in tiles.enumerate() {
        for n in i * TILE..trits.rows().min((i + 1) * TILE) {
            for (step, trits) in tile.iter_mut().zip(trits.row(n).chunks(STEP)) {
                for (plane, trits) in trits.chunks(LANES).enumerate() {
                    for (byte, &w) in step[n % TILE].iter_mut().zip(trits) {
                        *byte |= ((w + 1) as u8) << (2 * plane);
                    }
                }
            }
        }
    }
}

/// For tables over tokens, where there are enough.
#[target_feature(enable = "avx2")]
fn prepare(quantized: &Quantized, tokens: Range<usize>, tables: &mut [u8]) {
    token_tables::prepare(quantized, tokens, steps(quantized.cols()), tables);
}

#[target_feature(enable = "avx2")]
fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    let steps = steps(op.cols);
    let tokens = op.quantized.tokens();
    let tiles = &op.weights[range.start / TILE * steps * size_of::<Step>()..]
        [..range.len().div_ceil(TILE) * steps * size_of::<Step>()];
    let tiles: &[Step] = bytemuck::cast_slice(tiles);
    let served = match range.len() {
        few if few < token_tables::MIN_ROWS => 0,
        _ => token_tables::tokens_served(tokens),
    };
    let groups = op
        .tables
        .as_slice()
        .chunks_exact(steps * token_tables::CODES);
    for (t, groups) in (0..served).step_by(token_tables::TOKENS).zip(groups) {
        let some = t..served.min(t + token_tables::TOKENS);
        token_tables::sums(op, groups, tiles, some, out);
    }
    let distance = prefetch::distance();
    let activations = |t| -> &[[i8; STEP]] { &op.quantized.padded(t).as_chunks().0[..steps] };
    let tile = steps * size_of::<Step>();
    let count = range.len().div_ceil(TILE);
    let batched = served + (tokens - served) / BATCH * BATCH;
    let one = |block: &Block, t: usize, out: &mut [i32]| {
        let (q, bias) = (activations(t), op.quantized.sums()[t]);
        let mut write = |tile: usize, sums: [i32; TILE]| {
            let out = out[tile * TILE * tokens..].chunks_exact_mut(tokens);
            for (out, sum) in out.zip(sums) {
                out[t] = sum - bias;
            }
        };
        match distance {
            Distance::Bytes(n) => sum_token::<true>(block, tiles, q, n.get(), &mut write),
            Distance::Off => sum_token::<false>(block, tiles, q, 0, &mut write),
        }
    };
    if batched == served {
        if let (Some(block), Distance::Bytes(n)) = (Block::all(count, tile).next(), distance) {
            block.begin(tiles.as_ptr().cast(), n.get());
        }
        for block in Block::all(count, tile) {
            for t in served..tokens {
                one(&block, t, out);
            }
        }
        return;
    }
    for first in (0..count).step_by(TILES) {
        let block = Block::new(first..count.min(first + TILES), tile);
        for t in (served..batched).step_by(BATCH) {
            let batch: [_; BATCH] = array::from_fn(|i| activations(t + i));
            for tile in block.tiles() {
                let out = out[tile * TILE * tokens..].chunks_exact_mut(tokens);
                for (row, out) in out.take(TILE).enumerate() {
                    let sums = sum_batch(&tiles[tile * steps..][..steps], row, batch);
                    for (i, sum) in sums.into_iter().enumerate() {
                        out[t + i] = sum - op.quantized.sums()[t + i];
                    }
                }
            }
        }
        for t in batched..tokens {
            one(&block, t, out);
        }
    }
}

/// Sums of code times activation, of one token: gives each tile of a block with its rows' sums to
/// `write`. Weights are asked for `ahead` bytes before their turn if `ASK`.
#[target_feature(enable = "avx2")]
fn sum_token<const ASK: bool>(
    block: &Block,
    tiles: &[Step],
    q: &[[i8; STEP]],
    ahead: usize,
    write: &mut impl FnMut(usize, [i32; TILE]),
) {
    let steps = q.len();
    for i in 0..block.longest() {
        let mut sums = [[_mm256_setzero_si256(); TILE]; STREAMS];
        let places = block.abreast(i);
        for (at, q) in (0..).step_by(TURN_STEPS).zip(q.chunks(TURN_STEPS)) {
            for (place, sums) in places.iter().zip(&mut sums) {
                let Some(place) = place else { continue };
                let turn = &tiles[place.tile * steps + at..][..q.len()];
                let beyond = place.beyond(at * size_of::<Step>(), ahead);
                *sums = add_turn::<ASK>(*sums, turn, q, beyond);
            }
        }
        for (place, sums) in places.into_iter().zip(sums) {
            if let Some(place) = place {
                write(place.tile, horizontal(sums));
            }
        }
    }
}

/// Adds a turn of a tile to its rows' sums, and asks for what lies so far `beyond` if `ASK`.
#[target_feature(enable = "avx2")]
fn add_turn<const ASK: bool>(
    mut sums: [__m256i; TILE],
    turn: &[Step],
    q: &[[i8; STEP]],
    beyond: usize,
) -> [__m256i; TILE] {
    let mut short = [[_mm256_setzero_si256(); 2]; TILE];
    for (step, q) in turn.iter().zip(q) {
        if ASK {
            for line in step.as_chunks::<2>().0 {
                prefetch::beyond(line.as_ptr().cast(), beyond);
            }
        }
        let q = planes(q);
        for (short, vector) in short.iter_mut().zip(step) {
            *short = add_products(*short, codes(vector), q);
        }
    }
    for (sum, short) in sums.iter_mut().zip(short) {
        *sum = widen(*sum, short);
    }
    sums
}

/// Sums of code times activation: one row of a tile, several tokens.
#[target_feature(enable = "avx2")]
fn sum_batch(tile: &[Step], row: usize, q: [&[[i8; STEP]]; BATCH]) -> [i32; BATCH] {
    let mut sums = [_mm256_setzero_si256(); BATCH];
    for (at, tile) in (0..).step_by(FLUSH).zip(tile.chunks(FLUSH)) {
        let mut short = [[_mm256_setzero_si256(); 2]; BATCH];
        for (step, at) in tile.iter().zip(at..) {
            let codes = codes(&step[row]);
            for (short, q) in short.iter_mut().zip(q) {
                *short = add_products(*short, codes, planes(&q[at]));
            }
        }
        for (sum, short) in sums.iter_mut().zip(short) {
            *sum = widen(*sum, short);
        }
    }
    horizontal(sums)
}

#[target_feature(enable = "avx2")]
fn planes(q: &[i8; STEP]) -> [__m256i; 4] {
    bytemuck::cast(*q)
}

/// The codes of four times 32 columns; those of the second and the last are left where they stand
/// in the byte, and so are four times as large: an addition at the end costs less than two shifts
/// here.
#[target_feature(enable = "avx2")]
fn codes(vector: &Vector) -> [__m256i; 4] {
    let v: __m256i = bytemuck::cast(*vector);
    let half = _mm256_srli_epi16::<4>(v);
    let (once, four_times) = (_mm256_set1_epi8(3), _mm256_set1_epi8(12));
    [
        _mm256_and_si256(v, once),
        _mm256_and_si256(v, four_times),
        _mm256_and_si256(half, once),
        _mm256_and_si256(half, four_times),
    ]
}

/// Adds to two int16 sums: the second takes what is four times too large.
#[target_feature(enable = "avx2")]
fn add_products(sums: [__m256i; 2], codes: [__m256i; 4], q: [__m256i; 4]) -> [__m256i; 2] {
    let once = _mm256_add_epi16(
        _mm256_maddubs_epi16(codes[0], q[0]),
        _mm256_maddubs_epi16(codes[2], q[2]),
    );
    let four_times = _mm256_add_epi16(
        _mm256_maddubs_epi16(codes[1], q[1]),
        _mm256_maddubs_epi16(codes[3], q[3]),
    );
    [
        _mm256_add_epi16(sums[0], once),
        _mm256_add_epi16(sums[1], four_times),
    ]
}

/// Adds the two int16 sums of [`add_products`], lanes in pairs, to int32 ones.
#[target_feature(enable = "avx2")]
fn widen(sum: __m256i, [once, four_times]: [__m256i; 2]) -> __m256i {
    let short = _mm256_add_epi16(once, _mm256_srai_epi16::<2>(four_times));
    _mm256_add_epi32(sum, _mm256_madd_epi16(short, _mm256_set1_epi16(1)))
}

/// The sum of each vector's eight.
#[target_feature(enable = "avx2")]
fn horizontal(sums: [__m256i; 4]) -> [i32; 4] {
    let pairs = _mm256_hadd_epi32(
        _mm256_hadd_epi32(sums[0], sums[1]),
        _mm256_hadd_epi32(sums[2], sums[3]),
    );
    bytemuck::cast(_mm_add_epi32(
        _mm256_castsi256_si128(pairs),
        _mm256_extracti128_si256::<1>(pairs),
    ))
}
