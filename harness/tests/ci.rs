//! ci/gate.sh, with a `cargo` that ends as it is told: silence is not success; and ci/peers.sh, with
//! a peer that reports what it is told.
#![cfg(unix)]

mod ci {
    mod peers;
}

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A repository of two commits with the script in it, and the `cargo` that it meets.
struct Repository {
    root: tempfile::TempDir,
}

const CARGO: &str = r#"#!/bin/sh
echo "$@" > called
if [ "$WRITES" = yes ]; then
    mkdir -p target/ci-gate
    for file in verdicts.json report.md junit.xml; do echo "$ENDS" > target/ci-gate/$file; done
fi
exit "$ENDS"
"#;

impl Repository {
    fn new() -> Self {
        let repository = Self {
            root: tempfile::tempdir().unwrap(),
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/gate.sh");
        for folder in ["ci", "bin"] {
            fs::create_dir(repository.path(folder)).unwrap();
        }
        fs::copy(script, repository.path("ci/gate.sh")).unwrap();
        fs::write(repository.path("bin/cargo"), CARGO).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(repository.path("bin/cargo"), executable).unwrap();
        repository.git(&["init", "--quiet"]);
        for message in ["one", "two"] {
            repository.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        }
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
        let out = Command::new("git")
            .current_dir(self.root.path())
            .args(identity)
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{arguments:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    fn gate(
        &self,
        arguments: &[&str],
        ends: i32,
        writes: bool,
        settings: &[(&str, &str)],
    ) -> Output {
        let path = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        Command::new("bash")
            .arg(self.path("ci/gate.sh"))
            .args(arguments)
            .env("PATH", path)
            .env("ENDS", ends.to_string())
            .env("WRITES", if writes { "yes" } else { "no" })
            .env_remove("GATE_MARGIN")
            .env_remove("GATE_UNCLEAR")
            .env_remove("GATE_OUT")
            .envs(settings.iter().copied())
            .output()
            .unwrap()
    }

    fn ends_with(&self, ends: i32, writes: bool, settings: &[(&str, &str)]) -> Option<i32> {
        self.gate(&[], ends, writes, settings).status.code()
    }
}

#[test]
fn the_exit_status_of_the_gate_passes_through() {
    let repository = Repository::new();
    for status in [0, 1, 2, 3, 5] {
        assert_eq!(repository.ends_with(status, true, &[]), Some(status));
    }
    assert_eq!(
        repository.ends_with(101, false, &[]),
        Some(2),
        "it did not build"
    );
}

#[test]
fn what_unclear_does_is_a_setting() {
    let repository = Repository::new();
    for (setting, status) in [("pass", 0), ("fail", 4), ("perhaps", 2)] {
        let ended = repository.ends_with(4, true, &[("GATE_UNCLEAR", setting)]);
        assert_eq!(ended, Some(status), "{setting}");
    }
    assert_eq!(repository.ends_with(4, true, &[]), Some(0), "the default");
}

#[test]
fn a_gate_without_a_report_did_not_hold() {
    let repository = Repository::new();
    for status in [0, 1, 4] {
        assert_eq!(
            repository.ends_with(status, false, &[]),
            Some(2),
            "{status}"
        );
    }
    // Nor does the report of the run before count.
    assert_eq!(repository.ends_with(0, true, &[]), Some(0));
    assert_eq!(repository.ends_with(0, false, &[]), Some(2));
}

#[test]
fn the_revision_is_the_one_named_or_the_parent() {
    let repository = Repository::new();
    let against = |arguments: &[&str]| {
        let ended = repository.gate(arguments, 0, true, &[]);
        let called = fs::read_to_string(repository.path("called")).unwrap();
        fs::remove_file(repository.path("called")).unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let words: Vec<String> = called.split_whitespace().map(str::to_owned).collect();
        let at = words.iter().position(|w| w == "--against").unwrap();
        words[at + 1].clone()
    };
    let (first, second) = (
        repository.git(&["rev-parse", "HEAD~1"]),
        repository.git(&["rev-parse", "HEAD"]),
    );
    assert_eq!(against(&[]), first);
    assert_eq!(against(&["HEAD"]), second);
    // A branch with a commit of its own: where it left origin/main.
    repository.git(&["update-ref", "refs/remotes/origin/main", &first]);
    repository.git(&["commit", "--quiet", "--allow-empty", "-m", "three"]);
    assert_eq!(against(&[]), first);
}

/// Where none is named, the margin is what `calibrate` found.
#[test]
fn a_margin_is_passed_on_only_where_it_is_set() {
    let repository = Repository::new();
    for (settings, passed) in [
        (&[][..], false),
        (&[("GATE_MARGIN", "")], false),
        (&[("GATE_MARGIN", "5%")], true),
    ] {
        assert_eq!(repository.ends_with(0, true, settings), Some(0));
        let called = fs::read_to_string(repository.path("called")).unwrap();
        assert_eq!(called.contains("--margin"), passed, "{called}");
        assert_eq!(called.contains("--margin 5% --max-time 120"), passed);
    }
}

#[test]
fn what_is_no_revision_is_refused_before_anything_runs() {
    let repository = Repository::new();
    for arguments in [&["nowhere"][..], &["--upload-pack=x"], &["HEAD", "HEAD"]] {
        let ended = repository.gate(arguments, 0, true, &[]);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {ended:?}");
        assert!(!repository.path("called").exists());
    }
}

#[test]
fn only_a_folder_of_verdicts_is_removed() {
    let repository = Repository::new();
    let precious = repository.path("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "").unwrap();
    let settings = [("GATE_OUT", precious.to_str().unwrap())];
    assert_eq!(repository.ends_with(0, true, &settings), Some(2));
    assert!(precious.join("file").exists());
}
