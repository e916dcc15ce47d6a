//! What is known of this machine, kept in the user's cache folder.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Calibration, SCHEMA};
use crate::machine::Machine;
use crate::text_file;

/// A calibration that can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// Nothing says where.
    #[error(
        "there is no cache folder for calibrations: none of BITGAUGE_CACHE, XDG_CACHE_HOME and HOME is set"
    )]
    NoFolder,
    /// The system refused.
    #[error("{}: {error}", file.display())]
    File {
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is damaged.
    #[error("{}: this is no calibration: {problem}; `bitgauge calibrate` writes a new one", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where, and what is wrong.
        problem: String,
    },
    /// Another version wrote it.
    #[error("{}: schema {found}, and this version reads {SCHEMA}; `bitgauge calibrate` writes a new one", file.display())]
    Schema {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: u64,
    },
}

/// Where calibrations are kept: the folder `BITGAUGE_CACHE`, else `bitgauge` in the user's cache
/// folder (`XDG_CACHE_HOME`, or `.cache` in the home folder).
///
/// # Errors
/// When nothing says where that is.
pub fn folder() -> Result<PathBuf, CalibrationError> {
    folder_from(|name| std::env::var_os(name))
}

fn folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, CalibrationError> {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("BITGAUGE_CACHE")
        // Relative paths there are invalid and to be ignored (XDG Base Directory Specification).
        .or_else(|| {
            Some(
                set("XDG_CACHE_HOME")
                    .filter(|p| p.is_absolute())?
                    .join("bitgauge"),
            )
        })
        .or_else(|| Some(set("HOME")?.join(".cache/bitgauge")))
        .ok_or(CalibrationError::NoFolder)
}

fn file_in(folder: &Path, machine: &str) -> PathBuf {
    folder.join(format!("calibration-{machine}.json"))
}

/// The calibration of a machine like this one; `None` where there was none.
///
/// # Errors
/// When it can't be read, is damaged, or was written by a version with another schema.
pub fn stored() -> Result<Option<Calibration>, CalibrationError> {
    read(&folder()?, &Machine::detect().class())
}

fn read(folder: &Path, machine: &str) -> Result<Option<Calibration>, CalibrationError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u64,
    }
    let file = file_in(folder, machine);
    let text = match text_file::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CalibrationError::File { file, error }),
    };
    let corrupt = |problem: String| CalibrationError::Corrupt {
        file: file.clone(),
        problem,
    };
    let Versioned { schema } = serde_json::from_str(&text).map_err(|e| corrupt(e.to_string()))?;
    if schema != u64::from(SCHEMA) {
        let found = schema;
        return Err(CalibrationError::Schema { file, found });
    }
    let calibration: Calibration =
        serde_json::from_str(&text).map_err(|e| corrupt(e.to_string()))?;
    if calibration.machine != machine {
        let of = &calibration.machine;
        return Err(corrupt(format!("it is about {of}, not about {machine}")));
    }
    for row in &calibration.rows {
        if row.bias_floor.is_some_and(|f| !(0.0..1.0).contains(&f)) {
            let (path, floor) = (row.path, row.bias_floor.unwrap_or_default());
            return Err(corrupt(format!("a bias floor of {floor} ({path}) is none")));
        }
    }
    Ok(Some(calibration))
}

/// Keeps a calibration, with the rows of earlier ones whose path and load it has not measured.
/// Writes the whole file or leaves the old one. Returns where.
///
/// # Errors
/// When it can't be written. An earlier one that can't be read is replaced.
pub fn save(calibration: &Calibration) -> Result<PathBuf, CalibrationError> {
    write(&folder()?, calibration)
}

fn write(folder: &Path, calibration: &Calibration) -> Result<PathBuf, CalibrationError> {
    let file = file_in(folder, &calibration.machine);
    let failed = |error: io::Error| CalibrationError::File {
        file: file.clone(),
        error,
    };
    let mut all = calibration.clone();
    if let Ok(Some(earlier)) = read(folder, &calibration.machine) {
        let measured = |old: &super::Row| {
            let same = |new: &super::Row| new.path == old.path && new.load == old.load;
            calibration.rows.iter().any(same)
        };
        all.rows
            .extend(earlier.rows.into_iter().filter(|row| !measured(row)));
    }
    all.rows.sort_by_key(|row| (row.path, row.load));
    let text = serde_json::to_string_pretty(&all).map_err(|e| failed(e.into()))?;
    fs::create_dir_all(folder).map_err(failed)?;
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    writeln!(beside, "{text}").map_err(failed)?;
    beside.as_file().sync_all().map_err(failed)?;
    beside.persist(&file).map_err(|e| failed(e.error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::{CaseRow, Effect, MarginRate, Route, Row};
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

    #[test]
    fn it_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("made/on/demand");
        assert_eq!(read(&folder, "here").unwrap(), None);
        let written = calibration(vec![row(Route::Functions, 0, 1.0)]);
        let file = write(&folder, &written).unwrap();
        assert_eq!(file, folder.join("calibration-here.json"));
        assert_eq!(read(&folder, "here").unwrap(), Some(written));
        assert_eq!(read(&folder, "elsewhere").unwrap(), None);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
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
        let both = read(dir.path(), "here").unwrap().unwrap();
        assert_eq!(both.rows, [workers, builds]);
    }

    #[test]
    fn damage_is_told_with_the_file_and_never_believed() {
        let dir = tempfile::tempdir().unwrap();
        let file = write(dir.path(), &calibration(vec![row(Route::Workers, 0, 1.0)])).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for (damage, said) in [
            (text[..text.len() / 2].to_owned(), "no calibration"),
            (String::new(), "no calibration"),
            (text.replace("\"schema\": 1", "\"schema\": 2"), "schema 2"),
            (text.replace("here", "there"), "it is about there"),
            (text.replace("0.003", "-1.0"), "bias floor of -1"),
            (text.replace("workers", "wishes"), "wishes"),
        ] {
            assert_ne!(damage, text);
            fs::write(&file, damage).unwrap();
            let error = read(dir.path(), "here").unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
            assert!(error.contains("calibration-here.json"), "{error}");
        }
        // And a new one takes its place.
        write(dir.path(), &calibration(Vec::new())).unwrap();
        assert_eq!(read(dir.path(), "here").unwrap().unwrap().rows, []);
    }

    #[test]
    fn the_folder_is_the_users_unless_another_is_named() {
        let folder = |set: &[(&str, &str)]| {
            let found = |name: &str| set.iter().find(|(n, _)| *n == name);
            folder_from(|name| found(name).map(|(_, v)| OsString::from(v)))
        };
        let (home, xdg) = (("HOME", "/home/a"), ("XDG_CACHE_HOME", "/var/a"));
        let is =
            |set: &[(&str, &str)], want: &str| assert_eq!(folder(set).unwrap(), Path::new(want));
        is(&[home], "/home/a/.cache/bitgauge");
        is(&[home, xdg], "/var/a/bitgauge");
        is(&[home, xdg, ("BITGAUGE_CACHE", "here")], "here");
        is(
            &[home, ("XDG_CACHE_HOME", "relative")],
            "/home/a/.cache/bitgauge",
        );
        is(&[home, ("XDG_CACHE_HOME", "")], "/home/a/.cache/bitgauge");
        assert!(folder(&[]).is_err());
    }
}
