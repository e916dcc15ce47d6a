//! `bitgauge run`: measure, check, and write the before/after page.

mod cache;
mod correctness;
mod counters;
mod generation;
mod ladder;
mod latency;
mod limits;
mod measuring;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use bitgauge_engine::kernels::{Kernel, TABLE};
use clap::{Args, ValueEnum};
use xxhash_rust::xxh3::xxh3_64;

use super::output::Output;
use super::progress::Progress;
use super::room;
use crate::exit::{Exit, Failure};
use crate::ladder::definition::Definition;
use crate::machine::Machine;
use crate::measure::fresh_seed;
use crate::model_source::ModelSource;
use crate::run::{
    self, CheckStatus, KernelRow, Measured, Run, Section, Settings, Store, Tool, Totals,
};
use crate::{report, verify};
use measuring::Measuring;

/// What a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Everything
    All,
    /// Every kernel and the decoder against the oracle and golden files, and the defects
    Correctness,
    /// Read bandwidth, products and scaling over threads
    Scaling,
    /// How long single tokens take, the slow ones too
    Latency,
    /// Whole generations, with the KV cache and without
    Generation,
    /// Prefetch distances, and the staircase of caches and memory
    Cache,
    /// What the processor does for a token: counted, or simulated
    Counters,
    /// The fixes, one at a time
    Ladder,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Suite::All => "all",
            Suite::Correctness => "correctness",
            Suite::Scaling => "scaling",
            Suite::Latency => "latency",
            Suite::Generation => "generation",
            Suite::Cache => "cache",
            Suite::Counters => "counters",
            Suite::Ladder => "ladder",
        }
    }

    fn has(self, part: Suite) -> bool {
        self == Suite::All || self == part
    }
}

/// What `run` and `ladder` have in common.
#[derive(Args)]
pub struct Common {
    /// The short form: fewer layers, fewer blocks
    #[arg(long)]
    quick: bool,
    /// A checkpoint folder, a GGUF file, a packed file, or the name of a synthetic shape
    #[arg(long, value_name = "DIR|NAME", default_value = "2b4t")]
    model: String,
    /// The run folder; one that holds a part of the same run goes on [default: runs/TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of every random order [default: a fresh one, which is recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Arguments of `bitgauge run`.
#[derive(Args)]
pub struct Arguments {
    /// What to measure
    #[arg(long, value_enum, default_value = "all")]
    suite: Suite,
    #[command(flatten)]
    common: Common,
    /// Leave out what `tune` found
    #[arg(long)]
    no_tune: bool,
}

/// Runs a suite.
///
/// # Errors
/// As [`measure`].
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    let Arguments {
        suite,
        common,
        no_tune,
    } = arguments;
    measure(*suite, None, common, *no_tune, threads, output)
}

/// Measures the sections of one suite that the run lacks, and records them.
type Measure = fn(&mut Measuring<'_>) -> Result<(), Failure>;

/// Every suite but [`Suite::All`], in the order in which a run takes them.
const SUITES: &[(Suite, Measure)] = &[
    (Suite::Correctness, correctness::measure),
    (Suite::Scaling, limits::measure),
    (Suite::Latency, latency::measure),
    (Suite::Generation, generation::measure),
    (Suite::Cache, cache::measure),
    (Suite::Counters, counters::measure),
    (Suite::Ladder, ladder::measure),
];

/// Measures a suite, section by section, each recorded as soon as it is there.
///
/// # Errors
/// When the model, the ladder, a kernel or the folder can't be used; what was recorded stays.
pub fn measure(
    suite: Suite,
    ladder_file: Option<&Path>,
    common: &Common,
    no_tune: bool,
    threads: usize,
    output: Output,
) -> Result<Exit, Failure> {
    let begin = Instant::now();
    let definition = match ladder_file {
        Some(path) => Definition::read(path)?,
        None => Definition::three_fixes()?,
    };
    let source = ModelSource::open(&common.model)?;
    let machine = Machine::detect();
    room::for_run(source.source().config(), &machine, common.quick)?;
    let started = run::rfc3339(SystemTime::now());
    let dir = common.out.clone().unwrap_or_else(|| {
        Path::new("runs").join(
            started
                .replace([':', '-'], "")
                .replace('T', "-")
                .replace('Z', ""),
        )
    });
    let mut options = BTreeMap::new();
    if let Some(path) = ladder_file {
        options.insert("ladder".to_owned(), told_apart(path, &definition));
    }
    if no_tune {
        options.insert("no-tune".to_owned(), "true".to_owned());
    }
    let mut store = open(&dir, suite, common, options, threads, &started)?;
    store.record(Section::Machine(Measured::Is(super::summaries::machine(
        &machine,
    ))))?;
    store.record(Section::Kernels(Measured::Is(kernels())))?;
    let progress = Progress::new();
    let mut measuring = Measuring {
        suite,
        seed: store.run().settings.seed,
        store,
        source: &source,
        machine: &machine,
        definition: &definition,
        trained: verify::default_fixtures()?.join("trained"),
        threads,
        quick: common.quick,
        no_tune,
        progress: &progress,
        whole: None,
        tenth: None,
    };
    for &(part, section) in SUITES {
        if suite.has(part) {
            section(&mut measuring)?;
        }
    }
    let mut store = measuring.store;

    let before = store.run().totals.get().map_or(0.0, |t| t.seconds);
    let seconds = before + begin.elapsed().as_secs_f64();
    store.record(Section::Totals(Measured::Is(Totals {
        seconds,
        skipped: Vec::new(),
    })))?;
    progress.stage("rendering", 0);
    let written = report::render(&dir)?;
    progress.finish();

    let text = std::fs::read_to_string(dir.join("report.md"))?;
    output.line(text)?;
    output.line(format!(
        "{} files in {}; open {}",
        written.len(),
        dir.display(),
        dir.join("index.html").display()
    ))?;
    output.document(store.run())?;
    let failed = store
        .run()
        .checks
        .get()
        .map_or(0, |c| c.count(CheckStatus::Fail));
    Ok(if failed == 0 {
        Exit::Held
    } else {
        Exit::WrongAnswers
    })
}

/// A ladder as the settings name it: by its file, and by what that says, comments apart. A run does not
/// go on with a ladder that was edited.
fn told_apart(file: &Path, definition: &Definition) -> String {
    let digest = xxh3_64(format!("{definition:?}").as_bytes());
    format!("{} ({digest:016x})", file.display())
}

/// The run folder, new or to be gone on with.
fn open(
    dir: &Path,
    suite: Suite,
    common: &Common,
    options: BTreeMap<String, String>,
    threads: usize,
    started: &str,
) -> Result<Store, Failure> {
    let resumed_seed = run::read(dir).ok().map(|r| r.settings.seed);
    let seed = common
        .seed
        .or(resumed_seed)
        .unwrap_or_else(|| fresh_seed() >> 11);
    let settings = Settings {
        suite: suite.name().into(),
        quick: common.quick,
        threads,
        seed,
        model: common.model.clone(),
        options,
    };
    let tool = Tool {
        version: env!("CARGO_PKG_VERSION").into(),
        revision: super::summaries::revision(),
    };
    let name = dir
        .file_name()
        .map_or("run".into(), |n| n.to_string_lossy().into_owned());
    let command = std::env::args().skip(1);
    let command = ["bitgauge".to_owned()].into_iter().chain(command).collect();
    Ok(Store::open_or_create(
        dir,
        Run::new(name, tool, started, command, settings),
    )?)
}

fn kernels() -> Vec<KernelRow> {
    let row = |spec: &'static bitgauge_engine::kernels::Spec| KernelRow {
        name: spec.name().into(),
        idea: spec.idea().into(),
        isa: spec.isa().name().into(),
        bits_per_weight: spec.bits_per_weight(),
        available: match Kernel::new(spec) {
            Ok(_) => Measured::Is(()),
            Err(error) => Measured::unavailable(error.to_string()),
        },
    };
    TABLE.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_that_was_edited_is_another_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let told = |text: &str| {
            std::fs::write(&file, text).unwrap();
            told_apart(file.path(), &Definition::read(file.path()).unwrap())
        };
        let text = include_str!("../../../ladders/tables-or-dots.toml");
        let first = told(text);
        assert!(first.starts_with(&file.path().display().to_string()));
        assert_eq!(told(&format!("# a comment\n{text}")), first);
        let edited = text.replacen("\"direct\"", "\"naive\"", 1);
        assert_ne!(edited, text);
        assert_ne!(told(&edited), first);
    }
}
