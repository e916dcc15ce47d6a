//! One side at a time, as other tools sample: all samples of a batch one after the other. Only the
//! comparison with criterion's rule does so; see [`super::stats::criterion_rule`].

use std::time::Duration;

use super::interleave::Entrant;
use super::stats::criterion_rule::iteration_counts;
use super::timed::Failure;

/// How a batch is taken.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// Time before the first sample, in which the cost of an iteration is estimated.
    pub warm_up: Duration,
    /// Time of all samples together.
    pub measuring: Duration,
    /// How many.
    pub samples: u64,
}

impl Batch {
    /// Nanoseconds an iteration of each sample.
    ///
    /// # Errors
    /// [`Failure`] of the case.
    pub fn take(&self, entrant: Entrant<'_>) -> Result<Vec<f64>, Failure> {
        let case = entrant.case;
        // Twice as many iterations each time, until the time is passed.
        let (mut iterations, mut done, mut spent) = (1_u64, 0_u64, Duration::ZERO);
        while spent <= self.warm_up {
            spent += case.time(iterations)?;
            done += iterations;
            iterations = iterations.saturating_mul(2);
        }
        let each = spent.as_nanos() as f64 / done as f64;
        iteration_counts(each, self.samples, self.measuring.as_nanos() as f64)
            .into_iter()
            .map(|n| Ok(case.time(n)?.as_nanos() as f64 / n as f64))
            .collect()
    }
}
