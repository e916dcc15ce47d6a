//! What single tokens and whole generations come to, in words.

use super::finding::Mark;
use super::table::Cell;
use super::wording::{NBSP, number, or_why, plural, significant, sureness, times, unavailable};
use crate::measure::stats::Percentile;
use crate::run::{
    CacheGain, Estimate, Generation, Latency, Measured, Run, TimedModel, TokenTimes, Verdict,
};

/// How a verdict is ticked.
pub fn mark_of(verdict: &Verdict) -> Mark {
    match verdict {
        Verdict::Confirmed => Mark::Held,
        Verdict::Refuted { .. } => Mark::Broken,
        Verdict::NotMeasurable { .. } => Mark::Unknown,
        Verdict::NoClaim => Mark::Plain,
    }
}

/// What became of a target: `missed: 61.2 ms`.
pub fn target(verdict: &Verdict) -> String {
    in_words(verdict, "held", "missed")
}

/// What became of a claim: `refuted: ...`.
pub fn claim(verdict: &Verdict) -> String {
    in_words(verdict, "confirmed", "refuted")
}

fn in_words(verdict: &Verdict, held: &str, broken: &str) -> String {
    match verdict {
        Verdict::Confirmed => held.into(),
        Verdict::Refuted { by } => format!("{broken}: {by}"),
        Verdict::NotMeasurable { why } => format!("not measurable: {why}"),
        Verdict::NoClaim => "no claim".into(),
    }
}

/// A percentile as a cell, with its interval where the sample has one.
pub fn with_interval(p: &Percentile, tokens: usize) -> Cell {
    match p.interval {
        Some(i) => Cell::Estimate(Estimate {
            value: p.value,
            low: i.low,
            high: i.high,
            level: i.coverage,
            blocks: tokens as u64,
        }),
        None => Cell::Number(p.value),
    }
}

/// `after 32 positions and more, with 2 threads, 3 of 30 layers`.
pub fn sample(l: &Latency) -> String {
    let on = l.model.cut().map_or_else(String::new, |c| format!(", {c}"));
    format!(
        "after {} positions and more, with {}{on}",
        l.context,
        plural(l.model.threads, "thread")
    )
}

/// What the largest time of a sample says about the true 99 %.
pub fn tail(l: &Latency) -> String {
    let Some(first) = l.choices.first() else {
        return String::new();
    };
    let n = first.ns.len();
    // 0.99^n by multiplication: a page must not depend on libm.
    let all_below = (0..n).fold(1.0, |p: f64, _| p * 0.99);
    format!(
        "The slowest of {n} tokens lies above the true 99{NBSP}% with a probability of {}{NBSP}%",
        significant(100.0 * (1.0 - all_below), 3)
    )
}

/// `50 % within 19.6 ms, 90 % within 20.1 ms, 99 % within 22.4 ms, all 300 within 23.0 ms`.
pub fn percentiles(times: &TokenTimes) -> String {
    let each = times
        .percentiles
        .iter()
        .map(|p| format!("{}{NBSP}% within {}{NBSP}ms", p.percent, number(p.value)));
    let all = format!(
        "all {} within {}{NBSP}ms",
        times.ns.len(),
        number(times.max_ms)
    );
    each.chain([all]).collect::<Vec<_>>().join(", ")
}

/// What a reader looks for first: the slow tokens, the first one, the gain of the cache.
pub fn key_figures(run: &Run) -> Vec<String> {
    let cut = |model: &TimedModel| model.cut().map_or_else(String::new, |c| format!(" on {c}"));
    let mut out = Vec::new();
    if let Measured::Is(l) = &run.latency
        && let Some(p) = l.choices.first().and_then(|c| c.percentile(99))
    {
        let on = cut(&l.model);
        out.push(format!(
            "99{NBSP}% of tokens within {}{NBSP}ms{on}",
            number(p.value)
        ));
    }
    if let Measured::Is(g) = &run.generation {
        let on = cut(&g.model);
        if let Measured::Is(first) = &g.first_token_ms {
            let ms = number(first.value);
            out.push(format!(
                "first token of a generation after {ms}{NBSP}ms{on}"
            ));
        }
        if let Measured::Is(gain) = &g.gain {
            out.push(format!("KV cache {}{on}", times(gain.speedup.value)));
        }
    }
    out
}

/// Single tokens in a line, with how it went: the targets decide.
pub fn latency_line(l: &Latency) -> (Mark, String) {
    let marks = || l.targets.iter().map(|t| mark_of(&t.verdict));
    let mark = if marks().any(|m| m == Mark::Broken) {
        Mark::Broken
    } else if marks().all(|m| m == Mark::Held) {
        Mark::Held
    } else {
        Mark::Unknown
    };
    let times = l
        .choices
        .first()
        .map_or_else(|| "no token was timed".into(), percentiles);
    let targets: Vec<String> = l
        .targets
        .iter()
        .map(|t| {
            let verdict = target(&t.verdict);
            format!("{} {}: {verdict}", mark_of(&t.verdict).sign(), t.text)
        })
        .collect();
    let on = sample(l);
    (mark, format!("{times} ({on}); {}", targets.join("; ")))
}

/// Whole generations in a line, with how it went: the claim about the cache decides.
pub fn generation_line(g: &Generation) -> (Mark, String) {
    let on = g
        .model
        .cut()
        .map_or_else(String::new, |c| format!(" on {c}"));
    let figure =
        |unit: &'static str| move |e: &Estimate| format!("{}{NBSP}{unit}", number(e.value));
    let (mark, cache) = match g.gain.get() {
        Some(gain) => (mark_of(&gain.verdict), gain_words(gain)),
        None => {
            let why = g.gain.why().unwrap_or_default();
            (Mark::Unknown, format!("KV cache {}", unavailable(why)))
        }
    };
    let line = format!(
        "{} from a prompt of {}{on}: the first after {}, then {}; {cache}",
        plural(g.tokens, "token"),
        g.prompt,
        or_why(&g.first_token_ms, figure("ms")),
        or_why(&g.token_s, figure("token/s")),
    );
    (mark, line)
}

/// `KV cache 2.91× (95 % interval 2.85 to 2.97, 25 blocks), confirmed: ...`.
fn gain_words(gain: &CacheGain) -> String {
    format!(
        "KV cache {} ({}), claimed {}: {}",
        times(gain.speedup.value),
        sureness(&gain.speedup),
        gain.claim.text,
        claim(&gain.verdict)
    )
}
