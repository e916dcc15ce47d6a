//! Where a token's time goes, and how busy the cores are meanwhile.

use std::time::{Duration, Instant};

use bitgauge_engine::Error;
use bitgauge_engine::model::{Group, Model};
use bitgauge_engine::session::{Greedy, Observer, Part};
use bitgauge_engine::threads::Scheduler;

use super::cases::{Attempt, Choice, Decode, How};
use crate::machine::{self, ThreadUse};
use crate::run::{self, Measured};

/// Tokens are watched for this long at least: the kernel counts processor time in ticks.
const WATCH: Duration = Duration::from_millis(300);

/// Decoding one token after others, with a clock at the end of each part.
pub struct WatchedDecode<'m> {
    decode: Decode<'m>,
    clock: Clock,
}

/// Seconds a token, by part, in the order in which a token first meets them.
#[derive(Default)]
pub struct Clock {
    last: Option<Instant>,
    parts: Vec<(Part, Vec<f64>)>,
    tokens: usize,
    /// Seconds of all tokens, by a clock that knows of no parts.
    whole: f64,
}

impl Clock {
    /// A token begins now.
    pub fn begin(&mut self) {
        for (_, seconds) in &mut self.parts {
            seconds.push(0.0);
        }
        self.tokens += 1;
        self.last = Some(Instant::now());
    }

    /// Seconds spent in each part, one value a token.
    pub fn parts(&self) -> &[(Part, Vec<f64>)] {
        &self.parts
    }
}

impl Observer for Clock {
    fn done(&mut self, part: Part) {
        let now = Instant::now();
        let spent = self.last.map_or(0.0, |last| (now - last).as_secs_f64());
        let at = self
            .parts
            .iter()
            .position(|(p, _)| *p == part)
            .unwrap_or_else(|| {
                self.parts.push((part, vec![0.0; self.tokens]));
                self.parts.len() - 1
            });
        if let Some(token) = self.parts[at].1.last_mut() {
            *token += spent;
        }
        self.last = Some(Instant::now());
    }
}

impl<'m> WatchedDecode<'m> {
    /// Reads the usual context.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn new(model: &'m Model, scheduler: &'m dyn Scheduler) -> Result<Self, Error> {
        Decode::new(model, scheduler, How::default()).map(Self::of)
    }

    fn of(decode: Decode<'m>) -> Self {
        Self {
            decode,
            clock: Clock::default(),
        }
    }

    /// Decodes the token once more; the logits of the next.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn logits(&mut self) -> Result<&[f32], Error> {
        let begin = Instant::now();
        self.clock.begin();
        let logits = self.decode.logits_observed(&mut self.clock);
        self.clock.whole += begin.elapsed().as_secs_f64();
        logits
    }

    /// Decodes the token once more, and chooses the next by the model's quantised head.
    ///
    /// # Errors
    /// As the engine has them.
    pub fn greedy(&mut self) -> Result<Greedy, Error> {
        let begin = Instant::now();
        self.clock.begin();
        let greedy = self.decode.greedy_observed(&mut self.clock);
        self.clock.whole += begin.elapsed().as_secs_f64();
        greedy
    }

    /// Per cent of the tokens' time that the parts add up to; `None` before the first token.
    pub fn accounted(&self) -> Option<f64> {
        let parts: f64 = self.clock.parts.iter().flat_map(|(_, s)| s).sum();
        (self.clock.whole > 0.0).then(|| 100.0 * parts / self.clock.whole)
    }

    /// Seconds spent in `part`, one value a token.
    pub fn seconds(&self, part: Part) -> &[f64] {
        self.clock
            .parts
            .iter()
            .find(|(p, _)| *p == part)
            .map_or(&[], |(_, s)| s)
    }

    /// Microseconds a token, by part.
    pub fn parts(&self) -> Vec<run::Part> {
        let mean = |seconds: &[f64]| seconds.iter().sum::<f64>() / seconds.len() as f64;
        let total: f64 = self.clock.parts.iter().map(|(_, s)| mean(s)).sum();
        let part = |(part, seconds): &(Part, Vec<f64>)| run::Part {
            part: name(*part),
            us: mean(seconds) * 1e6,
            share: 100.0 * mean(seconds) / total,
        };
        self.clock.parts.iter().map(part).collect()
    }

    /// Per cent of the time spent in matrix products, the output head included.
    pub fn product_share(&self) -> f64 {
        let products = [Part::Head]
            .into_iter()
            .chain(Group::ALL.map(Part::Product));
        let names: Vec<String> = products.map(name).collect();
        self.parts()
            .iter()
            .filter(|p| names.contains(&p.part))
            .map(|p| p.share)
            .sum()
    }
}

impl Attempt for WatchedDecode<'_> {
    fn attempt(&mut self) -> Result<(), Error> {
        self.logits().map(drop)
    }
}

/// What was seen of a setup's tokens.
pub struct TokenProfile {
    /// Microseconds a token, by part.
    pub parts: Vec<run::Part>,
    /// Per cent of the time spent in matrix products, the output head included.
    pub product_share: f64,
    /// Per cent of the wall time that each worker ran.
    pub utilisation: Measured<Vec<f64>>,
}

/// Watches tokens for a third of a second, at the place in the context where they are timed.
///
/// # Errors
/// As the engine has them.
pub fn watch(model: &Model, scheduler: &dyn Scheduler) -> Result<TokenProfile, Error> {
    let decode = Decode::new(model, scheduler, How::default())?;
    watch_decode(decode, scheduler).map(|(_, profile)| profile)
}

/// As [`watch`], of tokens that are decoded as `decode` does on `scheduler`; gives it back.
///
/// # Errors
/// As the engine has them.
pub fn watch_decode<'m>(
    decode: Decode<'m>,
    scheduler: &dyn Scheduler,
) -> Result<(Decode<'m>, TokenProfile), Error> {
    let choice = decode.choice();
    let mut case = WatchedDecode::of(decode);
    let mut once = || match choice {
        Choice::Full => case.logits().map(drop),
        Choice::Greedy => case.greedy().map(drop),
    };
    once()?;
    let utilisation = utilisation(scheduler, &mut once)?;
    let profile = TokenProfile {
        parts: case.parts(),
        product_share: case.product_share(),
        utilisation,
    };
    Ok((case.decode, profile))
}

/// Per cent of the wall time that each thread of `scheduler` ran while `work` was repeated, for a
/// third of a second. The caller's thread does the work of a scheduler of one.
///
/// # Errors
/// As `work` has them.
pub fn utilisation<E>(
    scheduler: &dyn Scheduler,
    work: &mut dyn FnMut() -> Result<(), E>,
) -> Result<Measured<Vec<f64>>, E> {
    let begin = Instant::now();
    let before = machine::cpu_time();
    while begin.elapsed() < WATCH {
        work()?;
    }
    let after = machine::cpu_time();
    let threads = before
        .zip(after)
        .and_then(|(before, after)| after.utilisation_since(&before));
    let Some(threads) = threads else {
        return Ok(Measured::unavailable(
            "this system counts no processor time a thread",
        ));
    };
    Ok(match workers(threads, scheduler) {
        Some(workers) => Measured::Is(workers.iter().map(|t| 100.0 * t.utilisation).collect()),
        None => Measured::unavailable("the workers could not be told from other threads"),
    })
}

/// The scheduler's threads, by name; the caller's too where it takes part. Other schedulers of the
/// same kind sleep meanwhile, so the busiest threads of that name are this one's.
fn workers(mut threads: Vec<ThreadUse>, scheduler: &dyn Scheduler) -> Option<Vec<ThreadUse>> {
    let caller = machine::current_thread();
    let (prefix, caller_works) = match scheduler.name() {
        "pool" => ("engine-", true),
        other => (other, scheduler.threads() == 1),
    };
    let is_worker = |t: &ThreadUse| match Some(t.id) == caller {
        true => caller_works,
        false => t.name.as_deref().is_some_and(|n| n.starts_with(prefix)),
    };
    threads.retain(is_worker);
    threads.sort_by(|a, b| b.utilisation.total_cmp(&a.utilisation));
    threads.truncate(scheduler.threads());
    threads.sort_by_key(|t| t.id);
    (threads.len() == scheduler.threads()).then_some(threads)
}

/// A part's name in pages.
pub fn name(part: Part) -> String {
    match part {
        Part::Embed => "embedding",
        Part::Norm => "norms",
        Part::Quantize => "quantiser and tables",
        Part::Product(Group::Qkv) => "q, k, v products",
        Part::Product(Group::O) => "o product",
        Part::Product(Group::GateUp) => "gate, up products",
        Part::Product(Group::Down) => "down product",
        Part::Cache => "rotation and KV cache",
        Part::Attention => "attention",
        Part::Activation => "squared ReLU",
        Part::Residual => "residual sums",
        Part::Head => "output head",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitgauge_engine::threads::Pool;
    use std::convert::Infallible;

    /// Several pools are alive while one is watched, and their threads have the same names.
    #[test]
    fn the_threads_of_a_sleeping_pool_are_not_taken_for_those_of_the_busy_one() {
        if machine::cpu_time().is_none() {
            return eprintln!("this kernel keeps no scheduler statistics");
        }
        let (_asleep, busy) = (Pool::new(3).unwrap(), Pool::new(2).unwrap());
        let alone = Pool::new(1).unwrap();
        for pool in [&busy, &alone] {
            let mut work = || -> Result<(), Infallible> {
                pool.enter(&mut || {
                    let begin = Instant::now();
                    while begin.elapsed() < Duration::from_millis(5) {}
                });
                Ok(())
            };
            let Ok(found) = utilisation(pool, &mut work);
            let Measured::Is(shares) = found else {
                panic!("{found:?}");
            };
            assert_eq!(shares.len(), pool.threads());
            // Loose: other processes may hold the cores.
            assert!(shares.iter().any(|s| *s > 5.0), "{shares:?}");
        }
    }
}
