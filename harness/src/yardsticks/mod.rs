//! What this machine can do at best, measured in the same run as the cases: read bandwidth, int8
//! multiply-add peak, and the latency of a load.
//!
//! On a shared machine the ceiling itself moves, so a percentage of it means something only
//! when both come from the same rounds. A yardstick is therefore a case like any other: it is
//! [`Verified`] by the value it computes, and entered into [`crate::measure::round_robin`].

mod chase;
mod dot;
#[cfg(target_arch = "x86_64")]
mod dot_amx;
#[cfg(target_arch = "x86_64")]
mod dot_x86;
mod issue;
#[cfg(target_arch = "x86_64")]
mod issue_x86;
mod pages;
mod read;
#[cfg(target_arch = "x86_64")]
mod read_x86;
mod team;

pub use chase::{Chase, LOADS, load_latency};
pub use dot::{Instruction, dot_peak};
pub use issue::issue_rate;
pub use read::{Limit, ReadBuffer, ReadVariant, best_read_bandwidth, read_bandwidth};

use crate::measure::{Answer, Failure, Timed, Tolerance, Verified};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use team::{Checked, Team, Worker};

/// A yardstick that this machine can't give, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{what}: unavailable, {why}")]
pub struct Unavailable {
    /// The yardstick.
    pub what: String,
    /// What is missing.
    pub why: String,
}

impl Unavailable {
    fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
        }
    }
}

/// What a yardstick's rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// 1e9 bytes a second.
    #[serde(rename = "GB/s")]
    GigabytesPerSecond,
    /// 1e9 operations a second; one multiply-add is two, one instruction of [`issue_rate`] is one.
    #[serde(rename = "GOPS")]
    GigaOpsPerSecond,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::GigabytesPerSecond => "GB/s",
            Self::GigaOpsPerSecond => "GOPS",
        })
    }
}

/// Work of known size on threads that start together.
pub struct Yardstick {
    name: String,
    unit: Unit,
    work_per_iteration: u64,
    team: Team,
}

impl Yardstick {
    /// Starts the threads, one for each worker, runs one iteration and compares its values with
    /// the expected ones.
    fn verified(
        name: String,
        unit: Unit,
        work_per_iteration: u64,
        workers: Vec<Box<dyn Worker>>,
    ) -> Result<Verified<Self>, Unavailable> {
        let mut team = Team::start(workers).map_err(|e| Unavailable::new(&name, e.to_string()))?;
        let (_, checked) = team
            .run(1)
            .map_err(|e| Unavailable::new(&name, e.to_string()))?;
        let words = |value: &dyn Fn(&Checked) -> u64| {
            Answer::Integers(
                checked
                    .iter()
                    .map(value)
                    .flat_map(|v| [v as i32, (v >> 32) as i32])
                    .collect(),
            )
        };
        let (got, want) = (words(&|c| c.got), words(&|c| c.want));
        let yardstick = Self {
            name: name.clone(),
            unit,
            work_per_iteration,
            team,
        };
        Verified::check(yardstick, &got, &want, Tolerance::Exact)
            .map_err(|wrong| Unavailable::new(name, wrong.to_string()))
    }

    /// A copy of `worker` on each thread; it does `each` operations in an iteration.
    #[cfg(target_arch = "x86_64")]
    fn of_copies<W: Worker + Copy + 'static>(
        name: String,
        each: u64,
        worker: W,
        threads: usize,
    ) -> Result<Verified<Self>, Unavailable> {
        let workers = (0..threads).map(|_| Box::new(worker) as Box<dyn Worker>);
        let work = threads as u64 * each;
        Self::verified(name, Unit::GigaOpsPerSecond, work, workers.collect())
    }

    /// Name that stays the same from run to run, with the thread count.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its rate counts.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Bytes or operations of one iteration, all threads together.
    pub fn work_per_iteration(&self) -> u64 {
        self.work_per_iteration
    }

    /// The same in units of 1e9, for [`crate::measure::round_robin::RoundRobin::rate`], which
    /// then gives GB/s or GOPS.
    pub fn giga_work_per_iteration(&self) -> f64 {
        self.work_per_iteration as f64 * 1e-9
    }
}

impl Timed for Yardstick {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what the runner calls.
        let _ = self.team.run(iterations);
    }

    /// From the common start to the end of the last thread; waking them is not counted.
    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        let (time, checked) = self.team.run(iterations)?;
        match checked.iter().find(|c| c.got != c.want) {
            None => Ok(time),
            Some(c) => Err(Failure::new(format!(
                "{}: computed {:#x}, expected {:#x}",
                self.name, c.got, c.want
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Entrant, Schedule, Stopped, round_robin};
    use std::ops::ControlFlow;

    /// Counts; one that is broken from the second run on counts wrong.
    struct Counter {
        runs: u64,
        breaks: bool,
    }

    impl Worker for Counter {
        fn run(&mut self, iterations: u64) -> u64 {
            self.runs += 1;
            (0..iterations).for_each(|i| {
                std::hint::black_box(i);
            });
            iterations + u64::from(self.breaks && self.runs > 1)
        }

        fn want(&self, iterations: u64) -> u64 {
            iterations
        }
    }

    fn counters(breaks: bool) -> Result<Verified<Yardstick>, Unavailable> {
        let workers = (0..2)
            .map(|_| Box::new(Counter { runs: 0, breaks }) as Box<dyn Worker>)
            .collect();
        Yardstick::verified("count".into(), Unit::GigaOpsPerSecond, 2, workers)
    }

    fn stopped(yardstick: &mut Verified<Yardstick>) -> Stopped {
        let schedule = Schedule {
            max_rounds: 3,
            ..Schedule::default()
        };
        round_robin::run(
            &mut [Entrant::new("count", yardstick)],
            &schedule,
            &mut |_| ControlFlow::Continue(()),
        )
        .stopped
    }

    #[test]
    fn a_wrong_value_in_any_slice_ends_the_run() {
        assert_eq!(stopped(&mut counters(false).unwrap()), Stopped::MaxRounds);
        let Stopped::Failed { case, failure } = stopped(&mut counters(true).unwrap()) else {
            panic!("a wrong value went unseen");
        };
        assert_eq!(case, "count");
        assert!(failure.message.contains("expected"), "{failure}");
    }

    #[test]
    fn a_yardstick_that_is_wrong_from_the_start_is_no_case_at_all() {
        struct Liar;
        impl Worker for Liar {
            fn run(&mut self, _: u64) -> u64 {
                1
            }
            fn want(&self, _: u64) -> u64 {
                2
            }
        }
        let made = Yardstick::verified(
            "liar".into(),
            Unit::GigaOpsPerSecond,
            1,
            vec![Box::new(Liar)],
        );
        assert!(made.unwrap_err().to_string().contains("wrong answers"));
    }
}
