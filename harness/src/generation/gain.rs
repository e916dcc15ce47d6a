//! What the KV cache is worth: along one generation, and by positions of context.

use std::time::{Duration, Instant};

use bitgauge_engine::Token;

use super::cases::{Cache, Next, Outcome};
use super::{Way, could_not, ms, wrong};
use crate::decoder::cases::token;
use crate::exit::Failure;
use crate::ladder::race::estimate;
use crate::ladder::verdict::above;
use crate::measure::{Entrant, Timed, Verified};
use crate::run::{Block, CacheGain, Claim, ContextGain, Estimate, Measured, TimedModel, Verdict};

/// Positions of context that the page shows.
const CONTEXTS: [usize; 6] = [8, 16, 32, 64, 128, 256];
/// Rounds over all contexts: the fewest whose range covers the median with 95 %.
const ROUNDS: usize = 6;
/// What one of the two comparisons may take.
const BUDGET: Duration = Duration::from_secs(40);

/// As stated in the notes that the ladder starts from.
fn claim() -> Claim {
    Claim {
        text: "above 2x on generations of 50 tokens".into(),
        low: 2.0,
        high: 2.0,
        error_below: None,
    }
}

/// Every token that follows the first `prompt` of `text`, with the cache and without, in turns:
/// A B B A or B A A B, two tokens at a time.
///
/// # Errors
/// When the two ever differ, or from what the text was generated to be.
pub fn of_generation(
    way: &mut Way<'_, '_>,
    text: &[Token],
    prompt: usize,
) -> Result<Measured<CacheGain>, Failure> {
    let tokens = text.len() - prompt;
    let case = |cache| way.next(text, cache, prompt, 1);
    let (mut with, mut without) = (case(Cache::With)?, case(Cache::Without)?);
    // The last token but one is judged first: the longest text that both read.
    let last = text.len() - 1;
    let probe = |cache| -> Result<(Duration, Outcome), Failure> {
        let mut next = Next::new(way.plan.model, &*way.team.scheduler, text, cache, last, 0)?;
        let begin = Instant::now();
        let outcome = next.judge()?;
        Ok((begin.elapsed(), outcome))
    };
    let (slowest, read) = probe(Cache::Without)?;
    if read.token != text[last] {
        return Err(wrong(format!(
            "token {tokens} of the generation is {} with the cache and {} without",
            text[last], read.token
        )));
    }
    let cost = slowest * tokens as u32;
    if cost > BUDGET {
        return Ok(Measured::unavailable(too_long(
            "a generation without the cache",
            cost,
        )));
    }
    (way.stage)(
        "generation: every token with the KV cache and without",
        tokens,
    );
    let mut orders: Vec<[usize; 2]> = Vec::new();
    for i in 0..tokens {
        let mut order = [0, 1];
        match (i % 2, orders.last()) {
            // The second of two tokens goes back the way the first came.
            (1, Some(&[a, b])) => order = [b, a],
            _ => way.rng.shuffle(&mut order),
        }
        let mut both = [
            Entrant::new("without", &mut without),
            Entrant::new("with", &mut with),
        ];
        for side in order {
            both[side].time(1).map_err(could_not)?;
        }
        orders.push(order);
        (way.step)();
    }
    let (with, without) = (with.case(), without.case());
    agree(with.outcomes(), without.outcomes())?;
    let chosen = with.outcomes().iter().map(|o| o.token);
    if let Some(at) = chosen.zip(&text[prompt..]).position(|(a, b)| a != *b) {
        return Err(wrong(format!(
            "token {at} of the generation is another one when it is chosen from all logits"
        )));
    }
    Ok(gain(&way.plan.summary(), with.ns(), without.ns(), &orders))
}

/// One token with the cache and without after each of [`CONTEXTS`], in rounds of random order.
///
/// # Errors
/// When the two ever differ.
pub fn by_context(way: &mut Way<'_, '_>) -> Result<Vec<ContextGain>, Failure> {
    let most = way.plan.model.config().max_position_embeddings;
    let mut pairs = Vec::new();
    let mut cost = Duration::ZERO;
    for positions in CONTEXTS.into_iter().filter(|&n| n <= most) {
        let text: Vec<Token> = (0..positions).map(|i| token(way.plan.model, i)).collect();
        let begin = Instant::now();
        let case = |cache| {
            let (model, scheduler) = (way.plan.model, &*way.team.scheduler);
            Next::new(model, scheduler, &text, cache, positions, 0)
        };
        let (without, mut with) = (case(Cache::Without)?, case(Cache::With)?);
        // Nothing is cached yet when it is asked first.
        if with.judge()? != with.judge()? {
            return Err(wrong(format!(
                "after {positions} positions the logits with and without the cache differ"
            )));
        }
        // Reading the whole text once is about what a round will take.
        cost += begin.elapsed() * ROUNDS as u32;
        if cost > BUDGET {
            break;
        }
        let both = [without, with].map(|next| way.team.right.verify(next));
        let both: Vec<Verified<Next<'_>>> = both.into_iter().collect::<Result<_, _>>()?;
        pairs.push((positions, both));
    }
    (way.stage)("generation: the KV cache by positions of context", ROUNDS);
    for _ in 0..ROUNDS {
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        way.rng.shuffle(&mut order);
        for at in order {
            let mut sides = [0, 1];
            way.rng.shuffle(&mut sides);
            for side in sides {
                let mut entrant = Entrant::new("token", &mut pairs[at].1[side]);
                entrant.time(1).map_err(could_not)?;
            }
        }
        (way.step)();
    }
    let mut out = Vec::new();
    for (positions, both) in &pairs {
        let [without, with] = [0, 1].map(|side| both[side].case());
        agree(with.outcomes(), without.outcomes())?;
        let ratios = with.ns().iter().zip(without.ns());
        let ratios: Vec<f64> = ratios.map(|(&on, &off)| off as f64 / on as f64).collect();
        out.push(ContextGain {
            positions: *positions,
            with_ns: with.ns().to_vec(),
            without_ns: without.ns().to_vec(),
            with_ms: ms(with.ns()),
            without_ms: ms(without.ns()),
            speedup: Measured::or(estimate(&ratios), "fewer than two rounds were run"),
        });
    }
    Ok(out)
}

impl<'w> Way<'w, '_> {
    /// A case on a kernel that was judged.
    fn next(
        &self,
        text: &[Token],
        cache: Cache,
        positions: usize,
        growth: usize,
    ) -> Result<Verified<Next<'w>>, Failure> {
        let (model, scheduler) = (self.plan.model, &*self.team.scheduler);
        let next = Next::new(model, scheduler, text, cache, positions, growth)?;
        self.team.right.verify(next)
    }
}

fn agree(with: &[Outcome], without: &[Outcome]) -> Result<(), Failure> {
    match with.iter().zip(without).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => Err(wrong(format!(
            "timed token {at}: logits with and without the cache differ"
        ))),
    }
}

fn too_long(what: &str, cost: Duration) -> String {
    format!(
        "{what} would take about {:.0} s here; --quick runs a tenth of the layers",
        cost.as_secs_f64()
    )
}

/// Blocks of equal mean context: the first token with the last, and so on inwards. A token in the
/// middle that is left over is in the sums and in no block.
fn gain(
    model: &TimedModel,
    with: &[u64],
    without: &[u64],
    orders: &[[usize; 2]],
) -> Measured<CacheGain> {
    let n = with.len();
    let block = |i: usize| {
        let ns = |of: &[u64]| vec![of[i] as f64, of[n - 1 - i] as f64];
        Block {
            order: orders[i]
                .iter()
                .chain(&orders[n - 1 - i])
                .map(|&side| ["A", "B"][side])
                .collect(),
            before_ns: ns(without),
            after_ns: ns(with),
        }
    };
    let blocks: Vec<Block> = (0..n / 2).map(block).collect();
    let sum = |ns: &[f64]| ns.iter().sum::<f64>();
    let ratio = |b: &Block| sum(&b.before_ns) / sum(&b.after_ns);
    let Some(speedup) = estimate(&blocks.iter().map(ratio).collect::<Vec<_>>()) else {
        return Measured::unavailable("fewer than two blocks were run");
    };
    let claim = claim();
    let seconds = |ns: &[u64]| ns.iter().sum::<u64>() as f64 * 1e-9;
    Measured::Is(CacheGain {
        with_s: seconds(with),
        without_s: seconds(without),
        verdict: verdict(model, &claim, &speedup),
        claim,
        speedup,
        blocks,
    })
}

fn verdict(model: &TimedModel, claim: &Claim, speedup: &Estimate) -> Verdict {
    if let Some(cut) = model.cut() {
        // A token with the cache is bound by memory, one without by arithmetic.
        let why = format!(
            "it speaks of the whole model, and {cut} ran: so few weights may stay in the processor's caches"
        );
        return Verdict::NotMeasurable { why };
    }
    above(claim, speedup, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(layers_run: usize) -> TimedModel {
        TimedModel {
            name: "imaginary".into(),
            layers_run,
            layers_in_shape: 30,
            kernel: "made-up".into(),
            threads: 2,
        }
    }

    /// Times that grow by a straight line have the same ratio in every block: that of the sums.
    #[test]
    fn blocks_have_equal_mean_context() {
        let with: Vec<u64> = (0..50).map(|i| 1000 + 2 * i).collect();
        let without: Vec<u64> = (0..50).map(|i| 1500 + 90 * i).collect();
        let Measured::Is(found) = gain(&model(30), &with, &without, &[[0, 1]; 50]) else {
            panic!()
        };
        let sums = without.iter().sum::<u64>() as f64 / with.iter().sum::<u64>() as f64;
        assert_eq!(found.blocks.len(), 25);
        for end in [found.speedup.low, found.speedup.value, found.speedup.high] {
            assert!((end - sums).abs() < 1e-9, "{end} {sums}");
        }
        assert!((found.without_s / found.with_s - sums).abs() < 1e-9);
        assert_eq!(found.verdict, Verdict::Confirmed);
        assert_eq!(found.blocks[0].before_ns, [1500.0, 5910.0]);
        assert_eq!(found.blocks[0].order, "ABAB");
    }

    #[test]
    fn above_two_means_the_whole_interval() {
        let speedup = |low, high| Estimate {
            value: 0.5 * (low + high),
            low,
            high,
            level: 0.95,
            blocks: 25,
        };
        let on = |layers, low, high| verdict(&model(layers), &claim(), &speedup(low, high));
        let of = |low, high| on(30, low, high);
        assert_eq!(of(2.01, 3.0), Verdict::Confirmed);
        assert!(matches!(of(1.2, 2.0), Verdict::Refuted { .. }));
        assert!(matches!(of(1.9, 2.4), Verdict::NotMeasurable { .. }));
        assert!(matches!(of(2.0, 2.4), Verdict::NotMeasurable { .. }));
        assert!(matches!(on(3, 9.0, 9.1), Verdict::NotMeasurable { .. }));
    }

    #[test]
    fn tokens_that_differ_have_no_time() {
        use crate::measure::Digest;
        let outcome = |logits: f32, token| Outcome {
            logits: Digest::of_f32(&[logits]),
            token,
        };
        let with = [outcome(1.0, 3), outcome(2.0, 4)];
        assert!(agree(&with, &with).is_ok());
        for other in [outcome(2.5, 4), outcome(2.0, 5)] {
            let failure = agree(&with, &[with[0], other]).unwrap_err();
            assert!(failure.message.contains("timed token 1"));
        }
    }
}
