//! What can go wrong with a worker, always with its name.

use crate::exit::Exit;
use std::fmt;
use std::time::Duration;

/// A worker that could not be believed or could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerError {
    /// Its command line.
    pub worker: String,
    /// The case that it was asked for; `None` where it had not been asked for one.
    pub case: Option<String>,
    /// What happened.
    pub fault: Fault,
    /// The last that it wrote to stderr.
    pub stderr: Box<str>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It never ran.
    NotStarted(String),
    /// It ended without having been asked to.
    Died {
        /// Exit status or signal.
        status: String,
    },
    /// It goes on running, but can't be spoken with any more.
    Closed {
        /// `stdin` or `stdout`.
        stream: &'static str,
    },
    /// It did not answer in time, and was killed.
    Hung {
        /// The time that it had.
        timeout: Duration,
    },
    /// It wrote something that is no answer.
    Garbage {
        /// What is wrong with it.
        reason: String,
        /// The line, shortened.
        line: String,
    },
    /// The time that it reports can't be the time of the work.
    Lied(String),
    /// Its answer changed from one run to the next.
    Unsteady {
        /// Digest of the first run.
        first: String,
        /// Digest of a later one.
        later: String,
    },
    /// It and the other worker answer differently for equal work.
    Disagrees {
        /// Iterations of the run.
        iterations: u64,
        /// Its digest.
        mine: String,
        /// The other's.
        theirs: String,
    },
    /// It says that it can't run the case.
    Refused {
        /// Its reason.
        message: String,
        /// It says that the case's results are wrong.
        wrong_answers: bool,
    },
    /// It has no such case.
    NoSuchCase,
}

impl WorkerError {
    /// The exit status that the contract asks for.
    pub fn exit(&self) -> Exit {
        match self.fault {
            Fault::Unsteady { .. }
            | Fault::Disagrees { .. }
            | Fault::Refused {
                wrong_answers: true,
                ..
            } => Exit::WrongAnswers,
            _ => Exit::CouldNotRun,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(reason) => write!(f, "could not be started: {reason}"),
            Self::Died { status } => write!(f, "died without an answer ({status})"),
            Self::Closed { stream } => write!(f, "closed its {stream} and goes on running"),
            Self::Hung { timeout } => {
                write!(f, "hung: no answer within {timeout:?}, so it was killed")
            }
            Self::Garbage { reason, line } => write!(f, "wrote garbage: {reason}: {line}"),
            Self::Lied(reason) => write!(f, "lies about time: {reason}"),
            Self::Unsteady { first, later } => write!(
                f,
                "answers differently from run to run: check {first}, later {later}"
            ),
            Self::Disagrees {
                iterations,
                mine,
                theirs,
            } => write!(
                f,
                "answers {mine} for {iterations} iterations, the other worker {theirs}: they must agree, since only equal work can be compared"
            ),
            Self::Refused {
                message,
                wrong_answers: false,
            } => write!(f, "can't run it: {message}"),
            Self::Refused { message, .. } => {
                write!(f, "says that its answers are wrong: {message}")
            }
            Self::NoSuchCase => f.write_str("has no such case"),
        }
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker `{}`", self.worker)?;
        if let Some(case) = &self.case {
            write!(f, ", case `{case}`")?;
        }
        write!(f, ": {}", self.fault)?;
        if !self.stderr.is_empty() {
            write!(f, "; its stderr ends: {}", self.stderr)?;
        }
        Ok(())
    }
}

impl std::error::Error for WorkerError {}
