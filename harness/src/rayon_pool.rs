//! rayon's threads, for schedulers that are compared with the engine's own.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use bitgauge_engine::threads::{MAX_THREADS, PoolError, Scheduler, Task, Work};

/// `threads` threads whose names begin with `name`; `None` for one thread: the caller does the work.
///
/// # Errors
/// When `threads` is 0 or above [`MAX_THREADS`], or the system refuses.
pub fn start(threads: usize, name: &'static str) -> Result<Option<rayon::ThreadPool>, PoolError> {
    if threads == 0 || threads > MAX_THREADS {
        return Err(PoolError::Count(threads));
    }
    (threads > 1)
        .then(|| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |i| format!("{name}-{i}"))
                .build()
        })
        .transpose()
        .map_err(|source| PoolError::Start {
            threads,
            source: io::Error::other(source),
        })
}

/// Pieces smaller than this are not worth a hand-over between cores.
const MIN_PIECE_BYTES: usize = 64 << 10;

/// Pieces per thread: enough for the others to take over what a preempted worker leaves.
const PIECES_PER_THREAD: usize = 4;

/// Halves ranges down to contiguous pieces; an idle worker steals the largest piece left.
pub struct Halving {
    threads: usize,
    pool: Option<rayon::ThreadPool>,
}

impl Halving {
    /// A scheduler of `threads`, the caller's included when it is one.
    ///
    /// # Errors
    /// As [`start`].
    pub fn new(threads: usize) -> Result<Self, PoolError> {
        let pool = start(threads, "rayon")?;
        Ok(Self { threads, pool })
    }
}

impl Scheduler for Halving {
    fn name(&self) -> &'static str {
        "rayon"
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, work: Work<'_>, task: &Task<'_>) {
        let items = work.items();
        let grains = items.div_ceil(work.grain);
        let pieces = (items * work.bytes / MIN_PIECE_BYTES)
            .min(self.threads * PIECES_PER_THREAD)
            .min(grains);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_written_once() {
        for threads in [1, 2, 3, 8] {
            let scheduler = Halving::new(threads).unwrap();
            for (items, width, grain) in [(1, 1, 1), (37, 3, 1), (100, 1, 16), (65, 2, 32)] {
                let mut out = vec![0.0; items * width];
                let work = Work {
                    out: &mut out,
                    width,
                    grain,
                    bytes: MIN_PIECE_BYTES,
                };
                scheduler.run(work, &|range, out| {
                    assert!(range.start.is_multiple_of(grain));
                    for (i, item) in range.zip(out.chunks_exact_mut(width)) {
                        item.iter_mut().for_each(|v| *v += 1.0 + i as f32);
                    }
                });
                for (i, item) in out.chunks_exact(width).enumerate() {
                    assert!(
                        item.iter().all(|&v| v == 1.0 + i as f32),
                        "item {i}: {item:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_panic_inside_does_not_keep_workers_spinning() {
        let scheduler = Halving::new(3).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            scheduler.enter(&mut || std::panic::panic_any("planted"));
        }));
        assert!(caught.is_err());
        let mut ran = false;
        scheduler.enter(&mut || ran = true);
        assert!(ran);
    }

    #[test]
    fn no_thread_and_too_many_are_refused() {
        for threads in [0, MAX_THREADS + 1] {
            assert!(matches!(Halving::new(threads), Err(PoolError::Count(n)) if n == threads));
        }
    }
}
