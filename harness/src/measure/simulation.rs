//! Trials on simulated machines where luck of placement is an effect of a side: the rule over
//! placements holds there, and the same rule over blocks does not.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::Verified;
use super::interleave::Entrant;
use super::stats::simulation::{Machine, TROUBLES, Trouble};
use super::stats::{Rules, Sequential, Verdict};
use super::timed::{Failure, Timed};
use super::trial::{Block, Pace, Placement, Trial};

/// One side, on a clock that only the simulated machine moves.
struct Side {
    machine: Rc<RefCell<Machine>>,
    /// What its place and its own speed add to the logarithm of each time.
    offset: f64,
}

impl Timed for Side {
    fn iterate(&mut self, _: u64) {
        unreachable!("times itself");
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        let ln_ns = self.machine.borrow_mut().slice() + self.offset;
        // Heavy tails go beyond what a clock can count, and below its tick.
        let ns = (1e6 * ln_ns.exp() * iterations as f64).clamp(1.0, 1e15);
        Ok(Duration::from_nanos(ns as u64))
    }
}

/// As many blocks as a placement has here, however long the test's own machine takes.
const PACE: Pace = Pace {
    slice: Duration::ZERO,
    placement: Duration::from_secs(3600),
    blocks: 6,
};

/// Luck of where code and data lie, drawn for each side of each placement (s.d. of the two
/// together: 0.3 %).
const LAYOUT: f64 = 0.003 * std::f64::consts::FRAC_1_SQRT_2;

/// Two processes left to the scheduler: each keeps a core, and one core is so much slower.
const CORE: f64 = 0.03;

struct World {
    machine: Rc<RefCell<Machine>>,
    /// Whether each side keeps a core of its own for the placement, or both share one.
    own_cores: bool,
    /// True log-speedup of "after".
    effect: f64,
}

impl World {
    fn new(trouble: Trouble, own_cores: bool, effect: f64, seed: u64) -> Self {
        Self {
            machine: Rc::new(RefCell::new(Machine::new(trouble, seed))),
            own_cores,
            effect,
        }
    }

    /// Both sides made anew.
    fn place(&self, trial: &mut Trial) -> Verdict {
        let (layout, core) = {
            let mut machine = self.machine.borrow_mut();
            let layout = [LAYOUT * machine.gauss(), LAYOUT * machine.gauss()];
            let core = match (self.own_cores, machine.gauss() > 0.0) {
                (false, _) => [0.0, 0.0],
                (true, false) => [CORE, 0.0],
                (true, true) => [0.0, CORE],
            };
            (layout, core)
        };
        let side = |at: usize, own: f64| {
            let side = Side {
                machine: Rc::clone(&self.machine),
                offset: layout[at] + core[at] + own,
            };
            Verified::without_answer(side)
        };
        let (mut before, mut after) = (side(0, self.effect), side(1, 0.0));
        let before = Entrant::new("before", &mut before);
        trial
            .place(before, Entrant::new("after", &mut after))
            .unwrap()
    }
}

/// Runs a comparison over so many placements; says after each one what it holds.
trait Unit {
    fn new(rules: &Rules) -> Self;
    fn verdict(&mut self, of_trial: Verdict, last: &Placement) -> Verdict;
}

/// The trial's own unit.
struct Placements;

impl Unit for Placements {
    fn new(_: &Rules) -> Self {
        Self
    }

    fn verdict(&mut self, of_trial: Verdict, _: &Placement) -> Verdict {
        of_trial
    }
}

/// Every block of every placement, one after the other, as if placements did not matter.
struct Blocks(Sequential);

impl Unit for Blocks {
    fn new(rules: &Rules) -> Self {
        Self(Sequential::new(rules))
    }

    fn verdict(&mut self, _: Verdict, last: &Placement) -> Verdict {
        for block in &last.blocks {
            self.0.push(log_ratio(block));
        }
        self.0.verdict()
    }
}

/// Mean log-time of "before" minus that of "after".
fn log_ratio(block: &Block) -> f64 {
    let [first, second, third, fourth] = block.ns.map(|ns| (ns as f64).ln());
    let outer_minus_inner = 0.5 * (first + fourth - second - third);
    if block.after_outside {
        -outer_minus_inner
    } else {
        outer_minus_inner
    }
}

/// What a comparison comes to within so many placements.
fn verdict<U: Unit>(world: &World, rules: &Rules, placements: usize, seed: u64) -> Verdict {
    let mut trial = Trial::new(*rules, PACE, seed);
    let mut unit = U::new(rules);
    for _ in 0..placements {
        let of_trial = world.place(&mut trial);
        let last = trial.placements().last().unwrap();
        let verdict = unit.verdict(of_trial, last);
        if verdict != Verdict::Unclear {
            return verdict;
        }
    }
    Verdict::Unclear
}

const RUNS: u64 = 400;
const PLACEMENTS: usize = 40;

/// The check that placements pass and blocks fail: equal sides, a look after every placement.
fn false_alarms_are_within<U: Unit>(alpha: f64, own_cores: bool) -> Result<(), String> {
    let rules = Rules::new(0.0, alpha, 0.95).unwrap();
    for trouble in TROUBLES {
        let alarms = (0..RUNS).filter(|&seed| {
            let world = World::new(trouble, own_cores, 0.0, seed);
            verdict::<U>(&world, &rules, PLACEMENTS, seed) != Verdict::Unclear
        });
        let rate = alarms.count() as f64 / RUNS as f64;
        if rate > alpha {
            return Err(format!("{trouble:?}: {rate} > {alpha}"));
        }
    }
    Ok(())
}

#[test]
fn luck_of_placement_raises_no_more_alarms_than_alpha() {
    false_alarms_are_within::<Placements>(0.05, false).unwrap();
    false_alarms_are_within::<Placements>(0.01, false).unwrap();
}

/// Unpinned processes that are made anew again and again cost power, not truth.
#[test]
fn neither_does_a_core_that_each_side_keeps_for_a_placement() {
    false_alarms_are_within::<Placements>(0.05, true).unwrap();
}

/// Negative control: if this fails, the checks above have lost their teeth.
#[test]
fn the_same_rule_over_blocks_fails_the_same_check() {
    assert!(false_alarms_are_within::<Blocks>(0.05, false).is_err());
    assert!(false_alarms_are_within::<Blocks>(0.05, true).is_err());
}

/// A third of all comparisons and more, at the default margin too: what pinning the pair to one
/// core and the placement as the unit are for.
#[test]
fn blocks_of_processes_that_keep_their_cores_cry_wolf() {
    let rules = Rules::new(0.02, 0.001, 0.95).unwrap();
    let rate = |changed: &dyn Fn(&World, u64) -> Verdict| {
        let alarms = (0..RUNS).filter(|&seed| {
            let world = World::new(Trouble::Quiet, true, 0.0, seed);
            matches!(
                changed(&world, seed),
                Verdict::Improved | Verdict::Regressed
            )
        });
        alarms.count() as f64 / RUNS as f64
    };
    let blocks = rate(&|world, seed| {
        // One pair of processes, however long it runs.
        let long = Pace {
            blocks: 200,
            ..PACE
        };
        let mut trial = Trial::new(rules, long, seed);
        let of_trial = world.place(&mut trial);
        Blocks::new(&rules).verdict(of_trial, &trial.placements()[0])
    });
    assert!(blocks > 0.9, "{blocks}");
    let placements = rate(&|world, seed| verdict::<Placements>(world, &rules, PLACEMENTS, seed));
    assert_eq!(placements, 0.0);
}

/// Each found in at least 99 % of the runs, at alpha 0.001.
#[test]
fn power_over_placements_is_as_stated() {
    use Trouble::{Autocorrelated, BimodalSteal, Drift, Outliers, Quiet};
    let found = |trouble, effect: f64, margin, placements, want| {
        let rules = Rules::new(margin, 0.001, 0.95).unwrap();
        let hits = (0..RUNS).filter(|&seed| {
            let world = World::new(trouble, false, effect, seed);
            verdict::<Placements>(&world, &rules, placements, seed) == want
        });
        let share = hits.count() as f64 / RUNS as f64;
        assert!(
            share >= 0.99,
            "{effect} at {margin} in {placements} placements, {trouble:?}: {share}"
        );
    };
    for trouble in [Quiet, Outliers, Drift, BimodalSteal, Autocorrelated] {
        found(trouble, 0.05, 0.01, 40, Verdict::Improved);
        found(trouble, -0.05, 0.01, 40, Verdict::Regressed);
        found(trouble, 0.0, 0.03, 40, Verdict::Unchanged);
    }
    found(Quiet, 0.01, 0.002, 40, Verdict::Improved);
    found(Quiet, 0.01, 0.005, 80, Verdict::Improved);
}
