//! What is timed: one token, or a whole generation.

use std::time::{Duration, Instant};

use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::{Error, Token};

use crate::measure::{self, Timed};

/// Work of the engine that can fail.
pub trait Attempt {
    /// Does the work once.
    ///
    /// # Errors
    /// As the engine has them.
    fn attempt(&mut self) -> Result<(), Error>;
}

/// Work of the engine as a case to be timed.
pub struct Case<A>(pub A);

impl<A: Attempt> Case<A> {
    fn repeat(&mut self, iterations: u64) -> Result<(), Error> {
        (0..iterations).try_for_each(|_| self.0.attempt())
    }
}

impl<A: Attempt> Timed for Case<A> {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _ = self.repeat(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, measure::Failure> {
        let start = Instant::now();
        let result = self.repeat(iterations);
        let time = start.elapsed();
        match result {
            Ok(()) => Ok(time),
            Err(error) => Err(measure::Failure::new(error.to_string())),
        }
    }
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// From all logits.
    Full,
    /// By the quantised head.
    Greedy,
}

impl Choice {
    /// Its name in pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "all logits",
            Self::Greedy => "greedy, quantised head",
        }
    }
}

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

impl Attempt for Decode<'_> {
    fn attempt(&mut self) -> Result<(), Error> {
        self.logits().map(drop)
    }
}

/// Generating a fixed number of tokens, one at a time.
pub struct Generation<'m> {
    session: Session<'m>,
    tokens: Vec<Token>,
    cache: bool,
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

impl Attempt for Generation<'_> {
    fn attempt(&mut self) -> Result<(), Error> {
        self.logits().map(drop)
    }
}
