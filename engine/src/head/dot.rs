//! Sums of small codes times integers.

#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;
use crate::streams::STREAMS;

/// Bytes of a line, to whole numbers of which rows of codes are padded.
pub(super) const LINE: usize = crate::aligned::LINE;

/// Rows that meet each load of values: one of each stream.
pub(super) const ABREAST: usize = STREAMS;

/// Bits of the low half of a value.
const LOW_BITS: u32 = 7;

/// Integers of 15 bits, in halves that multiply with codes in int8: `128 * high + low`.
#[derive(Default)]
pub(super) struct Halves<V> {
    /// From -128 on.
    pub high: V,
    /// From 0 to 127.
    pub low: V,
}

/// Both halves of `value`.
pub(super) fn halves(value: i16) -> Halves<i8> {
    Halves {
        high: (value >> LOW_BITS) as i8,
        low: (value & ((1 << LOW_BITS) - 1)) as i8,
    }
}

/// The sums over columns of code times value, for each of a few rows, where field `f` of the `F`
/// fields of byte `i` is column `f * bytes + i`.
///
/// Rows are whole lines, all of one length; magnitudes of values, summed and times the largest code,
/// are an int32: [`super::input`] sees to it.
///
/// Rows at `next` are asked for meanwhile.
pub(super) fn dot<const F: usize>(
    codes: [&[u8]; ABREAST],
    values: Halves<&[i8]>,
    next: [*const u8; ABREAST],
) -> [i32; ABREAST] {
    #[cfg(target_arch = "x86_64")]
    match Isa::highest() {
        Isa::Portable => {}
        // SAFETY: `Isa::highest` is a level whose features were all detected.
        Isa::Avx2 | Isa::Avx512 => return unsafe { x86::dot_avx2::<F>(codes, values, next) },
        // SAFETY: every level above AVX-512 includes the features of `Isa::Avx512Vnni`.
        _ => return unsafe { x86::dot_vnni::<F>(codes, values, next) },
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = next;
    codes.map(|codes| dot_portable::<F>(codes, &values))
}

fn dot_portable<const F: usize>(codes: &[u8], values: &Halves<&[i8]>) -> i32 {
    let (bits, mask) = (8 / F, (1 << (8 / F)) - 1);
    let sum = |values: &[i8]| -> i32 {
        let fields = values.chunks_exact(codes.len()).take(F).enumerate();
        let field = |(f, values): (usize, &[i8])| -> i32 {
            let code = |byte: u8| i32::from((byte >> (bits * f)) & mask);
            let pairs = codes.iter().zip(values);
            pairs
                .map(|(&byte, &value)| code(byte) * i32::from(value))
                .sum()
        };
        fields.map(field).sum()
    };
    // The whole sum is an int32, if not what the upper halves say of it.
    (sum(values.high) << LOW_BITS).wrapping_add(sum(values.low))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{ABREAST, Halves, LINE, LOW_BITS};
    use crate::prefetch;

    /// Bytes of a row: lines of each, and of each of the `F` fields of values.
    fn width<const F: usize>(codes: [&[u8]; ABREAST], values: &Halves<&[i8]>) -> usize {
        let width = codes[0].len();
        assert!(width.is_multiple_of(LINE) && codes.iter().all(|row| row.len() == width));
        assert!(values.high.len() >= F * width && values.low.len() >= F * width);
        width
    }

    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) fn dot_vnni<const F: usize>(
        codes: [&[u8]; ABREAST],
        values: Halves<&[i8]>,
        next: [*const u8; ABREAST],
    ) -> [i32; ABREAST] {
        let width = width::<F>(codes, &values);
        let rows = codes.map(<[u8]>::as_ptr);
        let halves = [values.high, values.low].map(<[i8]>::as_ptr);
        let mask = _mm512_set1_epi8(((1 << (8 / F)) - 1) as i8);
        let mut sums = [[_mm512_setzero_si512(); 2]; ABREAST];
        for at in (0..width).step_by(LINE) {
            for next in next {
                prefetch::beyond(next, at);
            }
            // SAFETY: `at` is the place of a line in each row and in each field of the values.
            let lines = rows.map(|row| unsafe { _mm512_loadu_si512(row.add(at).cast()) });
            for f in 0..F {
                let shift = _mm_cvtsi32_si128((8 / F * f) as i32);
                let [high, low] = halves
                    // SAFETY: as above.
                    .map(|v| unsafe { _mm512_loadu_si512(v.add(f * width + at).cast()) });
                for (&line, [h, l]) in lines.iter().zip(&mut sums) {
                    let codes = _mm512_and_si512(_mm512_srl_epi16(line, shift), mask);
                    *h = _mm512_dpbusd_epi32(*h, codes, high);
                    *l = _mm512_dpbusd_epi32(*l, codes, low);
                }
            }
        }
        sums.map(|[h, l]| {
            _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_slli_epi32::<LOW_BITS>(h), l))
        })
    }

    /// Products of a line are added in int16: four of a code and half a value in each field, which
    /// are `2 * 4 * 15 * 128` at most in two fields, and less in four.
    #[target_feature(enable = "avx2")]
    pub(super) fn dot_avx2<const F: usize>(
        codes: [&[u8]; ABREAST],
        values: Halves<&[i8]>,
        next: [*const u8; ABREAST],
    ) -> [i32; ABREAST] {
        const VECTOR: usize = LINE / 2;
        let width = width::<F>(codes, &values);
        let (high, low) = (values.high.as_ptr(), values.low.as_ptr());
        let mask = _mm256_set1_epi8(((1 << (8 / F)) - 1) as i8);
        let (once, high_once) = (_mm256_set1_epi16(1), _mm256_set1_epi16(1 << LOW_BITS));
        let mut sums = [_mm256_setzero_si256(); ABREAST];
        for line in (0..width).step_by(LINE) {
            for ((row, next), sum) in codes.iter().zip(next).zip(&mut sums) {
                prefetch::beyond(next, line);
                let [mut h, mut l] = [_mm256_setzero_si256(); 2];
                for at in [line, line + VECTOR] {
                    // SAFETY: `at` is the place of half a line in each row.
                    let vector = unsafe { _mm256_loadu_si256(row.as_ptr().add(at).cast()) };
                    for f in 0..F {
                        let shift = _mm_cvtsi32_si128((8 / F * f) as i32);
                        let codes = _mm256_and_si256(_mm256_srl_epi16(vector, shift), mask);
                        let at = f * width + at;
                        // SAFETY: `at` is the place of half a line in each field of the values.
                        let (high, low) = unsafe {
                            (
                                _mm256_loadu_si256(high.add(at).cast()),
                                _mm256_loadu_si256(low.add(at).cast()),
                            )
                        };
                        h = _mm256_add_epi16(h, _mm256_maddubs_epi16(codes, high));
                        l = _mm256_add_epi16(l, _mm256_maddubs_epi16(codes, low));
                    }
                }
                let (h, l) = (_mm256_madd_epi16(h, high_once), _mm256_madd_epi16(l, once));
                *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(h, l));
            }
        }
        sums.map(|lanes| bytemuck::cast::<_, [i32; 8]>(lanes).iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::*;
    use crate::isa::Isa;
    use crate::synthetic::split_mix;

    /// Every instruction set that can run here, against sums in 64 bits.
    fn hold<const F: usize>(codes: [&[u8]; ABREAST], values: &[i16]) {
        let (bits, bytes) = (8 / F, codes[0].len());
        let want = codes.map(|codes| {
            let code = |column: usize| {
                let (f, i) = (column / bytes, column % bytes);
                i64::from((codes[i] >> (bits * f)) & ((1 << bits) - 1))
            };
            let products = values[..bytes * F].iter().enumerate();
            products.map(|(i, &v)| code(i) * i64::from(v)).sum::<i64>()
        });
        let high: Vec<i8> = values.iter().map(|&v| halves(v).high).collect();
        let low: Vec<i8> = values.iter().map(|&v| halves(v).low).collect();
        let values = || Halves {
            high: &high[..],
            low: &low[..],
        };
        let hold = |name: &str, sums: [i32; ABREAST]| {
            let sums = sums.map(i64::from);
            assert_eq!(sums, want, "{name}, {F} fields, {bytes} bytes");
        };
        hold("portable", codes.map(|c| dot_portable::<F>(c, &values())));
        hold(
            "chosen",
            dot::<F>(codes, values(), codes.map(<[u8]>::as_ptr)),
        );
        #[cfg(target_arch = "x86_64")]
        {
            if Isa::Avx2.check().is_ok() {
                // SAFETY: just checked.
                let sums =
                    unsafe { x86::dot_avx2::<F>(codes, values(), codes.map(<[u8]>::as_ptr)) };
                hold("avx2", sums);
            }
            if Isa::Avx512Vnni.check().is_ok() {
                // SAFETY: just checked.
                let sums =
                    unsafe { x86::dot_vnni::<F>(codes, values(), codes.map(<[u8]>::as_ptr)) };
                hold("vnni", sums);
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_sum() {
        let mut state = 1;
        for lines in [1, 2, 3, 10] {
            let bytes = lines * LINE;
            let mut code = |_| split_mix(&mut state) as u8;
            let codes: [Vec<u8>; ABREAST] =
                std::array::from_fn(|_| (0..bytes).map(&mut code).collect());
            let value = |_| (split_mix(&mut state) % 32767) as i16 - 16383;
            let values: Vec<_> = (0..bytes * 4).map(value).collect();
            hold::<2>(codes.each_ref().map(|c| &c[..]), &values);
            hold::<4>(codes.each_ref().map(|c| &c[..]), &values);
        }
    }

    /// Nothing overflows: the largest codes with the largest integers of inputs of any width.
    #[test]
    fn the_largest_sums_fit() {
        for cols in [1, 2560, 8737, 8738, 8739, 60_000, 200_000] {
            for sign in [-1.0, 1.0] {
                let mut input = Input::default();
                input.set(&vec![sign; cols]);
                let Halves { high, low } = input.values();
                let whole = |(&h, &l): (&i8, &i8)| (i16::from(h) << LOW_BITS) + i16::from(l);
                let values: Vec<i16> = high.iter().zip(low).map(whole).collect();
                let codes = vec![u8::MAX; values.len() / 2];
                hold::<2>([&codes[..]; ABREAST], &values);
                hold::<4>([&codes[..codes.len() / 2]; ABREAST], &values);
            }
        }
    }
}
