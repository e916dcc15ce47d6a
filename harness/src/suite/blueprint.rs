//! What is made once for a case, and the placements that are copied from it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitgauge_engine::Error;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::threads::{Pool, Scheduler};

use super::id::{CaseId, Work};
use super::known::{LcgPlan, WalkPlan};
use super::model::DecoderPlan;
use super::operation;
use super::placement::{Padding, Placement};
use super::product::ProductPlan;
use super::slowed::Slowed;
use super::{Body, Refusal, SuiteCase, SuiteError};
use crate::measure::verified::Reason;
use crate::measure::{Answer, Digest, Failure, Timed, Tolerance, Verified};

/// The once-only part of a kind of case.
pub(super) trait Plan {
    /// The case on memory of its own.
    fn place(
        &self,
        placement: &mut Placement,
        scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal>;

    /// Compares what a placement answered with what the oracle says.
    fn judge(&self, got: &Answer) -> Result<(), Refusal>;

    /// Who does extra work here, to the share of the case's own that is asked for.
    fn extra(&mut self, _share: f64) -> Extra {
        Extra::Scheduler
    }
}

/// Who does extra work.
pub(super) enum Extra {
    /// The scheduler repeats items.
    Scheduler,
    /// The plan does it itself, to exactly this share.
    Own(f64),
    /// Nobody can, for this reason.
    Nobody(&'static str),
}

/// A case's operands, packed; all placements are copies of it.
///
/// Making one costs what its operands and its packing cost; a model of many layers takes seconds.
pub struct Blueprint {
    id: CaseId,
    plan: Box<dyn Plan>,
    /// Share of the items that the scheduler repeats.
    repeated: Option<f64>,
    planted: Option<f64>,
    judged: OnceCell<Result<Judged, SuiteError>>,
}

/// What a right case answers.
#[derive(Debug, Clone)]
struct Judged {
    answer: Answer,
    digest: Digest,
}

/// The blueprint of `id` with `share` of its work done again in each iteration.
///
/// # Errors
/// As [`Blueprint::new`] and [`Blueprint::with_extra`].
pub fn case_with_extra(id: &CaseId, share: f64) -> Result<Blueprint, SuiteError> {
    Blueprint::new(id)?.with_extra(share)
}

impl Blueprint {
    /// Makes the operands of `id`.
    ///
    /// # Errors
    /// When the machine can't run its kernel.
    pub fn new(id: &CaseId) -> Result<Self, SuiteError> {
        let kernel = match id.kernel() {
            None => Kernel::best(),
            Some(name) => name.resolve().map_err(|source| SuiteError::Kernel {
                id: id.clone(),
                source,
            })?,
        };
        Self::with_kernel(id, kernel)
    }

    /// The case of `id` on another kernel than the one that it names, such as a wrong one that is
    /// to be seen refused.
    ///
    /// # Errors
    /// When the operands can't be made.
    pub fn with_kernel(id: &CaseId, kernel: Kernel) -> Result<Self, SuiteError> {
        let plan: Result<Box<dyn Plan>, Refusal> = match id.work() {
            Work::Product { phase, shape, .. } => {
                ProductPlan::new(shape, *phase, kernel).map(|p| Box::new(p) as _)
            }
            Work::Operation { operation, size } => operation::plan(*operation, *size),
            Work::Decoder { phase, model, .. } => {
                DecoderPlan::new(model, *phase, kernel).map(|p| Box::new(p) as _)
            }
            Work::Lcg { steps } => Ok(Box::new(LcgPlan::new(*steps))),
            Work::Walk { mebibytes } => Ok(Box::new(WalkPlan::new(*mebibytes))),
        };
        Ok(Self {
            id: id.clone(),
            plan: plan.map_err(|refusal| refusal.of(id))?,
            repeated: None,
            planted: None,
            judged: OnceCell::new(),
        })
    }

    /// Plants extra work: each iteration does about `share` of its work again, to the nearest
    /// unit (a tile of rows, a step, a line of memory). Answers stay the same. What was planted
    /// exactly, [`Blueprint::planted`] says.
    ///
    /// The share is one of the work that is spread over threads: a product's preparation and what
    /// a decoder does between its products are not repeated.
    ///
    /// # Errors
    /// When the share is not above 0 and at most 1, is less than one unit of this case, or the
    /// case has no work that could be repeated.
    pub fn with_extra(mut self, share: f64) -> Result<Self, SuiteError> {
        let refuse = |id: &CaseId, reason: &str| SuiteError::Extra {
            id: id.clone(),
            share,
            reason: reason.to_owned(),
        };
        if !(share > 0.0 && share <= 1.0) {
            return Err(refuse(&self.id, "a share is above 0 and at most 1"));
        }
        let planted = match self.plan.extra(share) {
            Extra::Own(planted) => planted,
            Extra::Nobody(reason) => return Err(refuse(&self.id, reason)),
            Extra::Scheduler => {
                self.repeated = Some(share);
                self.count_repeated().map_err(|r| r.of(&self.id))?
            }
        };
        if planted == 0.0 {
            return Err(refuse(&self.id, "it is less than half of one unit of work"));
        }
        self.planted = Some(planted);
        Ok(self)
    }

    /// Runs the case once, to see what its scheduler repeats.
    fn count_repeated(&self) -> Result<f64, Refusal> {
        let pool = Pool::new(self.id.threads())?;
        let slowed = Arc::new(Slowed::new(pool, self.repeated.unwrap_or(0.0)));
        let mut body = self.plan.place(&mut Placement::fresh(), slowed.clone())?;
        body.run(1)?;
        Ok(slowed.planted().unwrap_or(0.0))
    }

    /// The case's name.
    pub fn id(&self) -> &CaseId {
        &self.id
    }

    /// The extra work that was planted, as a share of the case's own; `None` where none was.
    pub fn planted(&self) -> Option<f64> {
        self.planted
    }

    /// Compares the case's answers with the oracle's, once; further calls repeat the verdict.
    ///
    /// # Errors
    /// [`SuiteError::Wrong`] says how wrong they are.
    pub fn judge(&self) -> Result<Digest, SuiteError> {
        self.judged().map(|judged| judged.digest)
    }

    fn judged(&self) -> Result<&Judged, SuiteError> {
        let judge = || self.ask_oracle().map_err(|refusal| refusal.of(&self.id));
        self.judged
            .get_or_init(judge)
            .as_ref()
            .map_err(Clone::clone)
    }

    fn ask_oracle(&self) -> Result<Judged, Refusal> {
        let mut placed = self.at(&mut Placement::fresh())?;
        placed.body.run(1)?;
        let answer = placed.body.answer();
        self.plan.judge(&answer)?;
        Ok(Judged {
            answer,
            digest: placed.body.digest(),
        })
    }

    fn at(&self, placement: &mut Placement) -> Result<Placed, Refusal> {
        let pool = Pool::new(self.id.threads())?;
        let scheduler: Arc<dyn Scheduler> = match self.repeated {
            None => Arc::new(pool),
            Some(share) => Arc::new(Slowed::new(pool, share)),
        };
        Ok(Placed {
            id: self.id.clone(),
            body: self.plan.place(placement, scheduler)?,
            _padding: placement.take_padding(),
        })
    }

    /// A copy of the case in memory of its own. It was not verified: only
    /// [`Blueprint::verified`] makes what can be entered into a comparison.
    pub(crate) fn place(&self, placement: &mut Placement) -> Result<Placed, SuiteError> {
        self.at(placement).map_err(|refusal| refusal.of(&self.id))
    }

    /// A placement that ran once and answered as the judged case did, bit for bit. The first call
    /// judges.
    ///
    /// # Errors
    /// [`SuiteError::Wrong`] when the oracle refuses the case, or the placement answers otherwise.
    pub fn verified(
        &self,
        placement: &mut Placement,
    ) -> Result<Verified<Box<dyn SuiteCase>>, SuiteError> {
        let judged = self.judged()?;
        let mut placed = self.place(placement)?;
        placed
            .body
            .run(1)
            .map_err(|error| Refusal::from(error).of(&self.id))?;
        let (got, digest) = (placed.body.answer(), placed.digest());
        let wrong = |what: &str, reason: &Reason| {
            let (what, reason) = (what.to_owned(), Box::new(reason.clone()));
            Refusal::Wrong { what, reason }.of(&self.id)
        };
        let what = "a placement against the judged one";
        let case: Box<dyn SuiteCase> = Box::new(placed);
        let verified = Verified::check(case, &got, &judged.answer, Tolerance::Exact)
            .map_err(|refused| wrong(what, refused.reason()))?;
        // Equal numbers may still differ in the sign of a zero.
        let digests = [digest, judged.digest].map(|d| Answer::Integers(d.halves().to_vec()));
        Verified::check((), &digests[0], &digests[1], Tolerance::Exact)
            .map_err(|refused| wrong("the digest of a placement", refused.reason()))?;
        Ok(verified)
    }
}

/// A case in its place.
pub(crate) struct Placed {
    id: CaseId,
    body: Box<dyn Body>,
    _padding: Padding,
}

impl Timed for Placed {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _: Result<(), Error> = self.body.run(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        let start = Instant::now();
        let result = self.body.run(iterations);
        let time = start.elapsed();
        match result {
            Ok(()) => Ok(time),
            Err(error) => Err(Failure::new(format!("{}: {error}", self.id))),
        }
    }
}

impl SuiteCase for Placed {
    fn id(&self) -> &CaseId {
        &self.id
    }

    fn threads(&self) -> usize {
        self.id.threads()
    }

    fn digest(&self) -> Digest {
        self.body.digest()
    }
}
