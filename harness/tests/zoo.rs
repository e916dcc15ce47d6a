//! Every defect of the zoo is caught, by the checks that can see it, and its control is not.

use std::sync::OnceLock;

use bitgauge::defects::error::{self, Formula};
use bitgauge::defects::zoo::{Bench, Outcome, zoo};
use bitgauge::defects::{NATIVE_BUILD, SIGNS_OF_ACTIVATIONS, SIGNS_OF_WEIGHTS};
use bitgauge::fixtures::{self, Fixtures};
use bitgauge::verify::{self, check, golden};
use bitgauge_engine::checkpoint::Checkpoint;
use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::{Kernel, Spec};
use bitgauge_engine::model::Model;
use bitgauge_engine::threads::Pool;

fn goldens(names: &[&str]) -> Fixtures {
    let mut found = fixtures::discover(verify::default_fixtures().unwrap()).unwrap();
    found
        .goldens
        .retain(|golden| names.contains(&&golden.content.name[..]));
    assert_eq!(found.goldens.len(), names.len());
    found
}

/// Golden files of the two sharp fixtures; the trained one adds nothing but time.
fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| Bench::new(goldens(&["A", "C"])))
}

fn run(id: &str) -> Outcome {
    let zoo = zoo();
    let exhibit = zoo.iter().find(|exhibit| exhibit.id == id);
    (exhibit.unwrap_or_else(|| panic!("no exhibit {id}")).run)(bench())
}

/// What failed: the first two parts of each check's id, once.
fn failed(outcome: &Outcome) -> Vec<String> {
    let name = |id: &str| id.split('/').take(2).collect::<Vec<_>>().join("/");
    let mut names: Vec<String> = outcome.by.iter().map(|check| name(&check.id)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The defect is caught and the control holds, and each failed check says why.
#[track_caller]
fn caught(id: &str) -> Outcome {
    let outcome = run(id);
    assert_eq!(outcome.caught, Some(true), "{id}: {outcome:#?}");
    assert_eq!(outcome.control_failed, []);
    for check in &outcome.by {
        let beyond = match (check.figure, check.limit) {
            (Some(figure), Some(limit)) => figure > limit,
            _ => !check.note.is_empty(),
        };
        assert!(beyond, "{check:?}");
    }
    outcome
}

/// Caught, and among others by these checks.
#[track_caller]
fn caught_by(id: &str, checks: &[&str]) {
    let failed = failed(&caught(id));
    for check in checks {
        assert!(
            failed.iter().any(|f| f == check),
            "{id}: not {check} but {failed:?}"
        );
    }
}

/// Caught by these checks, and no other saw it: each of them is needed.
#[track_caller]
fn caught_only_by(id: &str, checks: &[&str]) {
    assert_eq!(failed(&caught(id)), checks, "{id}");
}

#[test]
fn every_row_of_the_zoo_has_its_test() {
    let tests = include_str!("zoo.rs");
    for exhibit in zoo() {
        let quoted = format!("\"{}\"", exhibit.id);
        assert!(tests.contains(&quoted), "{} has no test", exhibit.id);
        assert!(!exhibit.what.is_empty() && !exhibit.seen_in.is_empty());
    }
}

#[test]
fn flag_never_set() {
    if Isa::highest() == Isa::Portable {
        assert_eq!(
            run("flag-never-set").caught,
            None,
            "nothing to fall back from"
        );
        return;
    }
    caught_only_by("flag-never-set", &["dispatch/fallbacks"]);
}

#[test]
fn sign_tables() {
    let by = [
        "kernel/random",
        "kernel/one-weight",
        "kernel/quantised",
        "taps/A",
        "golden/A",
    ];
    for id in [
        "sign-table/weights",
        "sign-table/activations",
        "sign-table/both",
    ] {
        caught_by(id, &by);
    }
}

#[test]
fn one_value_table() {
    let outcome = caught("one-value-table");
    let failed = failed(&outcome);
    assert!(failed.contains(&"kernel/random".into()));
    // Equal activations, all that it was published with, do not show it.
    assert!(!failed.contains(&"kernel/saturated".into()), "{failed:?}");
}

#[test]
fn empty_body() {
    // A sum of zero is right by luck unless the output was poisoned.
    caught_by("empty-body", &["kernel/zeros", "kernel/random"]);
}

#[test]
fn wrong_group() {
    caught_by(
        "wrong-group",
        &["kernel/random", "kernel/one-weight", "golden/A"],
    );
}

#[test]
fn double_correction_with_both_bugs_and_with_either_mended() {
    caught_by(
        "double-correction/both-bugs",
        &["kernel/random", "kernel/far-from-zero"],
    );
    caught_by(
        "double-correction/groups-mended",
        &["kernel/far-from-zero", "kernel/random"],
    );
    caught_by(
        "double-correction/correction-mended",
        &["kernel/far-from-zero", "kernel/random"],
    );
}

#[test]
fn i16_overflow() {
    let by = ["kernel/saturated", "planned/sums-beyond-int16"];
    caught_only_by("i16-overflow", &by);
}

#[test]
fn float_sum() {
    caught_only_by("float-sum", &["kernel/quantised"]);
}

#[test]
fn judged_elsewhere() {
    let outcome = caught("judged-elsewhere");
    assert_eq!(outcome.note, "judging the chosen row alone finds nothing");
}

#[test]
fn native_only() {
    let outcome = caught("native-only");
    let seen = if NATIVE_BUILD {
        "chosen at compile time the defect is caught"
    } else {
        "chosen at compile time the defect goes unseen"
    };
    assert!(outcome.note.contains(seen), "{}", outcome.note);
}

#[test]
fn half_an_isa() {
    caught_only_by("half-an-isa", &["isa/whole-feature-sets"]);
}

#[test]
fn tails() {
    caught_by(
        "tail/columns",
        &["kernel/random", "kernel/saturated", "golden/C"],
    );
    caught_by("tail/rows", &["kernel/random", "kernel/zeros", "golden/C"]);
}

/// Relative L2 errors in per cent, found with another program: signs of weights, of activations,
/// of both, and no quantisation. Single draws there, a mean here: a maximum varies by a few per
/// cent, and the fewer rows there were, the more the first column does.
#[test]
fn errors_on_gaussian_activations_are_those_found_elsewhere() {
    let elsewhere = [
        (256, [75.8, 235.4, 325.2, 0.7]),
        (688, [71.4, 253.5, 343.4, 0.8]),
        (2560, [73.1, 286.5, 390.6, 0.8]),
        (6912, [66.6, 320.4, 414.9, 0.9]),
    ];
    let formulas = [
        (Formula::SignsOfWeights, 0.15),
        (Formula::SignsOfActivations, 0.06),
        (Formula::SignsOfBoth, 0.08),
        (Formula::Unquantised, 0.15),
    ];
    for (cols, percents) in elsewhere {
        for ((formula, tolerance), percent) in formulas.into_iter().zip(percents) {
            let got = 100.0 * error::on_gaussian(formula, cols, 24);
            let apart = (got / percent - 1.0).abs();
            assert!(
                apart < tolerance,
                "{formula}, K = {cols}: {got:.1} %, not {percent} %"
            );
        }
    }
}

/// With trits of which a share z is zero, the signs of weights cost `sqrt(z / (1 - z))`.
#[test]
fn signs_of_weights_cost_what_theory_says() {
    let mean = error::WIDTHS.map(|cols| error::on_gaussian(Formula::SignsOfWeights, cols, 24));
    let mean = mean.iter().sum::<f64>() / mean.len() as f64;
    let theory = (1.0f64 / 3.0 / (2.0 / 3.0)).sqrt();
    assert!(
        (mean / theory - 1.0).abs() < 0.05,
        "{mean}, theory {theory}"
    );
}

/// The claim of 291 to 430 % fits signs on both sides, and no single one at every width.
#[test]
fn the_claimed_error_is_that_of_signs_on_both_sides() {
    let (low, high) = error::CLAIMED;
    let near = |e: f64| e > 0.95 * low && e < 1.05 * high;
    for cols in error::WIDTHS {
        assert!(
            near(error::on_gaussian(Formula::SignsOfBoth, cols, 24)),
            "K = {cols}"
        );
        assert!(!near(error::on_gaussian(Formula::SignsOfWeights, cols, 24)));
    }
    assert!(!near(error::on_gaussian(
        Formula::SignsOfActivations,
        256,
        24
    )));
}

/// The same over the linears of the trained model: least, median, largest, in per cent. The text
/// read elsewhere was another one.
#[test]
fn errors_on_the_trained_model_are_those_found_elsewhere() {
    let trained = &goldens(&["trained"]).goldens[0];
    let prompt = &trained.content.taps.as_ref().unwrap().prompt;
    let spreads = error::on_model(&trained.model_folder(), prompt).unwrap();
    let elsewhere = [
        (Formula::SignsOfWeights, [33.0, 59.0, 82.0]),
        (Formula::SignsOfActivations, [149.0, 223.0, 1818.0]),
        (Formula::SignsOfBoth, [181.0, 313.0, 13687.0]),
    ];
    for (formula, percents) in elsewhere {
        let (_, got) = spreads.iter().find(|(f, _)| *f == formula).unwrap();
        for (got, percent) in [got.min, got.median, got.max].into_iter().zip(percents) {
            let apart = (100.0 * got / percent - 1.0).abs();
            assert!(
                apart < 0.16,
                "{formula}: {:.1} %, not {percent} %",
                100.0 * got
            );
        }
    }
}

/// Logits of the trained model drift by 101 tolerances with signs of weights, as found elsewhere.
/// With signs of activations it was 40, from the signs of the floats; a kernel has the int8 values
/// only, and takes small negative ones, which are 0 by then, for positive.
#[test]
fn drift_of_the_whole_model_is_that_found_elsewhere() {
    let trained = goldens(&["trained"]);
    let got = drift(&trained, &SIGNS_OF_WEIGHTS);
    assert!((got / 101.0 - 1.0).abs() < 0.05, "{got}");
    assert!(drift(&trained, &SIGNS_OF_ACTIVATIONS) > 40.0);
}

/// The largest figure over its limit.
fn drift(fixtures: &Fixtures, spec: &'static Spec) -> f64 {
    let kernel = Kernel::new(spec).unwrap();
    let document = &fixtures.goldens[0];
    let checkpoint = Checkpoint::open(&document.model_folder()).unwrap();
    let model = Model::load(&checkpoint, &kernel).unwrap();
    let pool = Pool::new(1).unwrap();
    let checks = check::collect(|book| {
        for case in &document.content.cases {
            golden::judge_case(&case.id, case, &model, kernel, &pool, book);
        }
    });
    checks
        .iter()
        .filter_map(|check| Some(check.figure? / check.limit.filter(|&l| l > 0.0)?))
        .fold(0.0, f64::max)
}
