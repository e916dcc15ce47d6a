//! Sums as vectors of sixteen rows, and how they are written.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Operands;
use super::lanes_avx512::ROWS;

/// Tokens that are written at once.
const HEIGHT: usize = 16;

const _: () = assert!(ROWS == crate::tiled::TILE);

/// Sums of `T` tokens and `R` tiles of rows: `[token][tile][row]`.
#[repr(align(64))]
pub(super) struct Sums<const T: usize, const R: usize>(pub [[[i32; ROWS]; R]; T]);

impl<const T: usize, const R: usize> Sums<T, R> {
    pub fn zero() -> Self {
        Self([[[0; ROWS]; R]; T])
    }

    /// Writes tile `tile` for the tokens `some`, less the bias of the codes. `out` has those rows of the
    /// tile that the matrix has, of all tokens: where there are factors, scaled, `[token][row]`, else
    /// `[row][token]`.
    ///
    /// Sums of codes may wrap; the difference is the true sum, which fits.
    ///
    /// # Safety
    /// The CPU must have AVX-512 F.
    #[inline(always)]
    pub unsafe fn write(
        &self,
        tile: usize,
        op: &Operands<'_>,
        factors: Option<&[f32]>,
        some: Range<usize>,
        out: &mut [i32],
    ) {
        for height in 0..some.len().div_ceil(HEIGHT) {
            // SAFETY: as the caller vouches.
            unsafe { self.write_tile([height, tile], op, factors, some.clone(), out) };
        }
    }

    /// As [`Sums::write`], of sixteen of the tokens: from `16 * height` on.
    ///
    /// # Safety
    /// The CPU must have AVX-512 F.
    #[inline(always)]
    pub unsafe fn write_tile(
        &self,
        [height, tile]: [usize; 2],
        op: &Operands<'_>,
        factors: Option<&[f32]>,
        some: Range<usize>,
        out: &mut [i32],
    ) {
        let biases = op.quantized.sums();
        let tokens = biases.len();
        let first = some.start + height * HEIGHT;
        let count = (some.end - first).min(HEIGHT);
        let sums = &self.0[height * HEIGHT..][..count];
        if let Some(factors) = factors {
            let width = out.len() / tokens;
            let mask = u16::MAX >> (ROWS - width);
            let tokens = biases[first..][..count]
                .iter()
                .zip(&factors[first..][..count]);
            let out = out[first * width..].chunks_exact_mut(width);
            for ((sums, (&bias, &factor)), out) in sums.iter().zip(tokens).zip(out) {
                // SAFETY: the caller vouches for the features; the mask is as wide as `out`.
                unsafe {
                    let sums = _mm512_load_si512(sums[tile].as_ptr().cast());
                    let exact = _mm512_sub_epi32(sums, _mm512_set1_epi32(bias));
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_set1_ps(factor));
                    _mm512_mask_storeu_ps(out.as_mut_ptr().cast(), mask, scaled);
                }
            }
            return;
        }
        let mask = (u16::MAX) >> (HEIGHT - count);
        // SAFETY: the caller vouches for the features; lanes that the mask leaves out are
        // not touched, and `place` is as long as the others.
        unsafe {
            let bias = _mm512_maskz_loadu_epi32(mask, biases[first..][..count].as_ptr());
            let mut block = [bias; HEIGHT];
            for (vector, from) in block.iter_mut().zip(sums) {
                *vector = _mm512_load_si512(from[tile].as_ptr().cast());
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
