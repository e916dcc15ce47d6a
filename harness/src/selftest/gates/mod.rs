//! Gates that are known to have failed in public: each failure is re-enacted, shown prevented,
//! and, as a control, let happen by the rule that failed, where that rule can be run.

mod noise;
mod real;
mod usual;

use std::time::Duration;

use super::{Bench, Item, Said};

/// A row of the table.
struct Row {
    id: &'static str,
    seen_in: &'static str,
    planted: &'static str,
    expected: &'static str,
    takes: f64,
    run: fn(&Bench) -> Said,
}

const TABLE: [Row; 8] = [
    Row {
        id: "red-but-zero",
        seen_in: "bheisler/criterion.rs 824",
        planted: "a regression of 5 %, run as CI runs it",
        expected: "the word `regressed`, and exit 1",
        takes: 0.3,
        run: real::red_but_zero,
    },
    Row {
        id: "minutes-apart",
        seen_in: "orieg/php-judy 87",
        planted: "equal sides on simulated machines that turn 5 % slower and back",
        expected: "no change on any of them, at margin 2 %",
        takes: 0.3,
        run: noise::minutes_apart,
    },
    Row {
        id: "docs-only-red",
        seen_in: "lance0/rustbgpd 339, 566",
        planted: "five comparisons of a worker with itself, as after a change of documents only",
        expected: "5 of 5 unchanged, at margin 2 %",
        takes: 1.0,
        run: real::docs_only_red,
    },
    Row {
        id: "three-times-45-minutes",
        seen_in: "cockroachdb/cockroach 142206",
        planted: "a slowdown of 5 % in one process",
        expected: "regressed within 10 s of measuring, at margin 2 %",
        takes: 0.2,
        run: real::three_times_45_minutes,
    },
    Row {
        id: "silence-is-green",
        seen_in: "shotover/shotover-proxy 1621",
        planted: "a run that checks nothing, and one that fails",
        expected: "exit 2 for the one; a document and a report with the verdict for the other",
        takes: 0.3,
        run: real::silence_is_green,
    },
    Row {
        id: "slow-boil",
        seen_in: "rustc-perf, Mongo and others",
        planted: "ten commits of 0.8 % each, gated one by one and against the last release",
        expected: "regressed against the release, at margin 2 %",
        takes: 0.7,
        run: real::slow_boil,
    },
    Row {
        id: "wrong-and-fast",
        seen_in: "many",
        planted: "a worker that skips half of the work",
        expected: "exit 3, and no verdict on that case",
        takes: 0.8,
        run: real::wrong_and_fast,
    },
    Row {
        id: "layout-luck",
        seen_in: "Mytkowicz and others, 2009",
        planted: "equal sides on simulated machines where a side's place is worth 1 % (s.d.)",
        expected: "no change on any of them, at margin 2 %",
        takes: 0.3,
        run: noise::layout_luck,
    },
];

pub(super) fn items() -> Vec<Item> {
    let item = |row: Row| Item {
        id: format!("gate/{}", row.id),
        planted: row.planted.to_owned(),
        expected: row.expected.to_owned(),
        seen_in: Some(row.seen_in),
        takes: Duration::from_secs_f64(row.takes),
        run: Box::new(row.run),
    };
    TABLE.into_iter().map(item).collect()
}
