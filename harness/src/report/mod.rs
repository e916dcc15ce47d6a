//! Pages rendered from `run.json`, and from nothing else.
//!
//! Rendering has no clock, no locale, no map with random order, no system font and no libm: the
//! same `run.json` gives the same bytes on every machine.

mod agreement;
mod cache;
pub(crate) mod chart;
mod costs;
mod finding;
pub(crate) mod html;
mod latency;
mod limit;
pub(crate) mod markdown;
mod pages;
mod records;
mod reported;
mod summary;
pub(crate) mod table;
mod tables;
mod validation;
pub(crate) mod wording;

use crate::run::{self, Run, RunError, ScalingPoint};
use std::fs;
use std::path::{Path, PathBuf};

/// A report that could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder can't be read or written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A chart could not be drawn.
    #[error("chart {name}: {reason}")]
    Chart {
        /// Which.
        name: String,
        /// The drawing library's reason.
        reason: String,
    },
}

impl ReportError {
    fn chart(name: &str, reason: impl Into<String>) -> Self {
        Self::Chart {
            name: name.to_owned(),
            reason: reason.into(),
        }
    }
}

/// One file of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Path within the run folder, with `/`.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Renders every file of the run in `dir` from its `run.json` and writes them beside it.
///
/// Charts and tables of an earlier rendering that this one does not write are removed, so that no
/// old figure stays; any other file stays. Returns the paths written, `index.html` first.
///
/// # Errors
/// `run.json` is missing, corrupt or of another schema; a file can't be written or removed.
pub fn render(dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let run = run::read(dir)?;
    let mut written = Vec::new();
    let documents = documents(&run)?;
    for name in names() {
        if documents.iter().all(|d| d.path != name) {
            remove(&dir.join(name))?;
        }
    }
    for document in documents {
        let path = dir.join(&document.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| RunError::io("create the folder", parent, e))?;
        }
        run::write_atomically(&path, &document.bytes)?;
        written.push(path);
    }
    Ok(written)
}

/// Paths of all charts and tables that a rendering can write.
fn names() -> impl Iterator<Item = String> {
    let charts = chart::NAMES
        .iter()
        .flat_map(|name| ["svg", "png"].map(|ending| format!("charts/{name}.{ending}")));
    charts.chain(tables::NAMES.iter().map(|name| format!("csv/{name}.csv")))
}

fn remove(path: &Path) -> Result<(), RunError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(RunError::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// The chart of speed over threads, as `scaling.svg` and `scaling.png`; none where no point has a
/// figure.
///
/// # Errors
/// It could not be drawn.
pub fn scaling_chart(points: &[ScalingPoint]) -> Result<Vec<Document>, ReportError> {
    let Some(chart) = chart::scaling(points) else {
        return Ok(Vec::new());
    };
    let svg = Document {
        path: format!("{}.svg", chart.name),
        bytes: chart.svg()?.into_bytes(),
    };
    let png = Document {
        path: format!("{}.png", chart.name),
        bytes: chart.png()?,
    };
    Ok(vec![svg, png])
}

/// Every file of the report, `index.html` first.
///
/// # Errors
/// A chart could not be drawn.
pub fn documents(run: &Run) -> Result<Vec<Document>, ReportError> {
    let charts = chart::all(run);
    let tables = tables::all(run);
    let mut out = Vec::new();
    let mut add = |path: String, bytes: Vec<u8>| out.push(Document { path, bytes });
    add("index.html".into(), html::page(run, &charts)?.into_bytes());
    add("report.md".into(), pages::report(run).into_bytes());
    add(
        "PERFORMANCE_FIX_LOG.md".into(),
        pages::fix_log(run).into_bytes(),
    );
    add(
        "PERFORMANCE.md".into(),
        records::performance(run).into_bytes(),
    );
    add(
        "RELEASE_NOTES.md".into(),
        records::release_notes(run).into_bytes(),
    );
    add("VALIDATION.md".into(), validation::sheet(run).into_bytes());
    for table in &tables {
        add(format!("csv/{}.csv", table.id), table.csv());
    }
    if let Some(ladder) = run.ladder.get() {
        add("csv/samples.csv".into(), tables::samples_csv(ladder));
    }
    if let Some(latency) = run.latency.get() {
        add(
            "csv/latency_samples.csv".into(),
            tables::latency_samples_csv(latency),
        );
    }
    for chart in &charts {
        add(
            format!("charts/{}.svg", chart.name),
            chart.svg()?.into_bytes(),
        );
        add(format!("charts/{}.png", chart.name), chart.png()?);
    }
    Ok(out)
}
