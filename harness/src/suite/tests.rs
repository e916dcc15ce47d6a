//! What holds for the cases of every kind.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::kernels::{Kernel, Operands, Rows, Spec, available};
use bitgauge_engine::trits::Trits;

use super::*;
use crate::defects;

fn id(text: &str) -> CaseId {
    text.parse().unwrap()
}

fn digest(blueprint: &Blueprint) -> Digest {
    let verified = blueprint.verified(&mut Placement::fresh());
    let verified = verified.unwrap_or_else(|error| panic!("{error}"));
    verified.case().digest()
}

#[test]
fn equal_work_gives_equal_digests_whoever_does_it_wherever() {
    for phase in ["decode", "prefill"] {
        let mut digests = Vec::new();
        for kernel in available() {
            for threads in [1, 2] {
                let name = kernel.spec().name();
                let case = id(&format!("{phase}/250x300/{name}/{threads}t"));
                let blueprint = Blueprint::new(&case).unwrap();
                digests.extend([digest(&blueprint), digest(&blueprint)]);
            }
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "{phase}: {digests:?}");
    }
    let shapes = ["decode/250x300/best/1t", "decode/251x300/best/1t"];
    let [a, b] = shapes.map(|case| digest(&Blueprint::new(&id(case)).unwrap()));
    assert_ne!(a, b);
}

/// Each is refused by every case that multiplies with it, before anything could be timed: the
/// error is all that there is.
#[test]
fn a_wrong_kernel_is_refused() {
    static WRONG: [&Spec; 6] = [
        &defects::EMPTY_BODY,
        &defects::DROPPED_COLUMNS,
        &defects::SIGNS_OF_ACTIVATIONS,
        &defects::ONE_VALUE,
        &defects::WRONG_GROUP,
        &defects::TWICE_CORRECTED,
    ];
    for case in [
        "decode/250x300/best/1t",
        "prefill/250x300/best/1t",
        "prefill/1000x2570/best/2t",
        "token/tiny/best/1t",
    ] {
        for spec in WRONG {
            let kernel = Kernel::new(spec).unwrap();
            let blueprint = Blueprint::with_kernel(&id(case), kernel).unwrap();
            let error = blueprint.verified(&mut Placement::fresh()).unwrap_err();
            let name = spec.name();
            assert!(
                matches!(error, SuiteError::Wrong { .. }),
                "{case}, {name}: {error}"
            );
            assert_eq!(error.exit(), Exit::WrongAnswers);
            assert!(error.to_string().contains("wrong answers"), "{error}");
        }
    }
}

/// One byte a weight, right but for what `spoil` does to a sum: `(row, token, sum)`.
fn plain(
    op: &Operands<'_>,
    range: Range<usize>,
    out: &mut [i32],
    spoil: impl Fn(usize, usize, &mut i32),
) {
    let tokens = op.quantized.tokens();
    for (n, out) in range.zip(out.chunks_exact_mut(tokens)) {
        let row = &op.weights[n * op.cols..][..op.cols];
        for (t, out) in out.iter_mut().enumerate() {
            let products = row.iter().zip(op.quantized.row(t));
            *out = products
                .map(|(&w, &q)| i32::from(w as i8) * i32::from(q))
                .sum();
            spoil(n, t, out);
        }
    }
}

const fn spec(name: &'static str, rows: Rows) -> Spec {
    fn pack(trits: &Trits) -> Aligned {
        let mut packed = Aligned::zeroed(trits.rows() * trits.cols());
        let bytes = packed.as_mut_slice::<i8>().chunks_exact_mut(trits.cols());
        for (n, row) in bytes.enumerate() {
            row.copy_from_slice(trits.row(n));
        }
        packed
    }
    Spec::portable(name, "one byte a weight", 8.0, 1, pack, |_, _| (), rows)
}

/// Row 500 is none of those that the oracle sums up.
#[test]
fn a_wrong_row_that_the_oracle_did_not_sum_up_is_refused_too() {
    static ONE_ROW: Spec = spec("one-row", |op, range, out| {
        plain(op, range, out, |n, t, sum| {
            *sum += i32::from(n == 500 && t == 31)
        });
    });
    let case = id("prefill/1000x2560/best/1t");
    let blueprint = Blueprint::with_kernel(&case, Kernel::new(&ONE_ROW).unwrap()).unwrap();
    let error = blueprint.judge().unwrap_err().to_string();
    let says = "a random combination of all sums of token 31";
    assert!(error.contains(says), "{error}");
}

#[test]
fn a_placement_that_answers_otherwise_than_the_judged_one_is_refused() {
    static LATER: AtomicBool = AtomicBool::new(false);
    static FICKLE: Spec = spec("fickle", |op, range, out| {
        let wrong = LATER.load(Ordering::Relaxed);
        plain(op, range, out, |n, _, sum| {
            *sum += i32::from(wrong && n == 63)
        });
    });
    let case = id("decode/64x256/best/1t");
    let blueprint = Blueprint::with_kernel(&case, Kernel::new(&FICKLE).unwrap()).unwrap();
    assert!(blueprint.verified(&mut Placement::fresh()).is_ok());
    LATER.store(true, Ordering::Relaxed);
    let error = blueprint.verified(&mut Placement::fresh()).unwrap_err();
    assert_eq!(error.exit(), Exit::WrongAnswers);
    assert!(
        error.to_string().contains("1 of 64 numbers differ"),
        "{error}"
    );
}

#[test]
fn extra_work_is_what_was_planted_and_changes_no_answer() {
    for (case, share, least, most) in [
        ("decode/512x256/naive/1t", 0.01, 0.009, 0.011),
        ("decode/640x256/best/2t", 0.1, 0.1, 0.1),
        ("prefill/320x256/best/1t", 0.2, 0.2, 0.2),
        ("op/rms_norm/100x64/1t", 0.07, 0.07, 0.07),
        ("op/head/1000x64/2t", 0.005, 0.005, 0.005),
        ("op/greedy/1000x64/2t", 0.1, 0.09, 0.11),
        ("op/attention/1x64/2t", 0.2, 0.2, 0.2),
        ("token/tiny/best/1t", 0.25, 0.2, 0.3),
        ("loop/lcg/20000/1t", 0.001, 0.001, 0.001),
        ("memory/walk/2MiB/1t", 0.01, 0.0099, 0.0101),
    ] {
        let plain = Blueprint::new(&id(case)).unwrap();
        let slowed = case_with_extra(&id(case), share).unwrap();
        assert_eq!(plain.planted(), None);
        let planted = slowed.planted().unwrap();
        assert!((least..=most).contains(&planted), "{case}: {planted}");
        assert_eq!(digest(&slowed), digest(&plain), "{case}");
    }
}

#[test]
fn extra_work_that_cannot_be_planted_is_refused() {
    for (case, share, says) in [
        ("decode/64x256/naive/1t", 0.0, "above 0 and at most 1"),
        ("decode/64x256/naive/1t", 1.5, "above 0 and at most 1"),
        ("decode/64x256/naive/1t", f64::NAN, "above 0 and at most 1"),
        (
            "decode/64x256/naive/1t",
            0.001,
            "less than half of one unit",
        ),
        ("loop/lcg/100/1t", 0.001, "less than half of one unit"),
        ("op/quantize/4x64/1t", 0.5, "plant it in another operation"),
    ] {
        let error = case_with_extra(&id(case), share).err().unwrap();
        assert!(matches!(error, SuiteError::Extra { .. }), "{error}");
        assert_eq!(error.exit(), Exit::CouldNotRun);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_case_takes_time() {
    let blueprint = Blueprint::new(&id("decode/64x256/best/1t")).unwrap();
    let mut placed = blueprint.place(&mut Placement::fresh()).unwrap();
    assert!(placed.time(3).unwrap() > Duration::ZERO);
}
