//! Everything that was timed in one interleaved run: raw slices, orders, seed. Estimates are
//! made from this alone, so a stored run can be judged again.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One case of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// Its name.
    pub name: String,
    /// Iterations in each of its slices.
    pub iterations: u64,
}

/// One pass over all cases and back: with two cases, a block A B B A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The cases in the order of the first half; the second half runs them backwards.
    pub order: Vec<usize>,
    /// Nanoseconds of each slice in the order it ran, twice as many as there are cases.
    pub ns: Vec<u64>,
}

impl Round {
    /// The two slices of a case, in nanoseconds.
    fn slices(&self, case: usize) -> Option<[u64; 2]> {
        let at = self.order.iter().position(|&c| c == case)?;
        Some([self.ns[at], self.ns[self.ns.len() - 1 - at]])
    }
}

/// A run of interleaved slices. Checked when it is read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Samples {
    pub(super) stored: Stored,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) seed: u64,
    pub(super) slice_overhead_ns: f64,
    pub(super) cases: Vec<CaseRecord>,
    pub(super) warmup: Vec<Round>,
    pub(super) rounds: Vec<Round>,
    pub(super) elapsed_ns: u64,
}

/// Stored samples that no run can have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplesError {
    /// A case that ran no iterations.
    #[error("case {0} has slices of 0 iterations")]
    NoIterations(String),
    /// A round that does not run every case once in each half.
    #[error("round {round} must name each of the {cases} cases once and hold {slices} slices")]
    Shape {
        /// Position, warm-up rounds first.
        round: usize,
        /// Number of cases.
        cases: usize,
        /// Number of slices that would be right.
        slices: usize,
    },
    /// A slice of no time.
    #[error("round {0} has a slice of 0 ns")]
    ZeroTime(usize),
}

impl TryFrom<Stored> for Samples {
    type Error = SamplesError;

    fn try_from(stored: Stored) -> Result<Self, SamplesError> {
        if let Some(case) = stored.cases.iter().find(|c| c.iterations == 0) {
            return Err(SamplesError::NoIterations(case.name.clone()));
        }
        let cases = stored.cases.len();
        for (round, r) in stored.warmup.iter().chain(&stored.rounds).enumerate() {
            let mut order = r.order.clone();
            order.sort_unstable();
            if !order.iter().copied().eq(0..cases) || r.ns.len() != 2 * cases {
                return Err(SamplesError::Shape {
                    round,
                    cases,
                    slices: 2 * cases,
                });
            }
            if r.ns.contains(&0) {
                return Err(SamplesError::ZeroTime(round));
            }
        }
        Ok(Self { stored })
    }
}

impl From<Samples> for Stored {
    fn from(samples: Samples) -> Self {
        samples.stored
    }
}

impl Samples {
    /// The seed that the orders were drawn from.
    pub fn seed(&self) -> u64 {
        self.stored.seed
    }

    /// Measured cost of a slice that does nothing, in nanoseconds.
    pub fn slice_overhead_ns(&self) -> f64 {
        self.stored.slice_overhead_ns
    }

    /// The cases, in the order they were given.
    pub fn cases(&self) -> &[CaseRecord] {
        &self.stored.cases
    }

    /// The rounds that count.
    pub fn rounds(&self) -> &[Round] {
        &self.stored.rounds
    }

    /// The rounds that were discarded, as they were.
    pub fn warmup(&self) -> &[Round] {
        &self.stored.warmup
    }

    /// Wall time of the rounds that count, what happened between slices included.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.stored.elapsed_ns)
    }

    /// Nanoseconds an iteration of one case took, one value a round: the geometric mean of its
    /// two slices. Empty for a case that there is not.
    pub fn ns_per_iteration(&self, case: usize) -> Vec<f64> {
        self.per_round(|r| self.ln_ns(r, case).map(f64::exp))
    }

    /// Rates in work a second, one value a round, for a case that does `work` each iteration
    /// (bytes, operations, tokens).
    pub fn rates(&self, case: usize, work: f64) -> Vec<f64> {
        self.per_round(|r| self.ln_ns(r, case).map(|ln| work / ln.exp() * 1e9))
    }

    /// `ln(time of before / time of after)` per iteration, one value a round; above 0, "after" is
    /// faster. Both times come from the same round. Empty for a case that there is not.
    pub fn log_ratios(&self, before: usize, after: usize) -> Vec<f64> {
        self.per_round(|r| self.log_ratio(r, before, after))
    }

    pub(super) fn log_ratio(&self, round: &Round, before: usize, after: usize) -> Option<f64> {
        Some(self.ln_ns(round, before)? - self.ln_ns(round, after)?)
    }

    fn per_round(&self, value: impl Fn(&Round) -> Option<f64>) -> Vec<f64> {
        self.stored.rounds.iter().filter_map(value).collect()
    }

    fn ln_ns(&self, round: &Round, case: usize) -> Option<f64> {
        let iterations = self.stored.cases.get(case)?.iterations as f64;
        let [first, second] = round.slices(case)?;
        // Each by its own logarithm: the product of two long slices can exceed a u64.
        Some(0.5 * ((first as f64).ln() + (second as f64).ln()) - iterations.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rounds: Vec<Round>) -> Samples {
        let case = |name: &str, iterations| CaseRecord {
            name: name.to_owned(),
            iterations,
        };
        Samples {
            stored: Stored {
                seed: 7,
                slice_overhead_ns: 60.0,
                cases: vec![case("old", 10), case("new", 20)],
                warmup: vec![],
                rounds,
                elapsed_ns: 5_000_000_000,
            },
        }
    }

    fn round(order: [usize; 2], ns: [u64; 4]) -> Round {
        Round {
            order: order.to_vec(),
            ns: ns.to_vec(),
        }
    }

    #[test]
    fn ratios_are_per_iteration_and_follow_the_order_of_the_round() {
        // old: 10 iterations of 100 ns; new: 20 iterations of 50 ns.
        let s = samples(vec![
            round([0, 1], [1000, 1000, 1000, 1000]),
            round([1, 0], [1000, 4000, 1000, 1000]),
        ]);
        let ln2 = std::f64::consts::LN_2;
        let ratios = s.log_ratios(0, 1);
        // In the second round old took 4000 and 1000 ns: twice 1000 as a geometric mean.
        assert!((ratios[0] - ln2).abs() < 1e-12 && (ratios[1] - 2.0 * ln2).abs() < 1e-12);
        assert!((s.ns_per_iteration(0)[1] - 200.0).abs() < 1e-9);
        // 64 bytes in 50 ns.
        assert!((s.rates(1, 64.0)[0] - 1.28e9).abs() < 1.0);
    }

    #[test]
    fn a_drift_that_is_linear_in_log_time_cancels() {
        let s = samples(vec![round(
            [0, 1],
            [1_000_000, 2_200_000, 2_420_000, 1_331_000],
        )]);
        assert!((s.log_ratios(0, 1)[0]).abs() < 1e-12);
    }

    #[test]
    fn a_case_that_is_not_there_has_no_values() {
        let s = samples(vec![round([0, 1], [1, 1, 1, 1])]);
        assert!(s.log_ratios(0, 2).is_empty() && s.ns_per_iteration(9).is_empty());
    }

    #[test]
    fn survives_json_to_the_bit() {
        let s = samples(vec![round([1, 0], [1, 2, 3, u64::MAX])]);
        let text = serde_json::to_string(&s).unwrap();
        assert_eq!(serde_json::from_str::<Samples>(&text).unwrap(), s);
    }

    #[test]
    fn stored_samples_that_no_run_made_are_refused() {
        let refused = |s: &Samples| {
            let text = serde_json::to_string(s).unwrap();
            serde_json::from_str::<Samples>(&text)
                .unwrap_err()
                .to_string()
        };
        let good = round([0, 1], [1, 1, 1, 1]);
        let twice = samples(vec![good.clone(), round([0, 0], [1, 1, 1, 1])]);
        assert!(refused(&twice).contains("round 1 must name each of the 2 cases"));
        let zero = samples(vec![round([0, 1], [1, 0, 1, 1])]);
        assert!(refused(&zero).contains("round 0 has a slice of 0 ns"));
        let mut short = good.clone();
        short.ns.pop();
        assert!(refused(&samples(vec![short])).contains("4 slices"));
        let mut idle = samples(vec![good]);
        idle.stored.cases[1].iterations = 0;
        assert!(refused(&idle).contains("case new"));
    }
}
