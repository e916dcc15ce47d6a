//! Workers that lie, hang, die or answer wrongly, inside of the program, so that an installed one
//! can test itself.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::suite::{CaseId, Work};
use crate::worker::{CaseInfo, Refusal, Serve};

/// The case that every worker of a self-test serves as it should.
pub const HONEST: &str = "loop/lcg/20000/1t";
/// The case that it misbehaves on.
pub const VICTIM: &str = "loop/lcg/30000/1t";

/// How a worker misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Misbehaviour {
    /// Says that it took a second longer than it did.
    Overstates,
    /// Says that it took a hundredth of the time.
    Understates,
    /// Says that any work takes a nanosecond.
    FrozenClock,
    /// Never answers.
    Hangs,
    /// Ends before it has said hello.
    DiesAtHello,
    /// Ends when it is asked for the victim.
    Dies,
    /// Greets its user on stdout.
    Garbage,
    /// Has no cases.
    NoCases,
    /// Answers the digest of another result.
    OtherDigest,
    /// Answers another digest each time, once it is believed.
    Flips,
    /// Does half of the work, and answers what that gives.
    SkipsWork,
}

impl std::fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |v| v.get_name()))
    }
}

/// Exit status of a worker that dies on purpose.
const DIED: i32 = 9;

/// Runs after which a digest has been compared.
const BELIEVED: u64 = 3;

/// Spoils what `inner` serves.
pub struct Misbehaving<S> {
    inner: S,
    mode: Misbehaviour,
    runs: u64,
}

impl<S: Serve> Misbehaving<S> {
    /// Does at once what has to come before hello.
    pub fn new(inner: S, mode: Misbehaviour) -> Self {
        match mode {
            Misbehaviour::DiesAtHello => {
                let _ = writeln!(io::stderr(), "dying on purpose, at hello");
                std::process::exit(DIED);
            }
            Misbehaviour::Garbage => {
                let _ = writeln!(io::stdout(), "Welcome to a worker that talks too much!");
            }
            _ => {}
        }
        Self {
            inner,
            mode,
            runs: 0,
        }
    }
}

impl<S: Serve> Serve for Misbehaving<S> {
    fn cases(&self) -> Vec<CaseInfo> {
        match self.mode {
            Misbehaviour::NoCases => Vec::new(),
            _ => self.inner.cases(),
        }
    }

    fn run(&mut self, case: &str, iterations: u64) -> Result<(Duration, String), Refusal> {
        if case != VICTIM {
            return self.inner.run(case, iterations);
        }
        self.runs += 1;
        let begin = Instant::now();
        let (time, check) = match self.mode {
            Misbehaviour::SkipsWork => self.inner.run(&half(case)?, iterations)?,
            _ => self.inner.run(case, iterations)?,
        };
        Ok(match self.mode {
            Misbehaviour::Overstates => (begin.elapsed() + Duration::from_secs(1), check),
            Misbehaviour::Understates => (time / 100, check),
            Misbehaviour::FrozenClock => (Duration::from_nanos(1), check),
            Misbehaviour::Hangs => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            Misbehaviour::Dies => {
                let _ = writeln!(io::stderr(), "dying on purpose, in {case}");
                std::process::exit(DIED);
            }
            Misbehaviour::OtherDigest => (time, "0123456789abcdef".to_owned()),
            Misbehaviour::Flips if self.runs > BELIEVED => (time, format!("{:016x}", self.runs)),
            Misbehaviour::Flips
            | Misbehaviour::SkipsWork
            | Misbehaviour::DiesAtHello
            | Misbehaviour::Garbage
            | Misbehaviour::NoCases => (time, check),
        })
    }
}

/// The same loop with half of the steps.
fn half(case: &str) -> Result<String, Refusal> {
    let id: CaseId = case.parse().map_err(|e| format!("{e}"))?;
    match id.work() {
        Work::Lcg { steps } => Ok(format!("loop/lcg/{}/1t", steps / 2)),
        _ => Err("only a loop can be halved".into()),
    }
}
