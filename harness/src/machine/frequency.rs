//! Who sets the processors' frequency, and whether it may leave its base, from sysfs.

use super::{Files, affinity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How the frequency of the processors is governed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frequency {
    /// The different governors of the processors that are online.
    pub governors: Option<Vec<String>>,
    /// The kernel's driver.
    pub driver: Option<String>,
    /// Whether the processor may exceed its base frequency.
    pub turbo: Option<Turbo>,
}

/// The switch of frequencies above the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turbo {
    /// Whether it is on.
    pub on: bool,
    /// The file that switches it.
    pub file: String,
    /// What to write there to switch it off.
    pub off: String,
}

impl Frequency {
    /// Asks the kernel.
    pub fn detect() -> Self {
        Self::read(&Files::system())
    }

    fn read(files: &Files) -> Self {
        let cpus = "sys/devices/system/cpu";
        let online = files.line(format!("{cpus}/online"));
        let online = online.and_then(|list| affinity::parse_list(&list));
        let governors: BTreeSet<String> = online
            .unwrap_or_else(|| vec![0])
            .into_iter()
            .filter_map(|cpu| files.line(format!("{cpus}/cpu{cpu}/cpufreq/scaling_governor")))
            .collect();
        Self {
            governors: (!governors.is_empty()).then(|| governors.into_iter().collect()),
            driver: files.line(format!("{cpus}/cpu0/cpufreq/scaling_driver")),
            turbo: turbo(files, &format!("{cpus}/intel_pstate/no_turbo"), "1")
                .or_else(|| turbo(files, &format!("{cpus}/cpufreq/boost"), "0")),
        }
    }
}

/// Both files hold 0 or 1, of which `off` means no turbo.
fn turbo(files: &Files, file: &str, off: &str) -> Option<Turbo> {
    let value = files.line(file).filter(|v| v == "0" || v == "1")?;
    Some(Turbo {
        on: value != off,
        file: format!("/{file}"),
        off: off.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Frequency {
        let at = |name: &str| format!("sys/devices/system/cpu/{name}");
        let given: Vec<(String, &str)> = given.iter().map(|(n, t)| (at(n), *t)).collect();
        let given: Vec<(&str, &str)> = given.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        let (files, _dir) = Files::given(&given);
        Frequency::read(&files)
    }

    #[test]
    fn every_processor_that_is_online_has_a_say() {
        let frequency = read(&[
            ("online", "0,2\n"),
            ("cpu0/cpufreq/scaling_governor", "performance\n"),
            ("cpu0/cpufreq/scaling_driver", "intel_pstate\n"),
            ("cpu1/cpufreq/scaling_governor", "offline\n"),
            ("cpu2/cpufreq/scaling_governor", "powersave\n"),
        ]);
        let governors = frequency.governors.unwrap();
        assert_eq!(governors, ["performance", "powersave"]);
        assert_eq!(frequency.driver.as_deref(), Some("intel_pstate"));
    }

    /// The two switches mean the opposite of each other.
    #[test]
    fn turbo_by_either_switch() {
        let on = |file, value| read(&[(file, value)]).turbo.map(|t| (t.on, t.off));
        let (intel, other) = ("intel_pstate/no_turbo", "cpufreq/boost");
        assert_eq!(on(intel, "0\n"), Some((true, "1".into())));
        assert_eq!(on(intel, "1\n"), Some((false, "1".into())));
        assert_eq!(on(other, "1\n"), Some((true, "0".into())));
        assert_eq!(on(other, "0\n"), Some((false, "0".into())));
        assert_eq!(on(other, "maybe\n"), None);
    }

    #[test]
    fn a_machine_without_these_files_is_unknown() {
        let frequency = read(&[("online", "0-3\n")]);
        assert_eq!(frequency.governors, None);
        assert_eq!((frequency.driver, frequency.turbo), (None, None));
    }
}
