//! The calibrations that are kept.

use std::path::{Path, PathBuf};

use super::{Calibration, Row, SCHEMA};
use crate::machine::Machine;
use crate::user_cache::{self, CacheError, Kept, folder};

impl Kept for Calibration {
    const KIND: &'static str = "calibration";
    const SCHEMA: u32 = SCHEMA;
    const COMMAND: &'static str = "bitgauge calibrate";

    fn machine(&self) -> &str {
        &self.machine
    }

    fn check(&self) -> Result<(), String> {
        let no_share = |row: &&Row| row.bias_floor.is_some_and(|f| !(0.0..1.0).contains(&f));
        match self.rows.iter().find(no_share) {
            None => Ok(()),
            Some(row) => {
                let (path, floor) = (row.path, row.bias_floor.unwrap_or_default());
                Err(format!("a bias floor of {floor} ({path}) is none"))
            }
        }
    }
}

/// The calibration of a machine like this one; `None` where there was none.
///
/// # Errors
/// As [`user_cache::read`].
pub fn stored() -> Result<Option<Calibration>, CacheError> {
    user_cache::read(&folder()?, &Machine::detect().class())
}

/// Keeps a calibration, with the rows of earlier ones whose path and load it has not measured.
/// Returns where.
///
/// # Errors
/// As [`user_cache::update`].
pub fn save(calibration: &Calibration) -> Result<PathBuf, CacheError> {
    write(&folder()?, calibration)
}

fn write(folder: &Path, calibration: &Calibration) -> Result<PathBuf, CacheError> {
    user_cache::update(folder, &calibration.machine, |earlier| {
        let mut all = calibration.clone();
        let measured = |old: &Row| {
            let same = |new: &Row| new.path == old.path && new.load == old.load;
            calibration.rows.iter().any(same)
        };
        let earlier = earlier.map_or_else(Vec::new, |e: Calibration| e.rows);
        all.rows
            .extend(earlier.into_iter().filter(|row| !measured(row)));
        all.rows.sort_by_key(|row| (row.path, row.load));
        all
    })
}

#[cfg(test)]
mod tests {
    use super::super::{CaseRow, Effect, MarginRate, Route};
    use super::*;
    use crate::measure::stats::Rate;

    fn row(path: Route, load: usize, seconds: f64) -> Row {
        let alarms = Rate::of(0, 300);
        Row {
            path,
            load,
            measured: "2026-11-21T10:00:00Z".to_owned(),
            seconds,
            undecided: 1,
            rates: vec![MarginRate {
                margin: 0.02,
                alarms,
            }],
            bias_floor: Some(0.003),
            cases: vec![CaseRow {
                case: "loop/lcg/20000/1t".to_owned(),
                alarms,
                bias_floor: None,
                seconds_to_settle: Some(0.03),
                effects: vec![Effect {
                    within: 1.0,
                    fraction: Some(0.001),
                }],
            }],
        }
    }

    fn calibration(rows: Vec<Row>) -> Calibration {
        Calibration {
            schema: SCHEMA,
            version: "0".to_owned(),
            machine: "here".to_owned(),
            alpha: 0.001,
            rows,
        }
    }

    fn read(folder: &Path) -> Result<Option<Calibration>, CacheError> {
        user_cache::read(folder, "here")
    }

    #[test]
    fn what_was_not_measured_this_time_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let builds = row(Route::Builds, 0, 1.0);
        write(
            dir.path(),
            &calibration(vec![builds.clone(), row(Route::Workers, 0, 2.0)]),
        )
        .unwrap();
        let workers = row(Route::Workers, 0, 3.0);
        write(dir.path(), &calibration(vec![workers.clone()])).unwrap();
        let both = read(dir.path()).unwrap().unwrap();
        assert_eq!(both.rows, [workers, builds]);
    }

    #[test]
    fn a_floor_that_can_t_be_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let mut impossible = row(Route::Workers, 0, 1.0);
        impossible.bias_floor = Some(-1.0);
        write(dir.path(), &calibration(vec![impossible])).unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("bias floor of -1"), "{error}");
        assert!(error.contains("calibration-here.json"), "{error}");
        // And a new one takes its place.
        write(dir.path(), &calibration(Vec::new())).unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap().rows, []);
    }
}
