//! Two setups against each other in a part of the work only, which is what some claims speak of.

use std::time::{Duration, Instant};

use super::contest::{Runner, how};
use super::definition::Portion;
use super::models::Models;
use super::race::{self, Budget};
use super::setup::{Schedulers, Setup};
use crate::decoder::cases::{Decode, PromptParts};
use crate::exit::Failure;
use crate::measure::{Timed, Verified};
use crate::run::{Block, Estimate};

/// Tokens of a prompt.
const PROMPT: usize = 128;

/// Portions of right setups. A case is made when it is first asked for, and kept: reading its context
/// takes longer than a duel.
pub struct Portions<'m> {
    /// The models.
    models: &'m Models,
    /// The schedulers.
    schedulers: &'m Schedulers,
    /// Tokens in front of a timed one.
    context: usize,
    made: Vec<Made<'m>>,
}

struct Made<'m> {
    portion: Portion,
    setup: Setup,
    case: Verified<Box<dyn Timed + 'm>>,
    /// Of one iteration, all parts counted.
    seconds: f64,
}

impl<'m> Portions<'m> {
    /// None is made yet.
    pub fn new(models: &'m Models, schedulers: &'m Schedulers, context: usize) -> Self {
        Self {
            models,
            schedulers,
            context,
            made: Vec::new(),
        }
    }

    /// A duel in `portion`, with the number of blocks set beforehand.
    ///
    /// # Errors
    /// When a case fails, or can't be had.
    pub fn duel(
        &mut self,
        portion: Portion,
        before: (&Setup, &Runner),
        after: (&Setup, &Runner),
        budget: Budget,
    ) -> Result<(Estimate, Vec<Block>), Failure> {
        let places = [
            self.place(portion, before.0, before.1)?,
            self.place(portion, after.0, after.1)?,
        ];
        let Ok([before, after]) = self.made.get_disjoint_mut(places) else {
            return Err(Failure::could_not_run(
                "a setup can't be compared with itself",
            ));
        };
        let seconds = 2.0 * (before.seconds + after.seconds);
        race::duel(&mut before.case, &mut after.case, seconds, budget)
    }

    /// Where the case is, which is made if it has to be.
    fn place(
        &mut self,
        portion: Portion,
        setup: &Setup,
        runner: &Runner,
    ) -> Result<usize, Failure> {
        let made = |m: &Made<'_>| m.portion == portion && m.setup == *setup;
        if let Some(place) = self.made.iter().position(made) {
            return Ok(place);
        }
        let none = || Failure::could_not_run("a setup that answers right has no model");
        let model = self.models.get(setup).ok_or_else(none)?;
        let scheduler = self.schedulers.get(setup.scheduler);
        let parts = portion.parts();
        let mut case: Box<dyn Timed + 'm> = match portion {
            Portion::Attention => {
                let how = how(setup, self.context);
                Box::new(Decode::new(model, scheduler, how)?.only(parts))
            }
            Portion::PromptFeedForward => {
                let length = PROMPT.min(model.config().max_position_embeddings);
                let settings = setup.settings();
                Box::new(PromptParts::new(model, scheduler, length, settings, parts)?)
            }
        };
        // The first reading touches memory for the first time.
        let mut whole = Duration::MAX;
        for _ in 0..2 {
            let begin = Instant::now();
            case.time(1)
                .map_err(|e| Failure::could_not_run(e.to_string()))?;
            whole = whole.min(begin.elapsed());
        }
        self.made.push(Made {
            portion,
            setup: *setup,
            case: runner.right.verify(case)?,
            seconds: whole.as_secs_f64(),
        });
        Ok(self.made.len() - 1)
    }
}
