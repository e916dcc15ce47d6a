//! The proof that a case's answers were compared with what they should be: the oracle's, or, where
//! that can't be asked, the other side's.
//!
//! Only a [`Verified`] case can be timed: [`super::Entrant`] takes nothing else, and outside of this
//! crate [`Verified::check`] is the only function that makes one. A case that fails is a [`Wrong`]: it
//! has error figures and no way to a time.
//!
//! ```compile_fail,E0451
//! use bitgauge::measure::Verified;
//! let unchecked = Verified { case: (), errors: panic!() };
//! ```

use serde::{Deserialize, Serialize};
use std::fmt;

/// Numbers that a case computed, or that the oracle says it should have.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Integer results; compared exactly, whatever the tolerance.
    Integers(Vec<i32>),
    /// Real results, widened to `f64`.
    Floats(Vec<f64>),
}

impl Answer {
    /// Real results in single precision.
    pub fn from_f32(values: &[f32]) -> Self {
        Self::Floats(values.iter().copied().map(f64::from).collect())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Integers(_) => "integers",
            Self::Floats(_) => "floats",
        }
    }

    fn values(&self) -> Vec<f64> {
        match self {
            Self::Integers(v) => v.iter().copied().map(f64::from).collect(),
            Self::Floats(v) => v.clone(),
        }
    }
}

/// How far a real answer may be from the oracle's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// Not at all.
    Exact,
    /// `max |got - want|` at most this.
    Absolute(f64),
    /// `||got - want|| / ||want||`, Euclidean, at most this.
    RelativeL2(f64),
}

/// How far the answers were apart. `None` where there is no such figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Numbers compared.
    pub compared: usize,
    /// Numbers that differ at all.
    pub differing: usize,
    /// `max |got - want|`.
    pub max_abs: Option<f64>,
    /// `||got - want|| / ||want||`; `None` too where the oracle's answer is all zeros and the
    /// case's is not.
    pub relative_l2: Option<f64>,
}

/// Why a case was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Too far from the oracle.
    #[error("{differing} of {compared} numbers differ; max abs error {}, relative L2 error {}; allowed: {allowed:?}", figure(*max_abs), figure(*relative_l2))]
    TooFar {
        /// Numbers that differ.
        differing: usize,
        /// Numbers compared.
        compared: usize,
        /// `max |got - want|`.
        max_abs: Option<f64>,
        /// `||got - want|| / ||want||`.
        relative_l2: Option<f64>,
        /// What was allowed.
        allowed: Tolerance,
    },
    /// A NaN or an infinity, in the answer or in the oracle's.
    #[error("number {index} is not finite (case {got}, oracle {want})")]
    NotFinite {
        /// Position of the first one.
        index: usize,
        /// The case's number, as text, since JSON has no NaN.
        got: String,
        /// The oracle's number.
        want: String,
    },
    /// There was nothing to compare.
    #[error("the oracle's answer is empty: nothing was checked")]
    Empty,
    /// The answers have different lengths.
    #[error("{got} numbers, the oracle has {want}")]
    Length {
        /// The case's length.
        got: usize,
        /// The oracle's length.
        want: usize,
    },
    /// Integers compared with floats.
    #[error("the case answers in {got}, the oracle in {want}")]
    Kind {
        /// The case's kind.
        got: String,
        /// The oracle's kind.
        want: String,
    },
    /// A tolerance that everything or nothing would pass.
    #[error("tolerance {0} must be finite and at least 0")]
    Tolerance(String),
}

fn figure(value: Option<f64>) -> String {
    value.map_or("unavailable".to_owned(), |v| format!("{v:.3e}"))
}

/// A case whose answers were found to be what they should be.
pub struct Verified<C> {
    case: C,
    errors: Errors,
}

/// A case whose answers were not the oracle's. It can be looked at and never run for time.
pub struct Wrong<C> {
    case: C,
    reason: Reason,
    errors: Option<Errors>,
}

impl<C> Verified<C> {
    /// Compares what `case` answered with what the oracle says. Empty answers, answers of
    /// different length or kind, and answers with a NaN or an infinity never pass.
    ///
    /// # Errors
    /// [`Wrong`], with the reason and, where the answers could be compared, the error figures.
    pub fn check(
        case: C,
        got: &Answer,
        want: &Answer,
        tolerance: Tolerance,
    ) -> Result<Self, Wrong<C>> {
        match compare(got, want, tolerance) {
            Ok(errors) => Ok(Self { case, errors }),
            Err((reason, errors)) => Err(Wrong {
                case,
                reason,
                errors,
            }),
        }
    }

    /// A case that has no answer, such as a command line whose output nobody asked to compare: what
    /// is said of its time must say that too.
    pub(crate) fn without_answer(case: C) -> Self {
        let errors = Errors {
            compared: 0,
            differing: 0,
            max_abs: None,
            relative_l2: None,
        };
        Self { case, errors }
    }

    /// The case.
    pub fn case(&self) -> &C {
        &self.case
    }

    /// How far its answers were from the oracle's, within the tolerance.
    pub fn errors(&self) -> &Errors {
        &self.errors
    }

    /// The case to be timed; a caller outside of measuring could change what was verified.
    pub(super) fn case_mut(&mut self) -> &mut C {
        &mut self.case
    }
}

impl<C> Wrong<C> {
    /// The case, to be named in a report.
    pub fn case(&self) -> &C {
        &self.case
    }

    /// Why it was refused.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The error figures; `None` where the answers could not be compared.
    pub fn errors(&self) -> Option<&Errors> {
        self.errors.as_ref()
    }
}

impl<C> fmt::Display for Wrong<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrong answers: {}", self.reason)
    }
}

impl<C> std::error::Error for Wrong<C> {}

// Written out, so that cases need not be `Debug`.
impl<C> fmt::Debug for Wrong<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wrong").field(&self.reason).finish()
    }
}

impl<C> fmt::Debug for Verified<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.errors).finish()
    }
}

fn compare(
    got: &Answer,
    want: &Answer,
    tolerance: Tolerance,
) -> Result<Errors, (Reason, Option<Errors>)> {
    let refuse = |reason| Err((reason, None));
    if let Tolerance::Absolute(limit) | Tolerance::RelativeL2(limit) = tolerance
        && !(limit.is_finite() && limit >= 0.0)
    {
        return refuse(Reason::Tolerance(limit.to_string()));
    }
    if got.kind() != want.kind() {
        return refuse(Reason::Kind {
            got: got.kind().to_owned(),
            want: want.kind().to_owned(),
        });
    }
    let (g, w) = (got.values(), want.values());
    if w.is_empty() {
        return refuse(Reason::Empty);
    }
    if g.len() != w.len() {
        return refuse(Reason::Length {
            got: g.len(),
            want: w.len(),
        });
    }
    let not_finite = |(a, b): (&f64, &f64)| !(a.is_finite() && b.is_finite());
    if let Some(index) = g.iter().zip(&w).position(not_finite) {
        return refuse(Reason::NotFinite {
            index,
            got: g[index].to_string(),
            want: w[index].to_string(),
        });
    }
    let errors = errors(&g, &w);
    let within = |error: Option<f64>, limit: f64| error.is_some_and(|e| e <= limit);
    let passes = match (got, tolerance) {
        (Answer::Integers(_), _) | (_, Tolerance::Exact) => errors.differing == 0,
        (_, Tolerance::Absolute(limit)) => within(errors.max_abs, limit),
        (_, Tolerance::RelativeL2(limit)) => within(errors.relative_l2, limit),
    };
    if passes {
        return Ok(errors);
    }
    let allowed = match got {
        Answer::Integers(_) => Tolerance::Exact,
        Answer::Floats(_) => tolerance,
    };
    Err((
        Reason::TooFar {
            differing: errors.differing,
            compared: errors.compared,
            max_abs: errors.max_abs,
            relative_l2: errors.relative_l2,
            allowed,
        },
        Some(errors),
    ))
}

fn errors(got: &[f64], want: &[f64]) -> Errors {
    let pairs = || got.iter().zip(want);
    let max_abs = pairs().map(|(g, w)| (g - w).abs()).fold(0.0, f64::max);
    // Scaled by the largest number, so that squares neither overflow nor vanish.
    let scale = pairs()
        .map(|(g, w)| g.abs().max(w.abs()))
        .fold(0.0, f64::max);
    let sum = |square: &dyn Fn(f64, f64) -> f64| pairs().map(|(g, w)| square(*g, *w)).sum::<f64>();
    let apart = sum(&|g, w| (g / scale - w / scale).powi(2)).sqrt();
    let size = sum(&|_, w| (w / scale).powi(2)).sqrt();
    let relative_l2 = if max_abs == 0.0 {
        Some(0.0)
    } else {
        Some(apart / size)
    };
    Errors {
        compared: want.len(),
        differing: pairs().filter(|(g, w)| g != w).count(),
        max_abs: Some(max_abs).filter(|e| e.is_finite()),
        relative_l2: relative_l2.filter(|e| e.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Tolerance::{Absolute, Exact, RelativeL2};

    fn floats(values: &[f64]) -> Answer {
        Answer::Floats(values.to_vec())
    }

    fn check(got: &Answer, want: &Answer, tolerance: Tolerance) -> Result<Errors, Reason> {
        Verified::check((), got, want, tolerance)
            .map(|v| *v.errors())
            .map_err(|w| w.reason().clone())
    }

    #[test]
    fn equal_integers_pass_and_one_wrong_one_does_not_whatever_the_tolerance() {
        let want = Answer::Integers(vec![1, -2, i32::MIN]);
        assert!(check(&want.clone(), &want, Exact).is_ok());
        let off = Answer::Integers(vec![1, -1, i32::MIN]);
        for tolerance in [Exact, Absolute(10.0), RelativeL2(1.0)] {
            assert!(matches!(
                check(&off, &want, tolerance),
                Err(Reason::TooFar {
                    differing: 1,
                    compared: 3,
                    max_abs: Some(1.0),
                    allowed: Exact,
                    ..
                })
            ));
        }
        let far = Answer::Integers(vec![1, -2, i32::MAX]);
        let wrong = Verified::check((), &far, &want, Exact).unwrap_err();
        assert_eq!(wrong.errors().unwrap().max_abs, Some(4_294_967_295.0));
    }

    #[test]
    fn floats_pass_up_to_the_limit_and_not_beyond() {
        let want = floats(&[3.0, 4.0]);
        let got = floats(&[3.0, 4.5]);
        assert!(check(&got, &want, Absolute(0.5)).is_ok());
        assert!(check(&got, &want, Absolute(0.49)).is_err());
        // 0.5 / 5 = 0.1, up to the rounding of the norm.
        assert!(check(&got, &want, RelativeL2(0.100_000_1)).is_ok());
        assert!(check(&got, &want, RelativeL2(0.099_999_9)).is_err());
        assert!(check(&got, &want, Exact).is_err());
        assert!(check(&want.clone(), &want, Exact).is_ok());
    }

    #[test]
    fn what_is_not_finite_never_passes() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for (got, want) in [(bad, 1.0), (1.0, bad), (bad, bad)] {
                for tolerance in [Exact, Absolute(1e300), RelativeL2(1e300)] {
                    let verdict = check(&floats(&[0.0, got]), &floats(&[0.0, want]), tolerance);
                    assert!(matches!(verdict, Err(Reason::NotFinite { index: 1, .. })));
                }
            }
        }
    }

    #[test]
    fn nothing_to_compare_never_passes() {
        assert_eq!(check(&floats(&[]), &floats(&[]), Exact), Err(Reason::Empty));
        assert_eq!(
            check(&Answer::Integers(vec![]), &Answer::Integers(vec![]), Exact),
            Err(Reason::Empty)
        );
    }

    #[test]
    fn answers_of_other_length_or_kind_never_pass() {
        let verdict = check(&floats(&[1.0]), &floats(&[1.0, 2.0]), Absolute(9.0));
        assert_eq!(verdict, Err(Reason::Length { got: 1, want: 2 }));
        let verdict = check(&Answer::Integers(vec![1]), &floats(&[1.0]), Absolute(9.0));
        assert!(matches!(verdict, Err(Reason::Kind { .. })));
    }

    #[test]
    fn a_tolerance_that_everything_would_pass_is_refused() {
        for limit in [f64::INFINITY, f64::NAN, -1.0] {
            let verdict = check(&floats(&[1.0]), &floats(&[1.0]), Absolute(limit));
            assert!(matches!(verdict, Err(Reason::Tolerance(_))));
        }
    }

    #[test]
    fn a_relative_error_against_zeros_is_unavailable_and_does_not_pass() {
        let wrong =
            Verified::check((), &floats(&[1e-30]), &floats(&[0.0]), RelativeL2(1.0)).unwrap_err();
        assert_eq!(wrong.errors().unwrap().relative_l2, None);
        assert!(wrong.to_string().contains("relative L2 error unavailable"));
        assert!(check(&floats(&[0.0]), &floats(&[0.0]), RelativeL2(0.0)).is_ok());
    }

    #[test]
    fn errors_of_huge_numbers_do_not_overflow() {
        let verdict = check(&floats(&[1e200]), &floats(&[2e200]), RelativeL2(0.4));
        let Err(Reason::TooFar {
            relative_l2: Some(e),
            ..
        }) = verdict
        else {
            panic!("{verdict:?}");
        };
        assert!((e - 0.5).abs() < 1e-12);
    }
}
