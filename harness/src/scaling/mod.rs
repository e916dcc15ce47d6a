//! What more threads are worth: speedup over one thread, phase by phase, against what was claimed,
//! beyond the machine by a fitted law, and against a baseline.
//!
//! All numbers of threads of a phase run in one interleaved round robin, so every speedup comes
//! from times of the same rounds. One thread is always the engine's pool, also for other
//! schedulers.

pub mod baseline;
mod phases;
mod team;
pub mod usl;

pub use baseline::{Checked, Held, NotChecked, Stored, StoredPoint, check};
pub use phases::Phase;
pub use team::{Rival, Team, thread_counts, wrong_answers};

use std::ops::ControlFlow;
use std::time::Duration;

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Model, Source};
use serde::Serialize;

use crate::decoder::clock;
use crate::decoder::judge::Judge;
use crate::exit::Failure;
use crate::ladder::race::{LEVEL, rounds};
use crate::limits::YARDSTICK_SLICE;
use crate::measure::pair::Stop;
use crate::measure::round_robin::{self, RoundRobin};
use crate::measure::stats::Rules;
use crate::measure::{Entrant, Schedule, Stopped, Timed};
use crate::run::{Estimate, Measured, Scaled, ScalingPoint};
use phases::Bench;
use usl::{Fit, Series};

/// Efficiencies that the reports claim, by threads; they name no phase.
pub const CLAIMED: [(usize, f64); 4] = [(2, 0.95), (4, 0.93), (8, 0.89), (16, 0.84)];

/// What to measure, and on what.
pub struct Plan<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its weights, for the oracle.
    pub source: &'a dyn Source,
    /// Who judges its kernels.
    pub judge: &'a Judge,
    /// The phases to be timed.
    pub phases: &'a [Phase],
    /// The most threads.
    pub threads: usize,
    /// What is measured beside the pool.
    pub rival: Option<Rival>,
    /// Time for the rounds of all phases together; each has six rounds at least.
    pub budget: Duration,
    /// Seed of the orders and of the intervals of the law.
    pub seed: u64,
}

/// One phase over threads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// The phase.
    pub phase: Phase,
    /// Measured points, pool first, each scheduler by threads; then what was projected or claimed
    /// beyond them.
    pub points: Vec<ScalingPoint>,
    /// The law that the pool's points follow.
    pub law: Measured<Fit>,
}

/// Measures every phase of the plan.
///
/// # Errors
/// When the kernel answers wrongly, threads can't be had, or a case fails.
pub fn run(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Vec<Curve>, Failure> {
    stage("scaling: judging the kernel on every number of threads", 0);
    let counts = thread_counts(plan.threads);
    let teams = Team::all(&counts, plan.rival, plan.model, plan.judge)?;
    measure(plan, &teams, stage, step)
}

/// [`run`] on teams that exist.
///
/// # Errors
/// When the model answers wrongly, or a case fails.
pub fn measure(
    plan: &Plan<'_>,
    teams: &[Team],
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Vec<Curve>, Failure> {
    let budget = plan.budget / u32::try_from(plan.phases.len()).unwrap_or(1).max(1);
    let mut curves = Vec::new();
    for &phase in plan.phases {
        stage(&format!("scaling: verifying {}", phase.name()), 0);
        let mut bench = Bench::new(phase, plan.model, plan.source)?;
        let mut cases = Vec::new();
        for team in teams {
            cases.push(bench.case(team)?);
        }
        curves.push(time(plan, phase, teams, cases, budget, stage, step)?);
    }
    Ok(curves)
}

/// Times the verified cases of one phase against each other.
fn time<'m>(
    plan: &Plan<'_>,
    phase: Phase,
    teams: &[Team],
    mut cases: Vec<phases::PhaseCase<'m>>,
    budget: Duration,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Curve, Failure> {
    let mut a_round = Duration::ZERO;
    let mut busy = Vec::new();
    for (case, team) in cases.iter_mut().zip(teams) {
        let mut alone = Entrant::new(team.name(), case);
        let pace = phases::pace(&mut alone)?;
        // Twice a round, each slice a whole number of iterations.
        a_round += 2 * pace.max(YARDSTICK_SLICE + pace / 2);
        let each = (YARDSTICK_SLICE.as_secs_f64() / pace.as_secs_f64()).max(1.0) as u64;
        busy.push(clock::utilisation(&*team.scheduler, &mut || {
            alone.time(each).map(drop)
        })?);
    }
    let max_rounds = rounds(budget, a_round.as_secs_f64());
    stage(&format!("scaling: timing {}", phase.name()), max_rounds);
    let mut entrants: Vec<Entrant<'_>> = cases
        .iter_mut()
        .zip(teams)
        .map(|(case, team)| Entrant::new(team.name(), case))
        .collect();
    let schedule = Schedule {
        seed: plan.seed,
        warmup_rounds: 1,
        max_rounds,
        max_time: Duration::MAX,
        min_slice: Some(YARDSTICK_SLICE),
    };
    let race = race(&mut entrants, &schedule, step)?;
    Ok(Curve::new(phase, &race, teams, &busy, plan.seed))
}

/// Runs all cases in turns; `step` is called once a round.
///
/// # Errors
/// Names the case that failed.
pub(crate) fn race(
    entrants: &mut [Entrant<'_>],
    schedule: &Schedule,
    step: &dyn Fn(),
) -> Result<RoundRobin, Failure> {
    let mut told = 0;
    let race = round_robin::run(entrants, schedule, &mut |p| {
        while told < p.rounds {
            step();
            told += 1;
        }
        ControlFlow::Continue(())
    });
    match &race.stopped {
        Stopped::Failed { case, failure } => {
            Err(Failure::could_not_run(format!("{case}: {failure}")))
        }
        _ => Ok(race),
    }
}

impl Curve {
    /// The curve of a race whose first cases are those of `teams`, in their order, the pool of one
    /// thread first; `busy` says how busy each team's threads were.
    pub fn new(
        phase: Phase,
        race: &RoundRobin,
        teams: &[Team],
        busy: &[Measured<Vec<f64>>],
        seed: u64,
    ) -> Self {
        let measured = teams.iter().zip(busy).enumerate().map(|(i, (team, busy))| {
            let (scheduler, threads) = (team.scheduler.name(), team.scheduler.threads());
            ScalingPoint {
                phase: phase.name().into(),
                scheduler: scheduler.into(),
                threads,
                speedup: scaled(race, i, busy.clone()),
                claimed_efficiency: claimed(threads).filter(|_| scheduler == "pool"),
            }
        });
        let mut points: Vec<ScalingPoint> = measured.collect();
        let pool = || {
            let all = teams.iter().enumerate();
            all.filter(|(_, t)| t.scheduler.name() == "pool")
                .map(|(i, t)| (i, t.scheduler.threads()))
        };
        let most = pool().map(|(_, threads)| threads).max().unwrap_or(1);
        let ratios: Vec<(usize, Vec<f64>)> = pool()
            .map(|(i, threads)| (threads, race.samples.log_ratios(0, i)))
            .collect();
        let series: Vec<Series<'_>> = ratios
            .iter()
            .map(|(threads, log_speedups)| Series {
                threads: *threads,
                log_speedups,
            })
            .collect();
        let law = Fit::over_rounds(&series, &beyond(most), seed);
        points.extend(beyond(most).into_iter().filter_map(|threads| {
            let claimed_efficiency = claimed(threads);
            let speedup = match &law {
                Measured::Is(fit) => fit.scaled(threads)?,
                Measured::Unavailable(why) => {
                    // Nothing to say where nothing was claimed either.
                    claimed_efficiency?;
                    Scaled::Unavailable {
                        why: format!("this run used {}, and {why}", words(most)),
                    }
                }
            };
            Some(ScalingPoint {
                phase: phase.name().into(),
                scheduler: "pool".into(),
                threads,
                speedup,
                claimed_efficiency,
            })
        }));
        Self { phase, points, law }
    }
}

fn words(most: usize) -> String {
    match most {
        1 => "1 thread only".into(),
        n => format!("{n} threads at most"),
    }
}

fn claimed(threads: usize) -> Option<f64> {
    CLAIMED
        .into_iter()
        .find(|(n, _)| *n == threads)
        .map(|(_, efficiency)| efficiency)
}

/// Thread counts to be projected: powers of two above `most`, to 16 and to four times `most`.
fn beyond(most: usize) -> Vec<usize> {
    std::iter::successors(Some(2_usize), |n| n.checked_mul(2))
        .skip_while(|n| *n <= most)
        .take_while(|n| *n <= (4 * most).max(16))
        .collect()
}

/// Speedup of case `after` of a race over `before`.
pub(crate) fn speedup(race: &RoundRobin, before: usize, after: usize) -> Measured<Estimate> {
    let found = race.estimate(before, after, &Rules::default(), Stop::AfterBlocks);
    match (found.speedup, found.low, found.high) {
        (Some(value), Some(low), Some(high)) => Measured::Is(Estimate {
            value,
            low,
            high,
            level: LEVEL,
            blocks: found.blocks,
        }),
        _ => Measured::unavailable(format!("{} blocks give no interval", found.blocks)),
    }
}

fn scaled(race: &RoundRobin, case: usize, utilisation: Measured<Vec<f64>>) -> Scaled {
    if case == 0 {
        let speedup = Estimate {
            value: 1.0,
            low: 1.0,
            high: 1.0,
            level: LEVEL,
            blocks: race.samples.rounds().len() as u64,
        };
        return Scaled::Measured {
            speedup,
            utilisation,
        };
    }
    match speedup(race, 0, case) {
        Measured::Is(speedup) => Scaled::Measured {
            speedup,
            utilisation,
        },
        Measured::Unavailable(why) => Scaled::Unavailable { why },
    }
}

/// What a baseline keeps of the measured points. The pool of one thread is the reference, so its
/// efficiency is 1 by definition and says nothing.
pub fn to_store(curves: &[Curve], kernel: Kernel, model: &str) -> Stored {
    let points = curves.iter().flat_map(|c| &c.points);
    let stored = points.filter_map(|p| match &p.speedup {
        Scaled::Measured { speedup, .. } if p.threads > 1 => {
            let threads = p.threads as f64;
            Some(StoredPoint {
                phase: p.phase.clone(),
                scheduler: p.scheduler.clone(),
                kernel: kernel.spec().name().to_owned(),
                model: model.to_owned(),
                threads: p.threads,
                efficiency: speedup.value / threads,
                low: speedup.low / threads,
                high: speedup.high / threads,
                blocks: speedup.blocks,
            })
        }
        _ => None,
    });
    Stored {
        points: stored.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::ClaimedEfficiency;

    #[test]
    fn projections_reach_the_claims_and_four_times_the_machine() {
        assert_eq!(beyond(1), [2, 4, 8, 16]);
        assert_eq!(beyond(2), [4, 8, 16]);
        assert_eq!(beyond(6), [8, 16]);
        assert_eq!(beyond(16), [32, 64]);
    }

    /// Four threads, whether the machine has them or not: what matters here is not how fast.
    #[test]
    fn three_thread_counts_give_a_law_that_is_followed_and_never_stored() {
        use bitgauge_engine::synthetic;
        let trained = crate::verify::default_fixtures().unwrap().join("trained");
        let judge = Judge::open(&trained).unwrap();
        let source = synthetic::model(synthetic::shape("tiny").unwrap(), 1);
        let kernel = Kernel::best();
        let model = Model::load(&source, &kernel).unwrap();
        let plan = Plan {
            model: &model,
            source: &source,
            judge: &judge,
            phases: &[Phase::Product],
            threads: 4,
            rival: Some(Rival::Contended),
            budget: Duration::from_millis(1),
            seed: 1,
        };
        let curves = match run(&plan, &|_, _| {}, &|| {}) {
            Ok(curves) => curves,
            Err(failure) => panic!("{failure}"),
        };
        let points = &curves[0].points;
        let of = |p: &ScalingPoint| format!("{} {}", p.scheduler, p.threads);
        let names: Vec<String> = points.iter().map(of).collect();
        let want = "pool 1,pool 2,pool 4,contended 2,contended 4,pool 8,pool 16";
        assert_eq!(names.join(","), want);
        let (measured, beyond) = points.split_at(5);
        for p in measured {
            assert!(matches!(p.speedup, Scaled::Measured { .. }), "{p:?}");
        }
        let fit = curves[0].law.get().unwrap();
        assert_eq!(fit.form, usl::Form::Usl);
        for p in beyond {
            assert!(matches!(p.speedup, Scaled::Projected { .. }), "{p:?}");
            let claim = p.claim().unwrap();
            assert!(matches!(claim, ClaimedEfficiency::NotMeasured(_)), "{p:?}");
        }
        let stored = to_store(&curves, kernel, "tiny");
        let kept: Vec<_> = stored.points.iter().map(|p| p.threads).collect();
        assert_eq!(kept, [2, 4, 2, 4]);
        let speedups = measured
            .iter()
            .filter(|p| p.threads > 1)
            .map(|p| &p.speedup);
        for (kept, speedup) in stored.points.iter().zip(speedups) {
            let Scaled::Measured { speedup, .. } = speedup else {
                panic!("{speedup:?}")
            };
            for (each, all) in [
                (kept.efficiency, speedup.value),
                (kept.low, speedup.low),
                (kept.high, speedup.high),
            ] {
                let threads = kept.threads as f64;
                assert!((each * threads - all).abs() <= 1e-12 * all, "{kept:?}");
            }
        }
    }
}
