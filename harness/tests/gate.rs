//! `bitgauge gate --against` as a user runs it, in a throwaway repository whose Cargo and whose program
//! are scripts.
#![cfg(target_os = "linux")]

mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use program::{Ended, bitgauge, end, refused};
use serde_json::{Value, json};

/// Serves cases of so many rounds an iteration. As a judge it refuses what is not right.
const WORKER: &str = r#"
while read -r line; do
    case $line in
    *'"hello"'*) echo "{\"name\":\"fake\",\"cases\":[$cases]}" ;;
    *'"run"'*)
        id=${line##*'"case":"'}
        id=${id%%'"'*}
        n=${line##*'"iterations":'}
        n=${n%%[!0-9]*}
        if [ "$2" = --judged ] && [ "$right" != yes ]; then
            echo '{"error":"off by 3","exit":3}'
            continue
        fi
        case $id in *x) rounds=$x ;; *) rounds=$y ;; esac
        begin=${EPOCHREALTIME/[^0-9]/}
        for ((i = 0; i < n * rounds; i++)); do :; done
        end=${EPOCHREALTIME/[^0-9]/}
        echo "{\"ns\":$(((end - begin) * 1000)),\"check\":\"$answer\"}"
        ;;
    *) exit 0 ;;
    esac
done
"#;

/// Builds the program of the tree that it is run in.
const CARGO: &str = r#"#!/usr/bin/env bash
mkdir -p "$CARGO_TARGET_DIR/release"
{ echo '#!/usr/bin/env bash'; cat settings worker.sh; } > "$CARGO_TARGET_DIR/release/bitgauge"
chmod +x "$CARGO_TARGET_DIR/release/bitgauge"
"#;

/// A side: the rounds of cases `p/x` and `p/y`, what it answers, whether a judge finds that right, and
/// the cases that it has.
#[derive(Clone, Copy)]
struct Side {
    x: u32,
    y: u32,
    answer: &'static str,
    right: bool,
    cases: &'static [&'static str],
}

const FAST: u32 = 60;
const SLOW: u32 = 180;

const SIDE: Side = Side {
    x: FAST,
    y: FAST,
    answer: "a1",
    right: true,
    cases: &["p/x", "q/y"],
};

impl Side {
    fn settings(&self) -> String {
        let Self { x, y, answer, .. } = self;
        let right = if self.right { "yes" } else { "no" };
        let cases: Vec<String> = self
            .cases
            .iter()
            .map(|c| json!({"id": c}).to_string())
            .collect();
        let cases = cases.join(",");
        format!("x={x} y={y} answer={answer} right={right} cases='{cases}'\n")
    }
}

struct Repository(tempfile::TempDir);

impl Repository {
    /// `before` is committed, and `after` lies in the work tree.
    fn of(before: Side, after: Side) -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        fs::write(repository.path("cargo"), CARGO).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(repository.path("cargo"), executable).unwrap();
        fs::write(repository.path("worker.sh"), WORKER).unwrap();
        fs::write(repository.path("settings"), before.settings()).unwrap();
        for arguments in [
            &["init", "--quiet"][..],
            &["add", "worker.sh", "settings"],
            &["commit", "--quiet", "-m", "before"],
        ] {
            let identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
            let mut git = Command::new("git");
            git.current_dir(repository.0.path()).args(identity);
            assert!(git.args(arguments).status().unwrap().success());
        }
        fs::write(repository.path("settings"), after.settings()).unwrap();
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn gate(&self, more: &[&str]) -> (Ended, Value) {
        let ended = end(&mut self.command(more));
        let document = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|e| panic!("stdout is no document ({e}): {ended:?}"));
        (ended, document)
    }

    fn command(&self, more: &[&str]) -> Command {
        let fixed = ["--json", "gate", "--against", "HEAD", "--link-orders", "0"];
        let rules = ["--margin", "60%", "--alpha", "10%", "--seed", "1"];
        let mut command = bitgauge(fixed.iter().chain(&rules).chain(more));
        command
            .current_dir(self.0.path())
            .env("CARGO", self.path("cargo"))
            .env_remove("CARGO_TARGET_DIR");
        command
    }
}

/// Id and verdict of each case.
fn verdicts(document: &Value) -> Vec<[&str; 2]> {
    let cases = document["cases"].as_array().unwrap().iter();
    cases
        .map(|case| ["case", "verdict"].map(|field| case[field].as_str().unwrap()))
        .collect()
}

/// Whatever got faster beside it.
#[test]
fn what_got_slower_since_the_revision_is_status_1() {
    let before = Side { y: SLOW, ..SIDE };
    let after = Side { x: SLOW, ..SIDE };
    let (ended, document) = Repository::of(before, after).gate(&[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let want = [["p/x", "regressed"], ["q/y", "improved"]];
    assert_eq!(verdicts(&document), want, "{ended:?}");
    let slower = &document["cases"][0];
    let number = |field: &str| slower[field].as_f64().unwrap();
    assert!(number("speedup") < 0.6 && number("high") < 1.0, "{slower}");
    assert!(number("before_ns") < number("after_ns"), "{slower}");
    assert!(
        document["before"]["name"]
            .as_str()
            .unwrap()
            .starts_with("HEAD")
    );
    let after = document["after"]["name"].as_str().unwrap();
    assert!(after.contains("+changes"), "{after}");
}

#[test]
fn the_work_tree_s_answers_are_judged_and_no_others() {
    let wrong = Side {
        right: false,
        ..SIDE
    };
    let (ended, document) = Repository::of(SIDE, wrong).gate(&[]);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert_eq!(
        verdicts(&document),
        [[""; 2]; 0],
        "a time of a wrong answer"
    );
    // What was wrong before and is right now is for nobody to refuse.
    let (ended, _) = Repository::of(wrong, SIDE).gate(&["--case", "p/x"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn sides_that_answer_otherwise_are_status_3_unless_that_is_allowed() {
    let other = Side {
        answer: "b2",
        ..SIDE
    };
    let repository = Repository::of(SIDE, other);
    let (ended, document) = repository.gate(&["--case", "p/x"]);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert_eq!(document["cases"], json!([]));
    let (ended, _) = repository.gate(&["--case", "p/x", "--allow-different-output"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

/// Any of the texts is enough; and what has nothing to be compared with is told.
#[test]
fn cases_are_chosen_by_any_text_and_those_of_one_side_are_told() {
    let after = Side {
        cases: &["p/x", "q/y", "r/y", "q/new"],
        ..SIDE
    };
    let before = Side {
        cases: &["p/x", "q/y", "r/y"],
        ..SIDE
    };
    let repository = Repository::of(before, after);
    let (ended, document) = repository.gate(&["--case", "p/", "--case", "q/"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let chosen: Vec<&str> = verdicts(&document).iter().map(|[case, _]| *case).collect();
    assert_eq!(chosen, ["p/x", "q/y"]);
    assert!(
        ended.stderr.contains("case q/new is only in work tree"),
        "{ended:?}"
    );
    let mut misspelt = repository.command(&["--case", "p/", "--case", "p/misspelt"]);
    refused(&mut misspelt, "holds p/misspelt");
}

#[test]
fn a_case_that_the_time_did_not_suffice_for_is_not_passed_over() {
    let (ended, document) = Repository::of(SIDE, SIDE).gate(&["--max-time", "0.001"]);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let left = document["not_checked"].as_array().unwrap().len();
    assert_eq!(left + verdicts(&document).len(), 2, "{document}");
    assert!(left > 0, "{document}");
}
