//! The smallest effect that is seen in a given time, from what equal sides gave.
//!
//! How: the log-ratios of all placements of a case, from its comparisons of fixed length, are what
//! this machine does to a placement when nothing has changed. Each is as likely as its negative,
//! since both sides are equal. A comparison of a changed program is then so many of them, drawn at
//! random with random signs, shifted by the logarithm of the change. So many placements are drawn
//! as fit into the time, given what one costs here. An effect counts as seen where the sequential
//! rule, at a margin of half the effect, calls 95 % of such comparisons right. The smallest one is
//! searched for on a grid, whose steps are a tenth.
//!
//! Placements grow as a comparison goes on, and longer ones scatter less, so each is drawn from
//! those of its own length. The first comparison of each case goes on until placements are long;
//! longer ones than were recorded are drawn from the longest that were, which errs on the safe
//! side. What is left out: placements are drawn as if they were independent, which on a machine
//! with slow phases they are not quite. So estimates are [checked](super::planted) by planting.

use std::collections::BTreeMap;
use std::time::Duration;

use super::comparisons::{Comparison, rules};
use crate::measure::stats::Sequential;
use crate::measure::{Pace, SplitMix64, Verdict};

/// The least effect that is tried: smaller ones are of no use, and can't be planted for a check
/// (a few steps more of a loop overlap with what is around it).
pub const LEAST: f64 = 5e-4;
/// The largest.
const MOST: f64 = 0.5;
const STEP: f64 = 1.1;

/// Resampled comparisons for each effect that is tried.
const RESAMPLES: usize = 400;

/// So many of them may remain uncalled.
const MISSES: usize = RESAMPLES / 20;

/// Placements of one length that are enough to draw from.
const ENOUGH: usize = 8;

/// What is known of a case's placements.
pub struct Scatter {
    /// Log-ratios by length, shortest first: none is empty.
    by_length: Vec<(Duration, Vec<f64>)>,
    /// Seconds beyond its blocks that a placement takes, in all but the slowest 5 % of the
    /// comparisons: making both sides, and what blocks overrun.
    overhead: f64,
    pace: Pace,
}

impl Scatter {
    /// Of comparisons of one case: log-ratios from those of fixed length, costs from all. `None`
    /// without one of fixed length.
    pub fn of<'a>(comparisons: impl Iterator<Item = &'a Comparison>, pace: Pace) -> Option<Self> {
        let mut overheads = Vec::new();
        let mut by_length = BTreeMap::<Duration, Vec<f64>>::new();
        for c in comparisons.filter(|c| !c.log_ratios.is_empty()) {
            let placements = c.log_ratios.len();
            let blocks: f64 = (0..placements).map(|at| length(pace, at)).sum();
            overheads.push(f64::max(0.0, c.seconds - blocks) / placements as f64);
            if !c.fixed {
                continue;
            }
            for (at, &log_ratio) in c.log_ratios.iter().enumerate() {
                if log_ratio.is_finite() {
                    let length = pace.grown(at).placement;
                    by_length.entry(length).or_default().push(log_ratio);
                }
            }
        }
        overheads.sort_by(f64::total_cmp);
        let usual = (0.95 * overheads.len() as f64).ceil() as usize;
        let overhead = *overheads.get(usual.checked_sub(1)?)?;
        let mut by_length: Vec<(Duration, Vec<f64>)> = by_length.into_iter().collect();
        while by_length.len() > 1 && by_length.last().is_some_and(|(_, r)| r.len() < ENOUGH) {
            by_length.pop();
        }
        (!by_length.is_empty()).then_some(Self {
            by_length,
            overhead,
            pace,
        })
    }

    /// What a placement may give that so many were before.
    fn pool(&self, placements: usize) -> &[f64] {
        let length = self.pace.grown(placements).placement;
        let known = self.by_length.iter().rev();
        let mut fitting = known.skip_while(|(known, _)| *known > length);
        let (_, pool) = fitting.next().unwrap_or(&self.by_length[0]);
        pool
    }

    /// Placements that end within `budget`.
    fn placements_within(&self, budget: Duration) -> usize {
        let budget = budget.as_secs_f64();
        let mut spent = 0.0;
        (0..)
            .take_while(|&n| {
                spent += self.overhead + length(self.pace, n);
                spent <= budget
            })
            .count()
    }

    /// The smallest effect seen within `budget`, as a fraction.
    pub fn smallest_effect(&self, budget: Duration, seed: u64) -> Option<f64> {
        let placements = self.placements_within(budget);
        let steps = ((MOST / LEAST).ln() / STEP.ln()) as i32;
        let effect = |step: i32| LEAST * STEP.powi(step);
        let seen = |step: i32| self.sees(effect(step), placements, seed);
        if !seen(steps) {
            return None;
        }
        let (mut least, mut enough) = (0, steps);
        while least < enough {
            let middle = (least + enough) / 2;
            match seen(middle) {
                true => enough = middle,
                false => least = middle + 1,
            }
        }
        Some(effect(enough))
    }

    /// Whether `effect` is called in enough resampled comparisons.
    fn sees(&self, effect: f64, placements: usize, seed: u64) -> bool {
        let mut rng = SplitMix64::new(seed);
        let rules = rules(0.5 * effect);
        let shift = effect.ln_1p();
        let mut missed = 0;
        for _ in 0..RESAMPLES {
            let mut test = Sequential::new(&rules);
            let decided = (0..placements).any(|at| {
                let pool = self.pool(at);
                let drawn = pool[rng.below(pool.len())];
                let sign = [1.0, -1.0][rng.below(2)];
                test.push(shift + sign * drawn) != Verdict::Unclear
            });
            missed += usize::from(!decided || test.verdict() != Verdict::Improved);
            if missed > MISSES {
                return false;
            }
        }
        true
    }
}

/// Seconds of the blocks of a placement that so many were before.
fn length(pace: Pace, placements: usize) -> f64 {
    pace.grown(placements).placement.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(log_ratios: Vec<f64>, seconds: f64, fixed: bool) -> Comparison {
        Comparison {
            case: 0,
            log_ratios,
            seconds,
            fixed,
        }
    }

    fn scatter(log_ratios: Vec<f64>, seconds: f64) -> Scatter {
        let comparisons = [comparison(log_ratios, seconds, true)];
        Scatter::of(comparisons.iter(), Pace::FUNCTIONS).unwrap()
    }

    /// Where nothing but placements costs: 9 of 3 ms, 4 of 6, and 12 for the 14th.
    const FOURTEEN: u64 = 9 * 3 + 4 * 6 + 12;

    /// 14 placements that agree are called at alpha 0.001 (2^15 / 15 > 2000), 13 are not. With
    /// placements off by 1 % either way, and a margin of half the effect, all agree from an effect
    /// on whose half is 1 %.
    #[test]
    fn with_just_enough_placements_all_must_agree() {
        let both_ways: Vec<f64> = (0..16).map(|i| [0.01, -0.01][i % 2]).collect();
        let scatter = scatter(both_ways, 16.0 * 0.003);
        let enough = Duration::from_millis(FOURTEEN + 1);
        assert_eq!(scatter.placements_within(enough), 14);
        let effect = scatter.smallest_effect(enough, 1);
        // ln(1 + e) - ln(1 + e/2) > 0.01 from e = 0.0203 on; the grid's next step is at most 1.1x.
        let effect = effect.unwrap();
        assert!((0.0203..0.0203 * 1.11).contains(&effect), "{effect}");
        let short = Duration::from_millis(FOURTEEN - 1);
        assert_eq!(scatter.smallest_effect(short, 1), None);
    }

    #[test]
    fn more_time_never_asks_for_a_larger_effect() {
        let mut rng = SplitMix64::new(3);
        let noise = (0..320).map(|_| (rng.below(2001) as f64 - 1000.0) * 1e-5);
        let scatter = scatter(noise.collect(), 2.0);
        let effects = [0.2, 1.0, 5.0, 30.0].map(|s| {
            let effect = scatter.smallest_effect(Duration::from_secs_f64(s), 1);
            effect.unwrap_or(f64::INFINITY)
        });
        assert!(effects.is_sorted_by(|a, b| a >= b), "{effects:?}");
        assert!(effects[3] < 0.5 * effects[0], "{effects:?}");
    }

    /// A placement of 3 ms of blocks that took 10 ms has 7 ms of overhead, which does not grow.
    #[test]
    fn making_the_sides_costs_what_it_was_seen_to_cost() {
        let scatter = scatter(vec![0.0; 9], 0.09);
        assert_eq!(scatter.placements_within(Duration::from_millis(91)), 9);
        // The 10th has twice the blocks: 13 ms.
        assert_eq!(scatter.placements_within(Duration::from_millis(102)), 9);
        assert_eq!(scatter.placements_within(Duration::from_millis(104)), 10);
    }

    /// On a machine whose load comes and goes, the time has to be enough when it is there.
    #[test]
    fn a_placement_costs_what_all_but_the_slowest_took() {
        let quick = |_| comparison(vec![0.0; 9], 0.045, false);
        let mut comparisons: Vec<_> = (0..20).map(quick).collect();
        comparisons[3] = comparison(vec![0.0; 9], 0.09, true);
        comparisons[7] = comparison(vec![0.0; 9], 5.0, false);
        let scatter = Scatter::of(comparisons.iter(), Pace::FUNCTIONS).unwrap();
        assert_eq!(scatter.placements_within(Duration::from_millis(91)), 9);
    }

    /// Off by 10 % while short, by 0.1 % once twice as long: with time for long ones, a small
    /// effect is seen.
    #[test]
    fn long_placements_are_drawn_from_long_ones() {
        let both_ways = |i: usize, size: f64| [size, -size][i % 2];
        let log_ratios = (0..32).map(|i| both_ways(i, if i < 13 { 0.1 } else { 0.001 }));
        let scatter = scatter(log_ratios.collect(), 0.1);
        let short = scatter
            .smallest_effect(Duration::from_millis(FOURTEEN + 1), 1)
            .unwrap();
        let long = scatter.smallest_effect(Duration::from_secs(5), 1).unwrap();
        assert!(short > 0.2 && long < 0.004, "{short} {long}");
        // A few long ones are too few to draw from.
        let few = (0..17).map(|i| both_ways(i, if i < 13 { 0.1 } else { 0.001 }));
        let few = super::Scatter::of(
            [comparison(few.collect(), 0.1, true)].iter(),
            Pace::FUNCTIONS,
        );
        let few = few.unwrap().smallest_effect(Duration::from_secs(5), 1);
        assert!(few.unwrap() > 0.1, "{few:?}");
    }

    #[test]
    fn comparisons_that_ended_when_settled_are_left_out() {
        let settled = [comparison(vec![0.1; 9], 1.0, false)];
        assert!(Scatter::of(settled.iter(), Pace::FUNCTIONS).is_none());
    }
}
