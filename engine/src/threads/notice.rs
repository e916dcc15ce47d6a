//! Word of what the next region reads, and what threads that wait for it make of it.
//!
//! Between two products of a token one thread computes, and memory would rest. A thread that waits
//! asks for the beginning of its range then, and begins the region with what has come.
//!
//! Addresses are asked for and nothing is read from them. So what was announced need not live on,
//! and one that reads half of one announcement and half of another asks in vain, no more.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::board::range;
use crate::aligned::LINE;
use crate::prefetch;

/// Bytes that a thread asks for at most: about what comes between two products, and little beside
/// what a second-level cache holds.
const MOST: usize = 64 << 10;

/// Lines between two looks at whether the region has begun: about as many as a core can wait for.
const AT_ONCE: usize = 16;

/// What was announced last.
#[derive(Default)]
pub(super) struct Notice {
    /// Announcements so far.
    number: AtomicUsize,
    weights: AtomicPtr<u8>,
    units: AtomicUsize,
    /// Bytes of a unit.
    unit: AtomicUsize,
}

impl Notice {
    /// Announces a region of so many `units` that lie one after another from the first of `weights`
    /// on, of `unit` bytes each.
    pub fn post(&self, weights: &[u8], units: usize, unit: usize) {
        let first = weights.as_ptr().cast_mut();
        self.weights.store(first, Ordering::Relaxed);
        self.units.store(units, Ordering::Relaxed);
        self.unit.store(unit, Ordering::Relaxed);
        self.number.fetch_add(1, Ordering::Release);
    }
}

/// How far one thread has come with the range that is announced for it.
pub(super) struct Asking {
    index: usize,
    ranges: usize,
    /// Announcements that it has seen.
    seen: usize,
    next: *const u8,
    /// Bytes left to ask for.
    left: usize,
}

impl Asking {
    /// For range `index` of `ranges`.
    pub fn new(index: usize, ranges: usize) -> Self {
        Self {
            index,
            ranges,
            seen: 0,
            next: std::ptr::null(),
            left: 0,
        }
    }

    /// Asks for a few lines more.
    pub fn go_on(&mut self, notice: &Notice) {
        let number = notice.number.load(Ordering::Acquire);
        if number != self.seen {
            self.seen = number;
            let own = range(
                notice.units.load(Ordering::Relaxed),
                self.index,
                self.ranges,
            );
            let unit = notice.unit.load(Ordering::Relaxed);
            let weights = notice.weights.load(Ordering::Relaxed);
            self.next = weights.wrapping_add(own.start.wrapping_mul(unit));
            self.left = own.len().wrapping_mul(unit).min(MOST);
        }
        let now = self.left.min(AT_ONCE * LINE);
        for at in (0..now).step_by(LINE) {
            prefetch::far_beyond(self.next, at);
        }
        self.next = self.next.wrapping_add(now);
        self.left -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a thread has asked for when nothing is left to ask for: where it ended, and after how many
    /// looks.
    fn ask_for_all(asking: &mut Asking, notice: &Notice) -> (*const u8, usize) {
        let mut looks = 0;
        loop {
            asking.go_on(notice);
            looks += 1;
            if asking.left == 0 {
                return (asking.next, looks);
            }
        }
    }

    /// 10 units over 4 ranges begin at units 0, 2, 5 and 7.
    #[test]
    fn each_thread_asks_for_the_beginning_of_its_own_range() {
        let memory = vec![0; 10 * 40_000];
        let notice = Notice::default();
        let at = |byte| memory.as_ptr().wrapping_add(byte);
        let long = [(0, 65_536), (2, 65_536), (5, 65_536), (7, 65_536)];
        let short = [(0, 2000), (2, 3000), (5, 2000), (7, 3000)];
        for (index, (long, short)) in long.into_iter().zip(short).enumerate() {
            let mut asking = Asking::new(index, 4);
            notice.post(&memory, 10, 40_000);
            let end = at(long.0 * 40_000 + long.1);
            assert_eq!(ask_for_all(&mut asking, &notice), (end, 64), "{index}");
            notice.post(&memory, 10, 1000);
            let end = at(short.0 * 1000 + short.1);
            let looks = 1 + (short.1 - 1) / 1024;
            assert_eq!(ask_for_all(&mut asking, &notice), (end, looks), "{index}");
        }
    }

    #[test]
    fn what_is_announced_later_is_asked_for_at_once() {
        let (first, second) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let notice = Notice::default();
        let mut asking = Asking::new(1, 2);
        for memory in [&first, &second] {
            notice.post(memory, 16, 4096);
            asking.go_on(&notice);
            assert_eq!(asking.next, memory.as_ptr().wrapping_add((1 << 15) + 1024));
        }
    }
}
