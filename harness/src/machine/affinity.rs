//! The processors that this process may use, and holding a thread to one of them.

use super::{Files, field};

/// Logical processors in the affinity mask of the calling thread, ascending; `None` where the
/// system does not say.
pub fn allowed_cpus() -> Option<Vec<usize>> {
    allowed(&Files::system())
}

fn allowed(files: &Files) -> Option<Vec<usize>> {
    let status = files.text("proc/thread-self/status")?;
    parse_list(field(&status, "Cpus_allowed_list")?)
}

/// The numbers that a list such as `0-3,8,10-11` names; `None` for anything else.
pub(super) fn parse_list(list: &str) -> Option<Vec<usize>> {
    // More than any kernel is built for, so that a broken list can't fill the memory.
    const MOST: usize = 1 << 16;
    let mut numbers = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// Holds the calling thread to one logical processor. False where that is not possible; the
/// thread then stays as it was.
pub fn pin_current_thread(cpu: usize) -> bool {
    hold_current_thread(&[cpu])
}

fn hold_current_thread(cpus: &[usize]) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_setaffinity};
        let mut set = CpuSet::new();
        for &cpu in cpus {
            if cpu >= CpuSet::MAX_CPU {
                return false;
            }
            set.set(cpu);
        }
        sched_setaffinity(None, &set).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = cpus;
        false
    }
}

/// Runs `body` with the calling thread held to `cpus`, where that is possible, and lets the thread
/// go where it could go before. Threads that `body` starts stay held. No processors mean all.
pub fn with_current_thread_on<R>(cpus: &[usize], body: impl FnOnce() -> R) -> R {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        /// Restores the mask also when `body` panics.
        struct Restore(CpuSet);
        impl Drop for Restore {
            fn drop(&mut self) {
                // A processor that was taken away meanwhile leaves the thread where it is.
                let _ = sched_setaffinity(None, &self.0);
            }
        }
        if cpus.is_empty() {
            return body();
        }
        let before = sched_getaffinity(None).ok().map(Restore);
        if before.is_some() {
            hold_current_thread(cpus);
        }
        body()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = cpus;
        body()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(parse_list("0-3,8,10-11"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(parse_list("5\n"), Some(vec![5]));
        for bad in ["", "a", "3-1", "1,,2", "0-", "0-99999999999"] {
            assert_eq!(parse_list(bad), None, "{bad}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pinned_thread_may_use_that_processor_and_no_other() {
        let last = *allowed_cpus().unwrap().last().unwrap();
        let pinned = std::thread::spawn(move || (pin_current_thread(last), allowed_cpus()));
        assert_eq!(pinned.join().unwrap(), (true, Some(vec![last])));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_was_held_for_a_while_goes_free_again() {
        let all = allowed_cpus();
        let last = *all.as_ref().unwrap().last().unwrap();
        std::thread::spawn(move || {
            assert_eq!(
                with_current_thread_on(&[last], allowed_cpus),
                Some(vec![last])
            );
            assert_eq!(allowed_cpus(), all);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_processor_that_is_not_there_is_refused() {
        assert!(!pin_current_thread(usize::MAX));
    }
}
