//! What was checked, and what came out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bitgauge_engine::kernels::Kernel;
use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The answer was right.
    Pass,
    /// The answer was wrong.
    Fail,
    /// The check could not be made here; the note says why.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Stable name, from general to particular: `kernel/saturated`, `golden/A/tight-1+4/logit_abs`.
    pub id: String,
    /// The kernel that was judged; `None` where no ternary product is involved.
    pub kernel: Option<String>,
    /// Threads of the scheduler; `None` where no scheduler is involved.
    pub threads: Option<usize>,
    /// How it ended.
    pub status: Status,
    /// What was measured: a number of wrong values where `limit` is 0, else an error. `None` where
    /// there is no such number; a NaN is stored as `None` too and never passes.
    pub figure: Option<f64>,
    /// The largest figure that passes.
    pub limit: Option<f64>,
    /// The first wrong value, the reason for skipping, or what the figure is made of.
    pub note: String,
}

impl Check {
    /// Passes when `figure` is at most `limit`; a NaN fails.
    pub fn at_most(id: impl Into<String>, figure: f64, limit: f64) -> Self {
        Self {
            id: id.into(),
            kernel: None,
            threads: None,
            status: if figure <= limit {
                Status::Pass
            } else {
                Status::Fail
            },
            figure: Some(figure).filter(|f| f.is_finite()),
            limit: Some(limit),
            note: if figure.is_finite() {
                String::new()
            } else {
                format!("the figure is {figure}")
            },
        }
    }

    /// Passes when nothing was wrong. `compared` values were looked at; none at all fails, since a
    /// check that saw nothing proves nothing.
    pub fn none_wrong(id: impl Into<String>, wrong: usize, compared: usize) -> Self {
        let check = Self::at_most(id, wrong as f64, 0.0);
        if compared == 0 {
            return Self {
                status: Status::Fail,
                ..check.note("nothing was compared")
            };
        }
        check.note(format!("{compared} values compared"))
    }

    /// A check that could not come to a figure because something broke.
    pub fn broken(id: impl Into<String>, why: impl ToString) -> Self {
        Self {
            id: id.into(),
            kernel: None,
            threads: None,
            status: Status::Fail,
            figure: None,
            limit: None,
            note: why.to_string(),
        }
    }

    /// A check that can't be made here.
    pub fn skipped(id: impl Into<String>, why: impl ToString) -> Self {
        Self {
            status: Status::Skipped,
            ..Self::broken(id, why)
        }
    }

    /// Names the kernel.
    pub fn kernel(self, kernel: Kernel) -> Self {
        self.kernel_name(kernel.spec().name())
    }

    /// Names a kernel that there may be no proof for.
    pub fn kernel_name(mut self, name: &str) -> Self {
        self.kernel = Some(name.to_owned());
        self
    }

    /// Gives the number of threads.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Adds a note, unless it is empty.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        let note = note.into();
        if self.note.is_empty() {
            self.note = note;
        } else if !note.is_empty() {
            self.note = format!("{}; {note}", self.note);
        }
        self
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Right answers.
    pub passed: usize,
    /// Wrong answers.
    pub failed: usize,
    /// Checks that could not be made here.
    pub skipped: usize,
}

/// Takes checks in the order in which they are made, and tells somebody of each.
pub struct Book<'p> {
    checks: Vec<Check>,
    progress: &'p mut dyn FnMut(&Check),
}

impl<'p> Book<'p> {
    /// An empty book; `progress` is called with each check as it ends.
    pub fn new(progress: &'p mut dyn FnMut(&Check)) -> Self {
        Self {
            checks: Vec::new(),
            progress,
        }
    }

    /// Records a check.
    pub fn record(&mut self, check: Check) {
        (self.progress)(&check);
        self.checks.push(check);
    }

    /// What was recorded so far.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// All checks.
    pub fn into_checks(self) -> Vec<Check> {
        self.checks
    }
}

/// The checks that `judge` records, for callers that want no progress.
pub fn collect(judge: impl FnOnce(&mut Book<'_>)) -> Vec<Check> {
    let mut progress = |_: &Check| {};
    let mut book = Book::new(&mut progress);
    judge(&mut book);
    book.into_checks()
}

/// Counts `checks` by status.
pub fn totals(checks: &[Check]) -> Totals {
    let mut totals = Totals::default();
    for check in checks {
        match check.status {
            Status::Pass => totals.passed += 1,
            Status::Fail => totals.failed += 1,
            Status::Skipped => totals.skipped += 1,
        }
    }
    totals
}

/// Runs `body`; a panic in the code under test becomes a message, and so a failed check.
pub(super) fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        format!("panicked: {text}")
    })
}

/// Values that differ: how many, of how many, and the first in words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Differences {
    pub wrong: usize,
    pub compared: usize,
    pub first: String,
}

impl Differences {
    /// Compares two lists of equal meaning; `name(i)` says in words what value `i` is.
    pub fn add<T: PartialEq + std::fmt::Display>(
        &mut self,
        got: &[T],
        want: &[T],
        name: impl Fn(usize) -> String,
    ) {
        self.compared += want.len();
        if got.len() != want.len() {
            self.wrong += want.len().max(got.len());
            self.say(|| format!("{}: {} values, not {}", name(0), got.len(), want.len()));
            return;
        }
        let differ = |i: &usize| got[*i] != want[*i];
        if let Some(first) = (0..want.len()).find(differ) {
            self.wrong += (first..want.len()).filter(differ).count();
            let (got, want) = (&got[first], &want[first]);
            self.say(|| format!("{}: {got}, should be {want}", name(first)));
        }
    }

    /// One more thing looked at.
    pub fn expect(&mut self, right: bool, what: impl FnOnce() -> String) {
        self.compared += 1;
        if !right {
            self.wrong += 1;
            self.say(what);
        }
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.first.is_empty() {
            self.first = what();
        }
    }

    /// The check that says so.
    pub fn check(self, id: impl Into<String>) -> Check {
        let check = Check::none_wrong(id, self.wrong, self.compared);
        if self.first.is_empty() {
            check
        } else {
            check.note(format!("first: {}", self.first))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_a_breakage_and_an_empty_comparison_never_pass() {
        assert_eq!(Check::at_most("x", f64::NAN, 1.0).status, Status::Fail);
        assert_eq!(Check::at_most("x", f64::NAN, 1.0).figure, None);
        assert_eq!(Check::none_wrong("x", 0, 0).status, Status::Fail);
        assert_eq!(Check::broken("x", "y").status, Status::Fail);
        assert_eq!(Differences::default().check("x").status, Status::Fail);
        assert_eq!(Check::at_most("x", 1.0, 1.0).status, Status::Pass);
    }

    #[test]
    fn differences_are_counted_and_the_first_is_named() {
        let mut d = Differences::default();
        d.add(&[1, 2, 3], &[1, 2, 3], |i| format!("a{i}"));
        d.add(&[1, 5, 6], &[1, 2, 3], |i| format!("b{i}"));
        d.add(&[1], &[1, 2], |_| "c".into());
        let check = d.check("x");
        assert_eq!(check.figure, Some(4.0));
        assert!(
            check.note.contains("first: b1: 5, should be 2"),
            "{}",
            check.note
        );
    }

    #[test]
    fn a_panic_is_a_message() {
        assert_eq!(
            guarded(|| -> u8 { panic!("ouch {}", 1) }),
            Err("panicked: ouch 1".into())
        );
    }
}
