//! Caches and counters: made-up figures, their pages, and what a run without them shows.

use bitgauge::report::documents;
use bitgauge::run::{
    CacheLevel, CacheStudy, Claim, CostStudy, Costs, Estimate, Measured, PartCosts, Prefetch,
    PrefetchDistance, PrefetchSet, Run, Stair, Verdict,
};

use super::artificial::{around, full_run};
use crate::{text, words};

/// The estimate that stands for `value`.
fn is(value: f64) -> Measured<Estimate> {
    Measured::Is(around(value))
}

pub fn caches() -> CacheStudy {
    let level = |level, bytes, shared| CacheLevel {
        level,
        bytes,
        shared_by: Measured::Is(shared),
    };
    let set = |name: &str, bytes, speedups: [f64; 3]| PrefetchSet {
        name: name.into(),
        bytes,
        matrices: 1,
        distances: ["off", "4 KiB", "two steps"]
            .into_iter()
            .zip(speedups)
            .map(|(name, speedup)| PrefetchDistance {
                name: name.into(),
                gb_s: is(11.3 * speedup),
                speedup: is(speedup),
            })
            .collect(),
    };
    let stair = |shift: u32, read: f64, load: f64| Stair {
        bytes: 16 << (10 + shift),
        read_gb_s: is(read),
        load_ns: is(load),
    };
    CacheStudy {
        levels: Measured::Is(vec![level(1, 33 << 10, 1), level(3, 3 << 20, 2)]),
        prefetch: Measured::Is(Prefetch {
            kernel: "made-up-wide".into(),
            cols: 1136,
            sets: vec![
                set("half of L1", 17 << 10, [1.0, 0.971, 0.955]),
                set("7 times L3", 21 << 20, [1.0, 1.31, 1.77]),
            ],
            claim: Claim {
                text: "made-up claim about prefetching".into(),
                low: 1.5,
                high: 1.5,
                error_below: None,
            },
            verdict: Verdict::Confirmed,
        }),
        stairs: vec![
            stair(0, 311.0, 1.37),
            stair(5, 93.7, 9.91),
            stair(11, 17.3, 131.0),
        ],
    }
}

pub fn counters() -> CostStudy {
    let part = |part: &str, instructions: f64, hit: f64| PartCosts {
        part: part.into(),
        instructions: Measured::Is(instructions),
        cpi: Measured::unavailable("a made-up simulation has no cycles"),
        branch_miss_percent: Measured::Is(1.39),
        l1_hit_percent: Measured::Is(hit),
        l2_hit_percent: Measured::unavailable("no second level was made up"),
        llc_hit_percent: Measured::Is(97.1),
        gb_s: Measured::unavailable("a made-up simulation has no time"),
    };
    CostStudy {
        hardware: Measured::unavailable("perf_event_paranoid is 7"),
        grant: Measured::Is("sysctl of a made-up kernel".into()),
        simulated: Measured::Is(Costs {
            source: "simulated by nobody, AVX2 path".into(),
            on: "a model that is not there".into(),
            tokens: 17,
            parts: vec![
                part("whole token", 1_115_000.0, 93.3),
                part("ternary products", 911_000.0, 91.9),
            ],
        }),
    }
}

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
