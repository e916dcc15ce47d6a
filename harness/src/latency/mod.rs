//! How long one token takes: not on average, but the slow ones too.

mod stream;
mod target;

use std::time::Duration;

use crate::decoder::cases::Choice;
use crate::decoder::clock::{self, Clock};
use crate::decoder::plan::Plan;
use crate::exit::{Exit, Failure};
use crate::measure::stats::percentile;
use crate::measure::{Entrant, SplitMix64, Timed, Verified};
use crate::run::{Latency, Measured, PartTimes, TokenTimes};
use crate::scaling::Team;
use stream::{CONTEXT, Stream};

/// Tokens by which a percentile of 99 % means anything.
const FEWEST: usize = 100;
/// Tokens whose largest time bounds the true 99 % with 95 %: `0.99^300 < 0.05`.
const ENOUGH: usize = 300;
/// Time for [`ENOUGH`] tokens; where they take longer, [`FEWEST`] must do.
const BUDGET: Duration = Duration::from_secs(15);
/// Rounds, each with a share of the tokens of every choice, in an order that is drawn.
const ROUNDS: usize = 10;
/// Confidence level of the intervals.
const LEVEL: f64 = 0.95;

/// Times single tokens: greedy ones, and `FEWEST` with all logits between them.
///
/// # Errors
/// When the kernel answers wrongly, the two ways to choose don't agree on every token, threads
/// can't be had, or a token fails.
pub fn run(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Measured<Latency>, Failure> {
    let limit = plan.model.config().max_position_embeddings;
    let most = match limit.saturating_sub(CONTEXT) {
        ENOUGH.. => ENOUGH,
        FEWEST.. => FEWEST,
        _ => {
            return Ok(Measured::unavailable(format!(
                "{} positions are needed and the model has {limit}",
                CONTEXT + FEWEST
            )));
        }
    };
    let team = plan.team()?;
    let mut greedy = verified(plan, &team, Choice::Greedy, most)?;
    let mut full = verified(plan, &team, Choice::Full, FEWEST)?;
    if greedy.case().next() != full.case().next() {
        return Err(disagree(0));
    }
    let first = Entrant::new("greedy", &mut greedy)
        .time(1)
        .map_err(could_not)?;
    let count = if first * most as u32 <= BUDGET {
        most
    } else {
        FEWEST
    };
    stage("latency: single tokens", ROUNDS);
    let mut rng = SplitMix64::new(plan.seed);
    for round in 0..ROUNDS {
        // The token that the budget was judged by is the first of the first round.
        let share = (count / ROUNDS) as u64 - u64::from(round == 0);
        let mut turns = [
            (Entrant::new("greedy", &mut greedy), share),
            (Entrant::new("full", &mut full), (FEWEST / ROUNDS) as u64),
        ];
        rng.shuffle(&mut turns);
        for (entrant, tokens) in &mut turns {
            entrant.time(*tokens).map_err(could_not)?;
        }
        step();
    }
    let (greedy, full) = (greedy.case(), full.case());
    let both = greedy.tokens().iter().zip(full.tokens());
    if let Some(at) = both.into_iter().position(|(a, b)| a != b) {
        return Err(disagree(at));
    }
    let choices: Vec<TokenTimes> = [greedy, full].map(|s| times(s.choice(), s.ns())).to_vec();
    let model = plan.summary();
    Ok(Measured::Is(Latency {
        targets: target::stated(&model, &choices[0]),
        parts: parts(greedy.clock()),
        context: CONTEXT,
        choices,
        model,
    }))
}

/// A stream on a kernel that was judged.
fn verified<'m>(
    plan: &Plan<'m>,
    team: &'m Team,
    choice: Choice,
    tokens: usize,
) -> Result<Verified<Stream<'m>>, Failure> {
    let stream = Stream::new(plan.model, &*team.scheduler, choice, tokens)?;
    team.right.verify(stream)
}

fn could_not(failure: crate::measure::Failure) -> Failure {
    Failure::could_not_run(failure.to_string())
}

fn disagree(at: usize) -> Failure {
    Failure {
        exit: Exit::WrongAnswers,
        message: format!(
            "token {at}: the quantised head and all logits choose different ones, where they must choose the same"
        ),
    }
}

fn times(choice: Choice, ns: &[u64]) -> TokenTimes {
    let ms: Vec<f64> = ns.iter().map(|&ns| ns as f64 * 1e-6).collect();
    let of = |percent| percentile(&ms, percent, LEVEL);
    TokenTimes {
        choice: choice.name().into(),
        ns: ns.to_vec(),
        percentiles: [50, 90, 99].into_iter().filter_map(of).collect(),
        max_ms: ms.iter().copied().fold(0.0, f64::max),
    }
}

fn parts(clock: &Clock) -> Vec<PartTimes> {
    let mean = |seconds: &[f64]| seconds.iter().sum::<f64>() / seconds.len() as f64;
    let total: f64 = clock.parts().iter().map(|(_, s)| mean(s)).sum();
    let of = |seconds: &[f64], percent| percentile(seconds, percent, LEVEL).map(|p| 1e6 * p.value);
    let part = |(part, seconds): &(_, Vec<f64>)| {
        Some(PartTimes {
            part: clock::name(*part),
            mean_us: 1e6 * mean(seconds),
            p50_us: of(seconds, 50)?,
            p99_us: of(seconds, 99)?,
            share: 100.0 * mean(seconds) / total,
        })
    };
    clock.parts().iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::plan::tiny::Tiny;

    #[test]
    fn every_token_that_counts_has_a_time_and_parts() {
        for (positions, tokens) in [(CONTEXT + ENOUGH, ENOUGH), (CONTEXT + FEWEST, FEWEST)] {
            let tiny = Tiny::new(positions);
            let found = run(&tiny.plan(), &|_, _| {}, &|| {}).unwrap();
            let Measured::Is(found) = found else {
                panic!("{found:?}");
            };
            let counts: Vec<usize> = found.choices.iter().map(|c| c.ns.len()).collect();
            assert_eq!(counts, [tokens, FEWEST]);
            for choice in &found.choices {
                let at = |percent| choice.percentile(percent).unwrap().value;
                assert!(at(50) <= at(90) && at(90) <= at(99) && at(99) <= choice.max_ms);
                // Milliseconds, each of a token.
                for ms in [at(50), at(90), at(99), choice.max_ms] {
                    let near = |&ns: &u64| (ns as f64 / (ms * 1e6) - 1.0).abs() < 1e-9;
                    assert!(choice.ns.iter().any(near), "{ms}");
                }
            }
            let (parts, whole): (f64, u64) = (
                found.parts.iter().map(|p| p.mean_us).sum(),
                found.choices[0].ns.iter().sum(),
            );
            assert!(parts * tokens as f64 * 1e3 <= whole as f64);
            assert!(found.parts.iter().any(|p| p.part == "output head"));
        }
    }

    #[test]
    fn a_model_of_few_positions_says_how_many_are_needed() {
        let tiny = Tiny::new(CONTEXT + FEWEST - 1);
        let found = run(&tiny.plan(), &|_, _| {}, &|| {}).unwrap();
        let why = found.why().unwrap();
        assert!(
            why.contains("132 positions") && why.contains("131"),
            "{why}"
        );
    }
}
