//! The betting e-process on signs.

use std::f64::consts::LN_2;
use std::sync::LazyLock;

/// Natural log of the capital after `heads` heads in `flips` flips of a coin that is fair or
/// unfavourable under the hypothesis:
/// `2 * integral from 1/2 to 1 of (2p)^heads (2(1-p))^(flips-heads) dp`.
///
/// With the incomplete beta function written as a binomial tail this is
/// `sum over j <= heads of C(flips+1, j) / ((flips+1) C(flips, heads))`.
/// It starts at 0 (capital 1) and under the hypothesis exceeds `ln(1/a)` ever with probability at
/// most `a`. More heads than flips is counted as all heads.
pub fn ln_e_value(flips: u64, heads: u64) -> f64 {
    let heads = heads.min(flips);
    let n1 = (flips + 1) as f64;
    if 2 * heads > flips {
        let ln_choose = ln_choose(flips, heads);
        // C(n+1, h+1) = C(n, h) (n+1)/(h+1); the terms above it fall, so the sum is short.
        let first = (ln_choose + (n1 / (heads + 1) as f64).ln() - n1 * LN_2).exp();
        let above = falling_sum(first, (heads + 1..=flips).map(|j| ratio_up(flips + 1, j)));
        n1 * LN_2 - n1.ln() - ln_choose + (-above).ln_1p()
    } else {
        let first = n1 / (flips + 1 - heads) as f64;
        let below = falling_sum(
            first,
            (1..=heads).rev().map(|j| 1.0 / ratio_up(flips + 1, j - 1)),
        );
        below.ln() - n1.ln()
    }
}

/// `C(n, j+1) / C(n, j)`.
fn ratio_up(n: u64, j: u64) -> f64 {
    (n - j) as f64 / (j + 1) as f64
}

/// `first * (1 + r1 + r1 r2 + ...)`, cut where the rest is below rounding.
fn falling_sum(first: f64, ratios: impl Iterator<Item = f64>) -> f64 {
    let (mut term, mut sum) = (first, first);
    for ratio in ratios {
        term *= ratio;
        sum += term;
        if term < sum * 1e-18 {
            break;
        }
    }
    sum
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// `ln n!`: a table of sums for small `n`, Stirling's series beyond, cut where its terms are
/// below 1e-19.
pub(super) fn ln_factorial(n: u64) -> f64 {
    static TABLE: LazyLock<[f64; 256]> = LazyLock::new(|| {
        let mut sum = 0.0;
        std::array::from_fn(|i| {
            sum += (i.max(1) as f64).ln();
            sum
        })
    });
    if let Some(&small) = usize::try_from(n).ok().and_then(|i| TABLE.get(i)) {
        return small;
    }
    let x = n as f64;
    let x2 = x * x;
    x * x.ln() - x
        + 0.5 * (std::f64::consts::TAU * x).ln()
        + (1.0 - (1.0 / 30.0 - 1.0 / (105.0 * x2)) / x2) / (12.0 * x)
}

/// Fewest heads in `flips` flips whose capital reaches `exp(ln_threshold)`; `None` when even all
/// heads are too few.
pub fn heads_needed(flips: u64, ln_threshold: f64) -> Option<u64> {
    let reached = |heads| ln_e_value(flips, heads) >= ln_threshold;
    if !reached(flips) {
        return None;
    }
    let (mut below, mut enough) = (None, flips);
    while enough > below.map_or(0, |b: u64| b + 1) {
        let start = below.map_or(0, |b| b + 1);
        let middle = start + (enough - start) / 2;
        if reached(middle) {
            enough = middle;
        } else {
            below = Some(middle);
        }
    }
    Some(enough)
}

/// [`heads_needed`] for a number of flips that grows by one, at the cost of one evaluation each.
///
/// One more flip raises the number of heads needed by 0 or 1: capital never rises on tails and
/// never falls on heads.
#[derive(Debug, Clone)]
pub struct Boundary {
    ln_threshold: f64,
    flips: u64,
    needed: u64,
}

impl Boundary {
    /// The boundary at which a hypothesis is rejected at level `alpha`, in (0, 1).
    pub fn at_level(alpha: f64) -> Self {
        Self {
            ln_threshold: -alpha.ln(),
            flips: 0,
            needed: 1,
        }
    }

    /// Moves on by one flip.
    pub fn advance(&mut self) {
        self.flips += 1;
        let still_enough =
            self.needed <= self.flips && ln_e_value(self.flips, self.needed) >= self.ln_threshold;
        if !still_enough {
            self.needed += 1;
        }
    }

    /// Whether so many heads in the flips so far reject the hypothesis.
    pub fn rejects(&self, heads: u64) -> bool {
        self.flips > 0 && heads >= self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, by Simpson's rule.
    fn by_integration(flips: u64, heads: u64) -> f64 {
        let steps = 20_000;
        let h = 0.5 / f64::from(steps);
        let f =
            |p: f64| (2.0 * p).powi(heads as i32) * (2.0 * (1.0 - p)).powi((flips - heads) as i32);
        let sum: f64 = (0..=steps)
            .map(|i| {
                let weight = match i {
                    0 => 1.0,
                    i if i == steps => 1.0,
                    i if i % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                weight * f(0.5 + h * f64::from(i))
            })
            .sum();
        2.0 * sum * h / 3.0
    }

    #[test]
    fn equals_the_integral_that_defines_it() {
        for flips in [0, 1, 2, 5, 16, 61, 200] {
            for heads in (0..=flips).step_by(1 + flips as usize / 13) {
                let want = by_integration(flips, heads).ln();
                let got = ln_e_value(flips, heads);
                assert!((got - want).abs() < 1e-8, "{flips} {heads}: {got} {want}");
            }
        }
    }

    /// What Ville's inequality stands on: under a fair coin the expected capital stays what it is.
    #[test]
    fn is_a_martingale_under_a_fair_coin() {
        for flips in [0, 1, 7, 100, 254, 255, 256, 1000, 5000] {
            for heads in (0..=flips).step_by(1 + flips as usize / 29) {
                let now = ln_e_value(flips, heads);
                let head = ln_e_value(flips + 1, heads + 1);
                let tail = ln_e_value(flips + 1, heads);
                let expected = 0.5 * ((head - now).exp() + (tail - now).exp());
                assert!((expected - 1.0).abs() < 1e-9, "{flips} {heads}: {expected}");
            }
        }
    }

    #[test]
    fn starts_with_capital_one_and_never_counts_tails_as_evidence() {
        assert_eq!(ln_e_value(0, 0), 0.0);
        for flips in 1..50 {
            assert!(ln_e_value(flips, 0) < 0.0);
            assert!(ln_e_value(flips, flips / 2) <= 0.0);
        }
    }

    #[test]
    fn the_growing_boundary_is_the_searched_one() {
        for alpha in [0.3, 0.05, 0.001] {
            let mut boundary = Boundary::at_level(alpha);
            assert!(!boundary.rejects(0));
            for flips in 1..700 {
                boundary.advance();
                match heads_needed(flips, -f64::ln(alpha)) {
                    None => assert!(!boundary.rejects(flips)),
                    Some(k) => assert!(boundary.rejects(k) && !boundary.rejects(k - 1)),
                }
            }
        }
    }

    #[test]
    fn factorials_join_where_the_series_takes_over() {
        let summed: f64 = (2..=256).map(|i| f64::from(i).ln()).sum();
        assert!((ln_factorial(256) - summed).abs() < 1e-11);
    }
}
