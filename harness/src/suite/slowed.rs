//! Extra work of known size, for regressions that are planted to be found.
//!
//! [`Slowed`] plants it at the engine's scheduler seam: of every parallel region, a share of the
//! items is computed twice, evenly over the region, so that however rows meet threads all of them
//! have their part. What is computed twice gets the same values again: answers stay right.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bitgauge_engine::threads::{Pool, Scheduler, Task, Work};

/// A pool that computes a share of all items twice.
pub struct Slowed {
    pool: Pool,
    share: f64,
    once: AtomicU64,
    again: AtomicU64,
}

impl Slowed {
    /// Repeats `share` of the items of each region, in whole grains, rounded.
    pub fn new(pool: Pool, share: f64) -> Self {
        Self {
            pool,
            share,
            once: AtomicU64::new(0),
            again: AtomicU64::new(0),
        }
    }

    /// Bytes read again over bytes read once, in all that ran so far: the share that was really
    /// planted. `None` before the first region.
    pub fn planted(&self) -> Option<f64> {
        let (once, again) = (self.once.load(Relaxed), self.again.load(Relaxed));
        (once > 0).then(|| again as f64 / once as f64)
    }
}

impl Scheduler for Slowed {
    fn name(&self) -> &'static str {
        "slowed"
    }

    fn threads(&self) -> usize {
        self.pool.threads()
    }

    fn run(&self, work: Work<'_>, task: &Task<'_>) {
        let (width, grain, bytes) = (work.width, work.grain, work.bytes);
        let grains = work.items().div_ceil(grain);
        let repeated = (grains as f64 * self.share).round() as usize;
        // Grains repeated among the first `n`; a range repeats its part of them.
        let among = |n: usize| n * repeated / grains;
        self.pool.run(work, &|range, out| {
            task(range.clone(), out);
            let again = among(range.end.div_ceil(grain)) - among(range.start / grain);
            let end = range.end.min(range.start + again * grain);
            if again > 0 {
                task(range.start..end, &mut out[..(end - range.start) * width]);
            }
            let count = |items: usize| (items * bytes) as u64;
            self.once.fetch_add(count(range.len()), Relaxed);
            self.again.fetch_add(count(end - range.start), Relaxed);
        });
    }

    fn announce(&self, weights: &[u8], items: usize, grain: usize) {
        self.pool.announce(weights, items, grain);
    }

    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        self.pool.enter(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn the_share_is_computed_twice_and_nothing_else() {
        for threads in [1, 3] {
            for (items, grain, share, wanted) in [
                (160, 1, 0.25, 40),
                (2560, 16, 0.01, 32),
                (37, 1, 1.0, 37),
                (100, 16, 0.5, 64),
                (8, 1, 0.01, 0),
            ] {
                let slowed = Slowed::new(Pool::with_min_piece(threads, 0).unwrap(), share);
                let calls = Mutex::new(vec![0; items]);
                let mut out = vec![f32::NAN; items * 2];
                let work = Work {
                    out: &mut out,
                    width: 2,
                    grain,
                    bytes: 3,
                };
                slowed.run(work, &|range, out| {
                    assert!(range.start.is_multiple_of(grain));
                    assert_eq!(out.len(), range.len() * 2);
                    for (i, out) in range.zip(out.chunks_exact_mut(2)) {
                        out.fill(i as f32);
                        calls.lock().unwrap()[i] += 1;
                    }
                });
                let calls = calls.into_inner().unwrap();
                assert!(calls.iter().all(|&n| n == 1 || n == 2), "{calls:?}");
                let again: usize = calls.iter().map(|n| n - 1).sum();
                assert!(again.abs_diff(wanted) < grain, "{again}, wanted {wanted}");
                assert_eq!(slowed.planted(), Some(again as f64 / items as f64));
                let right = out.chunks_exact(2).enumerate();
                assert!(right.into_iter().all(|(i, o)| o == [i as f32; 2]));
            }
        }
    }

    #[test]
    fn before_any_work_the_share_is_unknown() {
        assert_eq!(Slowed::new(Pool::new(1).unwrap(), 0.5).planted(), None);
    }
}
