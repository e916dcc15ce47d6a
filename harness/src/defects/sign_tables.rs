//! Tables indexed by signs: one bit where the model has a trit, or an int8 value.
//!
//! All three are real table lookups over groups of four columns, and differ only in which side of
//! the product was taken for its sign. A sign has no zero: `sg(v)` is +1 for `v >= 0`, else -1.

use std::ops::Range;
use std::sync::LazyLock;

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::input::Quantized;
use bitgauge_engine::kernels::{Operands, Spec};
use bitgauge_engine::trits::Trits;

/// Columns that one lookup covers.
const GROUP: usize = 4;
/// Entries of a table that is indexed by one sign a column.
const ENTRIES: usize = 1 << GROUP;
/// Codes of a group of trits, 3^4.
const CODES: usize = 81;
/// What an activation taken for its sign is worth: absmax, in quantised units.
const ABSMAX: i32 = 127;

/// `sum sg(w) q`: the table holds sums of activations, as it should, but is indexed by the weights'
/// sign bits, so that a weight of zero adds its activation.
pub static SIGNS_OF_WEIGHTS: Spec = Spec::portable(
    "defect-signs-of-weights",
    "sums of activations, looked up by the signs of four weights",
    1.0,
    1,
    pack_signs,
    sum_activations,
    look_up_by_weight_signs,
);

/// `127 * sum w sg(q)`: the lookup goes by the activations' sign bits, each worth the absmax.
///
/// The signs are those of the int8 values, since a kernel sees no others: a small negative
/// activation that was rounded to 0 counts as positive here. [`error`](super::error) has the
/// formula on the activations themselves.
pub static SIGNS_OF_ACTIVATIONS: Spec = Spec::portable(
    "defect-signs-of-activations",
    "sums of four weights, looked up by the signs of their activations",
    2.0,
    1,
    pack_codes,
    activation_signs,
    look_up_by_activation_signs,
);

/// `127 * sum sg(w) sg(q)`: both.
pub static SIGNS_OF_BOTH: Spec = Spec::portable(
    "defect-signs-of-both",
    "sums of signs, looked up by the signs of four weights and of their activations",
    1.0,
    1,
    pack_signs,
    activation_signs,
    look_up_by_both_signs,
);

fn groups(cols: usize) -> usize {
    cols.div_ceil(GROUP)
}

/// Bit j is set where value j is not negative; a missing value counts as zero.
fn sign_bits(values: &[i8]) -> u8 {
    (0..GROUP)
        .map(|j| u8::from(values.get(j).is_none_or(|&v| v >= 0)) << j)
        .sum()
}

fn sign(bits: usize, j: usize) -> i32 {
    if bits >> j & 1 == 1 { 1 } else { -1 }
}

/// One byte a group, so that the lookups stay in sight.
fn pack_groups(trits: &Trits, code: impl Fn(&[i8]) -> u8) -> Aligned {
    let stride = groups(trits.cols());
    let mut packed = Aligned::zeroed(trits.rows() * stride);
    let rows = packed.as_mut_slice::<u8>().chunks_exact_mut(stride);
    for (n, row) in rows.enumerate() {
        for (byte, group) in row.iter_mut().zip(trits.row(n).chunks(GROUP)) {
            *byte = code(group);
        }
    }
    packed
}

fn pack_signs(trits: &Trits) -> Aligned {
    pack_groups(trits, sign_bits)
}

/// Base 3, first column lowest; a missing weight is zero.
fn pack_codes(trits: &Trits) -> Aligned {
    pack_groups(trits, |group| {
        (0..GROUP).rev().fold(0, |code, j| {
            let w = group.get(j).copied().unwrap_or(0);
            code * 3 + (w + 1) as u8
        })
    })
}

/// For each token and group the 16 sums of plus or minus its activations.
fn sum_activations(quantized: &Quantized, tables: &mut Aligned) {
    let per_token = groups(quantized.cols()) * ENTRIES;
    tables.reserve(quantized.tokens() * per_token * size_of::<i16>());
    let all = tables.as_mut_slice::<i16>().chunks_exact_mut(per_token);
    for (t, table) in all.take(quantized.tokens()).enumerate() {
        let groups = quantized.row(t).chunks(GROUP);
        for (entries, group) in table.chunks_exact_mut(ENTRIES).zip(groups) {
            for (bits, entry) in entries.iter_mut().enumerate() {
                let terms = group.iter().enumerate();
                *entry = terms
                    .map(|(j, &q)| (sign(bits, j) * i32::from(q)) as i16)
                    .sum();
            }
        }
    }
}

/// For each token one byte of signs a group.
fn activation_signs(quantized: &Quantized, tables: &mut Aligned) {
    let per_token = groups(quantized.cols());
    tables.reserve(quantized.tokens() * per_token);
    let all = tables.as_mut_slice::<u8>().chunks_exact_mut(per_token);
    for (t, signs) in all.take(quantized.tokens()).enumerate() {
        for (byte, group) in signs.iter_mut().zip(quantized.row(t).chunks(GROUP)) {
            *byte = sign_bits(group);
        }
    }
}

/// Calls `sum(token, packed row)` for every output.
fn each_output(
    op: &Operands<'_>,
    range: Range<usize>,
    out: &mut [i32],
    sum: impl Fn(usize, &[u8]) -> i32,
) {
    let (stride, tokens) = (groups(op.cols), op.quantized.tokens());
    for (n, out) in range.zip(out.chunks_exact_mut(tokens)) {
        let row = &op.weights[n * stride..][..stride];
        for (t, out) in out.iter_mut().enumerate() {
            *out = sum(t, row);
        }
    }
}

fn look_up_by_weight_signs(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    let per_token = groups(op.cols) * ENTRIES;
    each_output(op, range, out, |t, row| {
        let table = &op.tables.as_slice::<i16>()[t * per_token..][..per_token];
        let entries = table.chunks_exact(ENTRIES).zip(row);
        entries
            .map(|(entries, &bits)| i32::from(entries[usize::from(bits)]))
            .sum()
    });
}

fn look_up_by_activation_signs(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    static TABLE: LazyLock<Vec<[i32; ENTRIES]>> = LazyLock::new(|| {
        (0..CODES)
            .map(|code| {
                let weight = |j| (code / 3usize.pow(j as u32) % 3) as i32 - 1;
                std::array::from_fn(|bits| {
                    (0..GROUP).map(|j| ABSMAX * weight(j) * sign(bits, j)).sum()
                })
            })
            .collect()
    });
    let stride = groups(op.cols);
    each_output(op, range, out, |t, row| {
        let signs = &op.tables.as_slice::<u8>()[t * stride..][..stride];
        row.iter()
            .zip(signs)
            .map(|(&code, &bits)| TABLE[usize::from(code)][usize::from(bits)])
            .sum()
    });
}

fn look_up_by_both_signs(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    static TABLE: LazyLock<[[i32; ENTRIES]; ENTRIES]> = LazyLock::new(|| {
        std::array::from_fn(|w| {
            std::array::from_fn(|a| (0..GROUP).map(|j| ABSMAX * sign(w, j) * sign(a, j)).sum())
        })
    });
    let stride = groups(op.cols);
    // Columns that pad the last group have both signs set.
    let padding = (stride * GROUP - op.cols) as i32 * ABSMAX;
    each_output(op, range, out, |t, row| {
        let signs = &op.tables.as_slice::<u8>()[t * stride..][..stride];
        let lookups = row.iter().zip(signs);
        let sum: i32 = lookups
            .map(|(&w, &a)| TABLE[usize::from(w)][usize::from(a)])
            .sum();
        sum - padding
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::random::Random;
    use bitgauge_engine::input::Input;
    use bitgauge_engine::kernels::Kernel;
    use bitgauge_engine::matrix::Matrix;

    /// The lookups are the formulas of the defects, on any K: what is wrong is the idea alone.
    #[test]
    fn the_lookups_are_the_formulas() {
        let sg = |v: i8| if v >= 0 { 1 } else { -1 };
        let mut random = Random::new(11);
        for cols in [1, 4, 7, 64, 130, 688] {
            let weights = random.trits(5 * cols);
            let q = random.int8s(3 * cols);
            let formula = |term: &dyn Fn(i8, i8) -> i32| -> Vec<i32> {
                let sum = |w: &[i8], q: &[i8]| w.iter().zip(q).map(|(&w, &q)| term(w, q)).sum();
                weights
                    .chunks(cols)
                    .flat_map(|w| q.chunks(cols).map(move |q| sum(w, q)))
                    .collect()
            };
            let trits = Trits::new(5, cols, weights.clone()).unwrap();
            for (spec, want) in [
                (&SIGNS_OF_WEIGHTS, formula(&|w, q| sg(w) * i32::from(q))),
                (
                    &SIGNS_OF_ACTIVATIONS,
                    formula(&|w, q| 127 * i32::from(w) * sg(q)),
                ),
                (&SIGNS_OF_BOTH, formula(&|w, q| 127 * sg(w) * sg(q))),
            ] {
                let kernel = Kernel::new(spec).unwrap();
                let mut input = Input::default();
                input.set(&q, cols);
                input.prepare(kernel);
                let mut got = vec![i32::MIN; 15];
                Matrix::pack(kernel, &trits).sums(&input, 0..5, &mut got);
                assert_eq!(got, want, "{} at {cols} columns", spec.name());
            }
        }
    }
}
