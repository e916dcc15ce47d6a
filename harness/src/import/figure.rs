//! One case as a tool measured it.

use serde::{Deserialize, Serialize};

use crate::measure::stats::{fixed_blocks_interval, range_interval};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Nanoseconds of wall time an iteration or a call.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Instructions executed, counted by simulation: the same program and input give the same count.
    #[serde(rename = "instructions")]
    Instructions,
    /// Tokens a second.
    #[serde(rename = "token/s")]
    TokensPerSecond,
}

impl Unit {
    /// Whether less is better.
    pub fn smaller_is_better(self) -> bool {
        !matches!(self, Self::TokensPerSecond)
    }

    /// The unit as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Instructions => "instructions",
            Self::TokensPerSecond => "token/s",
        }
    }

    /// `value` as nanoseconds an iteration or a token; `None` for what is no time.
    pub fn nanoseconds(self, value: f64) -> Option<f64> {
        match self {
            Self::Nanoseconds => Some(value),
            Self::TokensPerSecond => Some(1e9 / value),
            Self::Instructions => None,
        }
    }
}

/// Which statistic a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// The median of samples.
    Median,
    /// The mean of samples.
    Mean,
    /// One count.
    Count,
}

/// An interval and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end, in the figure's unit.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability that it holds the true median, 0 to 1, for samples that are independent and alike.
    pub level: f64,
}

/// One case as a tool measured it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The tool's name for the case.
    pub case: String,
    /// Unit of all values.
    pub unit: Unit,
    /// Whether less is better; follows from the unit.
    pub smaller_is_better: bool,
    /// The value: finite and above zero.
    pub value: f64,
    /// Which statistic `value` is.
    pub statistic: Statistic,
    /// Its interval; `None` where the tool stored too little to say.
    pub interval: Option<Interval>,
    /// The samples, in the order in which they were taken; empty where the tool stores none.
    pub samples: Vec<f64>,
}

/// The level that the intervals of imported samples aim at.
const LEVEL: f64 = 0.95;

/// More samples are refused: no tool takes so many.
const SAMPLES: usize = 10_000;

impl Figure {
    /// The median of `samples` with the interval between order statistics: at 95 % where there are
    /// enough samples, else from the smallest to the largest with the level that this has. `None`
    /// without a sample.
    ///
    /// Too many samples for an exact interval get none; [`Figure::fault`] then refuses the figure.
    pub(super) fn of_samples(case: String, unit: Unit, samples: Vec<f64>) -> Option<Self> {
        let value = median(&samples)?;
        let few = (samples.len() <= SAMPLES).then_some(&samples);
        let interval = few.and_then(|samples| {
            fixed_blocks_interval(samples, LEVEL).or_else(|| range_interval(samples))
        });
        Some(Self {
            case,
            unit,
            smaller_is_better: unit.smaller_is_better(),
            value,
            statistic: Statistic::Median,
            interval: interval.map(|i| Interval {
                low: i.low,
                high: i.high,
                level: i.coverage,
            }),
            samples,
        })
    }

    /// Whether value and interval are those of `made`, up to the rounding of another machine's
    /// logarithm.
    fn is_about(&self, made: &Self) -> bool {
        let about = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        let intervals = match (self.interval, made.interval) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                about(a.low, b.low) && about(a.high, b.high) && about(a.level, b.level)
            }
            _ => false,
        };
        self.statistic == made.statistic && about(self.value, made.value) && intervals
    }

    /// What is wrong with it, if anything is: no reader may let such a figure through.
    pub(super) fn fault(&self) -> Option<String> {
        let real = |x: f64| x.is_finite() && x > 0.0;
        if self.case.is_empty() {
            return Some("a case without a name".into());
        }
        if !real(self.value) {
            return Some(format!(
                "`{}` is {} {}; a finite value above zero is needed",
                self.case,
                self.value,
                self.unit.name()
            ));
        }
        if let Some(x) = self.samples.iter().find(|x| !real(**x)) {
            return Some(format!(
                "`{}` has a sample of {x} {}; finite values above zero are needed",
                self.case,
                self.unit.name()
            ));
        }
        if self.samples.len() > SAMPLES {
            return Some(format!(
                "`{}` has {} samples; at most {SAMPLES} are read",
                self.case,
                self.samples.len()
            ));
        }
        let orderly = |i: &Interval| {
            real(i.low) && real(i.high) && i.low <= i.high && i.level > 0.0 && i.level < 1.0
        };
        if let Some(i) = self.interval.filter(|i| !orderly(i)) {
            return Some(format!(
                "`{}` has the interval [{}, {}] at level {}",
                self.case, i.low, i.high, i.level
            ));
        }
        if self.smaller_is_better != self.unit.smaller_is_better() {
            return Some(format!(
                "`{}` is in {}, and `smaller_is_better` says {}",
                self.case,
                self.unit.name(),
                self.smaller_is_better
            ));
        }
        let made = Self::of_samples(self.case.clone(), self.unit, self.samples.clone())?;
        (!self.is_about(&made)).then(|| {
            format!(
                "`{}` is {}, and its samples give {}: one of them was changed",
                self.case,
                self.told(),
                made.told()
            )
        })
    }

    /// Value and interval in words.
    fn told(&self) -> String {
        let Self { value, unit, .. } = self;
        match self.interval {
            Some(Interval { low, high, level }) => {
                format!("{value} {} ({low} to {high} at {level})", unit.name())
            }
            None => format!("{value} {} (no interval)", unit.name()),
        }
    }
}

/// The middle value, or the mean of the two in the middle; `None` without a value.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(match sorted.len() % 2 {
        1 => upper,
        _ => 0.5 * (sorted[sorted.len() / 2 - 1] + upper),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_no_figure_is_named() {
        let good = Figure::of_samples("a".into(), Unit::Nanoseconds, vec![1.0; 8]).unwrap();
        assert_eq!(good.fault(), None);
        for (bad, word) in [
            (
                Figure {
                    value: 0.0,
                    ..good.clone()
                },
                "`a` is 0 ns",
            ),
            (
                Figure {
                    value: f64::NAN,
                    ..good.clone()
                },
                "`a` is NaN ns",
            ),
            (
                Figure {
                    samples: vec![1.0, -1.0],
                    ..good.clone()
                },
                "a sample of -1 ns",
            ),
            (
                Figure {
                    case: String::new(),
                    ..good.clone()
                },
                "without a name",
            ),
            (
                Figure {
                    interval: Some(Interval {
                        low: 2.0,
                        high: 1.0,
                        level: 0.95,
                    }),
                    ..good.clone()
                },
                "the interval [2, 1]",
            ),
        ] {
            let fault = bad.fault().unwrap();
            assert!(fault.contains(word), "{fault}");
        }
    }

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_two() {
        for (values, want) in [
            (&[][..], None),
            (&[3.0, 1.0, 2.0], Some(2.0)),
            (&[4.0, 1.0, 2.0, 3.0], Some(2.5)),
        ] {
            assert_eq!(median(values), want);
        }
    }
}
