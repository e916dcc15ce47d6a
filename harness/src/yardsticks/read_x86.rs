//! Wide loads with software prefetch, for x86-64.

use super::pages::Line;
use super::read::Walk;
use std::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_add_epi64, _mm256_load_si256,
    _mm256_setzero_si256, _mm512_add_epi64, _mm512_load_si512, _mm512_reduce_add_epi64,
    _mm512_setzero_si512,
};

/// Proof that this processor has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Wrapping sum of all words.
    pub(super) fn sum(self, lines: &[Line], walk: Walk) -> u64 {
        // SAFETY: a value of this type exists only where AVX2 was detected.
        unsafe {
            match walk {
                Walk::Plain => sum_avx2::<false, false>(lines, 0),
                Walk::Ahead(distance) => sum_avx2::<true, false>(lines, distance),
                Walk::Streams(distance) => sum_avx2::<true, true>(lines, distance),
            }
        }
    }
}

/// Proof that this processor has AVX-512F.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    /// Wrapping sum of all words.
    pub(super) fn sum(self, lines: &[Line], walk: Walk) -> u64 {
        // SAFETY: a value of this type exists only where AVX-512F was detected.
        unsafe {
            match walk {
                Walk::Plain => sum_avx512::<false, false>(lines, 0),
                Walk::Ahead(distance) => sum_avx512::<true, false>(lines, distance),
                Walk::Streams(distance) => sum_avx512::<true, true>(lines, distance),
            }
        }
    }
}

/// Lines that are read in one turn.
const TURN: usize = 8;
/// Streams that are read by turns, and turns of each, one after the other in memory.
const STREAMS: usize = 4;
const TURNS: usize = 128;

/// Which turn's lines are read as number `i` of `count`, and how much further than `distance` the
/// stream goes on after so many bytes: in the next group of streams, where this one has ended.
#[inline(always)]
fn place<const BY_TURNS: bool>(i: usize, count: usize, distance: usize) -> (usize, usize) {
    let group = i / (STREAMS * TURNS) * (STREAMS * TURNS);
    if !BY_TURNS || group + STREAMS * TURNS > count {
        return (i, 0);
    }
    let (stream, turn) = (i % STREAMS, (i - group) / STREAMS);
    const BYTES: usize = TURN * size_of::<Line>();
    let ends = turn * BYTES + distance >= TURNS * BYTES;
    let others = if ends {
        (STREAMS - 1) * TURNS * BYTES
    } else {
        0
    };
    (group + stream * TURNS + turn, others)
}

/// Asks for the line `distance` bytes ahead, which may lie beyond the buffer.
#[inline(always)]
fn ask<const PREFETCH: bool>(line: &Line, distance: usize) {
    if PREFETCH {
        let ahead = std::ptr::from_ref(line).cast::<i8>().wrapping_add(distance);
        // SAFETY: a prefetch is a hint, which never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead) };
    }
}

#[target_feature(enable = "avx2")]
fn sum_avx2<const PREFETCH: bool, const BY_TURNS: bool>(lines: &[Line], distance: usize) -> u64 {
    let zero = _mm256_setzero_si256();
    let [mut a, mut b, mut c, mut d] = [zero; 4];
    let [mut e, mut f, mut g, mut h] = [zero; 4];
    let (turns, rest) = lines.as_chunks::<TURN>();
    // Eight names and not an array: a build that optimises little keeps an array in memory.
    macro_rules! add {
        ($line:expr, $ahead:ident, $low:ident, $high:ident) => {
            ask::<PREFETCH>($line, $ahead);
            let at = $line.0.as_ptr().cast::<__m256i>();
            // SAFETY: a line is 64 bytes aligned to 64, so two vectors of 32, each aligned.
            let (low, high) = unsafe { (_mm256_load_si256(at), _mm256_load_si256(at.add(1))) };
            $low = _mm256_add_epi64($low, low);
            $high = _mm256_add_epi64($high, high);
        };
    }
    for i in 0..turns.len() {
        let (place, others) = place::<BY_TURNS>(i, turns.len(), distance);
        let (turn, ahead) = (&turns[place], distance + others);
        add!(&turn[0], ahead, a, b);
        add!(&turn[1], ahead, c, d);
        add!(&turn[2], ahead, e, f);
        add!(&turn[3], ahead, g, h);
        add!(&turn[4], ahead, a, b);
        add!(&turn[5], ahead, c, d);
        add!(&turn[6], ahead, e, f);
        add!(&turn[7], ahead, g, h);
    }
    let sums = [a, b, c, d, e, f, g, h];
    let mut words = [0_u64; 4];
    for sum in sums {
        // SAFETY: both are 32 bytes of integers, for which every pattern is a value.
        let lanes: [u64; 4] = unsafe { std::mem::transmute(sum) };
        for (word, lane) in words.iter_mut().zip(lanes) {
            *word = word.wrapping_add(lane);
        }
    }
    let tail = rest.iter().flat_map(|line| line.0);
    words.into_iter().chain(tail).fold(0, u64::wrapping_add)
}

#[target_feature(enable = "avx512f")]
fn sum_avx512<const PREFETCH: bool, const BY_TURNS: bool>(lines: &[Line], distance: usize) -> u64 {
    let zero = _mm512_setzero_si512();
    let [mut a, mut b, mut c, mut d] = [zero; 4];
    let [mut e, mut f, mut g, mut h] = [zero; 4];
    let (turns, rest) = lines.as_chunks::<TURN>();
    macro_rules! add {
        ($line:expr, $ahead:ident, $sum:ident) => {
            ask::<PREFETCH>($line, $ahead);
            // SAFETY: a line is 64 bytes aligned to 64, as the vector is.
            let words = unsafe { _mm512_load_si512($line.0.as_ptr().cast::<__m512i>()) };
            $sum = _mm512_add_epi64($sum, words);
        };
    }
    for i in 0..turns.len() {
        let (place, others) = place::<BY_TURNS>(i, turns.len(), distance);
        let (turn, ahead) = (&turns[place], distance + others);
        add!(&turn[0], ahead, a);
        add!(&turn[1], ahead, b);
        add!(&turn[2], ahead, c);
        add!(&turn[3], ahead, d);
        add!(&turn[4], ahead, e);
        add!(&turn[5], ahead, f);
        add!(&turn[6], ahead, g);
        add!(&turn[7], ahead, h);
    }
    let all = [a, b, c, d, e, f, g, h]
        .into_iter()
        .fold(_mm512_setzero_si512(), |a, b| _mm512_add_epi64(a, b));
    let tail = rest.iter().flat_map(|line| line.0);
    tail.fold(_mm512_reduce_add_epi64(all) as u64, u64::wrapping_add)
}
