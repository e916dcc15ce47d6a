//! Percentiles of a sample, and what the sample says about those of what it was drawn from.

use serde::{Deserialize, Serialize};

use super::binomial::at_least;

/// A percentile of a sample, with the order statistics that bound the true one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// Which: 50, 90, 99.
    pub percent: u32,
    /// Its value in the sample, by nearest rank.
    pub value: f64,
    /// Order statistics about it; `None` where the sample is too small to have both.
    pub interval: Option<Between>,
}

/// Two order statistics, and how sure it is that the true percentile lies between them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Between {
    /// The lower one.
    pub low: f64,
    /// The upper one.
    pub high: f64,
    /// Probability of `low <= true percentile <= high`, at least, for values that are independent
    /// of each other.
    pub coverage: f64,
}

/// Position, from 1, of a percentile in `n` sorted values: the smallest whole number that is at
/// least `percent / 100 * n` (the nearest rank; definition 1 of Hyndman and Fan, "Sample quantiles
/// in statistical packages", The American Statistician 1996). `percent` is 1 to 100.
pub fn nearest_rank(n: usize, percent: u32) -> usize {
    (percent as usize * n).div_ceil(100)
}

/// Positions, from 1, of the order statistics between which a percentile lies with a probability
/// of `level` or more, each side missing it with at most half of the rest: the number of values
/// at or below the true percentile is binomial (David and Nagaraja, *Order Statistics*, 2003,
/// section 7.1). With it the probability itself. `None` where no value is far enough out.
pub fn ranks(n: usize, percent: u32, level: f64) -> Option<(usize, usize, f64)> {
    let p = f64::from(percent) / 100.0;
    let tail = (1.0 - level) / 2.0;
    let reaches = |k: usize| match k {
        0 => 1.0,
        k => at_least(k as u64, n as u64, p),
    };
    // Fewer than `low` of the values lie below the percentile: its lower end is above it.
    let low = (1..=n).rev().find(|&k| 1.0 - reaches(k) <= tail)?;
    let high = (low..=n).find(|&k| reaches(k) <= tail)?;
    Some((low, high, reaches(low) - reaches(high)))
}

/// A percentile of `values` in any order, with its interval at `level`. `None` without values, or
/// when one is not finite.
pub fn percentile(values: &[f64], percent: u32, level: f64) -> Option<Percentile> {
    if values.is_empty() || !values.iter().all(|v| v.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    Some(Percentile {
        percent,
        value: sorted[nearest_rank(n, percent) - 1],
        interval: ranks(n, percent, level).map(|(low, high, coverage)| Between {
            low: sorted[low - 1],
            high: sorted[high - 1],
            coverage,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixed_blocks_interval;
    use super::*;

    /// The worked example of the nearest rank that many texts have: 15, 20, 35, 40, 50.
    #[test]
    fn the_nearest_rank_is_a_value_of_the_sample() {
        let values = [40.0, 15.0, 50.0, 35.0, 20.0];
        for (percent, value) in [(5, 15.0), (30, 20.0), (40, 20.0), (50, 35.0), (100, 50.0)] {
            assert_eq!(percentile(&values, percent, 0.95).unwrap().value, value);
        }
        assert_eq!(nearest_rank(100, 90), 90);
        assert_eq!(
            nearest_rank(100, 55),
            55,
            "0.55 * 100 is above 55 in floats"
        );
        assert_eq!(nearest_rank(101, 99), 100);
        assert_eq!(percentile(&[], 50, 0.95), None);
        assert_eq!(percentile(&[1.0, f64::NAN], 50, 0.95), None);
    }

    /// Tables of the interval for a median: ranks 40 and 61 of 100 at 95 %.
    #[test]
    fn ranks_are_those_of_published_tables() {
        let (low, high, coverage) = ranks(100, 50, 0.95).unwrap();
        assert_eq!((low, high), (40, 61));
        assert!((coverage - 0.9648).abs() < 5e-5, "{coverage}");
    }

    /// The interval for a median that is computed elsewhere, by another sum.
    #[test]
    fn the_median_has_the_interval_of_a_number_of_blocks() {
        for n in [6_u32, 9, 20, 75, 300] {
            let values: Vec<f64> = (1..=n).map(f64::from).collect();
            let got = percentile(&values, 50, 0.95).unwrap().interval.unwrap();
            let want = fixed_blocks_interval(&values, 0.95).unwrap();
            assert_eq!((got.low, got.high), (want.low, want.high), "{n}");
            assert!((got.coverage - want.coverage).abs() < 1e-9);
        }
    }

    /// Each tail by repeated multiplication, with no logarithm of a factorial.
    #[test]
    fn each_side_misses_by_at_most_half() {
        let term = |n: usize, p: f64, k: usize| -> f64 {
            let choose = (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
            choose * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
        };
        for (n, percent) in [(100, 90), (300, 90), (400, 99), (60, 75)] {
            let p = f64::from(percent) / 100.0;
            let below = |k: usize| (0..k).map(|j| term(n, p, j)).sum::<f64>();
            let above = |k: usize| (k..=n).map(|j| term(n, p, j)).sum::<f64>();
            let (low, high, coverage) = ranks(n, percent, 0.95).unwrap();
            assert!(below(low) <= 0.025 && below(low + 1) > 0.025, "{n} {low}");
            assert!(
                above(high) <= 0.025 && above(high - 1) > 0.025,
                "{n} {high}"
            );
            assert!((coverage - (1.0 - below(low) - above(high))).abs() < 1e-9);
        }
    }

    /// All of n below the 99th percentile has a probability of `0.99^n`: above 2.5 % up to 367.
    #[test]
    fn a_high_percentile_of_few_values_has_no_upper_end() {
        assert_eq!(ranks(300, 99, 0.95), None);
        assert_eq!(ranks(367, 99, 0.95), None);
        assert_eq!(ranks(368, 99, 0.95).unwrap().1, 368);
    }
}
