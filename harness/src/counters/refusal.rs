//! What it means when the kernel refuses a counter, and what would grant it.

#[cfg(target_os = "linux")]
pub(super) use linux::{paranoid, refused};

/// No counters, and why, as a phrase that can follow "unavailable: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unavailable {
    /// What is missing and what would grant it.
    pub why: String,
    /// The command that would grant it, where one would.
    pub grant: Option<String>,
}

impl Unavailable {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            grant: None,
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Unavailable;
    use crate::counters::Event;
    use std::io;

    /// The highest level of `perf_event_paranoid` at which a process may count its own user space.
    const GRANTS_USER_SPACE: i64 = 2;

    /// The level in the text of /proc/sys/kernel/perf_event_paranoid.
    pub fn paranoid(text: &str) -> Option<i64> {
        text.trim().parse().ok()
    }

    /// The kernel refused `event`: why, by the error of perf_event_open(2) and the level of
    /// `perf_event_paranoid`, where it can be read.
    pub fn refused(event: Event, error: &io::Error, paranoid: Option<i64>) -> Unavailable {
        let event = event.name();
        let why = match error.raw_os_error() {
            Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENXIO | libc::ENODEV) => format!(
                "the kernel has no counter of {event} for this processor (a virtual machine without a PMU has none)"
            ),
            Some(libc::EACCES | libc::EPERM) => match paranoid {
                Some(level) if level > GRANTS_USER_SPACE => {
                    let command = format!("sysctl kernel.perf_event_paranoid={GRANTS_USER_SPACE}");
                    return Unavailable {
                        why: format!(
                            "perf_event_paranoid is {level}: `{command}` would grant {event}"
                        ),
                        grant: Some(command),
                    };
                }
                level => format!(
                    "this process may not count {event} ({error}){}: a container's seccomp filter or a security module forbids perf_event_open, and has to allow it",
                    level.map_or_else(String::new, |l| format!(
                        ", though perf_event_paranoid is {l}"
                    ))
                ),
            },
            Some(libc::ENOSYS) => format!(
                "the kernel was built without perf events, or a sandbox hides perf_event_open: no counter of {event}"
            ),
            Some(libc::EMFILE | libc::ENFILE) => format!(
                "no file descriptor is left for a counter of {event} (one a thread): a higher `ulimit -n` would grant it"
            ),
            Some(libc::EBUSY) => {
                format!("another program holds the processor's counters, and {event} with them")
            }
            _ => format!("the kernel refused to count {event}: {error}"),
        };
        Unavailable::new(why)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn why_cycles(errno: i32, level: Option<i64>) -> String {
            refused(Event::Cycles, &io::Error::from_raw_os_error(errno), level).why
        }

        #[test]
        fn a_processor_without_the_counter() {
            for errno in [libc::ENOENT, libc::EOPNOTSUPP] {
                let why = why_cycles(errno, Some(2));
                assert!(why.contains("no counter of cycles"), "{why}");
                assert!(why.contains("virtual machine"), "{why}");
            }
        }

        #[test]
        fn a_paranoid_kernel_is_named_with_its_level_and_what_would_grant_the_counter() {
            for level in [3, 4] {
                let why = why_cycles(libc::EACCES, Some(level));
                let want = format!("perf_event_paranoid is {level}: ");
                assert!(why.starts_with(&want), "{why}");
                assert!(why.contains("sysctl kernel.perf_event_paranoid=2"), "{why}");
                let error = io::Error::from_raw_os_error(libc::EACCES);
                let grant = refused(Event::Cycles, &error, Some(level)).grant;
                assert_eq!(
                    grant.as_deref(),
                    Some("sysctl kernel.perf_event_paranoid=2")
                );
            }
        }

        #[test]
        fn a_refusal_that_paranoia_does_not_explain_is_not_blamed_on_it() {
            for level in [Some(2), Some(-1), None] {
                let why = why_cycles(libc::EPERM, level);
                assert!(why.contains("seccomp"), "{why}");
                assert!(!why.contains("sysctl"), "{why}");
            }
        }

        #[test]
        fn a_kernel_without_perf_events_and_a_full_table_of_descriptors() {
            assert!(why_cycles(libc::ENOSYS, None).contains("without perf events"));
            assert!(why_cycles(libc::EMFILE, None).contains("ulimit -n"));
            assert!(why_cycles(libc::EBUSY, None).contains("another program"));
        }

        #[test]
        fn an_unforeseen_error_is_passed_on() {
            let error = io::Error::from_raw_os_error(libc::EIO);
            let Unavailable { why, grant } = refused(Event::CacheMisses, &error, None);
            assert_eq!(grant, None);
            assert!(why.contains("cache misses"), "{why}");
            assert!(why.contains(&error.to_string()), "{why}");
        }

        #[test]
        fn levels_of_paranoia() {
            assert_eq!(paranoid("2\n"), Some(2));
            assert_eq!(paranoid("-1\n"), Some(-1));
            assert_eq!(paranoid(""), None);
            assert_eq!(paranoid("high"), None);
        }
    }
}
