//! The margin of a comparison: what was asked for, or a default that knows this machine's bias.

use super::{Calibration, Route, Row, share, stored};
use crate::user_cache::CacheError;

/// Small enough to matter, large enough for the luck of layout.
pub const DEFAULT_MARGIN: f64 = 0.02;

/// A default margin is at least so many times the bias floor.
const SAFETY: f64 = 3.0;

/// A margin, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Margin {
    /// A fraction: 0.02 is 2 %.
    pub fraction: f64,
    /// As a phrase.
    pub from: String,
    /// What the user should know besides.
    pub note: Option<String>,
}

/// The margin for comparisons of this kind, by what is stored about this machine. `path` is `None`
/// for comparisons that no calibration is about.
///
/// What was asked for is kept; where it is below the bias floor, a note says so. Without, it is
/// [`DEFAULT_MARGIN`], or three times the bias floor where that is more.
pub fn margin(path: Option<Route>, asked: Option<f64>) -> Margin {
    choose(path, asked, stored)
}

fn choose(
    path: Option<Route>,
    asked: Option<f64>,
    stored: impl FnOnce() -> Result<Option<Calibration>, CacheError>,
) -> Margin {
    let plain = |from: &str, note: Option<String>| Margin {
        fraction: asked.unwrap_or(DEFAULT_MARGIN),
        from: match asked {
            Some(_) => "--margin".to_owned(),
            None => from.to_owned(),
        },
        note,
    };
    let Some(path) = path else {
        return plain("default", None);
    };
    let calibration = match stored() {
        Ok(calibration) => calibration,
        Err(error) => {
            let note = format!("{error}: its bias floor is not used");
            return plain("default; the calibration can't be read", Some(note));
        }
    };
    let floor = calibration.as_ref().and_then(|known| floor(known, path));
    match (floor, asked) {
        (None, _) => plain(
            "default; this machine was never calibrated (`bitgauge calibrate`)",
            None,
        ),
        (Some((floor, row)), Some(asked)) => {
            let note = format!(
                "--margin {} is below the bias floor of this machine, {}: what is called a change may be the luck of layout",
                share(asked),
                described(floor, row),
            );
            plain("", (asked < floor).then_some(note))
        }
        (Some((floor, row)), None) => Margin {
            fraction: DEFAULT_MARGIN.max(SAFETY * floor),
            from: format!(
                "default; bias floor of this machine {}",
                described(floor, row)
            ),
            note: None,
        },
    }
}

/// The bias floor of a path. Builds that were never calibrated are workers at least.
fn floor(calibration: &Calibration, path: Route) -> Option<(f64, &Row)> {
    let of = |path| {
        let row = calibration.row(path)?;
        Some((row.bias_floor?, row))
    };
    match path {
        Route::Builds => of(Route::Builds).or_else(|| of(Route::Workers)),
        path => of(path),
    }
}

fn described(floor: f64, row: &Row) -> String {
    let date = row.measured.split('T').next().unwrap_or_default();
    format!("{} ({}, calibrated {date})", share(floor), row.path)
}

#[cfg(test)]
mod tests {
    use super::super::SCHEMA;
    use super::*;

    fn row(path: Route, load: usize, bias_floor: f64) -> Row {
        Row {
            path,
            load,
            measured: "2026-11-21T10:00:00Z".to_owned(),
            seconds: 1.0,
            undecided: 0,
            rates: Vec::new(),
            bias_floor: Some(bias_floor),
            cases: Vec::new(),
        }
    }

    fn margin(path: Route, asked: Option<f64>, rows: &[Row]) -> Margin {
        let calibration = Calibration {
            schema: SCHEMA,
            version: "0".to_owned(),
            machine: "here".to_owned(),
            alpha: 0.001,
            rows: rows.to_vec(),
        };
        choose(Some(path), asked, || Ok(Some(calibration)))
    }

    #[test]
    fn a_small_bias_floor_leaves_the_default_and_is_told() {
        let margin = margin(Route::Workers, None, &[row(Route::Workers, 0, 0.003)]);
        assert_eq!((margin.fraction, margin.note), (0.02, None));
        assert_eq!(
            margin.from,
            "default; bias floor of this machine 0.3 % (workers, calibrated 2026-11-21)"
        );
    }

    #[test]
    fn a_large_bias_floor_widens_the_default_to_three_times_itself() {
        let margin = margin(Route::Workers, None, &[row(Route::Workers, 0, 0.012)]);
        assert!((margin.fraction - 0.036).abs() < 1e-12);
    }

    #[test]
    fn what_is_asked_for_is_kept_and_warned_of_below_the_floor() {
        let rows = [row(Route::Functions, 0, 0.003)];
        let above = margin(Route::Functions, Some(0.005), &rows);
        assert_eq!((above.fraction, above.note), (0.005, None));
        let below = margin(Route::Functions, Some(0.001), &rows);
        assert_eq!((below.fraction, below.from.as_str()), (0.001, "--margin"));
        let note = below.note.unwrap();
        assert!(note.contains("0.1 %") && note.contains("0.3 %"), "{note}");
    }

    #[test]
    fn each_path_has_its_own_floor_and_builds_count_as_workers_until_calibrated() {
        let mut rows = vec![
            row(Route::Functions, 0, 0.001),
            row(Route::Workers, 4, 0.05),
            row(Route::Workers, 0, 0.01),
        ];
        assert_eq!(margin(Route::Functions, None, &rows).fraction, 0.02);
        assert!((margin(Route::Workers, None, &rows).fraction - 0.03).abs() < 1e-12);
        let builds = margin(Route::Builds, None, &rows);
        assert!(builds.fraction > 0.02 && builds.from.contains("workers"));
        rows.push(row(Route::Builds, 0, 0.02));
        assert!((margin(Route::Builds, None, &rows).fraction - 0.06).abs() < 1e-12);
    }

    #[test]
    fn without_a_calibration_it_is_the_default_and_says_how_to_get_one() {
        for (asked, fraction) in [(None, 0.02), (Some(0.01), 0.01)] {
            let margin = choose(Some(Route::Workers), asked, || Ok(None));
            assert_eq!((margin.fraction, margin.note), (fraction, None));
        }
        let margin = choose(Some(Route::Workers), None, || Ok(None));
        assert!(
            margin.from.contains("never calibrated")
                && margin.from.contains("`bitgauge calibrate`")
        );
        let commands = choose(None, None, || panic!("no calibration is about commands"));
        assert_eq!(commands.from, "default");
    }

    #[test]
    fn a_calibration_that_cannot_be_read_is_told_and_not_used() {
        let margin = choose(Some(Route::Workers), None, || Err(CacheError::NoFolder));
        assert_eq!(margin.fraction, 0.02);
        assert!(margin.from.contains("can't be read") && margin.note.is_some());
    }
}
