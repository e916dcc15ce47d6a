//! `bitgauge run`: measure, check, and write the before/after page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bitgauge_engine::checkpoint::Config;
use bitgauge_engine::kernels::{Kernel, TABLE};
use bitgauge_engine::model::{Model, Source, Vocabulary};
use bitgauge_engine::synthetic;
use clap::{Args, ValueEnum};

use super::output::Output;
use super::progress::Progress;
use super::selection;
use crate::decoder::judge::Judge;
use crate::exit::{Exit, Failure};
use crate::ladder::definition::Definition;
use crate::ladder::{self};
use crate::limits;
use crate::machine::Machine;
use crate::measure::fresh_seed;
use crate::model_source::{ModelSource, tenth};
use crate::run::{
    self, CheckStatus, Checks, KernelRow, Measured, ModelSummary, Run, Section, SectionName,
    Selection, Settings, Store, Tool, Totals,
};
use crate::verify::{self, Options};
use crate::{report, yardsticks};

/// What a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Everything
    All,
    /// Every kernel and the decoder against the oracle and golden files, and the defects
    Correctness,
    /// Read bandwidth, products and scaling over threads
    Scaling,
    /// The fixes, one at a time
    Ladder,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Suite::All => "all",
            Suite::Correctness => "correctness",
            Suite::Scaling => "scaling",
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
    /// A checkpoint folder, a GGUF file, or the name of a synthetic shape
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
    fits(source.source().config(), &machine, common.quick)?;
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
        options.insert("ladder".to_owned(), path.display().to_string());
    }
    if no_tune && suite.has(Suite::Scaling) {
        options.insert("no-tune".to_owned(), "true".to_owned());
    }
    let mut store = open(&dir, suite, common, options, threads, &started)?;
    let seed = store.run().settings.seed;
    let progress = Progress::new();
    let (stage, step) = (
        |title: &str, steps| progress.stage(title, steps),
        || progress.step(),
    );

    store.record(Section::Machine(Measured::Is(super::summaries::machine(
        &machine,
    ))))?;
    store.record(Section::Kernels(Measured::Is(kernels())))?;

    if suite.has(Suite::Correctness) && !store.is_done(SectionName::Checks) {
        stage("correctness: every kernel and the decoder", 0);
        let done = verify::run(&Options::default(), &mut |check| progress.detail(&check.id))?;
        let list = done.checks.iter().map(super::summaries::check).collect();
        store.record(Section::Checks(Measured::Is(Checks { list })))?;
    }
    if suite.has(Suite::Correctness) && !store.is_done(SectionName::Defects) {
        stage("correctness: the defects, re-enacted", 0);
        store.record(Section::Defects(Measured::Is(super::zoo::defects()?)))?;
    }

    let trained = verify::default_fixtures()?.join("trained");
    if suite.has(Suite::Scaling) && !store.is_done(SectionName::Tokens) {
        stage("limits: packing the whole model", 0);
        let chosen = selection::choose(None, no_tune, threads)?;
        let vocabulary = Vocabulary::load(source.source())?.with_quantized_head();
        let model = Model::with_vocabulary(source.source(), &chosen, Arc::new(vocabulary))?;
        let told = selection::told(&model, &chosen);
        stage(&format!("limits: {told}"), 0);
        let judge = Judge::open(&trained)?;
        let plan = limits::Plan {
            model: &model,
            source: source.source(),
            chosen: &chosen,
            judge: &judge,
            machine: &machine,
            threads,
            quick: common.quick,
            seed,
        };
        let limits = limits::run(&plan, &stage, &step)?;
        if !suite.has(Suite::Ladder) {
            let selection = Selection {
                rows: selection::rows(&model, &|n, k| chosen.origin(n, k)),
                fallbacks: model.fallbacks(),
            };
            store.record(Section::Selection(Measured::Is(selection)))?;
        }
        store.record(Section::Yardsticks(Measured::Is(limits.yardsticks)))?;
        store.record(Section::Scaling(Measured::Is(limits.scaling)))?;
        store.record(Section::Products(Measured::Is(limits.products)))?;
        store.record(Section::Tokens(Measured::Is(limits.tokens)))?;
    }

    if suite.has(Suite::Ladder) && !store.is_done(SectionName::Ladder) {
        let whole = source.source().config();
        let cut = match (&source, common.quick) {
            (ModelSource::Synthetic(..), true) => Some(synthetic::model(tenth(whole), 1)),
            _ => None,
        };
        let timed: &dyn Source = cut.as_ref().map_or(source.source(), |cut| cut);
        let plan = ladder::Plan {
            definition: &definition,
            source: timed,
            layers_in_shape: whole.num_hidden_layers,
            trained: &trained,
            threads,
            quick: common.quick,
            seed,
            last_level_cache: machine.cpu.last_level_cache(),
        };
        let buffer = yardsticks::ReadBuffer::for_machine(&machine);
        let mut bandwidth = buffer
            .and_then(|b| yardsticks::best_read_bandwidth(&b, threads))
            .ok();
        let outcome = ladder::run(&plan, bandwidth.as_mut(), &stage, &step)?;
        let model = ModelSummary {
            name: source.name(),
            layers_run: timed.config().num_hidden_layers,
            layers_in_shape: whole.num_hidden_layers,
            weights: super::summaries::weights(timed.config()),
            bytes_per_token: outcome.bytes_per_token,
        };
        store.record(Section::Model(Measured::Is(model)))?;
        store.record(Section::Selection(Measured::Is(outcome.selection)))?;
        store.record(Section::Profiles(Measured::Is(outcome.profiles)))?;
        store.record(Section::Ladder(Measured::Is(outcome.ladder)))?;
    }

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

/// Refuses a model that this machine has no memory for, before an hour is spent on finding out.
///
/// The ladder holds the model packed for up to three kernels, the short form for one; embedding and
/// head take two bytes a weight each, and a quantised head one more.
pub fn fits(config: &Config, machine: &Machine, quick: bool) -> Result<(), Failure> {
    let kernels = if quick { 1 } else { 3 };
    let vocabulary = (config.vocab_size * config.hidden_size) as u64;
    let ternary = super::summaries::weights(config) - vocabulary;
    let needed = kernels * ternary / 4 + 5 * vocabulary;
    match machine.memory.available {
        Some(available) if available < needed => Err(Failure::could_not_run(format!(
            "the model needs about {:.1} GB of memory here and {:.1} GB are available; name a smaller one with --model (or give --quick, which needs less)",
            needed as f64 * 1e-9,
            available as f64 * 1e-9
        ))),
        _ => Ok(()),
    }
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
