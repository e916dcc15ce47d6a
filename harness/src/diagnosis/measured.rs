//! What takes time to find out: noise, what else ran meanwhile, and read bandwidth.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::calibration;
use crate::exit::Failure;
use crate::machine::{self, LoadSample, Machine, Surroundings};
use crate::measure::{Entrant, Schedule, round_robin};
use crate::run::Measured;
use crate::suite::CaseId;
use crate::yardsticks::{ReadBuffer, Unavailable, best_read_bandwidth};

/// Seconds that the smallest visible difference is told for.
pub const BUDGET: f64 = 5.0;

/// How steady the machine was.
#[derive(Debug, Clone, Serialize)]
pub struct Steadiness {
    /// Seconds over which it was watched.
    pub seconds: f64,
    /// Work that only computes.
    pub compute: Noise,
    /// Work that only reads memory.
    pub memory: Noise,
    /// What else took the allowed processors meanwhile.
    pub shares: Shares,
    /// Mean number of threads that wanted to run, over 1, 5 and 15 minutes.
    pub load_average: Measured<[f64; 3]>,
}

/// A case compared with itself.
#[derive(Debug, Clone, Serialize)]
pub struct Noise {
    /// The case, as `compare` takes it.
    pub case: String,
    /// What equal work did.
    pub floor: Measured<Unsettled>,
}

/// How far equal work seemed to differ, as fractions.
#[derive(Debug, Clone, Serialize)]
pub struct Unsettled {
    /// Placements compared.
    pub placements: usize,
    /// The median difference.
    pub typical: f64,
    /// The largest.
    pub worst: f64,
    /// The smallest difference that would be seen in `budget_seconds`.
    pub smallest_effect: Measured<f64>,
    /// Seconds of a comparison.
    pub budget_seconds: f64,
}

/// Shares of the allowed processors' time, 0 to 1.
#[derive(Debug, Clone, Serialize)]
pub struct Shares {
    /// What the host took away.
    pub steal: Measured<f64>,
    /// What other processes ran.
    pub others: Measured<f64>,
}

impl Steadiness {
    pub(super) fn measure(quick: bool, seed: u64, stage: &dyn Fn(&str)) -> Self {
        let (time, walk) = match quick {
            true => (0.4, "memory/walk/8MiB/1t"),
            false => (2.0, "memory/walk/64MiB/1t"),
        };
        let (begin, before) = (Instant::now(), machine::load());
        let noise = |title: &str, case: &str| {
            stage(&format!("noise: {title} compared with itself"));
            Noise::of(case, Duration::from_secs_f64(time), seed)
        };
        let compute = noise("computing", "loop/lcg/20000/1t");
        let memory = noise("reading", walk);
        Self {
            shares: Shares::since(before),
            seconds: begin.elapsed().as_secs_f64(),
            compute,
            memory,
            load_average: Measured::or(
                Surroundings::detect().load_average,
                "this system does not say",
            ),
        }
    }
}

impl Noise {
    fn of(case: &str, time: Duration, seed: u64) -> Self {
        let budget = Duration::from_secs_f64(BUDGET);
        let floor = (|| -> Result<_, Failure> {
            let id: CaseId = case.parse()?;
            calibration::floor(&id, time, budget, seed)
        })();
        Self {
            case: case.to_owned(),
            floor: match floor {
                Ok(floor) => Measured::Is(Unsettled {
                    placements: floor.placements,
                    typical: floor.typical,
                    worst: floor.worst,
                    smallest_effect: Measured::or(
                        floor.smallest_effect,
                        "even a difference of half might go unseen",
                    ),
                    budget_seconds: BUDGET,
                }),
                Err(failure) => Measured::unavailable(failure.message),
            },
        }
    }
}

impl Shares {
    fn since(before: Option<LoadSample>) -> Self {
        let both = before.zip(machine::load());
        let share = |of: fn(&LoadSample, &LoadSample) -> Option<f64>| {
            let share = both.and_then(|(before, after)| of(&after, &before));
            Measured::or(share, "this system does not count processor time")
        };
        Self {
            steal: share(LoadSample::steal_since),
            others: share(LoadSample::others_since),
        }
    }
}

/// Read bandwidth.
#[derive(Debug, Clone, Serialize)]
pub struct Bandwidth {
    /// Threads that read.
    pub threads: usize,
    /// 1e9 bytes a second.
    pub gigabytes_per_second: Measured<f64>,
    /// What is to be known about the figure.
    pub note: Option<String>,
}

/// Seconds of timing, beyond the search for the fastest way of reading.
const READING: f64 = 0.5;

/// By one thread, and by all that are used.
pub(super) fn bandwidth(
    machine: &Machine,
    threads: usize,
    quick: bool,
    stage: &dyn Fn(&str),
) -> Vec<Bandwidth> {
    let mut counts = vec![1, threads];
    counts.dedup();
    let none = |why: &str| -> Vec<Bandwidth> {
        let none = |&threads: &usize| Bandwidth {
            threads,
            gigabytes_per_second: Measured::unavailable(why),
            note: None,
        };
        counts.iter().map(none).collect()
    };
    if quick {
        return none(
            "--quick leaves it out: a buffer larger than the caches takes seconds to fill",
        );
    }
    stage("read bandwidth: filling a buffer");
    let buffer = match ReadBuffer::for_machine(machine) {
        Ok(buffer) => buffer,
        Err(unavailable) => return none(&unavailable.why),
    };
    let of = |&threads: &usize| {
        stage(&format!("read bandwidth: {threads} threads"));
        let rate = best_read_bandwidth(&buffer, threads).and_then(|mut reading| {
            let work = reading.case().giga_work_per_iteration();
            let schedule = Schedule {
                max_time: Duration::from_secs_f64(READING),
                ..Schedule::default()
            };
            let mut entrants = [Entrant::new("read", &mut reading)];
            let run =
                round_robin::run(&mut entrants, &schedule, &mut |_| ControlFlow::Continue(()));
            run.rate(0, work).ok_or_else(|| Unavailable {
                what: "read bandwidth".into(),
                why: "not one round fitted into the time".into(),
            })
        });
        Bandwidth {
            threads,
            gigabytes_per_second: match rate {
                Ok(rate) => Measured::Is(rate),
                Err(unavailable) => Measured::unavailable(unavailable.why),
            },
            note: buffer.limit().map(|limit| limit.to_string()),
        }
    };
    counts.iter().map(of).collect()
}
