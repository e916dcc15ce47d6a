//! Tables of the ladder: claims, steps, each step apart, the hidden gain, raw samples.

use super::super::finding::{self, Mark};
use super::super::summary::cut;
use super::super::table::Kind::{Estimate, Number, Text};
use super::super::table::{Cell, Table, csv_rows};
use super::utilisation;
use crate::run::{Comparison, Figures, Isolated, Ladder, Masking, Measured, Run};

/// Each claim with what was measured. The table that everybody reads.
pub fn claims(ladder: &Ladder) -> Table {
    let mut t = Table::new(
        "claims",
        "Claims, what was measured, and what became of them. In its place: on top of the steps \
         before it; in the full set: with all other steps there",
        &[
            ("claim", "Claim", Text),
            ("claimed", "Claimed", Text),
            ("verdict", "Verdict", Text),
            ("measured", "Measured", Text),
        ],
    );
    for judged in finding::judged(ladder) {
        t.push(vec![
            Cell::Text(judged.text),
            judged
                .claimed
                .map_or_else(|| Cell::Instead("nothing".into()), Cell::Text),
            Cell::Verdict(judged.finding.mark, judged.finding.verdict()),
            Cell::Lines(judged.finding.measured),
        ]);
    }
    t
}

/// What stands where a figure would, when a comparison has none.
fn no_figure(comparison: &Comparison) -> Cell {
    match comparison {
        Comparison::Timed { .. } => Cell::Missing("not measured".into()),
        Comparison::Mended { .. } => Cell::Instead("wrong answer before".into()),
        Comparison::Wrong { .. } => Cell::Instead("wrong answer".into()),
        other => Cell::Instead(finding::no_time(other)),
    }
}

/// A speedup, or the error or reason in its place.
fn speedup_cell(comparison: &Comparison) -> Cell {
    match comparison {
        Comparison::Timed { speedup, .. } => Cell::Estimate(*speedup),
        other => Cell::Instead(finding::outcome(other)),
    }
}

/// The steps, each on top of those before it.
pub fn rungs(run: &Run, ladder: &Ladder) -> Table {
    let mut t = Table::new(
        "steps",
        format!(
            "Ladder {}{}: each step on top of those before it. Speedup is before / after in time; \
             intervals in brackets",
            ladder.name,
            cut(run).map_or_else(String::new, |cut| format!(" on {cut}"))
        ),
        &[
            ("step", "Step", Text),
            ("title", "Title", Text),
            ("compared_with", "Compared with", Text),
            ("before_token_s", "Before, token/s", Estimate),
            ("after_token_s", "After, token/s", Estimate),
            ("speedup", "Speedup, ×", Estimate),
            ("after_ms_token", "After, ms/token", Estimate),
            ("after_gb_s", "GB/s", Number),
            ("after_percent_of_bandwidth", "% of read bandwidth", Number),
            ("after_product_share_percent", "Products, % of time", Number),
            ("after_utilisation_percent", "Busy per core, %", Text),
            ("after_relative_error_percent", "Relative error, %", Number),
            ("threads", "Threads", Number),
            ("tokens", "Tokens a sample", Number),
            ("blocks", "Blocks", Number),
            ("outcome", "Outcome", Text),
            ("wrong_on", "Wrong on", Text),
        ],
    );
    for step in &ladder.rungs {
        let c = &step.comparison;
        let missing = no_figure(c);
        let of = |f: Option<&Figures>, cell: &dyn Fn(&Figures) -> Cell| {
            f.map_or_else(|| missing.clone(), cell)
        };
        let after = c.after();
        t.push(vec![
            Cell::Code(step.id.clone()),
            Cell::Text(step.title.clone()),
            Cell::Code(step.compared_with.clone()),
            of(c.before(), &|f| Cell::Estimate(f.token_s)),
            of(after, &|f| Cell::Estimate(f.token_s)),
            c.speedup()
                .map_or_else(|| missing.clone(), |e| Cell::Estimate(*e)),
            of(after, &|f| Cell::Estimate(f.ms_token)),
            of(after, &|f| Cell::number(&f.gb_s)),
            of(after, &|f| Cell::number(&f.percent_of_bandwidth)),
            of(after, &|f| Cell::number(&f.product_share)),
            of(after, &|f| utilisation(&f.utilisation)),
            match (c, after) {
                (Comparison::Wrong { error }, _) => Cell::Number(100.0 * error.relative_error),
                (_, Some(f)) => Cell::number(&f.relative_error.clone().map(|e| 100.0 * e)),
                _ => missing.clone(),
            },
            of(after, &|f| Cell::Count(f.threads as u64)),
            of(after, &|f| Cell::Count(f.tokens)),
            match c.speedup() {
                Some(e) => Cell::Count(e.blocks),
                None => missing.clone(),
            },
            match c {
                Comparison::Timed { .. } => Cell::Verdict(Mark::Held, "right, timed".into()),
                Comparison::Mended { .. } => Cell::Verdict(Mark::Held, "right from here".into()),
                Comparison::Wrong { .. } => Cell::Verdict(Mark::Broken, "wrong answer".into()),
                other => Cell::Verdict(Mark::Unknown, finding::no_time(other)),
            },
            match c {
                Comparison::Wrong { error } => Cell::Text(error.seen_on.clone()),
                Comparison::Mended { error_before, .. } => {
                    Cell::Text(format!("before it: {}", error_before.seen_on))
                }
                _ => Cell::Instead("not wrong".into()),
            },
        ]);
    }
    t
}

/// Each step alone on the original, and left out of the full set.
pub fn isolated(ladder: &Ladder) -> Table {
    let mut t = Table::new(
        "isolated",
        "Each step alone on the original, and what it is worth in the full set (speed with it / \
         without it)",
        &[
            ("step", "Step", Text),
            ("title", "Title", Text),
            ("alone_speedup", "Alone, ×", Estimate),
            ("left_out_speedup", "In the full set, ×", Estimate),
        ],
    );
    let find = |list: &[Isolated], id: &str| match list.iter().find(|i| i.step == id) {
        Some(i) => speedup_cell(&i.comparison),
        None => Cell::Instead("not run".into()),
    };
    for step in &ladder.rungs {
        t.push(vec![
            Cell::Code(step.id.clone()),
            Cell::Text(step.title.clone()),
            find(&ladder.alone, &step.id),
            find(&ladder.left_out, &step.id),
        ]);
    }
    t
}

/// A feature off and on, at the bottom and at the top of the ladder.
pub fn masking(m: &Masking) -> Table {
    let mut t = Table::new(
        "masking",
        format!("{} off and on, {} tokens a sample", m.feature, m.tokens),
        &[
            ("state", "State", Text),
            ("off_token_s", "Off, token/s", Estimate),
            ("on_token_s", "On, token/s", Estimate),
            ("gain", "Gain, ×", Estimate),
        ],
    );
    for (state, c) in [
        ("every defect in place", &m.at_bottom),
        ("every fix in place", &m.at_top),
    ] {
        let missing = no_figure(c);
        t.push(vec![
            Cell::Text(state.into()),
            c.before()
                .map_or_else(|| missing.clone(), |f| Cell::Estimate(f.token_s)),
            c.after()
                .map_or_else(|| missing.clone(), |f| Cell::Estimate(f.token_s)),
            c.speedup()
                .map_or_else(|| missing.clone(), |e| Cell::Estimate(*e)),
        ]);
    }
    t
}

/// Every raw sample of the ladder, one slice a row.
pub fn samples_csv(ladder: &Ladder) -> Vec<u8> {
    let mut rows = Vec::new();
    let mut add = |set: &str, step: &str, c: &Comparison| {
        if let Comparison::Timed { samples, .. } = c {
            for (i, block) in samples.iter().enumerate() {
                for (side, times) in [("before", &block.before_ns), ("after", &block.after_ns)] {
                    for (j, ns) in times.iter().enumerate() {
                        rows.push(vec![
                            set.to_owned(),
                            step.to_owned(),
                            i.to_string(),
                            block.order.clone(),
                            side.to_owned(),
                            j.to_string(),
                            ns.to_string(),
                        ]);
                    }
                }
            }
        }
    };
    for s in &ladder.rungs {
        add("cumulative", &s.id, &s.comparison);
    }
    for i in &ladder.alone {
        add("alone", &i.step, &i.comparison);
    }
    for i in &ladder.left_out {
        add("left_out", &i.step, &i.comparison);
    }
    if let Measured::Is(m) = &ladder.masking {
        add("masking_bottom", &m.feature, &m.at_bottom);
        add("masking_top", &m.feature, &m.at_top);
    }
    csv_rows(
        &[
            "set",
            "step",
            "block",
            "order",
            "side",
            "slice",
            "ns_per_token",
        ],
        rows.into_iter(),
    )
}
