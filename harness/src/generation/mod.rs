//! Whole generations: the first token, the rest, memory, and what the KV cache is worth.

mod cases;
mod gain;

use bitgauge_engine::Token;

use crate::decoder::cases::token;
use crate::decoder::plan::Plan;
use crate::exit::{Exit, Failure};
use crate::ladder::race::estimate;
use crate::machine;
use crate::measure::{self, Entrant, SplitMix64, Timed};
use crate::run::{Estimate, Generation, GenerationTime, Measured};
use crate::scaling::Team;
use cases::Whole;

/// Tokens of the prompt.
const PROMPT: usize = 8;
/// Tokens of a generation: as many as the claim is about.
const TOKENS: usize = 50;
/// Generations that are timed: the fewest whose range covers the median with 95 %.
const GENERATIONS: usize = 6;

/// Times generations with the cache, then tokens of one with it and without, then single tokens
/// by positions of context.
///
/// # Errors
/// When the kernel answers wrongly, the cache changes an answer, threads can't be had, or a
/// generation fails.
pub fn run(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Measured<Generation>, Failure> {
    let limit = plan.model.config().max_position_embeddings;
    if limit < PROMPT + TOKENS {
        return Ok(Measured::unavailable(format!(
            "{} positions are needed and the model has {limit}",
            PROMPT + TOKENS
        )));
    }
    let team = plan.team()?;
    let prompt: Vec<Token> = (0..PROMPT).map(|i| token(plan.model, i)).collect();
    let whole = Whole::new(plan.model, &*team.scheduler, &prompt, TOKENS)?;
    let text = whole.text();
    let mut whole = team.right.verify(whole)?;
    stage("generation: 50 tokens from a prompt", GENERATIONS);
    for _ in 0..GENERATIONS {
        let mut entrant = Entrant::new("generation", &mut whole);
        entrant.time(1).map_err(could_not)?;
        step();
    }
    let samples = whole.case().samples().to_vec();

    let mut rng = SplitMix64::new(plan.seed);
    let mut way = Way {
        plan,
        team: &team,
        rng: &mut rng,
        stage,
        step,
    };
    let gain = gain::of_generation(&mut way, &text, PROMPT)?;
    let contexts = gain::by_context(&mut way)?;

    let of = |value: &dyn Fn(&GenerationTime) -> f64| {
        let values: Vec<f64> = samples.iter().map(value).collect();
        Measured::or(estimate(&values), "no generation was timed")
    };
    let unknown = "this system does not say how much memory a process has held";
    Ok(Measured::Is(Generation {
        model: plan.summary(),
        prompt: PROMPT,
        tokens: TOKENS,
        first_token_ms: of(&|s| s.first_ns as f64 * 1e-6),
        rest_ms: of(&|s| s.rest_ns as f64 * 1e-6),
        token_s: of(&|s| (TOKENS - 1) as f64 * 1e9 / s.rest_ns as f64),
        samples,
        kv_bytes: kv_bytes(plan, PROMPT + TOKENS - 1),
        peak_resident_bytes: Measured::or(machine::peak_resident(), unknown),
        gain,
        contexts,
    }))
}

/// What the two comparisons need.
struct Way<'w, 'a> {
    plan: &'w Plan<'a>,
    team: &'w Team,
    rng: &'w mut SplitMix64,
    stage: &'w dyn Fn(&str, usize),
    step: &'w dyn Fn(),
}

/// Bytes of keys and values, in float32, of so many positions. The last token of a generation is
/// chosen and not read, so it has none.
fn kv_bytes(plan: &Plan<'_>, positions: usize) -> u64 {
    let config = plan.model.config();
    let a_position = 2 * config.num_key_value_heads * config.head_dim * size_of::<f32>();
    (config.num_hidden_layers * a_position * positions) as u64
}

fn could_not(failure: measure::Failure) -> Failure {
    Failure::could_not_run(failure.to_string())
}

fn wrong(message: String) -> Failure {
    Failure {
        exit: Exit::WrongAnswers,
        message,
    }
}

/// Nanoseconds as an estimate in milliseconds.
fn ms(ns: &[u64]) -> Measured<Estimate> {
    let values: Vec<f64> = ns.iter().map(|&ns| ns as f64 * 1e-6).collect();
    Measured::or(estimate(&values), "fewer than two rounds were run")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::plan::tiny::Tiny;

    #[test]
    fn a_generation_is_timed_with_the_cache_and_without() {
        let tiny = Tiny::new(PROMPT + TOKENS + 10);
        let found = run(&tiny.plan(), &|_, _| {}, &|| {}).unwrap();
        let Measured::Is(found) = found else {
            panic!("{found:?}");
        };
        assert_eq!(found.samples.len(), GENERATIONS);
        let Measured::Is(gain) = &found.gain else {
            panic!("{:?}", found.gain);
        };
        assert_eq!(gain.blocks.len(), TOKENS / 2);
        // Contexts end where the model does.
        let positions: Vec<usize> = found.contexts.iter().map(|c| c.positions).collect();
        assert_eq!(positions, [8, 16, 32, 64]);
        assert!(
            found
                .contexts
                .iter()
                .all(|c| c.with_ns.len() == c.without_ns.len())
        );
        let config = tiny.plan().model.config().clone();
        let kv = 2 * 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim;
        assert_eq!(found.kv_bytes, (57 * kv) as u64);
    }

    #[test]
    fn a_text_that_the_cache_did_not_write_is_refused() {
        let tiny = Tiny::new(PROMPT + TOKENS);
        let plan = tiny.plan();
        let team = plan.team().unwrap();
        let prompt: Vec<Token> = (0..PROMPT).map(|i| token(plan.model, i)).collect();
        let whole = Whole::new(plan.model, &*team.scheduler, &prompt, TOKENS).unwrap();
        for at in [PROMPT + 20, PROMPT + TOKENS - 1] {
            let mut text = whole.text();
            text[at] ^= 1;
            let mut way = Way {
                plan: &plan,
                team: &team,
                rng: &mut SplitMix64::new(1),
                stage: &|_, _| {},
                step: &|| {},
            };
            let failure = gain::of_generation(&mut way, &text, PROMPT).unwrap_err();
            assert_eq!(failure.exit, Exit::WrongAnswers, "{}", failure.message);
        }
    }

    #[test]
    fn a_model_of_few_positions_says_how_many_are_needed() {
        let tiny = Tiny::new(PROMPT + TOKENS - 1);
        let found = run(&tiny.plan(), &|_, _| {}, &|| {}).unwrap();
        assert!(found.why().unwrap().contains("58 positions"), "{found:?}");
    }
}
