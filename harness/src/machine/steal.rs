//! Time that the host took away, from /proc/stat.

use super::Files;
use serde::{Deserialize, Serialize};

/// Time of all processors since boot, in ticks of the kernel. Two samples give the share between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StealSample {
    steal: u64,
    total: u64,
}

/// A sample of now; `None` where the system does not say.
pub fn steal() -> Option<StealSample> {
    parse(&Files::system().text("proc/stat")?)
}

impl StealSample {
    /// Share of the processors' time since `earlier` that the host took away, 0 to 1; `None` when
    /// no tick has passed.
    pub fn share_since(&self, earlier: &Self) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total).filter(|&t| t > 0)?;
        let steal = self.steal.checked_sub(earlier.steal)?;
        Some(steal as f64 / total as f64)
    }
}

/// The line `cpu user nice system idle iowait irq softirq steal guest guest_nice`. Guest time is
/// part of user time already, so it is left out of the total.
fn parse(stat: &str) -> Option<StealSample> {
    let line = stat.lines().find(|l| l.starts_with("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(|t| t.parse().ok())
        .collect::<Option<_>>()?;
    Some(StealSample {
        steal: *ticks.get(7)?,
        total: ticks.iter().sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_steal_over_all_time_between_two_samples() {
        let first = parse("cpu  100 0 50 800 10 0 5 35 20 0\ncpu0 1 1 1 1 1 1 1 1\n").unwrap();
        let then = parse("cpu  150 0 60 820 10 0 5 55 70 0\n").unwrap();
        assert_eq!(then.share_since(&first), Some(0.2));
        assert_eq!(first.share_since(&first), None);
        assert_eq!(first.share_since(&then), None);
    }

    #[test]
    fn a_kernel_that_does_not_count_steal_is_unknown() {
        assert_eq!(parse("cpu  100 0 50 800\n"), None);
        assert_eq!(parse("cpu0 1 2 3 4 5 6 7 8\n"), None);
        assert_eq!(parse("cpu  a b c d e f g h\n"), None);
    }
}
