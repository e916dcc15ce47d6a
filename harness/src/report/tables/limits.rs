//! Tables of speed against the machine: parts of a token, products, limits, threads.

use super::super::latency::{mark_of, target};
use super::super::limit::beaten;
use super::super::reported::claim_verdict;
use super::super::table::Kind::{Estimate, Number, Text};
use super::super::table::{Cell, Table};
use super::utilisation;
use crate::run::{
    Measured, Origin, Product, Profile, PromptProduct, Scaled, ScalingPoint, Target, WholeToken,
    Yardstick, Yardsticks,
};

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
        format!(
            "Each matrix product on its own; a multiply-add is 2 operations{}",
            beaten(products.iter().map(|p| &p.percent_of_bandwidth))
        ),
        &[
            ("name", "Product", Text),
            ("n", "N", Number),
            ("k", "K", Number),
            ("kernel", "Kernel", Text),
            ("threads", "Threads", Number),
            ("us", "µs", Estimate),
            ("gb_s", "GB/s", Number),
            ("percent_of_bandwidth", "% of read bandwidth", Number),
            ("issue_gb_s", "GB/s its instructions allow", Number),
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
            Cell::Code(match p.origin {
                Some(Origin::Tuned) => format!("{} (tuned)", p.kernel),
                _ => p.kernel.clone(),
            }),
            Cell::Count(p.threads as u64),
            Cell::estimate(&p.us),
            Cell::number(&p.gb_s),
            Cell::number(&p.percent_of_bandwidth),
            Cell::number(&p.issue_gb_s.clone().map(|allowed| allowed.value)),
            Cell::number(&p.gweights_s),
            Cell::number(&p.gops),
            Cell::Number(p.bits_per_weight),
        ]);
    }
    t
}

/// Products of a batch against the int8 peaks.
pub fn prompts(products: &[PromptProduct]) -> Table {
    let mut t = Table::new(
        "prompts",
        "Each matrix product of a batch of tokens, on one thread, against the int8 peak of its \
         instruction in the same rounds, from int8 activations to floats in memory; a multiply-add \
         is 2 operations",
        &[
            ("name", "Product", Text),
            ("n", "N", Number),
            ("k", "K", Number),
            ("tokens", "Tokens", Number),
            ("kernel", "Kernel", Text),
            ("instruction", "Instruction", Text),
            ("gops", "GOPS", Number),
            ("percent_of_peak", "% of its peak", Estimate),
        ],
    );
    for p in products {
        t.push(vec![
            Cell::Code(p.name.clone()),
            Cell::Count(p.n as u64),
            Cell::Count(p.k as u64),
            Cell::Count(p.tokens as u64),
            Cell::Code(p.kernel.clone()),
            Cell::Text(p.instruction.clone()),
            Cell::number(&p.gops),
            Cell::estimate(&p.percent_of_peak),
        ]);
    }
    t
}

/// Whole tokens against the read bandwidth.
pub fn tokens(tokens: &[WholeToken]) -> Table {
    let mut t = Table::new(
        "tokens",
        format!(
            "One decoded token, whole, by how the next is chosen; the tokens are the same{}",
            beaten(tokens.iter().map(|t| &t.percent_of_bandwidth))
        ),
        &[
            ("choice", "Next token", Text),
            ("threads", "Threads", Number),
            ("token_s", "token/s", Estimate),
            ("mb", "MB read", Number),
            ("head_mb", "MB of the output head", Number),
            ("gb_s", "GB/s", Number),
            ("percent_of_bandwidth", "% of read bandwidth", Number),
            ("parts_percent", "Parts add up to, %", Number),
        ],
    );
    for token in tokens {
        t.push(vec![
            Cell::Text(token.choice.clone()),
            Cell::Count(token.threads as u64),
            Cell::estimate(&token.token_s),
            Cell::Number(token.bytes as f64 * 1e-6),
            Cell::Number(token.head_bytes as f64 * 1e-6),
            Cell::number(&token.gb_s),
            Cell::number(&token.percent_of_bandwidth),
            Cell::number(&token.parts_percent),
        ]);
    }
    t
}

/// What was aimed at.
pub fn targets(targets: &[Target]) -> Table {
    let mut t = Table::new(
        "targets",
        "What the engine aims at on any machine; missed where the whole interval is short of it",
        &[
            ("target", "Target", Text),
            ("unit", "Unit", Text),
            ("figure", "Measured", Estimate),
            ("verdict", "Verdict", Text),
        ],
    );
    for aim in targets {
        t.push(vec![
            Cell::Text(aim.text.clone()),
            Cell::Text(aim.unit.clone()),
            Cell::estimate(&aim.figure),
            Cell::Verdict(mark_of(&aim.verdict), target(&aim.verdict)),
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
    let lists: [(&str, &str, &[Yardstick]); 4] = [
        ("read bandwidth", "GB/s", &y.read_bandwidth),
        ("int8 dot product", "GOPS", &y.int8_peak),
        ("vector instructions", "10^9/s", &y.issue),
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
            ("claim", "Claim", Text),
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
            match claim_verdict(p) {
                Measured::Is((mark, words)) => Cell::Verdict(mark, words),
                Measured::Unavailable(_) => Cell::Text("no claim".into()),
            },
            busy,
        ]);
    }
    t
}
