//! Two-bit codes in groups of columns, with a correction for the codes being unsigned.
//!
//! The right kernel packs 128 weights into 32 bytes: byte b holds the columns b, b + 32, b + 64 and
//! b + 96 of its group as `trit + 1`, low bits first, and subtracts the sum of the activations
//! once. The wrong ones read groups of 64 weights in 16 bytes, or subtract twice, or both: the
//! second bug stays hidden behind the first, so that mending one alone does not help.

use std::ops::Range;

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::input::Quantized;
use bitgauge_engine::kernels::{Operands, Spec};
use bitgauge_engine::trits::Trits;

/// Codes in a byte.
const CODES: usize = 4;
/// Bytes of a group, as packed.
const PACKED: usize = 32;
/// Columns of a group, as packed.
const COLUMNS: usize = CODES * PACKED;

const fn grouped<const BYTES: usize, const CORRECTIONS: i32>(
    name: &'static str,
    idea: &'static str,
) -> Spec {
    Spec::portable(
        name,
        idea,
        2.0,
        1,
        pack,
        nothing,
        rows::<BYTES, CORRECTIONS>,
    )
}

/// The right one: what the other three are, mended.
pub static GROUPED: Spec = grouped::<32, 1>(
    "control-grouped",
    "two-bit codes in groups of 128, corrected by the sum of the activations",
);

/// Packed in groups of 128 and read in groups of 64: finite, plausible and wrong.
pub static WRONG_GROUP: Spec = grouped::<16, 1>(
    "defect-wrong-group",
    "packed 128 weights in 32 bytes, read 64 in 16",
);

/// Read rightly, with the sum of the activations subtracted twice.
pub static TWICE_CORRECTED: Spec = grouped::<32, 2>(
    "defect-twice-corrected",
    "the sum of the activations is subtracted twice",
);

/// Both at once, as they were found.
pub static BOTH_BUGS: Spec = grouped::<16, 2>(
    "defect-wrong-group-twice-corrected",
    "read in the wrong groups, and corrected twice",
);

fn nothing(_: &Quantized, _: &mut Aligned) {}

fn row_bytes(cols: usize) -> usize {
    cols.div_ceil(COLUMNS) * PACKED
}

fn pack(trits: &Trits) -> Aligned {
    let stride = row_bytes(trits.cols());
    let mut packed = Aligned::zeroed(trits.rows() * stride);
    let all = packed.as_mut_slice::<u8>().chunks_exact_mut(stride);
    for (n, row) in all.enumerate() {
        for k in 0..stride * CODES {
            // Columns beyond K are packed as weight zero.
            let code = trits.row(n).get(k).map_or(1, |&w| (w + 1) as u8);
            let (group, within) = (k / COLUMNS, k % COLUMNS);
            row[group * PACKED + within % PACKED] |= code << (2 * (within / PACKED));
        }
    }
    packed
}

fn rows<const BYTES: usize, const CORRECTIONS: i32>(
    op: &Operands<'_>,
    range: Range<usize>,
    out: &mut [i32],
) {
    let (stride, tokens) = (row_bytes(op.cols), op.quantized.tokens());
    for (n, out) in range.zip(out.chunks_exact_mut(tokens)) {
        let row = &op.weights[n * stride..][..stride];
        for (t, out) in out.iter_mut().enumerate() {
            let q = op.quantized.padded(t);
            let mut sum = 0;
            for (group, bytes) in row.chunks_exact(BYTES).enumerate() {
                for (b, byte) in bytes.iter().enumerate() {
                    for j in 0..CODES {
                        let k = group * BYTES * CODES + j * BYTES + b;
                        let code = i32::from(byte >> (2 * j) & 3);
                        sum += code * q.get(k).map_or(0, |&q| i32::from(q));
                    }
                }
            }
            *out = sum - CORRECTIONS * op.quantized.sums()[t];
        }
    }
}
