//! Threads that begin a slice at the same moment, and sleep between slices.

use crate::machine::{allowed_cpus, pin_current_thread};
use crate::measure::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One thread's share of a yardstick.
pub(super) trait Worker: Send {
    /// Does the work; the value proves that it was done.
    fn run(&mut self, iterations: u64) -> u64;

    /// What the last run of so many iterations must have given. Called after the clock stopped.
    fn want(&self, iterations: u64) -> u64;
}

/// One thread's value of a slice and the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) got: u64,
    pub(super) want: u64,
}

struct Done {
    start: Instant,
    end: Instant,
    checked: Checked,
}

/// Workers on threads of their own. Two or more are held to processors of their own where there
/// are enough, since threads that the scheduler has put on one core take turns, and the sum of
/// two cores is then never seen.
pub(super) struct Team {
    members: Vec<Member>,
}

struct Member {
    /// Closed to end the thread.
    jobs: Option<Sender<u64>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

/// Where members meet before each slice.
struct Gate {
    members: u64,
    /// Arrivals of all slices together.
    arrived: AtomicU64,
    /// Set when a member has panicked and will arrive no more.
    broken: AtomicBool,
    /// Whether to spin until all have come, so that all are running when the slice begins.
    spin: bool,
}

impl Team {
    pub(super) fn start(workers: Vec<Box<dyn Worker>>) -> Result<Self, Failure> {
        if workers.is_empty() {
            return Err(Failure::new("a yardstick needs at least 1 thread"));
        }
        let cpus = allowed_cpus().unwrap_or_default();
        let own_cpus = workers.len() > 1 && workers.len() <= cpus.len();
        let gate = Arc::new(Gate {
            members: workers.len() as u64,
            arrived: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            spin: own_cpus,
        });
        let members = workers
            .into_iter()
            .enumerate()
            .map(|(i, worker)| {
                let cpu = cpus.get(i).copied().filter(|_| own_cpus);
                Member::start(worker, Arc::clone(&gate), cpu)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { members })
    }

    /// Runs all workers and waits for the last. The time is from the first start to the last end;
    /// no worker starts before all have come.
    pub(super) fn run(&mut self, iterations: u64) -> Result<(Duration, Vec<Checked>), Failure> {
        let ended = || Failure::new("a thread of the yardstick ended");
        for member in &self.members {
            let jobs = member.jobs.as_ref().ok_or_else(ended)?;
            jobs.send(iterations).map_err(|_| ended())?;
        }
        let all = self
            .members
            .iter()
            .map(|member| member.done.recv().map_err(|_| ended()))
            .collect::<Result<Vec<_>, _>>()?;
        let start = all.iter().map(|d| d.start).min().ok_or_else(ended)?;
        let end = all.iter().map(|d| d.end).max().ok_or_else(ended)?;
        Ok((end - start, all.into_iter().map(|d| d.checked).collect()))
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.jobs = None;
        }
        for member in &mut self.members {
            if let Some(thread) = member.thread.take() {
                // A member that panicked has been reported by `run`.
                let _ = thread.join();
            }
        }
    }
}

impl Member {
    fn start(
        mut worker: Box<dyn Worker>,
        gate: Arc<Gate>,
        cpu: Option<usize>,
    ) -> Result<Self, Failure> {
        let (jobs, todo) = channel::<u64>();
        let (finished, done) = channel();
        let thread = std::thread::Builder::new()
            .name("yardstick".into())
            .spawn(move || {
                let _breaks = BreaksOnPanic(&gate);
                if let Some(cpu) = cpu {
                    // Where it fails, the scheduler's choice of a core has to do.
                    pin_current_thread(cpu);
                }
                for (slice, iterations) in (1..).zip(todo) {
                    if !gate.pass(slice) {
                        return;
                    }
                    let start = Instant::now();
                    let got = worker.run(iterations);
                    let end = Instant::now();
                    let want = worker.want(iterations);
                    let done = Done {
                        start,
                        end,
                        checked: Checked { got, want },
                    };
                    if finished.send(done).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| Failure::new(format!("no thread for the yardstick: {e}")))?;
        Ok(Self {
            jobs: Some(jobs),
            done,
            thread: Some(thread),
        })
    }
}

impl Gate {
    /// Waits for all members; false when one will not come.
    fn pass(&self, slice: u64) -> bool {
        let all = slice * self.members;
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut spins = 0_u32;
        // About a millisecond, after which the others are waiting for a processor themselves.
        let patience = if self.spin { 1 << 15 } else { 1 << 8 };
        while self.arrived.load(Ordering::Acquire) < all {
            if self.broken.load(Ordering::Acquire) {
                return false;
            }
            if spins < patience {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        true
    }
}

struct BreaksOnPanic<'g>(&'g Gate);

impl Drop for BreaksOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes when it ran.
    struct Clocked {
        nap: Duration,
        starts: Sender<Instant>,
    }

    impl Worker for Clocked {
        fn run(&mut self, iterations: u64) -> u64 {
            self.starts.send(Instant::now()).unwrap();
            std::thread::sleep(self.nap);
            iterations
        }

        fn want(&self, iterations: u64) -> u64 {
            iterations
        }
    }

    #[test]
    fn time_is_that_of_the_last_thread_and_all_run_each_slice() {
        for threads in [1, 2, 5] {
            let (starts, noted) = channel();
            let workers = (0..threads)
                .map(|i| {
                    Box::new(Clocked {
                        nap: Duration::from_millis(if i + 1 == threads { 20 } else { 0 }),
                        starts: starts.clone(),
                    }) as Box<dyn Worker>
                })
                .collect();
            let mut team = Team::start(workers).unwrap();
            for _ in 0..3 {
                let before = Instant::now();
                let (time, checked) = team.run(7).unwrap();
                assert!(time >= Duration::from_millis(20) && time <= before.elapsed());
                assert_eq!(checked, vec![Checked { got: 7, want: 7 }; threads]);
            }
            drop(team);
            drop(starts);
            assert_eq!(noted.iter().count(), 3 * threads);
        }
    }

    #[test]
    fn a_thread_that_panics_is_an_error_and_no_hang() {
        struct Bomb;
        impl Worker for Bomb {
            fn run(&mut self, _: u64) -> u64 {
                std::panic::panic_any("expected by the test")
            }
            fn want(&self, _: u64) -> u64 {
                0
            }
        }
        struct Fine;
        impl Worker for Fine {
            fn run(&mut self, _: u64) -> u64 {
                0
            }
            fn want(&self, _: u64) -> u64 {
                0
            }
        }
        let mut team = Team::start(vec![Box::new(Fine), Box::new(Bomb)]).unwrap();
        assert!(team.run(1).is_err());
        assert!(team.run(1).is_err());
    }

    #[test]
    fn a_team_of_nobody_is_refused() {
        assert!(Team::start(vec![]).is_err());
    }
}
