//! The reference for speed: one weight at a time, as a first implementation would have it.

use std::ops::Range;

use super::layout::{self, Layout};
use super::{Operands, Packing, Spec};
use crate::aligned::Aligned;
use crate::input::Quantized;
use crate::trits::Trits;

pub(super) const SPEC: Spec = Spec::scalar(
    "naive",
    "one weight at a time: unpack two bits, multiply, add",
    2.0,
    1,
    Packing::LaidOut(Layout {
        bytes: |rows, cols| rows * row_bytes(cols),
        pack,
        code: |weights, at| (weights[at.n * row_bytes(at.cols) + at.k / 4] >> (2 * (at.k % 4))) & 3,
        sound: layout::pairs_of_bits,
    }),
    no_tables,
    rows,
);

/// Bytes of one packed row: four codes (trit + 1) a byte, low bits first.
fn row_bytes(cols: usize) -> usize {
    cols.div_ceil(4)
}

fn pack(trits: &Trits, packed: &mut [u8]) {
    let stride = row_bytes(trits.cols());
    for (n, row) in packed.chunks_exact_mut(stride).enumerate() {
        for (byte, four) in row.iter_mut().zip(trits.row(n).chunks(4)) {
            for (j, &w) in four.iter().enumerate() {
                *byte |= ((w + 1) as u8) << (2 * j);
            }
        }
    }
}

/// For kernels that read the activations as they are.
pub(super) fn no_tables(_: &Quantized, _: &mut Aligned) {}

fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    let stride = row_bytes(op.cols);
    let tokens = op.quantized.tokens();
    for (n, out) in range.zip(out.chunks_exact_mut(tokens)) {
        let row = &op.weights[n * stride..][..stride];
        for (t, sum) in out.iter_mut().enumerate() {
            *sum = 0;
            for (k, &q) in op.quantized.row(t).iter().enumerate() {
                let code = (row[k / 4] >> (2 * (k % 4))) & 3;
                *sum += (i32::from(code) - 1) * i32::from(q);
            }
        }
    }
}
