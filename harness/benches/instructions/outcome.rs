//! What gungraun keeps of each case, looked at before and after: a baseline that is missing is not
//! compared with, and a count that is missing or zero is not a count.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::plan::{Plan, Planned, identifier};

/// The folder of a case, and its name in the names of files.
fn folder(home: &Path, case: &Planned) -> (PathBuf, String) {
    let name = format!("{}.{}", identifier(&case.isa), identifier(&case.name));
    let group = home.join("bitgauge/instructions/simulated/counts");
    (group.join(&name), name)
}

/// The cases of the plan that lack this baseline.
pub fn without_baseline<'p>(home: &Path, plan: &'p Plan, baseline: &str) -> Vec<&'p str> {
    let lacks = |case: &&Planned| {
        let (folder, name) = folder(home, case);
        !folder
            .join(format!("callgrind.{name}.out.base@{baseline}"))
            .is_file()
    };
    names(plan.cases.iter().filter(lacks))
}

/// Removes what an earlier run has said of the cases, so that it is not read as this one's.
///
/// # Errors
/// The file that can't be removed, and why.
pub fn forget(home: &Path, plan: &Plan) -> Result<(), String> {
    for case in &plan.cases {
        let summary = folder(home, case).0.join("summary.json");
        match std::fs::remove_file(&summary) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(format!("{} can't be removed: {e}", summary.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The cases of which no instruction was counted.
pub fn uncounted<'p>(home: &Path, plan: &'p Plan) -> Vec<&'p str> {
    let counted = |case: &Planned| {
        let summary = folder(home, case).0.join("summary.json");
        let text = std::fs::read_to_string(summary).ok()?;
        instructions(&text).filter(|&count| count > 0)
    };
    names(plan.cases.iter().filter(|case| counted(case).is_none()))
}

/// The instructions that a summary of gungraun says were counted in this run.
pub fn instructions(summary: &str) -> Option<u64> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    let values = summary.pointer("/profiles/0/data/total/metrics/Ir/values")?;
    values.get("new")?.as_u64()
}

fn names<'p>(cases: impl Iterator<Item = &'p Planned>) -> Vec<&'p str> {
    cases.map(|case| case.name.as_str()).collect()
}
