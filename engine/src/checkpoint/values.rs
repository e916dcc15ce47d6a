//! From the bytes of a tensor to numbers of our own, checked.

use half::f16;

use crate::buffer::Buffer;
use crate::float::versions;

/// A tensor of real numbers, row-major. What a file holds as F16 is widened.
#[derive(Debug, Clone, PartialEq)]
pub enum Floats {
    /// The upper halves of float32 values.
    Bf16(Buffer<u16>),
    /// Float32 values.
    F32(Buffer<f32>),
}

impl Floats {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bf16(bits) => bits.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `i` of the row-major order, exact.
    ///
    /// # Panics
    /// If `i >= len()`.
    pub fn get(&self, i: usize) -> f32 {
        match self {
            Self::Bf16(bits) => widen(bits[i]),
            Self::F32(values) => values[i],
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Bf16(bits) => size_of_val(&bits[..]),
            Self::F32(values) => size_of_val(&values[..]),
        }
    }

    /// All values as float32, exact.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::Bf16(bits) => bits.iter().copied().map(widen).collect(),
            Self::F32(values) => values.to_vec(),
        }
    }
}

fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// A value that may not be there, by its place in the decoded tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value at place {0} is not allowed")]
pub struct InvalidAt(pub usize);

/// Values are written and then looked at in pieces that stay in the first-level cache.
const BLOCK: usize = 4096;

/// Writes the decoded values of `bytes`, `B` bytes each, and fails at the
/// first that is `bad`. The copy is checked, not the file: another process
/// might change that in between.
fn decode<const B: usize, T: Copy>(
    out: &mut [T],
    bytes: &[u8],
    value: impl Fn([u8; B]) -> T,
    bad: impl Fn(T) -> bool,
) -> Result<(), InvalidAt> {
    let (values, _) = bytes.as_chunks::<B>();
    for (b, (new, block)) in out.chunks_mut(BLOCK).zip(values.chunks(BLOCK)).enumerate() {
        for (new, &bytes) in new.iter_mut().zip(block) {
            *new = value(bytes);
        }
        // No early exit inside a block, so that this becomes vector code.
        if new.iter().fold(false, |any, &value| any | bad(value)) {
            let first = new.iter().position(|&value| bad(value));
            let first = first.expect("a bad value, of which there is one");
            return Err(InvalidAt(b * BLOCK + first));
        }
    }
    Ok(())
}

/// Little-endian bf16 values, all finite, as bits.
pub(super) fn decode_bf16(out: &mut [u16], bytes: &[u8]) -> Result<(), InvalidAt> {
    decode(out, bytes, u16::from_le_bytes, |bits| {
        bits & 0x7f80 == 0x7f80
    })
}

/// Little-endian float16 values, all finite, widened.
pub(super) fn decode_f16(out: &mut [f32], bytes: &[u8]) -> Result<(), InvalidAt> {
    let widen = |bytes| f16::from_le_bytes(bytes).to_f32();
    decode(out, bytes, widen, |value: f32| !value.is_finite())
}

/// Little-endian float32 values, all finite.
pub(super) fn decode_f32(out: &mut [f32], bytes: &[u8]) -> Result<(), InvalidAt> {
    decode(out, bytes, f32::from_le_bytes, |value| !value.is_finite())
}

/// The trits of a packed matrix, row-major, four times as many as bytes.
///
/// The four codes of a byte belong to rows a quarter of the matrix apart, so
/// that each pair of bits, taken through all bytes, is a quarter of the output.
pub(super) fn decode_trits(out: &mut [i8], packed: &[u8]) -> Result<(), InvalidAt> {
    let quarter = packed.len().max(1);
    let mut sound = true;
    for (b, packed) in packed.chunks(BLOCK).enumerate() {
        for (q, out) in out.chunks_mut(quarter).enumerate() {
            let out = &mut out[b * BLOCK..][..packed.len()];
            sound &= trits_of(packed, 2 * q as u32, out);
        }
    }
    match sound {
        true => Ok(()),
        false => {
            let first = out.iter().position(|&trit| trit > 1);
            Err(InvalidAt(first.expect("a code 3, of which there is one")))
        }
    }
}

versions! {
    /// The trits of two bits of each byte, `shift` from the lowest; whether all are trits.
    fn trits_of(packed: &[u8], shift: u32, out: &mut [i8]) -> bool = trits_of_body
}

#[inline(always)]
fn trits_of_body(packed: &[u8], shift: u32, out: &mut [i8]) -> bool {
    for (trit, &byte) in out.iter_mut().zip(packed) {
        *trit = ((byte >> shift) & 3) as i8 - 1;
    }
    out.iter().fold(true, |sound, &trit| sound & (trit <= 1))
}

/// The trits, row-major, of a matrix packed as `[N/4, K]` bytes: bits 2j and
/// 2j+1 of byte `[i, k]` hold `1 +` the trit `[i + j * N/4, k]`.
///
/// # Errors
/// The place in the row-major `[N, K]` matrix of a code 3, which means nothing.
pub fn unpack_trits(packed: &[u8]) -> Result<Vec<i8>, InvalidAt> {
    let mut trits = vec![0; packed.len() * 4];
    decode_trits(&mut trits, packed)?;
    Ok(trits)
}

/// Quantises master weights to trits and the scale that multiplies the output,
/// as `AutoBitLinear` does in online mode: with `b` the mean of `|W|` and
/// `c = 1 / max(b, 1e-5)`, the trits are `round(W * c)` clamped to -1..1, and
/// the scale is `1 / c`. Each step is rounded to float32; the sum is in f64.
pub fn quantize_weights(weights: &Floats) -> (Vec<i8>, f32) {
    let mut trits = vec![0; weights.len()];
    let scale = quantize_weights_into(weights, &mut trits);
    (trits, scale)
}

/// As [`quantize_weights`], into `trits`.
pub(super) fn quantize_weights_into(weights: &Floats, trits: &mut [i8]) -> f32 {
    match weights {
        Floats::Bf16(bits) => quantize(bits, widen, trits),
        Floats::F32(values) => quantize(values, |value| value, trits),
    }
}

fn quantize<T: Copy>(weights: &[T], value: impl Fn(T) -> f32, trits: &mut [i8]) -> f32 {
    // Several sums side by side, in a fixed order: one would wait for each addition.
    let mut sums = [0.0_f64; 8];
    let (rows, rest) = weights.as_chunks::<8>();
    for row in rows {
        let row = row.map(|weight| f64::from(value(weight).abs()));
        for (sum, weight) in sums.iter_mut().zip(row) {
            *sum += weight;
        }
    }
    for (sum, &weight) in sums.iter_mut().zip(rest) {
        *sum += f64::from(value(weight).abs());
    }
    let mean = (sums.iter().sum::<f64>() / weights.len() as f64) as f32;
    let inverse = 1.0 / mean.max(1e-5);
    for (trit, &weight) in trits.iter_mut().zip(weights) {
        // Rounding to even and clamping to -1..1 comes down to this: exactly
        // one half rounds to zero, and all beyond it ends at one.
        let scaled = value(weight) * inverse;
        *trit = i8::from(scaled > 0.5) - i8::from(scaled < -0.5);
    }
    1.0 / inverse
}
