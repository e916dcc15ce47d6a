//! Every kernel against the exact sums, on shapes and values chosen to break kernels.
//!
//! Sums are compared as integers, outputs are poisoned before every call, and each product is
//! computed in several ranges of rows. The expected sums are the oracle's.

use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::{Kernel, Spec};
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::trits::Trits;

use super::check::{Book, Check, Differences, guarded};
use super::random::Random;
use crate::oracle::ops;

/// (rows, cols): one row, one column, multiples of 4, 5, 16, 32, 64 and their neighbours, and
/// widths of real and of golden models.
const SHAPES: [(usize, usize); 26] = [
    (1, 1),
    (1, 5),
    (2, 3),
    (3, 4),
    (4, 9),
    (5, 31),
    (7, 32),
    (8, 33),
    (15, 63),
    (16, 64),
    (17, 65),
    (31, 127),
    (32, 128),
    (33, 129),
    (63, 255),
    (64, 256),
    (65, 257),
    (108, 56),
    (56, 108),
    (100, 320),
    (20, 1000),
    (129, 1),
    (40, 2563),
    (3, 6912),
    (2, 20_011),
    (130, 689),
];

/// Tokens in a batch: decoding, a ragged batch, and a whole one.
const BATCHES: [usize; 3] = [1, 3, 32];

/// No sum of these cases is this value.
const POISON: i32 = i32::MIN + 7;

/// One product and its exact result.
struct Case {
    name: String,
    weights: Trits,
    activations: Activations,
    /// `[rows][tokens]`
    sums: Vec<i32>,
}

enum Activations {
    /// int8 values as they are, `[tokens][cols]`.
    Integers(Vec<i8>),
    /// Values for the quantiser, so that scales are not 1, `[tokens][cols]`.
    Reals(Vec<f32>),
}

/// Cases of one kind, and why they are there.
struct Group {
    id: &'static str,
    cases: Vec<Case>,
}

/// The products that a kernel has to get right.
pub struct KernelCases {
    groups: Vec<Group>,
}

impl KernelCases {
    /// Makes the cases, the same every time, and computes the exact sums.
    pub fn new() -> Self {
        let groups = vec![
            random_shapes(),
            saturated(),
            far_from_zero(),
            alternating(),
            one_weight_at_a_time(),
            zeros(),
            quantised_reals(),
            shorter_after_longer(),
        ];
        Self { groups }
    }

    /// Judges every row of `table`; one that can't run here is listed as skipped.
    pub fn judge_table(&self, table: &[&'static Spec], book: &mut Book<'_>) {
        for spec in table {
            match Kernel::new(spec) {
                Ok(kernel) => self.judge(kernel, book),
                Err(why) => {
                    book.record(Check::skipped("kernel", why).kernel_name(spec.name()));
                }
            }
        }
    }

    /// Judges one kernel: one check a group, its figure the number of wrong sums.
    pub fn judge(&self, kernel: Kernel, book: &mut Book<'_>) {
        for group in &self.groups {
            // One input for the group, so that what a longer case left behind would show.
            let mut input = Input::default();
            let mut differences = Differences::default();
            let outcome = guarded(|| {
                for case in &group.cases {
                    case.run(kernel, &mut input, &mut differences);
                }
            });
            let check = match outcome {
                Ok(()) => differences.check(group.id),
                Err(panic) => Check::broken(group.id, panic),
            };
            book.record(check.kernel(kernel));
        }
    }
}

impl Default for KernelCases {
    fn default() -> Self {
        Self::new()
    }
}

impl Case {
    fn new(
        name: impl Into<String>,
        (rows, cols): (usize, usize),
        weights: Vec<i8>,
        activations: Activations,
    ) -> Self {
        let tokens = |q: &[i8]| q.len() / cols;
        let q = match &activations {
            Activations::Integers(q) => q.clone(),
            Activations::Reals(x) => x
                .chunks_exact(cols)
                .flat_map(|x| ops::quantize(x).expect("finite values").values)
                .collect(),
        };
        let by_token: Vec<Vec<i32>> = q
            .chunks_exact(cols)
            .map(|q| ops::dot_rows(&weights, rows, cols, q))
            .collect();
        let sums = (0..rows)
            .flat_map(|n| by_token.iter().map(move |sums| sums[n]))
            .collect();
        Self {
            name: format!("{} ({rows} x {cols}, {} tokens)", name.into(), tokens(&q)),
            weights: Trits::new(rows, cols, weights).expect("values that are trits"),
            activations,
            sums,
        }
    }

    fn run(&self, kernel: Kernel, input: &mut Input, differences: &mut Differences) {
        let (rows, cols) = (self.weights.rows(), self.weights.cols());
        match &self.activations {
            Activations::Integers(q) => input.set(q, cols),
            Activations::Reals(x) => input.quantize(x, cols).expect("finite values"),
        }
        let tokens = input.quantized().tokens();
        let matrix = Matrix::pack(kernel, &self.weights);
        input.prepare(kernel);
        let tile = kernel.spec().tile();
        for step in [rows.next_multiple_of(tile), tile, 3 * tile] {
            let mut got = vec![POISON; rows * tokens];
            for start in (0..rows).step_by(step) {
                let end = (start + step).min(rows);
                let out = &mut got[start * tokens..end * tokens];
                matrix.sums(input, start..end, out);
            }
            differences.add(&got, &self.sums, |i| {
                format!(
                    "{}, ranges of {step}: row {} token {}",
                    self.name,
                    i / tokens,
                    i % tokens
                )
            });
        }
    }
}

fn random_shapes() -> Group {
    let mut random = Random::new(1);
    let mut cases = Vec::new();
    for (rows, cols) in SHAPES {
        for tokens in BATCHES {
            let weights = random.trits(rows * cols);
            let q = random.int8s(tokens * cols);
            let activations = Activations::Integers(q);
            cases.push(Case::new("random", (rows, cols), weights, activations));
        }
    }
    Group {
        id: "kernel/random",
        cases,
    }
}

/// The largest sums that there are: int16 accumulators overflow, `maddubs` saturates.
fn saturated() -> Group {
    let mut cases = Vec::new();
    for cols in [255, 256, 257, 300, 515, 688, 1024, 6912, 20_011] {
        for (weight, q) in [(1, 127), (-1, 127), (1, -128), (-1, -128), (1, -127)] {
            let activations = Activations::Integers(vec![q; cols]);
            let weights = vec![weight; 3 * cols];
            let name = format!("all weights {weight}, all activations {q}");
            cases.push(Case::new(name, (3, cols), weights, activations));
        }
    }
    Group {
        id: "kernel/saturated",
        cases,
    }
}

/// Activations of one sign: a correction by their sum that is left out or done twice can't cancel.
fn far_from_zero() -> Group {
    let mut random = Random::new(2);
    let mut cases = Vec::new();
    for (rows, cols) in [(9, 128), (16, 256), (5, 333), (4, 6912)] {
        for sign in [1i8, -1] {
            let weights = random.trits(rows * cols);
            let q = (0..3 * cols)
                .map(|_| sign * (40 + random.below(88) as i8))
                .collect();
            let activations = Activations::Integers(q);
            cases.push(Case::new("one sign", (rows, cols), weights, activations));
        }
    }
    Group {
        id: "kernel/far-from-zero",
        cases,
    }
}

/// Neighbours of opposite sign: sums of pairs cancel only if every column keeps its own weight.
fn alternating() -> Group {
    let mut cases = Vec::new();
    for (rows, cols) in [(19, 160), (19, 513)] {
        let weights = (0..rows * cols)
            .map(|i| [1, -1, 0][(i / cols * 7 + (i % cols) * (i % cols)) % 3])
            .collect();
        let q = (0..cols)
            .map(|k| if k % 2 == 0 { 127 } else { -128 })
            .collect();
        let activations = Activations::Integers(q);
        cases.push(Case::new("alternating", (rows, cols), weights, activations));
    }
    Group {
        id: "kernel/alternating",
        cases,
    }
}

/// A single weight of 1 or -1: what it meets is read off directly.
fn one_weight_at_a_time() -> Group {
    let (rows, cols) = (37, 131);
    let mut cases = Vec::new();
    for at in (0..rows * cols).step_by(61) {
        let mut weights = vec![0; rows * cols];
        weights[at] = if at % 2 == 0 { 1 } else { -1 };
        let q = (0..cols).map(|k| (k as i8).wrapping_mul(37) | 1).collect();
        let activations = Activations::Integers(q);
        cases.push(Case::new("one weight", (rows, cols), weights, activations));
    }
    Group {
        id: "kernel/one-weight",
        cases,
    }
}

fn zeros() -> Group {
    let mut random = Random::new(3);
    let shape = (21, 77);
    let q = Activations::Integers(random.int8s(77));
    let zeros = Activations::Integers(vec![0; 2 * 77]);
    let cases = vec![
        Case::new("zero weights", shape, vec![0; 21 * 77], q),
        Case::new("zero activations", shape, random.trits(21 * 77), zeros),
    ];
    Group {
        id: "kernel/zeros",
        cases,
    }
}

/// Real activations through the quantiser: scales are then no powers of two, and differ by token.
fn quantised_reals() -> Group {
    let mut random = Random::new(4);
    let mut cases = Vec::new();
    for (rows, cols) in [(8, 64), (12, 131), (16, 688), (4, 6912), (2, 20_011)] {
        for mean in [0.0, 3.0] {
            let weights = random.trits(rows * cols);
            let x = (0..3 * cols)
                .map(|i| ((random.normal() + mean) * [1.0, 0.037, 251.0][i / cols]) as f32)
                .collect();
            let name = format!("real activations of mean {mean} deviations");
            cases.push(Case::new(
                name,
                (rows, cols),
                weights,
                Activations::Reals(x),
            ));
        }
    }
    Group {
        id: "kernel/quantised",
        cases,
    }
}

/// Buffers are reused: what a longer input left in them must not be read.
fn shorter_after_longer() -> Group {
    let mut random = Random::new(5);
    let mut cases = Vec::new();
    for (cols, tokens) in [(700, 3), (69, 5), (300, 1), (1, 1), (33, 2)] {
        let weights = random.trits(6 * cols);
        let activations = Activations::Integers(random.int8s(tokens * cols));
        cases.push(Case::new("reused buffers", (6, cols), weights, activations));
    }
    Group {
        id: "kernel/reused-buffers",
        cases,
    }
}
