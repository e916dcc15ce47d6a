//! Waiting: a little while awake, then asleep.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};

/// Where one thread at a time waits for something that others bring about.
#[derive(Default)]
pub(super) struct Rest {
    asleep: AtomicBool,
    sleeper: Mutex<Option<Thread>>,
}

/// How long a thread stays awake while it waits.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Looks that it takes without leaving its core: some 10 to 50 ns each.
    pub spins: u32,
    /// Further looks, before each of which it offers its core to other threads.
    pub yields: u32,
}

impl Rest {
    /// Returns once `ready` says so.
    pub fn until(&self, patience: Patience, mut ready: impl FnMut() -> bool) {
        loop {
            for _ in 0..patience.spins {
                if ready() {
                    return;
                }
                std::hint::spin_loop();
            }
            for _ in 0..patience.yields {
                if ready() {
                    return;
                }
                thread::yield_now();
            }
            *self.sleeper() = Some(thread::current());
            self.asleep.store(true, Ordering::Relaxed);
            // With the one in `wake`: either this thread sees that it is ready, or the other sees
            // that it sleeps.
            fence(Ordering::SeqCst);
            while self.asleep.load(Ordering::Relaxed) {
                if ready() {
                    self.asleep.store(false, Ordering::Relaxed);
                    return;
                }
                thread::park();
            }
        }
    }

    /// Ends the sleep of who waits here. To be called after what he waits for has been stored.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            // Whoever waits here next may be the one that is found; a thread woken for nothing
            // looks, and sleeps on.
            if let Some(sleeper) = self.sleeper().clone() {
                sleeper.unpark();
            }
        }
    }

    fn sleeper(&self) -> std::sync::MutexGuard<'_, Option<Thread>> {
        self.sleeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
