//! Read bandwidth: a sum over a buffer much larger than the last-level cache.

use super::pages::{Line, lines};
#[cfg(target_arch = "x86_64")]
use super::read_x86::{Avx2, Avx512};
use super::team::Worker;
use super::{Unavailable, Unit, Yardstick};
use crate::machine::Machine;
use crate::measure::{Entrant, Schedule, Stopped, Verified, round_robin};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes that each thread reads in one iteration: some 0.1 ms, so that most slices are over before
/// the scheduler interrupts them, and the first lines, which wait for memory, do not count.
const CHUNK: usize = 2 << 20;
/// Bytes that each thread reads in one iteration of a smaller working set.
const PASS: usize = 256 << 10;
/// Slices of the trial that finds the fastest variant: chunks enough for none to be a lucky one.
const TRIAL: Duration = Duration::from_millis(2);
const GIB: u64 = 1 << 30;

/// The buffer that all read yardsticks of a run walk through, with one common position: what one
/// has just read, and what may still be cached, no other reads until the walk has come round.
pub struct ReadBuffer {
    lines: Vec<Line>,
    chunk_lines: usize,
    /// How often a chunk is read in one iteration.
    passes: usize,
    next_chunk: AtomicUsize,
    limit: Option<Limit>,
}

/// Why a buffer is smaller than it should be; its figures may then include cache hits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Size of the buffer in bytes.
    pub bytes: u64,
    /// Size of the last-level cache in bytes; `None` when unknown.
    pub last_level_cache: Option<u64>,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        write!(
            f,
            "limited: {} MiB read, last-level cache ",
            mib(self.bytes)
        )?;
        match self.last_level_cache {
            Some(cache) => write!(f, "{} MiB", mib(cache))?,
            None => f.write_str("unavailable")?,
        }
        f.write_str("; part of it may have been read from the cache")
    }
}

impl ReadBuffer {
    /// A buffer of four times the last-level cache and at least 1 GiB, or as near to that as a
    /// quarter of the free memory allows ([`ReadBuffer::limit`] then says so).
    ///
    /// # Errors
    /// When the free memory is unknown, or a quarter of it is smaller than the last-level cache
    /// or than 64 MiB: such a figure would be the cache's.
    pub fn for_machine(machine: &Machine) -> Result<Arc<Self>, Unavailable> {
        let unavailable = |why: String| Unavailable::new("read bandwidth", why);
        let cache = machine.cpu.last_level_cache();
        let bytes = size(machine.memory.available, cache).map_err(unavailable)?;
        let mut buffer = Self::new(bytes, CHUNK, machine.usable.threads)
            .ok_or_else(|| unavailable(format!("no memory for {} MiB", bytes >> 20)))?;
        let enough = cache.map_or(GIB, |c| GIB.max(2 * c));
        buffer.limit = (bytes < enough).then_some(Limit {
            bytes,
            last_level_cache: cache,
        });
        Ok(Arc::new(buffer))
    }

    /// A working set of so many bytes, rounded down to cache lines or to chunks: where it fits
    /// into a cache, that cache is what is read.
    ///
    /// # Errors
    /// When the memory can't be had, or `bytes` are less than a cache line.
    pub fn working_set(bytes: u64, threads: usize) -> Result<Arc<Self>, Unavailable> {
        let chunk = bytes.min(CHUNK as u64) as usize / size_of::<Line>() * size_of::<Line>();
        let made = (chunk > 0).then(|| Self::new(bytes, chunk, threads));
        let mut set = made.flatten().ok_or_else(|| {
            let what = format!("read bandwidth, {} KiB", bytes >> 10);
            Unavailable::new(what, "no memory for it, or less than a cache line")
        })?;
        // Adding up vectors and looking for the next chunk must not count.
        set.passes = (PASS / chunk).max(1);
        Ok(Arc::new(set))
    }

    fn new(bytes: u64, chunk: usize, threads: usize) -> Option<Self> {
        let chunk_lines = chunk / size_of::<Line>();
        let chunks = usize::try_from(bytes).ok()? / chunk;
        let line = |i: usize| Line(std::array::from_fn(|w| word((8 * i + w) as u64)));
        let lines = lines((chunks > 0).then_some(chunks)? * chunk_lines, threads, line)?;
        read_all(&lines, threads);
        Some(Self {
            lines,
            chunk_lines,
            passes: 1,
            next_chunk: AtomicUsize::new(0),
            limit: None,
        })
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        size_of_val(&self.lines[..]) as u64
    }

    /// Set when the buffer is less than twice the last-level cache, or than 1 GiB.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// The next chunk of the walk: its first line, and its lines.
    fn take_chunk(&self) -> (usize, &[Line]) {
        let chunks = self.lines.len() / self.chunk_lines;
        let first = self.next_chunk.fetch_add(1, Ordering::Relaxed) % chunks * self.chunk_lines;
        (first, &self.lines[first..first + self.chunk_lines])
    }
}

/// Reads all lines once. The first read of what was only ever written to can take twice as long as
/// every later one, on some hosts: a buffer of which most was never read would understate what memory
/// gives to weights, which are read again and again.
fn read_all(lines: &[Line], threads: usize) {
    let share = lines.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for part in lines.chunks(share) {
            scope.spawn(|| std::hint::black_box(portable_sum(part)));
        }
    });
}

fn size(available: Option<u64>, cache: Option<u64>) -> Result<u64, String> {
    let available = available.ok_or("the free memory is unknown")?;
    let bytes = cache.map_or(GIB, |c| GIB.max(4 * c)).min(available / 4);
    let bytes = bytes / CHUNK as u64 * CHUNK as u64;
    let least = cache.unwrap_or(0).max(64 << 20);
    if bytes < least {
        return Err(format!(
            "a quarter of the free memory is {} MiB; it takes more than {} MiB to read past the cache",
            bytes >> 20,
            least >> 20
        ));
    }
    Ok(bytes)
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The word at this position of the buffer.
fn word(index: u64) -> u64 {
    index.wrapping_mul(ODD)
}

/// Sum of the words of some lines, in closed form.
fn expected_sum(first_line: usize, count: usize) -> u64 {
    let (first, end) = (8 * first_line as u128, 8 * (first_line + count) as u128);
    let indices = (end * end.wrapping_sub(1) / 2) - (first * first.saturating_sub(1) / 2);
    (indices as u64).wrapping_mul(ODD)
}

/// The order in which lines are read, and how many bytes before its turn a line is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
pub(super) enum Walk {
    /// One after the other; asking is left to the hardware.
    Plain,
    /// One after the other, asked for so far ahead.
    Ahead(usize),
    /// Four streams by turns, each asked for so far ahead in itself.
    Streams(usize),
}

/// One way of reading: how wide the loads are, and in which order they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadVariant {
    loads: Loads,
    walk: Walk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loads {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl ReadVariant {
    /// All that can run here.
    pub fn candidates() -> Vec<Self> {
        let plain = |loads| Self {
            loads,
            walk: Walk::Plain,
        };
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut all = vec![plain(Loads::Portable)];
        #[cfg(target_arch = "x86_64")]
        for loads in [
            Avx2::detect().map(Loads::Avx2),
            Avx512::detect().map(Loads::Avx512),
        ]
        .into_iter()
        .flatten()
        {
            all.push(plain(loads));
            let ahead = [512, 1024, 2048, 4096].map(Walk::Ahead);
            let walks = ahead.into_iter().chain([Walk::Streams(2048)]);
            all.extend(walks.map(|walk| Self { loads, walk }));
        }
        all
    }

    /// The widest loads that can run here, without prefetch and, where there are such, with:
    /// caches are read fastest by the first, memory by the second.
    pub fn widest() -> Vec<Self> {
        let mut all = Self::candidates();
        let widest = all.last().map(|v| v.loads);
        all.retain(|v| {
            Some(v.loads) == widest && matches!(v.walk, Walk::Plain | Walk::Streams(2048))
        });
        all
    }

    /// Name for reports, such as `avx512+prefetch2048`.
    pub fn name(&self) -> String {
        let loads = match self.loads {
            Loads::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Loads::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Loads::Avx512(_) => "avx512",
        };
        match self.walk {
            Walk::Plain => loads.to_owned(),
            Walk::Ahead(distance) => format!("{loads}+prefetch{distance}"),
            Walk::Streams(distance) => format!("{loads}+streams{distance}"),
        }
    }

    fn sum(&self, lines: &[Line]) -> u64 {
        match self.loads {
            Loads::Portable => portable_sum(lines),
            #[cfg(target_arch = "x86_64")]
            Loads::Avx2(isa) => isa.sum(lines, self.walk),
            #[cfg(target_arch = "x86_64")]
            Loads::Avx512(isa) => isa.sum(lines, self.walk),
        }
    }
}

fn portable_sum(lines: &[Line]) -> u64 {
    let mut sums = [0_u64; 8];
    for line in lines {
        for (sum, word) in sums.iter_mut().zip(line.0) {
            *sum = sum.wrapping_add(word);
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

struct Reader {
    buffer: Arc<ReadBuffer>,
    variant: ReadVariant,
    want: u64,
}

impl Worker for Reader {
    fn run(&mut self, iterations: u64) -> u64 {
        let mut got = 0_u64;
        self.want = 0;
        for _ in 0..iterations {
            let (first, chunk) = self.buffer.take_chunk();
            for _ in 0..self.buffer.passes {
                got = got.wrapping_add(self.variant.sum(std::hint::black_box(chunk)));
            }
            let once = expected_sum(first, chunk.len());
            self.want = self
                .want
                .wrapping_add(once.wrapping_mul(self.buffer.passes as u64));
        }
        got
    }

    fn want(&self, _: u64) -> u64 {
        self.want
    }
}

/// Read bandwidth of `threads` threads that start together, one 2 MiB chunk each an iteration.
/// The sum of what was read is compared with its closed form after every slice.
///
/// # Errors
/// When the threads can't be started or the sum is wrong.
pub fn read_bandwidth(
    buffer: &Arc<ReadBuffer>,
    threads: usize,
    variant: ReadVariant,
) -> Result<Verified<Yardstick>, Unavailable> {
    let worker = || {
        Box::new(Reader {
            buffer: Arc::clone(buffer),
            variant,
            want: 0,
        }) as Box<dyn Worker>
    };
    Yardstick::verified(
        format!("read-{}-{threads}t", variant.name()),
        Unit::GigabytesPerSecond,
        (threads * buffer.passes * buffer.chunk_lines * size_of::<Line>()) as u64,
        (0..threads).map(|_| worker()).collect(),
    )
}

/// The fastest variant on `threads` threads, found by interleaving all of them for some rounds.
/// Each is judged by the round that a quarter of its rounds outdo: whatever else the machine does
/// makes a round slower, and a few are lucky. The figure itself is measured later, in the rounds of
/// the run.
///
/// # Errors
/// When no variant can be measured.
pub fn best_read_bandwidth(
    buffer: &Arc<ReadBuffer>,
    threads: usize,
) -> Result<Verified<Yardstick>, Unavailable> {
    let unavailable =
        |why: &str| Unavailable::new(format!("read bandwidth, {threads} threads"), why);
    let variants = ReadVariant::candidates();
    let mut cases = variants
        .iter()
        .map(|&variant| read_bandwidth(buffer, threads, variant))
        .collect::<Result<Vec<_>, _>>()?;
    let mut entrants: Vec<Entrant<'_>> = variants
        .iter()
        .zip(&mut cases)
        .map(|(variant, case)| Entrant::new(variant.name(), case))
        .collect();
    let schedule = Schedule {
        warmup_rounds: 1,
        max_rounds: 30,
        max_time: Duration::from_secs(3),
        min_slice: Some(TRIAL),
        ..Schedule::default()
    };
    let run = round_robin::run(&mut entrants, &schedule, &mut |_| ControlFlow::Continue(()));
    if let Stopped::Failed { failure, .. } = run.stopped {
        return Err(unavailable(&failure.message));
    }
    let good_round = |case| {
        let mut rounds = run.samples.ns_per_iteration(case);
        rounds.sort_unstable_by(f64::total_cmp);
        rounds.get(rounds.len() / 4).copied()
    };
    let (_, best) = (0..cases.len())
        .filter_map(|case| Some((good_round(case)?, case)))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .ok_or_else(|| unavailable("not one round fitted into the time"))?;
    Ok(cases.swap_remove(best))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Timed;

    const MIB: u64 = 1 << 20;

    fn small() -> Arc<ReadBuffer> {
        Arc::new(ReadBuffer::new(MIB, 64 << 10, 2).unwrap())
    }

    #[test]
    fn the_closed_form_is_the_sum_of_the_words() {
        for (first, count) in [(0, 0), (0, 1), (0, 100), (7, 33), (1 << 24, 5)] {
            let words = 8 * first as u64..8 * (first + count) as u64;
            let sum = words.map(word).fold(0, u64::wrapping_add);
            assert_eq!(expected_sum(first, count), sum, "{first} {count}");
        }
    }

    #[test]
    fn a_small_working_set_is_read_several_times_an_iteration() {
        for (bytes, read) in [
            (16 << 10, PASS),
            (100 << 10, 2 * (100 << 10)),
            (8 << 20, CHUNK),
        ] {
            let set = ReadBuffer::working_set(bytes, 1).unwrap();
            assert_eq!(set.bytes(), bytes);
            for variant in ReadVariant::widest() {
                let mut case = read_bandwidth(&set, 1, variant).unwrap();
                assert_eq!(case.case().work_per_iteration(), read as u64);
                Entrant::new("set", &mut case).time(3).unwrap();
            }
        }
        assert!(ReadBuffer::working_set(63, 1).is_err());
    }

    #[test]
    fn every_variant_sums_any_number_of_lines() {
        let buffer = small();
        for variant in ReadVariant::candidates() {
            for count in [0, 1, 2, 3, 4, 5, 7, 8, 31, 1024, 4096, 9001] {
                let got = variant.sum(&buffer.lines[3..3 + count]);
                assert_eq!(got, expected_sum(3, count), "{} {count}", variant.name());
            }
        }
    }

    #[test]
    fn a_changed_word_is_seen() {
        let mut buffer = ReadBuffer::new(MIB, 64 << 10, 1).unwrap();
        buffer.lines[1000].0[5] ^= 1;
        let buffer = Arc::new(buffer);
        for variant in ReadVariant::candidates() {
            let lines = &buffer.lines[..];
            assert_ne!(variant.sum(lines), expected_sum(0, lines.len()));
        }
    }

    #[test]
    fn walkers_share_one_position_and_come_round() {
        let buffer = small();
        let firsts: Vec<usize> = (0..17).map(|_| buffer.take_chunk().0).collect();
        assert_eq!(firsts[..3], [0, 1024, 2048]);
        assert_eq!((firsts[15], firsts[16]), (15 * 1024, 0));
    }

    #[test]
    fn threads_read_chunks_of_their_own_and_the_sum_is_right() {
        let buffer = small();
        for threads in [1, 2, 3] {
            let variant = ReadVariant::candidates()[0];
            let case = read_bandwidth(&buffer, threads, variant).unwrap();
            let name = format!("read-portable-{threads}t");
            assert_eq!(case.case().name(), name);
            let bytes = case.case().work_per_iteration();
            assert_eq!(bytes, threads as u64 * (64 << 10));
        }
    }

    #[test]
    fn the_best_variant_is_a_case_that_can_be_timed() {
        let best = best_read_bandwidth(&small(), 1).unwrap();
        assert!(best.case().name().starts_with("read-"));
        assert_eq!(best.case().unit(), Unit::GigabytesPerSecond);
        assert!(best_read_bandwidth(&small(), 0).is_err());
    }

    #[test]
    fn a_buffer_outgrows_the_cache_or_is_refused() {
        let mib = |m: u64| m * MIB;
        assert_eq!(size(Some(mib(64_000)), Some(mib(32))), Ok(GIB));
        assert_eq!(size(Some(mib(64_000)), Some(mib(480))), Ok(mib(1920)));
        assert_eq!(size(Some(mib(64_000)), None), Ok(GIB));
        assert_eq!(size(Some(mib(3200)), Some(mib(480))), Ok(mib(800)));
        assert!(size(Some(mib(1600)), Some(mib(480))).is_err());
        assert!(size(Some(mib(200)), None).is_err());
        assert!(size(None, Some(mib(32))).is_err());
    }

    #[test]
    fn a_wrong_sum_is_a_failure_of_the_slice() {
        let mut broken = ReadBuffer::new(MIB, 64 << 10, 1).unwrap();
        broken.lines[5000].0[0] += 1;
        let buffer = Arc::new(broken);
        let variant = ReadVariant::candidates()[0];
        // The broken line is past the first chunk, so the check at the start passes.
        let mut case = read_bandwidth(&buffer, 1, variant).unwrap();
        let schedule = Schedule {
            max_rounds: 20,
            ..Schedule::default()
        };
        let run = round_robin::run(
            &mut [Entrant::new("read", &mut case)],
            &schedule,
            &mut |_| ControlFlow::Continue(()),
        );
        assert!(matches!(run.stopped, Stopped::Failed { .. }));
    }
}
