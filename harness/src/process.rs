//! A child process and its group: watched without being reaped, ended together.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// The leader of a process group of its own. Dropping it ends the group.
#[derive(Debug)]
pub struct Group {
    /// The leader.
    pub child: Child,
    status: Option<ExitStatus>,
}

/// How a group's leader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It did not end in time and was killed, with its group.
    TimedOut,
}

impl Group {
    /// Starts `command` as the leader of a new group.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self {
            child: command.process_group(0).spawn()?,
            status: None,
        })
    }

    /// Whether it has ended. It stays unreaped, so that its number, which is the group's too,
    /// can't go to another process before [`Group::end`] has used it.
    pub fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let id = WaitId::Pid(Pid::from_child(&self.child));
        self.status.is_some() || !matches!(waitid(id, options), Ok(None))
    }

    /// Waits for its end; false where it goes on after `patience`.
    pub fn exits_within(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while !self.has_exited() {
            if start.elapsed() >= patience {
                return false;
            }
            sleep(Duration::from_millis(1));
        }
        true
    }

    /// Sleeps until its end, and returns as soon as that comes.
    pub fn wait(&mut self, timeout: Duration) -> Ended {
        let pid = Pid::from_child(&self.child);
        let (done, finished) = channel::<()>();
        let timed_out = std::thread::scope(|scope| {
            let watchdog = scope.spawn(move || {
                let late = finished.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout);
                if late {
                    // Fails only where nothing of the group is left.
                    let _ = kill_process_group(pid, Signal::KILL);
                }
                late
            });
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), options));
            drop(done);
            watchdog.join().unwrap_or(false)
        });
        match self.end() {
            Some(status) if !timed_out => Ended::Exited(status),
            _ => Ended::TimedOut,
        }
    }

    /// Stops the group for a while.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // Fails only where nothing of the group is left; until `end` reaps its leader, the number
        // can't belong to another.
        if self.status.is_none() {
            let _ = kill_process_group(Pid::from_child(&self.child), signal);
        }
    }

    /// Kills what is left of the group and reaps the leader. `None` where the system lost it.
    pub fn end(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // Fails only where nothing of the group is left.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            self.status = self.child.wait().ok();
        }
        self.status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    fn sh(script: &str) -> Group {
        Group::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn a_process_that_ends_tells_its_status() {
        let Ended::Exited(status) = sh("exit 7").wait(Duration::from_secs(20)) else {
            panic!("it ended");
        };
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_with_its_children() {
        let begin = Instant::now();
        let mut command = Command::new("sh");
        command
            .args(["-c", "sleep 60 & sleep 60"])
            .stdout(Stdio::piped());
        let mut group = Group::start(&mut command).unwrap();
        let mut stdout = group.child.stdout.take().unwrap();
        assert_eq!(group.wait(Duration::from_millis(100)), Ended::TimedOut);
        // The pipe ends when nobody is left who could write to it.
        stdout.read_to_end(&mut Vec::new()).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}
