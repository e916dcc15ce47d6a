//! `bitgauge selftest` as a user runs it, on items that take no time.

mod program;

use bitgauge::selftest::{Document, Outcome, SCHEMA};
use program::{bitgauge, end, refused};

/// A self-test of the items whose names hold one of these texts.
fn selftest(only: &[&str], more: &[&str]) -> (program::Ended, Document) {
    let mut words = vec!["selftest", "--json"];
    for text in only {
        words.extend(["--only", text]);
    }
    words.extend(more);
    let ended = end(&mut bitgauge(words));
    let document: Document = serde_json::from_str(&ended.stdout).expect(&ended.stderr);
    assert_eq!(document.schema, SCHEMA);
    assert_eq!(ended.status, Some(i32::from(document.exit)), "{ended:?}");
    (ended, document)
}

#[test]
fn wrong_kernels_and_broken_workers_are_noticed() {
    let only = [
        "wrong-answer/kernel",
        "worker/dies",
        "worker/garbage",
        "worker/no-cases",
        "plumbing/empty-suite",
        "plumbing/nothing-in-common",
        "plumbing/undecided",
    ];
    let (ended, document) = selftest(&only, &[]);
    assert_eq!(document.entries.len(), 10, "{}", ended.stderr);
    for entry in &document.entries {
        assert_eq!(entry.outcome, Outcome::Pass, "{entry:?}");
        assert!(ended.stderr.contains(&entry.id), "{}", ended.stderr);
    }
    assert_eq!(document.exit, 0);
}

#[test]
fn traps_on_simulated_machines_have_controls_that_fall_into_them() {
    let (_, document) = selftest(&["minutes-apart", "layout-luck"], &["--seed", "7"]);
    assert_eq!((document.entries.len(), document.seed), (2, 7));
    for entry in &document.entries {
        assert_eq!(entry.outcome, Outcome::Pass, "{entry:?}");
        assert!(entry.control.as_ref().unwrap().held, "{entry:?}");
        assert!(entry.seen_in.is_some());
    }
}

#[test]
fn files_are_written_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/selftest");
    let (ended, document) = selftest(&["wrong-group"], &["--out", out.to_str().unwrap()]);
    let json = std::fs::read_to_string(out.join("selftest.json")).unwrap();
    assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    let page = std::fs::read_to_string(out.join("selftest.md")).unwrap();
    assert!(page.contains("wrong-answer/kernel/wrong-group"), "{page}");
    assert!(ended.stderr.contains("1 noticed, 0 missed, 0 skipped"));
}

#[test]
fn a_selection_of_nothing_is_refused_with_what_there_is() {
    let ended = refused(
        &mut bitgauge(["selftest", "--only", "no-such-item"]),
        "no-such-item",
    );
    assert!(ended.stderr.contains("gate/red-but-zero"), "{ended:?}");
}

#[test]
fn nobody_is_offered_a_worker_that_misbehaves() {
    let help = end(&mut bitgauge(["worker", "--help"]));
    assert!(!help.stdout.contains("misbehave"), "{}", help.stdout);
}
