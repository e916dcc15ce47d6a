//! Tensors of real numbers, from the bytes of any type that holds such.

use half::f16;

use super::super::values::{self, InvalidAt};
use super::Fault;
use super::kind::Kind;

type Outcome = Result<(), Fault>;

/// Values of bf16 as bits, a place in `out` for each.
pub(super) fn halves(first: usize, out: &mut [u16], bytes: &[u8]) -> Outcome {
    let outcome = values::decode_bf16(out, bytes);
    let value = |i: usize| f32::from_bits(u32::from(out[i]) << 16);
    finite(Kind::Bf16, first, outcome, value)
}

/// Values of other floats, or of blocks of integers with a scale, a place in `out` for each. `first`
/// is the number of the first in its tensor.
///
/// - `Q8_0`: 32 values a block, a float16 `d` and 32 `int8`: `d * q`.
/// - `Q6_K`: 256 values a block, as [`q6_k`] says.
pub(super) fn floats(kind: Kind, first: usize, out: &mut [f32], bytes: &[u8]) -> Outcome {
    let outcome = match kind {
        Kind::F32 => values::decode_f32(out, bytes),
        Kind::F16 => values::decode_f16(out, bytes),
        Kind::Q8_0 => return blocks::<34, 32>(bytes, first, out, 0, q8_0),
        Kind::Q6K => return blocks::<210, 256>(bytes, first, out, 208, q6_k),
        _ => unreachable!("{kind} is read elsewhere"),
    };
    finite(kind, first, outcome, |i| out[i])
}

fn finite(
    kind: Kind,
    first: usize,
    outcome: Result<(), InvalidAt>,
    value: impl Fn(usize) -> f32,
) -> Outcome {
    outcome.map_err(|InvalidAt(i)| Fault {
        offset: (first + i) * kind.block().1,
        found: format!("value {} is {}", first + i, value(i)),
        right: "finite values",
    })
}

/// Blocks of `B` bytes for `N` values, with a float16 scale at `scale_at`.
fn blocks<const B: usize, const N: usize>(
    bytes: &[u8],
    first: usize,
    out: &mut [f32],
    scale_at: usize,
    decode: impl Fn(&[u8; B], f32) -> [f32; N],
) -> Outcome {
    let blocks = bytes.as_chunks::<B>().0.iter();
    for (i, (block, out)) in (first / N..).zip(blocks.zip(out.as_chunks_mut::<N>().0)) {
        let scale = scale(block, scale_at);
        if !scale.is_finite() {
            return Err(Fault {
                offset: i * B + scale_at,
                found: format!("block {i} has the scale {scale}"),
                right: "finite scales",
            });
        }
        *out = decode(block, scale);
    }
    Ok(())
}

/// The float16 at a place of a block.
pub(super) fn scale(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q8_0(block: &[u8; 34], scale: f32) -> [f32; 32] {
    std::array::from_fn(|i| scale * f32::from(block[2 + i] as i8))
}

/// Bytes: 128 with the low four bits of the values, 64 with the high two, 16 `int8` scales, a
/// float16 `d`. Value `i` belongs to half `h = i / 128`, and with `j = i % 128` to byte
/// `64 * h + j % 64` of the low bits, in its lower half while `j < 64`; to byte `32 * h + j % 32`
/// of the high bits, at bit `2 * (j / 32)`; and to scale `i / 16`. It is
/// `d * scale * (bits - 32)`, each product rounded to float32.
fn q6_k(block: &[u8; 210], scale: f32) -> [f32; 256] {
    let (low, rest) = block.split_at(128);
    let (high, scales) = rest.split_at(64);
    std::array::from_fn(|i| {
        let (h, j) = (i / 128, i % 128);
        let low = low[64 * h + j % 64] >> (4 * (j / 64)) & 15;
        let high = high[32 * h + j % 32] >> (2 * (j / 32)) & 3;
        let value = i16::from(high << 4 | low) - 32;
        scale * f32::from(scales[i / 16] as i8) * f32::from(value)
    })
}
