//! The built program, run as a user runs it.

#![allow(
    dead_code,
    reason = "each test is a crate of its own and uses a part of this"
)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The repository's golden files.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// A call of `bitgauge` that does not inherit the settings of the machine that tests.
pub fn bitgauge<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitgauge"));
    command
        .args(arguments)
        .env_remove("BITGAUGE_ISA")
        .stdin(Stdio::null());
    command
}

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` when a signal killed it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// Runs `command` to its end. No command may ever panic, overflow its stack or be killed, whatever it is
/// given.
pub fn end(command: &mut Command) -> Ended {
    let begin = Instant::now();
    let output = command.output().unwrap();
    let ended = Ended {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        took: begin.elapsed(),
    };
    for bug in ["panicked at", "fatal runtime error"] {
        assert!(!ended.stderr.contains(bug), "{ended:?}");
    }
    assert!(ended.status.is_some(), "killed: {ended:?}");
    ended
}

/// Runs a command that must be refused: exit 2, nothing on stdout, and a reason on stderr that
/// holds `reason`.
pub fn refused(command: &mut Command, reason: &str) -> Ended {
    let ended = end(command);
    assert_eq!(ended.status, Some(2), "{command:?}: {ended:?}");
    assert_eq!(ended.stdout, "", "{command:?}");
    assert!(ended.stderr.contains(reason), "{reason}: {ended:?}");
    ended
}

/// A copy of the files of `folder`, which a test may spoil.
pub fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}
