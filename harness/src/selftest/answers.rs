//! Wrong answers: they get an error figure and no time.

use std::ops::ControlFlow;
use std::time::Duration;

use bitgauge_engine::kernels::{Kernel, Spec};

use super::bench::judged;
use super::document::Control;
use super::misbehaviour::{HONEST, Misbehaviour, VICTIM};
use super::{Bench, Item, Said};
use crate::compare::functions::Contest;
use crate::compare::{Outcome, Plan};
use crate::defects::{DROPPED_ROWS, EMPTY_BODY, GROUPED, WRONG_GROUP};
use crate::exit::Exit;
use crate::measure::stats::Rules;
use crate::suite::{Blueprint, CaseId};

/// Rows that are no multiple of a tile, so that a missing tail shows.
const CASE: &str = "decode/250x2560/naive/1t";

/// A wrong kernel, and what is wrong with it.
const KERNELS: [(&str, &Spec, &str); 3] = [
    (
        "wrong-group",
        &WRONG_GROUP,
        "weights are unpacked in other groups than they were packed in",
    ),
    (
        "empty-body",
        &EMPTY_BODY,
        "a kernel that compiled to nothing",
    ),
    (
        "dropped-rows",
        &DROPPED_ROWS,
        "rows after the last whole tile are not written",
    ),
];

pub(super) fn items() -> Vec<Item> {
    let kernel = |(name, spec, what): (&str, &'static Spec, &str)| Item {
        id: format!("wrong-answer/kernel/{name}"),
        planted: format!("{what}, {CASE}"),
        expected: "wrong answers (3) with an error figure, and no time".to_owned(),
        seen_in: None,
        takes: Duration::from_millis(300),
        run: Box::new(move |bench| wrong_kernel(spec, bench)),
    };
    let workers = [
        (
            Misbehaviour::OtherDigest,
            "a worker answers another digest",
            "they must agree",
        ),
        (
            Misbehaviour::Flips,
            "a worker's digest changes while it is timed",
            "answers",
        ),
    ];
    let worker = |(mode, what, reason): (Misbehaviour, &str, &'static str)| Item {
        id: format!("wrong-answer/worker/{mode}"),
        planted: format!("{what}, {VICTIM}"),
        expected: format!("exit 3, naming the worker and the case: \"{reason}\""),
        seen_in: None,
        takes: Duration::from_secs(1),
        run: Box::new(move |bench| {
            let flag = mode.to_string();
            judged(against(mode, bench, &[]), |ran| {
                ran.must(3, &[reason, VICTIM, &flag])
            })
        }),
    };
    KERNELS
        .into_iter()
        .map(kernel)
        .chain(workers.into_iter().map(worker))
        .collect()
}

/// Pairs an honest worker with one that misbehaves.
pub(super) fn against(
    mode: Misbehaviour,
    bench: &Bench,
    more: &[&str],
) -> Result<super::bench::Ran, String> {
    let flag = mode.to_string();
    let cases = ["--case", HONEST, "--case", VICTIM];
    let honest = bench.worker(&cases);
    let other = bench.worker(&[&cases[..], &["--misbehave", &flag]].concat());
    let more = [&["--margin", "5%", "--max-time", "20"], more].concat();
    bench.pair(&honest, &other, &more)
}

fn wrong_kernel(spec: &'static Spec, bench: &Bench) -> Said {
    let wrong = match contest(spec, bench) {
        Ok(outcome) => outcome,
        Err(why) => return Said::new(false, why),
    };
    let refused = wrong.not_checked.first();
    let held = wrong.cases.is_empty()
        && refused.is_some_and(|c| c.exit == Exit::WrongAnswers as u8 && c.why.contains("differ"));
    let said = match refused {
        Some(c) => format!("refused ({}): {}", c.exit, c.why),
        None => format!("{} verdicts on it", wrong.cases.len()),
    };
    let control = match contest(&GROUPED, bench) {
        Ok(right) => Control {
            rule: "the same kernel done right".to_owned(),
            said: match right.not_checked.first() {
                None => "timed".to_owned(),
                Some(c) => format!("refused: {}", c.why),
            },
            held: right.not_checked.is_empty() && !right.cases.is_empty(),
        },
        Err(why) => Control {
            rule: "the same kernel done right".to_owned(),
            said: why,
            held: false,
        },
    };
    Said::new(held, said).control(control)
}

/// The naive kernel against this one.
fn contest(spec: &'static Spec, bench: &Bench) -> Result<Outcome, String> {
    let id: CaseId = CASE.parse().map_err(|e| format!("{e}"))?;
    let kernel = Kernel::new(spec).map_err(|e| e.to_string())?;
    let contest = Contest::new(
        CASE,
        Blueprint::new(&id).map_err(|e| e.to_string())?,
        Blueprint::with_kernel(&id, kernel).map_err(|e| e.to_string())?,
    );
    let plan = Plan {
        rules: Rules::default(),
        seed: bench.seed,
        // Whether there is a time at all is the question.
        max_time: Duration::from_millis(50),
    };
    let compare = bench.compare;
    Ok(compare(&[contest], ["right", "wrong"], &plan, &mut |_| {
        ControlFlow::Continue(())
    }))
}
