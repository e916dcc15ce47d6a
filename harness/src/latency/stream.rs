//! A text that grows token by token, each token timed.

use std::time::{Duration, Instant};

use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::{Error, Token, ops};

use crate::decoder::cases::{Choice, token};
use crate::decoder::clock::Clock;
use crate::measure::{Failure, Timed};

/// Tokens of the prompt.
const PROMPT: usize = 16;
/// Tokens after it that don't count: buffers grow, caches fill, threads wake.
const WARM_UP: usize = 16;
/// Positions before the first token that counts.
pub const CONTEXT: usize = PROMPT + WARM_UP;

/// A generation with a clock for every token and every part of it.
pub struct Stream<'m> {
    session: Session<'m>,
    choice: Choice,
    next: Token,
    clock: Clock,
    /// The tokens that counted.
    tokens: Vec<Token>,
    /// Their nanoseconds.
    ns: Vec<u64>,
}

impl<'m> Stream<'m> {
    /// Reads the prompt and warms up; room for `tokens` that count.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        choice: Choice,
        tokens: usize,
    ) -> Result<Self, Error> {
        let prompt: Vec<Token> = (0..PROMPT).map(|i| token(model, i)).collect();
        let mut session = Session::new(model, scheduler, CONTEXT + tokens)?;
        let next = ops::argmax(session.prefill(&prompt)?).ok_or(Error::NanLogits)? as Token;
        let mut stream = Self {
            session,
            choice,
            next,
            clock: Clock::default(),
            tokens: Vec::with_capacity(tokens),
            ns: Vec::with_capacity(tokens),
        };
        for _ in 0..WARM_UP {
            stream.step()?;
        }
        stream.clock = Clock::default();
        Ok(stream)
    }

    /// Reads the last token and chooses the next.
    fn step(&mut self) -> Result<(), Error> {
        let read = self.next;
        self.next = match self.choice {
            Choice::Greedy => {
                let found = self.session.decode_greedy_observed(read, &mut self.clock)?;
                found.token
            }
            Choice::Full => {
                let logits = self.session.decode_observed(read, &mut self.clock)?;
                ops::argmax(logits).ok_or(Error::NanLogits)? as Token
            }
        };
        Ok(())
    }

    fn timed_step(&mut self) -> Result<Duration, Error> {
        self.clock.begin();
        let begin = Instant::now();
        self.step()?;
        let time = begin.elapsed();
        self.ns.push(time.as_nanos() as u64);
        self.tokens.push(self.next);
        Ok(time)
    }

    /// How tokens are chosen.
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// The token that comes next.
    pub fn next(&self) -> Token {
        self.next
    }

    /// The tokens that counted.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Their nanoseconds.
    pub fn ns(&self) -> &[u64] {
        &self.ns
    }

    /// Their parts.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Timed for Stream<'_> {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _ = self.time(iterations);
    }

    /// The next `iterations` tokens.
    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        let mut all = Duration::ZERO;
        for _ in 0..iterations {
            let step = self.timed_step();
            all += step.map_err(|error| Failure::new(error.to_string()))?;
        }
        Ok(all)
    }
}
