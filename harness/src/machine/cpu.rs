//! The processor, from /proc/cpuinfo and sysfs.

use super::{Files, count_list, field};
use serde::{Deserialize, Serialize};

/// What the processor says it is. Family, model and stepping are kept as text, since they are
/// numbers in decimal on x86 and codes in hexadecimal elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Marketing name.
    pub name: Option<String>,
    /// Vendor identification; on Arm the implementer's code.
    pub vendor: Option<String>,
    /// Family; on Arm the architecture version.
    pub family: Option<String>,
    /// Model; on Arm the part number.
    pub model: Option<String>,
    /// Stepping; on Arm the revision.
    pub stepping: Option<String>,
    /// Logical processors that the kernel runs.
    pub logical: Option<usize>,
    /// Whether cores run more than one thread at a time.
    pub smt: Option<bool>,
    /// Caches that the first processor uses.
    pub caches: Option<Vec<Cache>>,
    /// Whether the processor says that it is a virtual machine's.
    pub(super) hypervisor_flag: Option<bool>,
}

/// One cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// 1 is nearest to the core.
    pub level: u32,
    /// What it holds.
    pub kind: CacheKind,
    /// Size in bytes.
    pub bytes: u64,
    /// Logical processors that share it.
    pub shared_by: Option<usize>,
}

/// What a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// Data only.
    Data,
    /// Instructions only.
    Instruction,
    /// Both.
    Unified,
}

impl Cpu {
    pub(super) fn read(files: &Files) -> Self {
        let info = files.text("proc/cpuinfo").unwrap_or_default();
        let get = |names: [&str; 2]| {
            names
                .into_iter()
                .find_map(|name| field(&info, name))
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        let online = files
            .line("sys/devices/system/cpu/online")
            .and_then(|list| count_list(&list));
        let listed = info.lines().filter(|l| l.starts_with("processor")).count();
        Self {
            name: get(["model name", "Model"]),
            vendor: get(["vendor_id", "CPU implementer"]),
            family: get(["cpu family", "CPU architecture"]),
            model: get(["model", "CPU part"]),
            stepping: get(["stepping", "CPU revision"]),
            logical: online.or((listed > 0).then_some(listed)),
            smt: smt(files),
            caches: caches(files),
            hypervisor_flag: flags(&info).map(|flags| flags.iter().any(|f| f == "hypervisor")),
        }
    }

    /// Features by which the kernel knows the processor, in its spelling; `None` where it lists none.
    pub fn kernel_flags() -> Option<Vec<String>> {
        flags(&Files::system().text("proc/cpuinfo")?)
    }

    /// Size in bytes of the largest cache of the highest level.
    pub fn last_level_cache(&self) -> Option<u64> {
        self.caches
            .as_ref()?
            .iter()
            .max_by_key(|c| (c.level, c.bytes))
            .map(|c| c.bytes)
    }
}

fn flags(info: &str) -> Option<Vec<String>> {
    let flags = field(info, "flags")?;
    Some(flags.split_whitespace().map(str::to_owned).collect())
}

fn smt(files: &Files) -> Option<bool> {
    match files.line("sys/devices/system/cpu/smt/active").as_deref() {
        Some("1") => Some(true),
        Some("0") => Some(false),
        _ => files
            .line("sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
            .and_then(|list| count_list(&list))
            .map(|threads| threads > 1),
    }
}

fn caches(files: &Files) -> Option<Vec<Cache>> {
    let caches: Vec<Cache> = (0..)
        .map(|index| format!("sys/devices/system/cpu/cpu0/cache/index{index}"))
        .take_while(|dir| files.path(dir).is_dir())
        .filter_map(|dir| {
            let line = |name: &str| files.line(format!("{dir}/{name}"));
            Some(Cache {
                level: line("level")?.parse().ok()?,
                kind: match line("type")?.as_str() {
                    "Data" => CacheKind::Data,
                    "Instruction" => CacheKind::Instruction,
                    "Unified" => CacheKind::Unified,
                    _ => return None,
                },
                bytes: bytes(&line("size")?)?,
                shared_by: line("shared_cpu_list").and_then(|list| count_list(&list)),
            })
        })
        .collect();
    (!caches.is_empty()).then_some(caches)
}

/// `48K`, `2M` or a plain number of bytes.
fn bytes(size: &str) -> Option<u64> {
    let (digits, unit) = match size.strip_suffix(['K', 'M', 'G']) {
        Some(digits) => (digits, size.as_bytes().last()),
        None => (size, None),
    };
    let factor = match unit {
        Some(b'K') => 1 << 10,
        Some(b'M') => 1 << 20,
        Some(b'G') => 1 << 30,
        _ => 1,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
        model name\t: AMD EPYC 9R14\nstepping\t: 1\nflags\t\t: fpu sse2 hypervisor avx2\n\n\
        processor\t: 1\nvendor_id\t: AuthenticAMD\n";
    const ARM: &str = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\n\
        CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd0c\nCPU revision\t: 1\n";

    #[test]
    fn x86_cpuinfo() {
        let (files, _dir) = Files::given(&[("proc/cpuinfo", X86)]);
        let cpu = Cpu::read(&files);
        let text = |value: &Option<String>| value.clone().unwrap();
        assert_eq!(text(&cpu.name), "AMD EPYC 9R14");
        assert_eq!(text(&cpu.vendor), "AuthenticAMD");
        assert_eq!(
            [&cpu.family, &cpu.model, &cpu.stepping].map(text),
            ["25", "17", "1"]
        );
        assert_eq!((cpu.logical, cpu.hypervisor_flag), (Some(2), Some(true)));
    }

    #[test]
    fn arm_cpuinfo_has_codes_and_no_flag_of_a_hypervisor() {
        let (files, _dir) = Files::given(&[("proc/cpuinfo", ARM)]);
        let cpu = Cpu::read(&files);
        assert_eq!(cpu.vendor.as_deref(), Some("0x41"));
        assert_eq!(cpu.model.as_deref(), Some("0xd0c"));
        assert_eq!((cpu.name, cpu.hypervisor_flag), (None, None));
    }

    #[test]
    fn processors_that_are_offline_do_not_count() {
        let (files, _dir) = Files::given(&[
            ("proc/cpuinfo", ""),
            ("sys/devices/system/cpu/online", "0,2-3\n"),
        ]);
        assert_eq!(Cpu::read(&files).logical, Some(3));
    }

    #[test]
    fn caches_and_the_last_level() {
        let dir = "sys/devices/system/cpu/cpu0/cache";
        let names: Vec<(String, &str)> = [
            ("index0/level", "1\n"),
            ("index0/type", "Data\n"),
            ("index0/size", "48K\n"),
            ("index0/shared_cpu_list", "0\n"),
            ("index1/level", "3\n"),
            ("index1/type", "Unified\n"),
            ("index1/size", "491520K\n"),
            ("index1/shared_cpu_list", "0-1\n"),
        ]
        .map(|(name, text)| (format!("{dir}/{name}"), text))
        .to_vec();
        let given: Vec<(&str, &str)> = names.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        let (files, _dir) = Files::given(&given);
        let cpu = Cpu::read(&files);
        assert_eq!(cpu.last_level_cache(), Some(480 << 20));
        let first = &cpu.caches.unwrap()[0];
        assert_eq!((first.bytes, first.shared_by), (48 << 10, Some(1)));
    }

    #[test]
    fn smt_from_the_switch_or_from_siblings() {
        let smt_of = |files: &[(&str, &str)]| {
            let (files, _dir) = Files::given(files);
            Cpu::read(&files).smt
        };
        assert_eq!(
            smt_of(&[("sys/devices/system/cpu/smt/active", "1\n")]),
            Some(true)
        );
        let siblings = "sys/devices/system/cpu/cpu0/topology/thread_siblings_list";
        assert_eq!(smt_of(&[(siblings, "0,4\n")]), Some(true));
        assert_eq!(smt_of(&[(siblings, "0\n")]), Some(false));
        assert_eq!(smt_of(&[]), None);
    }
}
