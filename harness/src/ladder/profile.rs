//! Where a token's time goes, and how busy the cores are meanwhile.

use std::time::{Duration, Instant};

use bitgauge_engine::Error;
use bitgauge_engine::model::{Group, Model};
use bitgauge_engine::session::{Observer, Part, Session};
use bitgauge_engine::threads::Scheduler;

use super::cases::{CONTEXT, token};
use crate::machine;
use crate::run::{self, Measured};

/// Tokens are observed for this long at least: the kernel counts processor time in ticks.
const OBSERVE: Duration = Duration::from_millis(300);

/// What was seen of a setup's tokens.
pub struct TokenProfile {
    /// Microseconds a token, by part, in the order in which a token first meets them.
    pub parts: Vec<run::Part>,
    /// Per cent of the time spent in matrix products, the output head included.
    pub product_share: f64,
    /// Per cent of the wall time that each worker ran.
    pub utilisation: Measured<Vec<f64>>,
}

struct Clock {
    last: Instant,
    parts: Vec<(Part, Duration)>,
}

impl Observer for Clock {
    fn done(&mut self, part: Part) {
        let now = Instant::now();
        let spent = now - self.last;
        self.last = now;
        match self.parts.iter_mut().find(|(p, _)| *p == part) {
            Some((_, total)) => *total += spent,
            None => self.parts.push((part, spent)),
        }
    }
}

/// Decodes tokens for [`OBSERVE`], at the place in the context where they are timed.
///
/// # Errors
/// As the engine has them.
pub fn observe(model: &Model, scheduler: &dyn Scheduler) -> Result<TokenProfile, Error> {
    let mut session = Session::new(model, scheduler, CONTEXT + 1)?;
    let context: Vec<_> = (0..CONTEXT).map(|i| token(model, i)).collect();
    session.prefill(&context)?;
    session.decode(token(model, CONTEXT))?;

    let begin = Instant::now();
    let before = machine::cpu_time();
    let mut clock = Clock { last: begin, parts: Vec::new() };
    let mut tokens = 0u32;
    while begin.elapsed() < OBSERVE {
        session.truncate(CONTEXT);
        clock.last = Instant::now();
        session.decode_observed(token(model, CONTEXT), &mut clock)?;
        tokens += 1;
    }
    let after = machine::cpu_time();

    let total: Duration = clock.parts.iter().map(|(_, d)| *d).sum();
    let percent = |d: Duration| 100.0 * d.as_secs_f64() / total.as_secs_f64();
    let products = clock.parts.iter().filter(|(p, _)| matches!(p, Part::Product(_) | Part::Head));
    let product_share = products.map(|(_, d)| percent(*d)).sum();
    let part = |&(part, spent): &(Part, Duration)| run::Part {
        part: name(part),
        us: spent.as_secs_f64() * 1e6 / f64::from(tokens),
        share: percent(spent),
    };
    let workers = before.zip(after).and_then(|(b, a)| a.utilisation_since(&b)).map(|threads| {
        let prefix = if scheduler.threads() == 1 { None } else { Some(worker_prefix(scheduler)) };
        let is_worker = |name: &Option<String>, id: u64| match prefix {
            Some(prefix) => name.as_deref().is_some_and(|n| n.starts_with(prefix)),
            None => id == u64::from(std::process::id()),
        };
        let workers = threads.iter().filter(|t| is_worker(&t.name, t.id));
        workers.map(|t| 100.0 * t.utilisation).collect::<Vec<_>>()
    });
    let utilisation = match workers {
        Some(workers) if workers.len() == scheduler.threads() => Measured::Is(workers),
        Some(_) => Measured::unavailable("the workers could not be told from other threads"),
        None => Measured::unavailable("this system counts no processor time a thread"),
    };
    Ok(TokenProfile { parts: clock.parts.iter().map(part).collect(), product_share, utilisation })
}

/// How the scheduler's threads are named.
fn worker_prefix(scheduler: &dyn Scheduler) -> &'static str {
    match scheduler.name() {
        "pool" => "engine-",
        other => other,
    }
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
