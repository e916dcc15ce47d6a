//! Each product of a decoded token against the read bandwidth of the same run.

use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::{Kernel, Mix};
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
use crate::run::{Measured, Origin, Product, Yardsticks};
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
                    mix: matrix.kernel().spec().mix(),
                    origin: Some(plan.chosen.origin(matrix.rows(), matrix.cols())),
                    bytes: matrix.bytes(),
                },
                &each,
                threads,
                yardsticks,
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
            mix: None,
            origin: None,
            bytes,
        };
        table.push(row(
            head,
            case.case().0.seconds(Part::Head),
            threads,
            yardsticks,
        ));
    }
    table
}

struct Weights {
    name: &'static str,
    n: usize,
    k: usize,
    kernel: &'static str,
    mix: Option<Mix>,
    origin: Option<Origin>,
    bytes: usize,
}

fn row(w: Weights, seconds: &[f64], threads: usize, yardsticks: &Yardsticks) -> Product {
    let bandwidth = yardsticks.bandwidth(threads);
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
        issue_gb_s: match w.mix {
            Some(mix) => yardsticks
                .issue(mix.vector, threads)
                .map(|issued| issued.scaled(mix.vector as f64 / mix.instructions as f64)),
            None => Measured::unavailable("its instructions were not counted"),
        },
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
    small_of(name, plan.model.config().hidden_size, plan.seed)
}

fn small_of(name: &str, cols: usize, seed: u64) -> Result<Verified<SmallProduct>, Failure> {
    let rows = ROWS;
    let mut random = Random::new(seed);
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

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use bitgauge_engine::kernels;

    use super::*;
    use crate::measure::{Entrant, Progress, Schedule, round_robin};
    use crate::yardsticks::issue_rate;

    /// Counts that are too high would make a slow kernel look as if it were at its limit. Both are
    /// timed in turns, and the best of each is compared: what is held up counts for neither.
    #[test]
    fn no_kernel_is_faster_than_its_instructions_allow() {
        for kernel in kernels::available() {
            let Some(mix) = kernel.spec().mix() else {
                assert_eq!(kernel.spec().isa(), bitgauge_engine::isa::Isa::Portable);
                continue;
            };
            let name = kernel.spec().name();
            let mut case = small_of(name, 2560, 1).unwrap();
            let bytes = case.case().matrix.bytes() as f64;
            let mut issue = issue_rate(mix.vector, 1).unwrap();
            let issued = issue.case().giga_work_per_iteration();
            let mut both = [
                Entrant::new("product", &mut case),
                Entrant::new("issue", &mut issue),
            ];
            let schedule = Schedule {
                max_rounds: 20,
                ..Schedule::default()
            };
            let go_on = &mut |_: &Progress| ControlFlow::Continue(());
            let run = round_robin::run(&mut both, &schedule, go_on);
            let best = |case, work| {
                run.samples
                    .rates(case, work)
                    .into_iter()
                    .fold(0.0, f64::max)
            };
            let (traffic, rate) = (best(0, bytes * 1e-9), best(1, issued));
            let allowed = rate * mix.vector as f64 / mix.instructions as f64;
            assert!(
                traffic < 1.05 * allowed,
                "{name}: {traffic} of {allowed} GB/s"
            );
            println!("{name}: {traffic:.1} of {allowed:.1} GB/s");
        }
    }
}
