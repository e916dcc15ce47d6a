//! The one loop that takes times: rounds over all cases and back, in random order.

use super::calibrate::{iterations_for, shortest_slice, slice_overhead_ns};
use super::rng::{SplitMix64, fresh_seed};
use super::samples::{CaseRecord, Round, Samples, Stored};
use super::stats::Verdict;
use super::timed::{Failure, Timed, slice};
use super::verified::Verified;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A verified case under the name it runs by.
pub struct Entrant<'a> {
    pub(super) name: String,
    pub(super) case: &'a mut dyn Timed,
}

impl<'a> Entrant<'a> {
    /// Enters a case. Only a verified one can be.
    pub fn new<C: Timed>(name: impl Into<String>, case: &'a mut Verified<C>) -> Self {
        Self {
            name: name.into(),
            case: case.case_mut(),
        }
    }
}

/// On its own, to plan a run with, to count what it does, or to say what other tools say of a program
/// alone (`bench`). A figure to compare the time is not: nothing runs beside it.
impl Timed for Entrant<'_> {
    fn iterate(&mut self, iterations: u64) {
        self.case.iterate(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        self.case.time(iterations)
    }
}

impl fmt::Debug for Entrant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entrant").field(&self.name).finish()
    }
}

/// When to stop, what to discard, and in which order to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Seed of the orders.
    pub seed: u64,
    /// Rounds that are run first and discarded.
    pub warmup_rounds: usize,
    /// Rounds that count, at most.
    pub max_rounds: usize,
    /// Wall time of the whole run, calibration and warm-up included. Looked at before each
    /// round, so a run can exceed it by one round.
    pub max_time: Duration,
    /// Least length of a slice; `None` for the shortest that keeps the overhead below
    /// [`super::calibrate::OVERHEAD_SHARE`], and never shorter than that.
    pub min_slice: Option<Duration>,
}

impl Default for Schedule {
    /// Two warm-up rounds, up to 100 000 rounds in 5 s, shortest slices, a fresh seed.
    fn default() -> Self {
        Self {
            seed: fresh_seed(),
            warmup_rounds: 2,
            max_rounds: 100_000,
            max_time: Duration::from_secs(5),
            min_slice: None,
        }
    }
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Finding the iterations of the case at this position.
    Calibrating(usize),
    /// Running rounds that are discarded.
    WarmingUp,
    /// Running rounds that count.
    Measuring,
}

/// Where a run stands; given to the caller between slices, never within one. The caller answers
/// [`ControlFlow::Break`] to end the run, which keeps what was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What the run is doing.
    pub stage: Stage,
    /// Rounds that count, so far.
    pub rounds: usize,
    /// Their largest number.
    pub max_rounds: usize,
    /// Wall time since the start.
    pub elapsed: Duration,
    /// Its limit.
    pub max_time: Duration,
    /// The verdict so far, where there is one to be reached.
    pub verdict: Option<Verdict>,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The verdict was reached.
    Verdict,
    /// All rounds were run.
    MaxRounds,
    /// The time was spent.
    MaxTime,
    /// The caller ended it.
    Cancelled,
    /// A case failed; what was measured before stays.
    Failed {
        /// The case's name.
        case: String,
        /// What happened.
        failure: Failure,
    },
}

/// How the iterations of two cases relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Iterations {
    /// Each its own.
    Own,
    /// The same where they are within a factor of two, so that the overhead weighs equally.
    Matched,
}

/// Says the verdict so far, and whether to go on.
pub(super) type AfterRound<'f> = dyn FnMut(&Samples) -> (Option<Verdict>, ControlFlow<()>) + 'f;

pub(super) struct Run<'r, 'a> {
    pub(super) entrants: &'r mut [Entrant<'a>],
    pub(super) schedule: &'r Schedule,
    pub(super) iterations: Iterations,
    pub(super) progress: &'r mut dyn FnMut(&Progress) -> ControlFlow<()>,
}

impl Run<'_, '_> {
    /// Runs until `after_round` breaks or the schedule ends. `after_round` sees the samples with
    /// the round just added.
    pub(super) fn run(mut self, after_round: &mut AfterRound<'_>) -> (Samples, Stopped) {
        let mut samples = Samples {
            stored: Stored {
                seed: self.schedule.seed,
                slice_overhead_ns: slice_overhead_ns(),
                cases: Vec::new(),
                warmup: Vec::new(),
                rounds: Vec::new(),
                elapsed_ns: 0,
            },
        };
        let ControlFlow::Break(stopped) = self.stages(&mut samples, after_round);
        (samples, stopped)
    }

    fn stages(
        &mut self,
        samples: &mut Samples,
        after_round: &mut AfterRound<'_>,
    ) -> ControlFlow<Stopped, std::convert::Infallible> {
        let start = Instant::now();
        self.calibrate(samples, start)?;
        let mut rng = SplitMix64::new(self.schedule.seed);
        for _ in 0..self.schedule.warmup_rounds {
            self.tell(Stage::WarmingUp, samples, start, None)?;
            let round = self.round(&samples.stored.cases, &mut rng)?;
            samples.stored.warmup.push(round);
        }
        let mut verdict = None;
        let measuring = Instant::now();
        loop {
            if samples.stored.rounds.len() >= self.schedule.max_rounds {
                return ControlFlow::Break(Stopped::MaxRounds);
            }
            self.tell(Stage::Measuring, samples, start, verdict)?;
            let round = self.round(&samples.stored.cases, &mut rng)?;
            samples.stored.rounds.push(round);
            samples.stored.elapsed_ns = measuring.elapsed().as_nanos() as u64;
            let (now, go_on) = after_round(samples);
            verdict = now;
            if go_on.is_break() {
                return ControlFlow::Break(Stopped::Verdict);
            }
        }
    }

    fn calibrate(&mut self, samples: &mut Samples, start: Instant) -> ControlFlow<Stopped> {
        let target = shortest_slice(samples.stored.slice_overhead_ns)
            .max(self.schedule.min_slice.unwrap_or_default());
        for at in 0..self.entrants.len() {
            self.tell(Stage::Calibrating(at), samples, start, None)?;
            let entrant = &mut self.entrants[at];
            let iterations = match iterations_for(entrant.case, target) {
                Ok(iterations) => iterations,
                Err(failure) => return failed(&entrant.name, failure),
            };
            samples.stored.cases.push(CaseRecord {
                name: entrant.name.clone(),
                iterations,
            });
        }
        if self.iterations == Iterations::Matched {
            let counts = || samples.stored.cases.iter().map(|c| c.iterations);
            let (least, most) = (counts().min(), counts().max());
            if let (Some(least), Some(most)) = (least, most)
                && most <= least.saturating_mul(2)
            {
                for case in &mut samples.stored.cases {
                    case.iterations = most;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn round(&mut self, cases: &[CaseRecord], rng: &mut SplitMix64) -> ControlFlow<Stopped, Round> {
        let mut order: Vec<usize> = (0..self.entrants.len()).collect();
        rng.shuffle(&mut order);
        let mut ns = Vec::with_capacity(2 * order.len());
        for &at in order.iter().chain(order.iter().rev()) {
            let entrant = &mut self.entrants[at];
            match slice(entrant.case, cases[at].iterations) {
                Ok(time) => ns.push(time),
                Err(failure) => {
                    failed(&entrant.name, failure)?;
                }
            }
        }
        ControlFlow::Continue(Round { order, ns })
    }

    fn tell(
        &mut self,
        stage: Stage,
        samples: &Samples,
        start: Instant,
        verdict: Option<Verdict>,
    ) -> ControlFlow<Stopped> {
        let elapsed = start.elapsed();
        if elapsed >= self.schedule.max_time {
            return ControlFlow::Break(Stopped::MaxTime);
        }
        let progress = Progress {
            stage,
            rounds: samples.stored.rounds.len(),
            max_rounds: self.schedule.max_rounds,
            elapsed,
            max_time: self.schedule.max_time,
            verdict,
        };
        match (self.progress)(&progress) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(()) => ControlFlow::Break(Stopped::Cancelled),
        }
    }
}

fn failed(case: &str, failure: Failure) -> ControlFlow<Stopped> {
    ControlFlow::Break(Stopped::Failed {
        case: case.to_owned(),
        failure,
    })
}
