//! Each product of a decoded token against the read bandwidth of the same run.

use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::model::Group;
use bitgauge_engine::session::Part;
use bitgauge_engine::trits::Trits;

use super::Plan;
use super::tokens::{FullCase, wrong_answers};
use crate::exit::Failure;
use crate::ladder::race::estimate;
use crate::measure::{Answer, Timed, Tolerance, Verified};
use crate::oracle;
use crate::run::{Estimate, Measured, Origin, Product, Yardsticks};
use crate::scaling::Team;
use crate::verify::random::Random;

/// The products of the engine's pools, each in each number of threads; the output head too.
pub fn table(
    plan: &Plan<'_>,
    cases: &[FullCase<'_>],
    teams: &[Team],
    yardsticks: &Yardsticks,
) -> Vec<Product> {
    let mut table = Vec::new();
    for (case, team) in cases
        .iter()
        .zip(teams)
        .filter(|(_, t)| t.scheduler.name() == "pool")
    {
        let threads = team.scheduler.threads();
        let bandwidth = yardsticks.bandwidth(threads);
        let layers = plan.model.layers();
        for group in Group::ALL {
            let matrix = layers[0].projection(group).matrix();
            let seconds = case.case().0.seconds(Part::Product(group)).iter();
            let each: Vec<f64> = seconds.map(|s| s / layers.len() as f64).collect();
            table.push(row(
                Weights {
                    name: group.name(),
                    n: matrix.rows(),
                    k: matrix.cols(),
                    kernel: matrix.kernel().spec().name(),
                    origin: Some(plan.chosen.origin(matrix.rows(), matrix.cols())),
                    bytes: matrix.bytes(),
                },
                &each,
                threads,
                bandwidth,
            ));
        }
        let (n, k) = (
            plan.model.config().vocab_size,
            plan.model.config().hidden_size,
        );
        let bytes = plan.model.head_bytes();
        let head = Weights {
            name: "head",
            n,
            k,
            kernel: "float",
            origin: None,
            bytes,
        };
        table.push(row(
            head,
            case.case().0.seconds(Part::Head),
            threads,
            bandwidth,
        ));
    }
    table
}

struct Weights {
    name: &'static str,
    n: usize,
    k: usize,
    kernel: &'static str,
    origin: Option<Origin>,
    bytes: usize,
}

fn row(w: Weights, seconds: &[f64], threads: usize, bandwidth: Option<&Estimate>) -> Product {
    let time = estimate(seconds);
    let none = "no token was watched";
    let rate = |work: f64| match &time {
        Some(t) => Measured::Is(work * 1e-9 / t.value),
        None => Measured::unavailable(none),
    };
    let weights = (w.n * w.k) as f64;
    let gb_s = rate(w.bytes as f64);
    let percent_of_bandwidth = match (gb_s.get(), bandwidth) {
        (Some(gb_s), Some(limit)) => Measured::Is(100.0 * gb_s / limit.value),
        _ => Measured::unavailable("the read bandwidth could not be measured"),
    };
    Product {
        name: w.name.into(),
        n: w.n,
        k: w.k,
        kernel: w.kernel.into(),
        origin: w.origin,
        threads,
        us: time.map_or_else(
            || Measured::unavailable(none),
            |t| Measured::Is(t.scaled(1e6)),
        ),
        gweights_s: rate(weights),
        gops: rate(2.0 * weights),
        bits_per_weight: 8.0 * w.bytes as f64 / weights,
        gb_s,
        percent_of_bandwidth,
    }
}

/// A small product of one kernel, which fits into the caches.
pub struct SmallProduct {
    matrix: Matrix,
    input: Input,
    sums: Vec<i32>,
}

impl SmallProduct {
    fn multiply(&mut self) {
        self.matrix
            .sums(&self.input, 0..self.matrix.rows(), &mut self.sums);
    }
}

impl Timed for SmallProduct {
    fn iterate(&mut self, iterations: u64) {
        for _ in 0..iterations {
            self.multiply();
        }
    }
}

/// Rows of a small product.
const ROWS: usize = 256;

/// Giga-operations of a small product.
pub fn small_work(plan: &Plan<'_>) -> f64 {
    (2 * ROWS * plan.model.config().hidden_size) as f64 * 1e-9
}

/// A small product of the kernel `name`; all kernels have the same weights and activations.
///
/// # Errors
/// When it can't be had or answers wrongly.
pub fn small(plan: &Plan<'_>, name: &str) -> Result<Verified<SmallProduct>, Failure> {
    let (rows, cols) = (ROWS, plan.model.config().hidden_size);
    let mut random = Random::new(plan.seed);
    let (weights, activations) = (random.trits(rows * cols), random.int8s(cols));
    let kernel = Kernel::by_name(name)?;
    let want = oracle::ops::dot_rows(&weights, rows, cols, &activations);
    let mut input = Input::default();
    input.set(&activations, cols);
    input.prepare(kernel);
    let matrix = Matrix::pack(kernel, &Trits::new(rows, cols, weights)?);
    let mut case = SmallProduct {
        matrix,
        input,
        sums: vec![i32::MIN; rows],
    };
    case.multiply();
    let got = Answer::Integers(case.sums.clone());
    Verified::check(case, &got, &Answer::Integers(want), Tolerance::Exact)
        .map_err(|wrong| wrong_answers(&format!("kernel {name}"), &wrong.reason().to_string()))
}
