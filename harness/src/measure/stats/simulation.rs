//! The rules against simulated machines: false alarms with a look after every block, coverage of
//! the confidence sequence, power; and a t-test peeked at every block, which must fail the very
//! check that the rules pass.

use super::{MedianSequence, Rules, Sequential, Verdict, fixed_blocks_interval};
use crate::measure::rng::SplitMix64;
use std::f64::consts::TAU;

/// A machine that yields log-times of slices one after the other.
pub(crate) struct Machine {
    rng: SplitMix64,
    trouble: Trouble,
    /// Slices taken.
    age: f64,
    slow: f64,
    stolen: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Gaussian noise of 1 % a slice.
    Quiet,
    /// Student t with 1 degree of freedom: no mean, no variance.
    HeavyTails,
    /// 5 % slower over 100 slices, in a wave.
    Drift,
    /// First-order autoregression with coefficient 0.98.
    Autocorrelated,
    /// A hypervisor that takes a third of the time away, in stretches.
    BimodalSteal,
    /// One slice in twenty takes 100 times as long.
    Outliers,
}

pub(crate) const TROUBLES: [Trouble; 6] = [
    Trouble::Quiet,
    Trouble::HeavyTails,
    Trouble::Drift,
    Trouble::Autocorrelated,
    Trouble::BimodalSteal,
    Trouble::Outliers,
];

impl Machine {
    pub(crate) fn new(trouble: Trouble, seed: u64) -> Self {
        Self {
            rng: SplitMix64::new(seed),
            trouble,
            age: 0.0,
            slow: 0.0,
            stolen: false,
        }
    }

    fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub(crate) fn gauss(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    pub(crate) fn slice(&mut self) -> f64 {
        self.age += 1.0;
        let noise = 0.01 * self.gauss();
        noise
            + match self.trouble {
                Trouble::Quiet => 0.0,
                Trouble::HeavyTails => 0.01 * (std::f64::consts::PI * (self.uniform() - 0.5)).tan(),
                Trouble::Drift => 0.05 * (self.age * TAU / 100.0).sin() + 0.0005 * self.age,
                Trouble::Autocorrelated => {
                    self.slow = 0.98 * self.slow + 0.01 * self.gauss();
                    self.slow
                }
                Trouble::BimodalSteal => {
                    if self.uniform() < 0.03 {
                        self.stolen = !self.stolen;
                    }
                    if self.stolen { 1.5_f64.ln() } else { 0.0 }
                }
                Trouble::Outliers => {
                    if self.uniform() < 0.05 {
                        100.0_f64.ln()
                    } else {
                        0.0
                    }
                }
            }
    }

    /// Log-ratio of one block in random order; `effect` is the true log-speedup of "after".
    fn block(&mut self, effect: f64) -> f64 {
        let after_first = self.rng.below(2) == 1;
        let [first, second, third, fourth] = std::array::from_fn(|_| self.slice());
        let outer_minus_inner = 0.5 * (first + fourth - second - third);
        effect
            + if after_first {
                -outer_minus_inner
            } else {
                outer_minus_inner
            }
    }
}

/// Says after every block whether it calls the two sides different.
trait Rule {
    fn new(alpha: f64, margin: f64) -> Self;
    fn alarms(&mut self, log_ratio: f64) -> bool;
}

impl Rule for Sequential {
    fn new(alpha: f64, margin: f64) -> Self {
        Sequential::new(&Rules::new(margin, alpha, 0.95).unwrap())
    }

    fn alarms(&mut self, log_ratio: f64) -> bool {
        matches!(self.push(log_ratio), Verdict::Improved | Verdict::Regressed)
    }
}

/// What the usual gate does: Student's two-sided test of "mean = 0", looked at after each block.
struct PeekedTTest {
    alpha: f64,
    n: f64,
    mean: f64,
    squares: f64,
}

impl Rule for PeekedTTest {
    fn new(alpha: f64, _margin: f64) -> Self {
        Self {
            alpha,
            n: 0.0,
            mean: 0.0,
            squares: 0.0,
        }
    }

    fn alarms(&mut self, x: f64) -> bool {
        self.n += 1.0;
        let delta = x - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (x - self.mean);
        let freedom = self.n - 1.0;
        // The expansion of the quantile below is good to 1 % from 9 degrees of freedom on.
        freedom >= 9.0
            && self.mean.abs() / (self.squares / freedom / self.n).sqrt()
                > student_quantile(self.alpha, freedom)
    }
}

/// Two-sided critical value of Student's t (Fisher's expansion; Abramowitz and Stegun 26.7.5).
fn student_quantile(alpha: f64, freedom: f64) -> f64 {
    let z: f64 = match alpha {
        0.05 => 1.959_964,
        0.01 => 2.575_829,
        _ => panic!("no quantile for {alpha}"),
    };
    z + (z.powi(3) + z) / (4.0 * freedom)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom * freedom)
}

const BLOCKS: usize = 400;

/// Share of runs in which the rule ever calls a difference in [`BLOCKS`] blocks.
fn alarm_rate<R: Rule>(trouble: Trouble, alpha: f64, margin: f64, effect: f64, runs: u64) -> f64 {
    let alarms = (0..runs)
        .filter(|&seed| {
            let mut machine = Machine::new(trouble, seed);
            let mut rule = R::new(alpha, margin);
            (0..BLOCKS).any(|_| rule.alarms(machine.block(effect)))
        })
        .count();
    alarms as f64 / runs as f64
}

/// The check that the rules pass and the t-test fails: equal sides, a look after every block.
fn false_alarms_are_within<R: Rule>(alpha: f64) -> Result<(), String> {
    for trouble in TROUBLES {
        let rate = alarm_rate::<R>(trouble, alpha, 0.0, 0.0, 1000);
        if rate > alpha {
            return Err(format!("{trouble:?}: {rate} > {alpha}"));
        }
    }
    Ok(())
}

#[test]
fn equal_sides_raise_no_more_alarms_than_alpha_at_any_stopping_time() {
    false_alarms_are_within::<Sequential>(0.05).unwrap();
    false_alarms_are_within::<Sequential>(0.01).unwrap();
}

/// Negative control: if this fails, the check above has lost its teeth.
#[test]
fn a_t_test_peeked_at_every_block_fails_the_same_check() {
    let verdict = false_alarms_are_within::<PeekedTTest>(0.05);
    assert!(verdict.is_err());
    assert!(false_alarms_are_within::<PeekedTTest>(0.01).is_err());
    // Not by a hair: the usual gate cries wolf in more than a quarter of quiet runs.
    let rate = alarm_rate::<PeekedTTest>(Trouble::Quiet, 0.05, 0.0, 0.0, 1000);
    assert!(rate > 0.25, "{rate}");
}

/// The worst case of each hypothesis: the true effect is the margin itself.
#[test]
fn an_effect_at_the_margin_raises_no_more_alarms_than_alpha() {
    let margin = 0.02_f64;
    for trouble in TROUBLES {
        for effect in [margin.ln_1p(), -margin.ln_1p()] {
            let rate = alarm_rate::<Sequential>(trouble, 0.05, margin, effect, 1000);
            assert!(rate <= 0.05, "{trouble:?} {effect}: {rate}");
        }
    }
}

#[test]
fn an_effect_just_outside_the_margin_is_rarely_called_unchanged() {
    let margin = 0.02_f64;
    for trouble in TROUBLES {
        let runs = 1000;
        let wrong = (0..runs)
            .filter(|&seed| {
                let mut machine = Machine::new(trouble, seed);
                let mut test = Sequential::new(&Rules::new(margin, 0.05, 0.95).unwrap());
                (0..BLOCKS)
                    .any(|_| test.push(machine.block(margin.ln_1p() + 1e-9)) == Verdict::Unchanged)
            })
            .count();
        assert!(
            wrong as f64 / f64::from(runs as u32) <= 0.05,
            "{trouble:?}: {wrong}"
        );
    }
}

/// Looked at after every block, all bounds together miss in at most `1 - level` of the runs.
#[test]
fn the_confidence_sequence_covers_at_every_block_at_once() {
    let (level, runs, effect) = (0.9, 300, 0.03);
    for trouble in TROUBLES {
        let missed = (0..runs)
            .filter(|&seed| {
                let mut machine = Machine::new(trouble, seed);
                let mut sequence = MedianSequence::new();
                (0..BLOCKS).any(|_| {
                    sequence.push(machine.block(effect));
                    let interval = sequence.interval(level);
                    interval.low.is_some_and(|low| low > effect)
                        || interval.high.is_some_and(|high| high < effect)
                })
            })
            .count();
        assert!(
            missed as f64 / runs as f64 <= 1.0 - level,
            "{trouble:?}: {missed}"
        );
    }
}

/// The interval for a number of blocks set beforehand covers as often as it says, no less and
/// (for continuous times) no more; and not when one stops at the first block that excludes 0.
#[test]
fn the_fixed_interval_covers_as_stated_and_only_without_peeking() {
    let runs = 4000;
    for trouble in TROUBLES {
        for n in [6, 10, 20] {
            let mut stated = 0.0;
            let covered = (0..runs)
                .filter(|&seed| {
                    let mut machine = Machine::new(trouble, seed);
                    let blocks: Vec<f64> = (0..n).map(|_| machine.block(0.0)).collect();
                    let interval = fixed_blocks_interval(&blocks, 0.95).unwrap();
                    stated = interval.coverage;
                    interval.low <= 0.0 && 0.0 <= interval.high
                })
                .count();
            let rate = covered as f64 / runs as f64;
            assert!(
                (rate - stated).abs() < 0.014,
                "{trouble:?} {n}: {rate} {stated}"
            );
        }
    }
    let misled = (0..300)
        .filter(|&seed| {
            let mut machine = Machine::new(Trouble::Quiet, seed);
            let mut blocks = Vec::new();
            (0..200).any(|_| {
                blocks.push(machine.block(0.0));
                fixed_blocks_interval(&blocks, 0.95).is_some_and(|i| i.low > 0.0 || i.high < 0.0)
            })
        })
        .count();
    assert!(misled > 30, "{misled} of 300");
}

/// Share of runs in which the verdict was `want` within `blocks`, at alpha 0.001.
fn reached(trouble: Trouble, effect: f64, margin: f64, blocks: usize, want: Verdict) -> f64 {
    let runs = 400;
    let hits = (0..runs)
        .filter(|&seed| {
            let mut machine = Machine::new(trouble, seed);
            let mut test = Sequential::new(&Rules::new(margin, 0.001, 0.95).unwrap());
            (0..blocks).any(|_| test.push(machine.block(effect)) != Verdict::Unclear)
                && test.verdict() == want
        })
        .count();
    hits as f64 / runs as f64
}

/// Noise of 1 % a slice, so also 1 % a block; each found in at least 99 % of the runs.
#[test]
fn power_is_as_stated() {
    use Trouble::{Autocorrelated, BimodalSteal, Drift, HeavyTails, Outliers, Quiet};
    let found = |trouble, effect, margin, blocks, want| {
        let share = reached(trouble, effect, margin, blocks, want);
        assert!(
            share >= 0.99,
            "{effect} at {margin} in {blocks} blocks, {trouble:?}: {share}"
        );
    };
    for trouble in [Quiet, Autocorrelated, Drift, BimodalSteal, Outliers] {
        found(trouble, 0.03, 0.01, 80, Verdict::Improved);
        found(trouble, -0.03, 0.01, 80, Verdict::Regressed);
        found(trouble, 0.0, 0.02, 80, Verdict::Unchanged);
    }
    found(HeavyTails, 0.03, 0.01, 300, Verdict::Improved);
    found(Quiet, 0.002, 0.001, 7000, Verdict::Improved);
}
