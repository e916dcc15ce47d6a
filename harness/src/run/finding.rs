//! What a ladder says about the claim of a step, and where that was decided.
//!
//! A step is measured twice: in its place, on top of the steps before it, and in the full set, with
//! all others there. A step whose answers are wrong in its place has no time there, and yet its speed
//! may be decided in the full set, once what makes the answers wrong is gone.

use super::{Comparison, Figures, Ladder, Measured, Step, Verdict};

/// Where a step was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// On top of the steps before it.
    InPlace,
    /// With all other steps there: the full set with the step against the full set without it.
    FullSet,
}

/// A claimed limit of the relative error, and what was measured. Both are fractions.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBound {
    /// The error was claimed to be below this.
    pub below: f64,
    /// The error with the step.
    pub measured: Measured<f64>,
}

impl ErrorBound {
    /// Whether the error is below the limit, if it is known. An error that is not a number is not.
    pub fn holds(&self) -> Option<bool> {
        self.measured.get().map(|error| *error < self.below)
    }
}

/// What became of the claim of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It holds.
    Confirmed {
        /// The whole interval lies above the highest speedup that was claimed.
        exceeds: bool,
    },
    /// It is not as fast as claimed.
    Refuted {
        /// By how much.
        by: String,
    },
    /// It is not as exact as claimed: see [`StepFinding::error`].
    ErrorAboveLimit,
    /// It answers wrongly, and its speed was not decided in the full set either.
    WrongAnswers,
    /// It can't be decided here.
    NotMeasurable {
        /// Why.
        why: String,
    },
    /// Nothing was claimed.
    NoClaim,
}

/// A step, what was measured of it, and what decides its claim.
#[derive(Debug, Clone, PartialEq)]
pub struct StepFinding<'a> {
    /// The step; its comparison is the one in its place.
    pub step: &'a Step,
    /// The state that it was compared with, when that is not the one right before it.
    pub against: Option<&'a str>,
    /// What came out in the full set, if that was run.
    pub full_set: Option<&'a Comparison>,
    /// The claimed limit of the error, if there is one.
    pub error: Option<ErrorBound>,
    /// What became of the claim.
    pub decision: Decision,
    /// Which measurement decided it, if one did.
    pub decided_in: Option<Setting>,
}

impl Ladder {
    /// What became of the step at `rungs[at]`.
    ///
    /// The measurement in its place decides if it can, else the one in the full set. A claimed limit
    /// of the error comes before both: no speed makes up for an answer that is off by more.
    ///
    /// # Panics
    /// When there is no such rung.
    pub fn finding(&self, at: usize) -> StepFinding<'_> {
        let step = &self.rungs[at];
        let previous = at
            .checked_sub(1)
            .map_or("original", |before| self.rungs[before].id.as_str());
        let full_set = self
            .left_out
            .iter()
            .find(|i| i.step == step.id)
            .map(|i| &i.comparison);
        let error = step
            .claim
            .as_ref()
            .and_then(|c| c.error_below)
            .map(|below| ErrorBound {
                below,
                measured: error_of(&step.comparison, full_set),
            });
        let (decision, decided_in) = decide(step, full_set, error.as_ref());
        StepFinding {
            step,
            against: (step.compared_with != previous).then_some(step.compared_with.as_str()),
            full_set,
            error,
            decision,
            decided_in,
        }
    }

    /// What became of each step, in order.
    pub fn findings(&self) -> impl Iterator<Item = StepFinding<'_>> {
        (0..self.rungs.len()).map(|at| self.finding(at))
    }

    /// The state before any step, if it was timed against another.
    pub fn original(&self) -> Option<&Figures> {
        let rungs = self
            .rungs
            .iter()
            .filter(|s| s.compared_with == "original")
            .map(|s| &s.comparison);
        rungs
            .chain(self.alone.iter().map(|i| &i.comparison))
            .find_map(Comparison::before)
    }

    /// The state with every step: the last one's after.
    pub fn top(&self) -> Option<&Figures> {
        self.rungs.last().and_then(|s| s.comparison.after())
    }
}

fn error_of(in_place: &Comparison, full_set: Option<&Comparison>) -> Measured<f64> {
    let of = |c: &Comparison| match c {
        Comparison::Wrong { error } => Some(Measured::Is(error.relative_error)),
        other => other.after().map(|f| f.relative_error.clone()),
    };
    of(in_place)
        .or_else(|| full_set.and_then(of))
        .unwrap_or_else(|| Measured::unavailable("the step was not run"))
}

fn decide(
    step: &Step,
    full_set: Option<&Comparison>,
    error: Option<&ErrorBound>,
) -> (Decision, Option<Setting>) {
    let wrong = matches!(step.comparison, Comparison::Wrong { .. });
    let Some(claim) = &step.claim else {
        let decision = if wrong {
            Decision::WrongAnswers
        } else {
            Decision::NoClaim
        };
        return (decision, None);
    };
    if error.and_then(ErrorBound::holds) == Some(false) {
        return (Decision::ErrorAboveLimit, Some(Setting::InPlace));
    }
    let by_speed = |c: &Comparison| match c {
        Comparison::Timed {
            verdict: Verdict::Confirmed,
            speedup,
            ..
        } => Some(Decision::Confirmed {
            exceeds: speedup.low > claim.high,
        }),
        Comparison::Mended {
            verdict: Verdict::Confirmed,
            ..
        } => Some(Decision::Confirmed { exceeds: false }),
        Comparison::Timed {
            verdict: Verdict::Refuted { by },
            ..
        }
        | Comparison::Mended {
            verdict: Verdict::Refuted { by },
            ..
        } => Some(Decision::Refuted { by: by.clone() }),
        _ => None,
    };
    let settings = [
        (Some(&step.comparison), Setting::InPlace),
        (full_set, Setting::FullSet),
    ];
    let decided = settings
        .into_iter()
        .find_map(|(c, setting)| Some((by_speed(c?)?, setting)));
    match (decided, error.map(|e| &e.measured)) {
        (Some((Decision::Confirmed { .. }, _)), Some(Measured::Unavailable(why))) => {
            let why = format!("it is as fast as claimed, but its error is unavailable: {why}");
            (Decision::NotMeasurable { why }, None)
        }
        (Some((decision, setting)), _) => (decision, Some(setting)),
        (None, _) if wrong => (Decision::WrongAnswers, None),
        (None, _) => {
            let why = reason(&step.comparison)
                .or_else(|| full_set.and_then(reason))
                .unwrap_or_else(|| "no verdict was recorded".into());
            (Decision::NotMeasurable { why }, None)
        }
    }
}

/// Why a comparison decides nothing.
fn reason(c: &Comparison) -> Option<String> {
    match c {
        Comparison::Timed {
            verdict: Verdict::NotMeasurable { why },
            ..
        }
        | Comparison::Mended {
            verdict: Verdict::NotMeasurable { why },
            ..
        } => Some(why.clone()),
        Comparison::NotRun { why } => Some(format!("not run: {why}")),
        Comparison::NoEffect => Some("it has no effect: same kernel and scheduler".into()),
        _ => None,
    }
}
