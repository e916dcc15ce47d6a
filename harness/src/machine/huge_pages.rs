//! Whether memory lies on huge pages, from /proc/self/smaps.

use super::Files;
use std::ops::Range;

/// Bytes on huge pages in the mappings of this process that overlap `addresses`, at most as many as
/// these are; `None` where the kernel does not say. Some of the addresses must have been written to.
///
/// A mapping that reaches beyond the range may have huge pages there, which count too. A list by
/// which nothing of what was written to is in memory comes from an emulator, and says nothing.
pub fn bytes_on_huge_pages(addresses: Range<usize>) -> Option<u64> {
    parse(&Files::system().text("proc/self/smaps")?, addresses)
}

/// Mappings begin with a line `first-end flags ...` in hexadecimal, which lines `name: N kB` follow:
/// proc_pid_smaps(5).
fn parse(smaps: &str, addresses: Range<usize>) -> Option<u64> {
    let mut within = false;
    let (mut resident, mut huge) = (0, None);
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            within = mapping.start < addresses.end && addresses.start < mapping.end;
        } else if within && let Some(bytes) = size(line, "Rss:") {
            resident += bytes;
        } else if within && let Some(bytes) = size(line, "AnonHugePages:") {
            *huge.get_or_insert(0) += bytes;
        }
    }
    let huge: u64 = huge.filter(|_| resident > 0)?;
    Some(huge.min(addresses.len() as u64))
}

fn size(line: &str, name: &str) -> Option<u64> {
    let size = line.strip_prefix(name)?.trim().strip_suffix("kB")?;
    size.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn mapping(line: &str) -> Option<Range<usize>> {
    let (first, end) = line.split(' ').next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(first)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "1000-3000 rw-p 00000000 00:00 0\nRss: 8 kB\nAnonHugePages:      4096 kB\n\
        VmFlags: rd wr\n400000-c00000 rw-p 00000000 00:00 0 [heap]\nSize: 8192 kB\nRss: 6144 kB\n\
        AnonHugePages:      6144 kB\nVmFlags: rd wr hg\nc00000-e00000 rw-p 0 00:00 0\n\
        Rss: 4 kB\nAnonHugePages:         0 kB\n";

    #[test]
    fn mappings_that_overlap_count_and_no_others() {
        assert_eq!(parse(SMAPS, 0x400000..0xc00000), Some(6 << 20));
        assert_eq!(parse(SMAPS, 0x500000..0xe00000), Some(6 << 20));
        assert_eq!(parse(SMAPS, 0xc00000..0xe00000), Some(0));
        assert_eq!(parse(SMAPS, 0x500000..0x600000), Some(1 << 20));
    }

    #[test]
    fn what_is_not_said_is_unknown() {
        assert_eq!(parse(SMAPS, 0x3000..0x4000), None);
        assert_eq!(
            parse("400000-c00000 rw-p\nRss: 8 kB\n", 0x400000..0x500000),
            None
        );
        assert_eq!(parse("", 0..1), None);
    }

    #[test]
    fn a_list_of_zeros_is_an_emulators_and_says_nothing() {
        let zeros = "400000-c00000 rw-p\nRss: 0 kB\nAnonHugePages: 0 kB\n";
        assert_eq!(parse(zeros, 0x400000..0xc00000), None);
    }
}
