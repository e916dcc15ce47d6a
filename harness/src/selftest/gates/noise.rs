//! Equal sides on troubled machines: nothing may be called changed.

use super::usual;
use crate::measure::Verdict;
use crate::measure::stats::Rules;
use crate::selftest::document::Control;
use crate::selftest::simulated::{Trouble, ours};
use crate::selftest::{Bench, Said};

/// Machines of each kind.
const MACHINES: u64 = 100;
/// Placements after which a comparison gives up.
const PLACEMENTS: usize = 200;

/// A machine that slows down and recovers, every 30 slices.
const DRIFTING: Trouble = Trouble {
    noise: 0.01,
    phase: Some((30, 0.05)),
    steal: 0.0,
    place: 0.0,
};

/// A machine where memory and code lie better or worse.
const LUCKY: Trouble = Trouble {
    noise: 0.005,
    phase: None,
    steal: 0.0,
    place: 0.01,
};

/// A machine whose hypervisor takes time away in stretches.
pub(super) const STOLEN: Trouble = Trouble {
    noise: 0.01,
    phase: None,
    steal: 0.03,
    place: 0.0,
};

pub(super) fn minutes_apart(bench: &Bench) -> Said {
    let control = control(
        "30 slices of the one, then 30 of the other, and a t-test at 5 %",
        bench.seed,
        |seed| usual::t_test_of_batches(DRIFTING, seed, 30),
    );
    no_alarms(DRIFTING, bench.seed).control(control)
}

pub(super) fn layout_luck(bench: &Bench) -> Said {
    let control = control(
        "both sides stay in one place, and each block counts as a unit",
        bench.seed,
        |seed| usual::blocks_as_units(LUCKY, seed, &Rules::default(), 1000),
    );
    no_alarms(LUCKY, bench.seed).control(control)
}

/// The rule that turned red on a change of documents.
pub(super) fn point_estimates(seed: u64) -> Control {
    control(
        "means of ten slices each, red beyond 2 %, on simulated machines with stolen time",
        seed,
        |seed| usual::point_estimate(STOLEN, seed, 10, 0.02),
    )
}

/// Our comparison on that many machines: none may be called changed, and most must be settled, as
/// a rule that never says anything raises no alarms either.
fn no_alarms(trouble: Trouble, seed: u64) -> Said {
    let rules = Rules::default();
    let (mut changed, mut unchanged) = (0, 0);
    for machine in 0..MACHINES {
        match ours(trouble, seed.wrapping_add(machine), &rules, PLACEMENTS) {
            Verdict::Improved | Verdict::Regressed => changed += 1,
            Verdict::Unchanged => unchanged += 1,
            Verdict::Unclear => {}
        }
    }
    Said::new(
        changed == 0 && 2 * unchanged > MACHINES,
        format!("changed on {changed} of {MACHINES}, unchanged on {unchanged}"),
    )
}

/// A rule that must call some equal sides changed, or else the machines are no trap.
fn control(rule: &str, seed: u64, changed: impl Fn(u64) -> bool) -> Control {
    let seeds = (0..MACHINES).map(|machine| seed.wrapping_add(machine));
    let alarms = seeds.filter(|&seed| changed(seed)).count();
    Control {
        rule: rule.to_owned(),
        said: format!("changed on {alarms} of {MACHINES}"),
        // With a share of 5 % or more, 100 machines show none less often than once in 160.
        held: alarms > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three traps catch the rules that fell into them often, not by chance.
    #[test]
    fn the_usual_rules_cry_wolf_on_these_machines_in_every_self_test() {
        for seed in [1, 1 << 32, 1 << 40] {
            let share =
                |changed: &dyn Fn(u64) -> bool| (0..MACHINES).filter(|m| changed(seed + m)).count();
            let t = share(&|s| usual::t_test_of_batches(DRIFTING, s, 30));
            let point = share(&|s| usual::point_estimate(STOLEN, s, 10, 0.02));
            let units = share(&|s| usual::blocks_as_units(LUCKY, s, &Rules::default(), 1000));
            assert!(t == 100 && point > 30 && units > 5, "{t} {point} {units}");
        }
    }

    /// A control that finds nothing turns the item into a miss.
    #[test]
    fn a_trap_that_nobody_falls_into_proves_nothing() {
        let quiet = control("a rule that never alarms", 1, |_| false);
        assert!(!quiet.held);
        let said = Said::new(true, "fine").control(quiet);
        assert_eq!(said.outcome, crate::selftest::Outcome::Miss);
    }
}
