//! Where short series change their level: many series at once, with a bound on any false alarm.
//!
//! For every split of a series, the ranks on its left are summed, less what they would come to
//! without a change (Pettitt, "A non-parametric approach to the change-point problem", Applied
//! Statistics, 1979), and divided by the standard deviation of that sum, so that changes near an
//! end are seen too (Hawkins and Deng, "A nonparametric change-point control chart", Journal of
//! Quality Technology, 2010). The largest over all splits is held against what random orders of the
//! same values give; orders are drawn until a few exceed it (Besag and Clifford, "Sequential Monte
//! Carlo p-values", Biometrika, 1991). Ranks bear outliers of any size, and see a slow drift as
//! well as a step: a drift comes out as several steps the same way.
//!
//! # The bound
//! Over a family of series, p-values of whole series are corrected by Holm's method ("A simple
//! sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979): the
//! probability that any series *without a change* is said to have one is at most `alpha`, whatever
//! the series have to do with each other. It needs one thing: without a change, all orders of a
//! series' values are equally likely. Runs that lean on the run before (a machine that is slow for
//! a week) break that, and are then changes of the machine.
//!
//! A series with a change is split there, and each part of `n` runs out of `N` is tested at its
//! share `n / N` of the level, never surer than the whole (Meinshausen, "Hierarchical testing of
//! variable importance", Biometrika, 2008). The parts were chosen by the data, so their p-values
//! are close, and not exact.

use super::Shift;
use crate::measure::SplitMix64;

/// Runs of the shortest part: fewer are no level.
pub const SHORTEST: usize = 3;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// Position of the first value of the new level.
    pub at: usize,
    /// Corrected p-value: at most the `alpha` that was asked for.
    pub p: f64,
    /// From the level before, up to the change before, to the new one, up to the next.
    pub shift: Shift,
}

/// The changes of each series, in order. `alpha` in (0, 1) bounds the probability that any series
/// without a change has one; `seed` draws the orders, and the same seed gives the same answer.
/// Series of fewer than twice [`SHORTEST`] values have none, nor have those with a value that is
/// not finite.
pub fn change_points(series: &[&[f64]], alpha: f64, seed: u64) -> Vec<Vec<ChangePoint>> {
    let testable = |values: &[f64]| {
        values.len() >= 2 * SHORTEST && values.iter().all(|value| value.is_finite())
    };
    let family = series.iter().filter(|values| testable(values)).count() as f64;
    let roots = series.iter().enumerate().map(|(number, values)| {
        // A stream of its own for each series: what the others hold changes nothing.
        let mut rng = SplitMix64::new(seed ^ ((number as u64) << 32));
        let split = testable(values).then(|| Split::best(values, alpha / family, &mut rng));
        (split.flatten(), rng)
    });
    let (mut roots, mut streams): (Vec<Option<Split>>, Vec<SplitMix64>) = roots.unzip();
    holm(&mut roots, family);
    let found = roots.into_iter().zip(series).zip(&mut streams);
    found
        .map(|((root, values), rng)| {
            let mut found = Vec::new();
            if let Some(root) = root {
                let whole = Part {
                    values,
                    alpha,
                    family,
                };
                whole.divide(0..values.len(), root, rng, &mut found);
            }
            found.sort_by_key(|split| split.at);
            with_shifts(values, &found)
        })
        .collect()
}

/// Corrects p-values for being the smallest of a family.
fn holm(roots: &mut [Option<Split>], family: f64) {
    let mut by_size: Vec<&mut Split> = roots.iter_mut().flatten().collect();
    by_size.sort_by(|a, b| a.p.total_cmp(&b.p));
    let mut least = 0.0_f64;
    for (smaller, split) in by_size.into_iter().enumerate() {
        least = least.max((split.p * (family - smaller as f64)).min(1.0));
        split.p = least;
    }
}

/// A series, and what its parts are held to.
struct Part<'a> {
    values: &'a [f64],
    alpha: f64,
    family: f64,
}

impl Part<'_> {
    /// Keeps `split` where it is sure enough, and looks for more on both sides of it.
    fn divide(
        &self,
        part: std::ops::Range<usize>,
        split: Split,
        rng: &mut SplitMix64,
        found: &mut Vec<Split>,
    ) {
        if split.p > self.alpha {
            return;
        }
        found.push(split);
        for side in [part.start..split.at, split.at..part.end] {
            let share = side.len() as f64 / self.values.len() as f64;
            let level = self.alpha * share / self.family;
            if let Some(next) = Split::best(&self.values[side.clone()], level, rng) {
                let next = Split {
                    at: side.start + next.at,
                    p: (next.p * self.family / share).clamp(split.p, 1.0),
                };
                self.divide(side, next, rng, found);
            }
        }
    }
}

fn with_shifts(values: &[f64], found: &[Split]) -> Vec<ChangePoint> {
    let ends = |i: usize| found.get(i).map_or(values.len(), |split| split.at);
    let starts = |i: usize| i.checked_sub(1).map_or(0, ends);
    let of = |(i, split): (usize, &Split)| {
        let (before, after) = (&values[starts(i)..split.at], &values[split.at..ends(i + 1)]);
        Some(ChangePoint {
            at: split.at,
            p: split.p,
            shift: Shift::between(before, after)?,
        })
    };
    found.iter().enumerate().filter_map(of).collect()
}

#[derive(Debug, Clone, Copy)]
struct Split {
    at: usize,
    p: f64,
}

/// Orders that exceed before no more are drawn: the p-value is then known to a third of itself.
const ENOUGH: u64 = 10;

/// Most orders that are drawn, in multiples of what it takes to reach the level at all.
const FINENESS: f64 = 20.0;

const MOST_ORDERS: f64 = 1e6;

impl Split {
    /// The most telling split of `values`, and how often random orders have one that tells as much.
    /// `level` is what its p-value will be held against: no more orders are drawn than that takes.
    /// `None` where there is no room for two parts.
    fn best(values: &[f64], level: f64, rng: &mut SplitMix64) -> Option<Self> {
        if values.len() < 2 * SHORTEST {
            return None;
        }
        let mut ranks = centred_ranks(values);
        let (at, largest) = largest_sum(&ranks);
        // Equal but for the rounding of a division is as large.
        let as_large = largest * (1.0 - 1e-12);
        let most = (FINENESS / level).clamp(1000.0, MOST_ORDERS) as u64;
        let mut exceeding = 0;
        for drawn in 1..=most {
            rng.shuffle(&mut ranks);
            exceeding += u64::from(largest_sum(&ranks).1 >= as_large);
            if exceeding == ENOUGH {
                let p = ENOUGH as f64 / drawn as f64;
                return Some(Self { at, p });
            }
        }
        let p = (exceeding + 1) as f64 / (most + 1) as f64;
        Some(Self { at, p })
    }
}

/// Twice the rank of each value, less twice the mean rank; equal values share their ranks.
fn centred_ranks(values: &[f64]) -> Vec<i64> {
    let below = |x: f64| values.iter().filter(|&&y| y < x).count() as i64;
    let above = |x: f64| values.iter().filter(|&&y| y > x).count() as i64;
    values.iter().map(|&x| below(x) - above(x)).collect()
}

/// Where the sum of the ranks on the left, squared and over its variance up to a factor, is
/// largest; the first such place.
fn largest_sum(ranks: &[i64]) -> (usize, f64) {
    let n = ranks.len();
    let (mut sum, mut best) = (0, (SHORTEST, -1.0));
    for (i, rank) in ranks[..n - SHORTEST].iter().enumerate() {
        sum += rank;
        let left = i + 1;
        let size = (sum * sum) as f64 / (left * (n - left)) as f64;
        if left >= SHORTEST && size > best.1 {
            best = (left, size);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::Rate;
    use super::super::simulation::{Machine, Trouble};
    use super::*;

    fn noise(machine: &mut Machine, runs: usize) -> Vec<f64> {
        (0..runs).map(|_| machine.slice()).collect()
    }

    fn found(series: &[Vec<f64>], alpha: f64) -> Vec<Vec<ChangePoint>> {
        let series: Vec<&[f64]> = series.iter().map(Vec::as_slice).collect();
        change_points(&series, alpha, 7)
    }

    /// The statistic as Pettitt defines it, by the pairs that stand the wrong way round, over its
    /// variance up to a factor.
    fn statistic(values: &[f64]) -> f64 {
        let n = values.len();
        let sign = |d: f64| f64::from(i8::from(d > 0.0) - i8::from(d < 0.0));
        let of = |k: usize| {
            let pairs = values[..k]
                .iter()
                .flat_map(|x| values[k..].iter().map(move |y| sign(x - y)));
            pairs.sum::<f64>().powi(2) / (k * (n - k)) as f64
        };
        (SHORTEST..=n - SHORTEST).map(of).fold(0.0, f64::max)
    }

    #[test]
    fn the_sum_of_ranks_counts_pairs_that_stand_the_wrong_way_round() {
        let mut machine = Machine::new(Trouble::Quiet, 2);
        for runs in 6..40 {
            let mut values = noise(&mut machine, runs);
            values[runs / 2] = values[0];
            let (_, largest) = largest_sum(&centred_ranks(&values));
            assert_eq!(largest, statistic(&values), "{values:?}");
        }
    }

    #[test]
    fn the_p_value_is_the_share_of_all_orders() {
        fn orders(values: &mut Vec<f64>, k: usize, each: &mut impl FnMut(&[f64])) {
            if k == values.len() {
                return each(values);
            }
            for i in k..values.len() {
                values.swap(k, i);
                orders(values, k + 1, each);
                values.swap(k, i);
            }
        }
        for values in [
            vec![1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 10.0],
            vec![3.0, 1.0, 2.0, 2.5, 9.0, 2.0, 8.0, 7.0],
        ] {
            let (mut as_large, mut all) = (0.0, 0.0);
            let seen = statistic(&values);
            orders(&mut values.clone(), 0, &mut |order| {
                all += 1.0;
                as_large += f64::from(u8::from(statistic(order) >= seen - 1e-9));
            });
            let exact: f64 = as_large / all;
            // Many draws: the mean of many sequential estimates would do as well.
            let mut rng = SplitMix64::new(5);
            let ranks = centred_ranks(&values);
            let (_, largest) = largest_sum(&ranks);
            let mut order = ranks.clone();
            let hits = (0..40_000).filter(|_| {
                rng.shuffle(&mut order);
                largest_sum(&order).1 >= largest * (1.0 - 1e-12)
            });
            let rate = Rate::of(hits.count() as u64, 40_000);
            assert!(
                rate.low - 0.002 < exact && exact < rate.high + 0.002,
                "{exact}: {rate:?}"
            );
            let p = Split::best(&values, 1e-9, &mut rng).unwrap().p;
            assert!(p > 0.3 * exact && p < 3.0 * exact, "{p} for {exact}");
        }
    }

    #[test]
    fn no_family_without_a_change_has_one_more_often_than_alpha() {
        const ALPHA: f64 = 0.05;
        for trouble in [Trouble::Quiet, Trouble::HeavyTails, Trouble::Outliers] {
            let mut machine = Machine::new(trouble, 11);
            let families = 1000;
            let alarms = (0..families).filter(|_| {
                let family: Vec<_> = (0..10).map(|_| noise(&mut machine, 20)).collect();
                found(&family, ALPHA)
                    .iter()
                    .any(|points| !points.is_empty())
            });
            let rate = Rate::of(alarms.count() as u64, families);
            assert!(rate.low <= ALPHA, "{trouble:?}: {rate:?}");
            // Nor does it never cry: the test would not be of much use.
            assert!(rate.high > 0.01, "{trouble:?}: {rate:?}");
        }
    }

    /// 0.5 % a run, with noise of 1 % in every run, among forty cases that stay as they are: no two
    /// runs that follow each other differ by more than a gate's margin of 2 %, but for the noise.
    #[test]
    fn a_slow_drift_that_no_gate_sees_is_found() {
        let mut machine = Machine::new(Trouble::Quiet, 3);
        let mut seen = 0;
        for _ in 0..60 {
            let mut family: Vec<_> = (0..41).map(|_| noise(&mut machine, 20)).collect();
            for (run, value) in family[17].iter_mut().enumerate() {
                *value += 0.005 * run as f64;
            }
            let points = &found(&family, 0.05)[17];
            assert!(points.iter().all(|point| point.shift.estimate > 0.0));
            seen += usize::from(!points.is_empty());
        }
        assert!(seen >= 57, "{seen} of 60");
    }

    #[test]
    fn a_step_is_found_where_it_is_and_once() {
        let mut machine = Machine::new(Trouble::Quiet, 9);
        let (mut near, mut more) = (0, 0);
        for _ in 0..200 {
            let mut series = noise(&mut machine, 30);
            series[22..].iter_mut().for_each(|value| *value += 0.05);
            let points = found(&[series], 0.05).remove(0);
            near += u64::from(points.iter().any(|point| point.at.abs_diff(22) <= 1));
            more += u64::from(points.len() > 1);
        }
        assert!(near >= 190, "{near}");
        assert!(Rate::of(more, 200).low <= 0.05, "{more}");
    }

    #[test]
    fn two_steps_are_two_points_with_the_levels_between() {
        let level = |i: usize| match i {
            0..12 => 0.0,
            12..24 => 0.1,
            _ => 0.04,
        };
        let series: Vec<f64> = (0..36).map(|i| level(i) + 1e-4 * (i % 5) as f64).collect();
        let points = found(&[series], 0.01).remove(0);
        let at: Vec<usize> = points.iter().map(|point| point.at).collect();
        assert_eq!(at, [12, 24]);
        let sizes = points.iter().map(|point| point.shift.estimate);
        for (size, want) in sizes.zip([0.1, -0.06]) {
            assert!((size - want).abs() < 1e-3, "{size} {want}");
        }
    }

    #[test]
    fn equal_values_and_short_series_have_no_change() {
        let series = [
            vec![1.0; 40],
            vec![0.0, 0.0, 0.0, 9.0, 9.0],
            vec![],
            vec![f64::NAN; 40],
        ];
        assert!(found(&series, 0.5).iter().all(Vec::is_empty));
    }

    #[test]
    fn the_same_seed_gives_the_same_answer() {
        let mut machine = Machine::new(Trouble::Quiet, 1);
        let family: Vec<_> = (0..5).map(|_| noise(&mut machine, 25)).collect();
        assert_eq!(found(&family, 0.9), found(&family, 0.9));
    }
}
