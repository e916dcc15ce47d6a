//! What every comparison on the command line is held to: margin, error bound, time, seed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::output::tell;
use crate::calibration::{self, Margin, Route};
use crate::compare::Plan;
use crate::exit::Failure;
use crate::measure::fresh_seed;
use crate::measure::stats::Rules;

/// The options of every comparison.
#[derive(Args)]
pub struct Judging {
    /// A smaller change than this is none [default: 2%, or more where this machine's calibrated
    /// bias floor asks for it; 10% for `gate --baseline`]
    #[arg(long, value_name = "PERCENT", value_parser = fraction)]
    pub margin: Option<f64>,
    /// Bound on the probability of any false alarm in the whole comparison [default: 0.1% for
    /// `compare`, 1% for `gate`]
    #[arg(long, value_name = "PERCENT", value_parser = fraction)]
    pub alpha: Option<f64>,
    /// Time for measuring, all cases together [default: 60s for `compare`, 120s for `gate`]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub max_time: Option<Duration>,
    /// Time that a process has for one answer
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    pub timeout: Duration,
    /// Seed of every random order and place [default: a fresh one, which is recorded]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Write the report, charts, exports and every sample into this folder [default for
    /// `gate --against`: target/gate/report; else none is written]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl Judging {
    /// The margin that was asked for, or the default for comparisons of this kind: see
    /// [`calibration::margin`]. What the user should know about it is told on stderr.
    pub fn margin(&self, path: Option<Route>) -> Margin {
        let margin = calibration::margin(path, self.margin);
        if let Some(note) = &margin.note {
            tell(format!("note: {note}"));
        }
        margin
    }

    /// The plan, with these defaults where nothing was asked for.
    ///
    /// # Errors
    /// Names the value that is out of range.
    pub fn plan(&self, margin: &Margin, alpha: f64, max_time: Duration) -> Result<Plan, Failure> {
        Ok(Plan {
            rules: Rules::new(margin.fraction, self.alpha.unwrap_or(alpha), 0.95)?,
            seed: self.seed.unwrap_or_else(fresh_seed),
            max_time: self.max_time.unwrap_or(max_time),
        })
    }
}

/// `2%` or `0.02`.
///
/// # Errors
/// What would be right.
pub fn fraction(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 0.01),
        None => (text.trim(), 1.0),
    };
    match number.parse::<f64>() {
        Ok(n) if n.is_finite() && (0.0..1.0).contains(&(n * scale)) => Ok(n * scale),
        Ok(n) if scale == 1.0 && (1.0..100.0).contains(&n) => {
            Err(format!("did you mean `{n}%` or `{}`?", n / 100.0))
        }
        _ => Err("a share is written like `2%` or `0.02`".to_owned()),
    }
}

/// A share above 0: a bound on a probability.
///
/// # Errors
/// What would be right.
pub fn probability(text: &str) -> Result<f64, String> {
    match fraction(text)? {
        0.0 => Err("a probability is above 0: a bound of 0 would never find a change".to_owned()),
        p => Ok(p),
    }
}

/// `10`, `10s`, `500ms` or `2m`.
///
/// # Errors
/// What would be right.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, scale) = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)]
        .into_iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))
        .unwrap_or((text, 1.0));
    match number.trim_end().parse::<f64>() {
        Ok(n) if n > 0.0 && n * scale < 1e6 => Ok(Duration::from_secs_f64(n * scale)),
        _ => Err("a time is written like `10`, `10s`, `500ms` or `2m`, and above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_both_ways() {
        for (text, want) in [("2%", 0.02), ("0.02", 0.02), ("0.1 %", 0.001), ("0", 0.0)] {
            assert!((fraction(text).unwrap() - want).abs() < 1e-12, "{text}");
        }
        assert!(fraction("2").unwrap_err().contains("`2%`"));
        for bad in ["", "%", "x", "-1%", "100%", "nan", "inf", "1e9"] {
            assert!(fraction(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_probability_is_a_share_above_0() {
        assert_eq!(probability("5%"), fraction("5%"));
        assert!(probability("0%").unwrap_err().contains("above 0"));
        assert!(probability("100%").is_err());
    }

    #[test]
    fn times_are_read_with_their_units() {
        for (text, ms) in [
            ("10", 10_000),
            ("0.5s", 500),
            ("500ms", 500),
            ("2m", 120_000),
        ] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "0", "-1", "5h", "nan", "1e99", "s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
