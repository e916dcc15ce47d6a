//! Processor quota and memory limit of the control groups that this process is in, versions 1 and 2.

use super::Files;
use std::path::{Path, PathBuf};

/// Processors' worth of time allowed: the least of all groups from this process's own up to the
/// root of the mount. `None` when no group sets a quota, or none can be read.
pub(super) fn quota(files: &Files) -> Option<f64> {
    least(files, "cpu", quota_v1, quota_v2, f64::min)
}

/// Bytes of memory allowed: the least of all groups. `None` when no group sets a limit, or none can
/// be read.
pub(super) fn memory_limit(files: &Files) -> Option<u64> {
    let limit = |name| {
        move |files: &Files, dir: &Path| {
            let bytes: u64 = files.line(dir.join(name))?.parse().ok()?;
            (bytes < NO_LIMIT).then_some(bytes)
        }
    };
    let (v1, v2) = (limit("memory.limit_in_bytes"), limit("memory.max"));
    least(files, "memory", v1, v2, u64::min)
}

/// Version 1 has no word for no limit: it is the largest number of whole pages.
const NO_LIMIT: u64 = 1 << 62;

/// The least of what the groups allow, each version read in its own way.
fn least<T>(
    files: &Files,
    controller: &str,
    v1: impl Fn(&Files, &Path) -> Option<T>,
    v2: impl Fn(&Files, &Path) -> Option<T>,
    min: fn(T, T) -> T,
) -> Option<T> {
    let groups = files.text("proc/self/cgroup")?;
    let mounts = files.text("proc/self/mountinfo")?;
    let named = |list: &str| list.split(',').any(|name| name == controller);
    let first = group_path(&groups, named)
        .zip(find_mount(&mounts, |fs, options| {
            fs == "cgroup" && named(options)
        }))
        .and_then(|(group, mount)| least_up(&mount, group, |dir| v1(files, dir), min));
    let second = group_path(&groups, str::is_empty)
        .zip(find_mount(&mounts, |fs, _| fs == "cgroup2"))
        .and_then(|(group, mount)| least_up(&mount, group, |dir| v2(files, dir), min));
    [first, second].into_iter().flatten().reduce(min)
}

/// The path of the group whose line (`id:controllers:path`) has such controllers.
fn group_path(groups: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        wanted(controllers).then(|| parts.next())?
    })
}

struct Mount {
    /// The group that is seen at `point`; not `/` in some containers.
    root: PathBuf,
    point: PathBuf,
}

/// The first mount of such a file system. Format: proc_pid_mountinfo(5).
fn find_mount(mounts: &str, wanted: impl Fn(&str, &str) -> bool) -> Option<Mount> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        let (root, point) = (left.nth(3)?, left.next()?);
        let mut right = right.split(' ');
        let (fs, options) = (right.next()?, right.nth(1)?);
        wanted(fs, options).then(|| Mount {
            root: root.into(),
            point: point.into(),
        })
    })
}

fn least_up<T>(
    mount: &Mount,
    group: &str,
    limit: impl Fn(&Path) -> Option<T>,
    min: fn(T, T) -> T,
) -> Option<T> {
    let group = Path::new(group);
    let inside = group.strip_prefix(&mount.root).unwrap_or(Path::new(""));
    inside
        .ancestors()
        .filter_map(|below| limit(&mount.point.join(below)))
        .reduce(min)
}

fn quota_v1(files: &Files, dir: &Path) -> Option<f64> {
    let quota = files.line(dir.join("cpu.cfs_quota_us"))?;
    let period = files.line(dir.join("cpu.cfs_period_us"))?;
    share(&quota, &period)
}

fn quota_v2(files: &Files, dir: &Path) -> Option<f64> {
    let max = files.line(dir.join("cpu.max"))?;
    let (quota, period) = max.split_once(' ')?;
    share(quota, period)
}

/// `max` and -1 mean that there is no quota.
fn share(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNT: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                            33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n";
    const V2_MOUNT: &str =
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    fn quota_of(files: &[(&str, &str)]) -> Option<f64> {
        let (files, _dir) = Files::given(files);
        quota(&files)
    }

    #[test]
    fn version_2_takes_the_least_of_all_levels() {
        let got = quota_of(&[
            ("proc/self/cgroup", "0::/slice/job\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/slice/job/cpu.max", "400000 100000\n"),
            ("sys/fs/cgroup/slice/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(got, Some(1.5));
    }

    #[test]
    fn version_1_reads_the_cpu_controller_and_no_other() {
        let got = quota_of(&[
            ("proc/self/cgroup", "2:cpuacct:/no\n1:cpu:/job\n0::/\n"),
            ("proc/self/mountinfo", V1_MOUNT),
            ("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "400000\n"),
            ("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(got, Some(4.0));
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount() {
        let got = quota_of(&[
            ("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n"),
            (
                "proc/self/mountinfo",
                "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n",
            ),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(got, Some(0.5));
    }

    #[test]
    fn no_quota_is_none() {
        let none = quota_of(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(none, None);
        assert_eq!(quota_of(&[]), None);
        let garbage = quota_of(&[
            ("proc/self/cgroup", "0::/\nx\n::"),
            ("proc/self/mountinfo", "garbage\n - \n1 2 3 - cgroup2\n"),
        ]);
        assert_eq!(garbage, None);
    }

    #[test]
    fn memory_is_limited_by_the_narrowest_group_of_either_version() {
        let limit = |given: &[(&str, &str)]| {
            let (files, _dir) = Files::given(given);
            memory_limit(&files)
        };
        let v2 = [
            ("proc/self/cgroup", "0::/slice/job\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/slice/job/memory.max", "max\n"),
            ("sys/fs/cgroup/slice/memory.max", "1073741824\n"),
        ];
        assert_eq!(limit(&v2), Some(1 << 30));
        assert_eq!(limit(&v2[..3]), None);
        let v1 = |bytes| {
            limit(&[
                ("proc/self/cgroup", "4:memory:/job\n"),
                (
                    "proc/self/mountinfo",
                    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
                ),
                ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", bytes),
            ])
        };
        assert_eq!(v1("2147483648\n"), Some(2 << 30));
        assert_eq!(v1("9223372036854771712\n"), None);
    }
}
