//! hyperfine: `--export-json`, times in seconds.

use std::path::Path;

use serde::Deserialize;

use super::{Figure, ImportError, LeftOut, Statistic, Unit, source};

#[derive(Deserialize)]
struct Document {
    results: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    command: String,
    mean: f64,
    median: Option<f64>,
    times: Option<Vec<f64>>,
    /// `null` for a command that a signal ended.
    #[serde(default)]
    exit_codes: Vec<Option<i32>>,
}

pub fn looks_like(text: &str) -> bool {
    // By its words: a file that was cut off is recognised too, and its error then says where.
    text.trim_start().starts_with('{')
        && text.contains("\"results\"")
        && text.contains("\"command\"")
}

pub fn read(path: &Path) -> Result<(Vec<Figure>, Vec<LeftOut>), ImportError> {
    let document: Document = source::json(path)?;
    let (mut figures, mut left_out) = (Vec::new(), Vec::new());
    for entry in document.results {
        // A command that fails early is fast.
        let failed = entry
            .exit_codes
            .iter()
            .filter(|code| **code != Some(0))
            .count();
        if failed > 0 {
            left_out.push(LeftOut {
                why: format!(
                    "{failed} of {} runs did not end with exit status 0",
                    entry.exit_codes.len()
                ),
                case: entry.command,
            });
            continue;
        }
        figures.push(figure(entry));
    }
    Ok((figures, left_out))
}

fn figure(entry: Entry) -> Figure {
    let ns = |seconds: f64| seconds * 1e9;
    let samples = entry
        .times
        .unwrap_or_default()
        .into_iter()
        .map(ns)
        .collect();
    let (value, statistic) = match entry.median {
        Some(median) => (median, Statistic::Median),
        None => (entry.mean, Statistic::Mean),
    };
    Figure::of_samples(entry.command.clone(), Unit::Nanoseconds, samples).unwrap_or(Figure {
        case: entry.command,
        unit: Unit::Nanoseconds,
        smaller_is_better: true,
        value: ns(value),
        statistic,
        interval: None,
        samples: Vec::new(),
    })
}
