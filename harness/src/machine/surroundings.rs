//! What this process runs in: limits of memory, a container, and how busy the machine is.

use super::{Files, cgroup};
use serde::{Deserialize, Serialize};

/// What surrounds this process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Bytes that control groups allow to it and its relatives; `None` without a limit too.
    pub memory_limit: Option<u64>,
    /// Bytes of its address space.
    pub address_space: Option<Limit>,
    /// What its container calls itself; `None` where nothing is a sign of one.
    pub container: Option<String>,
    /// Mean number of threads that wanted to run, of all processes, over 1, 5 and 15 minutes.
    pub load_average: Option<[f64; 3]>,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// No limit.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

impl Surroundings {
    /// Looks around.
    pub fn detect() -> Self {
        Self::read(&Files::system())
    }

    /// Bytes of memory that this process can take: the least of what is `available` and of the limits.
    pub fn obtainable(&self, available: Option<u64>) -> Option<u64> {
        let address_space = match self.address_space {
            Some(Limit::Bytes(bytes)) => Some(bytes),
            _ => None,
        };
        let all = [available, self.memory_limit, address_space];
        all.into_iter().flatten().min()
    }

    fn read(files: &Files) -> Self {
        Self {
            memory_limit: cgroup::memory_limit(files),
            address_space: files
                .text("proc/self/limits")
                .and_then(|limits| address_space(&limits)),
            container: container(files),
            load_average: files.line("proc/loadavg").and_then(|line| averages(&line)),
        }
    }
}

/// `Max address space  SOFT  HARD  bytes`.
fn address_space(limits: &str) -> Option<Limit> {
    let name = "Max address space";
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(Limit::Unlimited),
        bytes => bytes.parse().ok().map(Limit::Bytes),
    }
}

fn container(files: &Files) -> Option<String> {
    let named = files.line("run/systemd/container");
    let by_mark = |mark: &str, name: &str| files.path(mark).exists().then(|| name.to_owned());
    named
        .or_else(|| by_mark(".dockerenv", "docker"))
        .or_else(|| by_mark("run/.containerenv", "podman"))
        .or_else(|| by_mark("var/run/secrets/kubernetes.io", "kubernetes"))
}

fn averages(line: &str) -> Option<[f64; 3]> {
    let mut numbers = line.split(' ').map(|n| n.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Surroundings {
        let (files, _dir) = Files::given(given);
        Surroundings::read(&files)
    }

    #[test]
    fn the_soft_limit_of_the_address_space() {
        let with = |soft: &str| {
            let limits = format!(
                "Limit        Soft Limit   Hard Limit   Units\nMax cpu time  7  7  seconds\n\
                 Max address space         {soft}            unlimited            bytes     \n"
            );
            read(&[("proc/self/limits", &limits)]).address_space
        };
        assert_eq!(with("unlimited"), Some(Limit::Unlimited));
        assert_eq!(with("1073741824"), Some(Limit::Bytes(1 << 30)));
        assert_eq!(with("lots"), None);
    }

    #[test]
    fn a_container_by_its_name_or_its_mark() {
        let name = |given| read(&[given]).container;
        assert_eq!(
            name(("run/systemd/container", "lxc\n")).as_deref(),
            Some("lxc")
        );
        assert_eq!(name((".dockerenv", "")).as_deref(), Some("docker"));
        assert_eq!(name(("proc/loadavg", "")), None);
    }

    #[test]
    fn load_averages() {
        let of = |line| read(&[("proc/loadavg", line)]).load_average;
        assert_eq!(of("1.18 0.81 1.32 7/117 25567\n"), Some([1.18, 0.81, 1.32]));
        assert_eq!(of("1.18 0.81\n"), None);
        assert_eq!(read(&[]).load_average, None);
    }
}
