//! Every kernel of the table on every shape, in both phases. See README.md for the names.

mod common;

use std::cell::{LazyCell, OnceCell};
use std::hint::black_box;

use bitgauge::oracle::ops;
use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::{Kernel, available};
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::trits::Trits;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

use common::{Random, settings};

/// Name, outputs N and inputs K. All but the last are those of BitNet b1.58 2B4T, fused as the
/// engine fuses them.
const SHAPES: [(&str, usize, usize); 5] = [
    ("qkv", 3840, 2560),
    ("o", 2560, 2560),
    ("gate_up", 13824, 2560),
    ("down", 2560, 6912),
    ("small", 320, 256),
];

/// Name, tokens in the batch and samples.
const PHASES: [(&str, usize, usize); 2] = [("decode", 1, 20), ("prefill", 32, 10)];

/// Operands of a shape, made when a benchmark of it runs, and the oracle's sums.
struct Operands {
    rows: usize,
    cols: usize,
    trits: Vec<i8>,
    /// For as many tokens as the longest phase has, `[token][K]`.
    activations: Vec<i8>,
    /// `[token][N]`; a phase takes its tokens from the front.
    expected: [OnceCell<Vec<Vec<i32>>>; PHASES.len()],
}

impl Operands {
    fn new(rows: usize, cols: usize) -> Self {
        let mut random = Random((rows * cols) as u64);
        let mut eight = || random.bits().to_le_bytes();
        let trit = |byte: u8| ((u16::from(byte) * 3) >> 8) as i8 - 1;
        let trits = (0..rows * cols / 8)
            .flat_map(|_| eight().map(trit))
            .collect();
        let tokens = PHASES.map(|(_, tokens, _)| tokens).into_iter().max();
        let values = tokens.unwrap_or(0) * cols;
        // The quantiser gives no -128.
        let activation = |byte: u8| (byte as i8).max(-127);
        let activations = (0..values / 8)
            .flat_map(|_| eight().map(activation))
            .collect();
        Self {
            rows,
            cols,
            trits,
            activations,
            expected: Default::default(),
        }
    }

    fn input(&self, tokens: usize) -> Input {
        let mut input = Input::default();
        input.set(&self.activations[..tokens * self.cols], self.cols);
        input
    }

    fn pack(&self, kernel: Kernel) -> Matrix {
        let trits = Trits::new(self.rows, self.cols, self.trits.clone()).expect("trits");
        Matrix::pack(kernel, &trits)
    }

    fn expected(&self, phase: usize) -> &[Vec<i32>] {
        self.expected[phase].get_or_init(|| {
            let tokens = self.activations.chunks(self.cols).take(PHASES[phase].1);
            tokens
                .map(|q| ops::dot_rows(&self.trits, self.rows, self.cols, q))
                .collect()
        })
    }

    /// Ends the suite unless every sum is the oracle's.
    fn judge(&self, matrix: &Matrix, phase: usize, sums: &[i32]) {
        let expected = self.expected(phase);
        for (i, &got) in sums.iter().enumerate() {
            let (row, token) = (i / expected.len(), i % expected.len());
            let want = expected[token][row];
            assert!(
                got == want,
                "kernel `{}` is wrong on {} x {}, {}: the sum of row {row}, token {token} is {got}, the oracle has {want}; what is wrong is not timed",
                matrix.kernel().spec().name(),
                self.rows,
                self.cols,
                PHASES[phase].0,
            );
        }
    }
}

fn products(c: &mut Criterion) {
    for (shape, rows, cols) in SHAPES {
        let operands = LazyCell::new(|| Operands::new(rows, cols));
        for kernel in available() {
            let spec = kernel.spec();
            let matrix = LazyCell::new(|| operands.pack(kernel));
            let mut group = c.benchmark_group(format!("kernel/{}/{shape}", spec.name()));
            group.sampling_mode(SamplingMode::Flat);
            for (phase, (name, tokens, samples)) in PHASES.into_iter().enumerate() {
                let ready = LazyCell::new(|| {
                    let mut input = operands.input(tokens);
                    input.prepare(kernel);
                    let mut sums = vec![0; rows * tokens];
                    matrix.sums(&input, 0..rows, &mut sums);
                    operands.judge(&matrix, phase, &sums);
                    input
                });
                let bytes = (rows * cols) as f64 * spec.bits_per_weight() / 8.0;
                group.sample_size(samples);
                group.throughput(Throughput::ElementsAndBytes {
                    elements: (rows * cols * tokens) as u64,
                    bytes: bytes as u64,
                });
                group.bench_function(name, |b| {
                    let mut sums = vec![0; rows * tokens];
                    let (matrix, input) = (&*matrix, &*ready);
                    b.iter(|| matrix.sums(black_box(input), 0..rows, black_box(&mut sums)));
                });
            }
        }
    }
}

fn preparation(c: &mut Criterion) {
    let mut widths = SHAPES.map(|(_, _, cols)| cols).to_vec();
    widths.sort_unstable();
    widths.dedup();
    for cols in widths {
        let operands = LazyCell::new(|| Operands::new(8, cols));
        for kernel in available() {
            let mut group = c.benchmark_group(format!("prepare/{}/{cols}", kernel.spec().name()));
            for (name, tokens, _) in PHASES {
                group.throughput(Throughput::ElementsAndBytes {
                    elements: (tokens * cols) as u64,
                    bytes: (tokens * cols) as u64,
                });
                group.bench_function(name, |b| {
                    let mut input = operands.input(tokens);
                    let q = &operands.activations[..tokens * cols];
                    b.iter(|| {
                        input.set(black_box(q), cols);
                        input.prepare(kernel);
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = kernels;
    config = settings();
    targets = products, preparation
}
criterion_main!(kernels);
