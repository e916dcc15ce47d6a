//! How rows are spread over threads: one seam, and the pool that the engine uses.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Work to be spread: `out` holds items of `width` values each, and every item is written once.
pub struct Work<'a> {
    /// Where the items go: `items * width` values.
    pub out: &'a mut [f32],
    /// Values an item.
    pub width: usize,
    /// Ranges of items begin at multiples of this.
    pub grain: usize,
    /// Bytes that an item reads, so that a scheduler can tell a large task from a small one.
    pub bytes: usize,
}

impl Work<'_> {
    /// Number of items.
    pub fn items(&self) -> usize {
        self.out.len() / self.width
    }
}

/// Computes the items of a range into a slice that holds just these.
pub type Task<'a> = dyn Fn(Range<usize>, &mut [f32]) + Sync + 'a;

/// Spreads work over threads. Which thread computes an item never changes its bits.
pub trait Scheduler: Send + Sync {
    /// Stable name for reports.
    fn name(&self) -> &'static str;

    /// Threads that take part.
    fn threads(&self) -> usize;

    /// Calls `task` on ranges that cover all items once; returns when all are written.
    fn run(&self, work: Work<'_>, task: &Task<'_>);

    /// Runs `body` where calls of [`Scheduler::run`] are cheapest, such as on a pool's own thread.
    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        body();
    }
}

/// Contiguous ranges of rows per worker, cut into pieces that idle workers may steal.
pub struct Pool {
    threads: usize,
    min_piece: usize,
    /// `None` for one thread: the caller does the work.
    pool: Option<rayon::ThreadPool>,
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
        source: rayon::ThreadPoolBuildError,
    },
}

/// The most threads that a pool takes.
pub const MAX_THREADS: usize = 1024;

/// Pieces smaller than this are not worth a hand-over between cores.
const MIN_PIECE_BYTES: usize = 64 << 10;

/// Pieces per thread: enough for the others to take over what a preempted worker leaves.
const PIECES_PER_THREAD: usize = 4;

impl Pool {
    /// A pool of `threads`, the caller's included when it is one.
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
        let pool = (threads > 1)
            .then(|| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("engine-{i}"))
                    .build()
            })
            .transpose()
            .map_err(|source| PoolError::Start { threads, source })?;
        Ok(Self {
            threads,
            min_piece,
            pool,
        })
    }

    fn pieces(&self, work: &Work<'_>) -> usize {
        let grains = work.items().div_ceil(work.grain);
        let bytes = work.items() * work.bytes;
        let worth = bytes.checked_div(self.min_piece).unwrap_or(grains);
        worth.min(self.threads * PIECES_PER_THREAD).min(grains)
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
        let (items, pieces) = (work.items(), self.pieces(&work));
        match &self.pool {
            Some(pool) if pieces > 1 => {
                let cut = Cut {
                    width: work.width,
                    grain: work.grain,
                    task,
                };
                pool.install(|| cut.run(0..items, work.out, pieces));
            }
            _ => task(0..items, work.out),
        }
    }

    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        match &self.pool {
            Some(pool) => run_awake(pool, body),
            None => body(),
        }
    }
}

/// Looks for work that a spinning worker makes before it offers its core to others.
const SPINS: u32 = 4000;

/// Runs `body` on a worker of `pool` and keeps the others awake meanwhile.
///
/// Between two products of a token lie a few microseconds; a worker that went to sleep in each of
/// these gaps would take longer to wake than the gap is long.
pub fn run_awake(pool: &rayon::ThreadPool, body: &mut (dyn FnMut() + Send)) {
    let done = AtomicBool::new(false);
    pool.install(|| {
        let home = rayon::current_thread_index();
        rayon::join(
            || {
                let _ends = SetOnDrop(&done);
                body();
            },
            || stay_awake(pool.current_num_threads() - 1, home, &done),
        );
    });
}

/// Sets its flag also when what it guards panics, so that no worker spins for ever.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Keeps `workers` workers looking for work until `done`. Never on `home`, which would then wait
/// for itself.
fn stay_awake(workers: usize, home: Option<usize>, done: &AtomicBool) {
    let look = || {
        let mut idle = 0;
        while !done.load(Ordering::Acquire) && rayon::current_thread_index() != home {
            if rayon::yield_now() != Some(rayon::Yield::Idle) {
                idle = 0;
            } else if idle < SPINS {
                idle += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    };
    match workers {
        0 => {}
        1 => look(),
        _ => {
            rayon::join(look, || stay_awake(workers - 1, home, done));
        }
    }
}

struct Cut<'a> {
    width: usize,
    grain: usize,
    task: &'a Task<'a>,
}

impl Cut<'_> {
    /// Halves the range until `pieces` are left; the upper halves can be stolen, largest first.
    fn run(&self, range: Range<usize>, out: &mut [f32], pieces: usize) {
        let grains = range.len().div_ceil(self.grain);
        if pieces < 2 || grains < 2 {
            return (self.task)(range, out);
        }
        let lower = pieces / 2;
        let items = (grains * lower / pieces).max(1) * self.grain;
        let (low, high) = out.split_at_mut(items * self.width);
        let middle = range.start + items;
        rayon::join(
            || self.run(range.start..middle, low, lower),
            || self.run(middle..range.end, high, pieces - lower),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Every item is computed once, into its own place, on ranges that begin at whole grains.
    #[test]
    fn ranges_cover_all_items_once() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::with_min_piece(threads, 0).unwrap();
            for (items, width, grain) in [(1, 1, 1), (37, 3, 1), (100, 1, 16), (65, 2, 32)] {
                let mut out = vec![f32::NAN; items * width];
                let seen = Mutex::new(Vec::new());
                let work = Work {
                    out: &mut out,
                    width,
                    grain,
                    bytes: 1,
                };
                pool.run(work, &|range, out| {
                    assert!(range.start.is_multiple_of(grain));
                    for (i, item) in range.clone().zip(out.chunks_exact_mut(width)) {
                        item.fill(i as f32);
                    }
                    seen.lock().unwrap().push(range);
                });
                let mut seen = seen.into_inner().unwrap();
                seen.sort_by_key(|range| range.start);
                assert!(seen.windows(2).all(|w| w[0].end == w[1].start), "{seen:?}");
                let wanted = items.div_ceil(grain).min(threads * PIECES_PER_THREAD);
                assert!(
                    threads == 1 || seen.len() >= wanted.min(threads),
                    "{seen:?}"
                );
                for (i, item) in out.chunks_exact(width).enumerate() {
                    assert!(item.iter().all(|&v| v == i as f32), "item {i}: {item:?}");
                }
            }
        }
    }

    #[test]
    fn a_panic_inside_does_not_keep_workers_spinning() {
        let pool = Pool::with_min_piece(3, 0).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.enter(&mut || panic!("planted"));
        }));
        assert!(caught.is_err());
        let mut ran = false;
        pool.enter(&mut || ran = true);
        assert!(ran);
    }

    #[test]
    fn no_thread_and_too_many_are_refused() {
        for threads in [0, MAX_THREADS + 1] {
            assert!(matches!(Pool::new(threads), Err(PoolError::Count(n)) if n == threads));
        }
    }
}
