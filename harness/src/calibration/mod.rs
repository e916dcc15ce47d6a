//! What this machine's verdicts are worth: comparisons of a program with itself, in the very paths
//! that `compare` and `gate` use, idle and beside a load.
//!
//! A comparison is called wrong when it says "improved" or "regressed", since both sides are the
//! same. How often that happens is [counted](Row::rates), with its exact interval. Most
//! comparisons run until the default rules settle them. Some, spread evenly among them, go on for
//! a fixed number of placements instead, whatever they say: tighter margins are held against
//! these (they need more placements than a wide margin takes to settle), and the
//! [bias floor](Row::bias_floor) and the [smallest effects](CaseRow::effects) are taken from them.

mod against;
mod cases;
mod comparisons;
mod effects;
mod floor;
mod margin;
mod planted;
mod row;
mod run;
mod store;

use serde::{Deserialize, Serialize};

use crate::measure::stats::Rate;

pub use against::{Against, AgainstRow};
pub use effects::LEAST as LEAST_EFFECT;
pub use floor::{Floor, floor};
pub use margin::{DEFAULT_MARGIN, Margin, margin};
pub use planted::Planted;
pub use run::{Calibrated, Settings, Step, Unavailable, run};
pub use store::{save, stored};

/// Version of the stored shape. A reader refuses any other.
pub const SCHEMA: u32 = 1;

/// Bound on the probability of a false alarm in each comparison: that of `compare`.
pub const ALPHA: f64 = 0.001;

/// The default margin, and tighter ones that would show a bias which it hides.
pub const MARGINS: [f64; 3] = [DEFAULT_MARGIN, 0.005, 0.001];

/// Measuring times for which the smallest effect is told, in seconds.
pub const BUDGETS: [f64; 3] = [1.0, 5.0, 30.0];

/// A way to compare two sides.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// Two functions of one process, as `compare` does with kernels
    Functions,
    /// Two copies of one worker, as `compare --workers` does
    Workers,
    /// Two builds of one revision, as `gate --against` does
    Builds,
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Functions => "functions",
            Self::Workers => "workers",
            Self::Builds => "builds",
        })
    }
}

/// Everything that is known of a machine's verdicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// [`crate::machine::Machine::class`].
    pub machine: String,
    /// Bound on the probability of a false alarm in each comparison.
    pub alpha: f64,
    /// One row a path and load.
    pub rows: Vec<Row>,
}

/// One path, idle or beside a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The path.
    pub path: Route,
    /// Busy processes beside it.
    pub load: usize,
    /// When it was measured, as RFC 3339 in UTC.
    pub measured: String,
    /// Seconds of measuring.
    pub seconds: f64,
    /// Comparisons that the default rules did not settle: no alarm, and no verdict either.
    pub undecided: u64,
    /// False alarms at each margin of [`MARGINS`]: all comparisons at the default one, those of
    /// fixed length at the tighter ones.
    pub rates: Vec<MarginRate>,
    /// 95 % of the comparisons of fixed length found a speedup whose logarithm was at most this
    /// far from 0, where 0 is the truth. `None` without such a comparison.
    pub bias_floor: Option<f64>,
    /// The same, case by case.
    pub cases: Vec<CaseRow>,
}

/// False alarms at a margin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MarginRate {
    /// The margin, as a fraction.
    pub margin: f64,
    /// Comparisons, and how many of them were called changed.
    pub alarms: Rate,
}

/// One case of a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseRow {
    /// Its id.
    pub case: String,
    /// Its comparisons at the default margin.
    pub alarms: Rate,
    /// Its own bias floor.
    pub bias_floor: Option<f64>,
    /// Median seconds until the default rules settled it. `None` where they never did.
    pub seconds_to_settle: Option<f64>,
    /// The smallest effects seen.
    pub effects: Vec<Effect>,
}

/// The smallest effect that is seen in a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Seconds of measuring one case.
    pub within: f64,
    /// A change by this fraction, judged at a margin of half of it, is called in 95 % of
    /// comparisons: at best [`LEAST_EFFECT`], the least that is tried. `None` where not even the
    /// largest is.
    pub fraction: Option<f64>,
}

impl Calibration {
    /// The row of a path without a load, or, where it was measured only beside one, that.
    pub fn row(&self, path: Route) -> Option<&Row> {
        self.rows
            .iter()
            .filter(|row| row.path == path)
            .min_by_key(|row| row.load)
    }
}

/// A share in percent, to two figures that count.
pub fn share(fraction: f64) -> String {
    let percent = 100.0 * fraction;
    let decimals = match percent {
        p if p >= 10.0 || p == p.round() => 0,
        p if p >= 1.0 => 1,
        p if p >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{percent:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_told_in_percent_to_two_figures() {
        for (fraction, text) in [
            (0.0, "0 %"),
            (0.02, "2 %"),
            (0.003, "0.3 %"),
            (0.001, "0.1 %"),
            (0.000_271, "0.027 %"),
            (0.0123, "1.2 %"),
            (0.10, "10 %"),
            (0.4567, "46 %"),
        ] {
            assert_eq!(share(fraction), text);
        }
    }
}
