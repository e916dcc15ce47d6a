//! What is timed: one token, or a whole generation.

use std::time::{Duration, Instant};

use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::{Error, Token};

use crate::measure::{self, Timed};

/// Token `i` of every timed sequence.
pub fn token(model: &Model, i: usize) -> Token {
    ((i * 7919 + 1) % model.config().vocab_size) as Token
}

/// The tokens that come before a timed one.
pub const CONTEXT: usize = 2;

/// Decoding one token after [`CONTEXT`] others.
pub struct Decode<'m> {
    session: Session<'m>,
    tokens: Vec<Token>,
    cache: bool,
    failed: Option<Error>,
}

impl<'m> Decode<'m> {
    /// Reads the context once.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn new(model: &'m Model, scheduler: &'m dyn Scheduler, cache: bool) -> Result<Self, Error> {
        let tokens: Vec<Token> = (0..=CONTEXT).map(|i| token(model, i)).collect();
        let mut session = Session::new(model, scheduler, tokens.len())?;
        session.prefill(&tokens[..CONTEXT])?;
        Ok(Self {
            session,
            tokens,
            cache,
            failed: None,
        })
    }

    /// Decodes the token once more; the logits of the next.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn logits(&mut self) -> Result<&[f32], Error> {
        if self.cache {
            self.session.truncate(CONTEXT);
            self.session.decode(self.tokens[CONTEXT])
        } else {
            self.session.truncate(0);
            self.session.prefill(&self.tokens)
        }
    }
}

impl Timed for Decode<'_> {
    fn iterate(&mut self, iterations: u64) {
        for _ in 0..iterations {
            if let Err(error) = self.logits() {
                self.failed = Some(error);
                return;
            }
        }
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, measure::Failure> {
        timed(self, iterations, |s| s.failed.take())
    }
}

/// Generating a fixed number of tokens, one at a time.
pub struct Generation<'m> {
    session: Session<'m>,
    tokens: Vec<Token>,
    cache: bool,
    failed: Option<Error>,
}

impl<'m> Generation<'m> {
    /// A generation of `length` tokens from a prompt of one.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        cache: bool,
        length: usize,
    ) -> Result<Self, Error> {
        let tokens: Vec<Token> = (0..length).map(|i| token(model, i)).collect();
        let session = Session::new(model, scheduler, length)?;
        Ok(Self {
            session,
            tokens,
            cache,
            failed: None,
        })
    }

    /// Generates once; the logits after the last token. Without a cache, every token is computed
    /// from the whole text before it.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn logits(&mut self) -> Result<Vec<f32>, Error> {
        self.session.truncate(0);
        let mut logits = Vec::new();
        for i in 0..self.tokens.len() {
            let out = if self.cache {
                self.session.decode(self.tokens[i])?
            } else {
                self.session.truncate(0);
                self.session.prefill(&self.tokens[..=i])?
            };
            if i + 1 == self.tokens.len() {
                logits = out.to_vec();
            }
        }
        Ok(logits)
    }
}

impl Timed for Generation<'_> {
    fn iterate(&mut self, iterations: u64) {
        for _ in 0..iterations {
            if let Err(error) = self.logits() {
                self.failed = Some(error);
                return;
            }
        }
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, measure::Failure> {
        timed(self, iterations, |s| s.failed.take())
    }
}

fn timed<T: Timed>(
    case: &mut T,
    iterations: u64,
    failed: impl FnOnce(&mut T) -> Option<Error>,
) -> Result<Duration, measure::Failure> {
    let start = Instant::now();
    case.iterate(iterations);
    let time = start.elapsed();
    match failed(case) {
        None => Ok(time),
        Some(error) => Err(measure::Failure::new(error.to_string())),
    }
}
