//! One byte a weight: the plainest layout, for defects that have nothing to do with packing.

use std::ops::Range;

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::input::Quantized;
use bitgauge_engine::kernels::{Operands, Rows, Spec};
use bitgauge_engine::trits::Trits;

/// A kernel on this layout that prepares nothing.
pub(super) const fn spec(name: &'static str, idea: &'static str, rows: Rows) -> Spec {
    Spec::portable(name, idea, 8.0, 1, pack, nothing, rows)
}

pub(super) fn pack(trits: &Trits) -> Aligned {
    let mut packed = Aligned::zeroed(trits.rows() * trits.cols());
    let all = packed.as_mut_slice::<i8>().chunks_exact_mut(trits.cols());
    for (n, row) in all.enumerate() {
        row.copy_from_slice(trits.row(n));
    }
    packed
}

fn nothing(_: &Quantized, _: &mut Aligned) {}

/// Writes `sum(token, products)` for every output of `range`; the products are pairs of weight and
/// activation.
pub(super) fn each_sum(
    op: &Operands<'_>,
    range: Range<usize>,
    out: &mut [i32],
    sum: impl Fn(usize, &mut dyn Iterator<Item = (i8, i8)>) -> i32,
) {
    let tokens = op.quantized.tokens();
    for (n, out) in range.zip(out.chunks_exact_mut(tokens)) {
        let row = &op.weights[n * op.cols..][..op.cols];
        for (t, out) in out.iter_mut().enumerate() {
            let weights = row.iter().map(|&w| w as i8);
            *out = sum(t, &mut weights.zip(op.quantized.row(t).iter().copied()));
        }
    }
}
