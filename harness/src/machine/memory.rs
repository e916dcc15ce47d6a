//! Memory and huge pages, from /proc/meminfo and sysfs.

use super::{Files, field};
use serde::{Deserialize, Serialize};

/// Memory of the machine, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// All there is.
    pub total: Option<u64>,
    /// Free for new programs without swapping, as the kernel estimates it.
    pub available: Option<u64>,
    /// Size of a huge page.
    pub huge_page: Option<u64>,
    /// Huge pages set aside.
    pub huge_pages_reserved: Option<u64>,
    /// When huge pages are given without being reserved: `always`, `madvise` or `never`.
    pub transparent_huge_pages: Option<String>,
}

impl Memory {
    pub(super) fn read(files: &Files) -> Self {
        let info = files.text("proc/meminfo").unwrap_or_default();
        Self {
            total: kibibytes(&info, "MemTotal"),
            available: kibibytes(&info, "MemAvailable"),
            huge_page: kibibytes(&info, "Hugepagesize"),
            huge_pages_reserved: field(&info, "HugePages_Total").and_then(|n| n.parse().ok()),
            transparent_huge_pages: files
                .line("sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|line| chosen(&line)),
        }
    }
}

/// The most memory that this process has held at once so far, in bytes; `None` where the system
/// does not say.
pub fn peak_resident() -> Option<u64> {
    peak(&Files::system())
}

fn peak(files: &Files) -> Option<u64> {
    kibibytes(&files.text("proc/self/status")?, "VmHWM")
}

fn kibibytes(info: &str, name: &str) -> Option<u64> {
    let number = field(info, name)?.strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// The word in brackets of `always [madvise] never`.
fn chosen(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_bytes_and_counts_are_counts() {
        let info = "MemTotal:       24684096 kB\nMemFree:        23165152 kB\n\
            MemAvailable:   24042124 kB\nHugePages_Total:       3\nHugepagesize:       2048 kB\n";
        let (files, _dir) = Files::given(&[
            ("proc/meminfo", info),
            (
                "sys/kernel/mm/transparent_hugepage/enabled",
                "always [madvise] never\n",
            ),
        ]);
        let memory = Memory::read(&files);
        assert_eq!(memory.total, Some(25_276_514_304));
        assert_eq!(memory.available, Some(24_619_134_976));
        assert_eq!(memory.huge_page, Some(2 << 20));
        assert_eq!(memory.huge_pages_reserved, Some(3));
        assert_eq!(memory.transparent_huge_pages.as_deref(), Some("madvise"));
    }

    #[test]
    fn the_peak_is_the_high_water_mark() {
        let status = "Name:\tx\nVmPeak:\t 9000 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n";
        let (files, _dir) = Files::given(&[("proc/self/status", status)]);
        assert_eq!(peak(&files), Some(1234 * 1024));
        assert_eq!(peak(&Files::given(&[]).0), None);
    }

    #[test]
    fn what_is_not_understood_is_unknown() {
        let (files, _dir) = Files::given(&[
            ("proc/meminfo", "MemTotal: lots\nMemAvailable: 12 MB\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always\n"),
        ]);
        let memory = Memory::read(&files);
        assert_eq!((memory.total, memory.available), (None, None));
        assert_eq!(memory.transparent_huge_pages, None);
    }
}
