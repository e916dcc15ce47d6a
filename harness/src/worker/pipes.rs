//! Lines to and from a worker, with a time limit.

use super::protocol::LONGEST_LINE;
use crate::process::Group;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use std::io::{self, Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

/// How often a worker that says nothing is asked whether it still lives: another process can hold
/// its pipe open after its death.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why there is no line.
#[derive(Debug)]
pub(super) enum NoLine {
    /// The worker ended.
    Exited,
    /// It closed its stdout.
    StdoutClosed,
    /// It closed its stdin.
    StdinClosed,
    /// The time is over.
    TimedOut,
    /// The line, whose beginning this is, is longer than [`LONGEST_LINE`].
    TooLong(Vec<u8>),
    /// It said this without having been asked.
    Unasked(Vec<u8>),
    /// The system failed.
    System(io::Error),
}

pub(super) struct Pipes {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Read, and not yet handed out.
    pending: Vec<u8>,
}

impl Pipes {
    pub(super) fn new(stdin: ChildStdin, stdout: ChildStdout) -> Self {
        Self {
            stdin: Some(stdin),
            stdout,
            pending: Vec::with_capacity(4096),
        }
    }

    /// Writes one line, unless the worker has said something that nobody asked for: it would be
    /// taken for the answer.
    pub(super) fn send(&mut self, line: &[u8]) -> Result<(), NoLine> {
        if !self.pending.is_empty() {
            return Err(NoLine::Unasked(std::mem::take(&mut self.pending)));
        }
        if self.readable(Duration::ZERO)? {
            return Err(match self.read()? {
                0 => NoLine::StdoutClosed,
                _ => NoLine::Unasked(std::mem::take(&mut self.pending)),
            });
        }
        let Some(stdin) = &mut self.stdin else {
            return Err(NoLine::StdinClosed);
        };
        stdin.write_all(line).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => NoLine::StdinClosed,
            _ => NoLine::System(error),
        })
    }

    /// Tells the worker that nothing more will be asked.
    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line, without its end.
    pub(super) fn receive(
        &mut self,
        deadline: Instant,
        process: &Group,
    ) -> Result<Vec<u8>, NoLine> {
        let mut searched = 0;
        loop {
            let newline = self.pending[searched..].iter().position(|b| *b == b'\n');
            if let Some(at) = newline {
                let rest = self.pending.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                return Ok(line);
            }
            searched = self.pending.len();
            if searched > LONGEST_LINE {
                return Err(NoLine::TooLong(std::mem::take(&mut self.pending)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NoLine::TimedOut);
            }
            if self.readable(left.min(LOOK_AGAIN))? {
                if self.read()? == 0 {
                    return Err(NoLine::StdoutClosed);
                }
            } else if process.has_exited() && !self.readable(Duration::ZERO)? {
                return Err(NoLine::Exited);
            }
        }
    }

    fn readable(&self, wait: Duration) -> Result<bool, NoLine> {
        let system = |e: rustix::io::Errno| NoLine::System(e.into());
        let wait = Timespec::try_from(wait).map_err(|e| NoLine::System(io::Error::other(e)))?;
        let mut watched = [PollFd::new(&self.stdout, PollFlags::IN)];
        retry_on_intr(|| poll(&mut watched, Some(&wait)))
            .map(|ready| ready > 0)
            .map_err(system)
    }

    /// Reads what is there; 0 at the end.
    fn read(&mut self) -> Result<usize, NoLine> {
        let mut chunk = [0; 4096];
        loop {
            match self.stdout.read(&mut chunk) {
                Ok(n) => {
                    self.pending.extend_from_slice(&chunk[..n]);
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(NoLine::System(e)),
            }
        }
    }
}
