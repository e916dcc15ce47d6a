//! How near tokens and products come to the read bandwidth.

use super::finding::Mark;
use super::summary::Answer;
use super::wording::{NBSP, number, or_why, percent, plural, significant, unavailable};
use crate::run::{Estimate, Measured, Product, Run, WholeToken, Yardsticks};

/// The fastest way to a token with the most threads, and its speed.
pub fn fastest(run: &Run) -> Option<(&WholeToken, &Estimate)> {
    let timed = run.tokens.get()?.iter();
    let timed = timed.filter_map(|t| Some((t, t.token_s.get()?)));
    timed.max_by(|(a, x), (b, y)| {
        let threads = a.threads.cmp(&b.threads);
        threads.then(x.value.total_cmp(&y.value))
    })
}

/// How far the whole token is from the read bandwidth, or the products where it can't be held
/// against it.
pub fn answer(run: &Run) -> Answer {
    let question = "How far from the limit?";
    let ladder = last_step(run);
    if let Some((reached, others)) = whole_token(run) {
        let mut answer = reached.answer(question);
        answer.detail += &others;
        if let Ok(step) = ladder {
            answer.detail += &format!("; the ladder's last step {}", percent(step.share));
        }
        return answer;
    }
    match ladder {
        Ok(reached) => reached.answer(question),
        Err(why) => products(run, &why).unwrap_or(Answer {
            question,
            mark: Mark::Unknown,
            headline: "not measured".into(),
            detail: why,
        }),
    }
}

/// The fastest way to a token, and what the others with as many threads reach, in words.
fn whole_token(run: &Run) -> Option<(Reached, String)> {
    let (fastest, _) = fastest(run)?;
    let reached = Reached {
        share: *fastest.percent_of_bandwidth.get()?,
        gb_s: fastest.gb_s.clone(),
        threads: fastest.threads,
    };
    let beside = |t: &&WholeToken| t.threads == fastest.threads && t.choice != fastest.choice;
    let words = run.tokens.get()?.iter().filter(beside).map(|t| {
        let share = or_why(&t.percent_of_bandwidth, |&p| percent(p));
        format!("; {} {share}", t.choice)
    });
    Some((
        reached,
        format!("; {}", fastest.choice) + &words.collect::<String>(),
    ))
}

/// What a token reads, beside what the yardstick read in the same rounds.
struct Reached {
    /// Per cent of the read bandwidth.
    share: f64,
    gb_s: Measured<f64>,
    threads: usize,
}

impl Reached {
    fn answer(&self, question: &'static str) -> Answer {
        let threads = plural(self.threads, "thread");
        let read = or_why(&self.gb_s, |&x| {
            format!(
                "{}{NBSP}GB/s, where the yardstick read {}{NBSP}GB/s in the same rounds, with {threads}",
                number(x),
                number(100.0 * x / self.share)
            )
        });
        let headline = format!("{} of read bandwidth", percent(self.share));
        if self.share > 100.0 {
            return Answer {
                question,
                mark: Mark::Unknown,
                headline: format!("unknown: {headline}"),
                detail: format!(
                    "{read}. What is beaten is no limit: the yardstick was held up, or a cache kept a part of the weights. Run it again on a quiet machine"
                ),
            };
        }
        Answer {
            question,
            mark: Mark::Plain,
            headline,
            detail: read,
        }
    }
}

/// The ladder's last step against the read bandwidth, or why it can't be held against it.
fn last_step(run: &Run) -> Result<Reached, String> {
    let top = match run.ladder.as_ref().map(|l| l.top()) {
        Measured::Is(Some(top)) => top,
        Measured::Is(None) => return Err("the last step has no time".into()),
        Measured::Unavailable(why) => return Err(unavailable(&why)),
    };
    match &top.percent_of_bandwidth {
        Measured::Is(share) => Ok(Reached {
            share: *share,
            gb_s: top.gb_s.clone(),
            threads: top.threads,
        }),
        Measured::Unavailable(why) => Err(unavailable(why)),
    }
}

/// The products on their own, where the whole token can't be judged.
fn products(run: &Run, why_not_the_token: &str) -> Option<Answer> {
    let reaches = reaches(run.products.get()?, run.yardsticks.get()?);
    let most = reaches.last()?;
    let all =
        |words: fn(&Reach) -> String| reaches.iter().map(words).collect::<Vec<_>>().join(", ");
    Some(Answer {
        question: "How far from the limit?",
        mark: Mark::Plain,
        headline: format!("products at {} of read bandwidth", most.share()),
        detail: format!(
            "{} ({}, each product on its own); the bandwidth in this run: {}. Whole token: {why_not_the_token}",
            all(Reach::words),
            most.kernel,
            all(Reach::roof),
        ),
    })
}

/// What a table of per cents of the read bandwidth says about those above 100.
pub fn beaten<'a>(mut percents: impl Iterator<Item = &'a Measured<f64>>) -> &'static str {
    if percents.any(|p| p.get().is_some_and(|&p| p > 100.0)) {
        "; what is above 100 % of the read bandwidth was partly read from a cache, or the yardstick was held up"
    } else {
        ""
    }
}

/// The products of the fastest kernel with some number of threads.
pub struct Reach {
    /// Threads.
    pub threads: usize,
    /// The kernel.
    pub kernel: String,
    /// Per cent of the read bandwidth: of the product that reaches least, and of the one that
    /// reaches most.
    pub percent: (f64, f64),
    /// The read bandwidth with as many threads, GB/s.
    pub roof: Estimate,
}

impl Reach {
    /// `23 to 33 %`.
    pub fn share(&self) -> String {
        let (low, high) = self.percent;
        let [low, high] = [low, high].map(|x| significant(x, 2));
        let range = if low == high {
            low
        } else {
            format!("{low} to {high}")
        };
        format!("{range}{NBSP}%")
    }

    /// `23 to 33 % with 2 threads`.
    pub fn words(&self) -> String {
        format!("{} with {}", self.share(), plural(self.threads, "thread"))
    }

    /// `34.8 GB/s with 2 threads`.
    pub fn roof(&self) -> String {
        format!(
            "{}{NBSP}GB/s with {}",
            number(self.roof.value),
            plural(self.threads, "thread")
        )
    }
}

/// The reach with the fewest threads and with the most.
///
/// The fastest kernel is the one that gets through most weights a second: the output head's float
/// product, which has bytes of its own, never is.
pub fn reaches(products: &[Product], yardsticks: &Yardsticks) -> Vec<Reach> {
    let counts = products.iter().map(|p| p.threads);
    let ends = [counts.clone().min(), counts.max()];
    let mut out: Vec<Reach> = Vec::new();
    for threads in ends.into_iter().flatten() {
        if out.iter().all(|r| r.threads != threads) {
            out.extend(reach(products, yardsticks, threads));
        }
    }
    out
}

fn reach(products: &[Product], yardsticks: &Yardsticks, threads: usize) -> Option<Reach> {
    let roof = *yardsticks.bandwidth(threads)?;
    let here = || products.iter().filter(|p| p.threads == threads);
    let weights_a_second = |kernel: &str| {
        let of = here().filter(|p| p.kernel == kernel);
        let (weights, us) = of.fold((0.0, 0.0), |(weights, us), p| match p.us.get() {
            Some(e) => (weights + p.n as f64 * p.k as f64, us + e.value),
            None => (weights, us),
        });
        if us > 0.0 { weights / us } else { 0.0 }
    };
    let kernel = here()
        .map(|p| p.kernel.as_str())
        .max_by(|a, b| weights_a_second(a).total_cmp(&weights_a_second(b)))?;
    let shares = here()
        .filter(|p| p.kernel == kernel)
        .filter_map(|p| p.percent_of_bandwidth.get().copied());
    let percent = shares.fold(None, |ends: Option<(f64, f64)>, x| {
        Some(ends.map_or((x, x), |(low, high)| (low.min(x), high.max(x))))
    })?;
    Some(Reach {
        threads,
        kernel: kernel.to_owned(),
        percent,
        roof,
    })
}
