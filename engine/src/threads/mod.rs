//! How rows are spread over threads: one seam, and the pool that the engine uses.

mod board;
mod notice;
mod pool;
mod rest;

use std::ops::Range;

pub use pool::{MAX_THREADS, Pool, PoolError};

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

    /// Told that work on `items` follows, in ranges that begin at multiples of `grain`, whose weights
    /// lie one after another in `weights`: threads that wait may ask memory for them. The work need
    /// not follow, nor the weights live on.
    fn announce(&self, _weights: &[u8], _items: usize, _grain: usize) {}

    /// Runs `body` where calls of [`Scheduler::run`] are cheapest, such as with all threads awake.
    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        body();
    }
}
