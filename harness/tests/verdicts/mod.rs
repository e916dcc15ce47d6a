//! Made-up verdicts.

use bitgauge::exit::Exit;
use bitgauge::measure::Verdict;
use bitgauge::verdicts::{CaseVerdict, NotChecked, SCHEMA, Side, Times, Verdicts};

/// Names with what each format gives a meaning, and what XML can't hold.
pub const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "a|b \\| c `d` [x](y) *e* <!-- f",
    "a,b::c%0A100% ::error::d",
    "line\nbreak\r\nand\ttab",
    "\u{0}\u{7}\u{1b}[31m\u{fffe}\u{ffff}\u{85}",
    "]]> & \" ' </td><td>x",
    "=cmd|' /C calc'!A0,\"quoted\"",
    "日本語 𝛼 \u{202e}rtl",
];

pub fn case(name: &str, verdict: Verdict, speedup: Option<f64>) -> CaseVerdict {
    CaseVerdict {
        case: name.into(),
        verdict,
        speedup,
        low: speedup.map(|s| s * 0.99),
        high: speedup.map(|s| s * 1.01),
        blocks: 40,
        placements: 5,
        seconds: 0.25,
        before_ns: speedup.map(|s| 33_000.0 * s),
        after_ns: Some(33_000.0),
        check: Some("c0ffee".into()),
        judged: false,
    }
}

fn document(cases: Vec<CaseVerdict>, not_checked: Vec<NotChecked>) -> Verdicts {
    let mut v = Verdicts {
        counters: None,
        schema: SCHEMA,
        command: "gate".into(),
        before: Side {
            name: "111111111111".into(),
            revision: Some("111111111111".into()),
            isa: Some("avx2".into()),
        },
        after: Side {
            name: "work tree".into(),
            revision: Some("222222222222+".into()),
            isa: Some("avx2".into()),
        },
        machine: "some-machine-2cpu".into(),
        started: "2026-01-02T03:04:05Z".into(),
        times: Times::Taken,
        seed: 7,
        margin: 0.02,
        margin_from: "calibration".into(),
        alpha: 0.001,
        cases,
        not_checked,
        exit: 0,
    };
    v.exit = v.exit() as u8;
    v
}

/// Fifty cases: 3 regressed, 4 improved, 4 unclear, 39 unchanged; and two that were not checked.
pub fn fifty() -> Verdicts {
    let cases = (0..50)
        .map(|i| {
            let kernel = [
                "naive",
                "tmac-avx2",
                "maddubs-avx2",
                "vnni-avx512",
                "vbmi-avx512",
            ][i % 5];
            let product = ["qkv", "o_proj", "gate_up", "down_proj", "lm_head"][i / 5 % 5];
            let threads = 1 + i / 25;
            let name = format!("case/{product}/2b4t/{kernel}/t{threads}");
            let small = (i as f64 * 7919.0 % 100.0 - 50.0) / 1e4;
            let (verdict, speedup) = match i {
                0..=2 => (Verdict::Regressed, [0.97, 0.9, 0.955][i]),
                3..=6 => (Verdict::Improved, [1.031, 1.12, 1.05, 1.024][i - 3]),
                7..=10 => (Verdict::Unclear, [1.018, 0.981, 1.0, 1.025][i - 7]),
                _ => (Verdict::Unchanged, 1.0 + small),
            };
            let mut c = case(&name, verdict, Some(speedup));
            let half = if verdict == Verdict::Unclear {
                0.03
            } else {
                0.006
            };
            c.low = Some(speedup - half);
            c.high = (i != 9).then_some(speedup + half);
            c.check = (i != 10).then(|| "c0ffee".into());
            c
        })
        .collect();
    let failure = |case: &str, why: &str| NotChecked {
        case: case.into(),
        why: why.into(),
        exit: Exit::CouldNotRun as u8,
    };
    document(
        cases,
        vec![
            failure(
                "case/decode/2b4t/t2",
                "the worker of \"before\" died: signal 11",
            ),
            failure("case/prefill/2b4t/t2", "no answer within 60 s"),
        ],
    )
}

/// Each hostile name with a verdict, and again without one.
pub fn hostile() -> Verdicts {
    let verdicts = [
        Verdict::Regressed,
        Verdict::Improved,
        Verdict::Unclear,
        Verdict::Unchanged,
    ];
    let cases = HOSTILE
        .iter()
        .enumerate()
        .map(|(i, name)| {
            case(
                name,
                verdicts[i % 4],
                (i != 2).then_some(1.0 + i as f64 / 100.0),
            )
        })
        .collect();
    let failure = |name: &&str| NotChecked {
        case: (*name).into(),
        why: format!("it said {name}"),
        exit: Exit::WrongAnswers as u8,
    };
    document(cases, HOSTILE.iter().map(failure).collect())
}

/// A gate without a case.
pub fn nothing() -> Verdicts {
    document(Vec::new(), Vec::new())
}
