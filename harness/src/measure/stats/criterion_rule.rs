//! The rule of another tool, criterion (version 0.8), in our own words: what it does with two
//! batches of samples, so that it can be held to the same comparisons as ours. Nothing here
//! decides a verdict of bitgauge.
//!
//! A batch is 100 samples of one side, taken one after the other; the batch of the other side is
//! taken at another time. Sample `i` runs `i d` iterations ("linear" sampling), or all run equally
//! many ("flat") where that would take more than twice the measuring time. A sample counts as its
//! time an iteration.
//!
//! A change is called when both hold:
//! 1. The bootstrapped t-test is significant: Welch's t of the two batches, against its
//!    distribution under "no difference", which is that of t between two resamples of both batches
//!    thrown together. Two-sided `p < 0.05`.
//! 2. The 95 % percentile interval of the bootstrapped relative change of the mean lies wholly
//!    beyond the noise threshold of 1 %.
//!
//! Nothing in it knows that one batch was taken at another time than the other, on a machine that
//! had other things to do.

use serde::{Deserialize, Serialize};

use crate::measure::SplitMix64;

/// Settings of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CriterionRule {
    /// Bound on the p-value.
    pub significance: f64,
    /// Relative change below which a difference is noise.
    pub noise_threshold: f64,
    /// Level of the interval.
    pub level: f64,
    /// Resamples of each bootstrap.
    pub resamples: usize,
}

impl Default for CriterionRule {
    /// As criterion comes.
    fn default() -> Self {
        Self {
            significance: 0.05,
            noise_threshold: 0.01,
            level: 0.95,
            resamples: 100_000,
        }
    }
}

/// What the rule says of a batch against an earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Called {
    /// Two-sided p-value.
    pub p: f64,
    /// Relative change of the mean time: 0.02 is 2 % slower.
    pub change: f64,
    /// Interval of the change.
    pub interval: [f64; 2],
    /// Whether it says "improved" or "regressed".
    pub changed: bool,
}

impl CriterionRule {
    /// Compares times an iteration of an earlier batch and of a new one; `seed` draws the
    /// resamples. `None` for batches of fewer than two samples, or samples that are no times.
    pub fn compare(&self, earlier: &[f64], new: &[f64], seed: u64) -> Option<Called> {
        let times = earlier.iter().chain(new);
        let usable = times.clone().all(|t| t.is_finite() && *t > 0.0);
        if !usable || earlier.len() < 2 || new.len() < 2 {
            return None;
        }
        let mut rng = SplitMix64::new(seed);
        let p = self.p_value(earlier, new, &mut rng);
        let interval = self.interval(earlier, new, &mut rng);
        let beyond = |at: f64, sign: f64| sign * at > self.noise_threshold;
        let changed = p < self.significance
            && [1.0, -1.0]
                .into_iter()
                .any(|sign| interval.iter().all(|&end| beyond(end, sign)));
        Some(Called {
            p,
            change: mean(new) / mean(earlier) - 1.0,
            interval,
            changed,
        })
    }

    fn p_value(&self, earlier: &[f64], new: &[f64], rng: &mut SplitMix64) -> f64 {
        let seen = welch_t(new, earlier);
        let together: Vec<f64> = new.iter().chain(earlier).copied().collect();
        let mut resample = vec![0.0; together.len()];
        let (mut below, mut counted) = (0_usize, 0_usize);
        for _ in 0..self.resamples {
            draw(&together, &mut resample, rng);
            let (a, b) = resample.split_at(new.len());
            let t = welch_t(a, b);
            if t.is_finite() {
                counted += 1;
                below += usize::from(t < seen);
            }
        }
        2.0 * below.min(counted - below) as f64 / counted.max(1) as f64
    }

    /// Percentiles of the relative change between resamples. Each resample of the new batch is
    /// held against about `sqrt(resamples)` of the earlier one, as the tool does.
    fn interval(&self, earlier: &[f64], new: &[f64], rng: &mut SplitMix64) -> [f64; 2] {
        let chunks = (self.resamples as f64).sqrt().ceil() as usize;
        let each = self.resamples.div_ceil(chunks.max(1));
        let (mut a, mut b) = (vec![0.0; new.len()], vec![0.0; earlier.len()]);
        let mut changes = Vec::with_capacity(chunks * each);
        for _ in 0..chunks {
            draw(new, &mut a, rng);
            let new_mean = mean(&a);
            for _ in 0..each {
                draw(earlier, &mut b, rng);
                changes.push(new_mean / mean(&b) - 1.0);
            }
        }
        changes.sort_by(f64::total_cmp);
        let tail = 0.5 * (1.0 - self.level);
        [tail, 1.0 - tail].map(|share| percentile(&changes, share))
    }
}

fn draw(from: &[f64], into: &mut [f64], rng: &mut SplitMix64) {
    for value in into {
        *value = from[rng.below(from.len())];
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Welch's statistic of the difference of two means ("The generalization of Student's problem
/// when several different population variances are involved", Biometrika 1947).
fn welch_t(a: &[f64], b: &[f64]) -> f64 {
    let of = |values: &[f64]| {
        let (n, mean) = (values.len() as f64, mean(values));
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        (mean, squares / (n - 1.0) / n)
    };
    let ((mean_a, var_a), (mean_b, var_b)) = (of(a), of(b));
    (mean_a - mean_b) / (var_a + var_b).sqrt()
}

/// Between neighbours by their distance; 0 where there is nothing.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let position = share * last as f64;
    let low = position as usize;
    let high = (low + 1).min(last);
    sorted[low] + position.fract() * (sorted[high] - sorted[low])
}

/// Iterations of each sample of a batch that is to take `target_ns`, where one iteration takes
/// about `each_ns`: linear sampling, or flat where linear would take more than twice as long.
pub fn iteration_counts(each_ns: f64, samples: u64, target_ns: f64) -> Vec<u64> {
    let units = samples * (samples + 1) / 2;
    let step = (target_ns / each_ns / units as f64).ceil().max(1.0);
    if units as f64 * step * each_ns > 2.0 * target_ns {
        let flat = (target_ns / samples as f64 / each_ns).ceil().max(1.0) as u64;
        return vec![flat; samples as usize];
    }
    (1..=samples).map(|i| i * step as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    struct Normal(SplitMix64);

    impl Normal {
        fn next(&mut self) -> f64 {
            let mut uniform = || ((self.0.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos()
        }

        /// 100 samples around 1 + `shift`.
        fn batch(&mut self, shift: f64, deviation: f64) -> Vec<f64> {
            (0..100)
                .map(|_| 1.0 + shift + deviation * self.next())
                .collect()
        }
    }

    /// Share of comparisons of equal sides that are called a change; each batch is off by
    /// `drift` times a normal number as a whole.
    fn alarms(rule: CriterionRule, deviation: f64, drift: f64) -> f64 {
        let rule = CriterionRule {
            resamples: 1000,
            ..rule
        };
        let mut normal = Normal(SplitMix64::new(7));
        let runs = 1000;
        let called = (0..runs).filter(|&seed| {
            let [a, b] = std::array::from_fn(|_| {
                let shift = drift * normal.next();
                normal.batch(shift, deviation)
            });
            rule.compare(&a, &b, seed).unwrap().changed
        });
        called.count() as f64 / runs as f64
    }

    const NO_THRESHOLD: CriterionRule = CriterionRule {
        significance: 0.05,
        noise_threshold: 0.0,
        level: 0.95,
        resamples: 1000,
    };

    /// Each condition alone, the other one made lax: both are met in 5 % of comparisons, as the
    /// levels say. A bootstrapped interval of 100 samples is a little narrow.
    #[test]
    fn equal_independent_samples_are_called_changed_as_often_as_the_levels_say() {
        for rule in [
            NO_THRESHOLD,
            CriterionRule {
                level: 0.5,
                ..NO_THRESHOLD
            },
            CriterionRule {
                significance: 0.5,
                ..NO_THRESHOLD
            },
        ] {
            let rate = alarms(rule, 0.02, 0.0);
            assert!((0.03..0.07).contains(&rate), "{rule:?}: {rate}");
        }
    }

    /// Samples of s.d. 10 %: the mean's change has s.d. 1.41 %, and is called beyond
    /// 1 % + 1.96 * 1.41 %, that is 2.67 s.d.: in 0.76 % of comparisons.
    #[test]
    fn the_noise_threshold_lowers_that_rate_as_the_normal_distribution_says() {
        let rate = alarms(CriterionRule::default(), 0.1, 0.0);
        assert!((0.001..0.018).contains(&rate), "{rate}");
        assert_eq!(alarms(CriterionRule::default(), 0.02, 0.0), 0.0);
    }

    /// Each batch as a whole off by 3 %: the difference has s.d. 4.24 %, and is called beyond
    /// about 1.6 %, so in about 71 % of comparisons.
    #[test]
    fn batches_taken_on_a_drifting_machine_are_called_changed_by_the_dozen() {
        let rate = alarms(CriterionRule::default(), 0.02, 0.03);
        assert!((0.6..0.8).contains(&rate), "{rate}");
    }

    #[test]
    fn a_real_change_is_called_with_its_size() {
        let mut normal = Normal(SplitMix64::new(1));
        let (a, b) = (normal.batch(0.0, 0.02), normal.batch(0.05, 0.02));
        let rule = CriterionRule {
            resamples: 2000,
            ..CriterionRule::default()
        };
        let slower = rule.compare(&a, &b, 1).unwrap();
        assert!(slower.changed && slower.p < 0.01);
        assert!((slower.change - 0.05).abs() < 0.01, "{slower:?}");
        let [low, high] = slower.interval;
        assert!(low < 0.05 && 0.05 < high && high - low < 0.02, "{slower:?}");
        assert!(rule.compare(&b, &a, 1).unwrap().change < -0.03);
        assert!(!rule.compare(&a, &a, 1).unwrap().changed);
    }

    #[test]
    fn what_is_no_batch_is_not_compared() {
        let rule = CriterionRule::default();
        assert_eq!(rule.compare(&[1.0], &[1.0, 1.0], 1), None);
        assert_eq!(rule.compare(&[1.0, f64::NAN], &[1.0, 1.0], 1), None);
        assert_eq!(rule.compare(&[1.0, 0.0], &[1.0, 1.0], 1), None);
    }

    /// Welch's own kind of example, by hand: means 2 and 5, variances 1 and 4, three samples each.
    #[test]
    fn the_statistic_is_welchs() {
        let t = welch_t(&[1.0, 2.0, 3.0], &[3.0, 5.0, 7.0]);
        assert!((t - (-3.0 / (5.0_f64 / 3.0).sqrt())).abs() < 1e-12);
    }

    #[test]
    fn samples_grow_linearly_unless_that_would_take_too_long() {
        // 5050 units in 5 ms at 10 ns: 99.01 iterations a unit, so 100.
        let linear = iteration_counts(10.0, 100, 5.05e6);
        assert_eq!((linear[0], linear[99]), (100, 10_000));
        // 5050 iterations of 1 ms would take 5 s.
        assert_eq!(iteration_counts(1e6, 100, 1e9), vec![10; 100]);
    }
}
