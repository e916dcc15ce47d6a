//! The same sentence about a case in every form.

use crate::exit::Exit;
use crate::measure::Verdict;
use crate::report::wording::{number, plural, significant};
use crate::verdicts::{CaseVerdict, Side, Verdicts};

/// A finite value above zero: what a time or a ratio of times can be.
pub fn real(x: Option<f64>) -> Option<f64> {
    x.filter(|x| x.is_finite() && *x > 0.0)
}

/// `1.0213×`: small changes matter, so four digits follow the point near 1.
pub fn speedup(x: f64) -> String {
    format!("{}×", ratio(x))
}

fn ratio(x: f64) -> String {
    if (0.1..10.0).contains(&x) {
        format!("{x:.4}")
    } else {
        significant(x, 5)
    }
}

/// `[1.0150, 1.0280]`; a side without a bound says `no bound`.
pub fn interval(c: &CaseVerdict) -> String {
    let end = |x: Option<f64>| real(x).map_or_else(|| "no bound".to_owned(), ratio);
    format!("[{}, {}]", end(c.low), end(c.high))
}

/// `3.10 % slower`: the change of time, from the speedup.
pub fn change(c: &CaseVerdict) -> String {
    match real(c.speedup) {
        None => "no speedup measured".into(),
        Some(s) if s < 1.0 => format!("{} % slower", number((1.0 / s - 1.0) * 100.0)),
        Some(s) if s > 1.0 => format!("{} % faster", number((s - 1.0) * 100.0)),
        Some(_) => "equally fast".into(),
    }
}

/// `speedup 0.9700× [0.9600, 0.9800], 3.09 % slower; 40 blocks, 5 placements`.
pub fn figures(c: &CaseVerdict) -> String {
    let speedup = real(c.speedup).map_or_else(
        || "no speedup measured".to_owned(),
        |s| format!("speedup {} {}, {}", speedup(s), interval(c), change(c)),
    );
    match c.blocks {
        0 => speedup,
        n => format!(
            "{speedup}; {}, {}",
            plural(n as usize, "block"),
            plural(c.placements as usize, "placement")
        ),
    }
}

/// Nanoseconds in the unit that suits them, or a dash where they are not known.
pub fn time(ns: Option<f64>) -> String {
    let Some(ns) = real(ns) else {
        return "–".into();
    };
    let (value, unit) = match ns {
        x if x < 1e3 => (x, "ns"),
        x if x < 1e6 => (x / 1e3, "µs"),
        x if x < 1e9 => (x / 1e6, "ms"),
        x => (x / 1e9, "s"),
    };
    format!("{} {unit}", significant(value, 4))
}

/// A fraction as `2 %`, without trailing zeros.
pub fn percent(fraction: f64) -> String {
    format!("{} %", crate::report::wording::round(fraction * 100.0))
}

/// A side with its revision and instruction set, as far as it says.
pub fn side(s: &Side) -> String {
    let mut out = s.name.clone();
    if let Some(revision) = s.revision.as_ref().filter(|r| **r != s.name) {
        out += &format!(", revision {revision}");
    }
    if let Some(isa) = &s.isa {
        out += &format!(", {isa}");
    }
    out
}

/// How many cases have this verdict.
pub fn count(v: &Verdicts, verdict: Verdict) -> usize {
    v.cases.iter().filter(|c| c.verdict == verdict).count()
}

/// What came out, in one line: the gravest first.
pub fn headline(v: &Verdicts) -> String {
    let cases = v.cases.len() + v.not_checked.len();
    if cases == 0 {
        return "Nothing was checked".into();
    }
    let mut parts = Vec::new();
    let mut add = |n: usize, word: &str| {
        if n > 0 {
            parts.push(format!("{n} {word}"));
        }
    };
    add(v.not_checked.len(), "not checked");
    add(count(v, Verdict::Regressed), "regressed");
    add(count(v, Verdict::Unclear), "unclear");
    add(count(v, Verdict::Improved), "improved");
    add(count(v, Verdict::Unchanged), "unchanged");
    format!("{}: {}", plural(cases, "case"), parts.join(", "))
}

/// What an exit status means.
pub fn exit(status: u8) -> &'static str {
    const ALL: [(Exit, &str); 6] = [
        (Exit::Held, "all held"),
        (Exit::Regressed, "a regression"),
        (Exit::CouldNotRun, "could not run"),
        (Exit::WrongAnswers, "wrong answers"),
        (Exit::Unclear, "unclear within the budget"),
        (Exit::NoBaseline, "no usable baseline"),
    ];
    let found = ALL.iter().find(|(exit, _)| *exit as u8 == status);
    found.map_or("not a status of bitgauge", |(_, words)| words)
}

/// Whether the answers are known to be equal on both sides.
pub fn answers(v: &Verdicts) -> String {
    let wrong = v
        .not_checked
        .iter()
        .filter(|c| c.exit == Exit::WrongAnswers as u8)
        .count();
    let checked = v.cases.iter().filter(|c| c.check.is_some()).count();
    if wrong > 0 {
        return format!("no: {} with wrong answers", plural(wrong, "case"));
    }
    match (checked, v.cases.len()) {
        (_, 0) => "not checked".into(),
        (0, n) => format!("not checked: none of {} has a digest", plural(n, "case")),
        (n, all) if n == all => agreed(v.cases.iter().filter(|c| c.judged).count(), all),
        (n, all) => format!(
            "results agree in {n} of {}; the others were not checked",
            plural(all, "case")
        ),
    }
}

/// Of cases that agree, what is known of those that a reference judged.
fn agreed(judged: usize, all: usize) -> String {
    let cases = plural(all, "case");
    match judged {
        0 => format!("results agree in {cases}; no reference judged them"),
        n if n == all => format!("yes: results are the reference's in {cases}"),
        n => format!("results agree in {cases}, and are the reference's in {n}"),
    }
}

/// The command line that repeats this, as far as the document knows it. A command that is more than
/// a name is the whole line.
pub fn repeat(v: &Verdicts) -> String {
    let (before, after) = (quoted(&v.before.name), quoted(&v.after.name));
    let margin = percent(v.margin).replace(' ', "");
    let words = match v.command.as_str() {
        "compare" => format!("compare {before} {after} --margin {margin}"),
        "gate" => match &v.before.revision {
            Some(revision) => format!("gate --against {} --margin {margin}", quoted(revision)),
            None => format!("gate --baseline {before} --margin {margin}"),
        },
        other => other.to_owned(),
    };
    format!("bitgauge {words}")
}

/// `word` as a POSIX shell takes it literally.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(speedup: Option<f64>) -> CaseVerdict {
        CaseVerdict {
            case: "c".into(),
            verdict: Verdict::Unclear,
            speedup,
            low: None,
            high: Some(1.25),
            blocks: 0,
            placements: 0,
            seconds: 0.0,
            before_ns: None,
            after_ns: None,
            check: None,
            judged: false,
        }
    }

    #[test]
    fn a_speedup_is_before_over_after_and_a_change_is_of_time() {
        assert_eq!(change(&case(Some(0.8))), "25.0 % slower");
        assert_eq!(change(&case(Some(1.25))), "25.0 % faster");
        assert_eq!(
            figures(&case(Some(0.8))),
            "speedup 0.8000× [no bound, 1.2500], 25.0 % slower"
        );
        for unknown in [None, Some(f64::NAN), Some(0.0)] {
            assert_eq!(figures(&case(unknown)), "no speedup measured");
        }
    }

    #[test]
    fn times_take_the_unit_that_suits_them() {
        for (ns, text) in [
            (Some(12.345), "12.35 ns"),
            (Some(33_000.0), "33.00 µs"),
            (Some(2.5e9), "2.500 s"),
            (None, "–"),
            (Some(f64::INFINITY), "–"),
        ] {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn a_shell_takes_a_quoted_word_as_it_is() {
        assert_eq!(quoted("origin/main"), "origin/main");
        assert_eq!(quoted("it's; rm -r *"), "'it'\\''s; rm -r *'");
        assert_eq!(quoted(""), "''");
    }
}
