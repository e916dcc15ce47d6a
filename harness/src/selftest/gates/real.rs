//! Failures re-enacted with real work, and with the program as CI runs it.

use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use super::noise;
use crate::compare::functions::Contest;
use crate::compare::{Outcome, Plan};
use crate::export;
use crate::measure::Verdict;
use crate::measure::stats::Rules;
use crate::selftest::answers::against;
use crate::selftest::bench::{Ran, judged};
use crate::selftest::document::Control;
use crate::selftest::misbehaviour::{HONEST, Misbehaviour, VICTIM};
use crate::selftest::planted::regression;
use crate::selftest::{Bench, Said};
use crate::suite::{Blueprint, CaseId, SuiteError, case_with_extra};
use crate::verdicts::Verdicts;

/// Only computes; its work is known to the step.
const COMPUTE: &str = "loop/lcg/20000/1t";

pub(super) fn red_but_zero(bench: &Bench) -> Said {
    regression(bench, &[], |ran| {
        let wrapped = Ran {
            status: 0,
            ..ran.clone()
        };
        let words = ["1 regressed"];
        let swallowed = wrapped.must(1, &words);
        let noticed = swallowed.outcome == crate::selftest::Outcome::Miss;
        ran.must(1, &words).control(Control {
            rule: "the same words with exit 0".to_owned(),
            said: format!(
                "{}, {}",
                swallowed.said,
                match noticed {
                    true => "which this item calls a miss",
                    false => "which this item accepts",
                }
            ),
            held: noticed,
        })
    })
}

pub(super) fn docs_only_red(bench: &Bench) -> Said {
    const TIMES: u64 = 5;
    let worker = bench.worker(&["--case", COMPUTE]);
    let mut said = Vec::new();
    for time in 0..TIMES {
        let again = Bench {
            seed: bench.seed.wrapping_add(time),
            ..bench.clone()
        };
        let ran = again.pair(&worker, &worker, &["--margin", "2%", "--max-time", "15"]);
        let verdict = match &ran {
            Err(why) => why.clone(),
            Ok(ran) => match only(ran.verdicts().as_ref()) {
                Some(verdict) if ran.status == 0 => verdict.to_string(),
                Some(verdict) => format!("{verdict} with exit {}", ran.status),
                None => format!("exit {}", ran.status),
            },
        };
        said.push(verdict);
    }
    let held = said.iter().filter(|v| *v == "unchanged").count();
    let rest: Vec<&str> = said
        .iter()
        .map(String::as_str)
        .filter(|v| *v != "unchanged")
        .collect();
    let mut text = format!("{held} of {TIMES} unchanged");
    if !rest.is_empty() {
        text.push_str(&format!("; {}", rest.join(", ")));
    }
    Said::new(rest.is_empty(), text).control(noise::point_estimates(bench.seed))
}

/// The verdict of a document with one case.
fn only(verdicts: Option<&Verdicts>) -> Option<Verdict> {
    match verdicts?.cases.as_slice() {
        [case] => Some(case.verdict),
        _ => None,
    }
}

/// The bound on a verdict's time.
const BOUND: f64 = 10.0;

pub(super) fn three_times_45_minutes(bench: &Bench) -> Said {
    let found = case_with_extra(&compute(), 0.05)
        .and_then(|after| Ok((Blueprint::new(&compute())?, after)));
    let outcome = match found {
        Ok((before, after)) => compare(before, after, bench),
        Err(error) => return Said::new(false, error.to_string()),
    };
    let Some(case) = outcome.cases.first() else {
        return Said::new(false, "no verdict");
    };
    let held = case.verdict == Verdict::Regressed && case.seconds <= BOUND;
    Said::new(held, format!("{} in {:.2} s", case.verdict, case.seconds))
}

fn compute() -> CaseId {
    COMPUTE.parse().expect("a constant of this file")
}

/// Both sides in this process, at the default rules.
fn compare(before: Blueprint, after: Blueprint, bench: &Bench) -> Outcome {
    let plan = Plan {
        rules: Rules::default(),
        seed: bench.seed,
        max_time: Duration::from_secs_f64(BOUND),
    };
    let contest = Contest::new(COMPUTE, before, after);
    let compare = bench.compare;
    compare(&[contest], ["before", "after"], &plan, &mut |_| {
        ControlFlow::Continue(())
    })
}

pub(super) fn silence_is_green(bench: &Bench) -> Said {
    let worker = bench.worker(&["--case", HONEST]);
    let nothing = bench.pair(&worker, &worker, &["--case", "nothing/like/this"]);
    let nothing = match nothing {
        Ok(ran) => ran,
        Err(why) => return Said::new(false, why),
    };
    let of_nothing = nothing.must(2, &["nothing/like/this"]);
    if of_nothing.outcome != crate::selftest::Outcome::Pass {
        return of_nothing;
    }
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return Said::skipped(format!("no temporary folder: {error}")),
    };
    let out = folder.path().join("run");
    regression(bench, &["--out", &out.to_string_lossy()], |ran| {
        let whole = |v: Option<Verdicts>| {
            v.as_ref().is_some_and(|v| v.exit == 1) && only(v.as_ref()) == Some(Verdict::Regressed)
        };
        let report = fs::read_to_string(out.join("report.md")).unwrap_or_default();
        let told =
            whole(ran.verdicts()) && whole(export::read(&out).ok()) && report.contains("regressed");
        let text = match told {
            true => "the failed run left its document and its report",
            false => "the failed run left no document or no report with its verdict",
        };
        // The rule that failed: what lists no change is fine.
        let green = !nothing.stderr.contains(" regressed");
        Said::new(told, format!("{}; {text}", of_nothing.said)).control(Control {
            rule: "green unless a regression is listed".to_owned(),
            said: match green {
                true => "the run that checked nothing is green".to_owned(),
                false => "the run that checked nothing lists a regression".to_owned(),
            },
            held: green,
        })
    })
}

/// Commits since the release, and what each adds.
const COMMITS: i32 = 10;
const EACH: f64 = 0.008;

/// The build after so many commits.
fn build(commits: i32) -> Result<Blueprint, SuiteError> {
    match commits {
        0 => Blueprint::new(&compute()),
        n => case_with_extra(&compute(), (1.0 + EACH).powi(n) - 1.0),
    }
}

pub(super) fn slow_boil(bench: &Bench) -> Said {
    let gate = |from: i32, to: i32| -> Result<Verdict, String> {
        let text = |e: SuiteError| e.to_string();
        let outcome = compare(build(from).map_err(text)?, build(to).map_err(text)?, bench);
        let case = outcome.cases.first().ok_or("no verdict")?;
        Ok(case.verdict)
    };
    let steps: Result<Vec<Verdict>, String> = (1..=COMMITS).map(|n| gate(n - 1, n)).collect();
    let release = gate(0, COMMITS);
    let (steps, release) = match (steps, release) {
        (Ok(steps), Ok(release)) => (steps, release),
        (Err(why), _) | (_, Err(why)) => return Said::new(false, why),
    };
    let unchanged = steps.iter().filter(|v| **v == Verdict::Unchanged).count();
    let alarms = steps.iter().filter(|v| **v == Verdict::Regressed).count();
    Said::new(
        release == Verdict::Regressed,
        format!("{release} against the release"),
    )
    .control(Control {
        rule: "each commit against the one before".to_owned(),
        said: format!("{unchanged} of {COMMITS} unchanged, {alarms} regressed"),
        held: alarms == 0 && unchanged > 0,
    })
}

pub(super) fn wrong_and_fast(bench: &Bench) -> Said {
    let mode = Misbehaviour::SkipsWork;
    let unchecked = match against(mode, bench, &["--allow-different-output"]) {
        Ok(ran) => ran,
        Err(why) => return Said::new(false, why),
    };
    let believed = unchecked.verdicts().is_some_and(|v| {
        let fast =
            |c: &crate::verdicts::CaseVerdict| c.case == VICTIM && c.verdict == Verdict::Improved;
        v.cases.iter().any(fast)
    });
    let flag = format!("--misbehave {mode}");
    judged(against(mode, bench, &[]), |ran| {
        let timed = ran
            .verdicts()
            .is_some_and(|v| v.cases.iter().any(|c| c.case == VICTIM));
        let said = ran.must(3, &["they must agree", &flag]);
        let said = match timed {
            true => Said::new(false, format!("{}; it got a verdict", said.said)),
            false => said,
        };
        said.control(Control {
            rule: "--allow-different-output".to_owned(),
            said: match believed {
                true => format!("exit {}, improved", unchecked.status),
                false => format!("exit {}, not believed to be faster", unchecked.status),
            },
            held: believed && unchecked.status == 0,
        })
    })
}
