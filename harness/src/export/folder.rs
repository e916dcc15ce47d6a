//! A run folder of verdicts: the document, and every form of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{action_benchmark, bmf, csv, html, junit, markdown};
use crate::report::chart::forest;
use crate::report::{Document, ReportError};
use crate::run::{RunError, write_atomically};
use crate::text_file;
use crate::verdicts::{SCHEMA, Verdicts};

/// Name of the file that all others are made from.
pub const VERDICTS_FILE: &str = "verdicts.json";

/// Verdicts that can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file can't be written or read.
    #[error(transparent)]
    File(#[from] RunError),
    /// The chart can't be drawn.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// JSON can't hold them.
    #[error("the verdicts can't be written: a figure is not finite. Leave out what is not known")]
    NotFinite,
    /// The file has another layout.
    #[error("{path}: schema {found}; this bitgauge reads schema {SCHEMA}", path = path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        found: String,
    },
}

/// Writes `verdicts.json`, `report.md`, `index.html`, `junit.xml`, `bmf.json`,
/// `github-action-benchmark.json` (times) and `github-action-benchmark-speedup.json`,
/// `verdicts.csv` and `charts/verdicts.{svg,png}` into `dir`, which is made where it is missing.
/// Each file is written whole or not at all; other files stay. Returns the paths, `verdicts.json`
/// first.
///
/// # Errors
/// A figure is not finite (nothing is written then), or the system refuses.
pub fn folder(dir: &Path, v: &Verdicts) -> Result<Vec<PathBuf>, ExportError> {
    let documents = documents(v)?;
    let make =
        |dir: &Path| fs::create_dir_all(dir).map_err(|e| RunError::io("create the folder", dir, e));
    make(dir)?;
    let mut written = Vec::new();
    for document in documents {
        let path = dir.join(&document.path);
        if let Some(parent) = path.parent() {
            make(parent)?;
        }
        write_atomically(&path, &document.bytes)?;
        written.push(path);
    }
    // A chart of earlier verdicts must not stand beside new ones that have nothing to draw.
    for ending in ["svg", "png"] {
        let path = dir.join(format!("charts/verdicts.{ending}"));
        if !written.contains(&path) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(RunError::io("remove", &path, e).into());
                }
                _ => {}
            }
        }
    }
    Ok(written)
}

/// Every file of the folder, `verdicts.json` first. Without any case there is no chart.
///
/// # Errors
/// A figure is not finite, or the chart can't be drawn.
pub fn documents(v: &Verdicts) -> Result<Vec<Document>, ExportError> {
    let chart = forest::verdicts(v);
    let mut out = Vec::new();
    let mut add = |path: &str, bytes: Vec<u8>| {
        out.push(Document {
            path: path.to_owned(),
            bytes,
        });
    };
    let text = json(v)?;
    // JSON has no NaN: serde_json writes `null`, which reads back as something else.
    if serde_json::from_str::<Verdicts>(&text).ok().as_ref() != Some(v) {
        return Err(ExportError::NotFinite);
    }
    add(VERDICTS_FILE, text.into_bytes());
    add("report.md", markdown(v).into_bytes());
    add("index.html", html(v, chart.as_ref())?.into_bytes());
    add("junit.xml", junit::document(v).into_bytes());
    add("bmf.json", json(&bmf::document(v))?.into_bytes());
    let times = action_benchmark::smaller_is_better(v);
    add("github-action-benchmark.json", json(&times)?.into_bytes());
    let speedups = action_benchmark::bigger_is_better(v);
    add(
        "github-action-benchmark-speedup.json",
        json(&speedups)?.into_bytes(),
    );
    add("verdicts.csv", csv(v));
    if let Some(chart) = &chart {
        add("charts/verdicts.svg", chart.svg()?.into_bytes());
        add("charts/verdicts.png", chart.png()?);
    }
    Ok(out)
}

fn json(document: &impl Serialize) -> Result<String, ExportError> {
    let mut text = serde_json::to_string_pretty(document).map_err(|_| ExportError::NotFinite)?;
    text.push('\n');
    Ok(text)
}

/// Reads `verdicts.json` of the folder `dir`.
///
/// # Errors
/// No such file; not JSON or no verdicts, with line and column; another schema; unreadable.
pub fn read(dir: &Path) -> Result<Verdicts, ExportError> {
    #[derive(Deserialize)]
    struct Header {
        schema: Option<u32>,
    }
    let path = dir.join(VERDICTS_FILE);
    let text = text_file::read(&path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => RunError::Missing { path: path.clone() },
        _ => RunError::io("read", &path, e),
    })?;
    let corrupt = |e: serde_json::Error| RunError::Corrupt {
        path: path.clone(),
        line: e.line(),
        column: e.column(),
        what: e.to_string(),
    };
    let header: Header = serde_json::from_str(&text).map_err(corrupt)?;
    if header.schema != Some(SCHEMA) {
        return Err(ExportError::Schema {
            path,
            found: header
                .schema
                .map_or_else(|| "not stated".into(), |s| s.to_string()),
        });
    }
    Ok(serde_json::from_str(&text).map_err(corrupt)?)
}
