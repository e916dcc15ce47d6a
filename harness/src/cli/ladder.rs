//! `bitgauge ladder [FILE.toml]`: fixes one at a time.

use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use super::run::{self, Suite};
use crate::exit::{Exit, Failure};
use crate::ladder::definition;

/// Arguments of `bitgauge ladder`.
#[derive(Args)]
pub struct Arguments {
    #[arg(
        value_name = "FILE.toml|NAME",
        help = format!("A ladder of your own, or a built-in one: {} [default: the three fixes of the reports]", definition::names())
    )]
    file: Option<PathBuf>,
    #[command(flatten)]
    common: run::Common,
}

/// Runs a ladder and writes its pages.
///
/// # Errors
/// When the ladder, the model, a kernel or the folder can't be used.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    run::measure(
        Suite::Ladder,
        arguments.file.as_deref(),
        &arguments.common,
        // Its states name their kernels.
        true,
        threads,
        output,
    )
}
