//! How a worker is started.

use crate::machine::{allowed_cpus, pin_current_thread};
use crate::process::Group;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Environment variable that moves a worker's stack.
const PADDING: &str = "BITGAUGE_PADDING";

/// A worker to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The logical processor that it is held to; `None` for those of this process. It is held
    /// before it starts threads of its own, so all of them are.
    pub cpu: Option<usize>,
    /// Bytes added to its environment, which lies above the stack: the stack begins elsewhere,
    /// and with it everything whose speed depends on alignment (Mytkowicz and others, "Producing
    /// Wrong Data Without Doing Anything Obviously Wrong!", 2009).
    pub padding: usize,
    /// The time that it has for each answer.
    pub timeout: Duration,
}

impl Launch {
    /// A worker by its words, held to no processor, with 60 s for each answer.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            cpu: None,
            padding: 0,
            timeout: Duration::from_secs(60),
        }
    }

    /// A worker by its command line, whose words are told apart as a shell does; nothing is
    /// expanded.
    ///
    /// # Errors
    /// A command line without words, or with a quote that is never closed.
    pub fn parse(command_line: &str) -> Result<Self, String> {
        match shlex::split(command_line) {
            None => Err(format!(
                "command line `{command_line}`: a quote or an escape is not closed"
            )),
            Some(words) if words.is_empty() => {
                Err("an empty command line names no worker".to_owned())
            }
            Some(words) => Ok(Self::new(words)),
        }
    }

    /// The command line, as a shell would take it.
    pub fn name(&self) -> String {
        shlex::try_join(self.command.iter().map(String::as_str))
            .unwrap_or_else(|_| format!("{:?}", self.command))
    }

    /// Starts it, in a process group of its own.
    pub(super) fn spawn(&self) -> Result<Group, String> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err("no command was given".to_owned());
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_remove(PADDING);
        if self.padding > 0 {
            command.env(PADDING, "x".repeat(self.padding));
        }
        match self.cpu {
            None => Group::start(&mut command).map_err(|e| explain(program, &e)),
            Some(cpu) => spawn_on(cpu, program, &mut command),
        }
    }
}

/// Spawns from a thread held to `cpu`: a child inherits the mask of the thread that made it.
fn spawn_on(cpu: usize, program: &str, command: &mut Command) -> Result<Group, String> {
    let spawn = || {
        if !pin_current_thread(cpu) {
            let allowed = allowed_cpus().map_or("unknown".to_owned(), |c| format!("{c:?}"));
            return Err(format!(
                "it can't be held to processor {cpu}; this process may use {allowed}"
            ));
        }
        Group::start(command).map_err(|e| explain(program, &e))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .spawn_scoped(scope, spawn)
            .map_err(|e| format!("no thread to start it from: {e}"))?;
        thread
            .join()
            .unwrap_or_else(|_| Err("the thread that starts it panicked".to_owned()))
    })
}

fn explain(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no program `{program}`"),
        _ => format!("`{program}`: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_as_a_shell_does() {
        let launch = Launch::parse(r#"engine 'two words' --name="a b" \$HOME"#).unwrap();
        assert_eq!(
            launch.command,
            ["engine", "two words", "--name=a b", "$HOME"]
        );
        assert_eq!(Launch::parse(&launch.name()).unwrap(), launch);
    }

    #[test]
    fn command_lines_that_name_nothing_are_refused() {
        for bad in ["", "  ", "engine 'open"] {
            assert!(Launch::parse(bad).is_err(), "{bad}");
        }
    }
}
