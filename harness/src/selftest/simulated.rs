//! Machines that are troubled in a known way, on which rules can be tried hundreds of times in a
//! second.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::measure::stats::Rules;
use crate::measure::{Entrant, Failure, Pace, SplitMix64, Timed, Trial, Verdict, Verified};

/// What a machine does to the slices that run on it, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    /// Standard deviation of a slice's log-time.
    pub noise: f64,
    /// The machine is slower by this much in every other stretch of so many slices.
    pub phase: Option<(u64, f64)>,
    /// Each slice is, with this probability, the first of a stretch in which a third of the time
    /// is stolen, or of one in which none is.
    pub steal: f64,
    /// Standard deviation of the log-time that the place of a side adds, for as long as the side
    /// stays there.
    pub place: f64,
}

/// A machine whose slices come one after the other.
#[derive(Debug)]
pub struct Machine {
    rng: SplitMix64,
    trouble: Trouble,
    age: u64,
    stolen: bool,
}

impl Machine {
    pub fn new(trouble: Trouble, seed: u64) -> Self {
        Self {
            rng: SplitMix64::new(seed),
            trouble,
            age: 0,
            stolen: false,
        }
    }

    fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Normal, by the transform of Box and Muller (1958).
    fn gauss(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Log-time that a new place adds.
    pub fn place(&mut self) -> f64 {
        self.trouble.place * self.gauss()
    }

    /// Log-time that the next slice adds.
    pub fn slice(&mut self) -> f64 {
        let age = self.age;
        self.age += 1;
        if self.uniform() < self.trouble.steal {
            self.stolen = !self.stolen;
        }
        let phase = match self.trouble.phase {
            Some((length, slower)) if (age / length) % 2 == 1 => slower.ln_1p(),
            _ => 0.0,
        };
        let stolen = if self.stolen { 1.5_f64.ln() } else { 0.0 };
        phase + stolen + self.trouble.noise * self.gauss()
    }
}

/// A side of equal work on a shared machine.
struct Side {
    machine: Rc<RefCell<Machine>>,
    place: f64,
}

/// Nanoseconds of one iteration without trouble.
const NS: f64 = 1000.0;

impl Timed for Side {
    /// Nothing to do: the machine only says how long it would have taken.
    fn iterate(&mut self, _: u64) {}

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        let log = self.place + self.machine.borrow_mut().slice();
        Ok(Duration::from_nanos(
            (NS * iterations as f64 * log.exp()) as u64,
        ))
    }
}

/// Our own comparison of two equal sides on that machine; [`Verdict::Unclear`] after
/// `placements` without a decision.
pub fn ours(trouble: Trouble, seed: u64, rules: &Rules, placements: usize) -> Verdict {
    let machine = Rc::new(RefCell::new(Machine::new(trouble, seed)));
    let mut trial = Trial::new(*rules, Pace::FUNCTIONS, seed);
    let side = || {
        let place = machine.borrow_mut().place();
        let case = Side {
            machine: Rc::clone(&machine),
            place,
        };
        Verified::without_answer(case)
    };
    for _ in 0..placements {
        let (mut before, mut after) = (side(), side());
        let sides = (
            Entrant::new("before", &mut before),
            Entrant::new("after", &mut after),
        );
        match trial.place(sides.0, sides.1) {
            Ok(Verdict::Unclear) => {}
            Ok(verdict) => return verdict,
            Err(_) => break,
        }
    }
    trial.verdict()
}
