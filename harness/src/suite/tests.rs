//! What holds for the cases of every kind.

use std::time::Duration;

use bitgauge_engine::kernels::{Kernel, Spec, available};

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
            let tiny = case.starts_with("token");
            // The tiny model's widths are whole tiles.
            if tiny && spec.name() == defects::DROPPED_COLUMNS.name() {
                continue;
            }
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

/// The rows that are left out are none of those that the oracle sums up.
#[test]
fn a_wrong_row_that_the_oracle_did_not_sum_up_is_refused_too() {
    static ONE_ROW: Spec = {
        fn rows(
            op: &bitgauge_engine::kernels::Operands<'_>,
            range: std::ops::Range<usize>,
            out: &mut [i32],
        ) {
            let tokens = op.quantized.tokens();
            for (n, out) in range.zip(out.chunks_exact_mut(tokens)) {
                let row = &op.weights[n * op.cols..][..op.cols];
                for (t, out) in out.iter_mut().enumerate() {
                    let products = row.iter().zip(op.quantized.row(t));
                    *out = products
                        .map(|(&w, &q)| i32::from(w as i8) * i32::from(q))
                        .sum();
                    *out += i32::from(n == 500 && t == 31);
                }
            }
        }
        fn pack(trits: &bitgauge_engine::trits::Trits) -> bitgauge_engine::aligned::Aligned {
            let mut packed = bitgauge_engine::aligned::Aligned::zeroed(trits.rows() * trits.cols());
            let bytes = packed.as_mut_slice::<i8>().chunks_exact_mut(trits.cols());
            for (n, row) in bytes.enumerate() {
                row.copy_from_slice(trits.row(n));
            }
            packed
        }
        Spec::portable(
            "one-row",
            "one sum is off by one",
            8.0,
            1,
            pack,
            |_, _| (),
            rows,
        )
    };
    let case = id("prefill/1000x2560/best/1t");
    let blueprint = Blueprint::with_kernel(&case, Kernel::new(&ONE_ROW).unwrap()).unwrap();
    let error = blueprint.judge().unwrap_err().to_string();
    assert!(
        error.contains("a random combination of all sums of token 31"),
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
        ("op/attention/1x64/2t", 0.25, 0.25, 0.25),
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

#[test]
#[ignore]
fn probe() {
    use std::time::Instant;
    let extra = [
        "decode/gate_up/best/1t",
        "memory/walk/256MiB/1t",
        "loop/lcg/20000/1t",
    ];
    let mut ids = default_suite(2);
    ids.extend(extra.map(id));
    for case in ids {
        let mut at = Instant::now();
        let mut lap = || {
            let t = at.elapsed();
            at = Instant::now();
            t
        };
        let b = Blueprint::new(&case).unwrap();
        let new = lap();
        b.judge().unwrap();
        let judge = lap();
        let mut p = b.place(&mut Placement::fresh()).unwrap();
        let place = lap();
        let first = p.time(1).unwrap();
        let best = (0..15).map(|_| p.time(2).unwrap() / 2).min().unwrap();
        lap();
        let d = p.digest();
        let dig = lap();
        println!(
            "{case:45} new {new:>10.1?} judge {judge:>10.1?} place {place:>10.1?} first {first:>10.1?} best {best:>10.1?} digest {dig:>8.1?} {d}"
        );
    }
}
