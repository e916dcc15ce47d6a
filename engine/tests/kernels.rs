//! Every kernel that can run here gives the exact sums, whatever the shape and the values.
//!
//! The expected sums are formed here, from dense trits, in i64.

use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::{self, Kernel};
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::trits::Trits;

/// (rows, cols): multiples of nothing, of one tile size only, one row, one column, and the
/// neighbours of every tile size in use; more rows than any kernel takes in one go.
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
    (1, 4096),
    (129, 1),
    (40, 2563),
    (577, 41),
    (2, 20_011),
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
    fn trit(&mut self) -> i8 {
        (self.next() % 3) as i8 - 1
    }
    fn int8(&mut self) -> i8 {
        self.next() as i8
    }
}

fn exact(trits: &Trits, q: &[i8]) -> Vec<i32> {
    let tokens = q.len() / trits.cols();
    let mut sums = Vec::new();
    for n in 0..trits.rows() {
        for t in 0..tokens {
            let q = &q[t * trits.cols()..][..trits.cols()];
            let sum: i64 = trits
                .row(n)
                .iter()
                .zip(q)
                .map(|(&w, &q)| i64::from(w) * i64::from(q))
                .sum();
            sums.push(i32::try_from(sum).unwrap());
        }
    }
    sums
}

/// Computes in several ranges, into an output poisoned beforehand.
fn check(kernel: Kernel, trits: &Trits, q: &[i8], what: &str) {
    let tokens = q.len() / trits.cols();
    let want = exact(trits, q);
    let matrix = Matrix::pack(kernel, trits);
    let mut input = Input::default();
    input.set(q, trits.cols());
    input.prepare(kernel);
    let tile = kernel.spec().tile();
    for step in [trits.rows().next_multiple_of(tile), tile, 3 * tile] {
        let mut got = vec![i32::MIN + 7; want.len()];
        for start in (0..trits.rows()).step_by(step) {
            let end = (start + step).min(trits.rows());
            matrix.sums(&input, start..end, &mut got[start * tokens..end * tokens]);
        }
        let (rows, cols) = (trits.rows(), trits.cols());
        let name = kernel.spec().name();
        let wrong = got.iter().zip(&want).position(|(g, w)| g != w);
        if let Some(at) = wrong {
            panic!(
                "{name}, {rows} x {cols}, {tokens} tokens, ranges of {step}, {what}: row {} token {} is {}, should be {}",
                at / tokens,
                at % tokens,
                got[at],
                want[at]
            );
        }
    }
}

fn trits(rows: usize, cols: usize, mut value: impl FnMut(usize, usize) -> i8) -> Trits {
    let values = (0..rows * cols)
        .map(|i| value(i / cols, i % cols))
        .collect();
    Trits::new(rows, cols, values).unwrap()
}

#[test]
fn random_values_on_every_shape_and_batch() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for kernel in kernels::available() {
        for (rows, cols) in SHAPES {
            let w = trits(rows, cols, |_, _| random.trit());
            for tokens in [1, 2, 3, 5, 11, 32] {
                let q: Vec<i8> = (0..tokens * cols).map(|_| random.int8()).collect();
                check(kernel, &w, &q, "random");
            }
        }
    }
}

/// Weights of more than one block of those that are read in streams.
#[test]
fn few_tokens_on_a_large_matrix() {
    let (rows, cols) = (1301, 1031);
    let mut random = Random(0xb10c_5eed_0f57_4ea5);
    let w = trits(rows, cols, |_, _| random.trit());
    for kernel in kernels::available() {
        for tokens in [1, 3, 6] {
            let q: Vec<i8> = (0..tokens * cols).map(|_| random.int8()).collect();
            check(kernel, &w, &q, "large");
        }
    }
}

#[test]
fn saturated_sums_do_not_overflow() {
    for kernel in kernels::available() {
        for cols in [255, 256, 300, 1024, 6912, 20_011] {
            for (weight, activation) in [(1, 127), (-1, 127), (1, -128), (-1, -128), (1, -127)] {
                let w = trits(3, cols, |_, _| weight);
                for tokens in [1, 9] {
                    check(kernel, &w, &vec![activation; tokens * cols], "saturated");
                }
            }
        }
    }
}

/// Batches around those that kernels take at once, on rows enough for tables to be worth it.
#[test]
fn batches_of_many_tokens_on_many_rows() {
    let (rows, cols) = (529, 260);
    let mut random = Random(0x5eed_0f00_d5ee_d123);
    let w = trits(rows, cols, |_, _| random.trit());
    for kernel in kernels::available() {
        for tokens in (1..=33).chain([48, 51, 52, 57, 63, 64, 65, 127, 128, 129]) {
            let q: Vec<i8> = (0..tokens * cols).map(|_| random.int8()).collect();
            check(kernel, &w, &q, "many tokens");
        }
    }
}

/// Numbers of tokens that nobody thought of, on few weights.
#[test]
fn every_batch_up_to_more_than_kernels_take_at_once() {
    let (rows, cols) = (35, 37);
    let mut random = Random(0xba7c_4e50_fa11_51fe);
    let w = trits(rows, cols, |_, _| random.trit());
    for kernel in kernels::available() {
        for tokens in 1..=160 {
            let q: Vec<i8> = (0..tokens * cols).map(|_| random.int8()).collect();
            check(kernel, &w, &q, "any batch");
        }
    }
}

/// Rows of more than one block of those whose sums tables keep.
#[test]
fn many_tokens_on_more_rows_than_are_kept() {
    let (rows, cols) = (4133, 167);
    let mut random = Random(0x0b10_c5ee_d0f5_57a1);
    let w = trits(rows, cols, |_, _| random.trit());
    for kernel in kernels::available() {
        let q: Vec<i8> = (0..32 * cols).map(|_| random.int8()).collect();
        check(kernel, &w, &q, "many rows");
    }
}

#[test]
fn saturated_sums_of_many_tokens_do_not_overflow() {
    for kernel in kernels::available() {
        for cols in [256, 1031] {
            for (weight, activation) in [(1, 127), (-1, 127), (1, -128), (-1, -128), (1, -127)] {
                let w = trits(513, cols, |_, _| weight);
                check(kernel, &w, &vec![activation; 32 * cols], "saturated");
                // Which token is the largest must not matter.
                for token in [0, 17, 31] {
                    let mut q = vec![1; 32 * cols];
                    q[token * cols..][..cols].fill(activation);
                    check(kernel, &w, &q, "one token saturated");
                }
            }
        }
    }
}

/// Sums kept in parts or in narrow lanes overflow at values of their own, not only at the largest.
#[test]
fn equal_activations_of_any_value_do_not_overflow() {
    for kernel in kernels::available() {
        for weight in [1, -1] {
            let w = trits(2, 1031, |_, _| weight);
            for tokens in [1, 9] {
                for activation in i8::MIN..=i8::MAX {
                    check(kernel, &w, &vec![activation; tokens * 1031], "equal");
                }
            }
        }
    }
}

/// Inputs so wide that sums of shifted codes leave int32 unless a kernel brings them down between.
#[test]
fn sums_over_very_wide_inputs() {
    let cols = 700_001;
    for kernel in kernels::available() {
        for (weight, activation) in [(1, 127), (1, -128), (-1, -128)] {
            let w = trits(2, cols, |_, _| weight);
            check(kernel, &w, &vec![activation; cols], "saturated");
        }
        let w = trits(1, cols, |_, k| [1, 0, -1, 1][k * 4 / cols]);
        check(kernel, &w, &vec![-128; 2 * cols], "two tokens, in blocks");
    }
}

#[test]
fn signs_that_cancel_only_if_columns_are_kept_apart() {
    for kernel in kernels::available() {
        for cols in [160, 513] {
            let w = trits(19, cols, |n, k| [1, -1, 0][(n * 7 + k * k) % 3]);
            let q: Vec<i8> = (0..cols)
                .map(|k| if k % 2 == 0 { 127 } else { -128 })
                .collect();
            check(kernel, &w, &q, "alternating");
        }
    }
}

#[test]
fn zeros_give_zero() {
    let mut random = Random(99);
    for kernel in kernels::available() {
        let zero = trits(21, 77, |_, _| 0);
        let q: Vec<i8> = (0..77).map(|_| random.int8()).collect();
        check(kernel, &zero, &q, "zero weights");
        let w = trits(21, 77, |_, _| random.trit());
        check(kernel, &w, &[0; 77], "zero activations");
    }
}

/// One weight at a time: a swapped or dropped column, row or padding shows as its own index.
#[test]
fn each_weight_meets_its_own_activation() {
    for kernel in kernels::available() {
        let (rows, cols) = (37, 131);
        let q: Vec<i8> = (0..cols).map(|k| (k as i8).wrapping_mul(37) | 1).collect();
        for at in (0..rows * cols).step_by(61) {
            let w = trits(rows, cols, |n, k| i8::from(n * cols + k == at));
            check(kernel, &w, &q, "single weight");
        }
    }
}

/// The buffer of an input is reused: what a longer one left behind must not be read.
#[test]
fn a_shorter_input_after_a_longer_one() {
    let mut random = Random(5);
    for kernel in kernels::available() {
        let mut input = Input::default();
        for cols in [700, 69, 300, 1] {
            let w = trits(6, cols, |_, _| random.trit());
            let q: Vec<i8> = (0..cols).map(|_| random.int8()).collect();
            input.set(&q, cols);
            input.prepare(kernel);
            let mut got = vec![i32::MIN; 6];
            Matrix::pack(kernel, &w).sums(&input, 0..6, &mut got);
            assert_eq!(
                got,
                exact(&w, &q),
                "{} at {cols} columns",
                kernel.spec().name()
            );
        }
    }
}
