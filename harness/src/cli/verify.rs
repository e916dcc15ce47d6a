//! `bitgauge verify`: every kernel and the decoder, against the oracle and golden files.

use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use super::progress::Progress;
use crate::exit::{Exit, Failure};
use crate::verify::check::{Check, Status};
use crate::verify::perplexity::CACHE;
use crate::verify::{self, Options};

/// Arguments of `bitgauge verify`.
#[derive(Args)]
pub struct Arguments {
    /// A folder of golden files, searched with its subfolders; may be given more than once
    /// [default: the repository's fixtures]
    #[arg(long, value_name = "DIR")]
    fixtures: Vec<PathBuf>,
    /// Judge this kernel only
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Re-enact the defects that kernels really had, and show what catches each
    #[arg(long, conflicts_with_all = ["fixtures", "kernel"])]
    zoo: bool,
}

/// Verifies.
///
/// # Errors
/// When a kernel or a fixture can't be had, or nothing was checked.
pub fn run(arguments: &Arguments, output: Output) -> Result<Exit, Failure> {
    if arguments.zoo {
        return super::zoo::run(output);
    }
    let options = Options {
        fixtures: arguments.fixtures.clone(),
        kernel: arguments.kernel.clone(),
    };
    let progress = Progress::new();
    progress.stage("judging kernels and decoder", 0);
    let done = verify::run(&options, &mut |check| progress.detail(&check.id));
    progress.finish();
    let done = done?;
    for check in done.checks.iter().filter(|c| c.status != Status::Pass) {
        output.line(line(check))?;
    }
    for (id, cost) in costs(&done.checks) {
        output.line(format!("{id}: {cost:+.5} bits a byte beside float32"))?;
    }
    for unread in &done.unread {
        output.line(format!("not read: {unread}"))?;
    }
    let t = &done.totals;
    output.line(format!(
        "{} passed, {} failed, {} skipped",
        t.passed, t.failed, t.skipped
    ))?;
    output.document(&done)?;
    Ok(if done.all_right() {
        Exit::Held
    } else {
        Exit::WrongAnswers
    })
}

/// What reading a text with a rounding cache cost, by the check that held it to its limit.
fn costs(checks: &[Check]) -> impl Iterator<Item = (&str, f64)> {
    let is_cost = |id: &str| id.starts_with("perplexity/") && id.contains(CACHE);
    let passed = move |c: &&Check| c.status == Status::Pass && is_cost(&c.id);
    checks
        .iter()
        .filter(passed)
        .filter_map(move |c| Some((c.id.as_str(), c.figure?)))
}

/// A check in one line.
fn line(check: &Check) -> String {
    let status = match check.status {
        Status::Pass => "pass",
        Status::Fail => "FAIL",
        Status::Skipped => "skip",
    };
    let kernel = check.kernel.as_deref().unwrap_or("-");
    let threads = check.threads.map_or("-".to_owned(), |n| n.to_string());
    let figure = match (check.figure, check.limit) {
        (Some(figure), Some(limit)) => format!("{figure:.3e} of {limit:.3e} allowed"),
        _ => String::new(),
    };
    format!(
        "{status}  {}  kernel {kernel}, threads {threads}  {figure}  {}",
        check.id, check.note
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_of_rounding_caches_are_told_and_nothing_else() {
        let checks = [
            Check::at_most("perplexity/book/relative", 0.25, 1.0),
            Check::at_most("planned/cache-bf16", 0.0, 0.0),
            Check::at_most("perplexity/book/cache-bf16", 0.5, 1.0),
            Check::at_most("perplexity/book/cache-int8", 2.0, 1.0),
        ];
        let told: Vec<_> = costs(&checks).collect();
        assert_eq!(told, [("perplexity/book/cache-bf16", 0.5)]);
    }
}
