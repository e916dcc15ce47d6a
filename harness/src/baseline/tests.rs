//! Files that no run writes are refused, and an artificial baseline to make them of.

use std::path::Path;

use serde_json::{Value, json};

use super::file::{
    Baseline, KIND, Ratio, SCHEMA, Settings, Slices, StoredCase, StoredYardstick, Unit, may_write,
};
use super::yardstick::NAIVE;
use crate::exit::Exit;
use crate::machine::Machine;
use crate::measure::trial::Block;

/// A case whose iteration takes 1500 ns where the naive product takes 3000, in twenty placements
/// of two blocks that differ by some per thousand.
pub fn case(id: &str) -> StoredCase {
    let placement = |i: u64| {
        let (yardstick, case) = (30_000, 15_000 + i);
        Slices::of(&[
            Block {
                after_outside: false,
                ns: [yardstick, case, case, yardstick],
            },
            Block {
                after_outside: true,
                ns: [case, yardstick, yardstick, case],
            },
        ])
    };
    let mut case = StoredCase {
        id: id.to_owned(),
        kernel: None,
        isa: None,
        yardstick: StoredYardstick {
            name: NAIVE.to_owned(),
            unit: Unit::Products,
            per_iteration: 1.0,
        },
        ratio: Ratio {
            median: 0.5,
            low: 0.5,
            high: 0.5,
        },
        ns: 1500.0,
        digest: "0123456789abcdef".to_owned(),
        iterations: [10, 10],
        placements: (0..20).map(placement).collect(),
    };
    case.ratio = Ratio::of(&case.ln_ratios()).unwrap();
    case
}

/// A baseline of two cases of the class `here`.
pub fn sample() -> Baseline {
    Baseline {
        kind: KIND.to_owned(),
        schema: SCHEMA,
        machine: "here".to_owned(),
        date: "2026-01-01T00:00:00Z".to_owned(),
        version: "0.1.0".to_owned(),
        revision: None,
        isa: "avx2".to_owned(),
        settings: Settings {
            quick: false,
            filters: Vec::new(),
            threads: 2,
            seed: 1,
        },
        described: Machine::detect(),
        scaling: None,
        cases: vec![case("loop/lcg/1000/1t"), case("loop/lcg/2000/1t")],
    }
}

/// What a terminal would take for an order.
const ESCAPE: &str = "\u{1b}[2K";

fn read(text: &str) -> Result<Baseline, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stored.json");
    std::fs::write(&path, text).unwrap();
    Baseline::read(&path).map_err(|error| {
        let message = error.to_string();
        assert!(message.contains("stored.json"), "{message}");
        assert_eq!(error.failure().exit, Exit::NoBaseline);
        message
    })
}

fn changed(change: impl Fn(&mut Value)) -> Result<Baseline, String> {
    let mut json = serde_json::to_value(sample()).unwrap();
    change(&mut json);
    read(&json.to_string())
}

#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stored.json");
    // One sample: it holds the memory that is available when it is made.
    let stored = sample();
    stored.write(&path).unwrap();
    assert_eq!(Baseline::read(&path).unwrap(), stored);
    assert_eq!(Baseline::read_of(&path, "here").unwrap(), stored);
    let other = Baseline::read_of(&path, "there").unwrap_err();
    assert!(other.to_string().contains("`here`") && other.to_string().contains("`there`"));
}

/// 15 000 to 15 019 ns beside 30 000: the medians lie between 15 009 and 15 010, and the sixth of
/// twenty is the widest that holds the median in 95 % of all cases.
#[test]
fn the_ratio_is_made_of_the_slices() {
    let ratio = case("loop/lcg/1000/1t").ratio;
    for (got, want) in [
        (ratio.median, (15_009.0_f64 * 15_010.0).sqrt() / 30_000.0),
        (ratio.low, 15_005.0 / 30_000.0),
        (ratio.high, 15_014.0 / 30_000.0),
    ] {
        assert!((got / want - 1.0).abs() < 1e-12, "{got} {want}");
    }
    let mut unit = case("loop/lcg/1000/1t");
    unit.yardstick.per_iteration = 4.0;
    let of_four = Ratio::of(&unit.ln_ratios()).unwrap();
    assert!((of_four.median / ratio.median - 4.0).abs() < 1e-9);
}

#[test]
fn a_file_that_was_cut_is_refused_wherever_it_was() {
    let text = serde_json::to_string(&sample()).unwrap();
    assert!(read(&text).is_ok());
    for cut in (0..text.len()).step_by(97) {
        assert!(read(&text[..cut]).is_err(), "{cut}");
    }
    assert!(read(&format!("{text}x")).is_err());
}

#[test]
fn other_kinds_and_versions_are_refused_by_name() {
    for (kind, reason) in [
        (json!("a-page"), "a-page"),
        (Value::Null, "no kind"),
        (json!(1), "no baseline"),
    ] {
        let message = changed(|file| file["kind"] = kind.clone()).unwrap_err();
        assert!(message.contains(reason), "{message}");
    }
    for schema in [0, 2, 99] {
        let message = changed(|file| file["schema"] = json!(schema)).unwrap_err();
        let wanted = format!("schema {schema}, written by bitgauge 0.1.0");
        assert!(message.contains(&wanted), "{message}");
        assert!(message.contains("baseline save"), "{message}");
    }
    let message = changed(|file| file["schema"] = Value::Null).unwrap_err();
    assert!(message.contains("schema none"), "{message}");
}

#[test]
fn fields_that_this_version_does_not_know_are_refused_by_their_place() {
    let at = |change: &dyn Fn(&mut Value)| changed(change).unwrap_err();
    assert!(at(&|f| f["more"] = json!(1)).contains("no field more"));
    assert!(at(&|f| f["cases"][1]["x"] = json!(1)).contains("cases.1.x"));
    assert!(at(&|f| f["described"]["cpu"]["x"] = json!(1)).contains("described.cpu.x"));
}

#[test]
fn what_no_run_gives_is_refused_with_its_place() {
    let case = |field: &'static str, value: Value| {
        changed(move |file| file["cases"][1][field] = value.clone())
    };
    let yardstick = |field: &'static str, value: Value| {
        changed(move |file| file["cases"][1]["yardstick"][field] = value.clone())
    };
    let many = serde_json::to_value(vec![&sample().cases[1].placements[0]; 10_001]).unwrap();
    let few = serde_json::to_value(&sample().cases[1].placements[..5]).unwrap();
    let placement =
        |numbers: Value| changed(move |file| file["cases"][1]["placements"][3] = numbers.clone());
    for (refused, reason) in [
        (case("id", json!("loop/lcg/1000/1t")), "twice"),
        (case("id", json!("")), "no id"),
        (case("id", json!("a\u{1b}[31mb")), "no id"),
        (case("ns", json!(-1.0)), "`ns`"),
        (case("ns", json!(0.0)), "`ns`"),
        (case("ns", Value::Null), "null"),
        (case("digest", json!("nothing")), "no digest"),
        (case("iterations", json!([0, 1])), "0 iterations"),
        (case("iterations", json!([1])), "length"),
        (case("iterations", json!([-1, 1])), "invalid value"),
        (case("iterations", json!([20, 10])), "was changed"),
        (
            case("ratio", json!({"median": 0.1, "low": 0.1, "high": 0.1})),
            "was changed",
        ),
        (case("ratio", json!({"median": 0.5})), "missing field"),
        (case("placements", few), "5 placements"),
        (case("placements", json!([])), "0 placements"),
        (
            case("placements", many),
            "10001 placements; at most 10000 are read",
        ),
        (yardstick("name", json!("a ruler")), "no yardstick"),
        (yardstick("unit", json!("MB")), "counts in naive products"),
        (yardstick("unit", json!("furlong")), "unknown variant"),
        (yardstick("per_iteration", json!(-1.0)), "per_iteration"),
        (placement(json!([])), "without numbers"),
        (placement(json!([0])), "0 slices"),
        (placement(json!([0, 1, 2, 3])), "3 slices"),
        (placement(json!([2, 1, 2, 3, 4])), "its 1 blocks"),
        (placement(json!([0, 1, 0, 3, 4])), "0 ns"),
        (placement(json!([0, 1, 1.5, 3, 4])), "floating point"),
        (changed(|f| f["cases"] = json!([])), "nothing to hold"),
        (changed(|f| f["machine"] = json!("a b")), "no class"),
        (changed(|f| f["described"] = json!({})), "missing field"),
        (changed(|f| f["date"] = json!("yesterday")), "no time"),
        (changed(|f| f["date"] = json!(ESCAPE)), "no time"),
        (changed(|f| f["version"] = json!(ESCAPE)), "a version nor"),
        (changed(|f| f["revision"] = json!(ESCAPE)), "a version nor"),
        (changed(|f| f["machine"] = json!("..")), "no class"),
    ] {
        let message = refused.expect_err(reason);
        assert!(message.contains(reason), "{reason}: {message}");
    }
    let text = serde_json::to_string(&sample()).unwrap();
    for number in ["NaN", "1e999", "-Infinity", "1e-999"] {
        let hostile = text.replace("1500.0", number);
        assert_ne!(hostile, text);
        assert!(read(&hostile).is_err(), "{number}");
    }
}

#[test]
fn what_is_no_file_of_a_sensible_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Baseline::read(&dir.path().join("missing")).unwrap_err();
    assert!(missing.to_string().contains("missing"));
    assert!(Baseline::read(dir.path()).is_err());
    let large = dir.path().join("large");
    let file = std::fs::File::create(&large).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    let message = Baseline::read(&large).unwrap_err().to_string();
    assert!(message.contains("at most"), "{message}");
}

#[test]
fn a_figure_that_is_not_finite_is_never_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stored.json");
    let mut broken = sample();
    broken.cases[0].ns = f64::NAN;
    assert!(broken.write(&path).is_err());
    assert!(!path.exists());
}

#[test]
fn only_a_baseline_of_the_same_class_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/stored.json");
    may_write(&path, "here").unwrap();
    sample().write(&path).unwrap();
    may_write(&path, "here").unwrap();
    let refused = may_write(&path, "there").unwrap_err();
    assert!(refused.message.contains("`here`"), "{refused}");
    // An older one is there to be replaced.
    let older = json!({"kind": KIND, "schema": 0, "machine": "here"});
    std::fs::write(&path, older.to_string()).unwrap();
    may_write(&path, "here").unwrap();
    std::fs::write(&path, "notes").unwrap();
    assert!(may_write(&path, "here").is_err());
    assert!(may_write(dir.path(), "here").is_err());
    assert!(may_write(Path::new("/dev/null"), "here").is_err());
    assert!(may_write(&path.join("below-a-file"), "here").is_err());
}
