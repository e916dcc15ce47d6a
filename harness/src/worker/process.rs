//! A child process and its group: watched without being reaped, ended together.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The leader of a process group of its own. Dropping it ends the group.
pub(super) struct Process {
    pub(super) child: Child,
    status: Option<ExitStatus>,
}

impl Process {
    pub(super) fn new(child: Child) -> Self {
        Self {
            child,
            status: None,
        }
    }

    /// Whether it has ended. It stays unreaped, so that its number, which is the group's too,
    /// can't go to another process before [`Process::end`] has used it.
    pub(super) fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let id = WaitId::Pid(Pid::from_child(&self.child));
        self.status.is_some() || !matches!(waitid(id, options), Ok(None))
    }

    /// Waits for its end; false where it goes on after `patience`.
    pub(super) fn exits_within(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while !self.has_exited() {
            if start.elapsed() >= patience {
                return false;
            }
            sleep(Duration::from_millis(1));
        }
        true
    }

    /// Kills what is left of the group and reaps the leader. `None` where the system lost it.
    pub(super) fn end(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // Fails only where nothing of the group is left.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            self.status = self.child.wait().ok();
        }
        self.status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
