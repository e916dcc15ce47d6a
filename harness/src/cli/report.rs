//! `bitgauge report DIR`: the pages of a run folder, again.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::Output;
use crate::exit::{Exit, Failure};
use crate::report;

/// Arguments of `bitgauge report`.
#[derive(Args)]
pub struct Arguments {
    /// A folder that holds a run.json
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Serialize)]
struct Document {
    written: Vec<PathBuf>,
}

/// Renders.
///
/// # Errors
/// When the folder holds no run that this version reads, or a page can't be written.
pub fn run(arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let written = report::render(&arguments.folder)?;
    for path in &written {
        output.line(path.display().to_string())?;
    }
    output.document(&Document { written })?;
    Ok(Exit::Held)
}
