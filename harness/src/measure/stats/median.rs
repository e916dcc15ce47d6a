//! Intervals for the median block log-ratio: one valid at any stopping time, one for a number of
//! blocks set beforehand.

use super::sign::{heads_needed, ln_factorial};
use serde::{Deserialize, Serialize};

/// An interval whose sides may be open: `None` means that the blocks seen give no bound there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower bound.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
}

/// The blocks seen so far, kept in order of size.
///
/// Adding is a binary search and a move of at most all values: some microseconds for thousands.
#[derive(Debug, Clone, Default)]
pub struct MedianSequence {
    sorted: Vec<f64>,
    not_finite: u64,
}

impl MedianSequence {
    /// No blocks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the log-ratio of the next block. One that is not finite bounds nothing: it counts
    /// as below every lower bound and above every upper one.
    pub fn push(&mut self, log_ratio: f64) {
        if log_ratio.is_finite() {
            let at = self
                .sorted
                .partition_point(|x| x.total_cmp(&log_ratio).is_lt());
            self.sorted.insert(at, log_ratio);
        } else {
            self.not_finite += 1;
        }
    }

    /// Blocks taken so far.
    pub fn blocks(&self) -> u64 {
        self.sorted.len() as u64 + self.not_finite
    }

    /// The sample median of the finite blocks; `None` when there are none.
    pub fn median(&self) -> Option<f64> {
        let n = self.sorted.len();
        let upper = *self.sorted.get(n / 2)?;
        Some(if n % 2 == 1 {
            upper
        } else {
            0.5 * (self.sorted[n / 2 - 1] + upper)
        })
    }

    /// The confidence sequence at this block: over the whole run, the probability that it *ever*
    /// misses the true median is at most `1 - level`. `level` lies in (0, 1).
    ///
    /// Holds every threshold that neither one-sided sign test has rejected at this block, so it
    /// excludes the margin exactly when [`super::Sequential`] at `alpha = 1 - level` does. It is
    /// not intersected with earlier ones: on a machine that drifts, the intersection can be empty.
    pub fn interval(&self, level: f64) -> Interval {
        let side_alpha = (1.0 - level) / 2.0;
        let rank = heads_needed(self.blocks(), -side_alpha.ln())
            .and_then(|k| usize::try_from(k).ok())
            .filter(|&k| k >= 1 && k <= self.sorted.len());
        Interval {
            low: rank.map(|k| self.sorted[self.sorted.len() - k]),
            high: rank.map(|k| self.sorted[k - 1]),
        }
    }
}

/// As [`MedianSequence::push`] of each, in the time of one sorting.
impl Extend<f64> for MedianSequence {
    fn extend<T: IntoIterator<Item = f64>>(&mut self, log_ratios: T) {
        for r in log_ratios {
            if r.is_finite() {
                self.sorted.push(r);
            } else {
                self.not_finite += 1;
            }
        }
        self.sorted.sort_by(f64::total_cmp);
    }
}

impl FromIterator<f64> for MedianSequence {
    fn from_iter<T: IntoIterator<Item = f64>>(log_ratios: T) -> Self {
        let mut sequence = Self::new();
        sequence.extend(log_ratios);
        sequence
    }
}

/// An interval between two order statistics, with the probability that it holds the median.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FixedInterval {
    /// Lower bound: the `k`-th smallest value.
    pub low: f64,
    /// Upper bound: the `k`-th largest value.
    pub high: f64,
    /// Exact probability that the two hold the median, `1 - 2 P(Bin(n, 1/2) < k)`, for blocks
    /// that are as likely above the median as below, each independently of the others.
    pub coverage: f64,
}

/// The narrowest symmetric interval between order statistics whose coverage is at least `level`;
/// `None` when there are too few blocks for it (fewer than 6 for 95 %) or one is not finite.
///
/// Valid only for a number of blocks that was set before the first one was seen.
pub fn fixed_blocks_interval(log_ratios: &[f64], level: f64) -> Option<FixedInterval> {
    let n = log_ratios.len();
    let (rank, coverage) = (1..=n / 2)
        .zip(coverages(n))
        .take_while(|(_, coverage)| *coverage >= level)
        .last()?;
    between(log_ratios, rank, coverage)
}

/// Smallest to largest value, and how sure that is: `1 - 2^(1-n)`. `None` for fewer than two
/// blocks, or when one is not finite. For runs with too few blocks for the level they wanted.
pub fn range_interval(log_ratios: &[f64]) -> Option<FixedInterval> {
    let coverage = coverages(log_ratios.len()).next()?;
    (log_ratios.len() >= 2).then(|| between(log_ratios, 1, coverage))?
}

fn between(log_ratios: &[f64], rank: usize, coverage: f64) -> Option<FixedInterval> {
    if !log_ratios.iter().all(|r| r.is_finite()) {
        return None;
    }
    let mut sorted = log_ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    Some(FixedInterval {
        low: sorted[rank - 1],
        high: sorted[n - rank],
        coverage,
    })
}

/// `1 - 2 P(Bin(n, 1/2) < rank)` of the ranks 1 to `n`, at one term each.
fn coverages(n: usize) -> impl Iterator<Item = f64> {
    let n = n as u64;
    let ln_half = -(n as f64) * std::f64::consts::LN_2;
    let ln_all = ln_factorial(n);
    (0..n).scan(0.0, move |tail, j| {
        *tail += (ln_all - ln_factorial(j) - ln_factorial(n - j) + ln_half).exp();
        Some(1.0 - 2.0 * *tail)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Rules, Sequential, Verdict};
    use super::*;

    fn sequence(values: impl IntoIterator<Item = f64>) -> MedianSequence {
        values.into_iter().collect()
    }

    #[test]
    fn few_blocks_give_no_bound_rather_than_an_invented_one() {
        for n in 0..8 {
            let interval = sequence((0..n).map(f64::from)).interval(0.95);
            assert_eq!((interval.low, interval.high), (None, None), "{n} blocks");
        }
        let eight = sequence((0..8).map(f64::from)).interval(0.95);
        assert_eq!((eight.low, eight.high), (Some(0.0), Some(7.0)));
    }

    #[test]
    fn the_interval_excludes_the_margin_when_the_test_rejects_it() {
        let rules = Rules::new(0.02, 0.05, 0.95).unwrap();
        let mut test = Sequential::new(&rules);
        let mut blocks = MedianSequence::new();
        for i in 0_u32..400 {
            let r = 0.01 + 0.001 * f64::from(i * 7919 % 41);
            blocks.push(r);
            let improved = test.push(r) == Verdict::Improved;
            let excludes = blocks
                .interval(0.95)
                .low
                .is_some_and(|l| l > rules.log_margin());
            assert_eq!(improved, excludes, "block {i}");
            if improved {
                return;
            }
        }
        panic!("the test never rejected");
    }

    #[test]
    fn a_higher_level_is_never_narrower() {
        let blocks = sequence((0_u32..300).map(|i| f64::from(i * 7919 % 300)));
        let widths: Vec<f64> = [0.5, 0.9, 0.95, 0.99, 0.999]
            .map(|level| blocks.interval(level))
            .map(|i| i.high.unwrap() - i.low.unwrap())
            .to_vec();
        assert!(widths.is_sorted(), "{widths:?}");
        assert!(widths[0] < widths[4]);
    }

    #[test]
    fn values_that_are_no_numbers_widen_the_interval() {
        let clean = sequence((0..40).map(f64::from)).interval(0.95);
        let dirty = sequence((0..40).map(f64::from).chain([f64::NAN; 5])).interval(0.95);
        assert!(dirty.low.unwrap() < clean.low.unwrap());
        assert!(dirty.high.unwrap() > clean.high.unwrap());
        let mostly = sequence((0..8).map(f64::from).chain([f64::NAN; 8])).interval(0.95);
        assert_eq!(mostly.low, None);
    }

    #[test]
    fn median_of_odd_even_and_no_blocks() {
        assert_eq!(sequence([3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(sequence([3.0, 1.0, 2.0, 10.0]).median(), Some(2.5));
        assert_eq!(sequence([]).median(), None);
    }

    /// Ranks and coverages as printed in tables of the binomial interval for the median.
    #[test]
    fn fixed_intervals_are_those_of_the_published_table() {
        for (n, rank, coverage) in [
            (6, 1, 0.96875),
            (8, 1, 0.992_187_5),
            (9, 2, 0.960_937_5),
            (10, 2, 0.978_515_625),
            (15, 4, 0.964_843_75),
            (20, 6, 0.958_610_534_667_968_8),
        ] {
            let values: Vec<f64> = (1..=n).rev().map(f64::from).collect();
            let got = fixed_blocks_interval(&values, 0.95).unwrap();
            assert_eq!(
                (got.low, got.high),
                (f64::from(rank), f64::from(n + 1 - rank))
            );
            assert!((got.coverage - coverage).abs() < 1e-12, "{n}: {got:?}");
        }
    }

    #[test]
    fn five_blocks_have_no_95_percent_interval_but_a_range_of_known_coverage() {
        let values = [0.1, 0.3, 0.2, 0.5, 0.4];
        assert_eq!(fixed_blocks_interval(&values, 0.95), None);
        let range = range_interval(&values).unwrap();
        assert_eq!((range.low, range.high), (0.1, 0.5));
        assert!((range.coverage - 0.9375).abs() < 1e-12);
        assert_eq!(range_interval(&[0.1]), None);
        assert_eq!(range_interval(&[0.1, f64::NAN]), None);
    }

    /// `1 - 2 P(Bin(n, 1/2) < rank)` as its definition is written.
    fn coverage_by_definition(n: u64, rank: u64) -> f64 {
        let ln_half = -(n as f64) * std::f64::consts::LN_2;
        let tail: f64 = (0..rank)
            .map(|j| (ln_factorial(n) - ln_factorial(j) - ln_factorial(n - j) + ln_half).exp())
            .sum();
        1.0 - 2.0 * tail
    }

    #[test]
    fn fixed_intervals_are_the_definition_s_to_the_bit() {
        for n in (2..300).chain([400, 511, 777, 1000]) {
            let values: Vec<f64> = (1..=n).map(|i| i as f64).collect();
            let by_definition: Vec<f64> = (1..=n / 2)
                .map(|rank| coverage_by_definition(n, rank))
                .collect();
            let range = range_interval(&values).unwrap();
            assert_eq!(range.coverage.to_bits(), by_definition[0].to_bits(), "{n}");
            for level in [0.5, 0.9, 0.95, 0.975, 0.99, 0.999, 1.0 - 1e-6, 1.0 - 1e-12] {
                let wide_enough = by_definition.iter().take_while(|c| **c >= level);
                let want = wide_enough.enumerate().last().map(|(i, coverage)| {
                    let rank = i as u64 + 1;
                    (rank as f64, (n + 1 - rank) as f64, coverage.to_bits())
                });
                let got = fixed_blocks_interval(&values, level)
                    .map(|i| (i.low, i.high, i.coverage.to_bits()));
                assert_eq!(got, want, "{n} at {level}");
            }
        }
    }

    /// Files from anywhere state so many. A term for every rank below each would be 10^9 of them.
    #[test]
    fn many_blocks_take_no_time() {
        let begin = std::time::Instant::now();
        let values: Vec<f64> = (0..200_000_u32)
            .map(|i| f64::from(i.wrapping_mul(2_654_435_761)))
            .collect();
        let interval = fixed_blocks_interval(&values, 0.95).unwrap();
        let sequence = sequence(values);
        let median = sequence.median().unwrap();
        assert!(interval.low < median && median < interval.high);
        assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    }

    #[test]
    fn many_values_at_once_are_those_values_one_by_one() {
        let values = [
            3.0,
            f64::NAN,
            -0.0,
            0.0,
            2.0,
            -0.0,
            1e9,
            f64::INFINITY,
            -7.0,
        ];
        let (first, rest) = values.split_at(4);
        let mut one_by_one = MedianSequence::new();
        values.iter().for_each(|x| one_by_one.push(*x));
        let mut at_once = sequence(first.iter().copied());
        at_once.extend(rest.iter().copied());
        let bits = |s: &MedianSequence| s.sorted.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&at_once), bits(&one_by_one));
        assert_eq!(at_once.blocks(), one_by_one.blocks());
    }
}
