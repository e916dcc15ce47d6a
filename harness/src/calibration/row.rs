//! What the comparisons of one path and load amount to.

use std::time::Duration;

use super::comparisons::{Comparison, rules};
use super::effects::Scatter;
use super::{BUDGETS, CaseRow, DEFAULT_MARGIN, Effect, MARGINS, MarginRate, Route, Row};
use crate::measure::stats::{MedianSequence, Rate};
use crate::measure::{Pace, Verdict};
use crate::suite::CaseId;

/// What was compared.
pub struct Measured<'a> {
    /// The path.
    pub path: Route,
    /// Busy processes beside it.
    pub load: usize,
    /// When, as RFC 3339 in UTC.
    pub measured: String,
    /// Seconds of measuring.
    pub seconds: f64,
    /// The cases, by position.
    pub cases: &'a [CaseId],
    /// How long placements are.
    pub pace: Pace,
    /// The comparisons, in the order they were made.
    pub comparisons: &'a [Comparison],
    /// Draws resamples.
    pub seed: u64,
}

impl Measured<'_> {
    /// The row.
    pub fn row(&self) -> Row {
        let at_default = |c: &&Comparison| c.verdict(&rules(DEFAULT_MARGIN)) == Verdict::Unclear;
        Row {
            path: self.path,
            load: self.load,
            measured: self.measured.clone(),
            seconds: self.seconds,
            undecided: self.comparisons.iter().filter(at_default).count() as u64,
            rates: MARGINS.map(|margin| self.rate(margin)).to_vec(),
            bias_floor: bias_floor(self.comparisons.iter()),
            cases: (0..self.cases.len())
                .filter_map(|at| self.case(at))
                .collect(),
        }
    }

    fn rate(&self, margin: f64) -> MarginRate {
        // One that ended when the default rules settled it has too few placements for others.
        let long_enough = |c: &&Comparison| c.fixed || margin == DEFAULT_MARGIN;
        MarginRate {
            margin,
            alarms: alarms(self.comparisons.iter().filter(long_enough), margin),
        }
    }

    fn case(&self, at: usize) -> Option<CaseRow> {
        let of_case = || self.comparisons.iter().filter(|c| c.case == at);
        of_case().next()?;
        let scatter = Scatter::of(of_case(), self.pace);
        let effects = BUDGETS.map(|within| Effect {
            within,
            fraction: scatter.as_ref().and_then(|scatter| {
                scatter.smallest_effect(Duration::from_secs_f64(within), self.seed)
            }),
        });
        let settled = |c: &&Comparison| c.verdict(&rules(DEFAULT_MARGIN)) != Verdict::Unclear;
        let seconds = of_case()
            .filter(|c| !c.fixed)
            .filter(settled)
            .map(|c| c.seconds);
        Some(CaseRow {
            case: self.cases[at].to_string(),
            alarms: alarms(of_case(), DEFAULT_MARGIN),
            bias_floor: bias_floor(of_case()),
            seconds_to_settle: seconds.collect::<MedianSequence>().median(),
            effects: effects.to_vec(),
        })
    }
}

/// Comparisons that these rules call changed.
fn alarms<'a>(comparisons: impl Iterator<Item = &'a Comparison>, margin: f64) -> Rate {
    let rules = rules(margin);
    let (mut hits, mut trials) = (0, 0);
    for c in comparisons {
        trials += 1;
        let verdict = c.verdict(&rules);
        hits += u64::from(matches!(verdict, Verdict::Improved | Verdict::Regressed));
    }
    Rate::of(hits, trials)
}

/// The least bound that 95 % of the comparisons of fixed length keep: of n, the one in place
/// `0.95 n`, rounded up, by the distance of the median log-ratio from 0.
fn bias_floor<'a>(comparisons: impl Iterator<Item = &'a Comparison>) -> Option<f64> {
    let median = |c: &Comparison| c.log_ratios.iter().copied().collect::<MedianSequence>();
    let mut distances: Vec<f64> = comparisons
        .filter(|c| c.fixed)
        .filter_map(|c| Some(median(c).median()?.abs()))
        .collect();
    distances.sort_by(f64::total_cmp);
    let place = (0.95 * distances.len() as f64).ceil() as usize;
    distances.get(place.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(case: usize, log_ratio: f64, placements: usize, fixed: bool) -> Comparison {
        Comparison {
            case,
            log_ratios: vec![log_ratio; placements],
            seconds: 0.03,
            fixed,
        }
    }

    fn row(comparisons: &[Comparison]) -> Row {
        let cases = ["loop/lcg/20/1t", "loop/lcg/30/1t"].map(|id| id.parse().unwrap());
        let measured = Measured {
            path: Route::Functions,
            load: 0,
            measured: "2026-11-21T10:00:00Z".to_owned(),
            seconds: 1.0,
            cases: &cases,
            pace: Pace::FUNCTIONS,
            comparisons,
            seed: 1,
        };
        measured.row()
    }

    #[test]
    fn alarms_are_counted_at_each_margin_among_the_comparisons_that_could_raise_them() {
        let row = row(&[
            comparison(0, 0.0, 9, false),
            comparison(0, 0.003, 32, true),
            comparison(0, -0.03, 32, true),
            comparison(1, 0.03, 20, false),
            comparison(1, 0.03, 5, false),
        ]);
        let counted: Vec<_> = row
            .rates
            .iter()
            .map(|r| (r.margin, r.alarms.hits, r.alarms.trials))
            .collect();
        assert_eq!(counted, [(0.02, 2, 5), (0.005, 1, 2), (0.001, 2, 2)]);
        assert_eq!(row.undecided, 1);
        let by_case: Vec<_> = row
            .cases
            .iter()
            .map(|c| (c.alarms.hits, c.alarms.trials))
            .collect();
        assert_eq!(by_case, [(1, 3), (1, 2)]);
    }

    /// 1 to 40 hundredths of a percent, either way: 95 % of 40 are 38.
    #[test]
    fn the_bias_floor_is_kept_by_95_percent() {
        let mut comparisons: Vec<_> = (1..=40)
            .map(|i| {
                comparison(
                    0,
                    f64::from(if i % 2 == 0 { i } else { -i }) * 1e-4,
                    32,
                    true,
                )
            })
            .collect();
        assert!((row(&comparisons).bias_floor.unwrap() - 38e-4).abs() < 1e-12);
        // Neither one that was stopped when settled, nor the order, has a share in it.
        comparisons.push(comparison(0, 0.5, 32, false));
        comparisons.reverse();
        let row = row(&comparisons);
        assert!((row.bias_floor.unwrap() - 38e-4).abs() < 1e-12);
        assert_eq!(row.cases.len(), 1);
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        let row = row(&[comparison(0, 0.0, 9, false)]);
        assert_eq!(row.bias_floor, None);
        assert_eq!(row.cases[0].seconds_to_settle, Some(0.03));
        assert!(row.cases[0].effects.iter().all(|e| e.fraction.is_none()));
        assert_eq!(row.rates[2].alarms, Rate::of(0, 0));
    }
}
