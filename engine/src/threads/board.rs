//! The board on which one parallel region at a time is posted, in ranges of which threads claim
//! pieces.
//!
//! A region ends when all of its pieces are done, whoever did them: a thread that comes late, or
//! never, holds up nobody, and one that has lost its core holds up no more than its piece in hand.
//!
//! All `unsafe` of the pool is here, and rests on this: **a claim is a right to one piece, given
//! once, and the region lives until every piece that was claimed is done.**
//!
//! - A range's word holds the number of the region and how many units are left. Whoever lowers
//!   what is left, by compare-and-exchange, has claimed the units between; nobody else can.
//! - [`Board::run`] returns only when `undone` is 0, and `undone` is lowered by a claim's units
//!   after they were computed. So what the region borrows outlives every claim.
//! - A region is posted only after the one before has ended, all words of which are then at 0. A
//!   thread that read an older word fails to exchange it, as numbers of regions never come again
//!   (48 bits of them: years of the shortest regions, within one moment of that thread).
//! - The pointer to the region is stored before the word, which is stored with release, and read
//!   between two accesses to the word, the first with acquire: it is of that region or of a later
//!   one, and if of a later, the exchange fails.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::notice::{Asking, Notice};
use super::rest::{Patience, Rest};
use super::{Task, Work};

/// How work is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Items of a unit, the smallest piece.
    pub unit: usize,
    /// Units of the largest piece.
    pub largest: usize,
}

/// Bits of a word that count units.
const COUNT_BITS: u32 = 16;

/// The most units of one range.
pub(super) const MOST_UNITS: usize = (1 << COUNT_BITS) - 1;

/// A worker waits through the gaps between the products of a token awake.
const BETWEEN_REGIONS: Patience = Patience {
    spins: 1000,
    yields: 500,
};

/// The last pieces are small. If they take long, then their thread has lost its core, and may
/// need the one of the thread that waits.
const END_OF_REGION: Patience = Patience {
    spins: 300,
    yields: 20,
};

/// What threads share. One range for each; the first is that of the thread that calls.
pub(super) struct Board {
    ranges: Box<[Posted]>,
    /// Units of the region under way that are not computed yet.
    undone: Alone<AtomicUsize>,
    caller: Rest,
    notice: Alone<Notice>,
    /// Whether a region is under way.
    taken: AtomicBool,
    /// Number of the last region; whoever has `taken` counts.
    region: AtomicU64,
    /// What a task of the region under way panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    closed: AtomicBool,
}

/// On cache lines of its own; hardware fetches them in pairs.
#[repr(align(128))]
struct Alone<T>(T);

#[repr(align(128))]
struct Posted {
    /// Region, and units left.
    word: AtomicU64,
    what: AtomicPtr<Region<'static>>,
    /// Units of the largest piece.
    largest: AtomicUsize,
    worker: Rest,
}

/// Work, cut, and how it is done.
struct Region<'a> {
    task: &'a Task<'a>,
    out: *mut f32,
    items: usize,
    width: usize,
    cut: Cut,
    units: usize,
    ranges: usize,
}

/// The units of one of the ranges that `units` are spread over.
pub(super) fn range(units: usize, index: usize, ranges: usize) -> Range<usize> {
    units * index / ranges..units * (index + 1) / ranges
}

impl Region<'_> {
    /// The units of one range.
    fn range(&self, index: usize) -> Range<usize> {
        range(self.units, index, self.ranges)
    }

    /// Computes units.
    ///
    /// # Safety
    /// `out` must be valid for writes of `items * width` values, of which those of `units` are
    /// used by nobody else meanwhile.
    unsafe fn compute(&self, units: Range<usize>) {
        let start = units.start * self.cut.unit;
        let end = (units.end * self.cut.unit).min(self.items);
        // SAFETY: `start <= end <= items`, as there is an item in each of the `units` units; the
        // rest is what the caller vouches for.
        let out = unsafe {
            let first = self.out.add(start * self.width);
            std::slice::from_raw_parts_mut(first, (end - start) * self.width)
        };
        (self.task)(start..end, out);
    }
}

impl Board {
    pub fn new(threads: usize) -> Self {
        let posted = || Posted {
            word: AtomicU64::new(0),
            what: AtomicPtr::new(ptr::null_mut()),
            largest: AtomicUsize::new(1),
            worker: Rest::default(),
        };
        Self {
            ranges: (0..threads).map(|_| posted()).collect(),
            undone: Alone(AtomicUsize::new(0)),
            caller: Rest::default(),
            notice: Alone(Notice::default()),
            taken: AtomicBool::new(false),
            region: AtomicU64::new(0),
            panic: Mutex::new(None),
            closed: AtomicBool::new(false),
        }
    }

    /// Spreads the work, and takes part in it. A panic of the task goes on here.
    ///
    /// While a region is under way, whoever asks for another one computes it alone.
    pub fn run(&self, work: Work<'_>, cut: Cut, task: &Task<'_>) {
        let items = work.items();
        let units = items.div_ceil(cut.unit);
        assert!(units <= MOST_UNITS * self.ranges.len(), "{units} units");
        if self.taken.swap(true, Ordering::Acquire) {
            return task(0..items, work.out);
        }
        let region = Region {
            task,
            out: work.out.as_mut_ptr(),
            items,
            width: work.width,
            cut,
            units,
            ranges: self.ranges.len(),
        };
        self.post(&region);
        self.help(0);
        let done = || self.undone.0.load(Ordering::Acquire) == 0;
        self.caller.until(END_OF_REGION, done);
        let panic = self.lock_panic().take();
        self.taken.store(false, Ordering::Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    fn post(&self, region: &Region<'_>) {
        let number = self.region.load(Ordering::Relaxed) + 1;
        self.region.store(number, Ordering::Relaxed);
        self.undone.0.store(region.units, Ordering::Relaxed);
        for (i, posted) in self.ranges.iter().enumerate() {
            let what = ptr::from_ref(region).cast_mut().cast();
            posted.what.store(what, Ordering::Relaxed);
            posted.largest.store(region.cut.largest, Ordering::Relaxed);
            let word = (number << COUNT_BITS) | region.range(i).len() as u64;
            posted.word.store(word, Ordering::Release);
        }
        self.wake_workers();
    }

    fn wake_workers(&self) {
        for posted in &self.ranges[1..] {
            posted.worker.wake();
        }
    }

    /// Lets workers that wait ask for the weights of `units` of so many bytes each, that a region will
    /// read.
    pub fn announce(&self, weights: &[u8], units: usize, unit: usize) {
        self.notice.0.post(weights, units, unit);
    }

    /// What the worker of a range does until the board is closed.
    pub fn serve(&self, range: usize) {
        let Posted { word, worker, .. } = &self.ranges[range];
        let closed = || self.closed.load(Ordering::Acquire);
        let posted = || word.load(Ordering::Relaxed) & MOST_UNITS as u64 > 0;
        let mut asking = Asking::new(range, self.ranges.len());
        loop {
            worker.until(BETWEEN_REGIONS, || {
                let ready = posted() || closed();
                if !ready {
                    asking.go_on(&self.notice.0);
                }
                ready
            });
            if closed() {
                return;
            }
            self.help(range);
        }
    }

    /// Lets all workers go home.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake_workers();
    }

    /// Computes what is left of a range, and then of the others.
    fn help(&self, first: usize) {
        let count = self.ranges.len();
        for index in (first..count).chain(0..first) {
            let mut done = 0;
            while let Some((region, units)) = self.claim(index) {
                done += units.len();
                // SAFETY: the units were claimed, so the region is alive, what it borrows with
                // it, and nobody else has these items.
                let computed =
                    catch_unwind(AssertUnwindSafe(|| unsafe { (*region).compute(units) }));
                if let Err(payload) = computed {
                    *self.lock_panic() = Some(payload);
                }
            }
            // Beyond this the region may be gone.
            if done > 0 && self.undone.0.fetch_sub(done, Ordering::AcqRel) == done {
                self.caller.wake();
            }
        }
    }

    /// Claims a piece of a range: half of what is left, within the limits of the cut. So pieces are
    /// large at first and small at the end, where threads wait for each other.
    fn claim(&self, index: usize) -> Option<(*const Region<'static>, Range<usize>)> {
        let posted = &self.ranges[index];
        let mut seen = posted.word.load(Ordering::Acquire);
        loop {
            let left = seen as usize & MOST_UNITS;
            if left == 0 {
                return None;
            }
            let what = posted.what.load(Ordering::Relaxed);
            let take = (left / 2).clamp(1, posted.largest.load(Ordering::Relaxed));
            // Acquire in case of failure: the next look may find another region.
            match posted.word.compare_exchange_weak(
                seen,
                seen - take as u64,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Err(now) => seen = now,
                Ok(_) => {
                    // SAFETY: something was claimed, so the region is alive.
                    let start = unsafe { (*what).range(index).end } - left;
                    return Some((what, start..start + take));
                }
            }
        }
    }

    fn lock_panic(&self) -> std::sync::MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
