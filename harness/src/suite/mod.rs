//! The engine's own cases by name: what `worker`, `compare`, `gate`, `calibrate`, `baseline` and
//! `selftest` run.
//!
//! The way of a case: a [`CaseId`] is parsed; a [`Blueprint`] makes its operands and packs its
//! matrix once; the oracle judges it once; every [`Placement`] then gets a copy of all bytes that
//! the case reads, at other addresses. Two sides never share a page: the one would warm the
//! caches for the other. A placement runs once before it is [`Verified`],
//! and its results must be the judged ones, bit for bit.
//!
//! Operands depend on the case alone, so two builds that do the same work give the same
//! [`Digest`], which is how two workers are known to have done equal work.

mod blueprint;
mod greedy;
mod id;
mod known;
mod listed;
mod model;
mod operands;
mod operation;
mod packing;
mod placed;
mod placement;
mod product;
mod rotation;
mod sampling;
mod seats;
mod server;
mod slowed;
#[cfg(test)]
mod tests;

use bitgauge_engine::Error;
use bitgauge_engine::kernels::KernelError;
use bitgauge_engine::threads::PoolError;

use crate::exit::Exit;
use crate::measure::verified::Reason;
use crate::measure::{Answer, Digest, Timed, Tolerance, Verified};
use crate::oracle::OracleError;

pub use blueprint::{Blueprint, case_with_extra};
pub use id::{
    CUT, CaseId, IdError, KernelName, MODELS, Operation, PREFILL, Phase, SHAPES, Shape, Work,
};
pub use listed::default_suite;
pub use placement::Placement;
pub use rotation::Rotation;
pub use server::{Options, Suite};
pub use slowed::Slowed;

/// A case in its place, ready to be timed.
pub trait SuiteCase: Timed {
    /// Its name.
    fn id(&self) -> &CaseId;

    /// Threads that it runs on.
    fn threads(&self) -> usize;

    /// Fingerprint of its last result. Before the first iteration it is that of no result.
    fn digest(&self) -> Digest;
}

/// The work of a case on memory of its own. Its results begin as what no right case gives.
trait Body {
    /// Does the work `iterations` times.
    fn run(&mut self, iterations: u64) -> Result<(), Error>;

    /// The last result.
    fn answer(&self) -> Answer;

    /// Fingerprint of the last result.
    fn digest(&self) -> Digest;
}

/// A case that could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SuiteError {
    /// A name of no case.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The machine can't run its kernel.
    #[error("{id}: {source}")]
    Kernel {
        /// The case.
        id: CaseId,
        /// What is missing.
        source: KernelError,
    },
    /// The case could not be made or run.
    #[error("{id}: {message}")]
    Failed {
        /// The case.
        id: CaseId,
        /// What happened.
        message: String,
    },
    /// Its answers are not the oracle's.
    #[error("{id}: wrong answers: {what}: {reason}")]
    Wrong {
        /// The case.
        id: CaseId,
        /// Which of its answers.
        what: String,
        /// How wrong.
        reason: Box<Reason>,
    },
    /// Extra work that can't be planted.
    #[error("{id}: no extra work of {share} can be planted: {reason}")]
    Extra {
        /// The case.
        id: CaseId,
        /// The share asked for.
        share: f64,
        /// Why not, and what would be right.
        reason: String,
    },
}

impl SuiteError {
    /// How a command ends that meets it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Wrong { .. } => Exit::WrongAnswers,
            _ => Exit::CouldNotRun,
        }
    }
}

/// What a case is refused for, before it has a name.
#[derive(Debug)]
enum Refusal {
    Failed(String),
    Wrong { what: String, reason: Box<Reason> },
}

impl Refusal {
    fn of(self, id: &CaseId) -> SuiteError {
        let id = id.clone();
        match self {
            Self::Failed(message) => SuiteError::Failed { id, message },
            Self::Wrong { what, reason } => SuiteError::Wrong { id, what, reason },
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<PoolError> for Refusal {
    fn from(error: PoolError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<OracleError> for Refusal {
    fn from(error: OracleError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Holds an answer against the oracle's.
fn hold(
    what: impl Into<String>,
    got: &Answer,
    want: &Answer,
    tolerance: Tolerance,
) -> Result<(), Refusal> {
    match Verified::check((), got, want, tolerance) {
        Ok(_) => Ok(()),
        Err(wrong) => Err(Refusal::Wrong {
            what: what.into(),
            reason: Box::new(wrong.reason().clone()),
        }),
    }
}
