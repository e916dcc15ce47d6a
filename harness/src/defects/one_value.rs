//! The published repair of the sign table, wrong as well.

use std::ops::Range;

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::input::Quantized;
use bitgauge_engine::kernels::{Operands, Spec};
use bitgauge_engine::trits::Trits;

/// Columns that share one value.
const GROUP: usize = 8;
/// Sums of eight weights: -8 to 8.
const ENTRIES: usize = 2 * GROUP + 1;

/// `sum over groups of q[first of the group] * (sum of the group's weights)`: the index byte is no
/// longer read as eight signs, but as one int8 value, which all eight elements then share.
///
/// Where the activations of a group are equal it is right, which is how it passed its tests.
pub static ONE_VALUE: Spec = Spec::portable(
    "defect-one-value",
    "multiples of one activation, looked up by the sum of eight weights",
    1.0,
    1,
    pack,
    prepare,
    rows,
);

fn groups(cols: usize) -> usize {
    cols.div_ceil(GROUP)
}

fn pack(trits: &Trits) -> Aligned {
    let stride = groups(trits.cols());
    let mut packed = Aligned::zeroed(trits.rows() * stride);
    let all = packed.as_mut_slice::<u8>().chunks_exact_mut(stride);
    for (n, row) in all.enumerate() {
        for (byte, group) in row.iter_mut().zip(trits.row(n).chunks(GROUP)) {
            *byte = (group.iter().sum::<i8>() + GROUP as i8) as u8;
        }
    }
    packed
}

fn prepare(quantized: &Quantized, tables: &mut Aligned) {
    let per_token = groups(quantized.cols()) * ENTRIES;
    tables.reserve(quantized.tokens() * per_token * size_of::<i16>());
    let all = tables.as_mut_slice::<i16>().chunks_exact_mut(per_token);
    for (t, table) in all.take(quantized.tokens()).enumerate() {
        let groups = quantized.row(t).chunks(GROUP);
        for (entries, group) in table.chunks_exact_mut(ENTRIES).zip(groups) {
            for (entry, sum) in entries.iter_mut().zip(-(GROUP as i16)..) {
                *entry = sum * i16::from(group[0]);
            }
        }
    }
}

fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    let (stride, tokens) = (groups(op.cols), op.quantized.tokens());
    let per_token = stride * ENTRIES;
    let tables = op.tables.as_slice::<i16>();
    for (n, out) in range.zip(out.chunks_exact_mut(tokens)) {
        let row = &op.weights[n * stride..][..stride];
        for (out, table) in out.iter_mut().zip(tables.chunks_exact(per_token)) {
            let lookups = table.chunks_exact(ENTRIES).zip(row);
            *out = lookups
                .map(|(entries, &sum)| i32::from(entries[usize::from(sum)]))
                .sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::random::Random;
    use bitgauge_engine::input::Input;
    use bitgauge_engine::kernels::Kernel;
    use bitgauge_engine::matrix::Matrix;

    /// Equal activations hide the defect: the tests that it was published with had nothing else.
    #[test]
    fn it_is_right_where_a_group_is_equal_and_only_there() {
        let mut random = Random::new(7);
        let weights = random.trits(6 * 64);
        let trits = Trits::new(6, 64, weights.clone()).unwrap();
        let kernel = Kernel::new(&ONE_VALUE).unwrap();
        let sums = |q: &[i8]| {
            let mut input = Input::default();
            input.set(q, 64);
            input.prepare(kernel);
            let mut got = vec![0; 6];
            Matrix::pack(kernel, &trits).sums(&input, 0..6, &mut got);
            (got, crate::oracle::ops::dot_rows(&weights, 6, 64, q))
        };
        let equal: Vec<i8> = (0..64).map(|k| (k / 8 * 9) as i8 - 30).collect();
        let (got, want) = sums(&equal);
        assert_eq!(got, want);
        let (got, want) = sums(&random.int8s(64));
        assert_ne!(got, want);
    }
}
