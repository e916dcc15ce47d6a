//! gungraun (once iai-callgrind): `summary.json` of `--save-summary`, one file a benchmark, schema
//! versions 6 and 7.
//!
//! Read is the count of instructions (`Ir`) of the whole run, from Callgrind or else Cachegrind. It
//! is counted by simulation, and Valgrind decides which instructions the program is offered: the
//! count is of the path that the program takes *there*.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{Figure, ImportError, LeftOut, Statistic, Unit, source};

#[derive(Deserialize)]
struct Header {
    version: String,
    module_path: String,
    id: Option<String>,
    profiles: Vec<Value>,
}

/// What tells a summary from other JSON, whatever its version.
#[derive(Deserialize)]
struct Sign {
    version: Option<Value>,
    #[serde(rename = "module_path")]
    _module_path: String,
}

pub fn looks_like(text: &str) -> bool {
    text.trim_start().starts_with('{') && text.contains("\"module_path\"")
}

/// Every summary below `folder`.
pub fn summaries(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    source::files(folder, |path| {
        path.file_name().is_some_and(|n| n == "summary.json")
    })
}

pub fn read(path: &Path) -> Result<(Vec<Figure>, Vec<LeftOut>), ImportError> {
    let files = if source::is_folder(path)? {
        summaries(path)?
    } else {
        vec![path.to_owned()]
    };
    if files.is_empty() {
        return Err(ImportError::content(
            path,
            "no summary.json below it; run the benchmarks with --save-summary",
        ));
    }
    let (mut figures, mut left_out) = (Vec::new(), Vec::new());
    for file in files {
        match figure(&file)? {
            Ok(figure) => figures.push(figure),
            Err(missing) => left_out.push(missing),
        }
    }
    Ok((figures, left_out))
}

fn figure(path: &Path) -> Result<Result<Figure, LeftOut>, ImportError> {
    let text = source::text(path)?;
    let corrupt = |e: serde_json::Error| ImportError::json(path, &e);
    // The version comes first: a file of another version need not have the other fields.
    let sign: Sign = serde_json::from_str(&text).map_err(corrupt)?;
    let instructions: fn(&Path, Value) -> Result<Option<f64>, ImportError> =
        match sign.version.as_ref().and_then(Value::as_str) {
            Some("6") => v6::instructions,
            Some("7") => v7::instructions,
            _ => {
                return Err(ImportError::Version {
                    path: path.into(),
                    what: "a gungraun summary",
                    found: sign
                        .version
                        .map_or_else(|| "not stated".into(), |v| v.to_string()),
                    reads: "\"6\" and \"7\"",
                });
            }
        };
    let summary: Header = serde_json::from_str(&text).map_err(corrupt)?;
    debug_assert_eq!(sign.version, Some(Value::String(summary.version)));
    let case = match &summary.id {
        Some(id) => format!("{} {id}", summary.module_path),
        None => summary.module_path,
    };
    for profile in summary.profiles {
        if let Some(count) = instructions(path, profile)? {
            return Ok(Ok(Figure {
                case,
                unit: Unit::Instructions,
                smaller_is_better: true,
                value: count,
                statistic: Statistic::Count,
                interval: None,
                samples: Vec::new(),
            }));
        }
    }
    Ok(Err(LeftOut {
        case,
        why: "the summary has no new count of instructions (Ir) from Callgrind or Cachegrind"
            .into(),
    }))
}

/// A profile in the words of its version; one that does not fit is an error of the file.
fn profile<T: serde::de::DeserializeOwned>(path: &Path, value: Value) -> Result<T, ImportError> {
    serde_json::from_value(value)
        .map_err(|e| ImportError::content(path, format!("a profile in it: {e}")))
}

/// Whether a profile is one of a tool that counts instructions.
fn counts(profile: &Value) -> bool {
    matches!(
        profile.get("tool").and_then(Value::as_str),
        Some("Callgrind" | "Cachegrind")
    )
}

mod v6 {
    use super::*;

    #[derive(Deserialize)]
    struct Profile {
        summaries: Data,
    }

    #[derive(Deserialize)]
    struct Data {
        total: Total,
    }

    #[derive(Deserialize)]
    struct Total {
        summary: BTreeMap<String, BTreeMap<String, Difference>>,
    }

    #[derive(Deserialize)]
    struct Difference {
        metrics: Sides,
    }

    /// New is left, old is right.
    #[derive(Deserialize)]
    enum Sides {
        Left(Metric),
        Right(#[allow(dead_code, reason = "an old count is not this run's")] Metric),
        Both((Metric, Metric)),
    }

    #[derive(Deserialize)]
    enum Metric {
        Int(u64),
        Float(f64),
    }

    pub fn instructions(path: &Path, value: Value) -> Result<Option<f64>, ImportError> {
        if !counts(&value) {
            return Ok(None);
        }
        let profile: Profile = profile(path, value)?;
        let mut metrics = profile.summaries.total.summary.into_values();
        let ir = metrics.find_map(|mut events| events.remove("Ir"));
        Ok(ir.and_then(|difference| match difference.metrics {
            Sides::Left(new) | Sides::Both((new, _)) => Some(match new {
                Metric::Int(n) => n as f64,
                Metric::Float(x) => x,
            }),
            Sides::Right(_) => None,
        }))
    }
}

mod v7 {
    use super::*;

    #[derive(Deserialize)]
    struct Profile {
        data: Data,
    }

    #[derive(Deserialize)]
    struct Data {
        total: Total,
    }

    #[derive(Deserialize)]
    struct Total {
        metrics: BTreeMap<String, Metric>,
    }

    #[derive(Deserialize)]
    struct Metric {
        values: Values,
    }

    #[derive(Deserialize)]
    struct Values {
        new: Option<f64>,
    }

    pub fn instructions(path: &Path, value: Value) -> Result<Option<f64>, ImportError> {
        if !counts(&value) {
            return Ok(None);
        }
        let mut profile: Profile = profile(path, value)?;
        let ir = profile.data.total.metrics.remove("Ir");
        Ok(ir.and_then(|metric| metric.values.new))
    }
}
