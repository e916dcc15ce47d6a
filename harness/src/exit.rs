//! How a command ends: the exit status is a contract that CI jobs rely on.

use std::fmt;

/// Exit status of `bitgauge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All held.
    Held = 0,
    /// A regression, or a failed claim of the gate.
    Regressed = 1,
    /// It could not run: usage, bad input, no memory, a crashed or hung worker, or nothing to check.
    CouldNotRun = 2,
    /// Wrong answers.
    WrongAnswers = 3,
    /// Unclear within the budget.
    Unclear = 4,
    /// No usable baseline.
    NoBaseline = 5,
    /// Whoever read stdout went away, as in `bitgauge history FILE | head`: what a shell says of a
    /// command that SIGPIPE ended. Files were written all the same.
    NoReader = 141,
}

/// A command that could not do its work: what, where, and what would be right.
#[derive(Debug)]
pub struct Failure {
    /// The status to exit with.
    pub exit: Exit,
    /// The sentence for the user.
    pub message: String,
}

impl Failure {
    /// A command that could not run.
    pub fn could_not_run(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::CouldNotRun,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Every error of the layers below means that the command could not run; wrong answers and
/// regressions are results, not errors.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::could_not_run(error.to_string())
    }
}
