//! Hardware counters of this process, where the kernel grants them.
//!
//! [`open`] asks the kernel for one counter an event and thread; [`Counters::measure`] counts what
//! a piece of work did. Only user space is counted: that is what a kernel grants without rights
//! (`perf_event_paranoid` 2), and what a change of this program's code can change.
//!
//! Nothing here is ever 0 for want of a counter: an event that the processor lacks is
//! [`Measured::Unavailable`] with the reason, and so is one that never got its turn.

#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        reason = "counters can't be opened there, so nothing is counted"
    )
)]

mod counts;
mod pair;
#[cfg(target_os = "linux")]
mod perf;
mod refusal;

pub use counts::{Count, Counted, Counts, Event};
pub use pair::{CountedPair, Row};
pub use refusal::Unavailable;

use crate::run::Measured;
use counts::Tally;

/// Open counters of all threads of this process.
///
/// Counted are the threads that were there when it was opened, and all that they and their
/// descendants start later. A thread that starts while [`open`] runs may be missed.
pub struct Counters {
    #[cfg(target_os = "linux")]
    events: Vec<perf::Counted>,
}

/// Counters of [`Event::HARDWARE`].
///
/// # Errors
/// When the kernel grants none of them; it says why and what would grant them.
pub fn open() -> Result<Counters, Unavailable> {
    open_events(&Event::HARDWARE)
}

/// Counters of `events`. Those that the kernel does not grant are [`Measured::Unavailable`] in
/// every count.
///
/// # Errors
/// When the kernel grants none of them, or `events` is empty.
pub fn open_events(events: &[Event]) -> Result<Counters, Unavailable> {
    #[cfg(target_os = "linux")]
    {
        perf::open(events).map(|events| Counters { events })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = events;
        Err(Unavailable::new(format!(
            "counters come from Linux's perf events, and this is {}",
            std::env::consts::OS
        )))
    }
}

impl Counters {
    /// Does the work and says what all threads of this process did meanwhile. Threads that have
    /// nothing to do with the work count too.
    pub fn measure<R>(&mut self, work: impl FnOnce() -> R) -> (R, Counts) {
        let (result, tally) = self.tally(work);
        (result, tally.counts())
    }

    #[cfg(target_os = "linux")]
    fn tally<R>(&mut self, work: impl FnOnce() -> R) -> (R, Tally) {
        perf::tally(&mut self.events, work)
    }

    #[cfg(not(target_os = "linux"))]
    fn tally<R>(&mut self, _: impl FnOnce() -> R) -> (R, Tally) {
        unreachable!("there is no way to open counters here")
    }
}

/// What one counter of one thread says, in total since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Reading {
    /// Events seen while the counter ran.
    count: u64,
    /// Nanoseconds that the thread ran with the counter enabled.
    enabled_ns: u64,
    /// Nanoseconds of these in which the processor had a register for it.
    running_ns: u64,
}

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// Touches each page of a fresh mapping once.
    pub(super) fn touch_fresh_pages(pages: u64) {
        const PAGE: usize = 4096;
        let mut mapping = memmap2::MmapMut::map_anon(pages as usize * PAGE).unwrap();
        // Where huge pages are not built in, the kernel refuses the advice, and none come.
        let _ = mapping.advise(memmap2::Advice::NoHugePage);
        for page in mapping.chunks_mut(PAGE) {
            std::hint::black_box(page)[0] = 1;
        }
    }

    fn this_thread() -> i32 {
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        link.file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// Counters of one thread and those that it starts: other tests run beside this one.
    pub(super) fn counters_of_thread(thread: i32) -> Counters {
        Counters {
            events: perf::open_for(&[Event::PageFaults], &[thread]).unwrap(),
        }
    }

    pub(super) fn counters_of_this_thread() -> Counters {
        counters_of_thread(this_thread())
    }

    #[track_caller]
    fn assert_faults(counts: &Counts, pages: u64) {
        let of = counts.of(Event::PageFaults);
        let faults = of.get().unwrap_or_else(|| panic!("{of:?}")).value;
        // A thread that starts has some tens of its own.
        assert!((pages..pages + 100).contains(&faults), "{faults}");
    }

    #[test]
    fn a_fault_is_counted_for_every_fresh_page_that_is_touched() {
        let mut counters = counters_of_this_thread();
        for pages in [1000, 5000] {
            let (answer, counts) = counters.measure(|| {
                touch_fresh_pages(pages);
                42
            });
            assert_eq!(answer, 42);
            assert_faults(&counts, pages);
        }
    }

    #[test]
    fn nothing_is_counted_between_two_measurements() {
        let mut counters = counters_of_this_thread();
        counters.measure(|| touch_fresh_pages(1000));
        touch_fresh_pages(1000);
        assert_faults(&counters.measure(|| touch_fresh_pages(10)).1, 10);
    }

    #[test]
    fn threads_that_start_later_are_counted_after_they_ended_too() {
        let mut counters = counters_of_this_thread();
        for pages in [1000, 2000] {
            let (_, counts) = counters.measure(|| {
                let younger = std::thread::spawn(move || touch_fresh_pages(pages));
                younger.join().unwrap();
            });
            assert_faults(&counts, pages);
        }
    }

    #[test]
    fn a_thread_that_was_there_before_is_counted() {
        let (work, inbox) = channel::<()>();
        let (done, outbox) = channel();
        let older = std::thread::spawn(move || {
            done.send(this_thread()).unwrap();
            for () in inbox {
                touch_fresh_pages(1000);
                done.send(0).unwrap();
            }
        });
        let id = outbox.recv().unwrap();
        let ask = || {
            work.send(()).unwrap();
            outbox.recv().unwrap();
        };
        assert_faults(&counters_of_thread(id).measure(ask).1, 1000);
        // Among all threads of the process it is one.
        let (_, of_process) = open_events(&[Event::PageFaults]).unwrap().measure(ask);
        let faults = of_process.of(Event::PageFaults);
        assert!(faults.get().unwrap().value >= 1000, "{faults:?}");
        drop(work);
        older.join().unwrap();
    }

    #[test]
    fn an_event_that_is_refused_does_not_take_the_others_with_it() {
        let mut counters = open_events(&[Event::Cycles, Event::PageFaults]).unwrap();
        let (_, counts) = counters.measure(|| touch_fresh_pages(1000));
        assert!(counts.of(Event::PageFaults).get().is_some());
        // Whether this processor counts cycles is its own affair; a zero would be a lie.
        match counts.of(Event::Cycles) {
            Measured::Is(cycles) => assert!(cycles.value > 0),
            Measured::Unavailable(why) => assert!(why.contains("cycle"), "{why}"),
        }
    }

    #[test]
    fn hardware_counters_are_there_or_their_absence_has_a_reason() {
        match open() {
            Ok(mut counters) => {
                let (_, counts) = counters.measure(|| touch_fresh_pages(1000));
                assert!(counts.0.iter().any(|c| c.count.get().is_some()));
            }
            Err(why) => assert!(why.to_string().contains("cycles"), "{why}"),
        }
    }

    #[test]
    fn no_event_at_all_is_refused() {
        assert!(open_events(&[]).is_err());
    }

    #[test]
    fn an_event_that_was_not_asked_for_is_unavailable() {
        let (_, counts) = counters_of_this_thread().measure(|| ());
        assert!(counts.of(Event::Cycles).why().is_some());
    }
}
