//! Two command lines, timed from start to end or by what they report of themselves. Every run is a
//! process of its own, so each A B B A block is a placement.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::reported::Reporter;
use super::{Field, Open, Outcome, Plan, Watch};
use crate::exit::Exit;
use crate::measure::{Digest, Entrant, Failure, Pace, Timed, Tolerance, Trial, Verified};
use crate::process::{Ended, Group};

/// How command lines are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Run before each timed run, and not timed.
    pub prepare: Option<String>,
    /// Runs of each side that are discarded.
    pub warmup: u32,
    /// Time that a run has.
    pub timeout: Duration,
    /// Whether a run may end with another exit status than 0.
    pub ignore_failure: bool,
    /// Whether both sides must write the same bytes to stdout.
    pub same_output: bool,
    /// How the time of a run is reported by the program; `None` where its wall time is taken. Not
    /// beside `same_output`: times are never the same.
    pub reported: Option<Reporter>,
}

/// One side.
struct CommandLine<'a> {
    words: Words,
    text: &'a str,
    settings: &'a Settings,
    /// What it did in its last run, where that is compared.
    done: Option<Done>,
}

/// What is known of a run, beside its time.
#[derive(PartialEq)]
enum Done {
    /// It wrote this to stdout.
    Output(Digest),
    /// It says that it ran this test.
    Test(String),
}

/// How a command line is started.
enum Words {
    Program(Vec<String>),
    Shell(String),
}

/// Characters that mean something to a shell, so that it has to be asked.
const FOR_A_SHELL: &[char] = &[
    '|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '[', '#', '~', '%', '{', '}', '\n',
];

impl Words {
    /// Starts the program itself where it can: a shell takes time of its own.
    fn new(text: &str) -> Result<Self, Failure> {
        let bare: String = unquoted(text);
        match shlex::split(text) {
            _ if bare.contains(FOR_A_SHELL) => Ok(Self::Shell(text.to_owned())),
            Some(words) if words.first().is_some_and(|w| !w.contains('=')) => {
                Ok(Self::Program(words))
            }
            Some(words) if words.is_empty() => Err(Failure::new("an empty command line")),
            Some(_) => Ok(Self::Shell(text.to_owned())),
            None => Err(Failure::new(format!(
                "command line `{text}`: a quote or an escape is not closed"
            ))),
        }
    }

    fn command(&self) -> std::process::Command {
        match self {
            Self::Program(words) => {
                let mut command = std::process::Command::new(&words[0]);
                command.args(&words[1..]);
                command
            }
            Self::Shell(text) => {
                let mut command = std::process::Command::new("sh");
                command.args(["-c", text]);
                command
            }
        }
    }
}

/// `text` without what stands in single quotes, where a shell sees nothing but characters.
fn unquoted(text: &str) -> String {
    text.split('\'').step_by(2).collect()
}

impl CommandLine<'_> {
    fn once(&mut self) -> Result<Duration, Failure> {
        if let Some(prepare) = &self.settings.prepare {
            run(
                &Words::Shell(prepare.clone()),
                prepare,
                self.settings,
                false,
            )?;
        }
        let keep = self.settings.same_output || self.settings.reported.is_some();
        let (wall, output) = run(&self.words, self.text, self.settings, keep)?;
        let (time, done) = match (self.settings.reported, output) {
            (_, None) => (wall, None),
            (None, Some(output)) => {
                let digest = Digest::of_reader(output).map_err(|e| self.unreadable(e))?;
                (wall, Some(Done::Output(digest)))
            }
            (Some(reporter), Some(output)) => {
                let said = reporter
                    .read(&bytes(output).map_err(|e| self.unreadable(e))?)
                    .map_err(|what| Failure::new(format!("`{}` {what}", self.text)))?;
                (said.token, Some(Done::Test(said.test)))
            }
        };
        if self.done.is_some() && self.done != done {
            let what = match self.settings.reported {
                None => "wrote other output than in its first run",
                Some(_) => "reports another test than in its first run",
            };
            return Err(Failure::new(format!("`{}` {what}", self.text)));
        }
        self.done = done;
        Ok(time)
    }

    fn unreadable(&self, error: io::Error) -> Failure {
        let text = self.text;
        Failure::new(format!("`{text}` wrote output that can't be read: {error}"))
    }
}

/// Runs a command line once.
fn run(
    words: &Words,
    text: &str,
    settings: &Settings,
    keep_output: bool,
) -> Result<(Duration, Option<File>), Failure> {
    let fail = |what: String| Failure::new(format!("`{text}` {what}"));
    let mut output = match keep_output {
        true => {
            Some(tempfile::tempfile().map_err(|e| fail(format!("has no place to write: {e}")))?)
        }
        false => None,
    };
    let stdout = match &output {
        Some(file) => Stdio::from(
            file.try_clone()
                .map_err(|e| fail(format!("has no place to write: {e}")))?,
        ),
        None => Stdio::null(),
    };
    let mut command = words.command();
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null());
    let begin = Instant::now();
    let mut group =
        Group::start(&mut command).map_err(|e| fail(format!("could not be started: {e}")))?;
    let ended = group.wait(settings.timeout);
    let time = begin.elapsed();
    match ended {
        Ended::TimedOut => {
            return Err(fail(format!(
                "did not end within {:?} and was killed",
                settings.timeout
            )));
        }
        Ended::Exited(status) if !status.success() && !settings.ignore_failure => {
            return Err(fail(format!(
                "failed with {status}; --ignore-failure would go on"
            )));
        }
        Ended::Exited(_) => {}
    }
    if let Some(file) = &mut output {
        file.rewind()
            .map_err(|e| fail(format!("wrote output that can't be read: {e}")))?;
    }
    Ok((time, output))
}

/// Reports of speeds are a few kilobytes.
const LONGEST_REPORT: u64 = 64 << 20;

fn bytes(file: File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > LONGEST_REPORT {
        let what = format!("{length} bytes; at most {LONGEST_REPORT} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_REPORT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Timed for CommandLine<'_> {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows in `time`, which is what runs call.
        let _ = self.time(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        (0..iterations).map(|_| self.once()).sum()
    }
}

/// Compares two command lines. Its one case is called `command`.
pub fn run_both(
    before: &str,
    after: &str,
    settings: &Settings,
    plan: &Plan,
    watch: &mut Watch<'_>,
) -> Outcome {
    let trial = Trial::new(plan.rules, Pace::COMMANDS, plan.seed);
    let mut field = Field::new(vec![Open::new("command".to_owned(), trial)], plan.max_time);
    match sides(before, after, settings) {
        Err((exit, why)) => field.open[0].fail(exit, why),
        Ok((mut before, mut after)) => {
            if let Some(Done::Output(digest)) = &before.case().done {
                field.open[0].check = Some(digest.to_string());
            }
            while field.open[0].is_open() && field.go_on("command", watch).is_continue() {
                let placed = field.open[0].trial.place(
                    Entrant::new("before", &mut before),
                    Entrant::new("after", &mut after),
                );
                if let Err(failed) = placed {
                    field.open[0].fail(Exit::CouldNotRun, failed.to_string());
                }
            }
        }
    }
    field.outcome()
}

type Sides<'a> = (Verified<CommandLine<'a>>, Verified<CommandLine<'a>>);

/// Warms both sides up, and compares what they write where that was asked for.
fn sides<'a>(
    before: &'a str,
    after: &'a str,
    settings: &'a Settings,
) -> Result<Sides<'a>, (Exit, String)> {
    let could_not = |failure: Failure| (Exit::CouldNotRun, failure.to_string());
    let side = |text: &'a str| -> Result<CommandLine<'a>, Failure> {
        let mut side = CommandLine {
            words: Words::new(text)?,
            text,
            settings,
            done: None,
        };
        // One run in any case, to see that it works at all.
        for _ in 0..settings.warmup.max(1) {
            side.once()?;
        }
        Ok(side)
    };
    let before = side(before).map_err(could_not)?;
    let after = side(after).map_err(could_not)?;
    if let (Some(Done::Test(b)), Some(Done::Test(a))) = (&before.done, &after.done)
        && a != b
    {
        let why = format!(
            "`{}` reports {b} and `{}` reports {a}; both must run the same test",
            before.text, after.text
        );
        return Err((Exit::CouldNotRun, why));
    }
    let (Some(Done::Output(b)), Some(Done::Output(a))) = (&before.done, &after.done) else {
        let [before, after] = [before, after].map(Verified::without_answer);
        return Ok((before, after));
    };
    let (b, a) = (b.as_answer(), a.as_answer());
    let check = |side, got, want| {
        Verified::check(side, got, want, Tolerance::Exact).map_err(|_| {
            let why = "the two command lines write different output to stdout, and --same-output wants the same";
            (Exit::WrongAnswers, why.to_owned())
        })
    };
    Ok((check(before, &b, &a)?, check(after, &a, &b)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_asked_only_where_it_is_needed() {
        let by_shell = |text: &str| matches!(Words::new(text).unwrap(), Words::Shell(_));
        for plain in [
            "sleep 0.1",
            "engine 'a | b' --x=1",
            "/bin/echo \"two words\"",
        ] {
            assert!(!by_shell(plain), "{plain}");
        }
        for shell in [
            "a | b",
            "echo $HOME",
            "A=1 engine",
            "cd x && y",
            "ls *.rs",
            "\"$X\"",
        ] {
            assert!(by_shell(shell), "{shell}");
        }
        assert!(Words::new("").is_err() && Words::new("a 'b").is_err());
    }
}
