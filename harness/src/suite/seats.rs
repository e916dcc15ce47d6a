//! Threads of a case that needs several, each side's on the same processors.
//!
//! Left to the scheduler, the threads of one side may share a processor for a while and those of the
//! other not, which would be an effect of the side for as long as it lasts.

use bitgauge_engine::threads::{Pool, PoolError};

use crate::machine::{allowed_cpus, with_current_thread_on};

/// Where the thread that calls the pool sits: one processor, or none for any.
pub(super) type Seat = Vec<usize>;

/// A pool of `threads` whose own threads sit on the processors after the caller's. Where there are
/// fewer processors than threads, or it is one thread, all go where they like.
pub(super) fn pool(threads: usize) -> Result<(Pool, Seat), PoolError> {
    let cpus = allowed_cpus().unwrap_or_default();
    if threads < 2 || cpus.len() < threads {
        return Ok((Pool::new(threads)?, Seat::new()));
    }
    let pool = with_current_thread_on(&cpus[1..threads], || Pool::new(threads))?;
    Ok((pool, vec![cpus[0]]))
}
