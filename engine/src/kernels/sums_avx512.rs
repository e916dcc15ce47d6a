//! Sums as vectors of sixteen rows, of up to 32 tokens, and how they become rows of tokens.

use std::arch::x86_64::*;
use std::ops::Range;

use super::lanes_avx512::ROWS;

/// Tokens that meet the weights at once.
pub(super) const TOKENS: usize = 32;

/// Tokens that are written at once.
const HEIGHT: usize = 16;

/// Sums of two tiles of rows: `[token][row]`.
#[repr(align(64))]
pub(super) struct Sums(pub [[i32; 2 * ROWS]; TOKENS]);

impl Sums {
    pub fn zero() -> Self {
        Self([[0; 2 * ROWS]; TOKENS])
    }

    /// Writes tile `half` for the tokens `some`, less the bias of the codes: a token's sums become
    /// a row's. `out` has a row of all tokens for each row of the tile that the matrix has.
    ///
    /// Sums of codes may wrap; the difference is the true sum, which fits.
    ///
    /// # Safety
    /// The CPU must have AVX-512 F.
    #[inline(always)]
    pub unsafe fn write(&self, half: usize, biases: &[i32], some: Range<usize>, out: &mut [i32]) {
        for height in 0..some.len().div_ceil(HEIGHT) {
            // SAFETY: as the caller vouches.
            unsafe { self.write_tile([height, half], biases, some.clone(), out) };
        }
    }

    /// As [`Sums::write`], of sixteen of the tokens: from `16 * height` on.
    ///
    /// # Safety
    /// The CPU must have AVX-512 F.
    #[inline(always)]
    pub unsafe fn write_tile(
        &self,
        [height, half]: [usize; 2],
        biases: &[i32],
        some: Range<usize>,
        out: &mut [i32],
    ) {
        let tokens = biases.len();
        let first = some.start + height * HEIGHT;
        let count = (some.end - first).min(HEIGHT);
        let mask = (u16::MAX) >> (HEIGHT - count);
        // SAFETY: the caller vouches for the features; lanes that the mask leaves out are
        // not touched, and `place` is as long as the others.
        unsafe {
            let bias = _mm512_maskz_loadu_epi32(mask, biases[first..][..count].as_ptr());
            let mut block = [bias; HEIGHT];
            for (t, vector) in block.iter_mut().enumerate() {
                let from = &self.0[height * HEIGHT + t][half * ROWS..][..ROWS];
                *vector = _mm512_load_si512(from.as_ptr().cast());
            }
            transpose(&mut block);
            for (row, out) in out.chunks_exact_mut(tokens).enumerate() {
                let place = &mut out[first..][..count];
                let exact = _mm512_sub_epi32(block[row], bias);
                _mm512_mask_storeu_epi32(place.as_mut_ptr(), mask, exact);
            }
        }
    }
}

/// Swaps rows and columns of 16 x 16 numbers: neighbours, then pairs, then quarters.
///
/// # Safety
/// The CPU must have AVX-512 F.
#[inline(always)]
pub(super) unsafe fn transpose(block: &mut [__m512i; HEIGHT]) {
    // SAFETY: the caller vouches for AVX-512 F.
    unsafe {
        let zero = _mm512_setzero_si512();
        let mut twos = [zero; HEIGHT];
        for i in (0..HEIGHT).step_by(2) {
            twos[i] = _mm512_unpacklo_epi32(block[i], block[i + 1]);
            twos[i + 1] = _mm512_unpackhi_epi32(block[i], block[i + 1]);
        }
        // fours[4 i + j], quarter q: column 4 q + j of rows 4 i to 4 i + 3.
        let mut fours = [zero; HEIGHT];
        for i in (0..HEIGHT).step_by(4) {
            fours[i] = _mm512_unpacklo_epi64(twos[i], twos[i + 2]);
            fours[i + 1] = _mm512_unpackhi_epi64(twos[i], twos[i + 2]);
            fours[i + 2] = _mm512_unpacklo_epi64(twos[i + 1], twos[i + 3]);
            fours[i + 3] = _mm512_unpackhi_epi64(twos[i + 1], twos[i + 3]);
        }
        for j in 0..4 {
            let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
            let (ab02, ab13) = (
                _mm512_shuffle_i32x4::<0x88>(a, b),
                _mm512_shuffle_i32x4::<0xdd>(a, b),
            );
            let (cd02, cd13) = (
                _mm512_shuffle_i32x4::<0x88>(c, d),
                _mm512_shuffle_i32x4::<0xdd>(c, d),
            );
            block[j] = _mm512_shuffle_i32x4::<0x88>(ab02, cd02);
            block[4 + j] = _mm512_shuffle_i32x4::<0x88>(ab13, cd13);
            block[8 + j] = _mm512_shuffle_i32x4::<0xdd>(ab02, cd02);
            block[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab13, cd13);
        }
    }
}
