//! Tables of answers: checks, and the defects that they must catch.

use super::super::finding::Mark;
use super::super::table::Kind::{Number, Text};
use super::super::table::{Cell, Table};
use super::super::wording::{fraction, or_why};
use crate::run::{CheckStatus, Checks, Defect, DefectOutcome};

/// The checks that `keep` wants.
pub fn checks(checks: &Checks, keep: impl Fn(CheckStatus) -> bool) -> Table {
    let mut t = Table::new(
        "checks",
        "Answers against the oracle and golden files; a figure above its limit fails",
        &[
            ("id", "Check", Text),
            ("kernel", "Kernel", Text),
            ("threads", "Threads", Number),
            ("status", "Status", Text),
            ("figure", "Figure", Number),
            ("limit", "Limit", Number),
            ("unit", "Unit", Text),
            ("note", "Note", Text),
        ],
    );
    for c in checks.list.iter().filter(|c| keep(c.status)) {
        let (mark, word) = match c.status {
            CheckStatus::Pass => (Mark::Held, "pass"),
            CheckStatus::Fail => (Mark::Broken, "fail"),
            CheckStatus::Skipped => (Mark::Unknown, "skipped"),
        };
        let figure = |x: Option<f64>| match x {
            Some(x) => Cell::Number(x),
            None if c.status == CheckStatus::Skipped => Cell::Missing("skipped".into()),
            None => Cell::Missing("not stated".into()),
        };
        t.push(vec![
            Cell::Code(c.id.clone()),
            Cell::Code(c.kernel.clone()),
            Cell::Count(c.threads as u64),
            Cell::Verdict(mark, word.into()),
            figure(c.figure),
            figure(c.limit),
            Cell::Text(c.unit.clone()),
            Cell::Text(c.note.clone()),
        ]);
    }
    t
}

/// The defects, and what caught each.
pub fn defects(defects: &[Defect]) -> Table {
    let mut t = Table::new(
        "defects",
        "Re-enacted defects: a check that can't fail is worth nothing",
        &[
            ("id", "Defect", Text),
            ("what", "What is wrong", Text),
            ("seen_in", "Seen in", Text),
            ("outcome", "Outcome", Text),
            ("errors", "Relative error", Text),
            ("claimed", "Claimed error", Text),
        ],
    );
    for d in defects {
        let outcome = match &d.outcome {
            DefectOutcome::Caught { by } => Cell::Verdict(Mark::Held, format!("caught by {by}")),
            DefectOutcome::Missed => Cell::Verdict(Mark::Broken, "missed".into()),
            DefectOutcome::NotRun { why } => {
                Cell::Verdict(Mark::Unknown, format!("not run: {why}"))
            }
        };
        let errors: Vec<String> = d
            .errors
            .iter()
            .map(|e| {
                format!(
                    "{} K={}: {}",
                    e.data,
                    e.k,
                    or_why(&e.relative_error, |&x| fraction(x))
                )
            })
            .collect();
        t.push(vec![
            Cell::Code(d.id.clone()),
            Cell::Text(d.what.clone()),
            Cell::Text(d.seen_in.clone()),
            outcome,
            Cell::Text(if errors.is_empty() {
                "no figure".into()
            } else {
                errors.join("; ")
            }),
            Cell::Text(match d.claimed {
                Some(r) => format!("{} to {}", fraction(r.low), fraction(r.high)),
                None => "nothing".into(),
            }),
        ]);
    }
    t
}
