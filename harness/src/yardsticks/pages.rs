//! Memory for the read-bandwidth buffer: cache lines in huge pages where the kernel gives them,
//! touched first by several threads.

use std::mem::MaybeUninit;

/// One cache line of eight words.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u64; 8]);

/// Lines `0..count`, each made by `line`; `None` when the memory can't be had.
pub(super) fn lines(
    count: usize,
    threads: usize,
    line: impl Fn(usize) -> Line + Sync,
) -> Option<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    lines.try_reserve_exact(count).ok()?;
    let spare = &mut lines.spare_capacity_mut()[..count];
    ask_for_huge_pages(spare);
    let share = count.div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for (i, part) in spare.chunks_mut(share).enumerate() {
            let line = &line;
            scope.spawn(move || {
                for (j, place) in part.iter_mut().enumerate() {
                    place.write(line(i * share + j));
                }
            });
        }
    });
    // SAFETY: `chunks_mut` covers all `count` places, each of which was written above; the scope
    // has joined all threads, and a panic in one would have ended this function.
    unsafe { lines.set_len(count) };
    Some(lines)
}

/// Page walks would lower the figure below what the memory can do, and prefetchers stop at page
/// ends. A kernel that refuses leaves small pages, which is slower and no less right.
fn ask_for_huge_pages(place: &mut [MaybeUninit<Line>]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let start = place.as_mut_ptr().cast::<u8>();
        let skip = start.align_offset(PAGE);
        let Some(bytes) = size_of_val(place).checked_sub(skip) else {
            return;
        };
        // SAFETY: the range lies within `place`, which is borrowed exclusively and starts at a
        // page; MADV_HUGEPAGE changes how it is backed and not what it holds.
        unsafe {
            libc::madvise(start.add(skip).cast(), bytes, libc::MADV_HUGEPAGE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_made_once_at_its_place() {
        for (count, threads) in [(0, 1), (1, 4), (1000, 3), (4096, 2), (5, 0)] {
            let made = lines(count, threads, |i| Line([i as u64; 8])).unwrap();
            assert_eq!(made.len(), count);
            assert!(made.iter().enumerate().all(|(i, l)| l.0 == [i as u64; 8]));
        }
    }

    #[test]
    fn memory_that_can_not_be_had_is_none() {
        assert!(lines(usize::MAX / 128, 1, |_| Line([0; 8])).is_none());
    }
}
