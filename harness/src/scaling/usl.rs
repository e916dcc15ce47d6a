//! The Universal Scalability Law, fitted to measured speedups and followed beyond the machine.
//!
//! `C(N) = N / (1 + sigma (N - 1) + kappa N (N - 1))` (Gunther, "Guerrilla Capacity Planning",
//! Springer 2007, chapter 4): `sigma` is the share of the work that can't be shared, `kappa` what
//! each pair of threads costs in keeping step. With `kappa = 0` it is Amdahl's law.
//!
//! # The fit
//! The law is linear in its parameters after `y = N / C(N) - 1 = sigma (N - 1) + kappa N (N - 1)`,
//! where `y` is one over the efficiency, less one. Ordinary least squares on `y`, over
//! `sigma, kappa >= 0`: where a parameter of the free solution is negative, the least sum of
//! squares lies on an edge, and both edges are tried. One thread gives `0 = 0` and no information,
//! so two parameters need two more thread counts; with one more, `kappa` is held at 0.
//!
//! # The interval
//! Rounds are drawn again with replacement, the medians taken and the law fitted anew (percentile
//! bootstrap: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics
//! 1979). All thread counts of a round are drawn together, so what slowed a whole round stays
//! together. The interval holds the noise of the measured points and nothing else: not whether
//! the law goes on to hold where nobody measured.

use serde::{Deserialize, Serialize};

use crate::ladder::race::LEVEL;
use crate::measure::SplitMix64;
use crate::measure::stats::MedianSequence;
use crate::run::{Estimate, Measured, Scaled};

/// Times that the rounds are drawn again.
const RESAMPLES: usize = 1000;

/// Fewest rounds worth drawing again: fewer hold the same few values in every sample.
const LEAST_ROUNDS: usize = 6;

/// The parameters of the law, both at least 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Law {
    /// Share of the work that can't be shared.
    pub sigma: f64,
    /// Cost of each pair of threads in keeping step.
    pub kappa: f64,
}

/// Which law was fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Both parameters.
    Usl,
    /// `sigma` alone, since only two thread counts were measured.
    Amdahl,
}

impl Form {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usl => "Universal Scalability Law",
            Self::Amdahl => "Amdahl's law",
        }
    }
}

impl Law {
    /// Speedup with `threads` over one thread.
    pub fn speedup(&self, threads: usize) -> f64 {
        let n = threads as f64;
        n / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    /// The number of threads beyond which more of them are slower,
    /// `sqrt((1 - sigma) / kappa)`; `None` where there is no such number.
    pub fn peak(&self) -> Option<f64> {
        (self.kappa > 0.0 && self.sigma < 1.0).then(|| ((1.0 - self.sigma) / self.kappa).sqrt())
    }

    /// The least squares fit to `(threads, speedup)`; points of one thread are left out. `None`
    /// without another point, or with a speedup that is not above 0.
    pub fn fit(points: &[(usize, f64)]) -> Option<(Form, Self)> {
        let points: Vec<_> = points.iter().filter(|(n, _)| *n > 1).collect();
        let first = points.first()?.0;
        if !points.iter().all(|(_, c)| c.is_finite() && *c > 0.0) {
            return None;
        }
        // Sums of the normal equations; a is (N - 1), b is N (N - 1).
        let [mut aa, mut ab, mut bb, mut ay, mut by] = [0.0; 5];
        for (n, speedup) in &points {
            let n = *n as f64;
            let (a, b, y) = (n - 1.0, n * (n - 1.0), n / speedup - 1.0);
            aa += a * a;
            ab += a * b;
            bb += b * b;
            ay += a * y;
            by += b * y;
        }
        let only_sigma = Self {
            sigma: (ay / aa).max(0.0),
            kappa: 0.0,
        };
        if points.iter().all(|(n, _)| *n == first) {
            return Some((Form::Amdahl, only_sigma));
        }
        let determinant = aa * bb - ab * ab;
        let free = Self {
            sigma: (ay * bb - ab * by) / determinant,
            kappa: (aa * by - ab * ay) / determinant,
        };
        if free.sigma >= 0.0 && free.kappa >= 0.0 {
            return Some((Form::Usl, free));
        }
        let only_kappa = Self {
            sigma: 0.0,
            kappa: (by / bb).max(0.0),
        };
        // The sum of squares less that of y alone, which all share.
        let squares =
            |l: &Self| l.sigma * (l.sigma * aa - 2.0 * ay) + l.kappa * (l.kappa * bb - 2.0 * by);
        let edge = match squares(&only_sigma) <= squares(&only_kappa) {
            true => only_sigma,
            false => only_kappa,
        };
        Some((Form::Usl, edge))
    }
}

/// A fitted law with its intervals, and where it leads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Which law.
    pub form: Form,
    /// Share of the work that can't be shared.
    pub sigma: Estimate,
    /// Cost of each pair of threads in keeping step; 0 for Amdahl's law, where it was not fitted.
    pub kappa: Estimate,
    /// Speedups that nobody measured.
    pub projected: Vec<Projection>,
}

/// A speedup that nobody measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Threads.
    pub threads: usize,
    /// Speedup over one thread, by the law; the interval is that of the fit.
    pub speedup: Estimate,
}

/// What was measured with one number of threads.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// Threads.
    pub threads: usize,
    /// `ln(time with one thread / time with these)`, one value a round, the rounds in the same
    /// order as those of every other series.
    pub log_speedups: &'a [f64],
}

impl Fit {
    /// Fits the law to the medians over rounds, and follows it to the thread counts `beyond`.
    ///
    /// Unavailable with fewer than two thread counts, fewer than 6 rounds, series of different
    /// lengths, or ratios that are not finite.
    pub fn over_rounds(series: &[Series<'_>], beyond: &[usize], seed: u64) -> Measured<Self> {
        let series: Vec<_> = series.iter().filter(|s| s.threads > 1).collect();
        let Some(first) = series.first() else {
            return Measured::unavailable("a law needs two numbers of threads at least");
        };
        let rounds = first.log_speedups.len();
        if rounds < LEAST_ROUNDS {
            return Measured::unavailable(format!(
                "{rounds} rounds are too few for an interval; {LEAST_ROUNDS} are needed"
            ));
        }
        let whole = |s: &&Series<'_>| {
            s.log_speedups.len() == rounds && s.log_speedups.iter().all(|r| r.is_finite())
        };
        if !series.iter().all(whole) {
            return Measured::unavailable(
                "not every round has a ratio for every number of threads",
            );
        }
        let fit = |drawn: &[usize]| {
            let median = |s: &&Series<'_>| {
                let values: MedianSequence = drawn.iter().map(|&r| s.log_speedups[r]).collect();
                Some((s.threads, values.median()?.exp()))
            };
            Law::fit(&series.iter().map(median).collect::<Option<Vec<_>>>()?)
        };
        let mut drawn: Vec<usize> = (0..rounds).collect();
        let Some((form, law)) = fit(&drawn) else {
            return Measured::unavailable("the speedups are out of range");
        };
        let mut rng = SplitMix64::new(seed);
        let mut laws = Vec::with_capacity(RESAMPLES);
        for _ in 0..RESAMPLES {
            drawn.fill_with(|| rng.below(rounds));
            laws.extend(fit(&drawn).map(|(_, law)| law));
        }
        let estimate = |of: &dyn Fn(&Law) -> f64| {
            let mut values: Vec<f64> = laws.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let outside = ((1.0 - LEVEL) / 2.0 * values.len() as f64) as usize;
            Estimate {
                value: of(&law),
                low: values[outside],
                high: values[values.len() - 1 - outside],
                level: LEVEL,
                blocks: rounds as u64,
            }
        };
        let projection = |&threads: &usize| Projection {
            threads,
            speedup: estimate(&|law| law.speedup(threads)),
        };
        Measured::Is(Self {
            form,
            sigma: estimate(&|law| law.sigma),
            kappa: estimate(&|law| law.kappa),
            projected: beyond.iter().map(projection).collect(),
        })
    }

    /// The speedup that was projected to `threads`, if one was.
    pub fn scaled(&self, threads: usize) -> Option<Scaled> {
        let found = self.projected.iter().find(|p| p.threads == threads)?;
        let Estimate {
            value, low, high, ..
        } = found.speedup;
        let model = self.form.name().to_owned();
        Some(Scaled::Projected {
            value,
            low,
            high,
            model,
        })
    }

    /// The law and its parameters in a few words.
    pub fn words(&self) -> String {
        let figure = |e: &Estimate| format!("{:.4} [{:.4}, {:.4}]", e.value, e.low, e.high);
        let sigma = figure(&self.sigma);
        match self.form {
            Form::Usl => format!("{}, σ {sigma}, κ {}", self.form.name(), figure(&self.kappa)),
            Form::Amdahl => format!("{}, σ {sigma}", self.form.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::random::Random;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-9, "{got} is not {want}");
    }

    /// Worked by hand for sigma 0.1, kappa 0.01: 4 / 1.42, 8 / 2.26, and sqrt(0.9 / 0.01).
    #[test]
    fn the_law_is_the_published_one() {
        let law = Law {
            sigma: 0.1,
            kappa: 0.01,
        };
        close(law.speedup(1), 1.0);
        close(law.speedup(4), 2.816_901_408_450_704);
        close(law.speedup(8), 3.539_823_008_849_557_5);
        close(law.peak().unwrap(), 9.486_832_980_505_138);
        let amdahl = Law {
            sigma: 0.25,
            kappa: 0.0,
        };
        // Amdahl's own form: 1 / (0.25 + 0.75 / 4).
        close(amdahl.speedup(4), 1.0 / 0.4375);
        assert_eq!(amdahl.peak(), None);
    }

    /// 1 + y = N / C, so the speedups 4 / 1.42 and 8 / 2.26 have y = 0.42 and 1.26:
    /// 3 s + 12 k = 0.42 and 7 s + 56 k = 1.26 give s = 0.1, k = 0.01.
    #[test]
    fn exact_points_give_their_parameters_back() {
        let (form, law) = Law::fit(&[(1, 1.0), (4, 4.0 / 1.42), (8, 8.0 / 2.26)]).unwrap();
        assert_eq!(form, Form::Usl);
        close(law.sigma, 0.1);
        close(law.kappa, 0.01);
    }

    fn from_excess(y: [f64; 3]) -> (f64, f64) {
        let point = |(n, y): (usize, f64)| (n, n as f64 / (1.0 + y));
        let points: Vec<_> = [2, 3, 4].into_iter().zip(y).map(point).collect();
        let (form, law) = Law::fit(&points).unwrap();
        assert_eq!(form, Form::Usl);
        (law.sigma, law.kappa)
    }

    /// Normal equations worked by hand for N = 2, 3, 4: the columns are (1, 2, 3) and (2, 6, 12),
    /// their products 14, 50, 184, the determinant 76.
    #[test]
    fn points_off_the_curve_give_the_least_squares() {
        // X'y = (2.2, 8.0): (2.2 * 184 - 50 * 8) / 76 and (14 * 8 - 50 * 2.2) / 76.
        let (sigma, kappa) = from_excess([0.1, 0.3, 0.5]);
        close(sigma, 4.8 / 76.0);
        close(kappa, 2.0 / 76.0);
    }

    #[test]
    fn no_parameter_is_negative_and_the_other_is_then_fitted_alone() {
        // X'y = (1.85, 6.4): free kappa is (89.6 - 92.5) / 76 < 0, so sigma = 1.85 / 14.
        let (sigma, kappa) = from_excess([0.2, 0.3, 0.35]);
        close(sigma, 1.85 / 14.0);
        assert_eq!(kappa, 0.0);
        // X'y = (3.0, 11.4): free sigma is (552 - 570) / 76 < 0, so kappa = 11.4 / 184.
        let (sigma, kappa) = from_excess([0.0, 0.3, 0.8]);
        assert_eq!(sigma, 0.0);
        close(kappa, 11.4 / 184.0);
        // More than twice as fast on twice the threads: neither.
        assert_eq!(from_excess([-0.1, -0.1, -0.1]), (0.0, 0.0));
    }

    #[test]
    fn two_thread_counts_are_amdahl_s_law_and_one_is_none() {
        // 1.6 on 2: y = 0.25 = sigma.
        let (form, law) = Law::fit(&[(1, 1.0), (2, 1.6)]).unwrap();
        assert_eq!(form, Form::Amdahl);
        close(law.sigma, 0.25);
        assert_eq!(law.kappa, 0.0);
        assert_eq!(Law::fit(&[(1, 1.0)]), None);
        assert_eq!(Law::fit(&[(2, 0.0)]), None);
        assert_eq!(Law::fit(&[(2, f64::NAN)]), None);
    }

    const TRUTH: Law = Law {
        sigma: 0.06,
        kappa: 0.004,
    };

    /// Rounds of a machine that follows the law: heavy-tailed noise of its own for each thread
    /// count, and one part in common.
    fn noisy(random: &mut Random, rounds: usize) -> Vec<(usize, Vec<f64>)> {
        let common: Vec<f64> = (0..rounds).map(|_| 0.01 * random.normal()).collect();
        [2, 4, 8]
            .into_iter()
            .map(|n| {
                let exact = TRUTH.speedup(n).ln();
                let mut own = || {
                    let tail = 0.3 + random.normal().abs();
                    0.02 * random.normal() / tail
                };
                (n, common.iter().map(|c| exact + c + own()).collect())
            })
            .collect()
    }

    fn fit(rounds: &[(usize, Vec<f64>)]) -> Fit {
        let series: Vec<_> = rounds
            .iter()
            .map(|(threads, values)| Series {
                threads: *threads,
                log_speedups: values,
            })
            .collect();
        match Fit::over_rounds(&series, &[16, 32], 5) {
            Measured::Is(fit) => fit,
            Measured::Unavailable(why) => panic!("{why}"),
        }
    }

    #[test]
    fn noise_moves_the_fit_a_little_and_the_interval_covers_the_truth() {
        let mut random = Random::new(11);
        let (trials, mut covered) = (100, [0; 3]);
        for _ in 0..trials {
            let fit = fit(&noisy(&mut random, 40));
            let at_16 = &fit.projected[0];
            assert_eq!(at_16.threads, 16);
            for (count, (e, truth)) in covered.iter_mut().zip([
                (&fit.sigma, TRUTH.sigma),
                (&fit.kappa, TRUTH.kappa),
                (&at_16.speedup, TRUTH.speedup(16)),
            ]) {
                assert!((e.value / truth - 1.0).abs() < 0.5, "{e:?} {truth}");
                *count += usize::from(e.low <= truth && truth <= e.high);
            }
        }
        // 95 % is the aim; of 100 trials 88 or fewer would happen to it once in 200 times, and
        // the bootstrap of a median is a little generous.
        assert!(covered.iter().all(|c| *c > 88), "{covered:?} of {trials}");
    }

    #[test]
    fn more_rounds_narrow_the_interval() {
        let width = |rounds| {
            let e = fit(&noisy(&mut Random::new(3), rounds)).projected[1].speedup;
            e.high - e.low
        };
        assert!(width(400) < 0.6 * width(40));
    }

    #[test]
    fn one_thread_or_few_rounds_give_no_law() {
        let why = |series: &[Series<'_>]| match Fit::over_rounds(series, &[4], 1) {
            Measured::Is(fit) => panic!("{fit:?}"),
            Measured::Unavailable(why) => why,
        };
        let of = |threads, log_speedups| Series {
            threads,
            log_speedups,
        };
        let (ten, bad) = ([0.5; 10], [f64::NAN; 10]);
        assert!(why(&[of(1, &ten)]).contains("two numbers of threads"));
        assert!(why(&[of(1, &ten[..5]), of(2, &ten[..5])]).contains("5 rounds"));
        assert!(why(&[of(2, &ten), of(4, &ten[..9])]).contains("every round"));
        assert!(why(&[of(2, &bad)]).contains("every round"));
    }

    #[test]
    fn the_words_name_the_law_and_what_was_fitted() {
        let mut fit = fit(&[(2, vec![1.6_f64.ln(); 10])]);
        assert_eq!(fit.words(), "Amdahl's law, σ 0.2500 [0.2500, 0.2500]");
        fit.form = Form::Usl;
        assert!(fit.words().ends_with("κ 0.0000 [0.0000, 0.0000]"));
    }
}
