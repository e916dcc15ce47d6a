//! Workers that can't be believed or don't answer: named, with the reason, and what was measured
//! before stays.

use std::time::Duration;

use super::answers::against;
use super::bench::{Ran, judged};
use super::misbehaviour::{HONEST, Misbehaviour, VICTIM};
use super::{Item, Said};
use crate::measure::Verdict;

/// One line of the table.
struct Row {
    mode: Misbehaviour,
    planted: &'static str,
    /// What the message must hold beside the worker's name.
    reason: &'static str,
    /// It goes wrong on one case only, so the other one must keep its verdict.
    keeps: bool,
    takes: f64,
}

const TABLE: [Row; 8] = [
    Row {
        mode: Misbehaviour::Overstates,
        planted: "a worker that adds a second to its times",
        reason: "lies about time",
        keeps: true,
        takes: 0.3,
    },
    Row {
        mode: Misbehaviour::Understates,
        planted: "a worker that reports a hundredth of its times",
        reason: "lies about time",
        keeps: true,
        takes: 0.5,
    },
    Row {
        mode: Misbehaviour::FrozenClock,
        planted: "a worker that says 1 ns, whatever it did",
        reason: "lies about time",
        keeps: true,
        takes: 0.5,
    },
    Row {
        mode: Misbehaviour::Hangs,
        planted: "a worker that never answers",
        reason: "hung",
        keeps: true,
        takes: 3.2,
    },
    Row {
        mode: Misbehaviour::Dies,
        planted: "a worker that dies in the middle",
        reason: "died without an answer",
        keeps: true,
        takes: 0.3,
    },
    Row {
        mode: Misbehaviour::DiesAtHello,
        planted: "a worker that dies at hello",
        reason: "died without an answer",
        keeps: false,
        takes: 0.1,
    },
    Row {
        mode: Misbehaviour::Garbage,
        planted: "a worker that writes garbage",
        reason: "wrote garbage",
        keeps: false,
        takes: 0.1,
    },
    Row {
        mode: Misbehaviour::NoCases,
        planted: "a worker without cases",
        reason: "no cases",
        keeps: false,
        takes: 0.1,
    },
];

pub(super) fn items() -> Vec<Item> {
    TABLE.into_iter().map(item).collect()
}

fn item(row: Row) -> Item {
    let keeps = match row.keeps {
        true => "; the other case keeps its verdict",
        false => "",
    };
    Item {
        id: format!("worker/{}", row.mode),
        planted: row.planted.to_owned(),
        expected: format!("exit 2, naming the worker: \"{}\"{keeps}", row.reason),
        seen_in: None,
        takes: Duration::from_secs_f64(row.takes),
        run: Box::new(move |bench| {
            // Long enough for any honest answer on a busy machine.
            let ran = against(row.mode, bench, &["--timeout", "3"]);
            judged(ran, |ran| judge(&row, ran))
        }),
    }
}

fn judge(row: &Row, ran: &Ran) -> Said {
    let flag = format!("--misbehave {}", row.mode);
    let said = ran.must(2, &[row.reason, &flag]);
    if !row.keeps {
        return said;
    }
    let verdicts = ran.verdicts();
    let kept = verdicts.as_ref().is_some_and(|v| {
        let honest =
            |c: &crate::verdicts::CaseVerdict| c.case == HONEST && c.verdict == Verdict::Unchanged;
        v.cases.iter().any(honest) && v.not_checked.iter().any(|c| c.case == VICTIM)
    });
    match kept {
        true => said,
        false => Said::new(
            false,
            format!("{}; {HONEST} has lost its verdict", said.said),
        ),
    }
}
