//! The ternary types of ik_llama.cpp, in which each row has a scale of its own.
//!
//! Its writer takes for the scale of a row the largest magnitude in it. A row of zeros so has the
//! scale 0, and every code in it says 1: a row is zero when its scale is, whatever its codes.

use half::f16;

use super::Fault;
use super::ternary::{Common, code_3, digit};

/// Values of a block.
const BLOCK: usize = 64;

/// A float16 and blocks of 13 bytes for 64 values. Sixteen values each have three bytes of five
/// trits, and the last of the sixteen is a trit of the thirteenth byte. The first trit of a byte is
/// its least significant digit. Every byte stands for trits.
pub(super) fn iq1_bn(bytes: &[u8], cols: usize, trits: &mut [i8]) -> Result<f32, Fault> {
    const SIZE: usize = 13;
    let head = size_of::<f16>();
    let size = head + cols / BLOCK * SIZE;
    let mut common = Common::of("row");
    for (n, (row, trits)) in pairs(bytes, size, trits, cols).enumerate() {
        let (scale, blocks) = row.split_at(head);
        let scale = f16::from_le_bytes([scale[0], scale[1]]).to_f32();
        let blocks = blocks.as_chunks::<SIZE>().0.iter();
        for (block, trits) in blocks.zip(trits.as_chunks_mut::<BLOCK>().0) {
            for (i, trits) in trits.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                for (j, trit) in trits[..15].iter_mut().enumerate() {
                    *trit = digit(block[3 * i + j / 5], 4 - j % 5) - 1;
                }
                trits[15] = digit(block[12], 4 - i) - 1;
            }
        }
        take(&mut common, n, scale, trits, n * size)?;
    }
    Ok(common.scale())
}

/// A float32 and blocks of 16 bytes for 64 values. Byte `b` of a block has values `b`, `b + 16`,
/// `b + 32` and `b + 48` from its lowest pair of bits to its highest; the codes 0, 1 and 2 are -1, 0
/// and 1.
pub(super) fn iq2_bn(bytes: &[u8], cols: usize, trits: &mut [i8]) -> Result<f32, Fault> {
    let head = size_of::<f32>();
    let size = head + cols / 4;
    let mut common = Common::of("row");
    for (n, (row, trits)) in pairs(bytes, size, trits, cols).enumerate() {
        let (scale, codes) = row.split_at(head);
        let blocks = codes.as_chunks::<16>().0.iter();
        for (b, (block, trits)) in blocks.zip(trits.as_chunks_mut::<BLOCK>().0).enumerate() {
            for (trits, shift) in trits.as_chunks_mut::<16>().0.iter_mut().zip([0, 2, 4, 6]) {
                *trits = block.map(|byte| (byte >> shift & 3) as i8 - 1);
            }
            if let Some(i) = trits.iter().position(|&trit| trit > 1) {
                return Err(code_3(n * size + head + b * 16 + i % 16, "row", n));
            }
        }
        take(&mut common, n, float(scale, 0), trits, n * size)?;
    }
    Ok(common.scale())
}

/// Four rows together: their scales as float32, then blocks of 64 bytes for 64 values of each. Byte
/// `16 * l + 4 * r + i` of a block has values `16 * l + i` of row `r`, and those 4, 8 and 12 further
/// on, from its lowest pair of bits to its highest.
pub(super) fn iq2_bn_r4(bytes: &[u8], cols: usize, trits: &mut [i8]) -> Result<f32, Fault> {
    const TOGETHER: usize = 4;
    let head = TOGETHER * size_of::<f32>();
    let size = head + cols;
    let mut common = Common::of("row");
    let four = pairs(bytes, size, trits, TOGETHER * cols);
    for (n, (rows, trits)) in four.enumerate() {
        let (scales, codes) = rows.split_at(head);
        for (at, &byte) in codes.iter().enumerate() {
            let (l, r, i) = (at / 16, at / 4 % TOGETHER, at % 4);
            let trits = &mut trits[r * cols + 16 * l + i..];
            for (m, shift) in [0, 2, 4, 6].into_iter().enumerate() {
                let code = byte >> shift & 3;
                if code == 3 {
                    return Err(code_3(n * size + head + at, "row", TOGETHER * n + r));
                }
                trits[4 * m] = code as i8 - 1;
            }
        }
        for (r, trits) in trits.chunks_exact_mut(cols).enumerate() {
            let at = n * size + r * size_of::<f32>();
            take(&mut common, TOGETHER * n + r, float(scales, r), trits, at)?;
        }
    }
    Ok(common.scale())
}

/// Rows of `size` bytes, each with the place of its `cols` trits.
fn pairs<'a>(
    bytes: &'a [u8],
    size: usize,
    trits: &'a mut [i8],
    cols: usize,
) -> impl Iterator<Item = (&'a [u8], &'a mut [i8])> {
    bytes.chunks_exact(size).zip(trits.chunks_exact_mut(cols))
}

fn float(bytes: &[u8], i: usize) -> f32 {
    f32::from_le_bytes(std::array::from_fn(|b| bytes[4 * i + b]))
}

/// Takes the scale of row `n`, found at byte `offset`.
fn take(
    common: &mut Common,
    n: usize,
    scale: f32,
    trits: &mut [i8],
    offset: usize,
) -> Result<(), Fault> {
    if scale == 0.0 {
        trits.fill(0);
    }
    common.take(n, scale, trits.iter().all(|&trit| trit == 0), offset)
}
