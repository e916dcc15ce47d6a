//! `bitgauge history`: what changed over many runs, however slowly.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::judging::probability;
use super::output::{Output, tell};
use crate::baseline::Baseline;
use crate::exit::{Exit, Failure};
use crate::history::file::{self, Appended, Torn};
use crate::history::trend::{CaseTrend, Class};
use crate::history::{Line, Trends, page};
use crate::report::wording::{plural, significant};
use crate::run::{Measured, RunError, write_atomically};

/// Arguments of `bitgauge history`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// The history [default: baselines/history.jsonl]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Bound on the probability that any case without a change is marked
    #[arg(long, value_name = "PERCENT", value_parser = probability, default_value = "5%")]
    alpha: f64,
    /// Only cases whose id holds this text; may be given more than once
    #[arg(long, value_name = "TEXT")]
    case: Vec<String>,
    /// Write history.json and, for each class of machine, a page and its chart into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// Append stored baselines, each of which is a run
    Add {
        /// Files that `bitgauge baseline save` wrote
        #[arg(required = true, value_name = "BASELINE")]
        baselines: Vec<PathBuf>,
        /// The history [default: baselines/history.jsonl]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

/// The history where none is named.
const FILE: &str = "baselines/history.jsonl";

/// Shows a history, or appends to it.
///
/// # Errors
/// When a file can't be read or written.
pub fn run(arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let named = |path: &Option<PathBuf>| path.clone().unwrap_or_else(|| PathBuf::from(FILE));
    match &arguments.action {
        None => show(&named(&arguments.file), arguments, output),
        Some(Action::Add { baselines, to }) => add(&named(to), baselines, output),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    command: &'static str,
    file: String,
    runs: usize,
    repeated: &'a [usize],
    torn: Option<Torn>,
    #[serde(flatten)]
    trends: &'a Trends,
}

fn show(path: &Path, arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let mut lines = file::read(path)?;
    let runs = lines.runs.len();
    if let Some(torn) = lines.torn {
        tell(format!(
            "WARNING: {}: {}; it was left out",
            path.display(),
            told(&torn)
        ));
    }
    if let Some(first) = lines.repeated.first() {
        tell(format!(
            "WARNING: {}: {} other lines, the first is line {first}; each run counts once",
            path.display(),
            match lines.repeated.len() {
                1 => "1 line repeats".to_owned(),
                n => format!("{n} lines repeat"),
            }
        ));
    }
    if runs == 0 {
        return Err(Failure::could_not_run(format!(
            "{}: there is no run in it; `bitgauge baseline save --history FILE` appends one",
            path.display()
        )));
    }
    let wanted = |id: &str| crate::case_filter::chosen(id, &arguments.case);
    for line in &mut lines.runs {
        line.cases.retain(|case| wanted(&case.id));
    }
    lines.runs.retain(|line| !line.cases.is_empty());
    if lines.runs.is_empty() {
        return Err(Failure::could_not_run(format!(
            "--case {}: no run of {} has such a case",
            arguments.case.join(" --case "),
            path.display()
        )));
    }
    let trends = Trends::of(&lines.runs, arguments.alpha);
    let document = Document {
        schema: 1,
        command: "history",
        file: path.display().to_string(),
        runs,
        repeated: &lines.repeated,
        torn: lines.torn,
        trends: &trends,
    };
    if let Some(folder) = &arguments.out {
        write(folder, &document)?;
    }
    for class in &trends.classes {
        table(class, output)?;
    }
    output.line(format!(
        "ratio: time in units of the yardstick's work; + is slower. No case without a change is marked, with a probability of at least {:.4} (p: corrected for all cases), if runs do not lean on the runs before them",
        1.0 - trends.alpha
    ))?;
    if let Some(folder) = &arguments.out {
        output.line(format!("written to {}", folder.display()))?;
    }
    output.document(&document)?;
    Ok(Exit::Held)
}

fn table(class: &Class, output: Output) -> Result<(), Failure> {
    let of_class = format!("{}: {}", class.machine, plural(class.runs.len(), "run"));
    match class.runs.as_slice() {
        [] => return Ok(()),
        [only] => output.line(format!("{of_class}, {} ({})", only.date, only.revision))?,
        [first, .., last] => output.line(format!(
            "{of_class}, {} ({}) to {} ({})",
            first.date, first.revision, last.date, last.revision
        ))?,
    }
    let width = class.cases.iter().map(|c| c.case.len()).max().unwrap_or(4);
    output.line(format!(
        "{:<width$}  {:>4}  {:>10}    {:>10}  drift (95 % interval)",
        "case", "runs", "first", "last"
    ))?;
    for case in &class.cases {
        output.line(row(case, width))?;
        for change in &case.changes {
            output.line(format!(
                "{:<width$}  changed by {} at {} (after {}), {}, p = {:.1e}",
                "", change.size, change.revision, change.before, change.date, change.p
            ))?;
        }
    }
    output.line("")
}

fn row(case: &CaseTrend, width: usize) -> String {
    let figure = |x| significant(x, 4);
    let drift = match &case.drift {
        Measured::Is(drift) => drift.to_string(),
        Measured::Unavailable(why) => format!("unavailable: {why}"),
    };
    let (first, last) = (figure(case.first), figure(case.last));
    let runs = case.points.len();
    format!(
        "{:<width$}  {runs:>4}  {first:>10} -> {last:>10}  {drift}",
        case.case
    )
}

fn write(folder: &Path, document: &Document<'_>) -> Result<(), Failure> {
    let make = |folder: &Path| {
        std::fs::create_dir_all(folder).map_err(|e| RunError::io("create the folder", folder, e))
    };
    make(folder)?;
    let text = serde_json::to_string_pretty(document)? + "\n";
    write_atomically(&folder.join("history.json"), text.as_bytes())?;
    for class in &document.trends.classes {
        let folder = folder.join(&class.machine);
        make(&folder)?;
        for file in page::documents(class, document.trends.alpha)? {
            write_atomically(&folder.join(&file.path), &file.bytes)?;
        }
    }
    Ok(())
}

fn told(torn: &Torn) -> String {
    format!(
        "line {} has no end ({} bytes): whoever wrote it was killed, or the disk was full",
        torn.line, torn.bytes
    )
}

#[derive(Serialize)]
struct Added {
    command: &'static str,
    file: String,
    added: usize,
    already_there: usize,
}

fn add(path: &Path, baselines: &[PathBuf], output: Output) -> Result<Exit, Failure> {
    // All are read before the first is appended.
    let lines = baselines
        .iter()
        .map(|path| Baseline::read(path).map(|baseline| Line::from(&baseline)))
        .collect::<Result<Vec<Line>, _>>()?;
    let mut document = Added {
        command: "history add",
        file: path.display().to_string(),
        added: 0,
        already_there: 0,
    };
    let mut said = Vec::new();
    let mut refused = None;
    for line in &lines {
        match append(path, line) {
            Ok(Said { added, text }) => {
                match added {
                    true => document.added += 1,
                    false => document.already_there += 1,
                }
                said.push(text);
            }
            Err(failure) => {
                refused = Some(failure);
                break;
            }
        }
    }
    // All is written by now, whoever reads this.
    for text in said {
        output.line(text)?;
    }
    if let Some(failure) = refused {
        return Err(failure);
    }
    output.document(&document)?;
    Ok(Exit::Held)
}

/// What became of a run.
pub struct Said {
    /// False where it was there already.
    added: bool,
    /// The same in words.
    pub text: String,
}

/// Appends one run; warns of what was cut off.
///
/// # Errors
/// When it can't be appended.
pub fn append(path: &Path, line: &Line) -> Result<Said, Failure> {
    let Appended { added, cut } = file::append(path, line)?;
    if let Some(torn) = cut {
        tell(format!(
            "WARNING: {}: {}; it was cut off",
            path.display(),
            told(&torn)
        ));
    }
    let what = if added {
        "appended to"
    } else {
        "is already in"
    };
    let text = format!(
        "the run of {} at {} {what} {}",
        line.date,
        line.revision(),
        path.display()
    );
    Ok(Said { added, text })
}
