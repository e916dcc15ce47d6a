//! What is left of decoding when another process takes one of the processors.

use std::time::Duration;

use bitgauge_engine::threads::Pool;

use super::Plan;
use crate::busy::Busy;
use crate::decoder::cases::{Decode, How};
use crate::decoder::judge::Reference;
use crate::exit::Failure;
use crate::machine;
use crate::measure::{self, Entrant, Schedule, Timed};
use crate::run::{Estimate, Measured};
use crate::scaling::{self, Team, wrong_answers};

/// A system hands out a processor for some milliseconds at a time: a slice holds many turns.
const SLICE: Duration = Duration::from_millis(200);

const ENDED: &str = "the busy process ended while a token was timed beside it";

/// A case beside a process that computes while the case is timed, and rests otherwise.
struct Beside<'a, C> {
    case: C,
    busy: &'a Busy,
}

impl<C: Timed> Timed for Beside<'_, C> {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _ = self.time(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, measure::Failure> {
        self.busy.resume();
        let time = self.case.time(iterations);
        self.busy.pause();
        if !self.busy.is_on() {
            return Err(measure::Failure::new(ENDED));
        }
        time
    }
}

/// Tokens a second of all threads, one of whose processors a busy process takes, over
/// those of one thread fewer, which has its processors for itself. It needs as many threads as
/// there are processors: fewer could keep out of the way.
///
/// # Errors
/// When the threads can't be had, or a case answers wrongly or fails.
pub fn measure(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Measured<Estimate>, Failure> {
    let Some(cpus) = machine::allowed_cpus() else {
        return Ok(Measured::unavailable(
            "the system does not say on which processors this process may run",
        ));
    };
    let last = match cpus.last() {
        Some(&last) if plan.threads > 1 && plan.threads == cpus.len() => last,
        _ => {
            return Ok(Measured::unavailable(format!(
                "it needs a thread on each of at least 2 processors, and this run has {} on {}",
                plan.threads,
                cpus.len()
            )));
        }
    };
    let rounds = if plan.quick { 6 } else { 12 };
    stage("limits: decoding with one processor taken", rounds);
    let start = || Busy::start(plan.program, 1);
    let busy = match machine::with_current_thread_on(&[last], start) {
        Ok(busy) => busy,
        Err(error) => {
            let program = plan.program.display();
            let why = format!("{program} could not be started as a busy process: {error}");
            return Ok(Measured::unavailable(why));
        }
    };
    busy.pause();

    let fewer = Team::new(
        Box::new(Pool::new(plan.threads - 1)?),
        plan.model,
        plan.judge,
    )?;
    let all = Team::new(Box::new(Pool::new(plan.threads)?), plan.model, plan.judge)?;
    let mut reference = Reference::default();
    let alone = decode(plan, &fewer, &mut reference)?;
    let case = decode(plan, &all, &mut reference)?;
    let mut alone = fewer.right.verify(alone)?;
    let mut beside = all.right.verify(Beside { case, busy: &busy })?;
    let mut entrants = [
        Entrant::new("alone", &mut alone),
        Entrant::new("beside a busy process", &mut beside),
    ];
    let schedule = Schedule {
        seed: plan.seed,
        warmup_rounds: 1,
        max_rounds: rounds,
        max_time: Duration::MAX,
        min_slice: Some(SLICE),
    };
    match scaling::race(&mut entrants, &schedule, step) {
        Ok(race) => Ok(scaling::speedup(&race, 0, 1)),
        // Someone ended it: that is no reason to lose what was measured before.
        Err(_) if !busy.is_on() => Ok(Measured::unavailable(ENDED)),
        Err(failure) => Err(failure),
    }
}

/// A token of `plan`'s model, decoded by `team` with the same logits as by those before.
fn decode<'m>(
    plan: &Plan<'m>,
    team: &'m Team,
    reference: &mut Reference,
) -> Result<Decode<'m>, Failure> {
    let mut decode = Decode::new(plan.model, &*team.scheduler, How::default())?;
    let same = reference.same_bits(decode.logits()?);
    same.map_err(|wrong| wrong_answers(&team.name(), &wrong))?;
    Ok(decode)
}
