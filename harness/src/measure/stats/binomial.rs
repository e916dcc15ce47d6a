//! How sure a counted rate is.

use serde::{Deserialize, Serialize};

use super::sign::ln_factorial;

/// A rate that was counted, with the exact interval for the true one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// How often it happened.
    pub hits: u64,
    /// Out of how many.
    pub trials: u64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Rate {
    /// The rate with its interval of Clopper and Pearson at 95 % ("The use of confidence or
    /// fiducial limits illustrated in the case of the binomial", Biometrika 1934): each end is
    /// the rate under which a count as extreme as this one has a probability of 2.5 %. It covers
    /// at least as often as it says, at any rate and any number of trials. `hits` beyond `trials`
    /// count as `trials`; without a trial the interval is all of [0, 1].
    pub fn of(hits: u64, trials: u64) -> Self {
        const TAIL: f64 = 0.025;
        let hits = hits.min(trials);
        let low = match hits {
            0 => 0.0,
            // At least so many: the probability rises with the rate.
            k => crossing(|p| at_least(k, trials, p) >= TAIL),
        };
        let high = match hits {
            k if k == trials => 1.0,
            k => crossing(|p| 1.0 - at_least(k + 1, trials, p) <= TAIL),
        };
        Self {
            hits,
            trials,
            low,
            high,
        }
    }
}

/// The rate in [0, 1] from which on `holds`.
fn crossing(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut below, mut above) = (0.0, 1.0);
    while above - below > 1e-12 {
        let middle = 0.5 * (below + above);
        if holds(middle) {
            above = middle;
        } else {
            below = middle;
        }
    }
    0.5 * (below + above)
}

/// Probability of at least `k` hits in `n` trials at rate `p` in (0, 1).
pub(super) fn at_least(k: u64, n: u64, p: f64) -> f64 {
    let term = |j: u64| {
        let ln_choose = ln_factorial(n) - ln_factorial(j) - ln_factorial(n - j);
        (ln_choose + j as f64 * p.ln() + (n - j) as f64 * (-p).ln_1p()).exp()
    };
    // The shorter tail is summed, where little is lost to rounding.
    if k as f64 > n as f64 * p {
        (k..=n).map(term).sum()
    } else {
        1.0 - (0..k).map(term).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64, within: f64) {
        assert!((got - want).abs() < within, "{got} is not {want}");
    }

    /// Tables of exact binomial limits, 95 %, four decimals.
    #[test]
    fn gives_the_published_limits() {
        for (hits, trials, low, high) in [
            (1, 10, 0.0025, 0.4450),
            (3, 10, 0.0667, 0.6525),
            (5, 10, 0.1871, 0.8129),
            (4, 20, 0.0573, 0.4366),
            (10, 100, 0.0490, 0.1762),
        ] {
            let rate = Rate::of(hits, trials);
            close(rate.low, low, 6e-5);
            close(rate.high, high, 6e-5);
        }
    }

    /// None of n: `(1 - p)^n = 0.025` can be solved by hand; all of n is its mirror.
    #[test]
    fn none_and_all_have_a_closed_form() {
        for trials in [1_u64, 9, 300, 2000, 100_000] {
            let end = 1.0 - 0.025_f64.powf(1.0 / trials as f64);
            let none = Rate::of(0, trials);
            assert_eq!(none.low, 0.0);
            close(none.high, end, 1e-9);
            let all = Rate::of(trials, trials);
            assert_eq!(all.high, 1.0);
            close(all.low, 1.0 - end, 1e-9);
        }
    }

    #[test]
    fn no_trial_says_nothing() {
        let rate = Rate::of(0, 0);
        assert_eq!((rate.low, rate.high), (0.0, 1.0));
        assert_eq!(Rate::of(7, 3), Rate::of(3, 3));
    }

    /// Three hits in 40 trials, each end put into the binomial sum by repeated multiplication.
    #[test]
    fn each_end_leaves_a_tail_of_2_5_percent() {
        let rate = Rate::of(3, 40);
        let probability = |p: f64, range: std::ops::RangeInclusive<i32>| -> f64 {
            let choose = |k: i32| (0..k).fold(1.0, |c, i| c * f64::from(40 - i) / f64::from(i + 1));
            range
                .map(|k| choose(k) * p.powi(k) * (1.0 - p).powi(40 - k))
                .sum()
        };
        close(probability(rate.low, 3..=40), 0.025, 1e-9);
        close(probability(rate.high, 0..=3), 0.025, 1e-9);
    }
}
