//! The command line.

mod baseline;
mod bench;
mod bisect;
mod calibrate;
mod compare;
mod diagnose;
mod gate;
mod generate;
mod history;
mod import;
mod inspect;
mod judging;
mod kernels;
mod ladder;
mod output;
mod progress;
mod repack;
mod report;
pub mod room;
mod run;
mod scaling;
pub mod selection;
mod selftest;
mod stop;
mod summaries;
mod tune;
mod verdict_table;
mod verify;
mod worker;
mod zoo;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bitgauge_engine::isa;
use clap::{CommandFactory, Parser, Subcommand};
use output::{Output, tell};
use signal_hook::consts::SIGABRT;
use signal_hook::flag;

use crate::exit::{Exit, Failure};

/// Did this change make it faster, by how much, and is the answer still right?
#[derive(Parser)]
#[command(name = "bitgauge", version, max_term_width = 100)]
struct Cli {
    /// Write one JSON document to stdout; text goes to stderr
    #[arg(long, global = true)]
    json: bool,
    /// Threads of the engine, where nothing else names them, as ids of cases do [default: the CPUs
    /// that this process may use; 1 for `compare`]
    #[arg(short, long, global = true, value_name = "N")]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, check and write the before/after page
    Run(run::Arguments),
    /// Judge every kernel and the decoder against the oracle and golden files
    Verify(verify::Arguments),
    /// Apply fixes one at a time, and hold each claim against what is measured
    Ladder(ladder::Arguments),
    /// List the kernels, and which can run here
    Kernels,
    /// What this machine is, what of it is used and why no more, and what would make it steadier
    Diagnose(diagnose::Arguments),
    /// Describe a model: shapes, bits per weight, compression
    Inspect(inspect::Arguments),
    /// Write a model as it lies in memory to a file, which then loads about as fast as it is read
    Repack(repack::Arguments),
    /// Continue a prompt
    Generate(generate::Arguments),
    /// Time reading prompts and generating tokens, as llama-bench does and under its names
    Bench(bench::Arguments),
    /// Compare two kernels, two workers or two command lines
    Compare(compare::Arguments),
    /// Fail if the work tree is slower than another revision of itself, or than a stored baseline
    Gate(gate::Arguments),
    /// Find the commit that made a case slower
    Bisect(bisect::Arguments),
    /// Compare a program with itself: false alarms and bias floor of this machine
    Calibrate(calibrate::Arguments),
    /// Compute until the process that started this one is gone: a load for `calibrate`
    #[command(hide = true)]
    Busy {
        /// Its number
        parent: i32,
    },
    /// Plant regressions and failures, and show that each is noticed
    Selftest(selftest::Arguments),
    /// Save, show or check what this machine does, in ratios that can be held against later
    Baseline(baseline::Arguments),
    /// Trends of many runs, and where each case changed
    History(history::Arguments),
    /// Serve this build's cases to a comparison: JSON lines on stdin and stdout
    Worker(worker::Arguments),
    /// Speed over threads, against claims, a law and a baseline
    Scaling(scaling::Arguments),
    /// Show, save and gate what criterion, gungraun, hyperfine or llama-bench measured
    Import(import::Arguments),
    /// Measure which kernel is fastest here, for each size of matrix; what runs a model then uses it
    Tune(tune::Arguments),
    /// Render the pages of a run folder again
    Report(report::Arguments),
}

/// What a command line may say.
pub fn grammar() -> clap::Command {
    Cli::command()
}

/// Ends the program as one that could not run where memory is missing: the standard library has said how
/// much then, and aborts.
fn end_without_memory() {
    let always = Arc::new(AtomicBool::new(true));
    // Without a handler the program dies of the signal, which says the same less well.
    let _ = flag::register_conditional_shutdown(SIGABRT, Exit::CouldNotRun as i32, always);
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    end_without_memory();
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let exit = run(&cli, output).unwrap_or_else(|failure| {
        if failure.exit != Exit::NoReader {
            tell(format!("bitgauge: {failure}"));
        }
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run(cli: &Cli, output: Output) -> Result<Exit, Failure> {
    isa::cap().map_err(|unknown| Failure::could_not_run(format!("BITGAUGE_ISA: {unknown}")))?;
    let threads = threads(cli)?;
    match &cli.command {
        Command::Run(arguments) => run::run(arguments, threads, output),
        Command::Verify(arguments) => verify::run(arguments, output),
        Command::Ladder(arguments) => ladder::run(arguments, threads, output),
        Command::Kernels => kernels::run(output),
        Command::Diagnose(arguments) => diagnose::run(arguments, cli.threads, threads, output),
        Command::Inspect(arguments) => inspect::run(arguments, threads, output),
        Command::Repack(arguments) => repack::run(arguments, threads, output),
        Command::Generate(arguments) => generate::run(arguments, threads, output),
        Command::Bench(arguments) => bench::run(arguments, threads, output),
        Command::Compare(arguments) => {
            let asked = cli.threads.map(|_| threads);
            compare::run(arguments, asked, output)
        }
        Command::Gate(arguments) => gate::run(arguments, output),
        Command::Bisect(arguments) => bisect::run(arguments, output),
        Command::Calibrate(arguments) => calibrate::run(arguments, threads, output),
        Command::Busy { parent } => {
            crate::busy::compute(*parent);
            Ok(Exit::Held)
        }
        Command::Selftest(arguments) => selftest::run(arguments, output),
        Command::Baseline(arguments) => baseline::run(arguments, threads, output),
        Command::History(arguments) => history::run(arguments, output),
        Command::Worker(arguments) => worker::run(arguments, threads),
        Command::Scaling(arguments) => scaling::run(arguments, threads, output),
        Command::Import(arguments) => import::run(arguments, output),
        Command::Tune(arguments) => tune::run(arguments, threads, output),
        Command::Report(arguments) => report::run(arguments, output),
    }
}

/// The number of threads asked for, or all that this process may use.
fn threads(cli: &Cli) -> Result<usize, Failure> {
    match cli.threads {
        None => Ok(crate::machine::Machine::detect().usable.threads),
        Some(n) => allowed_threads(format_args!("--threads {n}"), n),
    }
}

/// A number of threads that this process can run at once; `named` is what the user wrote.
fn allowed_threads(named: impl std::fmt::Display, asked: usize) -> Result<usize, Failure> {
    let available = crate::machine::Machine::detect().usable.threads;
    match asked {
        0 => Err(Failure::could_not_run(format!(
            "{named}: at least one thread is needed"
        ))),
        n if n > available => Err(Failure::could_not_run(format!(
            "{named}: this process may use {available} CPUs (affinity and cgroup quota); more threads than that would measure the scheduler"
        ))),
        n => Ok(n),
    }
}
