//! What can be told apart on this machine just now, from one short comparison of a case with itself.

use std::iter::once;
use std::time::Duration;

use super::comparisons::with_itself;
use super::effects::Scatter;
use crate::exit::Failure;
use crate::measure::Pace;
use crate::suite::CaseId;

/// Placements after which nothing more is learnt.
const MOST: usize = 96;

/// Fewer say nothing about how far placements scatter.
const LEAST: usize = 8;

/// How far equal work seemed to differ, as fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Placements that were compared.
    pub placements: usize,
    /// The median over them.
    pub typical: f64,
    /// The largest.
    pub worst: f64,
    /// The smallest difference that `compare` would see within the budget in 95 % of cases; `None`
    /// when even a large one might go unseen.
    pub smallest_effect: Option<f64>,
}

/// Compares a case with itself for about `time`, and estimates what `budget` would be enough for.
///
/// # Errors
/// When the case can't be made or answers wrongly, or too little of it fits into the time.
pub fn floor(id: &CaseId, time: Duration, budget: Duration, seed: u64) -> Result<Floor, Failure> {
    let comparison = with_itself(id, MOST, time, seed)?;
    let mut off: Vec<f64> = comparison
        .log_ratios
        .iter()
        .map(|log_ratio| log_ratio.abs().exp_m1())
        .filter(|off| off.is_finite())
        .collect();
    off.sort_by(f64::total_cmp);
    if off.len() < LEAST {
        return Err(Failure::could_not_run(format!(
            "{id}: {} placements in {} s, and {LEAST} are needed: the machine is too busy or too slow",
            off.len(),
            time.as_secs_f64()
        )));
    }
    let (typical, worst) = (off[off.len() / 2], off[off.len() - 1]);
    let scatter = Scatter::of(once(&comparison), Pace::FUNCTIONS);
    Ok(Floor {
        placements: off.len(),
        typical,
        worst,
        smallest_effect: scatter.and_then(|scatter| scatter.smallest_effect(budget, seed)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_work_differs_by_little_and_the_worst_is_no_less_than_the_typical() {
        let id = "loop/lcg/20000/1t".parse().unwrap();
        let [time, budget] = [0.5, 5.0].map(Duration::from_secs_f64);
        let floor = floor(&id, time, budget, 1).unwrap();
        assert!((LEAST..=MOST).contains(&floor.placements), "{floor:?}");
        assert!(0.0 <= floor.typical && floor.typical <= floor.worst);
    }

    #[test]
    fn too_few_placements_are_no_floor() {
        let id = "loop/lcg/20000/1t".parse().unwrap();
        let none = floor(&id, Duration::ZERO, Duration::from_secs(5), 1);
        let message = none.unwrap_err().message;
        assert!(
            message.contains("1 placements in 0 s, and 8 are needed"),
            "{message}"
        );
    }
}
