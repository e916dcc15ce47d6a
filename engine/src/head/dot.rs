//! Sums of small codes times int16 values.

#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;

/// Words of a line, to whole numbers of which rows are padded.
pub(super) const LINE: usize = 32;

/// Fields of the words of the plane that is read whole: its rows ask for what follows them.
pub(super) const STREAMED: usize = 4;

/// The sum over columns of code times value, where field `f` of the `F` fields of word `i` is
/// column `f * codes.len() + i`.
///
/// Words are whole lines, values are not negative by more than int16 has positive, and their
/// magnitudes' sum times the largest code is an int32: [`super::input`] sees to it.
pub(super) fn dot<const F: usize>(codes: &[u16], values: &[i16]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    match Isa::highest() {
        Isa::Portable => {}
        // SAFETY: `Isa::highest` is a level whose features were all detected.
        Isa::Avx2 | Isa::Avx512 => return unsafe { x86::dot_avx2::<F>(codes, values) },
        // SAFETY: every level above AVX-512 includes the features of `Isa::Avx512Vnni`.
        _ => return unsafe { x86::dot_vnni::<F>(codes, values) },
    }
    dot_portable::<F>(codes, values)
}

fn dot_portable<const F: usize>(codes: &[u16], values: &[i16]) -> i32 {
    let (bits, mask) = (16 / F, (1 << (16 / F)) - 1);
    let fields = values.chunks_exact(codes.len()).take(F).enumerate();
    let field = |(f, values): (usize, &[i16])| -> i32 {
        let code = |word: u16| ((word >> (bits * f)) & mask) as i16;
        let pairs = codes.iter().zip(values);
        pairs
            .map(|(&word, &value)| i32::from(code(word)) * i32::from(value))
            .sum()
    };
    fields.map(field).sum()
}

/// Fields are masked where they lie in the lower or upper half of their word: those higher in it
/// come out larger by a power of two, which their sums are divided by at the end, exactly.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use std::array;

    use super::STREAMED;
    use crate::prefetch;

    /// The values of each field, cut as words are.
    fn fields<const F: usize, const N: usize>(words: usize, values: &[i16]) -> [&[[i16; N]]; F] {
        array::from_fn(|f| values[f * words..][..words].as_chunks().0)
    }

    /// Bits of the half of a word.
    const HALF: usize = 8;

    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) fn dot_vnni<const F: usize>(codes: &[u16], values: &[i16]) -> i32 {
        let values = fields::<F, 32>(codes.len(), values);
        let bits = 16 / F;
        let mut sums = [_mm512_setzero_si512(); F];
        for (i, words) in codes.as_chunks::<32>().0.iter().enumerate() {
            if F == STREAMED {
                prefetch::in_two_steps(words.as_ptr().cast());
            }
            let low = bytemuck::cast(*words);
            let halves = [low, _mm512_srli_epi16::<8>(low)];
            for f in 0..F {
                let mask = _mm512_set1_epi16(((1 << bits) - 1) << (bits * f % HALF));
                let codes = _mm512_and_si512(halves[bits * f / HALF], mask);
                sums[f] = _mm512_dpwssd_epi32(sums[f], codes, bytemuck::cast(values[f][i]));
            }
        }
        let mut sum = _mm512_setzero_si512();
        for (f, &fields) in sums.iter().enumerate() {
            let shift = _mm_cvtsi32_si128((bits * f % HALF) as i32);
            sum = _mm512_add_epi32(sum, _mm512_sra_epi32(fields, shift));
        }
        _mm512_reduce_add_epi32(sum)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn dot_avx2<const F: usize>(codes: &[u16], values: &[i16]) -> i32 {
        let values = fields::<F, 16>(codes.len(), values);
        let bits = 16 / F;
        let mut sums = [_mm256_setzero_si256(); F];
        for (i, words) in codes.as_chunks::<16>().0.iter().enumerate() {
            if F == STREAMED {
                prefetch::in_two_steps(words.as_ptr().cast());
            }
            let low = bytemuck::cast(*words);
            let halves = [low, _mm256_srli_epi16::<8>(low)];
            for f in 0..F {
                let mask = _mm256_set1_epi16(((1 << bits) - 1) << (bits * f % HALF));
                let codes = _mm256_and_si256(halves[bits * f / HALF], mask);
                let pairs = _mm256_madd_epi16(codes, bytemuck::cast(values[f][i]));
                sums[f] = _mm256_add_epi32(sums[f], pairs);
            }
        }
        let mut sum = _mm256_setzero_si256();
        for (f, &fields) in sums.iter().enumerate() {
            let shift = _mm_cvtsi32_si128((bits * f % HALF) as i32);
            sum = _mm256_add_epi32(sum, _mm256_sra_epi32(fields, shift));
        }
        bytemuck::cast::<_, [i32; 8]>(sum).iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::*;
    use crate::isa::Isa;
    use crate::synthetic::split_mix;

    /// Every instruction set that can run here, against sums in 64 bits.
    fn hold<const F: usize>(codes: &[u16], values: &[i16]) {
        let bits = 16 / F;
        let code = |column: usize| {
            let (f, i) = (column / codes.len(), column % codes.len());
            i64::from((codes[i] >> (bits * f)) & ((1 << bits) - 1))
        };
        let products = values[..codes.len() * F].iter().enumerate();
        let want: i64 = products.map(|(i, &v)| code(i) * i64::from(v)).sum();
        let hold = |name: &str, sum: i32| {
            assert_eq!(
                i64::from(sum),
                want,
                "{name}, {F} fields, {} words",
                codes.len()
            );
        };
        hold("portable", dot_portable::<F>(codes, values));
        hold("chosen", dot::<F>(codes, values));
        #[cfg(target_arch = "x86_64")]
        {
            if Isa::Avx2.check().is_ok() {
                // SAFETY: just checked.
                hold("avx2", unsafe { x86::dot_avx2::<F>(codes, values) });
            }
            if Isa::Avx512Vnni.check().is_ok() {
                // SAFETY: just checked.
                hold("vnni", unsafe { x86::dot_vnni::<F>(codes, values) });
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_sum() {
        let mut state = 1;
        for lines in [1, 2, 3, 10] {
            let words = lines * LINE;
            let codes: Vec<_> = (0..words).map(|_| split_mix(&mut state) as u16).collect();
            let value = |_| (split_mix(&mut state) % 32767) as i16 - 16383;
            let values: Vec<_> = (0..words * 8).map(value).collect();
            hold::<4>(&codes, &values);
            hold::<8>(&codes, &values);
        }
    }

    /// Nothing overflows: the largest codes with the largest integers of inputs of any width.
    #[test]
    fn the_largest_sums_fit() {
        for cols in [1, 2560, 8737, 8738, 8739, 60_000, 200_000] {
            for sign in [-1.0, 1.0] {
                let mut input = Input::default();
                input.set(&vec![sign; cols]);
                let codes = vec![u16::MAX; input.values().len() / 4];
                hold::<4>(&codes, input.values());
                hold::<8>(&codes[..codes.len() / 2], input.values());
            }
        }
    }
}
