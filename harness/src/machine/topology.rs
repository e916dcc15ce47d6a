//! How processors belong to cores, cores to sockets, and memory to nodes, from sysfs.

use super::{Files, affinity, count_list};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Cores, sockets and memory nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Cores with a processor that is online.
    pub cores: Option<usize>,
    /// Sockets of these.
    pub sockets: Option<usize>,
    /// The first processor of each core, ascending.
    pub one_a_core: Option<Vec<usize>>,
    /// Memory nodes (NUMA).
    pub nodes: Option<usize>,
}

impl Topology {
    /// Asks the kernel.
    pub fn detect() -> Self {
        Self::read(&Files::system())
    }

    fn read(files: &Files) -> Self {
        let first = cores(files);
        let sockets = |cores: &BTreeMap<(String, String), usize>| {
            let sockets: BTreeSet<&String> = cores.keys().map(|(socket, _)| socket).collect();
            sockets.len()
        };
        Self {
            cores: first.as_ref().map(BTreeMap::len),
            sockets: first.as_ref().map(sockets),
            one_a_core: first.map(|first| {
                let cpus: BTreeSet<usize> = first.into_values().collect();
                cpus.into_iter().collect()
            }),
            nodes: files
                .line("sys/devices/system/node/online")
                .and_then(|list| count_list(&list)),
        }
    }
}

/// The first processor of each core by socket and core; `None` unless all are known.
fn cores(files: &Files) -> Option<BTreeMap<(String, String), usize>> {
    let online = files.line("sys/devices/system/cpu/online")?;
    let mut first = BTreeMap::new();
    for cpu in affinity::parse_list(&online)? {
        let of = |name| files.line(format!("sys/devices/system/cpu/cpu{cpu}/topology/{name}"));
        let core = (of("physical_package_id")?, of("core_id")?);
        first.entry(core).or_insert(cpu);
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(online: &str, cpus: &[(usize, &str, &str)]) -> Topology {
        let mut given = vec![
            (
                "sys/devices/system/cpu/online".to_owned(),
                online.to_owned(),
            ),
            ("sys/devices/system/node/online".into(), "0-1\n".into()),
        ];
        for (cpu, socket, core) in cpus {
            let at = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            given.push((format!("{at}/physical_package_id"), (*socket).into()));
            given.push((format!("{at}/core_id"), (*core).into()));
        }
        let given: Vec<(&str, &str)> = given.iter().map(|(n, t)| (&n[..], &t[..])).collect();
        let (files, _dir) = Files::given(&given);
        Topology::read(&files)
    }

    /// Two sockets of two cores, of which one has two threads that are online. Cores are numbered
    /// within their socket.
    #[test]
    fn threads_of_a_core_count_once() {
        let cpus = [
            (0, "0", "0"),
            (1, "0", "1"),
            (2, "1", "0"),
            (3, "1", "1"),
            (4, "0", "0"),
        ];
        let topology = read("0-4\n", &cpus);
        assert_eq!((topology.cores, topology.sockets), (Some(4), Some(2)));
        assert_eq!(topology.one_a_core.unwrap(), [0, 1, 2, 3]);
        assert_eq!(topology.nodes, Some(2));
    }

    #[test]
    fn a_processor_without_a_core_makes_their_number_unknown() {
        let topology = read("0-1\n", &[(0, "0", "0")]);
        assert_eq!((topology.cores, topology.sockets), (None, None));
        assert_eq!(topology.one_a_core, None);
    }
}
