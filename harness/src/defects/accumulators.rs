//! Sums kept in a number type that can't hold them.

use std::ops::Range;

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::input::Quantized;
use bitgauge_engine::kernels::{Operands, Spec};

use super::bytes;

/// int16 accumulators over the whole row: they wrap once 258 saturated products have one sign.
pub static I16_OVERFLOW: Spec = bytes::spec(
    "defect-i16-overflow",
    "one int8 a weight, summed in int16",
    rows_in_i16,
);

/// Unsigned codes with the correction, the sum of the activations, formed in float32 from the
/// dequantised values: exact enough for most models and not for all.
pub static FLOAT_SUM: Spec = Spec::portable(
    "defect-float-sum",
    "one unsigned code a weight, corrected by a float32 sum of the activations",
    8.0,
    1,
    bytes::pack,
    sum_in_f32,
    rows_corrected_in_f32,
);

fn rows_in_i16(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    bytes::each_sum(op, range, out, |_, products| {
        let sum = products.fold(0i16, |sum, (w, q)| {
            sum.wrapping_add(i16::from(w) * i16::from(q))
        });
        i32::from(sum)
    });
}

fn sum_in_f32(quantized: &Quantized, tables: &mut Aligned) {
    tables.reserve(quantized.tokens() * size_of::<f32>());
    let sums = tables.as_mut_slice::<f32>();
    for (t, sum) in sums.iter_mut().take(quantized.tokens()).enumerate() {
        let scale = quantized.scales()[t];
        *sum = quantized.row(t).iter().map(|&q| f32::from(q) / scale).sum();
    }
}

fn rows_corrected_in_f32(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    let sums = op.tables.as_slice::<f32>();
    bytes::each_sum(op, range, out, |t, products| {
        let unsigned: i32 = products
            .map(|(w, q)| (i32::from(w) + 1) * i32::from(q))
            .sum();
        let correction = sums[t] * op.quantized.scales()[t];
        unsigned - correction.round() as i32
    });
}
