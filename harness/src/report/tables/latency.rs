//! Tables of single tokens and of whole generations.

use super::super::latency::{claim, mark_of, sample, tail, target, with_interval};
use super::super::table::Kind::{Estimate, Number, Text};
use super::super::table::{Cell, Table, csv_rows};
use super::super::wording::plural;
use crate::run::{CacheGain, Generation, Latency};

/// Percentiles of single tokens, by how the next is chosen.
pub fn latency(l: &Latency) -> Table {
    let mut t = Table::new(
        "latency",
        format!(
            "Milliseconds a token, each timed on its own, {}; nearest rank; intervals: order \
             statistics, 95 % for tokens that are independent of each other. {}",
            sample(l),
            tail(l)
        ),
        &[
            ("choice", "Next token", Text),
            ("tokens", "Tokens", Number),
            ("token_s", "token/s at 50 %", Number),
            ("p50_ms", "50 %, ms", Estimate),
            ("p90_ms", "90 %, ms", Estimate),
            ("p99_ms", "99 %, ms", Estimate),
            ("max_ms", "Slowest, ms", Number),
        ],
    );
    for c in &l.choices {
        let none = || Cell::Missing("no token was timed".into());
        let of = |percent| {
            c.percentile(percent)
                .map_or_else(none, |p| with_interval(p, c.ns.len()))
        };
        t.push(vec![
            Cell::Text(c.choice.clone()),
            Cell::Count(c.ns.len() as u64),
            c.percentile(50)
                .map_or_else(none, |p| Cell::Number(1000.0 / p.value)),
            of(50),
            of(90),
            of(99),
            Cell::Number(c.max_ms),
        ]);
    }
    t
}

/// The latencies that were aimed at.
pub fn latency_targets(l: &Latency) -> Table {
    let mut t = Table::new(
        "latency_targets",
        "Latencies that were aimed at; one that names no percentile is held against the median",
        &[
            ("target", "Target", Text),
            ("percent", "Percentile", Number),
            ("measured_ms", "Measured, ms", Number),
            ("verdict", "Verdict", Text),
        ],
    );
    for aim in &l.targets {
        t.push(vec![
            Cell::Text(aim.text.clone()),
            Cell::Count(u64::from(aim.percent)),
            Cell::number(&aim.measured_ms),
            Cell::Verdict(mark_of(&aim.verdict), target(&aim.verdict)),
        ]);
    }
    t
}

/// Where the time of single tokens goes.
pub fn latency_parts(l: &Latency) -> Table {
    let mut t = Table::new(
        "latency_parts",
        "Parts of the greedy tokens; means add up, percentiles don't",
        &[
            ("part", "Part", Text),
            ("mean_us", "Mean, µs", Number),
            ("p50_us", "50 %, µs", Number),
            ("p99_us", "99 %, µs", Number),
            ("share_percent", "Share, %", Number),
        ],
    );
    for p in &l.parts {
        t.push(vec![
            Cell::Text(p.part.clone()),
            Cell::Number(p.mean_us),
            Cell::Number(p.p50_us),
            Cell::Number(p.p99_us),
            Cell::Number(p.share),
        ]);
    }
    t
}

/// Every timed token, one a row.
pub fn latency_samples_csv(l: &Latency) -> Vec<u8> {
    let rows = l.choices.iter().flat_map(|c| {
        let row = |(i, ns): (usize, &u64)| vec![c.choice.clone(), i.to_string(), ns.to_string()];
        c.ns.iter().enumerate().map(row)
    });
    csv_rows(&["choice", "token", "ns"], rows)
}

/// Whole generations.
pub fn generation(g: &Generation) -> Table {
    let on = g.model.cut().map_or_else(String::new, |c| format!("; {c}"));
    let mut t = Table::new(
        "generation",
        format!(
            "{} from a prompt of {}, greedy, {}{on}; the resident peak is the whole process's, up to here",
            plural(g.tokens, "token"),
            g.prompt,
            plural(g.model.threads, "thread"),
        ),
        &[
            ("generations", "Generations", Number),
            ("first_token_ms", "First token, ms", Estimate),
            ("rest_ms", "The rest, ms", Estimate),
            ("token_s", "token/s after the first", Estimate),
            ("kv_mb", "MB of keys and values", Number),
            ("peak_resident_mb", "MB resident at most", Number),
        ],
    );
    let mb = |bytes: u64| bytes as f64 * 1e-6;
    t.push(vec![
        Cell::Count(g.samples.len() as u64),
        Cell::estimate(&g.first_token_ms),
        Cell::estimate(&g.rest_ms),
        Cell::estimate(&g.token_s),
        Cell::Number(mb(g.kv_bytes)),
        Cell::number(&g.peak_resident_bytes.clone().map(mb)),
    ]);
    t
}

/// One generation with the cache and without.
pub fn cache_gain(g: &Generation, gain: &CacheGain) -> Table {
    let on = g.model.cut().map_or_else(String::new, |c| format!(", {c}"));
    let mut t = Table::new(
        "cache_gain",
        format!(
            "{} with the KV cache and without, in turns, chosen from all logits{on}; both gave the \
             same bits. A block is two tokens, the first with the last and so on inwards",
            plural(g.tokens, "token")
        ),
        &[
            ("claim", "Claim", Text),
            ("without_s", "Without, s", Number),
            ("with_s", "With, s", Number),
            ("gain", "Gain, ×", Estimate),
            ("verdict", "Verdict", Text),
        ],
    );
    t.push(vec![
        Cell::Text(gain.claim.text.clone()),
        Cell::Number(gain.without_s),
        Cell::Number(gain.with_s),
        Cell::Estimate(gain.speedup),
        Cell::Verdict(mark_of(&gain.verdict), claim(&gain.verdict)),
    ]);
    t
}

/// One token with the cache and without, by positions of context.
pub fn cache_by_context(g: &Generation) -> Table {
    let on = g.model.cut().map_or_else(String::new, |c| format!(", {c}"));
    let mut t = Table::new(
        "cache_by_context",
        format!("One token with the KV cache and without, by positions of context{on}"),
        &[
            ("positions", "Positions", Number),
            ("without_ms", "Without, ms", Estimate),
            ("with_ms", "With, ms", Estimate),
            ("gain", "Gain, ×", Estimate),
        ],
    );
    for c in &g.contexts {
        t.push(vec![
            Cell::Count(c.positions as u64),
            Cell::estimate(&c.without_ms),
            Cell::estimate(&c.with_ms),
            Cell::estimate(&c.speedup),
        ]);
    }
    t
}
