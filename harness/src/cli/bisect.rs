//! `bitgauge bisect`: the commit that made a case slower.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::judging::{fraction, seconds};
use super::output::{Output, tell};
use super::progress::Progress;
use super::stop;
use crate::bisect::builder::Builder;
use crate::bisect::{Bisected, Bisection, Commit, Duel, Outcome};
use crate::calibration::{self, Route};
use crate::exit::{Exit, Failure};
use crate::gate::{Tree, target_folder};
use crate::measure::fresh_seed;
use crate::report::wording::{fixed, plural};
use crate::suite::CaseId;
use crate::worker::Launch;

/// Arguments of `bitgauge bisect`.
#[derive(Args)]
pub struct Arguments {
    /// A revision that was fast, two dots, and a later one that is slow; HEAD where that is missing
    #[arg(value_name = "GOOD..BAD")]
    range: String,
    /// The id of the case, such as decode/gate_up/best/1t; with --worker, whatever the workers call it
    #[arg(value_name = "CASE")]
    case: String,
    /// Runs in each checked out commit, in a shell; without --worker, cargo builds bitgauge
    #[arg(long, value_name = "COMMAND", requires = "worker")]
    build: Option<String>,
    /// Starts a commit's worker, within its tree
    #[arg(long, value_name = "COMMAND", conflicts_with = "link_orders")]
    worker: Option<String>,
    /// Link orders of each build beside the linker's own
    #[arg(long, value_name = "N", default_value_t = 2)]
    link_orders: usize,
    /// A commit that is slower than GOOD by less than this is as good [default: half of the effect
    /// of BAD, which must exceed the margin of `gate`]
    #[arg(long, value_name = "PERCENT", value_parser = fraction)]
    margin: Option<f64>,
    /// Bound on the probability of any false alarm
    #[arg(long, value_name = "PERCENT", value_parser = fraction, default_value = "1%")]
    alpha: f64,
    /// Time for measuring in each duel; an unclear one has three times as much again
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    max_time: Duration,
    /// Time that a worker has for one answer
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    timeout: Duration,
    /// Seed of every random order and place [default: a fresh one, which is recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Equal work may give different results, as after a change of the arithmetic
    #[arg(long)]
    allow_different_output: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    command: &'static str,
    range: &'a str,
    case: &'a str,
    alpha: f64,
    seed: u64,
    #[serde(flatten)]
    found: &'a Bisected,
    exit: u8,
}

/// Searches.
///
/// # Errors
/// When one of the two revisions can't be had.
pub fn run(arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let (good, bad) = match arguments.range.split_once("..") {
        Some((good, bad)) if !good.is_empty() && !bad.starts_with('.') => (good, bad),
        _ => {
            return Err(Failure::could_not_run(format!(
                "{}: a range is written like v1.0..HEAD: a revision that was fast, two dots, a later one that is slow",
                arguments.range
            )));
        }
    };
    let tree = Tree::around(Path::new("."))?;
    let builder = match &arguments.worker {
        Some(worker) => Builder::Commands {
            build: arguments.build.clone(),
            worker: Launch::parse(worker)
                .map_err(Failure::could_not_run)?
                .command,
        },
        None => {
            let case: CaseId = arguments.case.parse()?;
            Builder::Cargo {
                link_orders: arguments.link_orders,
                arguments: ["worker", "--case"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain([case.to_string()])
                    .collect(),
                beside: target_folder(&tree),
            }
        }
    };
    let margin = calibration::margin(Some(Route::Builds), arguments.margin);
    if let Some(note) = &margin.note {
        tell(format!("note: {note}"));
    }
    let bisection = Bisection {
        tree: &tree,
        good,
        bad: if bad.is_empty() { "HEAD" } else { bad },
        case: &arguments.case,
        builder,
        margin: margin.fraction,
        duel_margin: arguments.margin,
        alpha: arguments.alpha,
        seed: arguments.seed.unwrap_or_else(fresh_seed),
        duel_time: arguments.max_time,
        timeout: arguments.timeout,
        allow_different_output: arguments.allow_different_output,
    };
    let progress = Progress::new();
    let signal = stop::asked_for();
    let found = bisection.run(&|title| progress.stage(title, 0), &|| {
        signal.load(Ordering::Relaxed)
    });
    progress.finish();
    let found = found?;
    show(&found, &bisection, output)?;
    let exit = found.outcome.exit();
    output.document(&Document {
        schema: 1,
        command: "bisect",
        range: &arguments.range,
        case: &arguments.case,
        alpha: arguments.alpha,
        seed: bisection.seed,
        found: &found,
        exit: exit as u8,
    })?;
    Ok(exit)
}

fn show(found: &Bisected, bisection: &Bisection<'_>, output: Output) -> Result<(), Failure> {
    for skipped in &found.skipped {
        output.line(format!(
            "skipped {}: {}",
            skipped.commit.name(),
            skipped.why
        ))?;
    }
    let (good, bad) = (bisection.good, bisection.bad);
    if let Some(whole) = &found.whole {
        output.line(format!("{good} to {bad}: speedup {}", speedup(whole)))?;
    }
    match found.outcome {
        Outcome::Found => {
            output.line(format!("first slower commit: {}", suspect(found)))?;
        }
        Outcome::Range => {
            output.line(format!(
                "one of these {} commits; none but the last could be judged:",
                found.suspects.len()
            ))?;
            list(&found.suspects, output)?;
        }
        Outcome::NoRegression => output.line(format!(
            "{bad} is not slower than {good} by more than {:.2} %: nothing to find; --margin asks for less",
            100.0 * bisection.margin
        ))?,
        Outcome::Unclear => output.line(format!(
            "whether {bad} is slower than {good} stayed unclear: nothing was searched; --max-time gives more time"
        ))?,
        Outcome::Stopped => {
            output.line(format!(
                "stopped: it is one of {}",
                plural(found.suspects.len(), "commit")
            ))?;
            list(&found.suspects, output)?;
        }
    }
    if let Some(across) = &found.across {
        output.line(format!(
            "from {} to {}: speedup {}",
            across.before.name(),
            across.after.name(),
            speedup(across)
        ))?;
    }
    output.line(format!(
        "{} between them, {}, {}",
        plural(found.commits, "commit"),
        plural(found.builds, "build"),
        plural(found.duels.len(), "duel")
    ))
}

fn suspect(found: &Bisected) -> String {
    found.suspects.last().map_or_else(String::new, Commit::name)
}

fn list(commits: &[Commit], output: Output) -> Result<(), Failure> {
    commits
        .iter()
        .try_for_each(|commit| output.line(format!("  {}", commit.name())))
}

/// `0.8123 (0.8010 to 0.8230)`
fn speedup(duel: &Duel) -> String {
    let figure = |x: Option<f64>| x.map_or("?".to_owned(), |x| fixed(x, 4));
    let v = &duel.verdict;
    let (low, high) = (figure(v.low), figure(v.high));
    format!("{} ({low} to {high}), {}", figure(v.speedup), v.verdict)
}
