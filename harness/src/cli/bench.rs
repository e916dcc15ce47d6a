//! `bitgauge bench MODEL`: speeds under llama-bench's names.

use std::sync::Arc;
use std::time::SystemTime;

use bitgauge_engine::model::{Model, Vocabulary};
use bitgauge_engine::threads::Pool;
use clap::{ArgGroup, Args};

use super::generate::Head;
use super::output::Output;
use super::progress::Progress;
use super::{room, selection, summaries};
use crate::bench::{About, Format, Row, Test, Work};
use crate::decoder::judge::{Judge, Reference};
use crate::decoder::plan::kernels;
use crate::exit::{Exit, Failure};
use crate::machine::Machine;
use crate::model_source::ModelSource;
use crate::run::{Measured, rfc3339};
use crate::scaling::{Team, wrong_answers};
use crate::verify;

/// Arguments of `bitgauge bench`.
#[derive(Args)]
#[command(group(ArgGroup::new("measured").required(true).args(["model", "as_option"])))]
pub struct Arguments {
    /// A checkpoint folder, a GGUF file, a packed file, or the name of a synthetic shape
    model: Option<String>,
    /// The same, as llama-bench takes it
    #[arg(short = 'm', long = "model", value_name = "MODEL")]
    as_option: Option<String>,
    /// Tokens of a prompt that is read (0: no such test); may be given more than once
    #[arg(
        short = 'p',
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "512"
    )]
    n_prompt: Vec<usize>,
    /// Tokens that are generated (0: no such test); may be given more than once
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "128"
    )]
    n_gen: Vec<usize>,
    /// Tokens that are in the context already; may be given more than once
    #[arg(
        short = 'd',
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "0"
    )]
    n_depth: Vec<usize>,
    /// Times that each test is timed
    #[arg(short = 'r', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// Form of the results on stdout
    #[arg(short = 'o', long, value_enum, default_value = "md")]
    output: Format,
    /// Run every product with this kernel [default: what `tune` found on as many threads, or the
    /// best that this machine runs]
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Leave out what `tune` found
    #[arg(long)]
    no_tune: bool,
    /// How generated tokens are found; the tokens are the same. llama-bench computes all logits
    #[arg(long, value_enum, default_value = "quantized")]
    head: Head,
}

/// Measures and writes.
///
/// # Errors
/// When there is nothing to measure or the model, the kernel or the context can't be used (2); when
/// an answer is wrong (3).
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    let model_name = [&arguments.model, &arguments.as_option]
        .into_iter()
        .flatten()
        .next()
        .ok_or_else(|| Failure::could_not_run("give a MODEL"))?;
    let tests = Test::all(&arguments.n_prompt, &arguments.n_gen, &arguments.n_depth);
    let chosen = selection::choose(arguments.kernel.as_deref(), arguments.no_tune, threads)?;
    let named = ModelSource::open(model_name)?;
    let source = named.source();
    refuse(&tests, source.config().max_position_embeddings)?;
    room::for_one(source.config())?;

    let progress = Progress::new();
    progress.stage(&format!("bench: loading {model_name}"), 0);
    let generates = tests.iter().any(|t| matches!(t.work, Work::Generate(_)));
    let vocabulary = match generates && arguments.head == Head::Quantized {
        true => Vocabulary::load_quantized(source)?,
        false => Vocabulary::load(source)?,
    };
    selection::warn_of_packing(&named, &chosen);
    let model = Model::with_vocabulary(source, &chosen, Arc::new(vocabulary))?;
    selection::warn_of_fallbacks(&model);

    progress.stage("bench: judging the answers", 0);
    let judge = Judge::open(&verify::default_fixtures()?.join("trained"))?;
    let team = Team::new(Box::new(Pool::new(threads)?), &model, &judge)?;
    Reference::products(&model, source)?.map_err(|wrong| wrong_answers(&team.name(), &wrong))?;

    let name = kernels(&model);
    let about = About {
        build_commit: match summaries::revision() {
            Measured::Is(revision) => Some(revision),
            Measured::Unavailable(_) => None,
        },
        cpu_info: Machine::detect().cpu.name,
        ..About::of(&model, model_name, &name, threads)
    };
    // A list on stdout is a document, also where it was asked for as a form.
    let output = match arguments.output {
        Format::Json => Output::new(true),
        _ => output,
    };
    let mut rows = Vec::new();
    for test in &tests {
        progress.stage(&format!("bench: {}", test.name()), 0);
        let head = match test.work {
            Work::Prompt(_) => Head::Exact,
            Work::Generate(_) => arguments.head,
        };
        let begun = rfc3339(SystemTime::now());
        let samples = test.samples(&model, &*team.scheduler, arguments.repetitions as usize)?;
        let row = Row::new(&about, test, head.name(), begun, samples);
        output.text(&arguments.output.line(test, &row, rows.len())?)?;
        rows.push(row);
    }
    progress.finish();
    output.document(&rows)?;
    Ok(Exit::Held)
}

/// Refuses what can't be measured before a model is packed for it.
fn refuse(tests: &[Test], limit: usize) -> Result<(), Failure> {
    if tests.is_empty() {
        return Err(Failure::could_not_run(
            "-p 0 -n 0 leaves no test; give a prompt (-p) or tokens to generate (-n) above 0",
        ));
    }
    match tests.iter().find(|test| test.positions() > limit) {
        None => Ok(()),
        Some(test) => Err(Failure::could_not_run(format!(
            "{} fills {} positions; the model's context has {limit}",
            test.name(),
            test.positions()
        ))),
    }
}
