//! What other tools measured, read into one type: criterion's folders, gungraun's summaries,
//! hyperfine's and llama-bench's exports.
//!
//! Nothing is recomputed that a tool does not store: where it keeps samples, the value is their
//! median and the interval lies between their order statistics; where it keeps none, the value is
//! the tool's own and says so.

pub mod against;
pub mod beside;
mod criterion;
mod error;
mod figure;
mod gungraun;
mod hyperfine;
mod llama_bench;
mod saved;
mod source;

pub use error::{ImportError, Place};
pub use figure::{Figure, Interval, Statistic, Unit};
pub use saved::{SCHEMA, load, save};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use figure::median;

/// A tool whose results can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// criterion.rs: a folder such as target/criterion, or a part of it.
    Criterion,
    /// gungraun or iai-callgrind: summary.json as `--save-summary` writes it, or a folder of them.
    Gungraun,
    /// hyperfine: the file of `--export-json`.
    Hyperfine,
    /// llama-bench: the output of `-o json`, `-o jsonl` or `-o csv`.
    LlamaBench,
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Criterion => "criterion",
            Self::Gungraun => "gungraun",
            Self::Hyperfine => "hyperfine",
            Self::LlamaBench => "llama-bench",
        })
    }
}

/// More cases are refused: no project has so many.
const CASES: usize = 20_000;

/// Refuses what no reader may let through: a figure that is none, and a case that is among `names`
/// already, which takes those of `path` in.
fn sound(
    path: &Path,
    figures: &[Figure],
    left_out: &[LeftOut],
    names: &mut BTreeSet<String>,
) -> Result<(), ImportError> {
    if let Some(fault) = figures.iter().find_map(Figure::fault) {
        return Err(ImportError::content(path, fault));
    }
    let cases = figures.iter().map(|f| &f.case);
    for case in cases.chain(left_out.iter().map(|l| &l.case)) {
        if !names.insert(case.clone()) {
            return Err(ImportError::Twice {
                path: path.into(),
                case: case.clone(),
            });
        }
    }
    Ok(())
}

/// A case that the tool names and that has no usable figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The tool's name for the case.
    pub case: String,
    /// Why, as a sentence.
    pub why: String,
}

/// What one tool measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// The tool.
    pub tool: Tool,
    /// The files or folders that were named.
    pub sources: Vec<String>,
    /// One figure a case, each with a name of its own.
    pub figures: Vec<Figure>,
    /// Cases without a figure.
    pub left_out: Vec<LeftOut>,
}

/// Reads the results of one tool. Without `from`, the format is told from what is in the paths.
///
/// # Errors
/// A path can't be read, is in no known format or holds what its format does not allow, with file
/// and place; paths of different tools; two cases of one name; no figure at all.
pub fn read(paths: &[PathBuf], from: Option<Tool>) -> Result<Imported, ImportError> {
    let mut all: Option<Imported> = None;
    let mut names = BTreeSet::new();
    for path in paths {
        let tool = match from {
            Some(tool) => tool,
            None => detect(path)?,
        };
        let (figures, left_out) = match tool {
            Tool::Criterion => criterion::read(path)?,
            Tool::Gungraun => gungraun::read(path)?,
            Tool::Hyperfine => hyperfine::read(path)?,
            Tool::LlamaBench => llama_bench::read(path)?,
        };
        if figures.is_empty() && left_out.is_empty() {
            return Err(ImportError::content(path, format!("no result of {tool}")));
        }
        let imported = all.get_or_insert_with(|| Imported {
            tool,
            sources: Vec::new(),
            figures: Vec::new(),
            left_out: Vec::new(),
        });
        if imported.tool != tool {
            return Err(ImportError::Tools {
                first: imported.tool,
                path: path.clone(),
                other: tool,
            });
        }
        if imported.figures.len() + figures.len() > CASES {
            let what = format!("more than {CASES} cases; import a part of them");
            return Err(ImportError::content(path, what));
        }
        sound(path, &figures, &left_out, &mut names)?;
        imported.sources.push(path.display().to_string());
        imported.figures.extend(figures);
        imported.left_out.extend(left_out);
    }
    all.ok_or(ImportError::NoPath)
}

/// Whether `text` is llama-bench's, by the words in it.
pub fn is_llama_bench(text: &str) -> bool {
    llama_bench::looks_like(text)
}

/// The tests in `text`, which a program wrote to stdout in one of llama-bench's forms. Each is called
/// by what it does alone, such as `tg128`.
///
/// # Errors
/// The text is not of its form, or a speed is not finite and above zero.
pub fn llama_bench_tests(text: &str) -> Result<Vec<Figure>, ImportError> {
    let origin = Path::new("stdout");
    let tests = llama_bench::tests_of(origin, text)?;
    match tests.iter().find_map(Figure::fault) {
        Some(fault) => Err(ImportError::content(origin, fault)),
        None => Ok(tests),
    }
}

/// Tells a tool from what `path` holds.
fn detect(path: &Path) -> Result<Tool, ImportError> {
    if source::is_folder(path)? {
        let criterion = !criterion::benchmarks(path)?.is_empty();
        let gungraun = !gungraun::summaries(path)?.is_empty();
        return match (criterion, gungraun) {
            (true, false) => Ok(Tool::Criterion),
            (false, true) => Ok(Tool::Gungraun),
            (true, true) => Err(ImportError::Ambiguous { path: path.into() }),
            (false, false) => Err(ImportError::Unknown { path: path.into() }),
        };
    }
    let text = source::text(path)?;
    let tool = if hyperfine::looks_like(&text) {
        Tool::Hyperfine
    } else if gungraun::looks_like(&text) {
        Tool::Gungraun
    } else if llama_bench::looks_like(&text) {
        Tool::LlamaBench
    } else {
        return Err(ImportError::Unknown { path: path.into() });
    };
    Ok(tool)
}
