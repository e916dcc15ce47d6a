//! Direct product with `vpdpbusd`: five trits a byte, looked up in registers.
//!
//! A byte is `28 p + r`: `p` of the two lowest columns (9 values), `r` of the three others (27
//! values). As 28 = 4 * 7, the upper six bits decide `p`, and which seventh of its 28 bytes this
//! is: a first table of 64 entries gives both. The place within the 28 is that seventh and the
//! byte's two low bits, and looks up the other three codes in a second table.
//!
//! Per 64 packed bytes, 320 weights: 1 shift, 2 `vpermb`, 1 `vpternlogd`, 5 `and`, 5 `vpdpbusd`;
//! 14 operations on two ports, of which the shift wants one and `vpermb` the other: 7 cycles.
//! For several tokens codes must stand alone: tables of one code each spare shifts and masks, 8
//! operations for all tokens together.

use super::lanes_avx512::{self as lanes, ROWS};
use super::layout::{self, Layout};
use super::{Mix, Packing, Spec};
use crate::isa::Isa;

/// Columns in a byte.
pub(super) const FIELDS: usize = 5;

/// As counted above; for one token also that of kernels that serve many with the same bytes.
pub(super) const MIX: Mix = Mix {
    vector: 64,
    instructions: 14,
};

pub(super) const SPEC: Spec = Spec {
    name: "vbmi-avx512",
    idea: "5 trits a byte, unpacked by two 64-entry vpermb tables, times activations by vpdpbusd",
    isa: Isa::Avx512Vbmi,
    bits_per_weight: 1.6,
    tile: ROWS,
    rows_of_a_call: |_| 0,
    scales: true,
    mix: Some(MIX),
    prepare: lanes::preparation::<FIELDS>(),
    rows,
    packing: Packing::LaidOut(LAYOUT),
};

pub(super) const LAYOUT: Layout = Layout {
    bytes: lanes::bytes::<FIELDS>,
    pack: |trits, packed| lanes::pack(trits, packed, bytes),
    code: |weights, at| {
        let (at, field) = lanes::place::<FIELDS>(at);
        let (high, low) = (weights[at] / SPAN as u8, weights[at] % SPAN as u8);
        match field {
            0 | 1 => layout::digit(high, field),
            _ => layout::digit(low, field - 2),
        }
    },
    sound: |bytes| layout::all(bytes, |byte| (byte < 9 * 28) & (byte % 28 < 27)),
};

/// Bytes that share their first two codes: the 27 of the other three, rounded up to whole fours.
const SPAN: u32 = 28;

/// Four bytes at once, of four codes in each word.
pub(super) fn bytes([a, b, c, d, e]: [u32; FIELDS]) -> u32 {
    SPAN * (a + 3 * b) + (c + 3 * d + 9 * e)
}

#[cfg(not(target_arch = "x86_64"))]
use super::absent::rows;
#[cfg(target_arch = "x86_64")]
use x86::rows;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{DIGITS, FiveTrits};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::ops::Range;

    use super::super::Operands;
    use super::lanes::Unpack;
    use super::*;

    /// By the upper six bits of a byte: the first code in bits 0-1, the second in bits 6-7, and in
    /// bits 2-4 the seventh, where it continues the two low bits of the byte.
    const HIGH: [u8; 64] = {
        let mut table = [0; 64];
        let mut i = 0;
        while i < 63 {
            let (pair, seventh) = (i / 7, i % 7);
            table[i as usize] = (pair % 3) | (seventh << 2) | ((pair / 3) << 6);
            i += 1;
        }
        table
    };

    /// By the place among 28 bytes: three codes, low bits first.
    const LOW: [u8; 64] = {
        let mut table = [0; 64];
        let mut i = 0;
        while i < 27 {
            table[i as usize] = (i % 3) | ((i / 3 % 3) << 2) | ((i / 9) << 4);
            i += 1;
        }
        table
    };

    /// The code that a table has in the two bits from `shift` on, by itself.
    const fn only(mut table: [u8; 64], shift: u32) -> [u8; 64] {
        let mut i = 0;
        while i < 64 {
            table[i] = (table[i] >> shift) & 3;
            i += 1;
        }
        table
    }

    /// By the upper six bits of a byte: the number of all its codes but the first, less what its two
    /// low bits add.
    const REST: [u8; 64] = {
        let mut table = [0; 64];
        let mut i = 0;
        while i < 63 {
            let (pair, seventh) = (i / 7, i % 7);
            table[i as usize] = 4 * seventh + 27 * (pair / 3);
            i += 1;
        }
        table
    };

    /// One code each: all but the first, which `HIGH` has in its lowest bits.
    const PLAIN: [[u8; 64]; 4] = [only(HIGH, 6), only(LOW, 0), only(LOW, 2), only(LOW, 4)];

    /// Which fields of a byte are the digits of its number ([`FiveTrits::numbers`]), lowest first.
    pub(in super::super) const DIGITS: [usize; 4] = [2, 3, 4, 1];

    #[derive(Clone, Copy)]
    pub(in super::super) struct FiveTrits {
        high: __m512i,
        low: __m512i,
        masks: [__m512i; 4],
        plain: [__m512i; 4],
        rest: __m512i,
    }

    impl FiveTrits {
        /// Of each byte: the upper six bits, what `HIGH` says of them, and the place in `LOW`.
        #[inline(always)]
        unsafe fn places(self, line: __m512i) -> [__m512i; 3] {
            /// Bits of the second operand where the third is set, else of the first.
            const SELECT: i32 = 0b1101_1000;
            // SAFETY: the caller vouches for AVX-512 F, BW and VBMI.
            unsafe {
                // `vpermb` ignores an index's two upper bits, which the shift fills from the next byte.
                let index = _mm512_srli_epi16::<2>(line);
                let high = _mm512_permutexvar_epi8(index, self.high);
                let place = _mm512_ternarylogic_epi32::<SELECT>(high, line, self.masks[0]);
                [index, high, place]
            }
        }

        /// A line as numbers of base three: of each byte, that whose [`DIGITS`] are its codes but the
        /// first, and in each 32-bit word that whose digits are the first codes of its four bytes.
        ///
        /// # Safety
        /// The CPU must have AVX-512 F, BW, VNNI and VBMI.
        #[inline(always)]
        pub(in super::super) unsafe fn numbers(self, line: __m512i) -> [__m512i; 2] {
            /// Powers of three in the bytes of a word.
            const POWERS: [u8; 4] = [1, 3, 9, 27];
            // SAFETY: as the caller vouches.
            unsafe {
                let index = _mm512_srli_epi16::<2>(line);
                let low = _mm512_and_si512(line, self.masks[0]);
                let of_bytes = _mm512_add_epi8(_mm512_permutexvar_epi8(index, self.rest), low);
                let first = _mm512_permutexvar_epi8(index, self.high);
                let first = _mm512_and_si512(first, self.masks[0]);
                let powers = _mm512_set1_epi32(i32::from_le_bytes(POWERS));
                let of_words = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, powers);
                [of_bytes, of_words]
            }
        }
    }

    impl Unpack<FIELDS> for FiveTrits {
        const SHIFTS: [u32; FIELDS] = [0, 6, 0, 2, 4];

        #[inline(always)]
        unsafe fn new() -> Self {
            // SAFETY: the caller vouches for AVX-512 F; all tables are 64 bytes.
            unsafe {
                Self {
                    high: _mm512_loadu_si512(HIGH.as_ptr().cast()),
                    low: _mm512_loadu_si512(LOW.as_ptr().cast()),
                    rest: _mm512_loadu_si512(REST.as_ptr().cast()),
                    plain: PLAIN.map(|table| _mm512_loadu_si512(table.as_ptr().cast())),
                    masks: [0x03, 0x0c, 0x30, 0xc0u8].map(|mask| _mm512_set1_epi8(mask as i8)),
                }
            }
        }

        #[inline(always)]
        unsafe fn fields(self, line: __m512i) -> [__m512i; FIELDS] {
            let [m0, m2, m4, m6] = self.masks;
            // SAFETY: the caller vouches for AVX-512 F, BW and VBMI.
            unsafe {
                let [_, high, place] = self.places(line);
                let low = _mm512_permutexvar_epi8(place, self.low);
                [
                    _mm512_and_si512(high, m0),
                    _mm512_and_si512(high, m6),
                    _mm512_and_si512(low, m0),
                    _mm512_and_si512(low, m2),
                    _mm512_and_si512(low, m4),
                ]
            }
        }

        #[inline(always)]
        unsafe fn plain(self, line: __m512i) -> [__m512i; FIELDS] {
            let [second, third, fourth, fifth] = self.plain;
            // SAFETY: the caller vouches for AVX-512 F, BW and VBMI.
            unsafe {
                let [index, high, place] = self.places(line);
                [
                    _mm512_and_si512(high, self.masks[0]),
                    _mm512_permutexvar_epi8(index, second),
                    _mm512_permutexvar_epi8(place, third),
                    _mm512_permutexvar_epi8(place, fourth),
                    _mm512_permutexvar_epi8(place, fifth),
                ]
            }
        }
    }

    /// # Safety
    /// The CPU must have the features of [`Isa::Avx512Vbmi`].
    /// The weights must begin on a cache line.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) unsafe fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
        // SAFETY: this function's own features.
        unsafe { lanes::rows::<FiveTrits, FIELDS>(op, range, out) }
    }
}
