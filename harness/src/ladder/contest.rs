//! Who may race: setups that answer right, on the trained model and on the one that is timed.

use std::time::Instant;

use bitgauge_engine::head::Effort;
use bitgauge_engine::model::{Model, Source};
use bitgauge_engine::threads::Scheduler;

use super::definition::{Head, State};
use super::setup::Setup;
use crate::decoder::cases::{Choice, Decode, How};
use crate::decoder::clock::{self, TokenProfile};
use crate::decoder::judge::{Reference, Right};
use crate::exit::Failure;
use crate::measure::Verified;
use crate::run::WrongAnswer;

/// A setup that a state comes down to, and what is known of it.
pub struct Contestant {
    /// The setup.
    pub setup: Setup,
    /// The first state that came down to it, in words.
    pub name: String,
    /// Whether it answers right.
    pub outcome: Result<Runner, WrongAnswer>,
}

/// A setup that answers right.
pub struct Runner {
    /// Its place in the race.
    pub place: usize,
    /// Bytes of weights, keys and values that a token reads.
    pub bytes: u64,
    /// Where its time goes.
    pub profile: TokenProfile,
    /// The proof.
    pub right: Right,
}

/// How a setup decodes a token after `context` others.
pub fn how(setup: &Setup, context: usize) -> How<'static> {
    How {
        context,
        cache: setup.cache,
        choice: match setup.head {
            Head::Exact => Choice::Full,
            Head::Quantized => Choice::Greedy,
        },
        settings: setup.settings(),
    }
}

/// Judges setups on the timed model, one after the other.
#[derive(Default)]
pub struct Contest<'m> {
    /// The cases that may race.
    pub cases: Vec<Verified<Decode<'m>>>,
    /// Seconds that a token of each took when it was judged.
    pub seconds: Vec<f64>,
    references: Vec<(Setup, Reference)>,
}

impl<'m> Contest<'m> {
    /// Lets a setup in that is right on the trained model: when products of the timed model are the
    /// oracle's, its logits those of the setups before it where bits must be the same, and its greedy
    /// token that of its logits.
    ///
    /// # Errors
    /// The inner one says how wrong the answers are, the outer that they could not be had.
    pub fn enter(
        &mut self,
        setup: &Setup,
        right: Right,
        model: &'m Model,
        source: &dyn Source,
        scheduler: &'m dyn Scheduler,
        context: usize,
    ) -> Result<Result<Runner, WrongAnswer>, Failure> {
        let mut case = Decode::new(model, scheduler, how(setup, context))?;
        let begin = Instant::now();
        let logits = case.logits()?.to_vec();
        let mut took = begin.elapsed().as_secs_f64();
        let at = self
            .references
            .iter()
            .position(|(first, _)| first.same_bits(setup));
        let at = at.unwrap_or_else(|| {
            self.references.push((*setup, Reference::default()));
            self.references.len() - 1
        });
        if let Err(wrong) = self.references[at].1.timed(model, source, &logits)? {
            return Ok(Err(wrong));
        }
        let mut head_bytes = model.head_bytes();
        if setup.head == Head::Quantized {
            let begin = Instant::now();
            let found = case.greedy_observed(&mut ())?;
            took = begin.elapsed().as_secs_f64();
            let best = bitgauge_engine::ops::argmax(&logits);
            match found.effort {
                Some(Effort { bytes, .. }) if best == Some(found.token as usize) => {
                    head_bytes = bytes;
                }
                _ => {
                    return Ok(Err(WrongAnswer {
                        relative_error: f64::INFINITY,
                        seen_on: format!(
                            "the quantised head chose {}, all logits choose {best:?}",
                            found.token
                        ),
                    }));
                }
            }
        }
        let bytes = (model.ternary_bytes() + head_bytes + case.cache_bytes()) as u64;
        let (case, profile) = clock::watch_decode(case, scheduler)?;
        self.cases.push(right.verify(case)?);
        self.seconds.push(took);
        Ok(Ok(Runner {
            place: self.cases.len() - 1,
            bytes,
            profile,
            right,
        }))
    }
}

/// The setups of named states, each once, under the name of the first state that comes down to it.
///
/// # Errors
/// When a state's kernel is unknown or can't run here.
pub fn setups(named: &[(String, State)]) -> Result<Vec<(String, Setup)>, Failure> {
    let mut setups: Vec<(String, Setup)> = Vec::new();
    for (name, state) in named {
        let setup = Setup::of(state)?;
        if !setups.iter().any(|(_, s)| *s == setup) {
            setups.push((name.clone(), setup));
        }
    }
    Ok(setups)
}
