//! Rules that gates have used and that failed. They are controls: none of them decides anything.

use crate::measure::stats::Rules;
use crate::measure::{SplitMix64, Verdict};
use crate::selftest::simulated::{Machine, Trouble};

/// Slices of each side, one side after the other.
fn batches(trouble: Trouble, seed: u64, slices: usize) -> [Vec<f64>; 2] {
    let mut machine = Machine::new(trouble, seed);
    [(); 2].map(|()| {
        let place = machine.place();
        (0..slices).map(|_| place + machine.slice()).collect()
    })
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// A batch of each side, then Welch's test at 5 % (Welch, "The generalization of Student's problem
/// when several different population variances are involved", Biometrika 1947; the quantile is
/// that of many degrees of freedom). True where it says "changed".
pub fn t_test_of_batches(trouble: Trouble, seed: u64, slices: usize) -> bool {
    let sides = batches(trouble, seed, slices);
    let error = |x: &[f64]| {
        let m = mean(x);
        let squares: f64 = x.iter().map(|v| (v - m).powi(2)).sum();
        squares / (x.len() - 1) as f64 / x.len() as f64
    };
    let [before, after] = &sides;
    let t = (mean(before) - mean(after)) / (error(before) + error(after)).sqrt();
    t.abs() > 1.96
}

/// A batch of each side, and red where their means differ by more than `margin`, whatever their
/// spread.
pub fn point_estimate(trouble: Trouble, seed: u64, slices: usize, margin: f64) -> bool {
    let [before, after] = batches(trouble, seed, slices);
    (mean(&before) - mean(&after)).abs() > margin.ln_1p()
}

/// Both sides in one place each, and every block a unit of its own: our own test, fed with what it
/// must not be fed with. True where it says "changed" within `blocks`.
pub fn blocks_as_units(trouble: Trouble, seed: u64, rules: &Rules, blocks: usize) -> bool {
    let mut machine = Machine::new(trouble, seed);
    let mut order = SplitMix64::new(!seed);
    let places = [machine.place(), machine.place()];
    let mut test = crate::measure::stats::Sequential::new(rules);
    let verdict = (0..blocks).find_map(|_| {
        let [first, second, third, fourth] = [(); 4].map(|()| machine.slice());
        let outer_minus_inner = 0.5 * (first + fourth - second - third);
        let sign = [1.0, -1.0][order.below(2)];
        let verdict = test.push(places[0] - places[1] + sign * outer_minus_inner);
        (verdict != Verdict::Unclear).then_some(verdict)
    });
    matches!(verdict, Some(Verdict::Improved | Verdict::Regressed))
}
