//! `bitgauge bisect` in a throwaway repository whose worker is a script.
#![cfg(unix)]

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use program::{Ended, bitgauge, end};
use serde_json::Value;

/// Does as many rounds an iteration as the file says that the build made.
const WORKER: &str = r#"
rounds=$(cat built)
answer=$(cat answer)
while read -r line; do
    case $line in
    *'"hello"'*) echo '{"name":"fake","cases":[{"id":"a"}]}' ;;
    *'"run"'*)
        n=${line##*'"iterations":'}
        n=${n%%[!0-9]*}
        begin=${EPOCHREALTIME/[^0-9]/}
        for ((i = 0; i < n * rounds; i++)); do :; done
        end=${EPOCHREALTIME/[^0-9]/}
        echo "{\"ns\":$(((end - begin) * 1000)),\"check\":\"$answer\"}"
        ;;
    *) exit 0 ;;
    esac
done
"#;

/// What a commit has: rounds, whether it builds, what it answers.
type Content = (u32, bool, &'static str);

const FAST: Content = (60, true, "a1");
const SLOW: Content = (120, true, "a1");

struct Repository {
    root: tempfile::TempDir,
    /// Where temporary trees go.
    trees: tempfile::TempDir,
}

impl Repository {
    fn of(commits: &[Content]) -> Self {
        let repository = Self {
            root: tempfile::tempdir().unwrap(),
            trees: tempfile::tempdir().unwrap(),
        };
        repository.git(&["init", "--quiet"]);
        repository.write("worker.sh", WORKER);
        for (number, (rounds, builds, answer)) in commits.iter().enumerate() {
            repository.write("number", &number.to_string());
            repository.write("rounds", &rounds.to_string());
            repository.write("builds", if *builds { "yes" } else { "no" });
            repository.write("answer", answer);
            repository.git(&["add", "."]);
            repository.git(&["commit", "--quiet", "-m", &format!("change {number}")]);
            repository.git(&["tag", &format!("c{number}")]);
        }
        // Changes of the user's that nobody may touch.
        repository.write("number", "mine");
        repository.write("untracked", "mine");
        repository
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
        let mut git = Command::new("git");
        let git = git.current_dir(self.path()).args(identity).args(arguments);
        let out = git.output().unwrap();
        assert!(out.status.success(), "{arguments:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    fn bisect(&self, range: &str, more: &[&str]) -> Command {
        let mut command = bitgauge(["--json", "bisect", range, "a", "--worker", "bash worker.sh"]);
        let build = "grep -q yes builds && cp rounds built";
        command
            .args(["--build", build, "--alpha", "20%", "--seed", "1"])
            .args(more)
            .current_dir(self.path())
            .env("TMPDIR", self.trees.path());
        command
    }

    fn found(&self, range: &str, more: &[&str]) -> (Ended, Value) {
        let ended = end(&mut self.bisect(range, more));
        self.is_as_it_was();
        let document = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|e| panic!("stdout is no document ({e}): {ended:?}"));
        (ended, document)
    }

    /// The user's tree is untouched, and no other is left.
    fn is_as_it_was(&self) {
        let status = self.git(&["status", "--porcelain"]);
        assert_eq!(status, " M number\n?? untracked\n");
        assert_eq!(self.git(&["worktree", "list"]).lines().count(), 1);
        let left: Vec<PathBuf> = fs::read_dir(self.trees.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn subjects(document: &Value, field: &str) -> Vec<String> {
    let of = |entry: &Value| {
        let subject = entry.get("subject").unwrap_or(&entry["commit"]["subject"]);
        subject.as_str().unwrap().to_owned()
    };
    document[field].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn the_slow_commit_is_found_past_one_that_does_not_build() {
    let mut commits = [FAST; 9];
    commits[6..].fill(SLOW);
    commits[4].1 = false;
    let repository = Repository::of(&commits);
    let (ended, document) = repository.found("c0..c8", &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(document["outcome"], "found");
    assert_eq!(subjects(&document, "suspects"), ["change 6"], "{ended:?}");
    assert_eq!(subjects(&document, "skipped"), ["change 4"]);
    let across = &document["across"];
    assert_eq!(across["before"]["subject"], "change 5");
    let speedup = across["verdict"]["speedup"].as_f64().unwrap();
    assert!((0.4..0.65).contains(&speedup), "{across}");
    assert!(document["builds"].as_u64().unwrap() <= 9, "{document}");
    assert!(ended.stderr.contains("first slower commit") && ended.stderr.contains("left"));
}

#[test]
fn commits_that_cannot_be_judged_leave_a_range() {
    // The culprit answers wrongly, the one before it does not build.
    let commits = [FAST, FAST, (60, false, "a1"), (120, true, "b2"), SLOW];
    let repository = Repository::of(&commits);
    let (ended, document) = repository.found("c0..", &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(document["outcome"], "range");
    assert_eq!(
        subjects(&document, "suspects"),
        ["change 2", "change 3", "change 4"]
    );
    let skipped = subjects(&document, "skipped");
    assert!(skipped.contains(&"change 2".into()) && skipped.contains(&"change 3".into()));
    assert!(ended.stderr.contains("one of these 3 commits"), "{ended:?}");
}

#[test]
fn without_a_slowdown_there_is_nothing_to_find() {
    let repository = Repository::of(&[FAST, SLOW, SLOW, FAST]);
    let (ended, document) = repository.found("c1..c3", &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(document["outcome"], "no_regression");
    assert!(ended.stderr.contains("nothing to find"));
}

#[test]
fn what_cannot_be_searched_is_refused_and_leaves_nothing_behind() {
    let repository = Repository::of(&[FAST, (60, false, "a1"), (60, true, "b2"), FAST]);
    for (range, more, status, reason) in [
        ("c0", &[][..], 2, "two dots"),
        ("c0...c3", &[], 2, "two dots"),
        ("nowhere..c3", &[], 2, "nowhere"),
        ("c3..c0", &[], 2, "no ancestor"),
        ("c0..c0", &[], 2, "no commit between"),
        ("c0..c1", &[], 2, "could not be built"),
        ("c0..c2", &[], 3, "b2"),
    ] {
        let ended = end(&mut repository.bisect(range, more));
        assert_eq!(ended.status, Some(status), "{range}: {ended:?}");
        assert!(ended.stderr.contains(reason), "{reason}: {ended:?}");
        assert_eq!(ended.stdout, "");
        repository.is_as_it_was();
    }
    let mut other = repository.bisect("c0..c3", &[]);
    let ended = end(other.args(["--timeout", "9"]).env("PATH", ""));
    assert_eq!(ended.status, Some(2), "{ended:?}");
}

#[test]
fn a_signal_ends_it_and_removes_the_trees() {
    let repository = Repository::of(&[FAST, FAST, SLOW]);
    let build = "sleep 0.5; cp rounds built";
    let mut command = bitgauge([
        "--json",
        "bisect",
        "c0..c2",
        "a",
        "--worker",
        "bash worker.sh",
    ]);
    let running = command
        .args(["--build", build])
        .current_dir(repository.path())
        .env("TMPDIR", repository.trees.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let mut kill = Command::new("kill");
    let kill = kill.args(["-INT", &running.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["outcome"], "stopped");
    assert_eq!(document["suspects"].as_array().unwrap().len(), 2);
    repository.is_as_it_was();
}
