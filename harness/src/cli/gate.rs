//! `bitgauge gate`: fails on a real regression, and on nothing else.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;

use super::compare::{Found, document, finish, watched};
use super::judging::Judging;
use super::output::Output;
use crate::exit::{Exit, Failure};
use crate::gate::{Gate, Tree};
use crate::run::rfc3339;

/// Arguments of `bitgauge gate`.
#[derive(Args)]
pub struct Arguments {
    /// Builds this revision and the work tree, and pairs them
    #[arg(long, value_name = "REV")]
    against: String,
    /// Only cases whose id holds this text; may be given more than once
    #[arg(long, value_name = "TEXT")]
    case: Vec<String>,
    /// Link orders of each side beside the linker's own, so that the luck of code layout is
    /// averaged out
    #[arg(long, value_name = "N", default_value_t = 2)]
    link_orders: usize,
    /// Equal work may give different results, as after a change of the arithmetic
    #[arg(long)]
    allow_different_output: bool,
    #[command(flatten)]
    judging: Judging,
}

/// Bound on the probability of any false alarm in the suite.
const ALPHA: f64 = 0.01;

const MAX_TIME: Duration = Duration::from_secs(120);

/// Gates.
///
/// # Errors
/// When a side can't be had.
pub fn run(arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let margin = arguments.judging.margin();
    let plan = arguments.judging.plan(&margin, ALPHA, MAX_TIME)?;
    let started = rfc3339(SystemTime::now());
    let tree = Tree::around(Path::new("."))?;
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => tree.root().join("target"),
    };
    // Every gate leaves a page: one that did not run can't be taken for one that found nothing.
    let report = target.join("gate/report");
    if let Err(error) = std::fs::remove_dir_all(&report)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failure::could_not_run(format!(
            "{}: an earlier report can't be removed: {error}",
            report.display()
        )));
    }
    let gate = Gate {
        tree: &tree,
        against: &arguments.against,
        target,
        link_orders: arguments.link_orders,
        arguments: vec!["worker".to_owned()],
        plan,
        timeout: arguments.judging.timeout,
        allow_different_output: arguments.allow_different_output,
        filters: arguments.case.clone(),
    };
    let gated = watched("gate", plan.max_time, |watch| {
        gate.run(&|stage| eprintln!("{stage} ..."), watch)
    })?;
    let found = Found {
        outcome: gated.paired.outcome,
        before: gated.paired.before,
        after: gated.paired.after,
        counters: None,
    };
    let (verdicts, samples) = document(found, &plan, &margin, started);
    let folder = arguments.judging.out.clone().unwrap_or(report);
    finish(&verdicts, &samples, Some(&folder), &gated.notes, output)
}
