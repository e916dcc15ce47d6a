//! Busy processes of our own, beside which a comparison has to hold.

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, getppid};

use crate::process::Group;

/// Processes that compute without end, unless they are paused. Dropping it ends them; should this
/// process be killed before that, they see that their parent is another one now, and end by
/// themselves: one that is paused is woken by the system then, since its group is an orphan.
pub struct Busy {
    processes: Vec<Group>,
}

/// Time between two looks at the parent.
const LOOK: Duration = Duration::from_millis(20);

impl Busy {
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
        let busy = Self { processes };
        // A process counts as busy once it computes.
        std::thread::sleep(LOOK);
        Ok(busy)
    }

    /// Stops them for a while.
    pub fn pause(&self) {
        self.processes.iter().for_each(Group::pause);
    }

    /// Lets them go on, and waits until they have their share of the processors.
    pub fn resume(&self) {
        self.processes.iter().for_each(Group::resume);
        std::thread::sleep(LOOK);
    }

    /// Whether none of them has ended.
    pub fn is_on(&self) -> bool {
        !self.processes.iter().any(Group::has_exited)
    }
}

/// Computes until the process `parent` is no longer the parent of this one.
pub fn compute(parent: i32) {
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
