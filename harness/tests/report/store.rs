//! A run folder that is written section by section.

use super::artificial::{bare_run, full_run};
use crate::files;
use bitgauge::run::{
    Comparison, Measured, RUN_FILE, RunError, Section, SectionName, Store, WrongAnswer,
};
use std::fs;

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("runs/a");
    let full = full_run();
    let mut store = Store::open_or_create(&dir, bare_run()).unwrap();
    assert!(!store.resumed());
    store
        .record(Section::Machine(full.machine.clone()))
        .unwrap();
    drop(store);

    let mut store = Store::open_or_create(&dir, bare_run()).unwrap();
    assert!(store.resumed());
    assert!(store.is_done(SectionName::Machine));
    assert!(!store.is_done(SectionName::Ladder));
    store.record(Section::Ladder(full.ladder.clone())).unwrap();
    drop(store);

    let store = Store::open_or_create(&dir, bare_run()).unwrap();
    assert_eq!(
        store.run().ladder,
        full.ladder,
        "every raw sample survives, to the last bit"
    );
    assert_eq!(files(&dir).len(), 1, "no temporary file stays");
}

#[test]
fn a_run_with_other_settings_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    Store::open_or_create(dir.path(), bare_run()).unwrap();
    let mut other = bare_run();
    other.settings.seed += 1;
    other.settings.options.insert("margin".into(), "0.5".into());
    let error = Store::open_or_create(dir.path(), other)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("seed: 1101 there, 1102 asked for"),
        "{error}"
    );
    assert!(
        error.contains("margin: not set there, 0.5 asked for"),
        "{error}"
    );
    let mut other = bare_run();
    other.tool.version = "9.9.9".into();
    let error = Store::open_or_create(dir.path(), other)
        .unwrap_err()
        .to_string();
    assert!(error.contains("tool:"), "{error}");
}

#[test]
fn a_figure_that_is_not_finite_is_refused_and_the_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open_or_create(dir.path(), bare_run()).unwrap();
    let before = fs::read(dir.path().join(RUN_FILE)).unwrap();
    let mut ladder = full_run().ladder;
    let Measured::Is(l) = &mut ladder else {
        panic!()
    };
    l.rungs[0].comparison = Comparison::Wrong {
        error: WrongAnswer {
            relative_error: f64::NAN,
            seen_on: "nothing".into(),
        },
    };
    let error = store.record(Section::Ladder(ladder)).unwrap_err();
    assert!(matches!(error, RunError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("section ladder"), "{error}");
    assert_eq!(fs::read(dir.path().join(RUN_FILE)).unwrap(), before);
    assert!(!store.is_done(SectionName::Ladder));
}

#[test]
fn a_folder_that_can_not_be_made_says_what_would_help() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open_or_create(&file.join("run"), bare_run())
        .unwrap_err()
        .to_string();
    assert!(error.contains("file/run"), "{error}");
    assert!(error.contains("A run is a folder"), "{error}");
}
