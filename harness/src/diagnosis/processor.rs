//! The processor, and how its frequency is governed.

use bitgauge_engine::isa;
use serde::Serialize;

use crate::machine::{Cache, Frequency, Hypervisor, Machine, Topology, Turbo};
use crate::run::Measured;

const UNSAID: &str = "this system does not say";

/// The processor.
#[derive(Debug, Clone, Serialize)]
pub struct Processor {
    /// What it calls itself, asked of it.
    pub name: Measured<String>,
    /// What the kernel calls it: another name where this process runs on an emulated one.
    pub kernel_name: Measured<String>,
    /// Vendor, by the kernel's files.
    pub vendor: Measured<String>,
    /// Family, model and stepping, by the kernel's files.
    pub family_model_stepping: Measured<String>,
    /// Logical processors that are online.
    pub logical: Measured<usize>,
    /// Cores of these.
    pub cores: Measured<usize>,
    /// Sockets of these.
    pub sockets: Measured<usize>,
    /// Whether cores run more than one thread at a time.
    pub smt: Measured<bool>,
    /// The first processor of each core.
    pub one_a_core: Measured<Vec<usize>>,
    /// Memory nodes.
    pub numa_nodes: Measured<usize>,
    /// Caches of the first processor.
    pub caches: Measured<Vec<Cache>>,
    /// The different frequency governors.
    pub governors: Measured<Vec<String>>,
    /// The frequency driver.
    pub frequency_driver: Measured<String>,
    /// Frequencies above the base.
    pub turbo: Measured<Turbo>,
    /// The host of this virtual machine, or `none`.
    pub hypervisor: Measured<String>,
    /// Kernel release.
    pub kernel: Measured<String>,
    /// Operating system.
    pub os: String,
}

impl Processor {
    pub(super) fn of(machine: &Machine) -> Self {
        fn known<T>(value: Option<T>) -> Measured<T> {
            Measured::or(value, UNSAID)
        }
        let cpu = &machine.cpu;
        let identity = [&cpu.family, &cpu.model, &cpu.stepping];
        let identity: Option<Vec<&str>> = identity.into_iter().map(|i| i.as_deref()).collect();
        let topology = Topology::detect();
        let frequency = Frequency::detect();
        let ungoverned = match machine.hypervisor {
            Some(Hypervisor::None) | None => {
                "the kernel has no cpufreq files: nothing here governs the frequency"
            }
            _ => "the kernel has no cpufreq files: the host of this virtual machine governs it",
        };
        let host = |hypervisor: &Hypervisor| match hypervisor {
            Hypervisor::None => "none".to_owned(),
            Hypervisor::Unnamed => "one that does not name itself".to_owned(),
            Hypervisor::Named(name) => name.clone(),
        };
        Self {
            name: Measured::or(
                isa::processor_name(),
                "processors of this architecture have no name to be asked for",
            ),
            kernel_name: known(cpu.name.clone()),
            vendor: known(cpu.vendor.clone()),
            family_model_stepping: known(identity.map(|i| i.join(" "))),
            logical: known(cpu.logical),
            cores: known(topology.cores),
            sockets: known(topology.sockets),
            smt: known(cpu.smt),
            one_a_core: known(topology.one_a_core),
            numa_nodes: known(topology.nodes),
            caches: known(cpu.caches.clone()),
            governors: Measured::or(frequency.governors, ungoverned),
            frequency_driver: Measured::or(frequency.driver, ungoverned),
            turbo: Measured::or(frequency.turbo, "the kernel has no switch for it here"),
            hypervisor: known(machine.hypervisor.as_ref().map(host)),
            kernel: known(machine.kernel.clone()),
            os: machine.os.clone(),
        }
    }
}
