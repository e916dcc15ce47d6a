//! Counters of Linux's perf events: one an event and thread.

use std::io;

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Hardware, Software};
use perf_event::{Builder, Counter};

use super::Reading;
use super::counts::{Event, Tallied, Tally};
use super::refusal::{self, Unavailable};

/// One event: a counter for each thread, or why there is none.
pub(super) struct Counted {
    event: Event,
    threads: Result<Vec<Counter>, Unavailable>,
}

/// Counters of `events` for every thread of this process, not yet running.
pub(super) fn open(events: &[Event]) -> Result<Vec<Counted>, Unavailable> {
    let threads =
        threads().map_err(|e| Unavailable::new(format!("/proc/self/task can't be read: {e}")))?;
    open_for(events, &threads)
}

/// The same for these threads, by the kernel's ids, and those that they start later.
pub(super) fn open_for(events: &[Event], threads: &[i32]) -> Result<Vec<Counted>, Unavailable> {
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid")
        .ok()
        .and_then(|text| refusal::paranoid(&text));
    let counted: Vec<Counted> = events
        .iter()
        .map(|&event| Counted {
            event,
            threads: open_one(event, threads).map_err(|e| refusal::refused(event, &e, paranoid)),
        })
        .collect();
    if counted.iter().any(|c| c.threads.is_ok()) {
        return Ok(counted);
    }
    let first = counted.into_iter().find_map(|c| c.threads.err());
    Err(first.unwrap_or_else(|| Unavailable::new("no event was asked for; name at least one")))
}

fn threads() -> io::Result<Vec<i32>> {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task")? {
        let name = entry?.file_name();
        threads.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(threads)
}

fn open_one(event: Event, threads: &[i32]) -> io::Result<Vec<Counter>> {
    let mut counters = Vec::new();
    for &thread in threads {
        // A counter for the whole process does not exist: one counts a thread, and by `inherit`
        // those that it starts. The builder counts user space only unless told otherwise.
        let mut builder = match event {
            Event::Cycles => Builder::new(Hardware::CPU_CYCLES),
            Event::Instructions => Builder::new(Hardware::INSTRUCTIONS),
            Event::Branches => Builder::new(Hardware::BRANCH_INSTRUCTIONS),
            Event::BranchMisses => Builder::new(Hardware::BRANCH_MISSES),
            Event::CacheReferences => Builder::new(Hardware::CACHE_REFERENCES),
            Event::CacheMisses => Builder::new(Hardware::CACHE_MISSES),
            Event::L1Loads => Builder::new(l1_loads(CacheResult::ACCESS)),
            Event::L1LoadMisses => Builder::new(l1_loads(CacheResult::MISS)),
            Event::PageFaults => Builder::new(Software::PAGE_FAULTS),
        };
        match builder.observe_pid(thread).any_cpu().inherit(true).build() {
            Ok(counter) => counters.push(counter),
            // It ended since it was listed.
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(counters)
}

fn l1_loads(result: CacheResult) -> Cache {
    Cache {
        which: CacheId::L1D,
        operation: CacheOp::READ,
        result,
    }
}

/// Does the work with the counters running; what they counted meanwhile.
pub(super) fn tally<R>(events: &mut [Counted], work: impl FnOnce() -> R) -> (R, Tally) {
    // Totals before and after, not a reset: a reset leaves what ended threads have counted.
    let before: Vec<_> = events.iter_mut().map(read).collect();
    let started: Vec<_> = events
        .iter_mut()
        .map(|e| each(e, Counter::enable))
        .collect();
    let result = work();
    let stopped: Vec<_> = events
        .iter_mut()
        .map(|e| each(e, Counter::disable))
        .collect();
    let outcomes = before.into_iter().zip(started).zip(stopped);
    let tallied = events.iter_mut().zip(outcomes).map(|(event, outcome)| {
        let ((before, started), stopped) = outcome;
        let readings = (|| {
            let before = before?;
            started.and(stopped)?;
            Ok(before.into_iter().zip(read(event)?).collect())
        })();
        Tallied::between(event.event, readings)
    });
    let tally = Tally(tallied.collect());
    (result, tally)
}

fn read(event: &mut Counted) -> Result<Vec<Reading>, String> {
    each(event, |counter| {
        let totals = counter.read_count_and_time()?;
        Ok(Reading {
            count: totals.count,
            enabled_ns: totals.time_enabled,
            running_ns: totals.time_running,
        })
    })
}

fn each<T>(
    event: &mut Counted,
    act: impl Fn(&mut Counter) -> io::Result<T>,
) -> Result<Vec<T>, String> {
    let name = event.event.name();
    let threads = event.threads.as_mut().map_err(|no| no.why.clone())?;
    threads
        .iter_mut()
        .map(|counter| act(counter).map_err(|e| format!("the counter of {name} failed: {e}")))
        .collect()
}
