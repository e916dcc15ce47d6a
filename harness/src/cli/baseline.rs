//! `bitgauge baseline`: saves what this machine does, shows it, and checks that it can be used.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bitgauge_engine::kernels::Kernel;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::Output;
use super::progress::Progress;
use super::summaries;
use crate::baseline::file::{Settings, StoredYardstick, may_write};
use crate::baseline::measure::{Effort, Plan};
use crate::baseline::{self, Baseline, Efficiencies, file::Ratio};
use crate::case_filter::{chosen, idle};
use crate::exit::{Exit, Failure};
use crate::history::Line;
use crate::machine::Machine;
use crate::measure::fresh_seed;
use crate::report::wording::significant;
use crate::run::Measured;
use crate::scaling::Stored;
use crate::suite::{CaseId, default_suite};

/// Arguments of `bitgauge baseline`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Measure the suite beside its yardsticks, and store the ratios
    Save(Save),
    /// Show what a baseline holds
    Show {
        /// A file, or a class of machine whose file is in baselines/
        file: String,
    },
    /// Check that a baseline can be read, is of this class of machine and holds today's suite
    Check {
        /// A file, or a class of machine whose file is in baselines/
        file: String,
    },
}

#[derive(Args)]
struct Save {
    /// Where to [default: baselines/ and the class of this machine]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The short form: fewer slices
    #[arg(long)]
    quick: bool,
    /// Only cases whose id holds this text; may be given more than once. Efficiencies over
    /// threads are scaling/decode and scaling/product. An id of no case of the suite, such as
    /// decode/o/naive/1t, is added
    #[arg(long, value_name = "TEXT")]
    case: Vec<String>,
    /// Seed of every random order and place [default: a fresh one, which is recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Append the ratios to this file of runs too, for `bitgauge history`
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

/// The folder of baselines.
const FOLDER: &str = "baselines";

/// Saves, shows or checks.
///
/// # Errors
/// When the baseline can't be read, measured or written.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    match &arguments.action {
        Action::Save(save) => save.run(threads, output),
        Action::Show { file } => show(&locate(file), output),
        Action::Check { file } => check(&locate(file), threads, output),
    }
}

/// The file of a name: a path, or a class of machine.
pub fn locate(name: &str) -> PathBuf {
    let path = PathBuf::from(name);
    // A link that can't be followed is there all the same.
    let is_there = path.symlink_metadata().is_ok();
    match path.components().count() == 1 && !name.ends_with(".json") && !is_there {
        true => file_of(name),
        false => path,
    }
}

/// The file of a class of machine, where none is named.
pub fn file_of(class: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{class}.json"))
}

#[derive(Serialize)]
struct Saved<'a> {
    command: &'static str,
    file: String,
    machine: &'a str,
    cases: usize,
    efficiencies: usize,
    seconds: f64,
    notes: &'a [String],
}

impl Save {
    fn run(&self, threads: usize, output: Output) -> Result<Exit, Failure> {
        let begin = Instant::now();
        let machine = Machine::detect();
        let class = machine.class();
        let path = self.out.clone().unwrap_or_else(|| file_of(&class));
        let ids = self.cases(threads)?;
        let phases = match threads {
            // One thread is what efficiencies are measured against.
            1 => Vec::new(),
            _ => Efficiencies::phases(&self.case),
        };
        let names: Vec<String> = ids
            .iter()
            .map(CaseId::to_string)
            .chain(phases.iter().map(|p| Efficiencies::name(p.name())))
            .collect();
        if let Some(text) = idle(&self.case, &names) {
            return Err(Failure::could_not_run(format!(
                "--case {text}: no case of the suite has such an id"
            )));
        }
        may_write(&path, &class)?;
        let nothing = |path: &Path| {
            path.metadata()
                .is_err_and(|e| e.kind() == ErrorKind::NotFound)
        };
        if let Some(history) = self.history.as_ref().filter(|path| !nothing(path)) {
            crate::history::file::read(history)?;
        }
        let seed = self.seed.unwrap_or_else(|| fresh_seed() >> 11);
        let revision = match summaries::revision() {
            Measured::Is(revision) => Some(revision),
            Measured::Unavailable(_) => None,
        };
        let plan = Plan {
            ids: &ids,
            effort: match self.quick {
                true => Effort::QUICK,
                false => Effort::FULL,
            },
            settings: Settings {
                quick: self.quick,
                filters: self.case.clone(),
                threads,
                seed,
            },
            revision,
        };
        let progress = Progress::new();
        let stage = |title: &str, steps: usize| progress.stage(title, steps);
        let step = || progress.step();
        let (mut baseline, mut notes) = baseline::measure::run(&plan, machine, &stage, &step)?;
        if !phases.is_empty() {
            let efficiencies = Efficiencies {
                kernel: Kernel::best(),
                phases,
                threads,
                budget: match self.quick {
                    true => Duration::from_secs(3),
                    false => baseline::BUDGET,
                },
                seed,
            };
            let stored = efficiencies.measure(&stage, &step)?;
            baseline.scaling = Some(stored).filter(|stored| !stored.points.is_empty());
        } else if threads == 1 {
            notes.push("one thread: no efficiencies were stored".to_owned());
        }
        let written = baseline.write(&path);
        progress.finish();
        if let Err(failure) = written {
            // Minutes of measuring, which a file elsewhere may hold.
            output.line(baseline::to_json(&baseline)?)?;
            output.document(&baseline)?;
            return Err(Failure::could_not_run(format!(
                "{failure}; what would have been written was said instead"
            )));
        }
        let line = Line::from(&baseline);
        let history = self.history.as_deref();
        let appended = history
            .map(|path| super::history::append(path, &line))
            .transpose()?;
        let saved = Saved {
            command: "baseline save",
            file: path.display().to_string(),
            machine: &class,
            cases: baseline.cases.len(),
            efficiencies: baseline.scaling.as_ref().map_or(0, |s| s.points.len()),
            seconds: begin.elapsed().as_secs_f64(),
            notes: &notes,
        };
        for note in &notes {
            output.line(format!("note: {note}"))?;
        }
        output.line(format!(
            "{}: {} cases and {} efficiencies of {class}, in {:.0} s",
            saved.file, saved.cases, saved.efficiencies, saved.seconds
        ))?;
        if let Some(appended) = appended {
            output.line(appended.text)?;
        }
        output.document(&saved)?;
        Ok(Exit::Held)
    }

    /// The cases of the suite that the filters keep, and those that they name in full.
    fn cases(&self, threads: usize) -> Result<Vec<CaseId>, Failure> {
        let mut ids = default_suite(threads);
        ids.retain(|id| chosen(&id.to_string(), &self.case));
        for text in &self.case {
            if let Ok(id) = text.parse::<CaseId>()
                && !ids.contains(&id)
            {
                super::allowed_threads(&id, id.threads())?;
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    command: &'static str,
    file: String,
    machine: &'a str,
    date: &'a str,
    version: &'a str,
    revision: Option<&'a str>,
    isa: &'a str,
    settings: &'a Settings,
    cases: Vec<ShownCase<'a>>,
    scaling: Option<&'a Stored>,
}

#[derive(Serialize)]
struct ShownCase<'a> {
    id: &'a str,
    kernel: Option<&'a str>,
    yardstick: &'a StoredYardstick,
    ratio: Ratio,
    placements: usize,
    ns: f64,
    digest: &'a str,
}

fn show(path: &Path, output: Output) -> Result<Exit, Failure> {
    let baseline = Baseline::read(path).map_err(baseline::BaselineError::failure)?;
    output.line(format!(
        "{}: machine class {}, {}, revision {}, bitgauge {}",
        path.display(),
        baseline.machine,
        baseline.date,
        baseline.revision.as_deref().unwrap_or("unknown"),
        baseline.version,
    ))?;
    let widest = |of: fn(&baseline::file::StoredCase) -> usize| {
        baseline.cases.iter().map(of).max().unwrap_or(0).max(9)
    };
    let (ids, names) = (widest(|c| c.id.len()), widest(|c| c.yardstick.name.len()));
    output.line(format!(
        "{:<ids$}  {:<names$}  {:>10}  {:<21}  {:<14}  {:>12}",
        "case", "yardstick", "ratio", "95 % interval", "unit", "for info"
    ))?;
    for case in &baseline.cases {
        output.line(format!(
            "{:<ids$}  {:<names$}  {:>10}  {:<21}  {:<14}  {:>12}",
            case.id,
            case.yardstick.name,
            figure(case.ratio.median),
            format!("{} to {}", figure(case.ratio.low), figure(case.ratio.high)),
            case.yardstick.unit,
            time(case.ns),
        ))?;
    }
    for point in baseline.scaling.iter().flat_map(|s| &s.points) {
        let percent = |x: f64| format!("{:.1}", 100.0 * x);
        output.line(format!(
            "efficiency of {} on {} threads, {}, {}: {} % [{}, {}]",
            point.phase,
            point.threads,
            point.model,
            point.kernel,
            percent(point.efficiency),
            percent(point.low),
            percent(point.high)
        ))?;
    }
    output
        .line("ratio: an iteration takes as long as the yardstick takes for so much of its work")?;
    output.document(&Shown {
        command: "baseline show",
        file: path.display().to_string(),
        machine: &baseline.machine,
        date: &baseline.date,
        version: &baseline.version,
        revision: baseline.revision.as_deref(),
        isa: &baseline.isa,
        settings: &baseline.settings,
        cases: baseline
            .cases
            .iter()
            .map(|case| ShownCase {
                id: &case.id,
                kernel: case.kernel.as_deref(),
                yardstick: &case.yardstick,
                ratio: case.ratio,
                placements: case.placements.len(),
                ns: case.ns,
                digest: &case.digest,
            })
            .collect(),
        scaling: baseline.scaling.as_ref(),
    })?;
    Ok(Exit::Held)
}

/// Four digits that count.
fn figure(x: f64) -> String {
    significant(x, 4)
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{} ns", figure(ns)),
        ns if ns < 1e6 => format!("{} us", figure(ns / 1e3)),
        ns if ns < 1e9 => format!("{} ms", figure(ns / 1e6)),
        ns => format!("{} s", figure(ns / 1e9)),
    }
}

#[derive(Serialize)]
struct Checked {
    command: &'static str,
    file: String,
    machine: String,
    /// Cases of today's suite that the baseline lacks.
    missing: Vec<String>,
    /// Cases that it holds and that this revision can't run.
    unknown: Vec<String>,
    /// Phases without an efficiency.
    without_efficiency: Vec<String>,
    exit: u8,
}

fn check(path: &Path, threads: usize, output: Output) -> Result<Exit, Failure> {
    let machine = Machine::detect();
    let class = machine.class();
    let baseline = Baseline::read_of(path, &class).map_err(baseline::BaselineError::failure)?;
    let holds = |id: &String| baseline.cases.iter().any(|case| case.id == *id);
    let mut missing: Vec<String> = default_suite(threads)
        .iter()
        .map(CaseId::to_string)
        .collect();
    missing.retain(|id| !holds(id));
    let can_run = |id: &str| {
        let id: Result<CaseId, _> = id.parse();
        id.is_ok_and(|id| id.kernel().is_none_or(|kernel| kernel.resolve().is_ok()))
    };
    let unknown: Vec<String> = baseline
        .cases
        .iter()
        .map(|case| case.id.clone())
        .filter(|id| !can_run(id))
        .collect();
    let stored = |phase: &str| {
        let mut points = baseline.scaling.iter().flat_map(|s| &s.points);
        points.any(|point| point.phase == phase)
    };
    let without_efficiency: Vec<String> = Efficiencies::phases(&[])
        .iter()
        .map(|phase| phase.name().to_owned())
        .filter(|phase| threads > 1 && !stored(phase))
        .collect();
    let usable = missing.is_empty() && unknown.is_empty() && without_efficiency.is_empty();
    let exit = match usable {
        true => Exit::Held,
        false => Exit::NoBaseline,
    };
    let checked = Checked {
        command: "baseline check",
        file: path.display().to_string(),
        machine: class,
        missing,
        unknown,
        without_efficiency,
        exit: exit as u8,
    };
    for (what, ids) in [
        ("missing", &checked.missing),
        ("this revision can't run", &checked.unknown),
        ("no efficiency of", &checked.without_efficiency),
    ] {
        for id in ids {
            output.line(format!("{what}: {id}"))?;
        }
    }
    output.line(match usable {
        true => format!(
            "{}: {} cases of {}; all of today's suite",
            checked.file,
            baseline.cases.len(),
            checked.machine
        ),
        false => format!(
            "{}: not all of today's suite; save it anew with `bitgauge baseline save`",
            checked.file
        ),
    })?;
    output.document(&checked)?;
    Ok(exit)
}
