//! What machine this is, as far as it can be told, and how busy its cores were.
//!
//! Whatever can't be read is `None`, never 0 or a guess. Files are read below a root folder, so
//! that every reader can be tested on given text; on systems without them all is `None`.

mod affinity;
mod cgroup;
mod cpu;
mod cpu_time;
mod frequency;
mod huge_pages;
mod isa;
mod load;
mod memory;
mod surroundings;
mod topology;

pub use affinity::{allowed_cpus, pin_current_thread, with_current_thread_on};
pub use cpu::{Cache, CacheKind, Cpu};
pub use cpu_time::{CpuSample, ThreadTime, ThreadUse, cpu_time, current_thread};
pub use frequency::{Frequency, Turbo};
pub use huge_pages::bytes_on_huge_pages;
pub use isa::IsaFeatures;
pub use load::{LoadSample, load};
pub use memory::{Memory, peak_resident};
pub use surroundings::{Limit, Surroundings};
pub use topology::Topology;

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that is recorded about the machine of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor.
    pub cpu: Cpu,
    /// Processors that this process may use.
    pub usable: Usable,
    /// Memory in bytes.
    pub memory: Memory,
    /// Instruction set extensions found at run time.
    pub isa: IsaFeatures,
    /// Frequency governor of the first processor.
    pub governor: Option<String>,
    /// Whether this is a virtual machine.
    pub hypervisor: Option<Hypervisor>,
    /// Operating system, as the compiler names it.
    pub os: String,
    /// Kernel release.
    pub kernel: Option<String>,
}

/// How many processors this process may use, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usable {
    /// Processors in the affinity mask.
    pub affinity: Option<usize>,
    /// Processors' worth of time that control groups allow; `None` without a quota too.
    pub quota: Option<f64>,
    /// Threads that can run at once: the least of all limits, at least 1.
    pub threads: usize,
}

/// A virtual machine's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hypervisor {
    /// No sign of one.
    None,
    /// The processor says that there is one, and nothing names it.
    Unnamed,
    /// What the firmware calls itself.
    Named(String),
}

impl Machine {
    /// Reads this machine.
    pub fn detect() -> Self {
        Self::read(&Files::system())
    }

    fn read(files: &Files) -> Self {
        let cpu = Cpu::read(files);
        Self {
            usable: Usable::read(files, cpu.logical),
            memory: Memory::read(files),
            isa: IsaFeatures::detect(),
            governor: files.line("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            hypervisor: hypervisor(files, cpu.hypervisor_flag),
            os: std::env::consts::OS.to_owned(),
            kernel: files.line("proc/sys/kernel/osrelease"),
            cpu,
        }
    }

    /// The class that baselines are stored under: vendor, family, model, best instruction set,
    /// usable threads. Runs of the same class may be compared; it is the same for every run on a
    /// machine, and holds letters, digits, `.` and `-` only.
    pub fn class(&self) -> String {
        let known = |value: Option<&str>| value.map_or("unknown".to_owned(), slug);
        format!(
            "{}-{}-{}-{}-{}cpu",
            known(self.cpu.vendor.as_deref()),
            known(self.cpu.family.as_deref()),
            known(self.cpu.model.as_deref()),
            slug(self.isa.level()),
            self.usable.threads
        )
    }
}

fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '.' {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() {
        "unknown".to_owned()
    } else {
        out.to_owned()
    }
}

impl Usable {
    fn read(files: &Files, logical: Option<usize>) -> Self {
        let affinity = files
            .text("proc/self/status")
            .and_then(|status| field(&status, "Cpus_allowed_list").and_then(count_list));
        let quota = cgroup::quota(files);
        let from_quota = quota.map(|q| (q.floor() as usize).max(1));
        // Without any of the three the standard library's word is the only one.
        let known = [affinity, from_quota, logical.filter(|_| affinity.is_none())];
        let threads = known.into_iter().flatten().min().unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        Self {
            affinity,
            quota,
            threads: threads.max(1),
        }
    }
}

fn hypervisor(files: &Files, flag: Option<bool>) -> Option<Hypervisor> {
    let name = files.line("sys/hypervisor/type").or_else(|| {
        let vendor = files.line("sys/class/dmi/id/sys_vendor");
        let product = files.line("sys/class/dmi/id/product_name");
        let both: Vec<String> = [vendor, product].into_iter().flatten().collect();
        (!both.is_empty()).then(|| both.join(" "))
    });
    // On bare metal the firmware names the machine's maker, so the name counts only with the flag.
    match (flag?, name) {
        (false, _) => Some(Hypervisor::None),
        (true, None) => Some(Hypervisor::Unnamed),
        (true, Some(name)) => Some(Hypervisor::Named(name)),
    }
}

/// Files of the system, or of a folder that stands for it.
#[derive(Debug, Clone)]
struct Files {
    root: PathBuf,
}

impl Files {
    fn system() -> Self {
        Self {
            root: PathBuf::from("/"),
        }
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok()
    }

    /// The trimmed first line; `None` for a file that is missing or empty.
    fn line(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = self.text(path)?;
        let line = text.lines().next()?.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

/// The value of the first line `name : value`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// How many numbers a list such as `0-3,8,10-11` names; `None` for anything else.
fn count_list(list: &str) -> Option<usize> {
    affinity::parse_list(list).map(|numbers| numbers.len())
}

#[cfg(test)]
impl Files {
    /// A folder with these files and nothing else.
    fn given(files: &[(&str, &str)]) -> (Self, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let files = Self {
            root: dir.path().to_owned(),
        };
        (files, dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinity_and_quota_limit_the_threads() {
        let status = "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n";
        let (files, _dir) = Files::given(&[("proc/self/status", status)]);
        let usable = Usable::read(&files, Some(64));
        assert_eq!((usable.affinity, usable.threads), (Some(8), 8));
        let v2 = [
            ("proc/self/status", status),
            ("proc/self/cgroup", "0::/job\n"),
            (
                "proc/self/mountinfo",
                "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            ),
            ("sys/fs/cgroup/job/cpu.max", "250000 100000\n"),
        ];
        let (files, _dir) = Files::given(&v2);
        let usable = Usable::read(&files, Some(64));
        assert_eq!((usable.quota, usable.threads), (Some(2.5), 2));
    }

    #[test]
    fn a_quota_below_one_processor_leaves_one_thread() {
        let (files, _dir) = Files::given(&[
            ("proc/self/cgroup", "0::/\n"),
            (
                "proc/self/mountinfo",
                "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            ),
            ("sys/fs/cgroup/cpu.max", "20000 100000\n"),
        ]);
        assert_eq!(Usable::read(&files, Some(4)).threads, 1);
    }

    #[test]
    fn a_system_without_files_is_unknown_and_not_zero() {
        let (files, _dir) = Files::given(&[]);
        let machine = Machine::read(&files);
        assert_eq!(machine.cpu.vendor, None);
        assert_eq!(machine.memory.total, None);
        assert_eq!(machine.kernel, None);
        assert_eq!(machine.hypervisor, None);
        assert_eq!(machine.usable.quota, None);
        assert!(machine.usable.threads >= 1);
        assert!(machine.class().starts_with("unknown-unknown-unknown-"));
        let text = serde_json::to_string(&machine).unwrap();
        assert!(text.contains(r#""governor":null"#), "{text}");
        assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), machine);
    }

    #[test]
    fn a_host_is_named_only_where_the_processor_says_that_there_is_one() {
        let dmi = [
            ("sys/class/dmi/id/sys_vendor", "Dell Inc.\n"),
            ("sys/class/dmi/id/product_name", "R750\n"),
        ];
        let (files, _dir) = Files::given(&dmi);
        assert_eq!(hypervisor(&files, Some(false)), Some(Hypervisor::None));
        let named = Hypervisor::Named("Dell Inc. R750".into());
        assert_eq!(hypervisor(&files, Some(true)), Some(named));
        assert_eq!(hypervisor(&files, None), None);
        let (bare, _dir) = Files::given(&[]);
        assert_eq!(hypervisor(&bare, Some(true)), Some(Hypervisor::Unnamed));
    }

    #[test]
    fn the_class_is_stable_and_fit_for_a_file_name() {
        let machine = Machine::detect();
        let class = machine.class();
        assert_eq!(class, Machine::detect().class());
        assert!(
            class
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c)),
            "{class}"
        );
        assert!(class.ends_with(&format!("{}cpu", machine.usable.threads)));
        assert_eq!(slug("Genuine Intel/../(R)"), "genuine-intel-..-r");
        assert_eq!(slug("///"), "unknown");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_is_known_on_linux() {
        let machine = Machine::detect();
        assert!(machine.cpu.logical.is_some_and(|n| n >= 1));
        assert!(machine.memory.total.is_some_and(|b| b > 1 << 20));
        assert!(machine.kernel.is_some());
        assert!(machine.usable.affinity.is_some());
    }
}
