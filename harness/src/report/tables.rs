//! The tables of a run.

use super::table::{Cell, Kind, Table, csv_rows};
use super::wording::{self, Finding, Mark, NBSP, fraction, number, or_why, times};
use crate::run::{
    CheckStatus, Checks, Comparison, Defect, DefectOutcome, Figures, Isolated, KernelRow, Ladder,
    Masking, Measured, Product, Profile, Run, Scaled, ScalingPoint, Selection, Totals, Yardstick,
    Yardsticks,
};
use Kind::{Estimate, Number, Text};

/// Every table of the run that has data, in the order of the page.
pub fn all(run: &Run) -> Vec<Table> {
    let ladder = run.ladder.as_ref();
    let tables = [
        ladder.clone().map(claims),
        ladder.clone().map(rungs),
        ladder.clone().map(isolated),
        match run.ladder.get().map(|l| &l.masking) {
            Some(Measured::Is(m)) => Measured::Is(masking(m)),
            _ => Measured::unavailable(""),
        },
        run.profiles.as_ref().map(|p| profiles(p)),
        run.products.as_ref().map(|p| products(p)),
        run.yardsticks.as_ref().map(yardsticks),
        run.scaling.as_ref().map(|s| scaling(s)),
        run.checks.as_ref().map(|c| checks(c, |_| true)),
        run.defects.as_ref().map(|d| defects(d)),
        run.kernels.as_ref().map(|k| kernels(k)),
        run.selection.as_ref().map(selection),
        run.totals.as_ref().map(skipped),
    ];
    tables.iter().filter_map(Measured::get).cloned().collect()
}

fn verdict(finding: &Finding) -> Cell {
    Cell::Verdict(
        finding.mark,
        format!("{}: {}", finding.word, finding.sentence),
    )
}

/// Each claim with what was measured. The table that everybody reads.
pub fn claims(ladder: &Ladder) -> Table {
    let mut t = Table::new(
        "claims",
        "Claims and what became of them",
        &[
            ("claim", "Claim", Text),
            ("claimed", "Claimed", Text),
            ("verdict", "Verdict", Text),
        ],
    );
    for step in &ladder.rungs {
        let (text, range) = match &step.claim {
            Some(c) => (format!("{}: {}", step.title, c.text), wording::claimed(c)),
            None => (step.title.clone(), "nothing".into()),
        };
        t.push(vec![
            Cell::Text(text),
            Cell::Text(range),
            verdict(&Finding::of_comparison(&step.comparison)),
        ]);
    }
    if let Measured::Is(m) = &ladder.masking {
        let (text, range) = match &m.claim {
            Some(c) => (format!("{}: {}", m.feature, c.text), wording::claimed(c)),
            None => (m.feature.clone(), "nothing".into()),
        };
        t.push(vec![
            Cell::Text(text),
            Cell::Text(range),
            verdict(&masking_finding(m)),
        ]);
    }
    for target in &ladder.targets {
        t.push(vec![
            Cell::Text(target.text.clone()),
            Cell::Text("target".into()),
            verdict(&Finding::of_target(target)),
        ]);
    }
    t
}

/// The masked gain, at the bottom and at the top.
pub fn masking_finding(m: &Masking) -> Finding {
    let end = |c: &Comparison| match c.speedup() {
        Some(e) => format!("{} ({})", times(e.value), wording::sureness(e)),
        None => {
            let f = Finding::of_comparison(c);
            format!("{}: {}", f.word, f.sentence)
        }
    };
    Finding::of(
        &m.verdict,
        &format!(
            "with every defect {}, with every fix {}",
            end(&m.at_bottom),
            end(&m.at_top)
        ),
    )
}

/// What stands where a figure would, when a comparison has none. The verdict says more.
fn no_figure(comparison: &Comparison) -> Cell {
    Cell::Missing(match comparison {
        Comparison::Wrong { .. } => "wrong answer".into(),
        Comparison::Mended { .. } => "wrong answer before".into(),
        Comparison::NotRun { .. } => "not run".into(),
        Comparison::Timed { .. } => "not measured".into(),
    })
}

/// A speedup, or the error or reason in its place.
fn speedup_cell(comparison: &Comparison) -> Cell {
    match comparison {
        Comparison::Timed { speedup, .. } => Cell::Estimate(*speedup),
        Comparison::Wrong { error } => {
            Cell::Missing(format!("wrong answer, {}", wording::wrong(error)))
        }
        Comparison::Mended { error_before, .. } => Cell::Missing(format!(
            "wrong answer without it, {}",
            wording::wrong(error_before)
        )),
        Comparison::NotRun { why } => Cell::Missing(format!("not run, {why}")),
    }
}

/// Per cent of each worker: `97, 96`.
pub fn utilisation(value: &Measured<Vec<f64>>) -> Cell {
    match value {
        Measured::Is(cores) => Cell::Text(
            cores
                .iter()
                .map(|&u| number(u))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        Measured::Unavailable(why) => Cell::Missing(why.clone()),
    }
}

/// The steps, each on top of those before it.
pub fn rungs(ladder: &Ladder) -> Table {
    let mut t = Table::new(
        "steps",
        format!(
            "Ladder {}: each step on top of those before it. Speedup is before / after in time; \
             intervals in brackets",
            ladder.name
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
            ("verdict", "Verdict", Text),
        ],
    );
    for step in &ladder.rungs {
        let c = &step.comparison;
        let missing = no_figure(c);
        let of = |f: Option<&Figures>, cell: &dyn Fn(&Figures) -> Cell| {
            f.map_or_else(|| missing.clone(), cell)
        };
        let after = c.after();
        let f = Finding::of_comparison(c);
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
            Cell::Verdict(f.mark, f.word.into()),
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
        None => Cell::Missing("not run".into()),
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

/// Speedup by threads.
pub fn scaling(points: &[ScalingPoint]) -> Table {
    let mut t = Table::new(
        "scaling",
        "Speedup over one thread; efficiency is speedup / threads",
        &[
            ("phase", "Phase", Text),
            ("scheduler", "Scheduler", Text),
            ("threads", "Threads", Number),
            ("source", "Source", Text),
            ("speedup", "Speedup, ×", Estimate),
            ("efficiency_percent", "Efficiency, %", Number),
            ("claimed_efficiency_percent", "Claimed, %", Number),
            ("utilisation_percent", "Busy per core, %", Text),
        ],
    );
    for p in points {
        let (source, speedup, busy) = match &p.speedup {
            Scaled::Measured {
                speedup,
                utilisation: u,
            } => ("measured".into(), Cell::Estimate(*speedup), utilisation(u)),
            Scaled::Projected {
                value,
                low,
                high,
                model,
            } => (
                format!("projected ({model})"),
                Cell::Projected(*value, *low, *high),
                Cell::Missing("projected, not run".into()),
            ),
            Scaled::Unavailable { why } => (
                "not measured".into(),
                Cell::Missing(why.clone()),
                Cell::Missing(why.clone()),
            ),
        };
        let efficiency = match p.speedup.interval() {
            Some((value, _, _)) => Cell::Number(100.0 * value / p.threads as f64),
            None => speedup.clone(),
        };
        t.push(vec![
            Cell::Text(p.phase.clone()),
            Cell::Text(p.scheduler.clone()),
            Cell::Count(p.threads as u64),
            Cell::Text(source),
            speedup,
            efficiency,
            p.claimed_efficiency.map_or_else(
                || Cell::Text("no claim".into()),
                |c| Cell::Number(100.0 * c),
            ),
            busy,
        ]);
    }
    t
}

/// A token's time by part.
pub fn profiles(profiles: &[Profile]) -> Table {
    let mut t = Table::new(
        "parts",
        "Time of one token by part",
        &[
            ("state", "State", Text),
            ("part", "Part", Text),
            ("ms_token", "ms/token", Number),
            ("share_percent", "Share, %", Number),
        ],
    );
    for profile in profiles {
        for part in &profile.parts {
            t.push(vec![
                Cell::Code(profile.state.clone()),
                Cell::Text(part.part.clone()),
                Cell::Number(part.us / 1000.0),
                Cell::Number(part.share),
            ]);
        }
    }
    t
}

/// Each matrix product on its own.
pub fn products(products: &[Product]) -> Table {
    let mut t = Table::new(
        "products",
        "Each matrix product on its own; a multiply-add is 2 operations",
        &[
            ("name", "Product", Text),
            ("n", "N", Number),
            ("k", "K", Number),
            ("kernel", "Kernel", Text),
            ("threads", "Threads", Number),
            ("us", "µs", Estimate),
            ("gb_s", "GB/s", Number),
            ("percent_of_bandwidth", "% of read bandwidth", Number),
            ("gweights_s", "Gweights/s", Number),
            ("gops", "GOPS", Number),
            ("bits_per_weight", "Bits per weight", Number),
        ],
    );
    for p in products {
        t.push(vec![
            Cell::Code(p.name.clone()),
            Cell::Count(p.n as u64),
            Cell::Count(p.k as u64),
            Cell::Code(p.kernel.clone()),
            Cell::Count(p.threads as u64),
            Cell::estimate(&p.us),
            Cell::number(&p.gb_s),
            Cell::number(&p.percent_of_bandwidth),
            Cell::number(&p.gweights_s),
            Cell::number(&p.gops),
            Cell::Number(p.bits_per_weight),
        ]);
    }
    t
}

/// The machine's own limits.
pub fn yardsticks(y: &Yardsticks) -> Table {
    let mut t = Table::new(
        "yardsticks",
        "The machine's own limits, measured in this run",
        &[
            ("what", "What", Text),
            ("unit", "Unit", Text),
            ("isa", "ISA", Text),
            ("threads", "Threads", Number),
            ("value", "Value", Estimate),
        ],
    );
    let lists: [(&str, &str, &[Yardstick]); 3] = [
        ("read bandwidth", "GB/s", &y.read_bandwidth),
        ("int8 dot product", "GOPS", &y.int8_peak),
        ("naive kernel", "GOPS", &y.naive),
    ];
    for (what, unit, list) in lists {
        for row in list {
            t.push(vec![
                Cell::Text(what.into()),
                Cell::Text(unit.into()),
                Cell::Text(row.isa.clone()),
                Cell::Count(row.threads as u64),
                Cell::estimate(&row.value),
            ]);
        }
    }
    t
}

/// The checks that `keep` wants.
pub fn checks(checks: &Checks, keep: impl Fn(CheckStatus) -> bool) -> Table {
    let mut t = Table::new(
        "checks",
        "Answers against the oracle and golden files; a figure above its limit fails",
        &[
            ("id", "Check", Text),
            ("kernel", "Kernel", Text),
            ("threads", "Threads", Number),
            ("status", "Status", Text),
            ("figure", "Figure", Number),
            ("limit", "Limit", Number),
            ("unit", "Unit", Text),
            ("note", "Note", Text),
        ],
    );
    for c in checks.list.iter().filter(|c| keep(c.status)) {
        let (mark, word) = match c.status {
            CheckStatus::Pass => (Mark::Held, "pass"),
            CheckStatus::Fail => (Mark::Broken, "fail"),
            CheckStatus::Skipped => (Mark::Unknown, "skipped"),
        };
        let figure = |x: Option<f64>| match x {
            Some(x) => Cell::Number(x),
            None if c.status == CheckStatus::Skipped => Cell::Missing("skipped".into()),
            None => Cell::Missing("not stated".into()),
        };
        t.push(vec![
            Cell::Code(c.id.clone()),
            Cell::Code(c.kernel.clone()),
            Cell::Count(c.threads as u64),
            Cell::Verdict(mark, word.into()),
            figure(c.figure),
            figure(c.limit),
            Cell::Text(c.unit.clone()),
            Cell::Text(c.note.clone()),
        ]);
    }
    t
}

/// The defects, and what caught each.
pub fn defects(defects: &[Defect]) -> Table {
    let mut t = Table::new(
        "defects",
        "Re-enacted defects: a check that can't fail is worth nothing",
        &[
            ("id", "Defect", Text),
            ("what", "What is wrong", Text),
            ("seen_in", "Seen in", Text),
            ("outcome", "Outcome", Text),
            ("errors", "Relative error", Text),
            ("claimed", "Claimed error", Text),
        ],
    );
    for d in defects {
        let outcome = match &d.outcome {
            DefectOutcome::Caught { by } => Cell::Verdict(Mark::Held, format!("caught by {by}")),
            DefectOutcome::Missed => Cell::Verdict(Mark::Broken, "missed".into()),
            DefectOutcome::NotRun { why } => {
                Cell::Verdict(Mark::Unknown, format!("not run: {why}"))
            }
        };
        let errors: Vec<String> = d
            .errors
            .iter()
            .map(|e| {
                format!(
                    "{} K={}: {}",
                    e.data,
                    e.k,
                    or_why(&e.relative_error, |&x| fraction(x))
                )
            })
            .collect();
        t.push(vec![
            Cell::Code(d.id.clone()),
            Cell::Text(d.what.clone()),
            Cell::Text(d.seen_in.clone()),
            outcome,
            Cell::Text(if errors.is_empty() {
                "no figure".into()
            } else {
                errors.join("; ")
            }),
            Cell::Text(match d.claimed {
                Some(r) => format!("{} to {}", fraction(r.low), fraction(r.high)),
                None => "nothing".into(),
            }),
        ]);
    }
    t
}

/// The kernel table.
pub fn kernels(kernels: &[KernelRow]) -> Table {
    let mut t = Table::new(
        "kernels",
        "The kernels",
        &[
            ("name", "Kernel", Text),
            ("idea", "Idea", Text),
            ("isa", "ISA", Text),
            ("bits_per_weight", "Bits per weight", Number),
            ("available", "Here", Text),
        ],
    );
    for k in kernels {
        t.push(vec![
            Cell::Code(k.name.clone()),
            Cell::Text(k.idea.clone()),
            Cell::Text(k.isa.clone()),
            Cell::Number(k.bits_per_weight),
            match &k.available {
                Measured::Is(()) => Cell::Verdict(Mark::Held, "runs".into()),
                Measured::Unavailable(why) => Cell::Missing(why.clone()),
            },
        ]);
    }
    t
}

/// Which kernel each linear ran.
pub fn selection(s: &Selection) -> Table {
    let mut t = Table::new(
        "selection",
        format!(
            "Which kernel each linear ran. Fallbacks to a slower path than the machine has: {}",
            s.fallbacks
        ),
        &[
            ("layers", "Layers", Text),
            ("linear", "Linear", Text),
            ("kernel", "Kernel", Text),
            ("fallback", "Path", Text),
        ],
    );
    for r in &s.rows {
        t.push(vec![
            Cell::Text(if r.first_layer == r.last_layer {
                r.first_layer.to_string()
            } else {
                format!("{} to {}", r.first_layer, r.last_layer)
            }),
            Cell::Code(r.linear.clone()),
            Cell::Code(r.kernel.clone()),
            if r.fallback {
                Cell::Verdict(Mark::Broken, "fallback".into())
            } else {
                Cell::Verdict(Mark::Held, "as selected".into())
            },
        ]);
    }
    t
}

/// What was left out.
pub fn skipped(totals: &Totals) -> Table {
    let mut t = Table::new(
        "skipped",
        format!(
            "What was left out. The run took {}{NBSP}s",
            number(totals.seconds)
        ),
        &[("what", "What", Text), ("why", "Why", Text)],
    );
    for s in &totals.skipped {
        t.push(vec![Cell::Text(s.what.clone()), Cell::Text(s.why.clone())]);
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
