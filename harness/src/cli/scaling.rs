//! `bitgauge scaling`: what more threads are worth.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Model, Source};
use bitgauge_engine::synthetic;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::judging::{fraction, seconds};
use super::output::Output;
use super::progress::Progress;
use super::room;
use crate::decoder::judge::Judge;
use crate::exit::{Exit, Failure};
use crate::machine::{self, Machine, Usable};
use crate::measure::fresh_seed;
use crate::model_source::{ModelSource, tenth};
use crate::report;
use crate::run::{self, ClaimedEfficiency, Measured, Scaled, ScalingPoint, write_atomically};
use crate::scaling::usl::Fit;
use crate::scaling::{self, Checked, Curve, Phase, Plan, Rival, Stored, baseline, thread_counts};
use crate::verify;

/// Arguments of `bitgauge scaling`.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint folder, a GGUF file, a packed file, or the name of a synthetic shape [default: a tenth of 2b4t]
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<String>,
    /// Kernel of every product [default: the best that this machine runs]
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// What to time on every number of threads
    #[arg(long, value_enum, default_value = "all")]
    phase: Which,
    /// `contended` measures the scheduler of the reports beside the engine's pool, `rayon` one that
    /// halves ranges by rayon's joins
    #[arg(long, value_enum, default_value = "pool")]
    scheduler: SchedulerName,
    /// A baseline file; efficiencies that fell below it are a regression
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// How far an efficiency may fall below the baseline, in parts of it
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = fraction)]
    margin: f64,
    /// Time for measuring, about; six rounds of each phase are run in any case [default: 30s, or 3s
    /// with --quick]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_time: Option<Duration>,
    /// A folder for scaling.json and the chart
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The short form: fewer rounds
    #[arg(long)]
    quick: bool,
    /// Seed of every random order [default: a fresh one, which is recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// One token
    Decode,
    /// A batch of 64 tokens
    Prefill,
    /// One matrix product
    Product,
    /// Each of them
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchedulerName {
    /// The engine's pool alone
    Pool,
    /// One task a row from one locked queue, beside the pool
    Contended,
    /// Ranges halved by rayon's joins, beside the pool
    Rayon,
}

/// Time for measuring where none is given: the long form and the short.
const BUDGET: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(3)];

/// What others may take of the processors before the figures are called in doubt.
const QUIET: f64 = 0.05;

/// The document of `--json`, and of `scaling.json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    command: &'static str,
    /// Machine class, the key of baselines.
    machine: String,
    started: String,
    seed: u64,
    model: ModelDocument,
    kernel: &'static str,
    usable: Usable,
    thread_counts: Vec<usize>,
    points: Vec<Row>,
    /// The law of each phase.
    laws: Vec<LawRow>,
    /// Shares of the processors' time while this ran, 0 to 1.
    load: Load,
    notes: Vec<String>,
    /// What a baseline keeps.
    scaling: Stored,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<BaselineDocument>,
    exit: u8,
}

#[derive(Serialize)]
struct ModelDocument {
    name: String,
    layers_run: usize,
    layers_in_shape: usize,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    point: ScalingPoint,
    /// Value, low, high, as fractions.
    efficiency: Option<(f64, f64, f64)>,
    claim: Option<ClaimedEfficiency>,
}

#[derive(Serialize)]
struct LawRow {
    phase: Phase,
    law: Measured<Fit>,
}

#[derive(Serialize)]
struct Load {
    other_processes: Measured<f64>,
    steal: Measured<f64>,
}

#[derive(Serialize)]
struct BaselineDocument {
    file: String,
    margin: f64,
    #[serde(flatten)]
    checked: Checked,
}

/// Measures, shows, and holds against the baseline.
///
/// # Errors
/// When the baseline, the model, the kernel or the folder can't be used, or an answer is wrong.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    let machine = Machine::detect();
    let class = machine.class();
    // Whatever can be refused is refused before anything is timed.
    let stored = arguments
        .baseline
        .as_deref()
        .map(|path| baseline::read(path, &class))
        .transpose()?;
    let kernel = match &arguments.kernel {
        Some(name) => Kernel::by_name(name)?,
        None => Kernel::best(),
    };
    if let Some(dir) = &arguments.out {
        run::ready_folder(dir)?;
    }
    let started = run::rfc3339(SystemTime::now());
    let whole = ModelSource::open(arguments.model.as_deref().unwrap_or("2b4t"))?;
    let shape = whole.source().config();
    let cut = match arguments.model {
        None => Some(synthetic::model(tenth(shape), 1)),
        Some(_) => None,
    };
    let source: &dyn Source = cut.as_ref().map_or(whole.source(), |cut| cut);
    let model_name = match &cut {
        Some(_) => format!("{}-tenth", whole.name()),
        None => whole.name(),
    };
    room::for_one(source.config())?;

    let progress = Progress::new();
    progress.stage(&format!("scaling: packing {model_name}"), 0);
    let model = Model::load(source, &kernel)?;
    let judge = Judge::open(&verify::default_fixtures()?.join("trained"))?;
    let seed = arguments.seed.unwrap_or_else(|| fresh_seed() >> 11);
    let phases = match arguments.phase {
        Which::Decode => vec![Phase::Decode],
        Which::Prefill => vec![Phase::Prefill],
        Which::Product => vec![Phase::Product],
        Which::All => Phase::ALL.to_vec(),
    };
    let [long, short] = BUDGET;
    let budget = match (arguments.max_time, arguments.quick) {
        (Some(given), _) => given,
        (None, quick) => {
            if quick {
                short
            } else {
                long
            }
        }
    };
    let plan = Plan {
        model: &model,
        source,
        judge: &judge,
        phases: &phases,
        threads,
        rival: match arguments.scheduler {
            SchedulerName::Pool => None,
            SchedulerName::Contended => Some(Rival::Contended),
            SchedulerName::Rayon => Some(Rival::Rayon),
        },
        budget,
        seed,
    };
    let before = machine::load();
    let curves = scaling::run(&plan, &|t, n| progress.stage(t, n), &|| progress.step())?;
    let load = Load::since(before);
    progress.finish();

    let scaling = scaling::to_store(&curves, kernel, &model_name);
    let baseline = stored.map(|stored| BaselineDocument {
        file: arguments
            .baseline
            .as_ref()
            .map_or_else(String::new, |p| p.display().to_string()),
        margin: arguments.margin,
        checked: scaling::check(&scaling, &stored, arguments.margin),
    });
    let exit = baseline.as_ref().map_or(Exit::Held, |b| b.checked.exit());
    let row = |point: &ScalingPoint| Row {
        efficiency: point.efficiency(),
        claim: point.claim(),
        point: point.clone(),
    };
    let document = Document {
        schema: 1,
        command: "scaling",
        machine: class,
        started,
        seed,
        model: ModelDocument {
            name: model_name,
            layers_run: source.config().num_hidden_layers,
            layers_in_shape: shape.num_hidden_layers,
        },
        kernel: kernel.spec().name(),
        usable: machine.usable,
        thread_counts: thread_counts(threads),
        points: curves.iter().flat_map(|c| &c.points).map(row).collect(),
        laws: curves.iter().map(LawRow::of).collect(),
        notes: notes(&machine.usable, threads, &load),
        load,
        scaling,
        baseline,
        exit: exit as u8,
    };
    let keep = |dir: &PathBuf| write(dir, &document, &curves);
    // What was measured is said although it can't be kept, and kept although nobody reads it.
    let kept = arguments.out.as_ref().map_or(Ok(()), keep);
    show(&document, output)?;
    if let (Some(dir), Ok(())) = (&arguments.out, &kept) {
        output.line(format!("\nWritten to {}", dir.display()))?;
    }
    output.document(&document)?;
    kept?;
    Ok(exit)
}

impl LawRow {
    fn of(curve: &Curve) -> Self {
        Self {
            phase: curve.phase,
            law: curve.law.clone(),
        }
    }
}

impl Load {
    fn since(before: Option<machine::LoadSample>) -> Self {
        let both = before.zip(machine::load());
        let share = |of: fn(&machine::LoadSample, &machine::LoadSample) -> Option<f64>| {
            let share = both.and_then(|(before, after)| of(&after, &before));
            let unknown = || Measured::unavailable("this system does not count processor time");
            share.map_or_else(unknown, Measured::Is)
        };
        Self {
            other_processes: share(machine::LoadSample::others_since),
            steal: share(machine::LoadSample::steal_since),
        }
    }
}

/// What a reader must know before he believes the figures.
fn notes(usable: &Usable, threads: usize, load: &Load) -> Vec<String> {
    let mut notes = Vec::new();
    if threads == 1 {
        let why = match usable.threads {
            1 => {
                let known = |what: &str, n: Option<String>| n.map(|n| format!("{what} {n}"));
                let limits = [
                    known("affinity mask:", usable.affinity.map(|n| n.to_string())),
                    known("cgroup quota:", usable.quota.map(|q| format!("{q:.2}"))),
                ];
                let limits: Vec<String> = limits.into_iter().flatten().collect();
                format!("this process may use 1 CPU ({})", limits.join(", "))
            }
            n => format!("1 thread was asked for, of {n} that this process may use"),
        };
        notes.push(format!(
            "{why}: 1 thread only was measured, and no scaling can be seen"
        ));
    }
    for (share, who) in [
        (&load.other_processes, "other processes took"),
        (&load.steal, "the host took away"),
    ] {
        match share {
            Measured::Is(share) if *share > QUIET => notes.push(format!(
                "{who} {:.0} % of these processors' time while this ran: more threads look worse than they are, and a missed claim or a regression may be that",
                100.0 * share
            )),
            Measured::Is(_) => {}
            Measured::Unavailable(why) => {
                notes.push(format!("whether {who} processor time is unknown: {why}"));
            }
        }
    }
    notes
}

/// The table, the laws, the baseline and the notes.
fn show(document: &Document, output: Output) -> Result<(), Failure> {
    let model = &document.model;
    output.line(format!(
        "{}, {} of {} layers, kernel {}; speedup over one thread of the pool, efficiency = speedup / threads, 95 % intervals\n",
        model.name, model.layers_run, model.layers_in_shape, document.kernel
    ))?;
    output.line(format!(
        "{:8} {:10} {:>7}  {:22} {:22} {:16} claimed",
        "phase", "scheduler", "threads", "speedup", "efficiency, %", "busy a core, %"
    ))?;
    for row in &document.points {
        output.line(line(row))?;
    }
    output.line("")?;
    for row in &document.laws {
        output.line(match &row.law {
            Measured::Is(fit) => format!("{}: {}", row.phase.name(), fit.words()),
            Measured::Unavailable(why) => format!("{}: no law: {why}", row.phase.name()),
        })?;
    }
    if document.laws.iter().any(|l| l.law.get().is_some()) {
        output.line("Projected figures follow that law beyond what was measured. Their interval holds the noise of the points, not whether the law goes on to hold; nothing is gated by them.")?;
    }
    if let Some(baseline) = &document.baseline {
        show_baseline(baseline, output)?;
    }
    for note in &document.notes {
        output.line(format!("NOTE: {note}"))?;
    }
    Ok(())
}

/// One row of the table.
fn line(row: &Row) -> String {
    let point = &row.point;
    let interval = |(value, low, high): (f64, f64, f64), digits: usize| match low == high {
        true => format!("{value:.digits$}"),
        false => format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]"),
    };
    let percent = |(value, low, high): (f64, f64, f64)| (100.0 * value, 100.0 * low, 100.0 * high);
    let speedup = point.speedup.interval().map(|s| interval(s, 2));
    let efficiency = row.efficiency.map(|e| interval(percent(e), 1));
    let busy = match &point.speedup {
        Scaled::Measured { utilisation, .. } => match utilisation {
            Measured::Is(busy) => {
                let busy: Vec<String> = busy.iter().map(|b| format!("{b:.0}")).collect();
                busy.join(" ")
            }
            Measured::Unavailable(_) => "unavailable".into(),
        },
        Scaled::Projected { .. } => "projected".into(),
        Scaled::Unavailable { .. } => String::new(),
    };
    let claim = match (point.claimed_efficiency, &row.claim) {
        (Some(claimed), Some(claim)) => {
            let verdict = match claim {
                ClaimedEfficiency::Held => "held".into(),
                ClaimedEfficiency::Missed => "missed".into(),
                ClaimedEfficiency::Undecided => "undecided".into(),
                ClaimedEfficiency::NotMeasured(why) => format!("not measurable here: {why}"),
            };
            format!("{:.0}: {verdict}", 100.0 * claimed)
        }
        _ => String::new(),
    };
    let known = |text: Option<String>| text.unwrap_or_else(|| "unavailable".into());
    format!(
        "{:8} {:10} {:>7}  {:22} {:22} {busy:16} {claim}",
        point.phase,
        point.scheduler,
        point.threads,
        known(speedup),
        known(efficiency)
    )
    .trim_end()
    .to_owned()
}

fn show_baseline(baseline: &BaselineDocument, output: Output) -> Result<(), Failure> {
    let checked = &baseline.checked;
    output.line(format!(
        "\nAgainst {}, margin {} %:",
        baseline.file,
        100.0 * baseline.margin
    ))?;
    for held in &checked.points {
        let m = &held.measured;
        let percent = |x: f64| format!("{:.1}", 100.0 * x);
        output.line(format!(
            "{:10} {} {}, {} threads: {} % [{}, {}], stored {}, at least {}",
            held.verdict,
            m.phase,
            m.scheduler,
            m.threads,
            percent(m.efficiency),
            percent(m.low),
            percent(m.high),
            percent(held.stored),
            percent(held.least)
        ))?;
    }
    for missed in &checked.not_checked {
        output.line(format!("not checked {}: {}", missed.point, missed.why))?;
    }
    for point in &checked.not_stored {
        output.line(format!("not in the baseline: {point}"))?;
    }
    if checked.points.is_empty() {
        output.line("Nothing was compared: the baseline and this run have no point in common.")?;
    }
    Ok(())
}

/// The document and the chart.
fn write(dir: &Path, document: &Document, curves: &[Curve]) -> Result<(), Failure> {
    let points: Vec<ScalingPoint> = curves.iter().flat_map(|c| c.points.clone()).collect();
    let text = serde_json::to_string_pretty(document)? + "\n";
    write_atomically(&dir.join("scaling.json"), text.as_bytes())?;
    for file in report::scaling_chart(&points)? {
        write_atomically(&dir.join(&file.path), &file.bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_told_when_it_is_high_or_unknown() {
        let usable = |threads| Usable {
            affinity: Some(threads),
            quota: None,
            threads,
        };
        let load = |others, steal| Load {
            other_processes: others,
            steal,
        };
        let quiet = || Measured::Is(0.01);
        assert_eq!(
            notes(&usable(2), 2, &load(quiet(), quiet())),
            Vec::<String>::new()
        );
        let busy = notes(&usable(2), 2, &load(Measured::Is(0.4), Measured::Is(0.1)));
        assert!(busy[0].contains("other processes took 40 %"), "{busy:?}");
        assert!(busy[1].contains("the host took away 10 %"), "{busy:?}");
        let unknown = notes(&usable(2), 2, &load(Measured::unavailable("x"), quiet()));
        assert!(unknown[0].contains("unknown"), "{unknown:?}");
        let alone = notes(&usable(1), 1, &load(quiet(), quiet()));
        assert!(alone[0].contains("affinity mask: 1"), "{alone:?}");
        let asked = notes(&usable(8), 1, &load(quiet(), quiet()));
        assert!(asked[0].contains("of 8"), "{asked:?}");
    }
}
