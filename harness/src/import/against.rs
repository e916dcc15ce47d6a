//! Imported figures held against stored ones.
//!
//! # The rule
//! The speedup of a case is the ratio of its two medians, old / new for times and counts, new / old
//! for speeds. Each median has an exact interval between order statistics of its samples. With `n`
//! cases, each of the `2 n` intervals has level `1 - alpha / 2n`, so that with probability at least
//! `1 - alpha` all of them hold at once (Bonferroni), and with them every interval of a ratio: from
//! the lowest old over the highest new to the highest old over the lowest new. Conservative, and
//! free of any assumption on the shape of the noise; but the samples must be independent and alike.
//!
//! # What it can't do
//! The two runs were made one after the other. What the machine did between them (frequency, other
//! guests, memory placement) is the same for all samples of one side, and no interval shows it.
//! [`crate::export::caveat`] says so in every form of the verdicts.
//!
//! A count from simulation has no spread: its ratio is taken as it is. A value that a tool stored
//! without samples has no interval, so its case is `unclear`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Figure, Imported, Statistic, Unit};
use crate::exit::Exit;
use crate::export::IMPORT;
use crate::measure::Verdict;
use crate::measure::stats::fixed_blocks_interval;
use crate::verdicts::{CaseVerdict, NotChecked, SCHEMA, Side, Times, Verdicts};

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Fraction of speedup within which a case counts as unchanged.
    pub margin: f64,
    /// Bound on the probability that any interval misses its median.
    pub alpha: f64,
    /// Whether a case that only one side has is left out, and not listed as not checked.
    pub common_only: bool,
}

/// What the document says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The stored side.
    pub before: String,
    /// The imported side.
    pub after: String,
    /// The whole command line after `bitgauge`.
    pub command: String,
    /// Class of the machine that compares; who measured, the tools do not store.
    pub machine: String,
    /// When, as RFC 3339 in UTC.
    pub started: String,
}

/// The verdicts on `after`, held against `before`.
pub fn compare(before: &Imported, after: &Imported, rule: &Rule, about: About) -> Verdicts {
    let stored: BTreeMap<&str, &Figure> = before
        .figures
        .iter()
        .map(|f| (f.case.as_str(), f))
        .collect();
    let mut not_checked = Vec::new();
    let mut refuse = |case: &str, why: String| {
        not_checked.push(NotChecked {
            case: case.to_owned(),
            why,
            exit: Exit::CouldNotRun as u8,
        });
    };
    let mut pairs = Vec::new();
    for new in &after.figures {
        match stored.get(new.case.as_str()) {
            None if rule.common_only => {}
            None => refuse(
                &new.case,
                "the stored results have no such case: save them anew to gate it".into(),
            ),
            Some(old) => match mismatch(old, new) {
                Some(why) => refuse(&new.case, why),
                None => pairs.push((*old, new)),
            },
        }
    }
    for left_out in &after.left_out {
        refuse(&left_out.case, left_out.why.clone());
    }
    let figures = after.figures.iter().map(|f| f.case.as_str());
    let left_out = after.left_out.iter().map(|l| l.case.as_str());
    let new: BTreeSet<&str> = figures.chain(left_out).collect();
    if !rule.common_only {
        for old in before
            .figures
            .iter()
            .filter(|old| !new.contains(old.case.as_str()))
        {
            refuse(
                &old.case,
                "it is stored, and the new results do not have it".into(),
            );
        }
    }
    let level = 1.0 - rule.alpha / (2 * pairs.len().max(1)) as f64;
    let cases = pairs
        .into_iter()
        .map(|(old, new)| verdict(old, new, rule.margin, level))
        .collect();
    let side = |name: String, imported: &Imported| Side {
        name: format!("{} {name}", imported.tool),
        revision: None,
        isa: None,
    };
    let mut verdicts = Verdicts {
        counters: None,
        schema: SCHEMA,
        command: format!("{IMPORT} {}", about.command),
        before: side(about.before, before),
        after: side(about.after, after),
        machine: about.machine,
        started: about.started,
        // Nothing here is drawn at random.
        times: Times::Taken,
        seed: 0,
        margin: rule.margin,
        margin_from: "--margin".into(),
        alpha: rule.alpha,
        cases,
        not_checked,
        exit: 0,
    };
    verdicts.exit = verdicts.exit() as u8;
    verdicts
}

/// Why two figures of one name can't be compared.
fn mismatch(old: &Figure, new: &Figure) -> Option<String> {
    if old.unit != new.unit {
        return Some(format!(
            "stored in {}, now in {}",
            old.unit.name(),
            new.unit.name()
        ));
    }
    (old.statistic != new.statistic).then(|| {
        let name = |s| match s {
            Statistic::Median => "median",
            Statistic::Mean => "mean",
            Statistic::Count => "count",
        };
        format!(
            "a {} is stored, and now there is a {}",
            name(old.statistic),
            name(new.statistic)
        )
    })
}

fn verdict(old: &Figure, new: &Figure, margin: f64, level: f64) -> CaseVerdict {
    // As times: for speeds, more is better.
    let (slower, faster) = if new.unit.smaller_is_better() {
        (old, new)
    } else {
        (new, old)
    };
    let ends = ends(slower, level).zip(ends(faster, level));
    let interval = ends.map(|((a_low, a_high), (b_low, b_high))| (a_low / b_high, a_high / b_low));
    let band = 1.0 + margin;
    let verdict = match interval {
        Some((low, _)) if low > band => Verdict::Improved,
        Some((_, high)) if high < 1.0 / band => Verdict::Regressed,
        Some((low, high)) if low >= 1.0 / band && high <= band => Verdict::Unchanged,
        _ => Verdict::Unclear,
    };
    CaseVerdict {
        case: new.case.clone(),
        verdict,
        speedup: Some(slower.value / faster.value),
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        blocks: 0,
        placements: 0,
        seconds: 0.0,
        before_ns: old.unit.nanoseconds(old.value),
        after_ns: new.unit.nanoseconds(new.value),
        check: None,
        judged: false,
    }
}

/// The interval of a figure's value at `level` or above; `None` where what is stored gives none.
fn ends(figure: &Figure, level: f64) -> Option<(f64, f64)> {
    if figure.unit == Unit::Instructions {
        return Some((figure.value, figure.value));
    }
    if let Some(i) = fixed_blocks_interval(&figure.samples, level) {
        return Some((i.low, i.high));
    }
    // What the tool itself states, where it is sure enough.
    let stated = figure
        .interval
        .filter(|i| i.level >= level && figure.samples.is_empty());
    stated.map(|i| (i.low, i.high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Tool;

    fn imported(unit: Unit, cases: &[(&str, f64)]) -> Imported {
        // Thirty samples, 0.1 % apart in all.
        let samples = |centre: f64| {
            (0..30)
                .map(|i| centre * (1.0 + (f64::from(i) - 14.5) * 1e-3 / 29.0))
                .collect()
        };
        let figure = |(case, centre): &(&str, f64)| {
            Figure::of_samples((*case).into(), unit, samples(*centre)).unwrap()
        };
        Imported {
            tool: Tool::Hyperfine,
            sources: vec!["a.json".to_owned()],
            figures: cases.iter().map(figure).collect(),
            left_out: Vec::new(),
        }
    }

    fn against(before: &Imported, after: &Imported, alpha: f64, common_only: bool) -> Verdicts {
        let rule = Rule {
            margin: 0.05,
            alpha,
            common_only,
        };
        let about = About {
            before: "old".into(),
            after: "new".into(),
            command: "new --against old".into(),
            machine: "m".into(),
            started: "2026-01-01T00:00:00Z".into(),
        };
        compare(before, after, &rule, about)
    }

    fn all(v: &Verdicts) -> Vec<(&str, Verdict)> {
        v.cases
            .iter()
            .map(|c| (c.case.as_str(), c.verdict))
            .collect()
    }

    #[test]
    fn less_time_is_better_and_fewer_tokens_a_second_are_worse() {
        let before = [("a", 100.0), ("b", 100.0), ("c", 100.0)];
        let after = [("a", 90.0), ("b", 101.0), ("c", 110.0)];
        for (unit, want) in [
            (
                Unit::Nanoseconds,
                [Verdict::Improved, Verdict::Unchanged, Verdict::Regressed],
            ),
            (
                Unit::TokensPerSecond,
                [Verdict::Regressed, Verdict::Unchanged, Verdict::Improved],
            ),
        ] {
            let v = against(
                &imported(unit, &before),
                &imported(unit, &after),
                0.05,
                false,
            );
            assert_eq!(all(&v), [("a", want[0]), ("b", want[1]), ("c", want[2])]);
            assert_eq!(v.exit, Exit::Regressed as u8);
            for c in &v.cases {
                let (low, speedup, high) = (c.low.unwrap(), c.speedup.unwrap(), c.high.unwrap());
                assert!(low < speedup && speedup < high, "{c:?}");
            }
        }
    }

    #[test]
    fn token_s_are_times_too_and_instructions_are_not() {
        let v = against(
            &imported(Unit::TokensPerSecond, &[("a", 100.0)]),
            &imported(Unit::TokensPerSecond, &[("a", 100.0)]),
            0.05,
            false,
        );
        let ns = v.cases[0].after_ns.unwrap();
        assert!((ns - 1e7).abs() < 1.0, "{ns}");
        let count = imported(Unit::Instructions, &[("a", 100.0)]);
        assert_eq!(against(&count, &count, 0.05, false).cases[0].after_ns, None);
    }

    #[test]
    fn too_few_samples_for_alpha_are_unclear_and_not_a_guess() {
        let before = imported(Unit::Nanoseconds, &[("a", 100.0)]);
        let mut after = imported(Unit::Nanoseconds, &[("a", 200.0)]);
        // Five samples hold the median with probability 1 - 2^-4: not at the 97.5 % wanted.
        after.figures[0].samples.truncate(5);
        let v = against(&before, &after, 0.05, false);
        assert_eq!(all(&v), [("a", Verdict::Unclear)]);
        assert_eq!((v.cases[0].low, v.exit), (None, Exit::Unclear as u8));
        // At 1 - 2^-4 each, two sides are sure to 1 - 2^-3.
        let v = against(&before, &after, 0.126, false);
        assert_eq!(all(&v), [("a", Verdict::Regressed)]);
    }

    #[test]
    fn more_cases_need_wider_intervals() {
        let one = imported(Unit::Nanoseconds, &[("0", 100.0)]);
        let names: Vec<String> = (0..40).map(|i| i.to_string()).collect();
        let cases: Vec<(&str, f64)> = names.iter().map(|n| (n.as_str(), 100.0)).collect();
        let many = imported(Unit::Nanoseconds, &cases);
        let width = |i: &Imported| {
            let v = against(i, i, 0.05, false);
            v.cases[0].high.unwrap() - v.cases[0].low.unwrap()
        };
        assert!(width(&many) > width(&one));
    }

    #[test]
    fn a_case_that_only_one_side_has_is_not_checked() {
        let before = imported(Unit::Nanoseconds, &[("a", 100.0), ("gone", 100.0)]);
        let after = imported(Unit::Nanoseconds, &[("a", 100.0), ("new", 100.0)]);
        let v = against(&before, &after, 0.05, false);
        let names: Vec<&str> = v.not_checked.iter().map(|c| c.case.as_str()).collect();
        assert_eq!(
            (names, v.exit),
            (vec!["new", "gone"], Exit::CouldNotRun as u8)
        );
        let v = against(&before, &after, 0.05, true);
        assert_eq!((v.not_checked.len(), v.exit), (0, Exit::Held as u8));
    }

    #[test]
    fn another_unit_or_statistic_is_not_compared() {
        let ns = imported(Unit::Nanoseconds, &[("a", 100.0)]);
        let tokens = imported(Unit::TokensPerSecond, &[("a", 100.0)]);
        let mut mean = ns.clone();
        mean.figures[0].statistic = Statistic::Mean;
        for (other, why) in [
            (tokens, "stored in ns, now in token/s"),
            (mean, "a median is stored, and now there is a mean"),
        ] {
            let v = against(&ns, &other, 0.05, false);
            assert_eq!((v.cases.len(), v.not_checked[0].why.as_str()), (0, why));
            assert_eq!(v.exit, Exit::CouldNotRun as u8);
        }
    }
}
