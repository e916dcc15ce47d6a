//! Processor time of each thread of this process, from /proc/self/task/*/schedstat.

use super::Files;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;
use std::time::Instant;

/// Processor time of all threads at one moment. Two samples give each thread's utilisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSample {
    /// Wall time in nanoseconds since the first sample of this process.
    pub wall_ns: u64,
    /// The threads that were alive, by thread id.
    pub threads: Vec<ThreadTime>,
}

/// One thread's processor time since it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadTime {
    /// The kernel's thread id.
    pub id: u64,
    /// The thread's name, cut to 15 bytes by the kernel.
    pub name: Option<String>,
    /// Nanoseconds on a processor. For a thread that is running, up to date to one tick of the
    /// scheduler (1 to 10 ms), so intervals should be much longer.
    pub on_cpu_ns: u64,
    /// Nanoseconds ready to run with no processor free.
    pub waiting_ns: u64,
}

/// How busy one thread was between two samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadUse {
    /// The kernel's thread id.
    pub id: u64,
    /// The thread's name.
    pub name: Option<String>,
    /// Time on a processor / wall time; 1 is always busy.
    pub utilisation: f64,
    /// Time ready to run with no processor free / wall time.
    pub waiting: f64,
}

/// A sample of now; `None` where the kernel does not count (other systems, or a Linux without
/// scheduler statistics).
pub fn cpu_time() -> Option<CpuSample> {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let threads = read(&Files::system())?;
    Some(CpuSample {
        wall_ns: start.elapsed().as_nanos() as u64,
        threads,
    })
}

/// The kernel's id of the calling thread, as [`ThreadTime::id`] has it; `None` where the system
/// does not say.
pub fn current_thread() -> Option<u64> {
    let own = std::fs::read_link("/proc/thread-self").ok()?;
    own.file_name()?.to_str()?.parse().ok()
}

fn read(files: &Files) -> Option<Vec<ThreadTime>> {
    let mut threads: Vec<ThreadTime> = std::fs::read_dir(files.path("proc/self/task"))
        .ok()?
        .filter_map(|entry| {
            let id: u64 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let dir = format!("proc/self/task/{id}");
            // A thread that ended since the folder was listed is left out.
            let (on_cpu_ns, waiting_ns) = parse(&files.line(format!("{dir}/schedstat"))?)?;
            Some(ThreadTime {
                id,
                name: files.line(format!("{dir}/comm")),
                on_cpu_ns,
                waiting_ns,
            })
        })
        .collect();
    // The caller has run, so a kernel that counts has counted something.
    let counted = threads.iter().any(|t| t.on_cpu_ns > 0);
    threads.sort_by_key(|t| t.id);
    counted.then_some(threads)
}

/// `on_cpu waiting timeslices`, the first two in nanoseconds.
fn parse(schedstat: &str) -> Option<(u64, u64)> {
    let mut parts = schedstat.split(' ').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

impl CpuSample {
    /// Utilisation of every thread that is alive now; one that began since `earlier` is counted
    /// from its beginning over the whole time. `None` when no time has passed.
    pub fn utilisation_since(&self, earlier: &Self) -> Option<Vec<ThreadUse>> {
        let wall = self
            .wall_ns
            .checked_sub(earlier.wall_ns)
            .filter(|&w| w > 0)? as f64;
        let uses = self.threads.iter().map(|now| {
            let then = earlier.threads.iter().find(|t| t.id == now.id);
            let (on_cpu, waiting) = then.map_or((0, 0), |t| (t.on_cpu_ns, t.waiting_ns));
            ThreadUse {
                id: now.id,
                name: now.name.clone(),
                utilisation: now.on_cpu_ns.saturating_sub(on_cpu) as f64 / wall,
                waiting: now.waiting_ns.saturating_sub(waiting) as f64 / wall,
            }
        });
        Some(uses.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(wall_ns: u64, threads: &[(u64, u64)]) -> CpuSample {
        CpuSample {
            wall_ns,
            threads: threads
                .iter()
                .map(|&(id, on_cpu_ns)| ThreadTime {
                    id,
                    name: None,
                    on_cpu_ns,
                    waiting_ns: 0,
                })
                .collect(),
        }
    }

    #[test]
    fn utilisation_is_processor_time_over_wall_time() {
        let before = sample(1000, &[(1, 500), (2, 100)]);
        let after = sample(3000, &[(1, 2500), (2, 600), (3, 400)]);
        let uses = after.utilisation_since(&before).unwrap();
        let shares: Vec<f64> = uses.iter().map(|u| u.utilisation).collect();
        assert_eq!(shares, [1.0, 0.25, 0.2]);
        assert_eq!(before.utilisation_since(&before), None);
        assert_eq!(before.utilisation_since(&after), None);
    }

    #[test]
    fn threads_are_read_and_what_is_not_understood_is_left_out() {
        let (files, _dir) = Files::given(&[
            ("proc/self/task/7/schedstat", "112869 1007745 2\n"),
            ("proc/self/task/7/comm", "worker-1\n"),
            ("proc/self/task/9/schedstat", "garbage\n"),
        ]);
        let threads = read(&files).unwrap();
        assert_eq!(
            threads,
            [ThreadTime {
                id: 7,
                name: Some("worker-1".into()),
                on_cpu_ns: 112_869,
                waiting_ns: 1_007_745,
            }]
        );
    }

    #[test]
    fn a_kernel_that_does_not_count_is_unavailable_and_not_idle() {
        let (files, _dir) = Files::given(&[("proc/self/task/7/schedstat", "0 0 0\n")]);
        assert_eq!(read(&files), None);
        let (files, _dir) = Files::given(&[]);
        assert_eq!(read(&files), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_busy_thread_shows_and_a_sleeping_one_does_not() {
        use std::time::Duration;
        let Some(before) = cpu_time() else {
            return eprintln!("this kernel keeps no scheduler statistics");
        };
        let own = current_thread();
        assert!(before.threads.iter().any(|t| Some(t.id) == own));
        let named = |name: &str| std::thread::Builder::new().name(name.into());
        let until = Instant::now() + Duration::from_millis(150);
        let busy = named("busy")
            .spawn(move || while Instant::now() < until {})
            .unwrap();
        let idle = named("idle")
            .spawn(|| std::thread::sleep(Duration::from_millis(300)))
            .unwrap();
        std::thread::sleep(Duration::from_millis(120));
        let uses = cpu_time().unwrap().utilisation_since(&before).unwrap();
        let of = |name| {
            uses.iter()
                .find(|u| u.name.as_deref() == Some(name))
                .unwrap()
        };
        // Loose: other processes may hold the cores.
        assert!(
            of("busy").utilisation + of("busy").waiting > 0.3,
            "{uses:?}"
        );
        assert!(of("idle").utilisation < 0.1, "{uses:?}");
        busy.join().unwrap();
        idle.join().unwrap();
    }
}
