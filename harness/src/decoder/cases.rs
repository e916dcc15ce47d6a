//! What is timed: one token, or a whole generation.

use std::time::{Duration, Instant};

use bitgauge_engine::model::Model;
use bitgauge_engine::session::{Greedy, Observer, Part, Session, Settings};
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

/// How a token is decoded.
#[derive(Clone, Copy)]
pub struct How<'m> {
    /// Tokens in front of it.
    pub context: usize,
    /// Whether keys and values of these are kept; all of them are read again where they are not.
    pub cache: bool,
    /// How the next token is chosen.
    pub choice: Choice,
    /// What the session is told.
    pub settings: Settings<'m>,
}

impl Default for How<'_> {
    /// After [`CONTEXT`] others, with a cache and all logits, as sessions usually are.
    fn default() -> Self {
        Self {
            context: CONTEXT,
            cache: true,
            choice: Choice::Full,
            settings: Settings::default(),
        }
    }
}

/// Decoding one token after others.
pub struct Decode<'m> {
    session: Session<'m>,
    tokens: Vec<Token>,
    how: How<'m>,
    parts: Option<Parts>,
}

impl<'m> Decode<'m> {
    /// Reads the context once.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        how: How<'m>,
    ) -> Result<Self, Error> {
        // The session knows how many tokens are too many.
        let capacity = how.context.saturating_add(1);
        let mut session = Session::with_settings(model, scheduler, capacity, how.settings)?;
        let tokens: Vec<Token> = (0..capacity).map(|i| token(model, i)).collect();
        session.prefill(&tokens[..how.context])?;
        Ok(Self {
            session,
            tokens,
            how,
            parts: None,
        })
    }

    /// Decodes the token once more; the logits of the next.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn logits(&mut self) -> Result<&[f32], Error> {
        self.logits_observed(&mut ())
    }

    /// As [`Decode::logits`], telling `observer` of each part.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn logits_observed(&mut self, observer: &mut dyn Observer) -> Result<&[f32], Error> {
        let context = self.how.context;
        if self.how.cache {
            self.session.truncate(context);
            self.session.decode_observed(self.tokens[context], observer)
        } else {
            self.session.truncate(0);
            self.session.prefill_observed(&self.tokens, observer)
        }
    }

    /// Decodes the token once more, and chooses the next by the model's quantised head.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn greedy_observed(&mut self, observer: &mut dyn Observer) -> Result<Greedy, Error> {
        let context = self.how.context;
        self.session.truncate(context);
        self.session
            .decode_greedy_observed(self.tokens[context], observer)
    }

    /// Decodes the token once more in the way that is timed.
    fn once(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        match self.how.choice {
            Choice::Full => self.logits_observed(observer).map(drop),
            Choice::Greedy => self.greedy_observed(observer).map(drop),
        }
    }

    /// How the next token is chosen.
    pub fn choice(&self) -> Choice {
        self.how.choice
    }

    /// Bytes of keys and values that the token reads, its own included.
    pub fn cache_bytes(&self) -> usize {
        self.session.cache_bytes_per_position() * self.tokens.len()
    }

    /// The same, of which only `parts` count when it is timed.
    pub fn only(mut self, parts: &'static [Part]) -> Self {
        self.parts = Some(Parts::new(parts));
        self
    }
}

impl Timed for Decode<'_> {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _ = self.time(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, measure::Failure> {
        let begin = Instant::now();
        let mut spent = Duration::ZERO;
        for _ in 0..iterations {
            let done = match self.parts.take() {
                Some(mut parts) => {
                    parts.begin();
                    let done = self.once(&mut parts);
                    spent += parts.spent;
                    self.parts = Some(parts);
                    done
                }
                None => self.once(&mut ()),
            };
            done.map_err(|error| measure::Failure::new(error.to_string()))?;
        }
        Ok(match self.parts {
            Some(_) => spent,
            None => begin.elapsed(),
        })
    }
}

/// Adds up the time of some parts.
struct Parts {
    parts: &'static [Part],
    last: Instant,
    spent: Duration,
}

impl Parts {
    fn new(parts: &'static [Part]) -> Self {
        Self {
            parts,
            last: Instant::now(),
            spent: Duration::ZERO,
        }
    }

    fn begin(&mut self) {
        self.spent = Duration::ZERO;
        self.last = Instant::now();
    }
}

impl Observer for Parts {
    fn done(&mut self, part: Part) {
        let now = Instant::now();
        if self.parts.contains(&part) {
            self.spent += now - self.last;
        }
        self.last = now;
    }
}

/// Some parts of reading a prompt from an empty context.
pub struct PromptParts<'m> {
    session: Session<'m>,
    tokens: Vec<Token>,
    parts: Parts,
}

impl<'m> PromptParts<'m> {
    /// A prompt of `length` tokens, of which only `parts` count.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        length: usize,
        settings: Settings<'m>,
        parts: &'static [Part],
    ) -> Result<Self, Error> {
        Ok(Self {
            session: Session::with_settings(model, scheduler, length, settings)?,
            tokens: (0..length).map(|i| token(model, i)).collect(),
            parts: Parts::new(parts),
        })
    }

    /// Reads the prompt; the logits after it.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn logits(&mut self) -> Result<&[f32], Error> {
        self.session.truncate(0);
        self.parts.begin();
        self.session.prefill_observed(&self.tokens, &mut self.parts)
    }
}

impl Timed for PromptParts<'_> {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _ = self.time(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, measure::Failure> {
        let mut spent = Duration::ZERO;
        for _ in 0..iterations {
            if let Err(error) = self.logits() {
                return Err(measure::Failure::new(error.to_string()));
            }
            spent += self.parts.spent;
        }
        Ok(spent)
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
        Ok(Self {
            session: Session::new(model, scheduler, length)?,
            tokens: (0..length).map(|i| token(model, i)).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use bitgauge_engine::kernels::Kernel;
    use bitgauge_engine::synthetic;
    use bitgauge_engine::threads::Pool;

    #[test]
    fn more_tokens_than_the_model_takes_are_refused_before_they_are_made() {
        let shape = synthetic::shape("tiny").unwrap();
        let model = Model::load(&synthetic::model(shape, 1), &Kernel::best()).unwrap();
        let pool = Pool::new(1).unwrap();
        for context in [1 << 62, usize::MAX] {
            let how = How {
                context,
                ..How::default()
            };
            assert!(Decode::new(&model, &pool, how).is_err());
            assert!(Generation::new(&model, &pool, true, context).is_err());
        }
    }
}
