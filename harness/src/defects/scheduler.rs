//! Threads that wait for each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bitgauge_engine::threads::{PoolError, Scheduler, Task, Work};

use crate::rayon_pool::{self, run_awake};

/// Spreads rows as the first threaded version of an engine did: one task a row (or a kernel's tile
/// of rows, the least it can be given), taken from one shared queue; a buffer for each task, from
/// a locked pool of buffers; a lock around each write of a result.
///
/// The threads themselves persist and are awake: what is slow here is the contention. Neighbouring rows are computed by different threads, so their results share cache
/// lines, as do the queue, the buffer pool and the output lock.
pub struct Contended {
    threads: usize,
    /// `None` for one thread: the caller does the work, through the same queue and locks.
    pool: Option<rayon::ThreadPool>,
    buffers: Mutex<Vec<Vec<f32>>>,
}

impl Contended {
    /// A scheduler of `threads`, the caller's included when it is one.
    ///
    /// # Errors
    /// As [`Pool::new`](bitgauge_engine::threads::Pool::new).
    pub fn new(threads: usize) -> Result<Self, PoolError> {
        Ok(Self {
            threads,
            pool: rayon_pool::start(threads, "contended")?,
            buffers: Mutex::default(),
        })
    }
}

impl Scheduler for Contended {
    fn name(&self) -> &'static str {
        "contended"
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, work: Work<'_>, task: &Task<'_>) {
        let (items, width, grain) = (work.items(), work.width, work.grain);
        let next = Mutex::new(0);
        let out = Mutex::new(work.out);
        let worker = || {
            while let Some(start) = take(&next, items, grain) {
                let end = (start + grain).min(items);
                let mut buffer = lock(&self.buffers).pop().unwrap_or_default();
                buffer.resize((end - start) * width, 0.0);
                task(start..end, &mut buffer);
                lock(&out)[start * width..end * width].copy_from_slice(&buffer);
                lock(&self.buffers).push(buffer);
            }
        };
        match &self.pool {
            Some(pool) => pool.install(|| on_each(self.threads, &worker)),
            None => worker(),
        }
    }

    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        match &self.pool {
            Some(pool) => run_awake(pool, body),
            None => body(),
        }
    }
}

/// Offers `worker` to `threads` threads. One that has lost its core is not waited for: those that
/// run empty the queue.
fn on_each(threads: usize, worker: &(dyn Fn() + Sync)) {
    match threads {
        0 => {}
        1 => worker(),
        _ => {
            rayon::join(worker, || on_each(threads - 1, worker));
        }
    }
}

/// The next row or tile, if one is left.
fn take(next: &Mutex<usize>, items: usize, grain: usize) -> Option<usize> {
    let mut next = lock(next);
    let start = *next;
    *next += grain;
    (start < items).then_some(start)
}

/// What a lock holds is whole between statements, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Every item is computed once, alone or in a tile, whatever the number of threads.
    #[test]
    fn every_item_is_written_once() {
        for threads in [1, 2, 3, 8] {
            let scheduler = Contended::new(threads).unwrap();
            for (items, width, grain) in [(1, 1, 1), (37, 3, 1), (100, 1, 16), (65, 2, 32)] {
                let mut out = vec![f32::NAN; items * width];
                let tasks = AtomicUsize::new(0);
                let work = Work {
                    out: &mut out,
                    width,
                    grain,
                    bytes: 1,
                };
                scheduler.run(work, &|range, out| {
                    assert!(range.start.is_multiple_of(grain));
                    tasks.fetch_add(1, Ordering::Relaxed);
                    for (i, item) in range.zip(out.chunks_exact_mut(width)) {
                        item.fill(i as f32);
                    }
                });
                assert_eq!(tasks.into_inner(), items.div_ceil(grain));
                for (i, item) in out.chunks_exact(width).enumerate() {
                    assert!(item.iter().all(|&v| v == i as f32), "item {i}: {item:?}");
                }
            }
        }
    }

    #[test]
    fn no_thread_and_too_many_are_refused() {
        for threads in [0, usize::MAX] {
            assert!(matches!(Contended::new(threads), Err(PoolError::Count(n)) if n == threads));
        }
    }
}
