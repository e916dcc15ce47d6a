//! JUnit XML as Jenkins, GitLab and the common GitHub actions read it.
//!
//! There is no one schema; this keeps to what all of them take: `testsuites > testsuite > testcase`,
//! times in seconds, and at most one of `failure`, `error` and `skipped` in a case.
//!
//! An unclear case is `skipped`. As a failure or an error it would turn the pipeline red (Jenkins
//! marks the build unstable, GitLab counts it as newly failed), although nothing is known to be
//! worse; as a pass it would hide. Skipped is shown as a count and a list of its own, with the
//! message. Whether an unclear gate fails the job is up to the exit status and who calls it.

use std::fmt::Write;

use super::caveat;
use super::words::{self, figures, headline};
use crate::measure::Verdict;
use crate::report::wording::{printable, round};
use crate::verdicts::Verdicts;

struct TestCase {
    name: String,
    seconds: f64,
    outcome: Outcome,
    /// What the log of the case says.
    log: String,
}

enum Outcome {
    Passed,
    Failure(String),
    Error(String),
    Skipped(String),
}

/// The document.
pub fn document(v: &Verdicts) -> String {
    let mut cases: Vec<TestCase> = v
        .cases
        .iter()
        .map(|c| TestCase {
            name: c.case.clone(),
            seconds: c.seconds,
            outcome: match c.verdict {
                Verdict::Regressed => Outcome::Failure(figures(c)),
                Verdict::Unclear => Outcome::Skipped(format!("unclear: {}", figures(c))),
                Verdict::Improved | Verdict::Unchanged => Outcome::Passed,
            },
            log: format!("{}: {}", c.verdict, figures(c)),
        })
        .collect();
    cases.extend(v.not_checked.iter().map(|c| TestCase {
        name: c.case.clone(),
        seconds: 0.0,
        outcome: Outcome::Error(format!("not checked: {}", c.why)),
        log: format!("{} (exit {})", words::exit(c.exit), c.exit),
    }));
    // A suite without a test is green everywhere. So is one whose failure has no case to show it.
    let shown = cases.iter().any(|c| !matches!(c.outcome, Outcome::Passed));
    if cases.is_empty() || (v.exit != 0 && !shown) {
        cases.push(TestCase {
            name: "the gate itself".into(),
            seconds: 0.0,
            outcome: Outcome::Error(format!(
                "{} (exit {}: {})",
                headline(v),
                v.exit,
                words::exit(v.exit)
            )),
            log: String::new(),
        });
    }
    write(v, &cases)
}

fn write(v: &Verdicts, cases: &[TestCase]) -> String {
    let of = |wanted: fn(&Outcome) -> bool| cases.iter().filter(|c| wanted(&c.outcome)).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\"",
        cases.len(),
        of(|o| matches!(o, Outcome::Failure(_))),
        of(|o| matches!(o, Outcome::Error(_))),
        of(|o| matches!(o, Outcome::Skipped(_))),
        seconds(
            cases
                .iter()
                .map(|c| c.seconds)
                .filter(|s| s.is_finite())
                .sum()
        ),
    );
    let name = attribute(&format!("bitgauge {}", v.command));
    let class = attribute(&format!(
        "bitgauge.{}",
        v.command.split_whitespace().next().unwrap_or("verdicts")
    ));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("a String takes every write");
        out.push('\n');
    };
    line(format_args!("<testsuites name=\"{name}\" {counts}>"));
    line(format_args!(
        "<testsuite name=\"{name}\" {counts} timestamp=\"{}\">",
        attribute(v.started.trim_end_matches('Z'))
    ));
    line(format_args!("<properties>"));
    for (key, value) in properties(v) {
        line(format_args!(
            "<property name=\"{key}\" value=\"{}\"/>",
            attribute(&value)
        ));
    }
    line(format_args!("</properties>"));
    for c in cases {
        line(format_args!(
            "<testcase classname=\"{class}\" name=\"{}\" time=\"{}\">",
            attribute(&c.name),
            seconds(c.seconds)
        ));
        match &c.outcome {
            Outcome::Passed => {}
            Outcome::Failure(why) => line(format_args!(
                "<failure type=\"regressed\" message=\"{}\">{}</failure>",
                attribute(why),
                content(why)
            )),
            Outcome::Error(why) => line(format_args!(
                "<error type=\"not-checked\" message=\"{}\">{}</error>",
                attribute(why),
                content(why)
            )),
            Outcome::Skipped(why) => {
                line(format_args!("<skipped message=\"{}\"/>", attribute(why)));
            }
        }
        if !c.log.is_empty() {
            line(format_args!("<system-out>{}</system-out>", content(&c.log)));
        }
        line(format_args!("</testcase>"));
    }
    line(format_args!("</testsuite>"));
    line(format_args!("</testsuites>"));
    out
}

fn properties(v: &Verdicts) -> Vec<(&'static str, String)> {
    let mut out = vec![
        ("before", words::side(&v.before)),
        ("after", words::side(&v.after)),
        ("machine", v.machine.clone()),
        (
            "margin",
            format!("{} ({})", words::percent(v.margin), v.margin_from),
        ),
        ("alpha", round(v.alpha)),
        ("seed", v.seed.to_string()),
        ("exit", v.exit.to_string()),
    ];
    out.extend(caveat(v).map(|text| ("caveat", text.to_owned())));
    out
}

/// Seconds to the microsecond; what is no time counts as none, which the format has no word for.
fn seconds(s: f64) -> String {
    if s.is_finite() && s >= 0.0 {
        format!("{s:.6}")
    } else {
        "0.000000".into()
    }
}

/// Text within double quotes. A parser turns a literal line end or tab into a space, so they are
/// written as references.
fn attribute(text: &str) -> String {
    content(text)
        .replace('"', "&quot;")
        .replace('\n', "&#10;")
        .replace('\t', "&#9;")
}

/// Character data. What XML 1.0 can't hold at all is written as the replacement character.
fn content(text: &str) -> String {
    printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
