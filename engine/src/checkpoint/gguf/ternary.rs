//! Ternary matrices, from the bytes of any type that holds such: trits, and one scale.

use super::super::values::Floats;
use super::Fault;
use super::floats::scale;
use super::kind::Kind;
use super::rows;

/// The scale of a matrix without a trit other than zero: whatever it is, the product is zero.
const OF_ZEROS: f32 = 1.0;

/// Trits of a packed type, row-major with `cols` values a row, into `trits`; the scale that
/// multiplies them.
pub(super) fn unpack(
    kind: Kind,
    bytes: &[u8],
    cols: usize,
    trits: &mut [i8],
) -> Result<f32, Fault> {
    match kind {
        Kind::I2S => i2_s(bytes, trits),
        Kind::Tq1_0 => blocks::<54>(bytes, trits, |block| Ok(tq1_0(block))),
        Kind::Tq2_0 => blocks::<66>(bytes, trits, tq2_0),
        Kind::Iq1Bn => rows::iq1_bn(bytes, cols, trits),
        Kind::Iq2Bn => rows::iq2_bn(bytes, cols, trits),
        Kind::Iq2BnR4 => rows::iq2_bn_r4(bytes, cols, trits),
        other => unreachable!("{other} holds real numbers"),
    }
}

/// The one scale of a matrix that has a place for it in each of its parts: the product has no other.
pub(super) struct Common {
    /// What the parts are: blocks, or rows.
    part: &'static str,
    /// The first part that is not zero, and its scale.
    first: Option<(usize, f32)>,
}

impl Common {
    pub fn of(part: &'static str) -> Self {
        Self { part, first: None }
    }

    /// Takes the scale, found at byte `offset`, of part `i`, whose trits are all zero if `zero`.
    pub fn take(&mut self, i: usize, scale: f32, zero: bool, offset: usize) -> Result<(), Fault> {
        let part = self.part;
        let fault = |found, right| Fault {
            offset,
            found,
            right,
        };
        if !scale.is_finite() || scale < 0.0 || (scale == 0.0 && !zero) {
            let found = format!("{part} {i} has the scale {scale}");
            return Err(fault(found, "a finite scale above 0"));
        }
        if zero {
            return Ok(());
        }
        let (first, expected) = *self.first.get_or_insert((i, scale));
        if scale == expected {
            return Ok(());
        }
        let found = format!("{part} {i} has the scale {scale}, and {part} {first} has {expected}");
        let right = "one scale for all that is not zero: the product has no other";
        Err(fault(found, right))
    }

    pub fn scale(&self) -> f32 {
        self.first.map_or(OF_ZEROS, |(_, scale)| scale)
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
                return Err(code_3(b * 32 + i, "block", b));
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
    let mut common = Common::of("block");
    let blocks = bytes.as_chunks::<B>().0.iter();
    for (b, (block, trits)) in blocks.zip(trits.as_chunks_mut::<256>().0).enumerate() {
        let values = unpack(block).map_err(|byte| code_3(b * B + byte, "block", b))?;
        let scale = scale(block, B - 2);
        common.take(b, scale, values == [0; 256], b * B + B - 2)?;
        *trits = values;
    }
    Ok(common.scale())
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
pub(super) fn digit(byte: u8, n: usize) -> i8 {
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

pub(super) fn code_3(offset: usize, part: &str, i: usize) -> Fault {
    Fault {
        offset,
        found: format!("code 3 in {part} {i}"),
        right: "code 0, 1 or 2 for the trits -1, 0 and 1",
    }
}
