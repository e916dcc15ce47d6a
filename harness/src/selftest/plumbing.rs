//! The program's exit statuses where there is nothing to decide on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::bench::judged;
use super::misbehaviour::{HONEST, VICTIM};
use super::{Bench, Item, Said};

pub(super) fn items() -> Vec<Item> {
    let item = |id: &str, planted: &str, expected: &str, run: fn(&Bench) -> Said| Item {
        id: format!("plumbing/{id}"),
        planted: planted.to_owned(),
        expected: expected.to_owned(),
        seen_in: None,
        takes: Duration::from_millis(100),
        run: Box::new(run),
    };
    vec![
        item(
            "no-such-revision",
            "gate --against a revision that is not there",
            "exit 5, naming it",
            no_such_revision,
        ),
        item(
            "no-such-baseline",
            "gate --baseline with a file that is not there",
            "exit 5, naming it",
            |bench| baseline(None, bench),
        ),
        item(
            "corrupt-baseline",
            "gate --baseline with half of a file",
            "exit 5, naming it",
            |bench| baseline(Some("{\"schema\":1,\"machine"), bench),
        ),
        item(
            "empty-suite",
            "a selection that no case passes",
            "exit 2, saying what there is",
            empty_suite,
        ),
        item(
            "nothing-in-common",
            "two workers with different cases",
            "exit 2, saying what each has",
            nothing_in_common,
        ),
        item(
            "no-such-worker",
            "a worker that is not there",
            "exit 2, naming it",
            no_such_worker,
        ),
        item(
            "undecided",
            "a millisecond to tell a change of 0.01 %",
            "exit 4, unclear",
            undecided,
        ),
    ]
}

fn empty_suite(bench: &Bench) -> Said {
    let worker = bench.worker(&["--case", HONEST]);
    let ran = bench.pair(&worker, &worker, &["--case", "nothing/like/this"]);
    judged(ran, |ran| ran.must(2, &["nothing/like/this", HONEST]))
}

fn nothing_in_common(bench: &Bench) -> Said {
    let [before, after] = [HONEST, VICTIM].map(|case| bench.worker(&["--case", case]));
    let ran = bench.pair(&before, &after, &[]);
    judged(ran, |ran| ran.must(2, &["none in common", HONEST, VICTIM]))
}

fn no_such_worker(bench: &Bench) -> Said {
    let worker = bench.worker(&["--case", HONEST]);
    let ran = bench.pair(&worker, "./no-worker-of-this-name", &[]);
    judged(ran, |ran| ran.must(2, &["no-worker-of-this-name"]))
}

fn undecided(bench: &Bench) -> Said {
    let words = ["compare", "--json", HONEST, HONEST];
    let rules = ["--margin", "0.01%", "--max-time", "1ms"];
    let ran = bench.run(&[&words[..], &rules].concat(), None);
    judged(ran, |ran| ran.must(4, &["1 unclear"]))
}

fn no_such_revision(bench: &Bench) -> Said {
    let revision = "no-revision-of-this-name";
    match repository() {
        Err(why) => Said::skipped(why),
        Ok(folder) => {
            let ran = bench.run(&["gate", "--against", revision], Some(folder.path()));
            judged(ran, |ran| ran.must(5, &[revision]))
        }
    }
}

/// A repository of one empty commit, or why there is none.
fn repository() -> Result<tempfile::TempDir, String> {
    let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
    let author = [
        "-c",
        "user.name=selftest",
        "-c",
        "user.email=selftest@example.org",
    ];
    let commit = ["commit", "--quiet", "--allow-empty", "--message", "nothing"];
    git(folder.path(), &["init", "--quiet"])?;
    git(folder.path(), &[&author[..], &commit].concat())?;
    Ok(folder)
}

fn git(folder: &Path, words: &[&str]) -> Result<(), String> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(words)
        .stdin(Stdio::null());
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let output = command
        .output()
        .map_err(|e| format!("git could not be started: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "git {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// Gates against a file that holds `text`, or against none.
fn baseline(text: Option<&str>, bench: &Bench) -> Said {
    let known = bench.run(&["gate", "--help"], None);
    if known.is_ok_and(|ran| ran.status == 0 && !ran.stdout.contains("--baseline")) {
        return Said::skipped("this build's gate takes no --baseline");
    }
    let folder = match repository() {
        Ok(folder) => folder,
        Err(why) => return Said::skipped(why),
    };
    let name = "baseline-of-a-selftest.json";
    if let Some(text) = text
        && let Err(error) = fs::write(folder.path().join(name), text)
    {
        return Said::skipped(format!("no baseline could be written: {error}"));
    }
    let ran = bench.run(&["gate", "--baseline", name], Some(folder.path()));
    judged(ran, |ran| ran.must(5, &[name]))
}
