//! `bitgauge calibrate`: what this machine's verdicts are worth.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::progress::Progress;
use crate::calibration::{
    self, Against, Calibrated, LEAST_EFFECT, Planted, Route, Row, Settings, Step, save, share,
};
use crate::exit::{Exit, Failure};
use crate::machine::Machine;
use crate::measure::fresh_seed;
use crate::measure::stats::Rate;
use crate::user_cache::folder;

/// Arguments of `bitgauge calibrate`.
#[derive(Args)]
pub struct Arguments {
    /// Compare on this path; may be given more than once [default: functions and workers]
    #[arg(long, value_enum, value_name = "PATH")]
    path: Vec<Route>,
    /// Compare two builds of the last commit too; the first time this takes minutes
    #[arg(long)]
    builds: bool,
    /// Busy processes beside the loaded half; 0 leaves it out [default: two for each usable CPU]
    #[arg(long, value_name = "N")]
    load: Option<usize>,
    /// A fifth of the time; the intervals say what that is worth
    #[arg(long)]
    quick: bool,
    /// Comparisons in one process, idle and loaded each [default: as many as fit the time]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    comparisons: Option<u64>,
    /// Comparisons with two processes, idle and loaded each [default: as many as fit the time]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    worker_comparisons: Option<u64>,
    /// Hold criterion's rule to the same cases, with shorter times than it comes with
    #[arg(long)]
    against_criterion_rule: bool,
    /// Seed of every random order and place [default: a fresh one, which is recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    command: &'static str,
    #[serde(flatten)]
    found: &'a Calibrated,
    seed: u64,
    stored: Option<PathBuf>,
    exit: u8,
}

/// Calibrates, tells and stores.
///
/// # Errors
/// When nothing can be calibrated as asked, or the result can't be stored.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    // Known before minutes are spent.
    folder()?;
    let settings = settings(arguments, threads)?;
    let progress = Progress::new();
    let mut shown = String::new();
    let found = calibration::run(&settings, &mut |step: &Step<'_>| {
        if shown != step.what {
            shown = step.what.to_owned();
            progress.stage(step.what, 0);
        }
        progress.detail(&format!(
            "{}: {:.0} %; about {:.0} s left in all",
            step.what,
            100.0 * step.done,
            step.left
        ));
    });
    progress.finish();
    let found = found?;
    let stored = match found.calibration.rows.is_empty() {
        true => Ok(None),
        false => save(&found.calibration).map(Some),
    };
    write(&found, output)?;
    let stored = stored?;
    if let Some(file) = &stored {
        output.line(format!("stored in {}", file.display()))?;
    }
    let exit = found.exit();
    output.document(&Document {
        command: "calibrate",
        found: &found,
        seed: settings.seed,
        stored,
        exit: exit as u8,
    })?;
    Ok(exit)
}

fn settings(arguments: &Arguments, threads: usize) -> Result<Settings, Failure> {
    let mut paths = match arguments.path.as_slice() {
        [] => vec![Route::Functions, Route::Workers],
        paths => paths.to_vec(),
    };
    if arguments.builds {
        paths.push(Route::Builds);
    }
    paths.sort();
    paths.dedup();
    let usable = Machine::detect().usable.threads;
    Ok(Settings {
        paths,
        load: arguments.load.unwrap_or(2 * usable),
        threads,
        quick: arguments.quick,
        comparisons: arguments.comparisons,
        pairs: arguments.worker_comparisons,
        against_criterion: arguments.against_criterion_rule,
        program: std::env::current_exe()
            .map_err(|e| Failure::could_not_run(format!("where this program is: {e}")))?,
        repository: PathBuf::from("."),
        seed: arguments.seed.unwrap_or_else(fresh_seed),
    })
}

fn write(found: &Calibrated, output: Output) -> Result<(), Failure> {
    let calibration = &found.calibration;
    output.line(format!(
        "{}: a program compared with itself, at most {} false alarms allowed",
        calibration.machine,
        share(calibration.alpha),
    ))?;
    if !calibration.rows.is_empty() {
        alarms(&calibration.rows, output)?;
        effects(&calibration.rows, output)?;
    }
    if !found.planted.is_empty() {
        output
            .line("\nestimates, checked by planting what should be found in 95 % of comparisons")?;
    }
    for planted in &found.planted {
        output.line(planted_line(planted))?;
    }
    if let Some(against) = &found.criterion {
        criterion(against, output)?;
    }
    for u in &found.unavailable {
        output.line(format!("UNAVAILABLE {}: {}", u.what, u.why))?;
    }
    if found.cries_wolf() {
        output.line(
            "More false alarms than the rules allow: do not trust the gate on this machine.",
        )?;
    }
    Ok(())
}

fn alarms(rows: &[Row], output: Output) -> Result<(), Failure> {
    output.line("\nfalse alarms of all comparisons, with the exact 95 % interval of the rate")?;
    let head = |margin: f64| format!("margin {}", share(margin));
    let margins = calibration::MARGINS.map(head);
    output.line(format!(
        "{:<9}  {:<6}  {:<27}  {:<24}  {:<24}  {:>10}  {:>9}",
        "path", "load", margins[0], margins[1], margins[2], "bias floor", "undecided"
    ))?;
    for row in rows {
        let rates: Vec<String> = row.rates.iter().map(|r| rate(&r.alarms)).collect();
        output.line(format!(
            "{:<9}  {:<6}  {:<27}  {:<24}  {:<24}  {:>10}  {:>9}",
            row.path,
            load(row.load),
            rates[0],
            rates[1],
            rates[2],
            row.bias_floor.map_or("?".to_owned(), share),
            row.undecided,
        ))?;
    }
    Ok(())
}

fn effects(rows: &[Row], output: Output) -> Result<(), Failure> {
    output.line(
        "\nsmallest change found in 95 % of comparisons, at a margin of half of it (estimated)",
    )?;
    let cases = || rows.iter().flat_map(|row| &row.cases);
    let width = cases().map(|c| c.case.len()).max().unwrap_or(4);
    let heads: Vec<String> = calibration::BUDGETS
        .iter()
        .map(|s| format!("{:>8}", format!("in {s} s")))
        .collect();
    output.line(format!(
        "{:<9}  {:<6}  {:<width$}  {}  {:>10}  {:>15}",
        "path",
        "load",
        "case",
        heads.join("  "),
        "bias floor",
        "settled in, 2 %"
    ))?;
    for row in rows {
        for case in &row.cases {
            let found: Vec<String> = case
                .effects
                .iter()
                .map(|e| format!("{:>8}", effect(e.fraction)))
                .collect();
            output.line(format!(
                "{:<9}  {:<6}  {:<width$}  {}  {:>10}  {:>15}",
                row.path,
                load(row.load),
                case.case,
                found.join("  "),
                case.bias_floor.map_or("?".to_owned(), share),
                case.seconds_to_settle
                    .map_or("?".to_owned(), |s| format!("{s:.3} s")),
            ))?;
        }
    }
    Ok(())
}

fn planted_line(planted: &Planted) -> String {
    format!(
        "{}: {} more work, {} s a comparison: found in {}",
        planted.case,
        share(planted.fraction),
        planted.within,
        rate(&planted.found),
    )
}

/// The least effect that is tried may not be the smallest that is seen.
fn effect(fraction: Option<f64>) -> String {
    match fraction {
        None => "none".to_owned(),
        Some(least) if least <= LEAST_EFFECT => format!("<={}", share(least)),
        Some(fraction) => share(fraction),
    }
}

fn criterion(against: &Against, output: Output) -> Result<(), Failure> {
    output.line(format!(
        "\nfalse alarms on the same cases in one process: ours, and criterion's rule with {} samples, {} s of warming up (criterion: 3 s), {} s a batch (5 s), {} resamples (100000)",
        against.samples, against.warm_up, against.measuring, against.rule.resamples,
    ))?;
    output.line(format!(
        "{:<6}  {:<27}  {:>8}  {:<27}  {:>8}",
        "load", "ours", "seconds", "criterion's rule", "seconds"
    ))?;
    for row in &against.rows {
        output.line(format!(
            "{:<6}  {:<27}  {:>8.1}  {:<27}  {:>8.1}",
            load(row.load),
            rate(&row.ours),
            row.ours_seconds,
            rate(&row.criterion),
            row.criterion_seconds,
        ))?;
    }
    Ok(())
}

fn load(processes: usize) -> String {
    match processes {
        0 => "idle".to_owned(),
        n => format!("{n} busy"),
    }
}

/// `0 of 300 (0 to 1.2 %)`.
fn rate(rate: &Rate) -> String {
    if rate.trials == 0 {
        return "none compared".to_owned();
    }
    let low = match rate.low {
        0.0 => "0".to_owned(),
        low => format!("{:.2}", 100.0 * low),
    };
    format!(
        "{} of {} ({low} to {:.2} %)",
        rate.hits,
        rate.trials,
        100.0 * rate.high
    )
}
