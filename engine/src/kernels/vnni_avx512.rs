//! Direct product with `vpdpbusd`: two bits a weight, masked where they lie.
//!
//! Per 64 packed bytes, 256 weights: 4 `and`, 4 `vpdpbusd`, on two ports 4 cycles.

use super::lanes_avx512::{self as lanes, ROWS};
use super::layout::{self, Layout};
use super::{Mix, Packing, Spec};
use crate::isa::Isa;

/// Columns in a byte.
const FIELDS: usize = 4;

pub(super) const SPEC: Spec = Spec {
    name: "vnni-avx512",
    idea: "2-bit codes masked in place, times activations by vpdpbusd",
    isa: Isa::Avx512Vnni,
    bits_per_weight: 2.0,
    tile: ROWS,
    rows_of_a_call: |_| 0,
    scales: true,
    mix: Some(Mix {
        vector: 64,
        instructions: 8,
    }),
    prepare: lanes::preparation::<FIELDS>(),
    rows,
    packing: Packing::LaidOut(Layout {
        bytes: lanes::bytes::<FIELDS>,
        pack: |trits, packed| lanes::pack(trits, packed, bytes),
        code: |weights, at| {
            let (at, field) = lanes::place::<FIELDS>(at);
            (weights[at] >> (2 * field)) & 3
        },
        sound: layout::pairs_of_bits,
    }),
};

/// Two bits a code, low bits first; four bytes at once.
fn bytes(codes: [u32; FIELDS]) -> u32 {
    codes
        .into_iter()
        .rev()
        .fold(0, |bytes, codes| (bytes << 2) | codes)
}

#[cfg(not(target_arch = "x86_64"))]
use super::absent::rows;
#[cfg(target_arch = "x86_64")]
use x86::rows;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::ops::Range;

    use super::super::Operands;
    use super::lanes::Unpack;
    use super::*;

    #[derive(Clone, Copy)]
    struct TwoBits([__m512i; FIELDS]);

    impl Unpack<FIELDS> for TwoBits {
        const SHIFTS: [u32; FIELDS] = [0, 2, 4, 6];

        #[inline(always)]
        unsafe fn new() -> Self {
            // SAFETY: the caller vouches for AVX-512 F.
            Self(Self::SHIFTS.map(|shift| unsafe { _mm512_set1_epi8((3u8 << shift) as i8) }))
        }

        #[inline(always)]
        unsafe fn fields(self, line: __m512i) -> [__m512i; FIELDS] {
            // SAFETY: the caller vouches for AVX-512 F.
            self.0.map(|mask| unsafe { _mm512_and_si512(line, mask) })
        }

        #[inline(always)]
        unsafe fn plain(self, line: __m512i) -> [__m512i; FIELDS] {
            // SAFETY: the caller vouches for AVX-512 F and BW.
            Self::SHIFTS.map(|shift| unsafe {
                let lowest = _mm512_srl_epi16(line, _mm_cvtsi32_si128(shift as i32));
                _mm512_and_si512(lowest, self.0[0])
            })
        }
    }

    /// # Safety
    /// The CPU must have the features of [`Isa::Avx512Vnni`].
    /// The weights must begin on a cache line.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
        // SAFETY: this function's own features.
        unsafe { lanes::rows::<TwoBits, FIELDS>(op, range, out) }
    }
}
