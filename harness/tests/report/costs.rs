//! Caches and counters: their pages, and what a run without them shows.

use bitgauge::report::documents;
use bitgauge::run::{CacheStudy, Measured, Run, Verdict};

use super::artificial::full_run;
use crate::{text, words};

fn line_of(run: &Run, begin: &str) -> String {
    let report = text(&documents(run).unwrap(), "report.md");
    let line = report.lines().find(|l| l.starts_with(begin));
    line.unwrap_or_else(|| panic!("{begin}: {report}"))
        .to_owned()
}

#[test]
fn the_report_holds_the_claim_against_the_largest_set() {
    let line = line_of(&full_run(), "- **Caches** ✓");
    assert!(
        line.contains("1.77×") && line.contains("21\u{a0}MiB"),
        "{line}"
    );
    assert!(line.contains("confirmed"), "{line}");
    let mut run = full_run();
    let Measured::Is(CacheStudy {
        prefetch: Measured::Is(prefetch),
        ..
    }) = &mut run.cache
    else {
        panic!()
    };
    prefetch.verdict = Verdict::Refuted {
        by: "too little".into(),
    };
    assert!(line_of(&run, "- **Caches** ✗").contains("too little"));
}

/// A product on one thread is a point of the staircase; one on two has no place there.
#[test]
fn products_stand_on_the_staircase() {
    let with = text(&documents(&full_run()).unwrap(), "charts/staircase.svg");
    let mut run = full_run();
    run.products = Measured::unavailable("left out");
    let without = text(&documents(&run).unwrap(), "charts/staircase.svg");
    assert!(with.contains("products on one thread"));
    assert!(!without.contains("products on one thread"));
    assert!(without.contains("L3 holds"), "{without}");
}

#[test]
fn what_counts_is_labelled_and_what_does_not_is_never_zero() {
    let line = line_of(&full_run(), "- **Counters** ?");
    for said in [
        "perf_event_paranoid is 7",
        "made-up kernel",
        "AVX2 path",
        "93.3",
    ] {
        assert!(line.contains(said), "{said}: {line}");
    }
    let all = documents(&full_run()).unwrap();
    let csv = text(&all, "csv/counters.csv");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(!csv.contains(",0,") && !csv.contains("hardware"), "{csv}");
    assert!(words(&text(&all, "index.html")).contains("no second level was made up"));
}

#[test]
fn a_run_without_the_sections_still_renders() {
    let mut json = serde_json::to_value(full_run()).unwrap();
    for section in ["cache", "counters"] {
        json.as_object_mut().unwrap().remove(section).unwrap();
    }
    let run: Run = serde_json::from_value(json).unwrap();
    let all = documents(&run).unwrap();
    for gone in [
        "charts/staircase.svg",
        "charts/prefetch.svg",
        "csv/counters.csv",
    ] {
        assert!(all.iter().all(|d| d.path != gone), "{gone}");
    }
    assert!(!text(&all, "report.md").contains("**Caches**"));
}
