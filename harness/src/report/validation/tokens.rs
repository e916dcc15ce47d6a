//! Boxes about single tokens and whole generations.

use super::Line;
use crate::report::latency;
use crate::report::wording::{NBSP, or_why, sureness, times, with_unit};
use crate::run::{LatencyTarget, Measured, Run, Verdict};

/// Targets of single tokens, and the claim about the KV cache.
pub fn lines(run: &Run) -> Vec<Line> {
    let line = |verdict: &Verdict, text: String, evidence: String| Line {
        mark: latency::mark_of(verdict),
        text,
        evidence,
    };
    let mut lines = match &run.latency {
        Measured::Unavailable(why) => vec![Line::unknown("Targets of single tokens", why)],
        Measured::Is(l) => {
            let of = |t: &LatencyTarget| {
                let measured = or_why(&t.measured_ms, |x| {
                    format!("{} at {}{NBSP}%", with_unit(*x, "ms"), t.percent)
                });
                let evidence = match &t.verdict {
                    Verdict::NotMeasurable { why } => format!("{why}; {measured}"),
                    _ => format!("{measured}, {}", latency::sample(l)),
                };
                line(&t.verdict, t.text.clone(), evidence)
            };
            l.targets.iter().map(of).collect()
        }
    };
    let text = "The KV cache is worth what was claimed";
    let gain = match &run.generation {
        Measured::Unavailable(why) => Err(why),
        Measured::Is(g) => match &g.gain {
            Measured::Unavailable(why) => Err(why),
            Measured::Is(gain) => Ok((g, gain)),
        },
    };
    lines.push(match gain {
        Err(why) => Line::unknown(text, why),
        Ok((g, gain)) => {
            let on = g
                .model
                .cut()
                .map_or_else(String::new, |cut| format!(", on {cut}"));
            line(
                &gain.verdict,
                format!("KV cache: {}", gain.claim.text),
                format!(
                    "{} ({}){on}; {}",
                    times(gain.speedup.value),
                    sureness(&gain.speedup),
                    latency::claim(&gain.verdict)
                ),
            )
        }
    });
    lines
}
