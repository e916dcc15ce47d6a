//! The self-test tested: what it finds depends on the detector that it is given.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::*;
use crate::compare::functions::{self, Contest};
use crate::compare::{Plan, Watch};
use crate::measure::Verdict;

/// A detector that never alarms.
fn sleepy(
    contests: &[Contest],
    names: [&str; 2],
    plan: &Plan,
    watch: &mut Watch<'_>,
) -> crate::compare::Outcome {
    always(
        Verdict::Unchanged,
        functions::run(contests, names, plan, watch),
    )
}

/// A detector that always alarms.
fn jumpy(
    contests: &[Contest],
    names: [&str; 2],
    plan: &Plan,
    watch: &mut Watch<'_>,
) -> crate::compare::Outcome {
    always(
        Verdict::Regressed,
        functions::run(contests, names, plan, watch),
    )
}

fn always(verdict: Verdict, mut outcome: crate::compare::Outcome) -> crate::compare::Outcome {
    outcome
        .cases
        .iter_mut()
        .for_each(|case| case.verdict = verdict);
    outcome
}

/// A detector that times whatever it is given.
fn gullible(
    contests: &[Contest],
    names: [&str; 2],
    plan: &Plan,
    _: &mut Watch<'_>,
) -> crate::compare::Outcome {
    let mut outcome = functions::run(contests, names, plan, &mut |_| ControlFlow::Continue(()));
    outcome.not_checked.clear();
    outcome
}

fn bench(compare: Compare, program: &str) -> Bench {
    Bench {
        compare,
        program: PathBuf::from(program),
        seed: 1,
        cpus: 2,
    }
}

fn outcome(id: &str, bench: &Bench) -> (Outcome, String) {
    let item = items().into_iter().find(|item| item.id == id).unwrap();
    let said = (item.run)(bench);
    (said.outcome, said.said)
}

const LOOP: &str = "slowdown/one-process/loop/lcg/20000/1t/5%";
const EQUAL: &str = "unchanged/one-process/loop/lcg/20000/1t/0%";

#[test]
fn a_detector_that_never_alarms_is_seen() {
    for id in [LOOP, "gate/three-times-45-minutes", "gate/slow-boil"] {
        let (outcome, said) = outcome(id, &bench(sleepy, "true"));
        assert_eq!(outcome, Outcome::Miss, "{id}: {said}");
    }
}

#[test]
fn a_detector_that_always_alarms_is_seen() {
    let (outcome, said) = outcome(EQUAL, &bench(jumpy, "true"));
    assert_eq!(outcome, Outcome::Miss, "{said}");
}

#[test]
fn a_detector_that_forgets_wrong_answers_is_seen() {
    let (outcome, said) = outcome("wrong-answer/kernel/wrong-group", &bench(gullible, "true"));
    assert_eq!(outcome, Outcome::Miss, "{said}");
}

/// Items that ask the program are missed, all of them, where it says nothing and ends well.
#[test]
fn a_program_that_is_always_content_is_seen() {
    let asks = |id: &str| {
        ["two-workers", "worker/", "plumbing/"]
            .iter()
            .any(|p| id.contains(p))
            || [
                "gate/red-but-zero",
                "gate/docs-only-red",
                "gate/silence-is-green",
                "gate/wrong-and-fast",
            ]
            .contains(&id)
    };
    for program in ["true", "false", "./no-program-of-this-name"] {
        let bench = bench(functions::run, program);
        let items: Vec<Item> = items().into_iter().filter(|i| asks(&i.id)).collect();
        assert!(items.len() > 25, "{}", items.len());
        for entry in run(&items, &bench, &mut |_| {}) {
            // Where there is no help, nothing says that the option is unknown.
            let excused = entry.id.ends_with("-baseline") && program == "true";
            assert!(
                entry.outcome == Outcome::Miss || excused,
                "{program}: {entry:?}"
            );
        }
    }
}

#[test]
fn names_are_unique_and_every_gate_row_is_there() {
    let items = items();
    let ids: std::collections::BTreeSet<&str> = items.iter().map(|i| i.id.as_str()).collect();
    assert_eq!(ids.len(), items.len());
    for row in [
        "red-but-zero",
        "minutes-apart",
        "docs-only-red",
        "three-times-45-minutes",
        "silence-is-green",
        "slow-boil",
        "wrong-and-fast",
        "layout-luck",
    ] {
        let item = items.iter().find(|i| i.id == format!("gate/{row}"));
        assert!(item.is_some_and(|i| i.seen_in.is_some()), "{row}");
    }
    let takes: Duration = items.iter().map(|i| i.takes).sum();
    assert!(
        takes < Duration::from_secs(90),
        "{takes:?} on an idle machine"
    );
}

fn entry(outcome: Outcome) -> Entry {
    Entry {
        id: "family/what".to_owned(),
        seen_in: None,
        planted: "a | b".to_owned(),
        expected: "noticed".to_owned(),
        said: "nothing".to_owned(),
        outcome,
        hint: None,
        control: None,
        seconds: 0.1,
    }
}

fn document(outcomes: &[Outcome]) -> Document {
    Document {
        schema: SCHEMA,
        machine: "machine".to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        seed: 1,
        seconds: 1.0,
        entries: outcomes.iter().copied().map(entry).collect(),
        exit: 0,
    }
}

#[test]
fn any_miss_is_exit_1_and_nothing_tested_is_exit_2() {
    use Outcome::{Miss, Pass, Skipped};
    for (outcomes, exit) in [
        (&[Pass, Pass][..], 0),
        (&[Pass, Skipped], 0),
        (&[Pass, Miss], 1),
        (&[Miss, Skipped], 1),
        (&[Skipped], 2),
        (&[], 2),
    ] {
        assert_eq!(document(outcomes).exit() as u8, exit, "{outcomes:?}");
    }
}

#[test]
fn pages_tell_what_was_missed_and_what_was_not_tried() {
    let document = document(&[Outcome::Pass, Outcome::Miss, Outcome::Skipped]);
    for page in [text(&document), markdown(&document)] {
        assert!(page.contains("MISS") && page.contains("skipped"), "{page}");
        assert!(page.contains("1 noticed, 1 missed, 1 skipped"), "{page}");
    }
    let rows = markdown(&document);
    assert!(rows.contains("a \\| b"), "{rows}");
}

#[test]
fn what_is_left_follows_the_pace_of_what_is_done() {
    let item = |seconds| Item {
        id: String::new(),
        planted: String::new(),
        expected: String::new(),
        seen_in: None,
        takes: Duration::from_secs(seconds),
        run: Box::new(|_| Said::new(true, "")),
    };
    let (done, rest) = ([item(2), item(2)], [item(5)]);
    let slow = left(&done, &rest, Duration::from_secs(12));
    assert_eq!(slow, Duration::from_secs(15));
    assert_eq!(
        left(&[], &rest, Duration::from_secs(12)),
        Duration::from_secs(5)
    );
}
