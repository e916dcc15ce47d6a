//! What is timed: a whole generation, and one token of it with the cache or without.

use std::time::{Duration, Instant};

use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::{Error, Token, ops};

use crate::measure::{self, Digest, Timed};
use crate::run::GenerationTime;

fn failed(error: Error) -> measure::Failure {
    measure::Failure::new(error.to_string())
}

fn chosen(logits: &[f32]) -> Result<Token, Error> {
    Ok(ops::argmax(logits).ok_or(Error::NanLogits)? as Token)
}

/// Generating from a prompt, greedily, as a user would.
pub struct Whole<'m> {
    session: Session<'m>,
    prompt: Vec<Token>,
    /// The tokens of the last generation.
    out: Vec<Token>,
    tokens: usize,
    samples: Vec<GenerationTime>,
}

impl<'m> Whole<'m> {
    /// Generates once, untimed.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        prompt: &[Token],
        tokens: usize,
    ) -> Result<Self, Error> {
        let mut whole = Self {
            session: Session::new(model, scheduler, prompt.len() + tokens)?,
            prompt: prompt.to_vec(),
            out: Vec::with_capacity(tokens),
            tokens,
            samples: Vec::new(),
        };
        whole.generate()?;
        Ok(whole)
    }

    fn generate(&mut self) -> Result<GenerationTime, Error> {
        self.session.truncate(0);
        self.out.clear();
        let begin = Instant::now();
        let mut next = chosen(self.session.prefill(&self.prompt)?)?;
        let first = begin.elapsed();
        self.out.push(next);
        for _ in 1..self.tokens {
            next = self.session.decode_greedy(next)?.token;
            self.out.push(next);
        }
        let all = begin.elapsed();
        Ok(GenerationTime {
            first_ns: first.as_nanos() as u64,
            rest_ns: (all - first).as_nanos() as u64,
        })
    }

    /// The prompt and what followed it.
    pub fn text(&self) -> Vec<Token> {
        [&self.prompt[..], &self.out].concat()
    }

    /// The generations that were timed.
    pub fn samples(&self) -> &[GenerationTime] {
        &self.samples
    }
}

impl Timed for Whole<'_> {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _ = self.time(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, measure::Failure> {
        let mut all = Duration::ZERO;
        for _ in 0..iterations {
            let before = self.out.clone();
            let sample = self.generate().map_err(failed)?;
            if self.out != before {
                return Err(measure::Failure::new(
                    "two generations from one prompt differ",
                ));
            }
            self.samples.push(sample);
            all += Duration::from_nanos(sample.first_ns + sample.rest_ns);
        }
        Ok(all)
    }
}

/// Whether the positions before a token are still known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Only what is new is read.
    With,
    /// The whole text is read for every token.
    Without,
}

/// What one token came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// All of its logits, to the bit.
    pub logits: Digest,
    /// The token with the largest.
    pub token: Token,
}

/// Choosing the next token of a text from all logits: with the cache and without, so that the
/// cache is the only difference.
pub struct Next<'m> {
    session: Session<'m>,
    text: Vec<Token>,
    cache: Cache,
    /// Positions that the next token is chosen after.
    positions: usize,
    /// By how many positions that grows from one timed token to the next.
    growth: usize,
    ns: Vec<u64>,
    outcomes: Vec<Outcome>,
}

impl<'m> Next<'m> {
    /// Along `text`, from its first `positions` on, `growth` further each time.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        text: &[Token],
        cache: Cache,
        positions: usize,
        growth: usize,
    ) -> Result<Self, Error> {
        Ok(Self {
            session: Session::new(model, scheduler, text.len())?,
            text: text.to_vec(),
            cache,
            positions,
            growth,
            ns: Vec::new(),
            outcomes: Vec::new(),
        })
    }

    /// Chooses once and keeps only the answer; what is cached from then on is not read again.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn judge(&mut self) -> Result<Outcome, Error> {
        self.choose().map(|(_, outcome)| outcome)
    }

    fn choose(&mut self) -> Result<(Duration, Outcome), Error> {
        let known = match self.cache {
            Cache::With => self.session.position().min(self.positions - 1),
            Cache::Without => 0,
        };
        let begin = Instant::now();
        self.session.truncate(known);
        let logits = self.session.prefill(&self.text[known..self.positions])?;
        let time = begin.elapsed();
        let outcome = Outcome {
            logits: Digest::of_f32(logits),
            token: chosen(logits)?,
        };
        Ok((time, outcome))
    }

    /// Nanoseconds of every timed token.
    pub fn ns(&self) -> &[u64] {
        &self.ns
    }

    /// What each came to.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }
}

impl Timed for Next<'_> {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _ = self.time(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, measure::Failure> {
        let mut all = Duration::ZERO;
        for _ in 0..iterations {
            let (time, outcome) = self.choose().map_err(failed)?;
            self.ns.push(time.as_nanos() as u64);
            self.outcomes.push(outcome);
            self.positions += self.growth;
            all += time;
        }
        Ok(all)
    }
}
