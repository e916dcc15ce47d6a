//! Ternary matrices, from the bytes of any type that holds such: trits, and one scale.

use super::super::values::Floats;
use super::Fault;
use super::floats::scale;
use super::kind::Kind;

/// The scale of a matrix without a trit other than zero: whatever it is, the product is zero.
const OF_ZEROS: f32 = 1.0;

const ONE_SCALE: &str = "one scale for all blocks that are not zero: the product has no other";

/// Trits of a packed type, row-major, into `trits`; the scale that multiplies them.
pub(super) fn unpack(kind: Kind, bytes: &[u8], trits: &mut [i8]) -> Result<f32, Fault> {
    match kind {
        Kind::I2S => i2_s(bytes, trits),
        Kind::Tq1_0 => blocks::<54>(bytes, trits, |block| Ok(tq1_0(block))),
        Kind::Tq2_0 => blocks::<66>(bytes, trits, tq2_0),
        other => unreachable!("{other} holds real numbers"),
    }
}

/// Trits and scale of a matrix of floats, of which each must be `-s`, `0` or `s`: what converters
/// make of a ternary matrix whose rows are no whole blocks.
pub(super) fn of_floats(values: &Floats, size: usize, trits: &mut [i8]) -> Result<f32, Fault> {
    let all = || (0..values.len()).map(|i| values.get(i));
    let scale = all().map(f32::abs).find(|&v| v > 0.0).unwrap_or(OF_ZEROS);
    for (i, (value, trit)) in all().zip(trits).enumerate() {
        if value != 0.0 && value.abs() != scale {
            return Err(Fault {
                offset: i * size,
                found: format!(
                    "value {i} is {value}, and one before it {scale} or {}",
                    -scale
                ),
                right: "values that are zero, or one number with either sign",
            });
        }
        *trit = i8::from(value > 0.0) - i8::from(value < 0.0);
    }
    Ok(scale)
}

/// Blocks of 128 values in 32 bytes, then the scale as float32. Byte `b` of a block has values
/// `b`, `b + 32`, `b + 64` and `b + 96` from its highest pair of bits to its lowest; the codes 0,
/// 1 and 2 are -1, 0 and 1.
///
/// That is the order in which bitnet.cpp packs and computes on x86-64. Built for ARM, it packs 64
/// values into 16 bytes instead, and nothing in a file says which machine wrote it: such a file
/// loads as other weights.
fn i2_s(bytes: &[u8], trits: &mut [i8]) -> Result<f32, Fault> {
    let (packed, tail) = bytes.split_at(bytes.len() - 32);
    let blocks = packed.as_chunks::<32>().0.iter();
    for (b, (block, trits)) in blocks.zip(trits.as_chunks_mut::<128>().0).enumerate() {
        for (trits, shift) in trits.as_chunks_mut::<32>().0.iter_mut().zip([6, 4, 2, 0]) {
            *trits = block.map(|byte| (byte >> shift & 3) as i8 - 1);
            if let Some(i) = trits.iter().position(|&trit| trit > 1) {
                return Err(code_3(b * 32 + i, b));
            }
        }
    }
    let scale = f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
    if scale.is_finite() && scale > 0.0 {
        return Ok(scale);
    }
    // What quantises a matrix of zeros leaves their largest magnitude here.
    if scale == 0.0 && trits.iter().all(|&trit| trit == 0) {
        return Ok(OF_ZEROS);
    }
    Err(Fault {
        offset: packed.len(),
        found: format!("the scale {scale}"),
        right: "a finite scale above 0",
    })
}

/// Blocks of `B` bytes for 256 values, the last two of which are a float16 scale.
fn blocks<const B: usize>(
    bytes: &[u8],
    trits: &mut [i8],
    unpack: impl Fn(&[u8; B]) -> Result<[i8; 256], usize>,
) -> Result<f32, Fault> {
    let mut common = None;
    let blocks = bytes.as_chunks::<B>().0.iter();
    for (b, (block, trits)) in blocks.zip(trits.as_chunks_mut::<256>().0).enumerate() {
        let values = unpack(block).map_err(|byte| code_3(b * B + byte, b))?;
        let scale = scale(block, B - 2);
        let zero = values == [0; 256];
        let fault = |found, right| Fault {
            offset: b * B + B - 2,
            found,
            right,
        };
        if !scale.is_finite() || scale < 0.0 || (scale == 0.0 && !zero) {
            let found = format!("block {b} has the scale {scale}");
            return Err(fault(found, "a finite scale above 0"));
        }
        if !zero {
            let (first, expected) = *common.get_or_insert((b, scale));
            if scale != expected {
                let found =
                    format!("block {b} has the scale {scale}, and block {first} has {expected}");
                return Err(fault(found, ONE_SCALE));
            }
        }
        *trits = values;
    }
    Ok(common.map_or(OF_ZEROS, |(_, scale)| scale))
}

/// 48 bytes of five trits, 4 bytes of four, and the scale. The first 32 bytes have values 0 to
/// 159, value `32 * n + b` being digit `n` of byte `b`; the next 16 have 160 to 239, `160 + 16 * n
/// + b`; the last four have 240 to 255, `240 + 4 * n + b`.
fn tq1_0(block: &[u8; 54]) -> [i8; 256] {
    let mut values = [0; 256];
    for (bytes, first) in [(0..32, 0), (32..48, 160), (48..52, 240)] {
        let width = bytes.len();
        let digits = if width == 4 { 4 } else { 5 };
        for (b, &byte) in block[bytes].iter().enumerate() {
            for n in 0..digits {
                values[first + width * n + b] = digit(byte, n) - 1;
            }
        }
    }
    values
}

/// Digit `n` of a byte that holds five in base 3, the first the most significant, as the fraction
/// `byte / 256`: multiplying by 3 moves the next digit in front of the point.
fn digit(byte: u8, n: usize) -> i8 {
    let fraction = (0..n).fold(byte, |byte, _| byte.wrapping_mul(3));
    ((u16::from(fraction) * 3) >> 8) as i8
}

/// 64 bytes of four codes and the scale. Byte `32 * h + b` has values `128 * h + b`, and those 32,
/// 64 and 96 further on, from its lowest pair of bits to its highest; the codes 0, 1 and 2 are -1,
/// 0 and 1. An error is the byte with a code 3.
fn tq2_0(block: &[u8; 66]) -> Result<[i8; 256], usize> {
    let mut values = [0; 256];
    for (i, value) in values.iter_mut().enumerate() {
        let byte = 32 * (i / 128) + i % 32;
        let code = block[byte] >> (2 * (i % 128 / 32)) & 3;
        if code == 3 {
            return Err(byte);
        }
        *value = code as i8 - 1;
    }
    Ok(values)
}

fn code_3(offset: usize, block: usize) -> Fault {
    Fault {
        offset,
        found: format!("code 3 in block {block}"),
        right: "code 0, 1 or 2 for the trits -1, 0 and 1",
    }
}
