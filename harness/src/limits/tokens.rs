//! A whole decoded token against the read bandwidth of the same run: with all logits, and chosen
//! greedily by the quantised head.

use bitgauge_engine::Error;
use bitgauge_engine::head::Effort;
use bitgauge_engine::model::Model;

use crate::decoder::cases::{Attempt, CONTEXT, Case, Choice};
use crate::decoder::clock::WatchedDecode;
use crate::decoder::judge::{Reference, largest};
use crate::exit::{Exit, Failure};
use crate::ladder::race::estimate;
use crate::measure::{Answer, Tolerance, Verified};
use crate::run::{Measured, WholeToken, Yardsticks};
use crate::scaling::Team;

use super::Plan;

/// Decoding one token and choosing the next by the quantised head.
pub struct GreedyDecode<'m>(WatchedDecode<'m>);

impl Attempt for GreedyDecode<'_> {
    fn attempt(&mut self) -> Result<(), Error> {
        self.0.greedy().map(drop)
    }
}

pub type FullCase<'m> = Verified<Case<WatchedDecode<'m>>>;
pub type GreedyCase<'m> = Verified<Case<GreedyDecode<'m>>>;

/// The cases of a run, and what they read.
pub struct Cases<'m> {
    /// Tokens with all logits, one on each team.
    pub full: Vec<FullCase<'m>>,
    /// Greedy tokens, one on each of the engine's pools.
    pub greedy: Vec<GreedyCase<'m>>,
    /// What choosing the greedy token took.
    effort: Effort,
}

impl<'m> Cases<'m> {
    /// Judges the model's products against the oracle, the logits of every team bit for bit
    /// against those of the first, and the greedy tokens against the largest of those logits.
    ///
    /// # Errors
    /// When an answer is wrong, or the model has no quantised head.
    pub fn new(plan: &Plan<'m>, teams: &'m [Team], pools: usize) -> Result<Self, Failure> {
        Reference::products(plan.model, plan.source)?
            .map_err(|wrong| wrong_answers("decode", &wrong.seen_on))?;
        let mut reference = Reference::default();
        let (mut full, mut greedy) = (Vec::new(), Vec::new());
        let mut effort = Effort::default();
        for (i, team) in teams.iter().enumerate() {
            let mut decode = WatchedDecode::new(plan.model, &*team.scheduler)?;
            let logits = decode.logits()?.to_vec();
            reference
                .same_bits(&logits)
                .map_err(|wrong| wrong_answers(&team.name(), &wrong.seen_on))?;
            full.push(team.right.verify(Case(decode))?);
            if i < pools {
                let decode = WatchedDecode::new(plan.model, &*team.scheduler)?;
                let (case, took) = judged(GreedyDecode(decode), &logits)
                    .map_err(|why| wrong_answers(&team.name(), &why))?;
                greedy.push(case);
                effort = took;
            }
        }
        Ok(Self {
            full,
            greedy,
            effort,
        })
    }
}

/// Lets a greedy token be timed that is the lowest of those with the largest of `logits`.
fn judged<'m>(
    mut case: GreedyDecode<'m>,
    logits: &[f32],
) -> Result<(GreedyCase<'m>, Effort), String> {
    let found = case.0.greedy().map_err(|error| error.to_string())?;
    let effort = found
        .effort
        .ok_or("the model was loaded without a quantised head")?;
    let got = Answer::Integers(vec![found.token as i32]);
    let want = Answer::Integers(vec![largest(logits) as i32]);
    let case = Verified::check(Case(case), &got, &want, Tolerance::Exact)
        .map_err(|wrong| format!("greedy token: {}", wrong.reason()))?;
    Ok((case, effort))
}

pub fn wrong_answers(what: &str, why: &str) -> Failure {
    Failure {
        exit: Exit::WrongAnswers,
        message: format!("{what}: {why}"),
    }
}

/// One row for each pool and each way to choose; `rates` gives the tokens a second of full and
/// greedy cases, round by round.
pub fn table(
    plan: &Plan<'_>,
    cases: &Cases<'_>,
    teams: &[Team],
    rates: &dyn Fn(Choice, usize) -> Vec<f64>,
    yardsticks: &Yardsticks,
) -> Vec<WholeToken> {
    let model = plan.model;
    let beside = (model.ternary_bytes() + other_bytes(model)) as u64;
    let mut table = Vec::new();
    for (i, greedy) in cases.greedy.iter().enumerate() {
        let threads = teams[i].scheduler.threads();
        let ways = [
            (Choice::Full, model.head_bytes(), &cases.full[i].case().0),
            (Choice::Greedy, cases.effort.bytes, &greedy.case().0.0),
        ];
        for (choice, head_bytes, watched) in ways {
            let token_s = estimate(&rates(choice, i));
            let bytes = beside + head_bytes as u64;
            let gb_s = token_s.map(|rate| bytes as f64 * 1e-9 * rate.value);
            let bandwidth = yardsticks.bandwidth(threads);
            let percent = gb_s
                .zip(bandwidth)
                .map(|(x, limit)| 100.0 * x / limit.value);
            let none = "no token was timed";
            table.push(WholeToken {
                choice: choice.name().into(),
                threads,
                token_s: Measured::or(token_s, none),
                bytes,
                head_bytes: head_bytes as u64,
                gb_s: Measured::or(gb_s, none),
                percent_of_bandwidth: Measured::or(
                    percent,
                    "the read bandwidth could not be measured",
                ),
                parts_percent: Measured::or(watched.accounted(), none),
            });
        }
    }
    table
}

/// Bytes that a token reads beside ternary matrices and the output head: its row of the
/// embedding, taken to be as wide as one of the head; the weights of the norms; keys and values of
/// its context, its own included.
fn other_bytes(model: &Model) -> usize {
    let config = model.config();
    let hidden = config.hidden_size;
    let heads = config.num_attention_heads * config.head_dim;
    let norms = 2 * hidden + heads + config.intermediate_size;
    let cached = 2 * config.num_key_value_heads * config.head_dim * (CONTEXT + 1);
    let floats = config.num_hidden_layers * (norms + cached) + hidden;
    floats * size_of::<f32>() + model.head_bytes() / config.vocab_size
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bitgauge_engine::kernels::Kernel;
    use bitgauge_engine::model::Vocabulary;
    use bitgauge_engine::synthetic;
    use bitgauge_engine::threads::Pool;

    use super::*;

    fn tiny(quantized: bool) -> Model {
        let source = synthetic::model(synthetic::shape("tiny").unwrap(), 1);
        let mut vocabulary = Vocabulary::load(&source).unwrap();
        if quantized {
            vocabulary = vocabulary.with_quantized_head();
        }
        Model::with_vocabulary(&source, &Kernel::best(), Arc::new(vocabulary)).unwrap()
    }

    #[test]
    fn a_greedy_token_has_a_time_only_where_the_logits_say_the_same() {
        let (model, pool) = (tiny(true), Pool::new(2).unwrap());
        let decode = || WatchedDecode::new(&model, &pool).unwrap();
        let mut logits = decode().logits().unwrap().to_vec();
        let (_, effort) = judged(GreedyDecode(decode()), &logits)
            .map_err(drop)
            .unwrap();
        assert!(effort.bytes > 0 && effort.read[0] == logits.len());
        let best = largest(&logits);
        logits[(best + 1) % model.config().vocab_size] = f32::INFINITY;
        let Err(why) = judged(GreedyDecode(decode()), &logits) else {
            panic!("a wrong token was let through");
        };
        assert!(why.starts_with("greedy token: "), "{why}");
    }

    #[test]
    fn without_a_quantised_head_there_is_nothing_to_be_timed() {
        let (model, pool) = (tiny(false), Pool::new(1).unwrap());
        let mut decode = WatchedDecode::new(&model, &pool).unwrap();
        let logits = decode.logits().unwrap().to_vec();
        let Err(why) = judged(GreedyDecode(decode), &logits) else {
            panic!("a token of all logits was taken for a greedy one");
        };
        assert!(why.contains("without a quantised head"), "{why}");
    }
}
