//! The options that every command line may hold, refused where they would say nothing.

use super::{Cli, Command};
use crate::exit::Failure;

/// Refuses `--threads` and `--json` where the command would ignore them.
///
/// # Errors
/// Names the option and the command.
pub fn refuse_idle(cli: &Cli) -> Result<(), Failure> {
    if let (Some(n), Some(command)) = (cli.threads, without_threads(&cli.command)) {
        return Err(Failure::could_not_run(format!(
            "--threads {n}: {command}; leave it out"
        )));
    }
    if cli.json && matches!(cli.command, Command::Worker(_)) {
        return Err(Failure::could_not_run(
            "--json: `worker` answers in JSON lines anyway; leave it out",
        ));
    }
    Ok(())
}

/// Why a number of threads would change nothing; `None` where it would.
fn without_threads(command: &Command) -> Option<&'static str> {
    const NAMED: &str = "the ids of cases name their threads";
    match command {
        Command::Compare(compare) => compare.without_threads(),
        Command::Worker(worker) => worker.names_cases().then_some(NAMED),
        Command::Bisect(_) => Some("the id of the case names its threads"),
        Command::Gate(_) => Some("the cases of the suite name their threads"),
        Command::Verify(_) => Some("`verify` judges on several numbers of them"),
        Command::Selftest(_) => Some("`selftest` plants on the threads that each item names"),
        Command::Kernels | Command::History(_) | Command::Import(_) | Command::Report(_) => {
            Some("this command computes with no threads of the engine")
        }
        Command::Busy { .. } => Some("this command computes on one thread"),
        Command::Run(_)
        | Command::Ladder(_)
        | Command::Diagnose(_)
        | Command::Inspect(_)
        | Command::Repack(_)
        | Command::Generate(_)
        | Command::Bench(_)
        | Command::Calibrate(_)
        | Command::Baseline(_)
        | Command::Scaling(_)
        | Command::Tune(_) => None,
    }
}
