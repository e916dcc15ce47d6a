//! What the engine aims at, held against the machine's limits of the same run.

use crate::decoder::cases::Choice;
use crate::ladder::race::LEVEL;
use crate::ladder::verdict::of_target;
use crate::run::{
    Estimate, Measured, Product, PromptProduct, Target, Verdict, WholeToken, Yardsticks,
};
use crate::yardsticks::Instruction;

/// Per cent of the read bandwidth that each product of a token is to reach.
const PRODUCT: f64 = 90.0;
/// Per cent of the read bandwidth that a whole token is to reach, by whether the processor has
/// vectors of 512 bits.
const TOKEN: [(bool, f64); 2] = [(false, 80.0), (true, 85.0)];
/// Times the naive kernel that the scalar tables are to reach.
const TABLES: f64 = 10.0;
/// Per cent of its instruction's int8 peak that each product of a batch is to reach.
const PROMPT: [(Instruction, f64); 3] = [
    (Instruction::Avx2Maddubs, 100.0),
    (Instruction::Vnni512, 90.0),
    (Instruction::AmxInt8, 40.0),
];
/// Bytes a weight that choosing the greedy token may read of the output head.
const HEAD: f64 = 0.6;
/// Per cent of the speed of one thread fewer that decoding keeps when a processor is taken.
const TAKEN: f64 = 70.0;

/// What the targets are held against.
pub struct Seen<'a> {
    /// Each product.
    pub products: &'a [Product],
    /// Products of a batch.
    pub prompts: &'a [PromptProduct],
    /// Whole tokens.
    pub tokens: &'a [WholeToken],
    /// The machine's limits.
    pub yardsticks: &'a Yardsticks,
    /// The scalar tables over the naive kernel.
    pub tables: Measured<Estimate>,
    /// All threads with one processor taken over one thread fewer.
    pub taken: Measured<Estimate>,
    /// Threads of that.
    pub threads: usize,
    /// Weights of the output head.
    pub head_weights: usize,
    /// Whether the processor has vectors of 512 bits.
    pub wide: bool,
}

/// All targets.
pub fn all(seen: &Seen<'_>) -> Vec<Target> {
    let mut out = vec![at_least(
        "scalar-tables",
        "scalar T-MAC against the naive kernel".into(),
        "×",
        TABLES,
        seen.tables.clone(),
    )];
    let mut counts: Vec<usize> = seen.tokens.iter().map(|t| t.threads).collect();
    counts.dedup();
    counts.sort_unstable();
    counts.dedup();
    for threads in counts {
        out.push(products(seen, threads));
        out.extend(tokens(seen, threads));
    }
    out.extend(
        PROMPT
            .iter()
            .filter_map(|&(i, bound)| prompts(seen, i, bound)),
    );
    out.extend(head(seen));
    let percent = seen.taken.clone().map(|e| e.scaled(100.0));
    let (all, fewer) = (seen.threads, seen.threads.saturating_sub(1));
    out.push(at_least(
        "processor-taken",
        format!(
            "decoding with {all} threads, one processor taken by another process, of {fewer} alone"
        ),
        "%",
        TAKEN,
        percent,
    ));
    out
}

/// The product that is furthest from its limit: the read bandwidth or, where that is lower, what the
/// kernel's vector instructions allow.
fn products(seen: &Seen<'_>, threads: usize) -> Target {
    let bandwidth = seen.yardsticks.bandwidth(threads);
    let here = seen.products.iter().filter(|p| p.threads == threads);
    let each = here.filter_map(|p| {
        // An interval of microseconds is one of their inverse with its ends exchanged.
        let us = p.us.get()?;
        let bytes = p.n as f64 * p.k as f64 * p.bits_per_weight / 8.0;
        let rate = |us: f64| bytes * 1e-3 / us;
        let gb_s = Estimate {
            value: rate(us.value),
            low: rate(us.high),
            high: rate(us.low),
            ..*us
        };
        let bandwidth = bandwidth?;
        let name = match p.is_bound_by_issue(bandwidth) {
            true => format!("{}, whose instructions allow less than that", p.name),
            false => p.name.clone(),
        };
        Some((name, of(&gb_s, p.limit(bandwidth))))
    });
    let least = each.min_by(|a, b| a.1.value.total_cmp(&b.1.value));
    let (name, figure) = match least {
        Some((name, percent)) => (format!(": {name}"), Measured::Is(percent)),
        None => (String::new(), unmeasured()),
    };
    of_bandwidth(
        &format!("products-{threads}"),
        format!(
            "each product of a token, of the read bandwidth or what its instructions allow, {}; the \
             least{name}",
            on(threads)
        ),
        PRODUCT,
        figure,
    )
}

fn tokens<'a>(seen: &'a Seen<'_>, threads: usize) -> impl Iterator<Item = Target> + 'a {
    let bandwidth = seen.yardsticks.bandwidth(threads);
    let bound = TOKEN.into_iter().find(|(wide, _)| *wide == seen.wide);
    let bound = bound.map_or(f64::NAN, |(_, bound)| bound);
    let here = seen.tokens.iter().filter(move |t| t.threads == threads);
    here.map(move |t| {
        let rate = t.token_s.get().zip(bandwidth);
        let figure =
            rate.map(|(token_s, bandwidth)| of(&token_s.scaled(t.bytes as f64 * 1e-9), bandwidth));
        of_bandwidth(
            &format!(
                "token-{}-{threads}",
                t.choice.split([' ', ',']).next().unwrap_or("")
            ),
            format!(
                "a whole token, {}, of the read bandwidth, {}",
                t.choice,
                on(threads)
            ),
            bound,
            figure.map_or_else(unmeasured, Measured::Is),
        )
    })
}

/// The product of a batch that is furthest from the peak of `instruction`; none where none is made
/// of it.
fn prompts(seen: &Seen<'_>, instruction: Instruction, bound: f64) -> Option<Target> {
    let name = instruction.name();
    let of = seen.prompts.iter().filter(|p| p.instruction == name);
    let known = of
        .clone()
        .filter_map(|p| Some((p, p.percent_of_peak.get()?)));
    let least = known.min_by(|a, b| a.1.value.total_cmp(&b.1.value));
    let any = of.clone().next()?;
    let which = least.map_or_else(String::new, |(p, _)| format!("; the least: {}", p.name));
    Some(at_least(
        &format!("prompt-{name}"),
        format!(
            "each product of {} tokens by {}, of the {name} peak{which}",
            any.tokens, any.kernel
        ),
        "%",
        bound,
        Measured::or(least.map(|(_, percent)| *percent), "no round was measured"),
    ))
}

/// Bytes of the head that the greedy token takes; the same for every number of threads.
fn head(seen: &Seen<'_>) -> Option<Target> {
    let greedy = Choice::Greedy.name();
    let token = seen.tokens.iter().find(|t| t.choice == greedy)?;
    let value = token.head_bytes as f64 / seen.head_weights as f64;
    let figure = Estimate {
        value,
        low: value,
        high: value,
        level: LEVEL,
        blocks: 1,
    };
    Some(Target {
        id: "head-bytes".into(),
        text: format!(
            "bytes of the output head for a greedy token that is surely that of all logits: {HEAD} \
             a weight at most"
        ),
        unit: "bytes a weight".into(),
        verdict: of_target(None, Some(HEAD), &figure),
        figure: Measured::Is(figure),
    })
}

/// A share of the read bandwidth. Where even its low end is above all of it, the yardstick was held up
/// or a cache kept a part, and nothing is known of the distance to the limit.
fn of_bandwidth(id: &str, what: String, bound: f64, figure: Measured<Estimate>) -> Target {
    let beaten = figure.get().is_some_and(|figure| figure.low > 100.0);
    let mut target = at_least(id, what, "%", bound, figure);
    if beaten {
        let why = "a yardstick that is beaten is no limit: run it again on a quiet machine";
        target.verdict = Verdict::NotMeasurable { why: why.into() };
    }
    target
}

fn at_least(id: &str, what: String, unit: &str, bound: f64, figure: Measured<Estimate>) -> Target {
    let verdict = match &figure {
        Measured::Is(figure) => of_target(Some(bound), None, figure),
        Measured::Unavailable(why) => Verdict::NotMeasurable { why: why.clone() },
    };
    Target {
        id: id.into(),
        text: format!("{what}: {bound} {unit} at least"),
        unit: unit.into(),
        figure,
        verdict,
    }
}

fn unmeasured() -> Measured<Estimate> {
    Measured::unavailable("a time or the read bandwidth could not be measured")
}

fn on(threads: usize) -> String {
    match threads {
        1 => "1 thread".into(),
        n => format!("{n} threads"),
    }
}

/// Per cent that `part` is of `limit`; the interval holds wherever both intervals do.
fn of(part: &Estimate, limit: &Estimate) -> Estimate {
    Estimate {
        value: 100.0 * part.value / limit.value,
        low: 100.0 * part.low / limit.high,
        high: 100.0 * part.high / limit.low,
        ..*part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Yardstick;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate {
            value,
            low,
            high,
            level: LEVEL,
            blocks: 30,
        }
    }

    /// 10 GB/s, give or take one per cent, with one thread; unknown with two.
    fn yardsticks() -> Yardsticks {
        Yardsticks {
            read_bandwidth: vec![Yardstick {
                isa: "any".into(),
                threads: 1,
                value: Measured::Is(estimate(10.0, 9.9, 10.1)),
            }],
            int8_peak: Vec::new(),
            issue: Vec::new(),
            naive: Vec::new(),
        }
    }

    /// A product of 10 kB.
    fn product(name: &str, us: Estimate) -> Product {
        Product {
            name: name.into(),
            n: 100,
            k: 400,
            kernel: "made-up".into(),
            origin: None,
            threads: 1,
            us: Measured::Is(us),
            gb_s: unavailable(),
            gweights_s: unavailable(),
            percent_of_bandwidth: unavailable(),
            issue_gb_s: Measured::default(),
            gops: unavailable(),
            bits_per_weight: 2.0,
        }
    }

    fn prompt(name: &str, percent: Estimate) -> PromptProduct {
        PromptProduct {
            name: name.into(),
            n: 1,
            k: 1,
            tokens: 32,
            kernel: "made-up".into(),
            instruction: Instruction::AmxInt8.name().into(),
            gops: unavailable(),
            percent_of_peak: Measured::Is(percent),
        }
    }

    fn unavailable() -> Measured<f64> {
        Measured::unavailable("not of interest")
    }

    fn token(choice: Choice, threads: usize, token_s: Estimate) -> WholeToken {
        WholeToken {
            choice: choice.name().into(),
            threads,
            token_s: Measured::Is(token_s),
            bytes: 1_000_000_000,
            head_bytes: 600,
            gb_s: unavailable(),
            percent_of_bandwidth: unavailable(),
            parts_percent: unavailable(),
        }
    }

    fn targets(products: &[Product], tokens: &[WholeToken], wide: bool) -> Vec<Target> {
        all(&Seen {
            products,
            prompts: &[
                prompt("good", estimate(41.0, 40.5, 41.5)),
                prompt("bad", estimate(39.0, 38.5, 39.5)),
            ],
            tokens,
            yardsticks: &yardsticks(),
            tables: Measured::Is(estimate(11.0, 10.5, 11.5)),
            taken: Measured::Is(estimate(0.69, 0.68, 0.71)),
            threads: 2,
            head_weights: 1000,
            wide,
        })
    }

    fn of_id<'t>(targets: &'t [Target], id: &str) -> &'t Target {
        targets.iter().find(|t| t.id == id).unwrap()
    }

    #[test]
    fn the_slowest_product_decides_and_both_intervals_count() {
        // 1 µs is 10 GB/s.
        let fast = product("fast", estimate(1.0, 0.99, 1.01));
        let slow = product("slow", estimate(1.25, 1.24, 1.26));
        let tokens = [token(Choice::Full, 1, estimate(8.7, 8.7, 8.7))];
        let all = targets(&[fast.clone(), slow], &tokens, true);
        let least = of_id(&all, "products-1");
        assert!(least.text.contains("slow"), "{}", least.text);
        assert!(matches!(least.verdict, Verdict::Refuted { .. }));
        let figure = least.figure.get().unwrap();
        assert!((figure.value - 80.0).abs() < 1e-9);
        assert!((figure.low - 100.0 / 1.26 / 1.01).abs() < 1e-9);
        assert!((figure.high - 100.0 / 1.24 / 0.99).abs() < 1e-9);
        let all = targets(&[fast], &tokens, true);
        assert_eq!(of_id(&all, "products-1").verdict, Verdict::Confirmed);
    }

    #[test]
    fn instructions_that_allow_less_than_the_bandwidth_are_the_limit() {
        // 10 GB/s can be read; 1.25 µs are 8 GB/s.
        for (allowed, percent, bound) in [(8.5, 94.1, true), (12.0, 80.0, false)] {
            let mut product = product("slow", estimate(1.25, 1.24, 1.26));
            product.issue_gb_s = Measured::Is(estimate(allowed, allowed, allowed));
            let all = targets(
                &[product],
                &[token(Choice::Full, 1, estimate(8.7, 8.7, 8.7))],
                true,
            );
            let target = of_id(&all, "products-1");
            let figure = target.figure.get().unwrap();
            assert!((figure.value - percent).abs() < 0.05, "{figure:?}");
            assert_eq!(target.text.contains("whose instructions allow less"), bound);
            assert_eq!(target.verdict == Verdict::Confirmed, bound);
        }
    }

    #[test]
    fn a_token_is_held_against_the_bound_of_its_vectors() {
        // 87 % of the bandwidth, 86.1 to 87.9 with its interval.
        let tokens = [token(Choice::Full, 1, estimate(8.7, 8.7, 8.7))];
        for (rate, wide, held) in [(8.7, true, true), (8.2, true, false), (8.2, false, true)] {
            let tokens = [token(Choice::Full, 1, estimate(rate, rate, rate))];
            let all = targets(&[], &tokens, wide);
            let verdict = &of_id(&all, "token-all-1").verdict;
            assert_eq!(
                *verdict == Verdict::Confirmed,
                held,
                "{rate} {wide}: {verdict:?}"
            );
        }
        let all = targets(&[], &tokens, true);
        assert!(all.iter().all(|t| t.id != "head-bytes"));
        let prompts: Vec<&Target> = all.iter().filter(|t| t.id.starts_with("prompt-")).collect();
        assert_eq!(prompts.len(), 1, "no other instruction was measured");
        assert!(prompts[0].text.contains("bad"), "{}", prompts[0].text);
        assert!(matches!(prompts[0].verdict, Verdict::Refuted { .. }));
    }

    #[test]
    fn what_beats_the_read_bandwidth_holds_nothing() {
        // 1 µs is 10 GB/s, give or take one per cent.
        for (us, rate, known) in [(0.995, 10.05, true), (0.8, 12.0, false)] {
            let products = [product("fast", estimate(us, us, us))];
            let tokens = [token(Choice::Full, 1, estimate(rate, rate, rate))];
            let all = targets(&products, &tokens, true);
            for id in ["products-1", "token-all-1"] {
                let target = of_id(&all, id);
                let confirmed = target.verdict == Verdict::Confirmed;
                assert_eq!(confirmed, known, "{id}: {:?}", target.verdict);
                assert!(target.figure.get().is_some(), "{id} is still shown");
            }
        }
    }

    #[test]
    fn what_was_not_measured_holds_and_misses_nothing() {
        let tokens = [token(Choice::Greedy, 2, estimate(8.7, 8.7, 8.7))];
        let all = targets(&[], &tokens, true);
        for id in ["products-2", "token-greedy-2"] {
            let verdict = &of_id(&all, id).verdict;
            assert!(matches!(verdict, Verdict::NotMeasurable { .. }), "{id}");
        }
        assert_eq!(of_id(&all, "head-bytes").verdict, Verdict::Confirmed);
        assert_eq!(of_id(&all, "scalar-tables").verdict, Verdict::Confirmed);
        let taken = &of_id(&all, "processor-taken").verdict;
        assert!(matches!(taken, Verdict::NotMeasurable { .. }), "{taken:?}");
    }
}
