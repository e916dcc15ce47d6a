//! One comparison over many *placements*: both sides are made anew again and again, in fresh
//! memory or as fresh processes, and the verdict is about what holds over all of them.
//!
//! Where code and data happen to lie shifts the time of a side for as long as it stays there:
//! cache sets, page sizes, the core of a process. No number of blocks averages that out (of two
//! processes left to themselves, a third of all comparisons of a program with itself come out as
//! a change). So the random unit is not the block but the placement. Its log-ratio is made of A B
//! B A blocks, and [`Sequential`] runs over placements. What one placement's log-ratio is made of
//! may be anything that changes its sign when the two sides are swapped: for equal sides that are
//! made in random order, it is then above 0 as often as below, whatever the machine does.
//!
//! Within a placement the sides are compared by the lower quartile of their slices, which a busy
//! machine disturbs least: a preempted slice is long, never short.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::calibrate::{iterations_for, shortest_slice, slice_overhead_ns};
use super::interleave::Entrant;
use super::rng::SplitMix64;
use super::stats::{Evidence, Interval, MedianSequence, Rules, Sequential, Verdict};
use super::timed::{Failure, slice};

/// How long slices and placements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Least length of a slice; never shorter than reading the clock allows.
    pub slice: Duration,
    /// Time for the blocks of one placement, at first. One block is run in any case.
    pub placement: Duration,
    /// Most blocks of one placement, at first.
    pub blocks: usize,
}

/// Placements that are enough for `unchanged` where there is no noise. Without a verdict by then,
/// noise is the limit: placements become twice as long, and again after every [`STEP`] more, until
/// they are [`LONGEST`] times as long as at first.
const PATIENCE: usize = 9;
const STEP: usize = 4;
const LONGEST: usize = 16;

impl Pace {
    /// Both sides are functions of this process.
    pub const FUNCTIONS: Self = Self {
        slice: Duration::from_micros(33),
        placement: Duration::from_millis(3),
        blocks: 16,
    };

    /// The sides are processes that take turns: a turn costs a switch, and caches that the other
    /// one has used.
    pub const WORKERS: Self = Self {
        slice: Duration::from_micros(100),
        placement: Duration::from_millis(20),
        blocks: 12,
    };

    /// Each slice is a whole process, so each block is a placement.
    pub const COMMANDS: Self = Self {
        slice: Duration::ZERO,
        placement: Duration::ZERO,
        blocks: 1,
    };

    /// The pace of the placement that so many were before.
    pub(crate) fn grown(self, placements: usize) -> Self {
        let doublings = match placements.checked_sub(PATIENCE) {
            Some(more) => more / STEP + 1,
            None => 0,
        };
        let factor = LONGEST.min(1 << doublings.min(16));
        Self {
            placement: self.placement * factor as u32,
            blocks: self.blocks.saturating_mul(factor),
            ..self
        }
    }
}

/// One A B B A or B A A B block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Whether "after" ran first and last.
    pub after_outside: bool,
    /// Nanoseconds of each slice, in the order it ran.
    pub ns: [u64; 4],
}

impl Block {
    fn side(&self, after: bool) -> [u64; 2] {
        let [first, second, third, fourth] = self.ns;
        if after == self.after_outside {
            [first, fourth]
        } else {
            [second, third]
        }
    }
}

/// The blocks of one placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Its blocks, at least one.
    pub blocks: Vec<Block>,
    /// `ln(time of before / time of after)` per iteration, by the lower quartile of the slices.
    pub log_ratio: f64,
}

/// A side that could not be timed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{side}: {failure}")]
pub struct SideFailed {
    /// The entrant's name.
    pub side: String,
    /// What happened.
    pub failure: Failure,
}

/// A comparison of two sides, one placement after the other.
#[derive(Debug)]
pub struct Trial {
    rules: Rules,
    pace: Pace,
    rng: SplitMix64,
    iterations: Option<[u64; 2]>,
    test: Sequential,
    median: MedianSequence,
    placements: Vec<Placement>,
    measuring: Duration,
    steady: bool,
}

impl Trial {
    /// A comparison without a placement yet; `seed` draws the order of its blocks.
    pub fn new(rules: Rules, pace: Pace, seed: u64) -> Self {
        Self {
            rules,
            pace,
            rng: SplitMix64::new(seed),
            iterations: None,
            test: Sequential::new(&rules),
            median: MedianSequence::new(),
            placements: Vec::new(),
            measuring: Duration::ZERO,
            steady: false,
        }
    }

    /// Placements stay as long as the first is: for who needs many alike.
    pub fn steady(self) -> Self {
        Self {
            steady: true,
            ..self
        }
    }

    /// Times both sides where they now are. They must have been made for this call, in an order
    /// drawn at random. A placement that fails counts for nothing; those before it stay.
    ///
    /// # Errors
    /// Names the side that could not be timed.
    pub fn place<'a>(
        &mut self,
        before: Entrant<'a>,
        after: Entrant<'a>,
    ) -> Result<Verdict, SideFailed> {
        let begin = Instant::now();
        let mut sides = [before, after];
        let result = self.blocks(&mut sides);
        self.measuring += begin.elapsed();
        let blocks = result?;
        let log_ratio = log_ratio(&blocks, self.iterations.unwrap_or([1, 1]));
        self.placements.push(Placement { blocks, log_ratio });
        self.median.push(log_ratio);
        Ok(self.test.push(log_ratio))
    }

    fn blocks(&mut self, sides: &mut [Entrant<'_>; 2]) -> Result<Vec<Block>, SideFailed> {
        let iterations = match self.iterations {
            Some(iterations) => iterations,
            None => *self.iterations.insert(calibrate(sides, self.pace.slice)?),
        };
        let mut run = |side: bool| {
            let entrant = &mut sides[usize::from(side)];
            slice(entrant.case, iterations[usize::from(side)])
                .map_err(|failure| failed(entrant, failure))
        };
        let pace = match self.steady {
            true => self.pace,
            false => self.pace.grown(self.placements.len()),
        };
        if pace.placement > Duration::ZERO {
            let first = self.rng.below(2) == 1;
            run(first)?;
            run(!first)?;
        }
        let begin = Instant::now();
        let mut blocks = Vec::with_capacity(pace.blocks.min(1 << 12));
        while blocks.is_empty() || (blocks.len() < pace.blocks && begin.elapsed() < pace.placement)
        {
            let outside = self.rng.below(2) == 1;
            let ns = [run(outside)?, run(!outside)?, run(!outside)?, run(outside)?];
            blocks.push(Block {
                after_outside: outside,
                ns,
            });
        }
        Ok(blocks)
    }

    /// Adds time that was spent on this comparison elsewhere, such as making the sides.
    pub fn spend(&mut self, time: Duration) {
        self.measuring += time;
    }

    /// The first decision, or [`Verdict::Unclear`].
    pub fn verdict(&self) -> Verdict {
        self.test.verdict()
    }

    /// Strength of the evidence.
    pub fn evidence(&self) -> Evidence {
        self.test.evidence()
    }

    /// The rules that it is held to.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Time of before / time of after: the median over placements. `None` before the first.
    pub fn speedup(&self) -> Option<f64> {
        self.median.median().map(f64::exp)
    }

    /// The confidence sequence for the speedup, valid whenever it is looked at.
    pub fn interval(&self) -> Interval {
        let log = self.median.interval(self.rules.level());
        Interval {
            low: log.low.map(f64::exp),
            high: log.high.map(f64::exp),
        }
    }

    /// Every placement.
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// Blocks of all placements.
    pub fn blocks_run(&self) -> u64 {
        self.placements.iter().map(|p| p.blocks.len() as u64).sum()
    }

    /// Iterations a slice of "before" and of "after"; `None` before the first placement.
    pub fn iterations(&self) -> Option<[u64; 2]> {
        self.iterations
    }

    /// Time spent in placements and by [`Trial::spend`].
    pub fn measuring(&self) -> Duration {
        self.measuring
    }

    /// Nanoseconds an iteration of "before" and of "after": medians over placements. `None`
    /// before the first.
    pub fn ns(&self) -> Option<[f64; 2]> {
        let iterations = self.iterations.unwrap_or([1, 1]);
        let median = |side: usize| {
            let of = |p: &Placement| ln_ns(&p.blocks, iterations)[side];
            let median = self.placements.iter().map(of).collect::<MedianSequence>();
            median.median().map(f64::exp)
        };
        Some([median(0)?, median(1)?])
    }
}

/// Logarithms of the nanoseconds an iteration of "before" and of "after": the lower quartiles over
/// the slices of `blocks`, of which there must be one, of so many iterations each.
pub fn ln_ns(blocks: &[Block], iterations: [u64; 2]) -> [f64; 2] {
    [false, true].map(|after| {
        let mut ns: Vec<u64> = blocks.iter().flat_map(|b| b.side(after)).collect();
        ns.sort_unstable();
        lower_quartile_ln(&ns) - (iterations[usize::from(after)] as f64).ln()
    })
}

/// `ln(time of before / time of after)` per iteration, as a placement has it.
fn log_ratio(blocks: &[Block], iterations: [u64; 2]) -> f64 {
    let [before, after] = ln_ns(blocks, iterations);
    before - after
}

/// Logarithm of the value a quarter of the way up, between neighbours by their logarithms.
fn lower_quartile_ln(sorted: &[u64]) -> f64 {
    let position = 0.25 * (sorted.len() - 1) as f64;
    let ln = |at: usize| (sorted[at] as f64).ln();
    let (low, share) = (position as usize, position.fract());
    if share == 0.0 {
        return ln(low);
    }
    (1.0 - share) * ln(low) + share * ln(low + 1)
}

fn failed(entrant: &Entrant<'_>, failure: Failure) -> SideFailed {
    SideFailed {
        side: entrant.name.clone(),
        failure,
    }
}

/// Iterations of each side; the same where they are within a factor of two, so that the overhead
/// weighs equally.
fn calibrate(sides: &mut [Entrant<'_>; 2], least: Duration) -> Result<[u64; 2], SideFailed> {
    if least.is_zero() {
        return Ok([1, 1]);
    }
    let target = shortest_slice(slice_overhead_ns()).max(least);
    let mut find = |at: usize| {
        iterations_for(sides[at].case, target).map_err(|failure| failed(&sides[at], failure))
    };
    let (before, after) = (find(0)?, find(1)?);
    let most = before.max(after);
    Ok(if most <= 2 * before.min(after) {
        [most, most]
    } else {
        [before, after]
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Timed, Tolerance, Verified};
    use super::*;

    /// A side with a fixed cost an iteration, and what its place adds to it.
    struct Simulated {
        ns_each: f64,
        slow_every: Option<u64>,
        slices: u64,
        fails_at: Option<u64>,
    }

    impl Timed for Simulated {
        fn iterate(&mut self, _: u64) {
            unreachable!("times itself");
        }

        fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
            self.slices += 1;
            if self.fails_at.is_some_and(|n| self.slices >= n) {
                return Err(Failure::new("it died"));
            }
            let slow = self
                .slow_every
                .is_some_and(|n| self.slices.is_multiple_of(n));
            let factor = if slow { 100.0 } else { 1.0 };
            Ok(Duration::from_nanos(
                (self.ns_each * iterations as f64 * factor) as u64,
            ))
        }
    }

    fn side(ns_each: f64) -> Verified<Simulated> {
        let answer = Answer::Integers(vec![1]);
        let case = Simulated {
            ns_each,
            slow_every: None,
            slices: 0,
            fails_at: None,
        };
        Verified::check(case, &answer, &answer, Tolerance::Exact).unwrap()
    }

    fn place(trial: &mut Trial, before: f64, after: f64) -> Result<Verdict, SideFailed> {
        let (mut before, mut after) = (side(before), side(after));
        trial.place(
            Entrant::new("before", &mut before),
            Entrant::new("after", &mut after),
        )
    }

    /// Placements whose sides are off by this log-ratio, by nothing else.
    fn decide(offsets: impl Iterator<Item = f64>, margin: f64) -> Trial {
        let rules = Rules::new(margin, 0.001, 0.95).unwrap();
        let mut trial = Trial::new(rules, Pace::FUNCTIONS, 1);
        for offset in offsets {
            if place(&mut trial, 1000.0 * offset.exp(), 1000.0).unwrap() != Verdict::Unclear {
                break;
            }
        }
        trial
    }

    #[test]
    fn the_placement_is_the_unit_and_not_the_block() {
        // 2/alpha = 2000 is first passed by 2^(n+1)/(n+1) at n = 14, however many blocks each has.
        let slower = decide(std::iter::repeat_n(-0.1, 50), 0.02);
        assert_eq!(slower.verdict(), Verdict::Regressed);
        assert_eq!(slower.placements().len(), 14);
        assert!(slower.blocks_run() > 14);
        assert!((slower.speedup().unwrap() / (-0.1_f64).exp() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn luck_of_placement_is_no_change() {
        // 3 % either way, by turns: every block of a placement agrees, and no verdict may follow.
        let offsets = (0..60).map(|i| if i % 2 == 0 { 0.03 } else { -0.03 });
        let trial = decide(offsets, 0.02);
        assert_eq!(
            (trial.verdict(), trial.placements().len()),
            (Verdict::Unclear, 60)
        );
        let interval = trial.interval();
        assert!(interval.low.unwrap() < 1.0 && interval.high.unwrap() > 1.0);
    }

    #[test]
    fn a_change_inside_the_margin_is_unchanged() {
        let trial = decide(std::iter::repeat_n(0.01, 50), 0.02);
        assert_eq!(trial.verdict(), Verdict::Unchanged);
        let [before, after] = trial.ns().unwrap();
        assert!((before / 1010.05 - 1.0).abs() < 1e-3 && (after / 1000.0 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn slices_that_were_disturbed_do_not_move_a_placement() {
        let mut trial = Trial::new(Rules::default(), Pace::FUNCTIONS, 1);
        for _ in 0..5 {
            let (mut before, mut after) = (side(1000.0), side(1000.0));
            before.case_mut().slow_every = Some(3);
            let sides = (
                Entrant::new("before", &mut before),
                Entrant::new("after", &mut after),
            );
            trial.place(sides.0, sides.1).unwrap();
        }
        assert!(
            (trial.speedup().unwrap() - 1.0).abs() < 1e-3,
            "{:?}",
            trial.speedup()
        );
    }

    #[test]
    fn a_side_that_fails_is_named_and_what_was_measured_stays() {
        let mut trial = Trial::new(Rules::default(), Pace::FUNCTIONS, 1);
        place(&mut trial, 1000.0, 1000.0).unwrap();
        let (mut before, mut after) = (side(1000.0), side(1000.0));
        after.case_mut().fails_at = Some(3);
        let failed = trial
            .place(
                Entrant::new("before", &mut before),
                Entrant::new("after", &mut after),
            )
            .unwrap_err();
        assert_eq!(failed.to_string(), "after: it died");
        assert_eq!(trial.placements().len(), 1);
    }

    #[test]
    fn orders_are_drawn_by_the_seed() {
        let orders = |seed| {
            let mut trial = Trial::new(Rules::default(), Pace::FUNCTIONS, seed);
            place(&mut trial, 1000.0, 1000.0).unwrap();
            let blocks = &trial.placements()[0].blocks;
            assert_eq!(blocks.len(), Pace::FUNCTIONS.blocks);
            blocks.iter().map(|b| b.after_outside).collect::<Vec<_>>()
        };
        assert_eq!(orders(1), orders(1));
        assert_ne!(orders(1), orders(2));
        let outside = orders(3).iter().filter(|&&o| o).count();
        assert!((2..=14).contains(&outside));
    }

    #[test]
    fn the_lower_quartile_lies_between_neighbours() {
        assert_eq!(lower_quartile_ln(&[7]), 7_f64.ln());
        assert_eq!(lower_quartile_ln(&[1, 2, 3, 4, 5]), 2_f64.ln());
        let between = lower_quartile_ln(&[1, 16]);
        assert!((between - 2_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn placements_grow_when_noise_is_the_limit() {
        let factors = [0, 8, 9, 12, 13, 17, 21, 25, 1000].map(|placements| {
            let grown = Pace::WORKERS.grown(placements);
            let factor = grown.blocks / Pace::WORKERS.blocks;
            assert_eq!(grown.placement, factor as u32 * Pace::WORKERS.placement);
            factor
        });
        assert_eq!(factors, [1, 1, 2, 2, 4, 8, 16, 16, 16]);
        assert_eq!(Pace::COMMANDS.grown(1000).placement, Duration::ZERO);
    }
}
