//! Slowdowns of known size, in one process and across two workers; their reverse; and what is
//! none.

use std::ops::ControlFlow;
use std::time::Duration;

use super::bench::judged;
use super::{Bench, Item, Said};
use crate::compare::Plan;
use crate::compare::functions::Contest;
use crate::measure::Verdict;
use crate::measure::stats::Rules;
use crate::suite::{Blueprint, CaseId, SuiteError};
use crate::verdicts::CaseVerdict;

/// Only computes.
const COMPUTE: &str = "loop/lcg/20000/1t";
/// A product of the engine.
const PRODUCT: &str = "decode/o/best/1t";
/// Only reads; both sides together are larger than what most processors cache.
const MEMORY: &str = "memory/walk/256MiB/1t";
/// A product on two threads.
const TWO_THREADS: &str = "decode/o/best/2t";

/// Where the two sides live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    OneProcess,
    TwoWorkers,
}
use Place::{OneProcess, TwoWorkers};

/// Who does the extra work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slowed {
    Before,
    After,
    Nobody,
}
use Slowed::{After, Before, Nobody};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    place: Place,
    case: &'static str,
    slowed: Slowed,
    /// Extra work in percent.
    percent: f64,
    /// Margin in percent: half of the extra work, where that is to be found.
    margin: f64,
    want: Verdict,
    /// Seconds on an idle machine.
    takes: f64,
}

const fn row(place: Place, case: &'static str, slowed: Slowed, percent: f64, takes: f64) -> Row {
    Row {
        place,
        case,
        slowed,
        percent,
        margin: percent / 2.0,
        want: match slowed {
            Before => Verdict::Improved,
            After | Nobody => Verdict::Regressed,
        },
        takes,
    }
}

/// What is no change, at the default margin.
const fn none(place: Place, case: &'static str, percent: f64, takes: f64) -> Row {
    Row {
        place,
        case,
        slowed: if percent > 0.0 { After } else { Nobody },
        percent,
        margin: 2.0,
        want: Verdict::Unchanged,
        takes,
    }
}

const TABLE: [Row; 25] = [
    row(OneProcess, COMPUTE, After, 0.5, 0.1),
    row(OneProcess, COMPUTE, After, 1.0, 0.1),
    row(OneProcess, COMPUTE, After, 2.0, 0.1),
    row(OneProcess, COMPUTE, After, 5.0, 0.1),
    row(OneProcess, COMPUTE, Before, 2.0, 0.1),
    row(OneProcess, PRODUCT, After, 1.0, 0.3),
    row(OneProcess, PRODUCT, After, 2.0, 0.3),
    row(OneProcess, PRODUCT, After, 5.0, 0.3),
    row(OneProcess, PRODUCT, Before, 5.0, 0.3),
    row(OneProcess, MEMORY, After, 2.0, 1.5),
    row(OneProcess, MEMORY, After, 5.0, 0.5),
    row(TwoWorkers, COMPUTE, After, 1.0, 0.5),
    row(TwoWorkers, COMPUTE, After, 2.0, 0.5),
    row(TwoWorkers, COMPUTE, After, 5.0, 0.5),
    row(TwoWorkers, COMPUTE, Before, 2.0, 0.5),
    row(TwoWorkers, PRODUCT, After, 2.0, 2.0),
    row(TwoWorkers, PRODUCT, After, 5.0, 2.0),
    Row {
        margin: 2.0,
        ..row(TwoWorkers, TWO_THREADS, After, 5.0, 3.0)
    },
    none(OneProcess, COMPUTE, 0.5, 0.1),
    none(OneProcess, COMPUTE, 0.0, 0.1),
    none(OneProcess, PRODUCT, 0.0, 0.3),
    none(OneProcess, MEMORY, 0.0, 0.5),
    none(TwoWorkers, COMPUTE, 0.5, 0.5),
    none(TwoWorkers, COMPUTE, 0.0, 0.5),
    none(TwoWorkers, PRODUCT, 0.0, 1.0),
];

pub(super) fn items() -> Vec<Item> {
    TABLE.into_iter().map(item).collect()
}

fn item(row: Row) -> Item {
    let place = match row.place {
        OneProcess => "one-process",
        TwoWorkers => "two-workers",
    };
    let family = match row.slowed {
        _ if row.want == Verdict::Unchanged => "unchanged",
        Before => "speedup",
        After | Nobody => "slowdown",
    };
    let what = match row.slowed {
        Nobody => "nothing: both sides are the same".to_owned(),
        Before => format!("{} % extra work in \"before\"", row.percent),
        After => format!("{} % extra work in \"after\"", row.percent),
    };
    let size = match row.want {
        Verdict::Unchanged => "",
        _ => ", by the size that was planted, give or take the margin",
    };
    Item {
        id: format!("{family}/{place}/{}/{}%", row.case, row.percent),
        planted: format!("{what}, {}", row.case),
        expected: format!("{} at margin {} %{size}", row.want, row.margin),
        seen_in: None,
        takes: Duration::from_secs_f64(row.takes),
        run: Box::new(move |bench| twice(&row, bench)),
    }
}

/// Compares; once more where the time was too short, since a machine may be busy for a while.
fn twice(row: &Row, bench: &Bench) -> Said {
    let id: CaseId = match row.case.parse() {
        Ok(id) => id,
        Err(error) => return Said::new(false, format!("{error}")),
    };
    if id.threads() > bench.cpus {
        return Said::skipped(format!(
            "it needs {} processors, and this process may use {}",
            id.threads(),
            bench.cpus
        ));
    }
    let share = match planted(&id, row) {
        Ok(share) => share,
        Err(error) => return Said::new(false, error.to_string()),
    };
    let once = |seed: u64| match row.place {
        OneProcess => in_one_process(row, &id, bench, seed),
        TwoWorkers => across_workers(row, bench),
    };
    let mut found = once(bench.seed);
    if found.as_ref().is_ok_and(|c| c.verdict == Verdict::Unclear) {
        found = once(bench.seed.wrapping_add(1));
    }
    match found {
        Ok(case) => judge(row, share, &case),
        Err(why) => Said::new(false, why),
    }
}

/// The share that is really planted: whole tiles, steps or lines.
fn planted(id: &CaseId, row: &Row) -> Result<f64, SuiteError> {
    if row.percent == 0.0 {
        return Ok(0.0);
    }
    let blueprint = crate::suite::case_with_extra(id, row.percent / 100.0)?;
    Ok(blueprint.planted().unwrap_or(0.0))
}

/// Time for one comparison: many times what an idle machine needs. Only what stays undecided
/// takes all of it.
fn patience(row: &Row) -> f64 {
    5.0 + 6.0 * row.takes
}

fn in_one_process(row: &Row, id: &CaseId, bench: &Bench, seed: u64) -> Result<CaseVerdict, String> {
    let text = |e: SuiteError| e.to_string();
    let slow = |slowed: Slowed| match row.slowed == slowed {
        true => crate::suite::case_with_extra(id, row.percent / 100.0),
        false => Blueprint::new(id),
    };
    let (before, after) = (slow(Before).map_err(text)?, slow(After).map_err(text)?);
    let contest = Contest::new(row.case, before, after);
    let plan = Plan {
        rules: Rules::new(row.margin / 100.0, ALPHA, 0.95).map_err(|e| e.to_string())?,
        seed,
        max_time: Duration::from_secs_f64(patience(row)),
    };
    let compare = bench.compare;
    let outcome = compare(&[contest], ["before", "after"], &plan, &mut |_| {
        ControlFlow::Continue(())
    });
    match (
        outcome.cases.into_iter().next(),
        outcome.not_checked.first(),
    ) {
        (Some(case), None) => Ok(case),
        (_, Some(failed)) => Err(failed.why.clone()),
        (None, None) => Err("no verdict".to_owned()),
    }
}

/// Bound on a false alarm, of each item.
const ALPHA: f64 = 0.001;

fn across_workers(row: &Row, bench: &Bench) -> Result<CaseVerdict, String> {
    let slow = format!("{}={}%", row.case, row.percent);
    let worker = |slowed: Slowed| match row.slowed == slowed {
        true => bench.worker(&["--case", row.case, "--slow", &slow]),
        false => bench.worker(&["--case", row.case]),
    };
    let (margin, time) = (format!("{}%", row.margin), format!("{}", patience(row)));
    let more = ["--margin", &margin, "--max-time", &time];
    let ran = bench.pair(&worker(Before), &worker(After), &more)?;
    let verdicts = ran
        .verdicts()
        .ok_or_else(|| format!("exit {} and no document: {}", ran.status, ran.stderr.trim()))?;
    if i32::from(verdicts.exit) != ran.status {
        return Err(format!(
            "the document says exit {}, the process ended with {}",
            verdicts.exit, ran.status
        ));
    }
    if let Some(failed) = verdicts.not_checked.first() {
        return Err(failed.why.clone());
    }
    let case = verdicts.cases.into_iter().next();
    let case = case.ok_or_else(|| "no verdict".to_owned())?;
    // The verdict in words and in the status are two things, and one of them may be wrong.
    let wanted = match case.verdict {
        Verdict::Regressed => 1,
        Verdict::Unclear => 4,
        Verdict::Improved | Verdict::Unchanged => 0,
    };
    if ran.status != wanted {
        return Err(format!("{}, but exit {}", case.verdict, ran.status));
    }
    Ok(case)
}

fn judge(row: &Row, share: f64, case: &CaseVerdict) -> Said {
    let figure = |x: Option<f64>| x.map_or("?".to_owned(), |x| format!("{x:.4}"));
    let said = format!(
        "{}, speedup {} ({} to {}), {:.2} s",
        case.verdict,
        figure(case.speedup),
        figure(case.low),
        figure(case.high),
        case.seconds
    );
    let right = case.verdict == row.want;
    if case.verdict == Verdict::Unclear {
        return Said::new(right, said).hint(Some(
            "undecided, twice: is the machine busy with something else?",
        ));
    }
    let truth = match row.slowed {
        Before => 1.0 + share,
        After => 1.0 / (1.0 + share),
        Nobody => 1.0,
    };
    let near = within(truth, row.margin / 100.0, case);
    match right && !near {
        true => Said::new(false, format!("{said}; planted was {truth:.4}")),
        false => Said::new(right, said),
    }
}

/// Whether the interval, an open side of which bounds nothing, meets `truth` give or take the
/// margin.
fn within(truth: f64, margin: f64, case: &CaseVerdict) -> bool {
    let below = case.low.is_none_or(|low| low <= truth * (1.0 + margin));
    let above = case.high.is_none_or(|high| high >= truth / (1.0 + margin));
    below && above
}

/// How a pair of workers with 5 % extra work in "after" ends.
pub(super) fn regression(
    bench: &Bench,
    more: &[&str],
    judge: impl FnOnce(&super::bench::Ran) -> Said,
) -> Said {
    let slow = format!("{COMPUTE}=5%");
    let before = bench.worker(&["--case", COMPUTE]);
    let after = bench.worker(&["--case", COMPUTE, "--slow", &slow]);
    let more = [&["--margin", "2%", "--max-time", "20"], more].concat();
    judged(bench.pair(&before, &after, &more), judge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(low: f64, high: f64) -> CaseVerdict {
        CaseVerdict {
            case: COMPUTE.to_owned(),
            verdict: Verdict::Regressed,
            speedup: Some(0.5 * (low + high)),
            low: Some(low),
            high: Some(high),
            blocks: 1,
            placements: 1,
            seconds: 0.1,
            before_ns: None,
            after_ns: None,
            check: None,
            judged: false,
        }
    }

    #[test]
    fn the_right_word_with_the_wrong_size_is_a_miss() {
        let five = row(OneProcess, COMPUTE, After, 5.0, 0.1);
        let outcome = |low, high| judge(&five, 0.05, &found(low, high)).outcome;
        assert_eq!(outcome(0.94, 0.96), super::super::Outcome::Pass);
        assert_eq!(outcome(0.70, 0.80), super::super::Outcome::Miss);
        assert_eq!(outcome(0.98, 0.99), super::super::Outcome::Miss);
    }

    #[test]
    fn every_planted_share_can_be_planted() {
        for row in TABLE {
            let share = planted(&row.case.parse().unwrap(), &row).unwrap();
            let asked = row.percent / 100.0;
            assert!(
                (share - asked).abs() <= row.margin / 100.0,
                "{row:?}: {share}"
            );
        }
    }
}
