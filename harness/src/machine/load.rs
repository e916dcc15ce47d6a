//! What else ran on the processors of this process, from /proc/stat and /proc/self/stat.

use super::{Files, affinity};
use serde::{Deserialize, Serialize};

/// Time of the processors that this process may use, in ticks of the kernel since boot. Two
/// samples give what happened between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSample {
    /// All time, idle time too.
    total: u64,
    /// Time that something ran.
    busy: u64,
    /// Time that the host took away.
    steal: u64,
    /// Time that this process ran, all its threads together.
    own: u64,
}

/// A sample of now, for the processors in the affinity mask of the calling thread; `None` where
/// the system does not say.
pub fn load() -> Option<LoadSample> {
    let files = Files::system();
    let cpus = affinity::allowed_cpus()?;
    LoadSample::parse(
        &files.text("proc/stat")?,
        &files.text("proc/self/stat")?,
        &cpus,
    )
}

impl LoadSample {
    /// Share of the processors' time since `earlier` in which other processes ran, 0 to 1; `None`
    /// when no tick has passed. Ticks are coarse: meant for seconds, not for milliseconds.
    pub fn others_since(&self, earlier: &Self) -> Option<f64> {
        let own = self.own.checked_sub(earlier.own)?;
        let busy = self.busy.checked_sub(earlier.busy)?;
        self.share(earlier, busy.saturating_sub(own))
    }

    /// Share of the processors' time since `earlier` that the host took away, 0 to 1.
    pub fn steal_since(&self, earlier: &Self) -> Option<f64> {
        self.share(earlier, self.steal.checked_sub(earlier.steal)?)
    }

    fn share(&self, earlier: &Self, ticks: u64) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total).filter(|&t| t > 0)?;
        Some(ticks as f64 / total as f64)
    }

    /// Lines `cpuN user nice system idle iowait irq softirq steal ...` of `stat`, and fields 14
    /// and 15 (utime, stime) of `own`; formats: proc_stat(5), proc_pid_stat(5).
    fn parse(stat: &str, own: &str, cpus: &[usize]) -> Option<Self> {
        let mut sample = Self {
            total: 0,
            busy: 0,
            steal: 0,
            own: own_ticks(own)?,
        };
        for cpu in cpus {
            let name = format!("cpu{cpu} ");
            let line = stat.lines().find(|l| l.starts_with(&name))?;
            let ticks: Vec<u64> = line
                .split_whitespace()
                .skip(1)
                .take(8)
                .map(|t| t.parse().ok())
                .collect::<Option<_>>()?;
            let &[user, nice, system, idle, iowait, irq, softirq, steal] = ticks.as_slice() else {
                return None;
            };
            let busy = user + nice + system + irq + softirq;
            sample.busy += busy;
            sample.steal += steal;
            sample.total += busy + idle + iowait + steal;
        }
        Some(sample)
    }
}

/// The second field is the program's name in brackets, and may hold brackets and spaces.
fn own_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu1: &str, own: u64) -> Option<LoadSample> {
        let stat = format!("cpu  9 9 9 9 9 9 9 9\ncpu0 7 7 7 7 7 7 7 7 0 0\ncpu1 {cpu1}\n");
        let own = format!("42 (a) b) S 1 1 1 0 -1 0 0 0 0 0 {own} 5 0 0 20\n");
        LoadSample::parse(&stat, &own, &[1])
    }

    /// Of 100 ticks 70 were busy, 50 of them our own, and 10 were stolen.
    #[test]
    fn others_are_what_ran_beyond_our_own_time() {
        let first = sample("100 0 50 800 0 0 0 10 0 0", 200).unwrap();
        let then = sample("160 2 54 818 2 1 3 20 0 0", 250).unwrap();
        assert_eq!(then.others_since(&first), Some(0.2));
        assert_eq!(then.steal_since(&first), Some(0.1));
        assert_eq!(first.others_since(&first), None);
        assert_eq!(first.others_since(&then), None);
    }

    #[test]
    fn our_own_time_is_never_more_than_all() {
        let first = sample("100 0 50 800 0 0 0 10 0 0", 200).unwrap();
        let then = sample("150 0 50 850 0 0 0 10 0 0", 251).unwrap();
        assert_eq!(then.others_since(&first), Some(0.0));
    }

    #[test]
    fn what_is_not_counted_is_unknown() {
        assert_eq!(sample("100 0 50 800", 1), None);
        assert_eq!(
            LoadSample::parse("cpu0 1 1 1 1 1 1 1 1\n", "1 (a) S", &[0]),
            None
        );
        let own = "42 (a) S 1 1 1 0 -1 0 0 0 0 0 1 5 0 0 20";
        assert_eq!(LoadSample::parse("cpu0 1 1 1 1 1 1 1 1\n", own, &[3]), None);
    }
}
