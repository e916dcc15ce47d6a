//! The search against all logits, on heads made to deceive it.

use super::*;
use crate::checkpoint::Floats;
use crate::synthetic::split_mix;
use crate::threads::Pool;

struct Random(u64);

impl Random {
    /// Uniform in [-1, 1).
    fn uniform(&mut self) -> f32 {
        ((split_mix(&mut self.0) >> 40) as f64 / (1u64 << 23) as f64 - 1.0) as f32
    }

    fn below(&mut self, n: usize) -> usize {
        (split_mix(&mut self.0) % n as u64) as usize
    }

    fn uniforms(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.uniform()).collect()
    }
}

fn bf16(values: &[f32]) -> Floats {
    Floats::Bf16(
        values
            .iter()
            .map(|v| (v.to_bits() >> 16) as u16)
            .collect::<Vec<_>>()
            .into(),
    )
}

/// Holds the search to all logits, with every number of threads; what it took.
fn hold(head: &FloatMatrix, inputs: &[Vec<f32>]) -> Vec<Effort> {
    let quantized = QuantizedHead::new(head);
    let pools = [1, 3].map(|threads| Pool::with_min_piece(threads, 0).unwrap());
    let mut search = Search::default();
    let mut efforts = Vec::new();
    for x in inputs {
        let mut logits = vec![0.0; head.rows()];
        head.dot_rows(0..head.rows(), x, &mut logits);
        let want = ops::argmax(&logits);
        let found = pools
            .each_ref()
            .map(|pool| quantized.argmax(head, x, pool, &mut search));
        assert_eq!(found[0], found[1], "threads make a difference");
        assert_eq!(found[0].map(|f| f.0), want);
        efforts.extend(found[0].map(|f| f.1));
        bounds_hold(head, &quantized, x, &logits);
    }
    efforts
}

/// Every logit lies within its bounds, plane by plane; the largest share of a bound that was used.
fn bounds_hold(head: &FloatMatrix, quantized: &QuantizedHead, x: &[f32], logits: &[f32]) -> f64 {
    let mut input = Input::default();
    input.set(x);
    let mut used = 0f64;
    if !input.stays_finite(quantized.largest) {
        return used;
    }
    for (n, &logit) in logits.iter().enumerate() {
        let mut estimate = 0f32;
        for plane in &quantized.planes {
            let nothing = [std::ptr::null(); ABREAST];
            let [sum, ..] = plane.sums([n; ABREAST], &input, nothing);
            let row = plane.rows()[n];
            let exact = f64::from(estimate) + row.product(sum, plane.less(&input), &input);
            estimate = exact as f32;
            let radius = input.radius(quantized.norms[n], row.rest);
            let off = (f64::from(logit) - exact).abs();
            assert!(
                off <= radius,
                "row {n} of {}: {off} > {radius}",
                head.rows()
            );
            used = used.max(off / radius);
        }
    }
    used
}

const SIZES: [usize; 9] = [1, 2, 3, 5, 31, 33, 128, 257, 700];

#[test]
fn random_heads_of_both_widths() {
    let mut random = Random(1);
    for cols in SIZES {
        for rows in [1, 2, 7, 300] {
            let values = random.uniforms(rows * cols);
            let inputs: Vec<_> = (0..4).map(|_| random.uniforms(cols)).collect();
            hold(&FloatMatrix::new(bf16(&values), cols), &inputs);
            hold(&FloatMatrix::new(Floats::F32(values.into()), cols), &inputs);
        }
    }
}

/// With few columns what is left of a row often points along the input, and the bound is tight.
#[test]
fn narrow_heads_use_their_bounds_to_the_full() {
    let mut random = Random(2);
    let mut used = 0f64;
    for cols in [1, 2, 3, 4] {
        for _ in 0..40 {
            let values = random.uniforms(500 * cols);
            let head = FloatMatrix::new(Floats::F32(values.into()), cols);
            let x = random.uniforms(cols);
            hold(&head, std::slice::from_ref(&x));
            let mut logits = vec![0.0; head.rows()];
            head.dot_rows(0..head.rows(), &x, &mut logits);
            used = used.max(bounds_hold(&head, &QuantizedHead::new(&head), &x, &logits));
        }
    }
    assert!(used > 0.9, "no bound was nearly reached: {used}");
}

#[test]
fn the_lowest_of_equal_rows_wins() {
    let mut random = Random(3);
    for cols in SIZES {
        let row = random.uniforms(cols);
        let sign = |v: &f32| v.signum();
        let x: Vec<f32> = row.iter().map(sign).collect();
        let mut values = random.uniforms(200 * cols);
        for twin in [17, 90, 199] {
            values[twin * cols..][..cols].copy_from_slice(&row);
        }
        for row in values.chunks_exact_mut(cols) {
            for (v, x) in row.iter_mut().zip(&x).skip(1) {
                *v = v.abs() * x * 0.25;
            }
        }
        for twin in [17, 90, 199] {
            values[twin * cols..][..cols].copy_from_slice(&row);
        }
        let head = FloatMatrix::new(bf16(&values), cols);
        hold(&head, &[x]);
    }
    let head = FloatMatrix::new(Floats::F32(vec![0.0; 50 * 40].into()), 40);
    let efforts = hold(&head, &[vec![1.0; 40], vec![0.0; 40], vec![-0.0; 40]]);
    assert!(efforts.iter().all(|e| e.exact >= 50), "{efforts:?}");
}

/// Rows that differ in the last bits only: nothing can be excluded by estimates.
#[test]
fn nearly_equal_rows_are_all_computed() {
    let mut random = Random(4);
    for cols in [5, 128, 700] {
        let row = random.uniforms(cols);
        let mut values = Vec::new();
        for _ in 0..300 {
            let start = values.len();
            values.extend_from_slice(&row);
            for _ in 0..3 {
                let at = start + random.below(cols);
                values[at] = f32::from_bits(values[at].to_bits() ^ 1);
            }
        }
        let head = FloatMatrix::new(Floats::F32(values.into()), cols);
        let inputs: Vec<_> = (0..4).map(|_| random.uniforms(cols)).collect();
        let efforts = hold(&head, &inputs);
        assert!(efforts.iter().all(|e| e.exact >= 300), "{efforts:?}");
    }
}

/// What the input's integers leave is large when one value dwarfs the others, and rows of small
/// weights win by these others.
#[test]
fn inputs_with_one_huge_value() {
    let mut random = Random(5);
    for cols in SIZES {
        let mut values = random.uniforms(300 * cols);
        values.iter_mut().step_by(cols).for_each(|v| *v *= 1e-4);
        let head = FloatMatrix::new(Floats::F32(values.into()), cols);
        let inputs: Vec<_> = [1e3, -1e5, 1e30]
            .into_iter()
            .map(|huge| {
                let mut x = random.uniforms(cols);
                x[0] = huge;
                x
            })
            .collect();
        hold(&head, &inputs);
    }
}

/// Norms from the smallest float to the largest: sums that underflow, and sums that overflow, for
/// which no bound is claimed.
#[test]
fn magnitudes_at_both_ends() {
    let mut random = Random(6);
    let scales = [1e-45, 1e-40, 1e-30, 1e-10, 1.0, 1e10, 1e17, 1e30, 3e38];
    for cols in [1, 3, 40, 200] {
        let one = random.uniforms(cols);
        let inputs: Vec<Vec<f32>> = scales
            .iter()
            .map(|s| one.iter().map(|v| v * s).collect())
            .collect();
        let mut mixed = Vec::new();
        for scale in scales {
            let values: Vec<f32> = random
                .uniforms(60 * cols)
                .iter()
                .map(|v| v * scale)
                .collect();
            mixed.extend_from_slice(&values[..20 * cols]);
            hold(&FloatMatrix::new(Floats::F32(values.into()), cols), &inputs);
        }
        hold(&FloatMatrix::new(Floats::F32(mixed.into()), cols), &inputs);
    }
}

/// Products of the later columns are too small to change the sum of the first: what float32 loses is
/// half of what the bound allows it to lose.
#[test]
fn long_sums_stay_within_the_rounding_that_is_allowed() {
    let (first, cols) = (8 * 32, 520 * 32);
    let mut row = vec![1f32; cols];
    // The largest integer for so many columns, so that all are integers already.
    let mut x = vec![(i32::MAX as usize / (15 * cols)) as f32; cols];
    row[first..].fill(2f32.powi(-9));
    x[first..].fill(1.0);
    let pairs = || {
        row.iter()
            .zip(&x)
            .map(|(&w, &x)| (f64::from(w), f64::from(x)))
    };
    let exact: f64 = pairs().map(|(w, x)| w * x).sum();
    let norm = pairs().map(|(w, _)| w * w).sum::<f64>().sqrt();
    let mut logit = [0.0];
    FloatMatrix::new(Floats::F32(row.clone().into()), cols).dot_rows(0..1, &x, &mut logit);
    let mut input = Input::default();
    input.set(&x);
    let used = (f64::from(logit[0]) - exact).abs() / input.radius(norm as f32, 0.0);
    assert!((0.4..1.0).contains(&used), "{used}");
}

/// Each part of the bound at its full size, which no head that was met may need.
#[test]
fn the_bound_is_that_of_the_derivation() {
    // One number is the largest integer, and all of the other is left.
    let (large, left) = (f64::from((1 << 14) - 1), 0.375f32);
    let mut input = Input::default();
    input.set(&[large as f32, left]);
    let (x, d) = (large.hypot(f64::from(left)), f64::from(left));
    let rounding = 7.0 * 2f64.powi(-24);
    for (norm, rest, least) in [
        (0.0, 1.0, x + d),
        (1.0, 0.0, d + rounding * x),
        (2.0, 3.0, 3.0 * (x + d) + 2.0 * (d + rounding * x)),
    ] {
        let radius = input.radius(norm, rest);
        assert!(radius >= least, "{norm} {rest}: {radius} < {least}");
        assert!(radius < least * 1.1, "{norm} {rest}: {radius}");
    }
}

/// Indices beyond 16 bits, for whoever keeps rows in fewer bits than they have.
#[test]
fn a_row_of_a_large_vocabulary_is_found() {
    let (rows, cols) = (66_000, 4);
    let mut random = Random(9);
    let mut values = random.uniforms(rows * cols);
    for likeliest in [65_535, 65_536, 65_999] {
        let x = random.uniforms(cols);
        for (v, x) in values[likeliest * cols..][..cols].iter_mut().zip(&x) {
            *v = 3.0 * x.signum();
        }
        // Others nearly as likely, so that estimates alone can't tell.
        for near in [5, 70, rows - 3] {
            for (v, x) in values[near * cols..][..cols].iter_mut().zip(&x) {
                *v = 2.999 * x.signum();
            }
        }
        hold(&FloatMatrix::new(bf16(&values), cols), &[x]);
    }
}

/// As for all logits: a NaN is refused, and infinities are compared.
#[test]
fn numbers_that_are_none() {
    let mut random = Random(7);
    let mut values = random.uniforms(100 * 20);
    values[777] = f32::NAN;
    hold(
        &FloatMatrix::new(Floats::F32(values.clone().into()), 20),
        &[vec![1.0; 20]],
    );
    values[777] = f32::INFINITY;
    let head = FloatMatrix::new(Floats::F32(values.into()), 20);
    let mut bad = vec![1.0; 20];
    bad[3] = f32::NAN;
    hold(
        &head,
        &[vec![1.0; 20], vec![-1.0; 20], bad, vec![f32::INFINITY; 20]],
    );
}

/// Rows of random weights are told apart by few bits: most of the head is never read.
#[test]
fn most_rows_are_excluded() {
    let mut random = Random(8);
    let (rows, cols) = (4000, 256);
    let head = FloatMatrix::new(bf16(&random.uniforms(rows * cols)), cols);
    let inputs: Vec<_> = (0..5).map(|_| random.uniforms(cols)).collect();
    for effort in hold(&head, &inputs) {
        let [first, second, third] = effort.read;
        assert_eq!(first, rows);
        assert!(
            second < rows / 2 && third < rows / 50 && effort.exact < 60,
            "{effort:?}"
        );
        assert!(effort.bytes < rows * cols * 7 / 10, "{effort:?}");
    }
}

#[test]
fn a_head_that_fits_no_memory_is_refused() {
    // Three planes of a line and two numbers a row, and a norm.
    let bytes = 3 * (64 + 8) + 4;
    assert_eq!(Room::of(1 << 50, 8).err(), Some(bytes << 50));
    assert_eq!(Room::of(usize::MAX, 8).err(), Some(usize::MAX));
}
