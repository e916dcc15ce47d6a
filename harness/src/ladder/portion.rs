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

/// What portions of right setups are timed with.
pub struct Portions<'m> {
    /// The models.
    pub models: &'m Models,
    /// The schedulers.
    pub schedulers: &'m Schedulers,
    /// Tokens in front of a timed one.
    pub context: usize,
}

impl Portions<'_> {
    /// A duel in `portion`, with the number of blocks set beforehand.
    ///
    /// # Errors
    /// When a case fails, or can't be had.
    pub fn duel(
        &self,
        portion: Portion,
        before: (&Setup, &Runner),
        after: (&Setup, &Runner),
        budget: Budget,
    ) -> Result<(Estimate, Vec<Block>), Failure> {
        let (mut before, mut after) = (
            self.case(portion, before.0, before.1)?,
            self.case(portion, after.0, after.1)?,
        );
        let seconds = before.1 + after.1;
        race::duel(&mut before.0, &mut after.0, 2.0 * seconds, budget)
    }

    /// The case, and the seconds that one of its iterations takes, all parts counted.
    fn case(
        &self,
        portion: Portion,
        setup: &Setup,
        runner: &Runner,
    ) -> Result<(Verified<Box<dyn Timed + '_>>, f64), Failure> {
        let none = || Failure::could_not_run("a setup that answers right has no model");
        let model = self.models.get(setup).ok_or_else(none)?;
        let scheduler = self.schedulers.get(setup.scheduler);
        let parts = portion.parts();
        let mut case: Box<dyn Timed + '_> = match portion {
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
        Ok((runner.right.verify(case)?, whole.as_secs_f64()))
    }
}
