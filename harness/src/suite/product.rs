//! One matrix product, as a token meets it: activations in, sums out.

use std::sync::Arc;

use bitgauge_engine::Error;
use bitgauge_engine::buffer::Buffer;
use bitgauge_engine::checkpoint::WeightScale;
use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::matrix::{Matrix, Scaling};
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::tiled::Tiled;
use bitgauge_engine::trits::Trits;

use super::blueprint::Plan;
use super::id::Shape;
use super::operands::Operands;
use super::placement::Placement;
use super::{Body, Refusal, hold};
use crate::measure::{Answer, Digest, Tolerance};
use crate::oracle;

/// Multiply-adds that the oracle makes at most; beyond, it takes [`SAMPLE`] rows.
const ORACLE_BUDGET: usize = 1 << 26;

/// Rows that the oracle sums up where all would take too long: so many at either end, where tiles
/// and tails are, and twice as many anywhere.
const SAMPLE: usize = 64;

/// What is made once for all placements of a product.
pub(super) struct ProductPlan {
    matrix: Matrix,
    /// `[token][K]`
    activations: Vec<i8>,
    tokens: usize,
}

impl ProductPlan {
    pub fn new(shape: &Shape, tokens: usize, kernel: Kernel) -> Result<Self, Refusal> {
        let (trits, activations) = operands(shape.rows, shape.cols, tokens);
        let trits = Trits::new(shape.rows, shape.cols, trits)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        Ok(Self {
            matrix: Matrix::pack(kernel, &trits),
            activations,
            tokens,
        })
    }
}

/// Trits `[N][K]` and activations `[token][K]`; a decoded token is the first of a prefill.
pub(super) fn operands(rows: usize, cols: usize, tokens: usize) -> (Vec<i8>, Vec<i8>) {
    let mut operands = Operands::of_size(rows, cols);
    let trits = operands.trits(rows * cols);
    let activations = operands.int8s(tokens * cols);
    (trits, activations)
}

impl ProductPlan {
    fn at(&self, placement: &mut Placement, scheduler: Arc<dyn Scheduler>) -> Product {
        placement.pad(self.matrix.bytes());
        let matrix = self.matrix.clone();
        let activations = placement.copy(&self.activations);
        let out = placement.poisoned(matrix.rows() * self.tokens);
        // What the first input makes for itself.
        placement.pad(self.activations.len());
        Product {
            matrix,
            activations,
            factors: vec![1.0; self.tokens],
            input: Input::default(),
            out: out.into(),
            scheduler,
        }
    }
}

impl Plan for ProductPlan {
    fn place(
        &self,
        placement: &mut Placement,
        scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        Ok(Box::new(self.at(placement, scheduler)))
    }

    fn bytes(&self) -> usize {
        let sums = self.matrix.rows() * self.tokens * size_of::<f32>();
        self.matrix.bytes() + self.activations.len() + sums
    }

    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        judge(&self.matrix, &self.activations, got).map(drop)
    }
}

/// What `got` was found to be: the sums of the [`operands`] of a size, against the oracle's. All rows where that is quick, else
/// some hundred. The rows that the oracle left out are checked by a random combination of all rows
/// ([`combination`]), which a wrong sum passes with a chance below 2^-32.
pub(super) fn judge(matrix: &Matrix, activations: &[i8], got: &Answer) -> Result<Answer, Refusal> {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let tokens = activations.len() / cols;
    let (trits, _) = operands(rows, cols, tokens);

    // This buffer holds what a kernel that writes nothing can't be right with.
    let mut input = Input::default();
    input.set(activations, cols);
    input.prepare(matrix.kernel());
    let mut sums = vec![i32::MIN; rows * tokens];
    matrix.sums(&input, 0..rows, &mut sums);

    let sample = sample(rows, cols, tokens);
    let mut want = Vec::with_capacity(sample.len() * tokens);
    let mut seen = Vec::with_capacity(sample.len() * tokens);
    let mut chosen = Vec::with_capacity(sample.len() * cols);
    for n in &sample {
        chosen.extend_from_slice(&trits[n * cols..][..cols]);
    }
    for (t, q) in activations.chunks_exact(cols).enumerate() {
        want.extend(oracle::ops::dot_rows(&chosen, sample.len(), cols, q));
        seen.extend(sample.iter().map(|n| sums[n * tokens + t]));
    }
    hold(
        format!("sums of {} of {rows} rows", sample.len()),
        &Answer::Integers(seen),
        &Answer::Integers(want),
        Tolerance::Exact,
    )?;
    if sample.len() < rows {
        combination(&trits, activations, cols, &sums)?;
    }
    let want = Answer::Floats(sums.iter().copied().map(f64::from).collect());
    hold("the product", got, &want, Tolerance::Exact)?;
    Ok(want)
}

/// The rows that the oracle sums up, ascending.
fn sample(rows: usize, cols: usize, tokens: usize) -> Vec<usize> {
    if rows * cols * tokens <= ORACLE_BUDGET || rows <= 4 * SAMPLE {
        return (0..rows).collect();
    }
    let mut random = Operands::of_size(cols, rows);
    let mut sample: Vec<usize> = (0..SAMPLE)
        .chain(rows - SAMPLE..rows)
        .chain((0..2 * SAMPLE).map(|_| random.below(rows)))
        .collect();
    sample.sort_unstable();
    sample.dedup();
    sample
}

/// Checks all sums at the price of one token: with random `r`, `r (W q) = (r W) q` modulo 2^64
/// (Freivalds, "Probabilistic machines can use less running time", 1977).
///
/// A sum that is wrong by `e` passes only if its row's `r` makes `r e` vanish modulo 2^64, or
/// what errors in other rows have left: as `0 < |e| < 2^32`, with a chance below 2^-32.
fn combination(trits: &[i8], activations: &[i8], cols: usize, sums: &[i32]) -> Result<(), Refusal> {
    let tokens = activations.len() / cols;
    let mut random = Operands::of_size(trits.len(), tokens);
    let mut combined = vec![0u64; cols];
    let mut seen = vec![0u64; tokens];
    for (row, sums) in trits.chunks_exact(cols).zip(sums.chunks_exact(tokens)) {
        let r = random.bits();
        // By the trit: 0, r or -r.
        let multiple = [r.wrapping_neg(), 0, r];
        for (c, &trit) in combined.iter_mut().zip(row) {
            *c = c.wrapping_add(multiple[(trit + 1) as usize]);
        }
        for (s, &sum) in seen.iter_mut().zip(sums) {
            *s = s.wrapping_add(r.wrapping_mul(i64::from(sum) as u64));
        }
    }
    for (t, q) in activations.chunks_exact(cols).enumerate() {
        let want = combined.iter().zip(q).fold(0u64, |sum, (&c, &q)| {
            sum.wrapping_add(c.wrapping_mul(i64::from(q) as u64))
        });
        let halves = |x: u64| Answer::Integers(vec![x as i32, (x >> 32) as i32]);
        hold(
            format!("a random combination of all sums of token {t}"),
            &halves(seen[t]),
            &halves(want),
            Tolerance::Exact,
        )?;
    }
    Ok(())
}

/// A product in its place.
struct Product {
    matrix: Matrix,
    activations: Buffer<i8>,
    /// The scale of each token, 1: what is written are the sums.
    factors: Vec<f32>,
    input: Input,
    out: Tiled,
    scheduler: Arc<dyn Scheduler>,
}

/// One product. A kernel's tables are made for each token and are a part of its price.
pub(super) fn multiply(
    matrix: &Matrix,
    activations: &[i8],
    factors: &[f32],
    input: &mut Input,
    product: &mut Tiled,
    scheduler: &dyn Scheduler,
) {
    input.set(activations, matrix.cols());
    input.prepare(matrix.kernel());
    let parts = &[(matrix.rows(), WeightScale::Multiply(1.0))];
    matrix.product(input, scheduler, product, Scaling { parts, factors });
}

/// What a product says: `[row][token]`.
pub(super) fn by_row(product: &Tiled, rows: usize) -> Vec<f32> {
    let tokens = product.tokens();
    let mut by_token = vec![f32::NAN; tokens * rows];
    product.gather(0..tokens, 0..rows, rows, &mut by_token);
    (0..rows * tokens)
        .map(|i| by_token[i % tokens * rows + i / tokens])
        .collect()
}

impl Body for Product {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        let Self {
            matrix,
            activations,
            factors,
            input,
            out,
            scheduler,
        } = self;
        let scheduler = &**scheduler;
        scheduler.enter(&mut || {
            for _ in 0..iterations {
                multiply(matrix, activations, factors, input, out, scheduler);
            }
        });
        Ok(())
    }

    fn answer(&self) -> Answer {
        Answer::from_f32(&by_row(&self.out, self.matrix.rows()))
    }

    fn digest(&self) -> Digest {
        Digest::of_f32(&by_row(&self.out, self.matrix.rows()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bitgauge_engine::threads::Pool;

    use super::*;
    use crate::suite::CaseId;
    use crate::suite::id::Work;

    /// One after the other: without padding, each would find the memory that the last gave back.
    #[test]
    fn placements_differ_in_where_their_buffers_lie() {
        let id: CaseId = "decode/64x256/naive/1t".parse().unwrap();
        let Work::Product {
            tokens,
            shape,
            kernel,
        } = id.work()
        else {
            panic!("{id} is a product");
        };
        let plan =
            ProductPlan::new(shape, usize::from(*tokens), kernel.resolve().unwrap()).unwrap();
        let pool: Arc<dyn Scheduler> = Arc::new(Pool::new(1).unwrap());
        let mut activations = BTreeSet::new();
        let mut out = BTreeSet::new();
        for seed in 0..16 {
            let mut placed = plan.at(&mut Placement::new(seed), pool.clone());
            activations.insert(placed.activations.as_ptr());
            out.insert(placed.out.resize(1, 64).as_ptr() as usize % 4096);
        }
        assert!(activations.len() > 5, "{activations:?}");
        assert!(out.len() > 5, "{out:?}");
    }

    /// A wrong sum in any row and token is seen, whether or not the oracle samples the row.
    #[test]
    fn a_combination_of_all_rows_sees_one_wrong_sum() {
        let (rows, cols, tokens) = (700, 48, 3);
        let (trits, activations) = operands(rows, cols, tokens);
        let mut sums = vec![0; rows * tokens];
        for (t, q) in activations.chunks_exact(cols).enumerate() {
            let column = oracle::ops::dot_rows(&trits, rows, cols, q);
            for (n, sum) in column.into_iter().enumerate() {
                sums[n * tokens + t] = sum;
            }
        }
        let check = |sums: &[i32]| combination(&trits, &activations, cols, sums);
        assert!(check(&sums).is_ok());
        for at in [0, 1000, rows * tokens - 1] {
            for error in [1, -1, 1 << 20] {
                sums[at] += error;
                assert!(check(&sums).is_err(), "sum {at} is off by {error}");
                sums[at] -= error;
            }
        }
        sums.swap(tokens, 2 * tokens);
        assert!(check(&sums).is_err(), "two rows have changed places");
    }

    #[test]
    fn a_sample_has_both_ends_and_no_row_twice() {
        let sample = sample(13_824, 2560, 32);
        assert!((128..=256).contains(&sample.len()));
        assert_eq!(sample[..64], (0..64).collect::<Vec<_>>());
        assert_eq!(sample.last(), Some(&13_823));
        assert!(sample.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(super::sample(100, 2560, 32).len(), 100);
    }
}
