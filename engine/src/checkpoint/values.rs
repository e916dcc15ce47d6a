//! From the bytes of a tensor to numbers of our own, checked.

use half::f16;

/// A tensor of real numbers, row-major. What a file holds as F16 is widened.
#[derive(Debug, Clone, PartialEq)]
pub enum Floats {
    /// The upper halves of float32 values.
    Bf16(Vec<u16>),
    /// Float32 values.
    F32(Vec<f32>),
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
            Self::Bf16(bits) => size_of_val(bits.as_slice()),
            Self::F32(values) => size_of_val(values.as_slice()),
        }
    }

    /// All values as float32, exact.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::Bf16(bits) => bits.into_iter().map(widen).collect(),
            Self::F32(values) => values,
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

/// Values are appended and then looked at in pieces that stay in the first-level cache.
const BLOCK: usize = 4096;

/// Appends the decoded values of `bytes`, `B` bytes each, and fails at the
/// first that is `bad`. The copy is checked, not the file: another process
/// might change that in between.
fn append<const B: usize, T: Copy>(
    out: &mut Vec<T>,
    bytes: &[u8],
    decode: impl Fn([u8; B]) -> T,
    bad: impl Fn(T) -> bool,
) -> Result<(), InvalidAt> {
    let (values, _) = bytes.as_chunks::<B>();
    for block in values.chunks(BLOCK) {
        let start = out.len();
        out.extend(block.iter().map(|&bytes| decode(bytes)));
        let new = &out[start..];
        // No early exit inside a block, so that this becomes vector code.
        if new.iter().fold(false, |any, &value| any | bad(value)) {
            let first = new.iter().position(|&value| bad(value));
            return Err(InvalidAt(start + first.unwrap_or(0)));
        }
    }
    Ok(())
}

/// Appends little-endian bf16 values, all finite, as bits.
pub(super) fn append_bf16(out: &mut Vec<u16>, bytes: &[u8]) -> Result<(), InvalidAt> {
    append(out, bytes, u16::from_le_bytes, |bits| {
        bits & 0x7f80 == 0x7f80
    })
}

/// Appends little-endian float16 values, all finite, widened.
pub(super) fn append_f16(out: &mut Vec<f32>, bytes: &[u8]) -> Result<(), InvalidAt> {
    let decode = |bytes| f16::from_le_bytes(bytes).to_f32();
    append(out, bytes, decode, |value: f32| !value.is_finite())
}

/// Appends little-endian float32 values, all finite.
pub(super) fn append_f32(out: &mut Vec<f32>, bytes: &[u8]) -> Result<(), InvalidAt> {
    append(out, bytes, f32::from_le_bytes, |value| !value.is_finite())
}

/// Appends the trits of a packed matrix, row-major.
///
/// The four codes of a byte belong to rows a quarter of the matrix apart, so
/// that each pair of bits, taken through all bytes, is a quarter of the output.
pub(super) fn append_trits(out: &mut Vec<i8>, packed: &[u8]) -> Result<(), InvalidAt> {
    for shift in [0, 2, 4, 6] {
        let decode = |[byte]: [u8; 1]| ((byte >> shift) & 3) as i8 - 1;
        append(out, packed, decode, |trit| trit > 1)?;
    }
    Ok(())
}

/// The trits, row-major, of a matrix packed as `[N/4, K]` bytes: bits 2j and
/// 2j+1 of byte `[i, k]` hold `1 +` the trit `[i + j * N/4, k]`.
///
/// # Errors
/// The place in the row-major `[N, K]` matrix of a code 3, which means nothing.
pub fn unpack_trits(packed: &[u8]) -> Result<Vec<i8>, InvalidAt> {
    let mut trits = Vec::with_capacity(packed.len() * 4);
    append_trits(&mut trits, packed)?;
    Ok(trits)
}

/// Quantises master weights to trits and the scale that multiplies the output,
/// as `AutoBitLinear` does in online mode: with `b` the mean of `|W|` and
/// `c = 1 / max(b, 1e-5)`, the trits are `round(W * c)` clamped to -1..1, and
/// the scale is `1 / c`. Each step is rounded to float32; the sum is in f64.
pub fn quantize_weights(weights: &Floats) -> (Vec<i8>, f32) {
    match weights {
        Floats::Bf16(bits) => quantize(bits, widen),
        Floats::F32(values) => quantize(values, |value| value),
    }
}

fn quantize<T: Copy>(weights: &[T], value: impl Fn(T) -> f32) -> (Vec<i8>, f32) {
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
    let trits = weights.iter().map(|&weight| {
        // Rounding to even and clamping to -1..1 comes down to this: exactly
        // one half rounds to zero, and all beyond it ends at one.
        let scaled = value(weight) * inverse;
        i8::from(scaled > 0.5) - i8::from(scaled < -0.5)
    });
    (trits.collect(), 1.0 / inverse)
}
