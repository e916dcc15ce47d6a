//! Busy processes of our own, beside which a comparison has to hold.

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, getppid};

use crate::process::Group;

/// Processes that compute without end. Dropping it ends them; should this process be killed
/// before that, they see that their parent is another one now, and end by themselves.
pub struct Load {
    processes: Vec<Group>,
}

/// Time between two looks at the parent.
const LOOK: Duration = Duration::from_millis(20);

impl Load {
    /// Starts so many copies of `program`, which is a `bitgauge`.
    ///
    /// # Errors
    /// When one can't be started.
    pub fn start(program: &Path, processes: usize) -> io::Result<Self> {
        let start = |_| {
            Group::start(
                Command::new(program)
                    .args(["busy", &std::process::id().to_string()])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null()),
            )
        };
        let processes = (0..processes).map(start).collect::<io::Result<_>>()?;
        let load = Self { processes };
        // A process counts as load once it computes.
        std::thread::sleep(LOOK);
        Ok(load)
    }

    /// Whether all of them still compute.
    pub fn is_on(&self) -> bool {
        !self.processes.iter().any(Group::has_exited)
    }
}

/// Computes until the process `parent` is no longer the parent of this one.
pub fn busy(parent: i32) {
    while getppid().map(Pid::as_raw_pid) == Some(parent) {
        let begin = Instant::now();
        let mut x = 1_u64;
        while begin.elapsed() < LOOK {
            for _ in 0..10_000 {
                x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
    }
}
