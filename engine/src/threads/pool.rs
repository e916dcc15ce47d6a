//! Threads that persist, and take pieces of contiguous ranges of rows.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::board::{Board, Cut, MOST_UNITS};
use super::{Scheduler, Task, Work};

/// A contiguous range of rows for each thread, claimed in pieces; whoever is done with his own
/// range goes on with what is left of the others.
///
/// The thread that calls takes part. One region at a time is spread: whoever calls from within a
/// task, or while another thread's region is under way, does the work alone.
pub struct Pool {
    threads: usize,
    min_piece: usize,
    /// `None` for one thread: the caller does the work.
    crew: Option<Crew>,
}

/// A pool that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Not a number of threads.
    #[error("{0} threads were asked for; 1 to {MAX_THREADS} can be had")]
    Count(usize),
    /// The operating system refused.
    #[error("{threads} threads could not be started: {source}")]
    Start {
        /// Threads asked for.
        threads: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// The most threads that a pool takes.
pub const MAX_THREADS: usize = 1024;

/// Pieces smaller than this, which are read within a microsecond, are not worth a claim.
const MIN_PIECE_BYTES: usize = 16 << 10;

/// Work of fewer pieces, the smallest, is done by the caller before another thread has heard of it.
const FEWEST: usize = 8;

/// The largest piece, in smallest ones: what a thread that loses its core may have in hand.
const LARGEST: usize = 8;

/// Work of many pieces has larger ones, up to such a part of it: beginning one takes time, and this
/// too is little to have in hand.
const PART: usize = 128;

impl Pool {
    /// A pool of `threads`, the caller's included.
    ///
    /// # Errors
    /// When `threads` is 0 or above [`MAX_THREADS`], or the system refuses.
    pub fn new(threads: usize) -> Result<Self, PoolError> {
        Self::with_min_piece(threads, MIN_PIECE_BYTES)
    }

    /// A pool that cuts work down to pieces of `min_piece` bytes; 0 cuts as fine as grains allow.
    ///
    /// # Errors
    /// As [`Pool::new`].
    pub fn with_min_piece(threads: usize, min_piece: usize) -> Result<Self, PoolError> {
        if threads == 0 || threads > MAX_THREADS {
            return Err(PoolError::Count(threads));
        }
        let crew = (threads > 1)
            .then(|| Crew::start(threads))
            .transpose()
            .map_err(|source| PoolError::Start { threads, source })?;
        Ok(Self {
            threads,
            min_piece,
            crew,
        })
    }

    /// Where work of so many items, of so many bytes each, is spread, and how it is cut; `None` where
    /// the caller does it.
    fn spread(&self, items: usize, grain: usize, bytes: usize) -> Option<(&Board, Cut)> {
        let crew = self.crew.as_ref()?;
        let grains = items.div_ceil(grain);
        let worth = self.min_piece.div_ceil((grain * bytes).max(1));
        let fewest = grains.div_ceil(self.threads * MOST_UNITS);
        let unit = grain * worth.max(fewest).max(1);
        let largest = match self.min_piece {
            0 => 1,
            _ => LARGEST.max(items / unit / PART),
        };
        let spread = items > unit && items * bytes >= FEWEST * self.min_piece;
        spread.then_some((&*crew.board, Cut { unit, largest }))
    }
}

impl Scheduler for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, work: Work<'_>, task: &Task<'_>) {
        let items = work.items();
        match self.spread(items, work.grain, work.bytes) {
            Some((board, cut)) => board.run(work, cut, task),
            None => task(0..items, work.out),
        }
    }

    fn announce(&self, weights: &[u8], items: usize, grain: usize) {
        let bytes = weights.len() / items.max(1);
        if let Some((board, cut)) = self.spread(items, grain, bytes) {
            board.announce(weights, items.div_ceil(cut.unit), cut.unit * bytes);
        }
    }
}

/// The threads beside the caller's.
struct Crew {
    board: Arc<Board>,
    workers: Vec<JoinHandle<()>>,
}

impl Crew {
    fn start(threads: usize) -> io::Result<Self> {
        let mut crew = Self {
            board: Arc::new(Board::new(threads)),
            workers: Vec::with_capacity(threads - 1),
        };
        for range in 1..threads {
            let board = Arc::clone(&crew.board);
            let worker = thread::Builder::new().name(format!("engine-{range}"));
            crew.workers.push(worker.spawn(move || board.serve(range))?);
        }
        Ok(crew)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.board.close();
        for worker in self.workers.drain(..) {
            // A worker catches what tasks panic with, and has nothing else to say.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    /// Rounds of a test: an interpreter that looks for undefined behaviour is slow.
    const fn rounds(native: usize) -> usize {
        if cfg!(miri) { native / 100 } else { native }
    }

    fn work(out: &mut [f32], width: usize, grain: usize) -> Work<'_> {
        Work {
            out,
            width,
            grain,
            bytes: 1,
        }
    }

    /// Every item is computed once, into its own place, on ranges that begin at whole grains.
    #[test]
    fn ranges_cover_all_items_once() {
        for (threads, min_piece) in [(1, 0), (2, 0), (3, 0), (8, 0), (3, 4)] {
            let pool = Pool::with_min_piece(threads, min_piece).unwrap();
            for (items, width, grain) in [(1, 1, 1), (37, 3, 1), (100, 1, 16), (65, 2, 32)] {
                let mut out = vec![f32::NAN; items * width];
                let seen = Mutex::new(Vec::new());
                pool.run(work(&mut out, width, grain), &|range, out| {
                    assert!(range.start.is_multiple_of(grain));
                    for (i, item) in range.clone().zip(out.chunks_exact_mut(width)) {
                        item.fill(i as f32);
                    }
                    seen.lock().unwrap().push(range);
                });
                let mut seen = seen.into_inner().unwrap();
                seen.sort_by_key(|range| range.start);
                assert_eq!((seen[0].start, seen[seen.len() - 1].end), (0, items));
                assert!(seen.windows(2).all(|w| w[0].end == w[1].start), "{seen:?}");
                if threads > 1 && min_piece == 0 {
                    assert_eq!(seen.len(), items.div_ceil(grain), "as fine as grains allow");
                }
                for (i, item) in out.chunks_exact(width).enumerate() {
                    assert!(item.iter().all(|&v| v == i as f32), "item {i}: {item:?}");
                }
            }
        }
    }

    /// Units are then of several grains, so that a range's can be counted.
    #[test]
    fn more_items_than_a_range_counts_are_computed_once() {
        let items = rounds(3 * MOST_UNITS + 1000);
        for threads in [2, 3] {
            let pool = Pool::with_min_piece(threads, 0).unwrap();
            let mut out = vec![0.0; items];
            pool.run(work(&mut out, 1, 1), &|range, out| {
                for (i, out) in range.zip(out) {
                    *out += (i % 1000) as f32 + 1.0;
                }
            });
            let wrong = (0..items).find(|&i| out[i] != (i % 1000) as f32 + 1.0);
            assert_eq!(wrong, None, "{threads} threads");
        }
    }

    /// The largest piece is of eight units, or of a 128th of the work where that is more.
    #[test]
    fn large_work_is_cut_into_larger_pieces() {
        let pool = Pool::new(2).unwrap();
        for (items, want) in [(512, 8), (1152, 9), (2560, 20)] {
            let mut out = vec![0.0; items];
            let largest = AtomicUsize::new(0);
            let work = Work {
                bytes: MIN_PIECE_BYTES,
                ..work(&mut out, 1, 1)
            };
            pool.run(work, &|range, _| {
                largest.fetch_max(range.len(), Ordering::Relaxed);
            });
            assert_eq!(largest.into_inner(), want, "{items} items");
        }
    }

    /// Regions in quick succession, each with data of its own, now and then after a pause in which
    /// workers fall asleep.
    #[test]
    fn no_region_meets_what_belongs_to_another() {
        for threads in [2, 3, 5] {
            let pool = Pool::with_min_piece(threads, 1).unwrap();
            for round in 0..rounds(20_000) {
                let data: Vec<usize> = (0..1 + round % 97).map(|i| i ^ round).collect();
                let mut out = vec![f32::NAN; data.len()];
                pool.run(work(&mut out, 1, 1 + round % 3), &|range, out| {
                    for (out, &data) in out.iter_mut().zip(&data[range]) {
                        *out = data as f32;
                    }
                });
                assert!(out.iter().zip(&data).all(|(&a, &b)| a == b as f32));
                if round % (rounds(20_000) / 4) == 0 {
                    thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    /// A worker that is stuck in one piece does not keep the caller from all others.
    #[test]
    fn a_late_thread_holds_up_no_more_than_its_piece() {
        let pool = Pool::with_min_piece(2, 0).unwrap();
        let caller = thread::current().id();
        let (by_caller, by_worker) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut out = vec![0.0; 64];
        pool.run(work(&mut out, 1, 1), &|_, _| {
            if thread::current().id() == caller {
                by_caller.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(100));
            } else {
                by_worker.fetch_add(1, Ordering::Relaxed);
                // Until the caller has done all the rest.
                while by_caller.load(Ordering::Relaxed) < 63 {
                    thread::yield_now();
                }
            }
        });
        let by = (by_caller.into_inner(), by_worker.into_inner());
        assert!(by == (63, 1) || by == (64, 0), "{by:?}");
    }

    /// Each of a few times all threads but the caller's have fallen asleep before.
    #[test]
    fn threads_that_sleep_are_woken() {
        let pool = Pool::with_min_piece(2, 0).unwrap();
        let caller = thread::current().id();
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(50));
            let came = AtomicBool::new(false);
            let mut out = vec![0.0; 2];
            pool.run(work(&mut out, 1, 1), &|_, _| {
                if thread::current().id() != caller {
                    came.store(true, Ordering::Release);
                }
                for _ in 0..1000 {
                    if came.load(Ordering::Acquire) {
                        return;
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                panic!("nobody came");
            });
        }
    }

    /// Memory that is gone, less of it than items, none of it, and more than a thread asks for in the
    /// time: each of the threads comes, and computes what it should.
    #[test]
    fn no_announcement_keeps_a_thread_or_changes_an_item() {
        let pool = Pool::with_min_piece(2, 1).unwrap();
        let large = vec![0; 64 << 20];
        for round in 0..rounds(2000) {
            let gone = vec![0_u8; 1 + round * 100];
            pool.announce(&gone, gone.len().div_ceil(3), 2);
            drop(gone);
            match round % 4 {
                0 => pool.announce(&[], 0, 1),
                1 => pool.announce(&large[..7], 1000, 16),
                2 => pool.announce(&large, 512, 1),
                _ => {}
            }
            let came = AtomicUsize::new(0);
            let mut out = vec![f32::NAN; 16];
            pool.run(work(&mut out, 1, 8), &|range, out| {
                came.fetch_add(1, Ordering::AcqRel);
                while came.load(Ordering::Acquire) < 2 {
                    thread::yield_now();
                }
                for (i, out) in range.zip(out) {
                    *out = (round + i) as f32;
                }
            });
            assert!((round..).zip(&out).all(|(want, &got)| got == want as f32));
        }
    }

    #[test]
    fn a_panic_comes_back_to_the_caller_and_the_pool_goes_on() {
        let pool = Pool::with_min_piece(3, 0).unwrap();
        for planted in 0..rounds(200) {
            let mut out = vec![0.0; 40];
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run(work(&mut out, 1, 1), &|range, _| {
                    if range.start == planted % 40 {
                        std::panic::panic_any("planted");
                    }
                });
            }));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"planted"));
            let mut out = vec![0.0; 40];
            pool.run(work(&mut out, 1, 1), &|_, out| out.fill(1.0));
            assert_eq!(out, [1.0; 40]);
        }
    }

    /// Tasks that spread work themselves, and threads that share a pool.
    #[test]
    fn regions_within_and_beside_a_region_are_done_by_their_callers() {
        let pool = Pool::with_min_piece(2, 0).unwrap();
        let square = |side: usize| {
            let mut out = vec![0.0; side];
            pool.run(work(&mut out, 1, 1), &|range, out| {
                for (i, out) in range.zip(out) {
                    let mut inner = vec![0.0; side];
                    pool.run(work(&mut inner, 1, 1), &|_, inner| inner.fill(i as f32));
                    *out = inner.iter().sum();
                }
            });
            out
        };
        let want: Vec<f32> = (0..20).map(|i| (i * 20) as f32).collect();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..rounds(300) {
                        assert_eq!(square(20), want);
                    }
                });
            }
        });
    }

    #[test]
    fn a_pool_that_is_dropped_ends_its_threads() {
        struct Ends(Arc<AtomicBool>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        thread_local! {
            static ENDS: std::cell::RefCell<Option<Ends>> = const { std::cell::RefCell::new(None) };
        }
        let (caller, ended) = (thread::current().id(), Arc::new(AtomicBool::new(false)));
        let pool = Pool::with_min_piece(2, 0).unwrap();
        let worked = AtomicBool::new(false);
        let mut out = vec![0.0; 2];
        pool.run(work(&mut out, 1, 1), &|_, _| {
            if thread::current().id() == caller {
                while !worked.load(Ordering::Acquire) {
                    thread::yield_now();
                }
            } else {
                ENDS.set(Some(Ends(Arc::clone(&ended))));
                worked.store(true, Ordering::Release);
            }
        });
        assert!(!ended.load(Ordering::Acquire));
        drop(pool);
        assert!(ended.load(Ordering::Acquire));
    }

    #[test]
    fn no_thread_and_too_many_are_refused() {
        for threads in [0, MAX_THREADS + 1] {
            assert!(matches!(Pool::new(threads), Err(PoolError::Count(n)) if n == threads));
        }
    }
}
