//! What is made once for a case, and the placements that are copied from it.

use std::cell::OnceCell;
use std::sync::Arc;

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::threads::{Pool, Scheduler};

use super::id::{CaseId, Work};
use super::known::{LcgPlan, WalkPlan};
use super::model::DecoderPlan;
use super::operation;
use super::placed::Placed;
use super::placement::Placement;
use super::product::ProductPlan;
use super::seats;
use super::slowed::Slowed;
use super::{Body, Refusal, SuiteCase, SuiteError, hold};
use crate::measure::{Answer, Digest, Tolerance, Verified};

/// Copies of a small case in one placement, and the bytes that they take at most together.
const COPIES: usize = 8;
const SPREAD: usize = 1 << 20;

/// The once-only part of a kind of case.
pub(super) trait Plan {
    /// The case on memory of its own.
    fn place(
        &self,
        placement: &mut Placement,
        scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal>;

    /// Bytes that a case touches, about.
    fn bytes(&self) -> usize;

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
            Work::Product { tokens, shape, .. } => {
                ProductPlan::new(shape, usize::from(*tokens), kernel).map(|p| Box::new(p) as _)
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
        let mut answers = self.at(&mut Placement::fresh())?.answers()?;
        let (answer, digest) = answers.swap_remove(0);
        self.plan.judge(&answer)?;
        Ok(Judged { answer, digest })
    }

    fn at(&self, placement: &mut Placement) -> Result<Placed, Refusal> {
        let (pool, seat) = seats::pool(self.id.threads())?;
        let scheduler: Arc<dyn Scheduler> = match self.repeated {
            None => Arc::new(pool),
            Some(share) => Arc::new(Slowed::new(pool, share)),
        };
        let copies = (SPREAD / self.plan.bytes().max(1)).clamp(1, COPIES);
        let bodies = (0..copies)
            .map(|_| self.plan.place(placement, scheduler.clone()))
            .collect::<Result<_, _>>()?;
        Ok(Placed::new(
            self.id.clone(),
            bodies,
            seat,
            placement.take_padding(),
        ))
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
        let answers = placed.answers().map_err(|refusal| refusal.of(&self.id))?;
        let what = "a placement against the judged one";
        for (answer, digest) in &answers {
            // Equal numbers may still differ in the sign of a zero.
            let [got, want] = [*digest, judged.digest].map(Digest::as_answer);
            hold(what, answer, &judged.answer, Tolerance::Exact)
                .and_then(|()| hold(what, &got, &want, Tolerance::Exact))
                .map_err(|refusal| refusal.of(&self.id))?;
        }
        let case: Box<dyn SuiteCase> = Box::new(placed);
        Verified::check(case, &answers[0].0, &judged.answer, Tolerance::Exact).map_err(|wrong| {
            let (what, reason) = (what.to_owned(), Box::new(wrong.reason().clone()));
            Refusal::Wrong { what, reason }.of(&self.id)
        })
    }
}
