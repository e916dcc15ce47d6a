//! How far one sample lies from another, without a model of the noise.
//!
//! The estimate is that of Hodges and Lehmann ("Estimates of location based on rank tests", Annals
//! of Mathematical Statistics, 1963): the median of all differences between a value of one sample
//! and a value of the other. Its interval lies between two of these differences, whose ranks come
//! from the null distribution of Mann and Whitney's count (Lehmann, "Nonparametric confidence
//! intervals for a shift parameter", the same journal and year). It needs independent values and
//! the same shape of noise on both sides, of whatever kind.

use super::MedianSequence;

/// The difference of two samples, second less first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// Median of all differences.
    pub estimate: f64,
    /// Ends of the 95 % interval; `None` where there are too few values for one.
    pub interval: Option<(f64, f64)>,
}

/// Probability outside of one end of the interval.
const TAIL: f64 = 0.025;

/// Up to this product of sizes the distribution is counted out, beyond it it is close to normal.
const EXACT: usize = 1000;

impl Shift {
    /// From `before` to `after`; `None` without a value on a side, or with one that is not finite.
    pub fn between(before: &[f64], after: &[f64]) -> Option<Self> {
        let mut differences: Vec<f64> = after
            .iter()
            .flat_map(|a| before.iter().map(move |b| a - b))
            .collect();
        if differences.is_empty() || !differences.iter().all(|d| d.is_finite()) {
            return None;
        }
        differences.sort_by(f64::total_cmp);
        let median: MedianSequence = differences.iter().copied().collect();
        let rank = rank(before.len(), after.len());
        let interval =
            rank.map(|rank| (differences[rank - 1], differences[differences.len() - rank]));
        Some(Self {
            estimate: median.median()?,
            interval,
        })
    }
}

/// Which differences, from either end, bound the interval: the largest `k` for which a count below
/// `k` has a probability of at most [`TAIL`].
fn rank(first: usize, second: usize) -> Option<usize> {
    let k = match first * second {
        0..=EXACT => {
            let counts = arrangements(first, second);
            let all: f64 = counts.iter().sum();
            let tail = counts.iter().scan(0.0, |sum, c| {
                *sum += c;
                Some(*sum / all)
            });
            tail.take_while(|p| *p <= TAIL).count()
        }
        pairs => {
            const NORMAL: f64 = 1.959_963_984_540_054;
            let pairs = pairs as f64;
            let deviation = (pairs * (first + second + 1) as f64 / 12.0).sqrt();
            (0.5 * pairs - NORMAL * deviation - 0.5).floor().max(0.0) as usize
        }
    };
    (k > 0).then_some(k)
}

/// In how many orders of two samples so many pairs stand the wrong way round, for each number of
/// pairs. Counts up to 2^53 are exact.
fn arrangements(first: usize, second: usize) -> Vec<f64> {
    // By the number of values of the first sample among the smallest values so far.
    let mut counts = vec![vec![0.0; first * second + 1]; first + 1];
    counts[0][0] = 1.0;
    for taken in 0..first + second {
        for inside in (0..=first.min(taken)).rev() {
            let others = taken - inside;
            if others > second {
                continue;
            }
            let row = std::mem::replace(&mut counts[inside], vec![0.0; first * second + 1]);
            for (pairs, ways) in row.into_iter().enumerate().filter(|(_, ways)| *ways > 0.0) {
                if inside < first {
                    counts[inside + 1][pairs + others] += ways;
                }
                if others < second {
                    counts[inside][pairs] += ways;
                }
            }
        }
    }
    counts.swap_remove(first)
}

#[cfg(test)]
mod tests {
    use super::super::simulation::{Machine, Trouble};
    use super::*;
    use crate::measure::stats::Rate;

    /// Tables of Mann and Whitney's test, two-sided at 5 %: the largest count that rejects.
    #[test]
    fn ranks_are_those_of_the_published_tables() {
        for (first, second, rejects) in [
            (4, 4, 0),
            (3, 5, 0),
            (5, 5, 2),
            (4, 8, 4),
            (8, 8, 13),
            (10, 10, 23),
            (7, 15, 24),
            (20, 20, 127),
        ] {
            assert_eq!(rank(first, second), Some(rejects + 1), "{first} {second}");
            assert_eq!(rank(second, first), Some(rejects + 1), "{second} {first}");
        }
        assert_eq!(rank(3, 4), None);
        assert_eq!(rank(1, 20), None);
    }

    #[test]
    fn the_normal_approximation_takes_over_without_a_step() {
        let by_hand = |n: f64| 0.5 * n * n - 1.96 * (n * n * (2.0 * n + 1.0) / 12.0).sqrt();
        for n in [31, 32, 33] {
            let k = rank(n, n).unwrap() as f64;
            assert!((k - by_hand(n as f64)).abs() <= 2.0, "{n}: {k}");
        }
    }

    #[test]
    fn the_estimate_is_the_median_difference_and_few_values_have_no_interval() {
        let shift = Shift::between(&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0]).unwrap();
        assert_eq!((shift.estimate, shift.interval), (10.0, None));
        // Sixteen differences, of which the smallest and the largest bound it.
        let shift = Shift::between(&[1.0, 2.0, 3.0, 4.0], &[11.0, 12.0, 13.0, 14.0]).unwrap();
        assert_eq!((shift.estimate, shift.interval), (10.0, Some((7.0, 13.0))));
        assert_eq!(Shift::between(&[], &[1.0]), None);
        assert_eq!(Shift::between(&[f64::NAN], &[1.0]), None);
    }

    #[test]
    fn the_interval_covers_as_often_as_it_says_whatever_the_noise() {
        for (seed, trouble) in [(1, Trouble::Quiet), (2, Trouble::HeavyTails)] {
            let mut machine = Machine::new(trouble, seed);
            let mut missed = 0;
            for _ in 0..2000 {
                let before: Vec<f64> = (0..6).map(|_| machine.slice()).collect();
                let after: Vec<f64> = (0..9).map(|_| machine.slice() + 0.5).collect();
                let (low, high) = Shift::between(&before, &after).unwrap().interval.unwrap();
                missed += u64::from(low > 0.5 || high < 0.5);
            }
            let rate = Rate::of(missed, 2000);
            assert!(
                rate.low <= 0.05 && rate.high > 0.02,
                "{trouble:?}: {rate:?}"
            );
        }
    }
}
