//! `bitgauge selftest`: plants regressions and failures, and shows that each is noticed.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use clap::Args;

use super::output::Output;
use super::progress::Progress;
use crate::case_filter::chosen;
use crate::exit::{Exit, Failure};
use crate::machine::Machine;
use crate::measure::fresh_seed;
use crate::run::{ready_folder, rfc3339, write_atomically};
use crate::selftest::{self, Bench, Document, Item, SCHEMA, Standing};

/// Arguments of `bitgauge selftest`.
#[derive(Args)]
pub struct Arguments {
    /// Only items whose name holds this text; may be given more than once
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Seed of every random order and place [default: a fresh one, which is recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write selftest.json and selftest.md into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Tests this program.
///
/// # Errors
/// When nothing is selected, the program can't be found, or the output can't be written.
pub fn run(arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    let items = selected(selftest::items(), &arguments.only)?;
    let program = std::env::current_exe()
        .map_err(|e| Failure::could_not_run(format!("this program can't be found: {e}")))?;
    let bench = Bench::new(program, arguments.seed.unwrap_or_else(fresh_seed));
    if let Some(folder) = &arguments.out {
        ready_folder(folder)?;
    }
    let started = rfc3339(SystemTime::now());
    let begin = Instant::now();
    let progress = Progress::new();
    progress.stage("planting failures", 0);
    let entries = selftest::run(&items, &bench, &mut |standing: &Standing<'_>| {
        progress.detail(&format!(
            "{} of {} done, about {:.0} s left: {}",
            standing.done,
            standing.items,
            standing.left.as_secs_f64(),
            standing.item
        ));
    });
    progress.finish();
    let mut document = Document {
        schema: SCHEMA,
        machine: Machine::detect().class(),
        started,
        seed: bench.seed,
        seconds: begin.elapsed().as_secs_f64(),
        entries,
        exit: 0,
    };
    let exit = document.exit();
    document.exit = exit as u8;
    let stored = match &arguments.out {
        Some(folder) => store(&document, folder),
        None => Ok(()),
    };
    output.text(&selftest::text(&document))?;
    output.document(&document)?;
    stored.map(|()| exit)
}

fn selected(items: Vec<Item>, only: &[String]) -> Result<Vec<Item>, Failure> {
    let known: Vec<String> = items.iter().map(|i| i.id.clone()).collect();
    let selected: Vec<Item> = items.into_iter().filter(|i| chosen(&i.id, only)).collect();
    if selected.is_empty() {
        return Err(Failure::could_not_run(format!(
            "no item's name holds {}; there are:\n{}",
            only.join(" or "),
            known.join("\n")
        )));
    }
    Ok(selected)
}

fn store(document: &Document, folder: &Path) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(document)?;
    let page = selftest::markdown(document);
    write_atomically(
        &folder.join("selftest.json"),
        format!("{json}\n").as_bytes(),
    )?;
    write_atomically(&folder.join("selftest.md"), page.as_bytes())?;
    Ok(())
}
