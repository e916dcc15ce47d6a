//! The masking matrix: the KV cache off and on, with every defect in place and with none.
//!
//! It runs on a small model of its own, since a generation without a cache, at the bottom, computes
//! every prefix with the slowest kernel. The ratio of off to on hardly depends on the model's size.

use std::time::{Duration, Instant};

use bitgauge_engine::checkpoint::Config;
use bitgauge_engine::model::Model;
use bitgauge_engine::synthetic;

use super::definition;
use super::race::{self, Budget};
use super::setup::{Schedulers, Setup};
use super::{Plan, run_claim, verdict};
use crate::decoder::cases::{Case, Generation};
use crate::decoder::judge::Judge;
use crate::exit::Failure;
use crate::run::{Comparison, Estimate, Figures, Masking, Measured, Verdict, WrongAnswer};

/// One layer of 2b4t at a quarter of its width, with a small vocabulary: the head is no part of
/// what a cache saves.
fn quarter() -> Option<Config> {
    let whole = synthetic::shape("2b4t")?;
    Some(Config {
        vocab_size: 1024,
        hidden_size: whole.hidden_size / 4,
        intermediate_size: whole.intermediate_size / 4,
        num_hidden_layers: 1,
        num_attention_heads: whole.num_attention_heads / 4,
        num_key_value_heads: whole.num_key_value_heads / 5,
        ..whole
    })
}

fn model() -> Result<Config, Failure> {
    quarter().ok_or_else(|| Failure::could_not_run("the shape 2b4t is gone"))
}

/// Refuses a generation that is longer than the small model takes.
///
/// # Errors
/// How long it may be.
pub fn takes(masking: &definition::Masking) -> Result<(), Failure> {
    let positions = model()?.max_position_embeddings;
    match masking.tokens {
        tokens if tokens > positions as u64 => Err(Failure::could_not_run(format!(
            "masking: tokens = {tokens}: the model that it runs on takes {positions}"
        ))),
        _ => Ok(()),
    }
}

/// Measures off against on at both ends of the ladder.
///
/// # Errors
/// When a model or a thread can't be had, or a case fails while it is timed.
pub fn run(
    plan: &Plan<'_>,
    masking: &definition::Masking,
    judge: &Judge,
    schedulers: &Schedulers,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Masking, Failure> {
    let definition::Feature::KvCache = masking.feature;
    let claimed_tokens = masking.tokens;
    let tokens = if plan.quick {
        claimed_tokens.min(20)
    } else {
        claimed_tokens
    };
    let config = model()?;
    let definition = plan.definition;
    stage(
        "ladder: the KV cache off and on, at the bottom and at the top",
        2,
    );
    let end = |state: &definition::State, claim: Option<&definition::Claim>| {
        let setup = Setup::of(state)?;
        let comparison = off_and_on(plan, &config, setup, judge, schedulers, tokens, claim);
        step();
        comparison
    };
    let at_bottom = end(&definition.original, None)?;
    let mut at_top = end(
        &definition.state_after(definition.steps.len()),
        masking.claim.as_ref(),
    )?;
    if tokens < claimed_tokens
        && let Comparison::Timed { verdict, .. } = &mut at_top
    {
        let why = format!(
            "it was claimed for {claimed_tokens} tokens; the short form generates {tokens}"
        );
        *verdict = Verdict::NotMeasurable { why };
    }
    let verdict = match (at_bottom.speedup(), at_top.speedup()) {
        (Some(bottom), Some(top)) => was_masked(bottom, top),
        _ => Verdict::NotMeasurable {
            why: "one end of the ladder has no times".into(),
        },
    };
    Ok(Masking {
        feature: "KV cache, on one layer of 2b4t at a quarter of its width".into(),
        claim: masking.claim.as_ref().map(run_claim),
        tokens,
        at_bottom,
        at_top,
        verdict,
    })
}

/// The gain was hidden if less than half of it shows with the defects in place.
fn was_masked(bottom: &Estimate, top: &Estimate) -> Verdict {
    let gains = format!(
        "{:.2}x with the defects, {:.2}x without",
        bottom.value, top.value
    );
    if bottom.high - 1.0 < 0.5 * (top.low - 1.0) {
        Verdict::Confirmed
    } else if bottom.low - 1.0 >= 0.5 * (top.high - 1.0) {
        Verdict::Refuted {
            by: format!("{gains}: the defects did not hide it"),
        }
    } else {
        Verdict::NotMeasurable {
            why: format!("{gains}: the intervals are too wide to tell"),
        }
    }
}

fn off_and_on(
    plan: &Plan<'_>,
    config: &Config,
    setup: Setup,
    judge: &Judge,
    schedulers: &Schedulers,
    tokens: u64,
    claim: Option<&definition::Claim>,
) -> Result<Comparison, Failure> {
    let right = match judge.trained(setup.kernel, schedulers.get(setup.scheduler))? {
        Err(error) => return Ok(Comparison::Wrong { error }),
        Ok(right) => right,
    };
    let model = Model::load(&synthetic::model(config.clone(), 1), &setup.kernel)?;
    let scheduler = schedulers.get(setup.scheduler);
    let mut off = Generation::new(&model, scheduler, false, tokens as usize)?;
    let mut on = Generation::new(&model, scheduler, true, tokens as usize)?;
    let begin = Instant::now();
    let (without, with) = (off.logits()?, on.logits()?);
    let seconds = begin.elapsed().as_secs_f64();
    if without
        .iter()
        .zip(&with)
        .any(|(a, b)| a.to_bits() != b.to_bits())
    {
        return Ok(Comparison::Wrong {
            error: WrongAnswer {
                relative_error: f64::INFINITY,
                seen_on: "logits with and without a cache differ".into(),
            },
        });
    }
    let (mut off, mut on) = (right.verify(Case(off))?, right.verify(Case(on))?);
    let budget = Budget {
        race: Duration::ZERO,
        duel: Duration::from_secs(if plan.quick { 4 } else { 20 }),
        seed: plan.seed,
    };
    let (speedup, samples) = race::duel(&mut off, &mut on, 2.0 * seconds, budget)?;
    let figures = |ns: fn(&crate::run::Block) -> &[f64]| {
        let seconds = samples.iter().map(|b| {
            let ns = ns(b);
            ns.iter().sum::<f64>() / ns.len() as f64 * 1e-9 / tokens as f64
        });
        let seconds: Vec<f64> = seconds.collect();
        let none = || Failure::could_not_run("no block was measured");
        let why = "of a generation only the time is measured";
        Ok::<_, Failure>(Figures {
            token_s: race::estimate(&seconds.iter().map(|s| 1.0 / s).collect::<Vec<_>>())
                .ok_or_else(none)?,
            ms_token: race::estimate(&seconds.iter().map(|s| 1e3 * s).collect::<Vec<_>>())
                .ok_or_else(none)?,
            gb_s: Measured::unavailable(why),
            percent_of_bandwidth: Measured::unavailable(why),
            product_share: Measured::unavailable(why),
            utilisation: Measured::unavailable(why),
            relative_error: Measured::Is(0.0),
            tokens,
            threads: plan.threads,
        })
    };
    let verdict = verdict::of_speedup(claim, &speedup, 0.0, plan.threads);
    Ok(Comparison::Timed {
        before: figures(|b| &b.before_ns)?,
        after: figures(|b| &b.after_ns)?,
        speedup,
        samples,
        verdict,
        part: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(value: f64, low: f64, high: f64) -> Estimate {
        Estimate {
            value,
            low,
            high,
            level: 0.95,
            blocks: 9,
        }
    }

    #[test]
    fn a_gain_is_hidden_when_less_than_half_of_it_shows() {
        let top = gain(2.0, 1.9, 2.1);
        assert_eq!(was_masked(&gain(1.1, 1.0, 1.2), &top), Verdict::Confirmed);
        let seen = was_masked(&gain(1.9, 1.8, 2.0), &top);
        assert!(matches!(seen, Verdict::Refuted { .. }), "{seen:?}");
        let open = was_masked(&gain(1.5, 1.2, 1.8), &top);
        assert!(matches!(open, Verdict::NotMeasurable { .. }), "{open:?}");
    }

    #[test]
    fn the_small_model_is_a_model() {
        quarter().unwrap().check().unwrap();
    }
}
