//! criterion.rs: `GROUP/FUNCTION/VALUE/new/{benchmark,estimates,sample}.json`.
//!
//! `benchmark.json` has the name, `sample.json` iterations and total time of each sample,
//! `estimates.json` what criterion made of them. Times are nanoseconds under criterion's own wall
//! clock; the files do not say when another measurement was plugged in.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Figure, ImportError, Interval, LeftOut, Statistic, Unit, median, source};

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    confidence_interval: Confidence,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Confidence {
    confidence_level: f64,
    lower_bound: f64,
    upper_bound: f64,
}

/// Folders of the last measurement of each benchmark below `folder`.
pub fn benchmarks(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let files = source::files(folder, |path| {
        let parent = path.parent().and_then(Path::file_name);
        path.file_name().is_some_and(|n| n == "benchmark.json")
            && parent.is_some_and(|n| n == "new")
    })?;
    Ok(files
        .iter()
        .filter_map(|f| f.parent())
        .map(Path::to_owned)
        .collect())
}

pub fn read(path: &Path) -> Result<(Vec<Figure>, Vec<LeftOut>), ImportError> {
    if !source::is_folder(path)? {
        return Err(ImportError::content(
            path,
            "a file; criterion's results are a folder, such as target/criterion",
        ));
    }
    let folders = benchmarks(path)?;
    if folders.is_empty() {
        return Err(ImportError::content(
            path,
            "no new/benchmark.json below it; criterion writes one a benchmark, as in target/criterion",
        ));
    }
    let figures = folders
        .iter()
        .map(|folder| figure(folder))
        .collect::<Result<_, _>>()?;
    Ok((figures, Vec::new()))
}

fn figure(folder: &Path) -> Result<Figure, ImportError> {
    let case = source::json::<Benchmark>(&folder.join("benchmark.json"))?.full_id;
    let estimates: Estimates = source::json(&folder.join("estimates.json"))?;
    let path = folder.join("sample.json");
    if !path.exists() {
        return Ok(of_estimate(case, &estimates.median));
    }
    let sample: Sample = source::json(&path)?;
    if sample.iters.len() != sample.times.len() {
        return Err(ImportError::content(
            &path,
            format!(
                "{} iteration counts and {} times; one time a count is needed",
                sample.iters.len(),
                sample.times.len()
            ),
        ));
    }
    let pairs = sample.times.iter().zip(&sample.iters);
    let samples: Vec<f64> = pairs.map(|(time, iterations)| time / iterations).collect();
    // Files of two measurements in one folder would pair a time with another's interval.
    let stated = estimates.median.point_estimate;
    let own = median(&samples);
    if own.is_none_or(|own| (own - stated).abs() > 1e-6 * stated.abs()) {
        let own = own.map_or_else(|| "none".into(), |x| x.to_string());
        return Err(ImportError::content(
            &path,
            format!(
                "its median is {own} ns, and estimates.json says {stated}: these are not of one measurement"
            ),
        ));
    }
    Figure::of_samples(case, Unit::Nanoseconds, samples)
        .ok_or_else(|| ImportError::content(&path, "no sample"))
}

/// Without samples, criterion's own bootstrapped interval.
fn of_estimate(case: String, median: &Estimate) -> Figure {
    let interval = &median.confidence_interval;
    Figure {
        case,
        unit: Unit::Nanoseconds,
        smaller_is_better: true,
        value: median.point_estimate,
        statistic: Statistic::Median,
        interval: Some(Interval {
            low: interval.lower_bound,
            high: interval.upper_bound,
            level: interval.confidence_level,
        }),
        samples: Vec::new(),
    }
}
