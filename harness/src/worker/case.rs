//! Workers' cases as cases that can be timed, once their results agree.

use super::client::Worker;
use super::error::{Fault, WorkerError};
use crate::exit::Exit;
use crate::measure::{self, Failure, Timed, Tolerance, Verified};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What was answered for each number of iterations, first by whom.
type Ledger = Rc<RefCell<BTreeMap<u64, Said>>>;

/// A case of a worker.
#[derive(Debug)]
pub struct WorkerCase<'w> {
    worker: &'w mut Worker,
    side: &'static str,
    case: String,
    check: String,
    /// Shared by both sides; `None` where results may differ.
    ledger: Option<Ledger>,
    fault: Option<WorkerError>,
}

impl<'w> WorkerCase<'w> {
    /// Runs one iteration, for the digest.
    fn new(
        worker: &'w mut Worker,
        side: &'static str,
        case: &str,
        ledger: Option<Ledger>,
    ) -> Result<Self, WorkerError> {
        let check = worker.run(case, 1)?.check;
        Ok(Self {
            worker,
            side,
            case: case.to_owned(),
            check,
            ledger,
            fault: None,
        })
    }

    /// Digest of its first result.
    pub fn check(&self) -> &str {
        &self.check
    }

    /// Why it can't be timed any more; a [`Failure`] holds only the text.
    pub fn fault(&self) -> Option<&WorkerError> {
        self.fault.as_ref()
    }

    /// One number for each digit.
    fn answer(&self) -> measure::Answer {
        let digits = self.check.chars().filter_map(|c| c.to_digit(16));
        measure::Answer::Integers(digits.map(|digit| digit as i32).collect())
    }

    fn run(&mut self, iterations: u64) -> Result<Duration, WorkerError> {
        let answer = self.worker.run(&self.case, iterations)?;
        let Some(ledger) = &self.ledger else {
            return Ok(Duration::from_nanos(answer.ns));
        };
        let mine = Said {
            worker: self.side.to_owned(),
            check: answer.check,
        };
        let first = ledger
            .borrow_mut()
            .entry(iterations)
            .or_insert_with(|| mine.clone())
            .clone();
        if first.check == mine.check {
            return Ok(Duration::from_nanos(answer.ns));
        }
        let fault = match first.worker == mine.worker {
            true => Fault::Unsteady {
                first: first.check,
                later: mine.check,
            },
            false => Fault::Disagrees {
                iterations,
                mine: mine.check,
                theirs: first.check,
            },
        };
        Err(self.worker.end(Some(&self.case), fault))
    }
}

impl Timed for WorkerCase<'_> {
    /// A failure is kept for the next [`Timed::time`].
    fn iterate(&mut self, iterations: u64) {
        let _ = self.time(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        let result = match self.fault.take() {
            Some(fault) => Err(fault),
            None => self.run(iterations),
        };
        result.map_err(|error| {
            let failure = Failure::new(error.to_string());
            self.fault = Some(error);
            failure
        })
    }
}

/// Two workers that can't be timed against each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// One of them failed.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Their results differ.
    #[error(
        "wrong answers: case `{case}`: worker `{}` answers {}, worker `{}` answers {}; they must \
         agree, since only equal work can be compared",
        before.worker, before.check, after.worker, after.check
    )]
    Disagree {
        /// The case.
        case: String,
        /// The one side.
        before: Said,
        /// The other side.
        after: Said,
    },
}

/// Who said what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The worker's command line.
    pub worker: String,
    /// The digest of its result.
    pub check: String,
}

impl PairError {
    /// The exit status that the contract asks for.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Worker(error) => error.exit(),
            Self::Disagree { .. } => Exit::WrongAnswers,
        }
    }
}

/// Two workers' cases that may be timed against each other.
pub type VerifiedPair<'w> = (Verified<WorkerCase<'w>>, Verified<WorkerCase<'w>>);

/// Runs one iteration of `case` on both sides and compares the digests; later runs of equally many
/// iterations must agree too. `after_first` is to be drawn at random: a worker makes its case when it
/// first runs it, and memory that is taken first is not the same. With `allow_different_output` the results may differ, between the sides and from run to run.
///
/// # Errors
/// [`PairError::Disagree`] where the digests differ, [`PairError::Worker`] where a side has no
/// such case or fails.
pub fn verified_pair<'w>(
    before: &'w mut Worker,
    after: &'w mut Worker,
    case: &str,
    after_first: bool,
    allow_different_output: bool,
) -> Result<VerifiedPair<'w>, PairError> {
    let ledger = (!allow_different_output).then(Ledger::default);
    let make = |worker, side| WorkerCase::new(worker, side, case, ledger.clone());
    let (before, after) = if after_first {
        let after = make(after, "after")?;
        (make(before, "before")?, after)
    } else {
        (make(before, "before")?, make(after, "after")?)
    };
    if allow_different_output {
        let [before, after] = [before, after].map(Verified::without_answer);
        return Ok((before, after));
    }
    let (b, a) = (before.answer(), after.answer());
    let said = |side: &WorkerCase<'_>| Said {
        worker: side.worker.name().to_owned(),
        check: side.check.clone(),
    };
    let disagree = PairError::Disagree {
        case: case.to_owned(),
        before: said(&before),
        after: said(&after),
    };
    let check = |side, got, want| Verified::check(side, got, want, Tolerance::Exact).ok();
    match (check(before, &b, &a), check(after, &a, &b)) {
        (Some(before), Some(after)) => Ok((before, after)),
        _ => Err(disagree),
    }
}
