//! What can be timed, and how one slice of it is.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Work that can be repeated and timed.
pub trait Timed {
    /// Does the work `iterations` times.
    fn iterate(&mut self, iterations: u64);

    /// Time of `iterations` repetitions. The default brackets [`Timed::iterate`] with the clock;
    /// a case that has to start a pool first, or that runs elsewhere, measures itself.
    ///
    /// # Errors
    /// [`Failure`] when the case could not do its work; the run stops and keeps what it has.
    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        let start = Instant::now();
        self.iterate(iterations);
        Ok(start.elapsed())
    }
}

impl<T: Timed + ?Sized> Timed for Box<T> {
    fn iterate(&mut self, iterations: u64) {
        (**self).iterate(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        (**self).time(iterations)
    }
}

/// A case that could not be timed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// What happened and what would be right.
    pub message: String,
}

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// One slice, in nanoseconds. A slice of no time is a failure: it has no logarithm, and no work
/// takes none.
pub(super) fn slice(case: &mut dyn Timed, iterations: u64) -> Result<u64, Failure> {
    let ns = u64::try_from(case.time(iterations)?.as_nanos())
        .map_err(|_| Failure::new("a slice of more than 584 years"))?;
    if ns == 0 {
        return Err(Failure::new(format!(
            "{iterations} iterations took 0 ns; a slice must be long enough for the clock"
        )));
    }
    Ok(ns)
}
