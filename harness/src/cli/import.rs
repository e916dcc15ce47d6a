//! `bitgauge import`: what other tools measured, shown, saved, gated and charted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;

use super::judging::{fraction, probability};
use super::output::Output;
use crate::exit::{Exit, Failure};
use crate::export;
use crate::import::against::{About, Rule, compare};
use crate::import::{self, Figure, ImportError, Imported, Tool, beside};
use crate::machine::Machine;
use crate::measure::Verdict;
use crate::report::wording::{one_line, plural, significant};
use crate::run::{RunError, rfc3339, write_atomically};
use crate::verdicts::Verdicts;

/// Arguments of `bitgauge import`.
#[derive(Args)]
pub struct Arguments {
    /// Results of one tool: files, or folders such as target/criterion
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The tool that wrote them [default: told from what is in them]
    #[arg(long, value_enum, value_name = "TOOL")]
    from: Option<Tool>,
    /// Hold them against a saved file, or against older results of the same tool
    #[arg(long, value_name = "STORED")]
    against: Option<PathBuf>,
    /// Speedups within this count as unchanged
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = fraction)]
    margin: f64,
    /// Bound on the probability that noise alone makes any verdict wrong
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = probability)]
    alpha: f64,
    /// Gate only the cases that both have
    #[arg(long, requires = "against")]
    common: bool,
    /// Write the figures to this file, for a later --against
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Chart them beside the times of a run folder of ours; needs --out
    #[arg(long, value_name = "DIR", requires = "out")]
    beside: Option<PathBuf>,
    /// Write the figures, or with --against the verdicts in every form, into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Imports.
///
/// # Errors
/// The results can't be read or have no figure (2); what is stored can't be read (5); a file can't
/// be written (2).
pub fn run(arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let imported = import::read(&arguments.paths, arguments.from)?;
    if imported.figures.is_empty() && arguments.against.is_none() {
        let why = imported.left_out.first().map_or("", |l| l.why.as_str());
        return Err(Failure::could_not_run(format!("no usable figure: {why}")));
    }
    // What is stored is read before anything is written: --save may name the same file.
    let stored = arguments
        .against
        .as_deref()
        .map(|path| stored(path, imported.tool))
        .transpose()?;
    if let Some(path) = &arguments.save {
        import::save(path, &imported)?;
    }
    let verdicts = stored.map(|stored| gate(arguments, &stored, &imported));
    let written = match &arguments.out {
        Some(dir) => write(arguments, dir, &imported, verdicts.as_ref())?,
        None => Vec::new(),
    };
    output.text(&table(&imported))?;
    if let Some(path) = &arguments.save {
        output.line(format!("Saved to {}.", path.display()))?;
    }
    for path in written {
        output.line(path.display().to_string())?;
    }
    let Some(verdicts) = verdicts else {
        output.document(&imported)?;
        return Ok(Exit::Held);
    };
    output.text(&lines(&verdicts))?;
    output.document(&verdicts)?;
    Ok(verdicts.exit())
}

/// The stored side: a file that `--save` wrote, else results of the same tool.
fn stored(path: &Path, tool: Tool) -> Result<Imported, Failure> {
    let read = || -> Result<Imported, ImportError> {
        match import::load(path)? {
            Some(imported) => Ok(imported),
            None => import::read(&[path.to_owned()], Some(tool)),
        }
    };
    let no_baseline = |message: String| Failure {
        exit: Exit::NoBaseline,
        message,
    };
    let stored = read().map_err(|e| no_baseline(format!("no usable stored results: {e}")))?;
    if stored.tool != tool {
        return Err(Failure::could_not_run(format!(
            "{}: results of {}, and the new ones are of {tool}; they don't measure the same",
            path.display(),
            stored.tool
        )));
    }
    if stored.figures.is_empty() {
        return Err(no_baseline(format!("{}: no figure in it", path.display())));
    }
    Ok(stored)
}

fn gate(arguments: &Arguments, stored: &Imported, imported: &Imported) -> Verdicts {
    let names = |paths: &[PathBuf]| {
        let names: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
        names.join(" ")
    };
    let against = arguments.against.as_deref().unwrap_or(Path::new(""));
    let rule = Rule {
        margin: arguments.margin,
        alpha: arguments.alpha,
        common_only: arguments.common,
    };
    let quoted = |path: &PathBuf| export::quoted(&path.display().to_string());
    let paths: Vec<_> = arguments.paths.iter().map(quoted).collect();
    let command = format!(
        "{} --against {} --margin {} --alpha {}{}",
        paths.join(" "),
        export::quoted(&against.display().to_string()),
        arguments.margin,
        arguments.alpha,
        if arguments.common { " --common" } else { "" },
    );
    let about = About {
        before: against.display().to_string(),
        after: names(&arguments.paths),
        command,
        machine: Machine::detect().class(),
        started: rfc3339(SystemTime::now()),
    };
    compare(stored, imported, &rule, about)
}

/// Writes the folder; returns what was written.
fn write(
    arguments: &Arguments,
    dir: &Path,
    imported: &Imported,
    verdicts: Option<&Verdicts>,
) -> Result<Vec<PathBuf>, Failure> {
    // Before anything is written: a folder without a chart that was asked for is half a result.
    let chart = match &arguments.beside {
        None => None,
        Some(run) => Some(beside::chart(beside::ours(run)?, imported).ok_or_else(|| {
            Failure::could_not_run(format!(
                "{}: neither it nor the imported results have a time to chart",
                run.display()
            ))
        })?),
    };
    let charts = dir.join("charts");
    let folder = if chart.is_some() { &charts } else { dir };
    fs::create_dir_all(folder).map_err(|e| RunError::io("create the folder", folder, e))?;
    let mut written = match verdicts {
        Some(verdicts) => export::folder(dir, verdicts)?,
        None => Vec::new(),
    };
    let figures = dir.join("imported.json");
    import::save(&figures, imported)?;
    written.push(figures);
    if let Some(chart) = chart {
        let [svg, png] = ["svg", "png"].map(|ending| charts.join(format!("beside.{ending}")));
        write_atomically(&svg, chart.svg()?.as_bytes())?;
        write_atomically(&png, &chart.png()?)?;
        written.extend([svg, png]);
    }
    Ok(written)
}

fn table(imported: &Imported) -> String {
    let name = |f: &Figure| one_line(&f.case);
    let width = |texts: &mut dyn Iterator<Item = String>| {
        texts.map(|t| t.chars().count()).max().unwrap_or(0).min(60)
    };
    let wide = width(&mut imported.figures.iter().map(name));
    let mut out = format!(
        "{}: {}\n",
        imported.tool,
        plural(imported.figures.len(), "case")
    );
    for f in &imported.figures {
        let sureness = match f.interval {
            Some(i) => format!(
                "[{}, {}] at {} %",
                significant(i.low, 4),
                significant(i.high, 4),
                significant(i.level * 100.0, 4)
            ),
            None => "no interval".into(),
        };
        out += &format!(
            "  {:wide$}  {:>10} {:12} {sureness}, {}\n",
            name(f),
            significant(f.value, 4),
            f.unit.name(),
            plural(f.samples.len(), "sample")
        );
    }
    for l in &imported.left_out {
        out += &format!(
            "  {:wide$}  LEFT OUT: {}\n",
            one_line(&l.case),
            one_line(&l.why)
        );
    }
    out
}

fn lines(v: &Verdicts) -> String {
    let mut out = String::from("\nAgainst what is stored:\n");
    for c in &v.not_checked {
        out += &format!(
            "  NOT CHECKED {}: {}\n",
            one_line(&c.case),
            one_line(&c.why)
        );
    }
    for verdict in [
        Verdict::Regressed,
        Verdict::Improved,
        Verdict::Unclear,
        Verdict::Unchanged,
    ] {
        for c in v.cases.iter().filter(|c| c.verdict == verdict) {
            out += &format!(
                "  {verdict:9} {}: {}\n",
                one_line(&c.case),
                export::figures(c)
            );
        }
    }
    out += &format!("{}.\n", export::headline(v));
    if let Some(caveat) = export::caveat(v) {
        out += &format!("Mind: {caveat}\n");
    }
    out
}
