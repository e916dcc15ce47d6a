//! `bitgauge compare`: two kernels, two cases, two workers or two command lines.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};

use super::judging::Judging;
use super::output::{Output, tell};
use super::progress::Progress;
use super::stop;
use super::verdict_table;
use crate::calibration::{Margin, Route};
use crate::compare::commands::{self, Settings};
use crate::compare::functions::{self, Contest};
use crate::compare::reported::Reporter;
use crate::compare::workers::{self, Pairing, Source};
use crate::compare::{CaseSamples, Outcome, Plan, Standing};
use crate::counters;
use crate::exit::{Exit, Failure};
use crate::export;
use crate::machine::Machine;
use crate::run::{Measured, ready_folder, rfc3339, write_atomically};
use crate::suite::{Blueprint, CUT, CaseId, PREFILL, SHAPES};
use crate::verdicts::{CaseCounters, SCHEMA, Side, Times, Verdicts};
use crate::worker::Launch;

/// Arguments of `bitgauge compare`.
#[derive(Args)]
pub struct Arguments {
    /// "Before": a kernel (NAME or NAME@THREADS), the id of a case such as decode/o/best/1t, or a
    /// command line. With --command its program is started itself, or by `sh -c` where it holds
    /// what a shell reads, such as | & $ *; to be fair, write `sh -c '...'` on both sides then
    a: String,
    /// "After", in the same form
    b: String,
    /// A and B are command lines of workers, which take turns over their common cases
    #[arg(long, conflicts_with = "command")]
    workers: bool,
    /// A and B are command lines, timed from start to end
    #[arg(long)]
    command: bool,
    /// Kernels: the product, by name (qkv, o, gate_up, down) or as ROWSxCOLS; may be given more
    /// than once [default: all four]
    #[arg(long, value_name = "SHAPE", conflicts_with_all = ["workers", "command"])]
    shape: Vec<String>,
    /// Kernels: what is done; may be given more than once [default: decode]
    #[arg(long, value_enum, conflicts_with_all = ["workers", "command"])]
    phase: Vec<Phase>,
    /// Kernels: tokens of the phase `prefill` [default: 32]
    #[arg(long, value_name = "N", conflicts_with_all = ["workers", "command"])]
    tokens: Option<usize>,
    /// Kernels: the model of the phases `token` and `prompt` [default: 2b4t-quarter]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["workers", "command"])]
    model: Option<String>,
    /// Kernels: also count cycles, instructions, and misses of branches and caches
    #[arg(long, conflicts_with_all = ["workers", "command"])]
    counters: bool,
    /// Workers: only this case; may be given more than once
    #[arg(long, value_name = "ID", requires = "workers")]
    case: Vec<String>,
    /// Workers: equal work may give different results
    #[arg(long, requires = "workers")]
    allow_different_output: bool,
    /// Command lines: run this before each timed run
    #[arg(long, value_name = "CMD", requires = "command")]
    prepare: Option<String>,
    /// Command lines: runs of each side that are discarded
    #[arg(long, value_name = "N", default_value_t = 1, requires = "command")]
    warmup: u32,
    /// Command lines: go on when one ends with another status than 0
    #[arg(long, requires = "command")]
    ignore_failure: bool,
    /// Command lines: both must write the same bytes to stdout
    #[arg(long, requires = "command")]
    same_output: bool,
    /// Command lines: take not the wall time, but what each program reports of itself, and believe
    /// it; loading doesn't count then
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        requires = "command",
        conflicts_with = "same_output"
    )]
    reported: Option<Reporter>,
    #[command(flatten)]
    judging: Judging,
}

impl Arguments {
    /// Whether A and B are ids of cases.
    fn names_cases(&self) -> bool {
        !self.workers && !self.command && (self.a.contains('/') || self.b.contains('/'))
    }

    /// The phases, kernels only.
    ///
    /// # Errors
    /// When an option would say nothing to them.
    fn phases(&self) -> Result<Vec<Phase>, Failure> {
        let phases = match self.phase.as_slice() {
            [] => vec![Phase::Decode],
            phases => phases.to_vec(),
        };
        let any = |of: &[Phase]| phases.iter().any(|phase| of.contains(phase));
        let idle = |option: &str, takers: &str| {
            Err(Failure::could_not_run(format!(
                "{option}: only {takers} takes it"
            )))
        };
        match (&self.shape[..], self.tokens, &self.model) {
            ([shape, ..], _, _) if !any(&[Phase::Decode, Phase::Prefill]) => {
                idle(&format!("--shape {shape}"), "`--phase decode` or `prefill`")
            }
            (_, Some(tokens), _) if !any(&[Phase::Prefill]) => {
                idle(&format!("--tokens {tokens}"), "`--phase prefill`")
            }
            (_, _, Some(model)) if !any(&[Phase::Token, Phase::Prompt]) => {
                idle(&format!("--model {model}"), "`--phase token` or `prompt`")
            }
            _ => Ok(phases),
        }
    }
}

/// What a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    /// One product for one token
    Decode,
    /// One product for several tokens
    Prefill,
    /// Decoding a whole token
    Token,
    /// Reading a prompt of 32 tokens
    Prompt,
}

/// A gate is trusted when it cries wolf once in a thousand comparisons at most.
const ALPHA: f64 = 0.001;

const MAX_TIME: Duration = Duration::from_secs(60);

/// Compares.
///
/// # Errors
/// When a side can't be had; what fails during the comparison is told with its case.
pub fn run(arguments: &Arguments, threads: Option<usize>, output: Output) -> Result<Exit, Failure> {
    let route = match (arguments.command, arguments.workers) {
        (true, _) => None,
        (_, true) => Some(Route::Workers),
        _ => Some(Route::Functions),
    };
    let margin = arguments.judging.margin(route);
    let plan = arguments.judging.plan(&margin, ALPHA, MAX_TIME)?;
    if let Some(folder) = &arguments.judging.out {
        ready_folder(folder)?;
    }
    let started = rfc3339(SystemTime::now());
    let found = if arguments.command {
        by_command(arguments, &plan)
    } else if arguments.workers {
        by_worker(arguments, &plan)?
    } else {
        by_function(arguments, threads, &plan)?
    };
    let (mut verdicts, samples) = document(found, &plan, &margin, started);
    if arguments.reported.is_some() {
        verdicts.times = Times::Reported;
    }
    finish(
        &verdicts,
        &samples,
        arguments.judging.out.as_deref(),
        &[],
        output,
    )
}

/// What was found, and on whom.
pub struct Found {
    /// The verdicts.
    pub outcome: Outcome,
    /// "Before".
    pub before: Side,
    /// "After".
    pub after: Side,
    /// What the processor counted, where that was asked for.
    pub counters: Option<Measured<Vec<CaseCounters>>>,
}

/// The document of a comparison, and what it was made from.
pub fn document(
    found: Found,
    plan: &Plan,
    margin: &Margin,
    started: String,
) -> (Verdicts, Vec<CaseSamples>) {
    let mut verdicts = Verdicts {
        schema: SCHEMA,
        command: command_line(),
        before: found.before,
        after: found.after,
        machine: Machine::detect().class(),
        started,
        times: Times::Taken,
        seed: plan.seed,
        margin: margin.fraction,
        margin_from: margin.from.clone(),
        alpha: plan.rules.alpha(),
        cases: found.outcome.cases,
        not_checked: found.outcome.not_checked,
        counters: found.counters,
        exit: 0,
    };
    verdicts.exit = verdicts.exit() as u8;
    (verdicts, found.outcome.samples)
}

/// What was asked of this program, as a shell would take it.
fn command_line() -> String {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let quoted: Vec<String> = words.iter().map(|word| export::quoted(word)).collect();
    quoted.join(" ")
}

/// Name of the file that holds every slice.
const SAMPLES_FILE: &str = "samples.json";

/// Tells the verdicts in every form that was asked for.
///
/// # Errors
/// When they can't be written.
pub fn finish(
    verdicts: &Verdicts,
    samples: &[CaseSamples],
    folder: Option<&Path>,
    notes: &[String],
    output: Output,
) -> Result<Exit, Failure> {
    let keep = |folder: &Path| -> Result<(), Failure> {
        export::folder(folder, verdicts)?;
        let samples = serde_json::to_vec(samples)?;
        Ok(write_atomically(&folder.join(SAMPLES_FILE), &samples)?)
    };
    // What was measured is said although it can't be kept, and kept although nobody reads it.
    let kept = folder.map_or(Ok(()), keep);
    verdict_table::write(verdicts, output)?;
    for note in notes {
        output.line(format!("note: {note}"))?;
    }
    if let (Some(folder), Ok(())) = (folder, &kept) {
        output.line(format!("written to {}", folder.display()))?;
    }
    // Read from stderr as well as from stdout, which may hold a document.
    if std::env::var("GITHUB_ACTIONS").as_deref() == Ok("true") {
        export::annotations::lines(verdicts).iter().for_each(tell);
    }
    output.document(verdicts)?;
    kept?;
    Ok(verdicts.exit())
}

/// Shows how far a comparison is.
pub fn watched<R>(
    title: &str,
    max_time: Duration,
    body: impl FnOnce(&mut crate::compare::Watch<'_>) -> R,
) -> R {
    let progress = Progress::new();
    progress.stage(title, 0);
    let stop = stop::asked_for();
    let result = body(&mut |standing: &Standing<'_>| {
        progress.detail(&format!(
            "{} of {} cases settled, at most {:.0} s left: {}",
            standing.settled,
            standing.cases,
            max_time.saturating_sub(standing.elapsed).as_secs_f64(),
            standing.case,
        ));
        match stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    progress.finish();
    if stop.load(Ordering::Relaxed) {
        tell("stopped by a signal: what was measured until then follows");
    }
    result
}

fn by_command(arguments: &Arguments, plan: &Plan) -> Found {
    let settings = Settings {
        prepare: arguments.prepare.clone(),
        warmup: arguments.warmup,
        timeout: arguments.judging.timeout,
        ignore_failure: arguments.ignore_failure,
        same_output: arguments.same_output,
        reported: arguments.reported,
    };
    let (a, b) = (&arguments.a, &arguments.b);
    let outcome = watched("comparing command lines", plan.max_time, |watch| {
        commands::run_both(a, b, &settings, plan, watch)
    });
    let side = |name: &String| Side {
        name: name.clone(),
        revision: None,
        isa: None,
    };
    Found {
        outcome,
        before: side(a),
        after: side(b),
        counters: None,
    }
}

fn by_worker(arguments: &Arguments, plan: &Plan) -> Result<Found, Failure> {
    let source = |name: &str, command_line: &str| -> Result<Source, Failure> {
        let launch = Launch::parse(command_line).map_err(Failure::could_not_run)?;
        Ok(Source {
            name: format!("{name}: {command_line}"),
            layouts: vec![launch.command],
        })
    };
    let before = source("before", &arguments.a)?;
    let after = source("after", &arguments.b)?;
    let pairing = Pairing {
        plan: *plan,
        timeout: arguments.judging.timeout,
        allow_different_output: arguments.allow_different_output,
        cases: (!arguments.case.is_empty()).then(|| arguments.case.clone()),
        filters: Vec::new(),
        judged_by: None,
    };
    let paired = watched("comparing workers", plan.max_time, |watch| {
        workers::run(&before, &after, &pairing, watch)
    });
    let paired = paired.map_err(|error| error.failure())?;
    for (case, side) in &paired.one_sided {
        tell(format!(
            "note: case {case} is only in {side}: nothing to compare it with"
        ));
    }
    Ok(Found {
        outcome: paired.outcome,
        before: paired.before,
        after: paired.after,
        counters: None,
    })
}

fn by_function(
    arguments: &Arguments,
    threads: Option<usize>,
    plan: &Plan,
) -> Result<Found, Failure> {
    let contests = contests(arguments, threads)?;
    let (a, b) = (arguments.a.as_str(), arguments.b.as_str());
    let outcome = watched("comparing kernels", plan.max_time, |watch| {
        functions::run(&contests, [a, b], plan, watch)
    });
    let side = |name: &str, isa: Option<String>| Side {
        name: name.to_owned(),
        revision: None,
        isa,
    };
    let isa = |blueprint: &Blueprint| {
        let kernel = blueprint.id().kernel()?.resolve().ok()?;
        Some(kernel.spec().isa().to_string())
    };
    let first = contests.first();
    Ok(Found {
        outcome,
        before: side(a, first.and_then(|c| isa(&c.before))),
        after: side(b, first.and_then(|c| isa(&c.after))),
        counters: arguments.counters.then(|| count(&contests, plan.seed)),
    })
}

fn count(contests: &[Contest], seed: u64) -> Measured<Vec<CaseCounters>> {
    let mut counters = match counters::open() {
        Ok(counters) => counters,
        Err(unavailable) => return Measured::unavailable(unavailable.why),
    };
    let mut each = |contest: &Contest| CaseCounters {
        case: contest.case.clone(),
        counts: match functions::count(contest, &mut counters, seed) {
            Ok(counts) => Measured::Is(counts),
            Err(failure) => Measured::unavailable(failure.message),
        },
    };
    Measured::Is(contests.iter().map(&mut each).collect())
}

/// The cases that two kernels, or two ids, are compared on.
fn contests(arguments: &Arguments, threads: Option<usize>) -> Result<Vec<Contest>, Failure> {
    let (a, b) = (&arguments.a, &arguments.b);
    if arguments.names_cases() {
        let (before, after): (CaseId, CaseId) = (a.parse()?, b.parse()?);
        for id in [&before, &after] {
            super::allowed_threads(id, id.threads())?;
        }
        for (option, given) in [
            ("--shape", !arguments.shape.is_empty()),
            ("--phase", !arguments.phase.is_empty()),
            ("--tokens", arguments.tokens.is_some()),
            ("--model", arguments.model.is_some()),
        ] {
            if given {
                return Err(Failure::could_not_run(format!(
                    "{option}: A and B are ids of cases, which say that themselves; leave it out"
                )));
            }
        }
        let name = match before == after {
            true => before.to_string(),
            false => format!("{before} against {after}"),
        };
        let contest = Contest::new(name, Blueprint::new(&before)?, Blueprint::new(&after)?);
        return Ok(vec![contest]);
    }
    let sides = [configuration(a, threads)?, configuration(b, threads)?];
    let shapes = match arguments.shape.as_slice() {
        [] => SHAPES
            .iter()
            .map(|(name, _, _)| (*name).to_owned())
            .collect(),
        shapes => shapes.to_vec(),
    };
    let tokens = arguments.tokens.unwrap_or(PREFILL);
    let model = arguments.model.as_deref().unwrap_or(CUT);
    let mut contests = Vec::new();
    for phase in arguments.phases()? {
        let (group, subjects) = match phase {
            Phase::Decode => ("decode".to_owned(), shapes.clone()),
            Phase::Prefill if tokens == PREFILL => ("prefill".to_owned(), shapes.clone()),
            Phase::Prefill => (format!("prefill-{tokens}"), shapes.clone()),
            Phase::Token => ("token".to_owned(), vec![model.to_owned()]),
            Phase::Prompt => ("prompt".to_owned(), vec![model.to_owned()]),
        };
        for subject in subjects {
            let blueprint = |(kernel, threads): &(String, usize)| -> Result<Blueprint, Failure> {
                let id: CaseId = format!("{group}/{subject}/{kernel}/{threads}t").parse()?;
                Ok(Blueprint::new(&id)?)
            };
            let case = match sides[0].1 == sides[1].1 {
                true => format!("{group}/{subject}/{}t", sides[0].1),
                false => format!("{group}/{subject}"),
            };
            contests.push(Contest::new(
                case,
                blueprint(&sides[0])?,
                blueprint(&sides[1])?,
            ));
        }
    }
    Ok(contests)
}

/// `NAME` or `NAME@THREADS`.
fn configuration(text: &str, threads: Option<usize>) -> Result<(String, usize), Failure> {
    let (name, threads) = match text.split_once('@') {
        None => (text, threads.unwrap_or(1)),
        Some((name, count)) => {
            let count = count.parse().map_err(|_| {
                Failure::could_not_run(format!(
                    "`{text}`: after the @ stands a number of threads, such as {name}@2"
                ))
            })?;
            (
                name,
                super::allowed_threads(format_args!("`{text}`"), count)?,
            )
        }
    };
    Ok((name.to_owned(), threads))
}
