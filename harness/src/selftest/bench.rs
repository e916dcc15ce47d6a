//! What items need of the program: its comparison of functions, and itself as a process.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Said;
use crate::compare::functions::{self, Contest};
use crate::compare::{Outcome, Plan, Watch};
use crate::process::{Ended, Group};
use crate::verdicts::Verdicts;

/// How functions are compared; [`functions::run`] or what a test puts in its place.
pub type Compare = fn(&[Contest], [&str; 2], &Plan, &mut Watch<'_>) -> Outcome;

/// The program under test.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Compares functions of this process.
    pub compare: Compare,
    /// The built `bitgauge`.
    pub program: PathBuf,
    /// Draws every order and place.
    pub seed: u64,
    /// Processors that this process may use.
    pub cpus: usize,
}

impl Bench {
    /// The comparison of this library, and `program`.
    pub fn new(program: PathBuf, seed: u64) -> Self {
        Self {
            compare: functions::run,
            program,
            seed,
            cpus: crate::machine::Machine::detect().usable.threads,
        }
    }

    /// A command line that makes the program a worker.
    pub(super) fn worker(&self, arguments: &[&str]) -> String {
        let program = self.program.to_string_lossy();
        let words = [&*program, "worker"].into_iter();
        let words: Vec<&str> = words.chain(arguments.iter().copied()).collect();
        // Fails only for a NUL, which no path and no argument of ours holds.
        shlex::try_join(words).unwrap_or_default()
    }

    /// Runs the program to its end, in `folder` where one is given.
    ///
    /// # Errors
    /// Why there is no exit status.
    pub(super) fn run(&self, arguments: &[&str], folder: Option<&Path>) -> Result<Ran, String> {
        /// No single call works longer than a third of this, however busy the machine.
        const LIMIT: Duration = Duration::from_secs(60);
        let failed = |e: std::io::Error| format!("{}: {e}", self.program.display());
        let mut streams = [
            tempfile::tempfile().map_err(failed)?,
            tempfile::tempfile().map_err(failed)?,
        ];
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            // What is planted must not be annotated as if it were the user's.
            .env_remove("GITHUB_ACTIONS")
            .stdin(Stdio::null())
            .stdout(streams[0].try_clone().map_err(failed)?)
            .stderr(streams[1].try_clone().map_err(failed)?);
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let ended = Group::start(&mut command).map_err(failed)?.wait(LIMIT);
        let mut texts = [String::new(), String::new()];
        for (stream, text) in streams.iter_mut().zip(&mut texts) {
            let mut bytes = Vec::new();
            stream.rewind().map_err(failed)?;
            stream.read_to_end(&mut bytes).map_err(failed)?;
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        let status = match ended {
            Ended::TimedOut => return Err(format!("no end within {LIMIT:?}; it was killed")),
            Ended::Exited(status) => status
                .code()
                .ok_or_else(|| format!("it was killed: {status}"))?,
        };
        let [stdout, stderr] = texts;
        Ok(Ran {
            status,
            stdout,
            // The same long path again and again hides what differs.
            stderr: stderr.replace(&*self.program.to_string_lossy(), "bitgauge"),
        })
    }

    /// Pairs two workers by `compare --workers --json`, with more arguments.
    ///
    /// # Errors
    /// As [`Bench::run`].
    pub(super) fn pair(&self, before: &str, after: &str, more: &[&str]) -> Result<Ran, String> {
        let seed = self.seed.to_string();
        let mut arguments = vec!["compare", "--json", "--seed", &seed, "--workers"];
        arguments.extend([before, after]);
        arguments.extend(more);
        self.run(&arguments, None)
    }
}

/// How a call of the program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ran {
    /// Its exit status.
    pub status: i32,
    /// What it wrote.
    pub stdout: String,
    /// The text beside it.
    pub stderr: String,
}

impl Ran {
    /// The verdicts that it wrote with `--json`.
    pub fn verdicts(&self) -> Option<Verdicts> {
        serde_json::from_str(&self.stdout).ok()
    }

    /// Holds the call against the status that it must end with and words that stderr must hold.
    pub fn must(&self, status: i32, words: &[&str]) -> Said {
        let missing: Vec<&&str> = words
            .iter()
            .filter(|w| !self.stderr.contains(**w))
            .collect();
        let held = self.status == status && missing.is_empty();
        let mut said = format!("exit {}: {}", self.status, self.gist(words));
        if !missing.is_empty() {
            said.push_str(&format!(" (not a word of {missing:?})"));
        }
        Said::new(held, said)
    }

    /// The line of stderr with the first of `words`, or else its last; the part around that word
    /// where the line is long.
    fn gist(&self, words: &[&str]) -> String {
        const SHOWN: usize = 260;
        const BEFORE: usize = 60;
        let lines = || self.stderr.lines().filter(|l| !l.trim().is_empty());
        let telling = |line: &str| words.first().and_then(|w| line.find(w));
        let line = lines()
            .find(|l| telling(l).is_some())
            .or(lines().next_back());
        let line = line.unwrap_or("(silence)").trim();
        if line.chars().count() <= SHOWN {
            return line.to_owned();
        }
        let word = telling(line).map_or(0, |at| line[..at].chars().count());
        let from = word.saturating_sub(BEFORE);
        let shown: String = line.chars().skip(from).take(SHOWN).collect();
        let cut = |it: bool| if it { "..." } else { "" };
        let more = line.chars().count() > from + SHOWN;
        format!("{}{shown}{}", cut(from > 0), cut(more))
    }
}

/// A call that has no exit status is never what was expected.
pub(super) fn judged(ran: Result<Ran, String>, judge: impl FnOnce(&Ran) -> Said) -> Said {
    match ran {
        Ok(ran) => judge(&ran),
        Err(why) => Said::new(false, why),
    }
}
