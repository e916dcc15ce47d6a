//! `verdicts.csv`: RFC 4180 with `\n`, numbers in full precision, an empty field for the unknown.

use crate::report::table::csv_rows;
use crate::verdicts::{CaseVerdict, NotChecked, Verdicts};

const HEADER: [&str; 13] = [
    "case",
    "verdict",
    "speedup",
    "low",
    "high",
    "blocks",
    "placements",
    "seconds",
    "before_ns",
    "after_ns",
    "check",
    "why",
    "exit",
];

/// One row a case, those without a verdict at the end.
pub fn table(v: &Verdicts) -> Vec<u8> {
    let cases = v.cases.iter().map(case);
    csv_rows(&HEADER, cases.chain(v.not_checked.iter().map(failure)))
}

fn case(c: &CaseVerdict) -> Vec<String> {
    vec![
        c.case.clone(),
        c.verdict.to_string(),
        number(c.speedup),
        number(c.low),
        number(c.high),
        c.blocks.to_string(),
        c.placements.to_string(),
        number(Some(c.seconds)),
        number(c.before_ns),
        number(c.after_ns),
        c.check.clone().unwrap_or_default(),
        String::new(),
        String::new(),
    ]
}

fn failure(c: &NotChecked) -> Vec<String> {
    let mut row = vec![String::new(); HEADER.len()];
    row[0] = c.case.clone();
    row[1] = "not checked".into();
    row[11] = c.why.clone();
    row[12] = c.exit.to_string();
    row
}

fn number(x: Option<f64>) -> String {
    x.filter(|x| x.is_finite())
        .map_or_else(String::new, |x| x.to_string())
}
