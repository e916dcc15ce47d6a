//! What the layers below say, in the words of a run.

use bitgauge_engine::checkpoint::{Config, Linear};

use crate::machine::{Hypervisor, Machine};
use crate::run::{self, CheckStatus, MachineSummary, Measured};
use crate::verify::check::{Check, Status};

/// The machine, as a page shows it.
pub fn machine(m: &Machine) -> MachineSummary {
    let unknown = "this system does not say";
    let known =
        |value: Option<String>| value.map_or_else(|| Measured::unavailable(unknown), Measured::Is);
    let mut warnings = Vec::new();
    if let Some(governor) = m.governor.as_deref().filter(|g| *g != "performance") {
        warnings.push(format!("the frequency governor is `{governor}`"));
    }
    if m.hypervisor
        .as_ref()
        .is_some_and(|h| *h != Hypervisor::None)
    {
        warnings.push("a virtual machine: other guests share caches, memory and cores".into());
    }
    if let Some(quota) = m.usable.quota {
        warnings.push(format!(
            "a control group allows {quota:.2} processors' worth of time, and threads stand still once it is spent"
        ));
    }
    if m.memory.transparent_huge_pages.as_deref() == Some("never") {
        warnings.push("the kernel gives no transparent huge pages".into());
    }
    MachineSummary {
        cpu: m.cpu.name.clone().unwrap_or_else(|| "unknown".into()),
        cpus: m.cpu.logical.unwrap_or(m.usable.threads),
        allowed_cpus: m.usable.threads,
        isa: m.isa.detected.clone(),
        memory_bytes: m
            .memory
            .total
            .map_or_else(|| Measured::unavailable(unknown), Measured::Is),
        os: known(m.kernel.as_ref().map(|k| format!("{} {k}", m.os))),
        hypervisor: known(m.hypervisor.as_ref().map(|h| match h {
            Hypervisor::None => "none".to_owned(),
            Hypervisor::Unnamed => "unnamed".to_owned(),
            Hypervisor::Named(name) => name.clone(),
        })),
        class: m.class(),
        warnings,
    }
}

/// A check, as a page shows it.
pub fn check(check: &Check) -> run::Check {
    run::Check {
        id: check.id.clone(),
        kernel: check.kernel.clone().unwrap_or_else(|| "-".into()),
        threads: check.threads.unwrap_or(1),
        status: match check.status {
            Status::Pass => CheckStatus::Pass,
            Status::Fail => CheckStatus::Fail,
            Status::Skipped => CheckStatus::Skipped,
        },
        figure: check.figure,
        limit: check.limit,
        unit: String::new(),
        note: check.note.clone(),
    }
}

/// Ternary weights of all layers, and the embedding.
pub fn weights(config: &Config) -> u64 {
    let shapes = Linear::ALL.iter().map(|l| l.shape(config));
    let layer: usize = shapes.map(|(n, k)| n * k).sum();
    (layer * config.num_hidden_layers + config.vocab_size * config.hidden_size) as u64
}

/// The revision that is checked out where this was built, with `+` when files are changed.
pub fn revision() -> Measured<String> {
    let git = |arguments: &[&str]| {
        let out = std::process::Command::new("git")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()
            .filter(|out| out.status.success())?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        None => Measured::unavailable("the sources are not a git checkout, or there is no git"),
        Some(hash) => match git(&["status", "--porcelain"]) {
            Some(changes) if changes.is_empty() => Measured::Is(hash),
            _ => Measured::Is(format!("{hash}+")),
        },
    }
}
