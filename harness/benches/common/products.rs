//! Operands of matrix products, and how a kernel's sums are held against the oracle's.

use std::cell::OnceCell;

use bitgauge::oracle::ops;
use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::trits::Trits;

use super::Random;

/// Name, outputs N and inputs K. All but the last are those of BitNet b1.58 2B4T, fused as the
/// engine fuses them.
pub const SHAPES: [(&str, usize, usize); 5] = [
    ("qkv", 3840, 2560),
    ("o", 2560, 2560),
    ("gate_up", 13824, 2560),
    ("down", 2560, 6912),
    ("small", 320, 256),
];

/// Name and tokens in the batch.
pub const PHASES: [(&str, usize); 2] = [("decode", 1), ("prefill", 32)];

/// Operands of a shape, and the oracle's sums.
pub struct Operands {
    rows: usize,
    cols: usize,
    trits: Vec<i8>,
    /// For as many tokens as the longest phase has, `[token][K]`.
    activations: Vec<i8>,
    /// `[token][N]`; a phase takes its tokens from the front.
    expected: [OnceCell<Vec<Vec<i32>>>; PHASES.len()],
}

impl Operands {
    pub fn new(rows: usize, cols: usize) -> Self {
        let mut random = Random((rows * cols) as u64);
        let mut eight = || random.bits().to_le_bytes();
        let trit = |byte: u8| ((u16::from(byte) * 3) >> 8) as i8 - 1;
        let trits = (0..rows * cols / 8)
            .flat_map(|_| eight().map(trit))
            .collect();
        let tokens = PHASES.map(|(_, tokens)| tokens).into_iter().max();
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

    /// The activations of the first tokens, `[token][K]`.
    pub fn activations(&self, tokens: usize) -> &[i8] {
        &self.activations[..tokens * self.cols]
    }

    pub fn input(&self, tokens: usize) -> Input {
        let mut input = Input::default();
        input.set(self.activations(tokens), self.cols);
        input
    }

    pub fn pack(&self, kernel: Kernel) -> Matrix {
        let trits = Trits::new(self.rows, self.cols, self.trits.clone()).expect("trits");
        Matrix::pack(kernel, &trits)
    }

    /// The input of a phase, prepared for the matrix's kernel, once its sums are the oracle's.
    /// Ends the suite when they are not.
    pub fn judged(&self, matrix: &Matrix, phase: usize) -> Input {
        let tokens = PHASES[phase].1;
        let mut input = self.input(tokens);
        input.prepare(matrix.kernel());
        let mut sums = vec![0; self.rows * tokens];
        matrix.sums(&input, 0..self.rows, &mut sums);
        self.judge(matrix, phase, &sums);
        input
    }

    fn expected(&self, phase: usize) -> &[Vec<i32>] {
        self.expected[phase].get_or_init(|| {
            let tokens = self.activations.chunks(self.cols).take(PHASES[phase].1);
            tokens
                .map(|q| ops::dot_rows(&self.trits, self.rows, self.cols, q))
                .collect()
        })
    }

    fn judge(&self, matrix: &Matrix, phase: usize, sums: &[i32]) {
        let expected = self.expected(phase);
        for (i, &got) in sums.iter().enumerate() {
            let (row, token) = (i / expected.len(), i % expected.len());
            let want = expected[token][row];
            assert!(
                got == want,
                "kernel `{}` is wrong on {} x {}, {}: the sum of row {row}, token {token} is {got}, the oracle has {want}; what is wrong is not measured",
                matrix.kernel().spec().name(),
                self.rows,
                self.cols,
                PHASES[phase].0,
            );
        }
    }
}
