//! `bitgauge gate`: status 1 on a real regression and on nothing else; 4 where it is unclear, which
//! `ci/gate.sh` lets pass.

use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::{ArgGroup, Args};

use super::baseline::locate;
use super::compare::{Found, document, finish, watched};
use super::judging::Judging;
use super::output::{Output, tell};
use super::progress::Progress;
use super::summaries;
use crate::baseline::{Baseline, BaselineError, held};
use crate::calibration::{Margin, Route};
use crate::exit::{Exit, Failure};
use crate::gate::{Gate, Tree, target_folder};
use crate::machine::Machine;
use crate::measure::Verdict;
use crate::run::{Measured, ready_folder, rfc3339};
use crate::verdicts::Side;

/// Arguments of `bitgauge gate`.
#[derive(Args)]
#[command(group(ArgGroup::new("reference").required(true).args(["against", "baseline"])))]
pub struct Arguments {
    /// Builds this revision and the work tree, and pairs them
    #[arg(long, value_name = "REV")]
    against: Option<String>,
    /// Holds ratios to yardsticks, and efficiencies, against this file, or that of this class of
    /// machine in baselines/; the margin is then 10% by default
    #[arg(long, value_name = "FILE")]
    baseline: Option<String>,
    /// The baseline may be of another class of machine: only what travels is gated
    #[arg(long, requires = "baseline", conflicts_with = "against")]
    foreign: bool,
    /// Only cases whose id holds this text, such as decode/ or /naive/; may be given more than once
    #[arg(long, value_name = "TEXT")]
    case: Vec<String>,
    /// Link orders of each side beside the linker's own, so that the luck of code layout is
    /// averaged out
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        conflicts_with = "baseline"
    )]
    link_orders: usize,
    /// Equal work may give different results, as after a change of the arithmetic
    #[arg(long, conflicts_with = "baseline")]
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
    match (&arguments.against, &arguments.baseline) {
        (Some(revision), _) => against(revision, arguments, output),
        (None, Some(file)) => with_baseline(file, arguments, output),
        (None, None) => Err(Failure::could_not_run(
            "one of --against REV and --baseline FILE is needed",
        )),
    }
}

fn against(revision: &str, arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let margin = arguments.judging.margin(Some(Route::Builds));
    let plan = arguments.judging.plan(&margin, ALPHA, MAX_TIME)?;
    let started = rfc3339(SystemTime::now());
    let tree = Tree::around(Path::new("."))?;
    let target = target_folder(&tree);
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
        against: revision,
        target,
        link_orders: arguments.link_orders,
        arguments: vec!["worker".to_owned()],
        judged_by: Some("--judged"),
        plan,
        timeout: arguments.judging.timeout,
        allow_different_output: arguments.allow_different_output,
        filters: arguments.case.clone(),
    };
    if let Some(folder) = &arguments.judging.out {
        ready_folder(folder)?;
    }
    let gated = watched("gate", plan.max_time, |watch| {
        gate.run(&|stage| tell(format!("{stage} ...")), watch)
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

fn with_baseline(file: &str, arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let margin = match arguments.judging.margin {
        Some(_) => arguments.judging.margin(None),
        None => Margin {
            fraction: held::MARGIN,
            from: "default of stored baselines".to_owned(),
            note: None,
        },
    };
    let plan = arguments.judging.plan(&margin, ALPHA, MAX_TIME)?;
    let started = rfc3339(SystemTime::now());
    let machine = Machine::detect();
    let class = machine.class();
    let path = locate(file);
    let baseline = match arguments.foreign {
        false => Baseline::read_of(&path, &class).map_err(|error| {
            let mut failure = BaselineError::failure(error);
            if Baseline::read(&path).is_ok() {
                failure
                    .message
                    .push_str("; or gate only what travels, with --foreign");
            }
            failure
        }),
        true => Baseline::read(&path).map_err(BaselineError::failure),
    }?;
    let gate = held::Gate {
        baseline: &baseline,
        machine: &machine,
        plan,
        foreign: baseline.machine != class,
        filters: arguments.case.clone(),
    };
    let folder = arguments.judging.out.as_deref();
    folder.map_or(Ok(()), ready_folder)?;
    let progress = Progress::new();
    let gated = watched("gate", plan.max_time, |watch| {
        gate.run(
            &|title, steps| progress.stage(title, steps),
            &|| progress.step(),
            watch,
        )
    });
    progress.finish();
    let held::Gated {
        outcome,
        not_gated,
        mut notes,
    } = gated?;
    let better = outcome
        .cases
        .iter()
        .filter(|c| c.verdict == Verdict::Improved);
    let better = better.count();
    if better > 0 {
        notes.push(format!(
            "{better} got better; to hold them to it: bitgauge baseline save{}",
            match path.ends_with(super::baseline::file_of(&class)) {
                true => String::new(),
                false => format!(" --out {}", path.display()),
            }
        ));
    }
    notes.extend(
        not_gated
            .iter()
            .map(|(case, why)| format!("not gated {case}: {why}")),
    );
    let revision = match summaries::revision() {
        Measured::Is(revision) => Some(revision),
        Measured::Unavailable(_) => None,
    };
    let found = Found {
        outcome,
        before: Side {
            name: format!("{} of {}", path.display(), baseline.date),
            revision: baseline.revision.clone(),
            isa: Some(baseline.isa.clone()),
        },
        after: Side {
            name: "this build".to_owned(),
            revision,
            isa: Some(machine.isa.level().to_owned()),
        },
        counters: None,
    };
    let (verdicts, samples) = document(found, &plan, &margin, started);
    finish(&verdicts, &samples, folder, &notes, output)
}
