//! Asking for weights before they are needed: hardware alone does not keep up with a stream that
//! is consumed this evenly.
//!
//! What is asked for may lie beyond the weights: a prefetch never faults.
//!
//! How far ahead is a constant. For experiments, [`set`] makes the products of one token with
//! [`KERNELS`] ask otherwise; no bit of an answer depends on it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hints of `prefetch`, by their numbers in `std::arch::x86_64`: into the first-level cache, into the
/// second only, and into the first to be written to.
const FIRST: i32 = 3;
const SECOND: i32 = 2;
const TO_WRITE: i32 = 7;

/// Asks for the line at `address`.
#[inline(always)]
fn ask<const HINT: i32>(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE, and a prefetch does nothing where no memory is mapped.
    // (Newer compilers than the oldest supported one call it safe by themselves.)
    #[allow(unused_unsafe)]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<HINT>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks for every cache line of the `T` that lies `BYTES` beyond `here`.
#[inline]
pub(crate) fn ahead<T, const BYTES: usize>(here: &T) {
    for line in (0..size_of::<T>()).step_by(64) {
        beyond(std::ptr::from_ref(here).cast(), BYTES + line);
    }
}

/// Asks for every cache line of what lies `bytes` beyond `here`, only into the second-level cache.
#[inline(always)]
pub(crate) fn all_beyond<T>(here: &T, bytes: usize) {
    for line in (0..size_of::<T>()).step_by(64) {
        far_beyond(std::ptr::from_ref(here).cast(), bytes + line);
    }
}

/// Kernels whose products of one token follow [`set`].
pub const KERNELS: [&str; 5] = [
    "maddubs-avx2",
    "vnni-avx512",
    "tables-avx512",
    "vbmi-avx512",
    "tiles-amx",
];

/// How far ahead weights are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// Not at all: what comes early is the hardware's doing.
    Off,
    /// So many bytes ahead in their stream, into the first-level cache.
    Bytes(NonZeroUsize),
}

/// What the engine does.
const OWN: NonZeroUsize = NonZeroUsize::new(2048).unwrap();

impl Default for Distance {
    /// What the engine does.
    fn default() -> Self {
        Self::Bytes(OWN)
    }
}

/// The distance in bytes; 0 for [`Distance::Off`].
static DISTANCE: AtomicUsize = AtomicUsize::new(OWN.get());

/// Sets the distance of every call of a kernel that begins from now on, in all threads. For
/// experiments: nothing in the engine calls it, and whoever does sets the default again.
pub fn set(distance: Distance) {
    let bytes = match distance {
        Distance::Off => 0,
        Distance::Bytes(bytes) => bytes.get(),
    };
    DISTANCE.store(bytes, Ordering::Relaxed);
}

/// What was [`set`] last.
#[inline]
pub(crate) fn distance() -> Distance {
    NonZeroUsize::new(DISTANCE.load(Ordering::Relaxed)).map_or(Distance::Off, Distance::Bytes)
}

/// Asks for the line that lies `bytes` beyond `here`.
#[inline(always)]
pub(crate) fn beyond(here: *const u8, bytes: usize) {
    ask::<FIRST>(here.wrapping_add(bytes));
}

/// Bytes ahead at which memory is asked for by [`in_two_steps`]: the second-level cache has more
/// requests under way than the first, and this covers the latency of memory.
const FAR: usize = 8192;

/// Bytes ahead at which a line moves on to the first-level cache.
pub(crate) const NEAR: usize = 512;

/// Asks for the lines that a sequential reader at `line` will want, first into the second-level
/// cache and then into the first.
#[inline(always)]
pub(crate) fn in_two_steps(line: *const u8) {
    ask::<SECOND>(line.wrapping_add(FAR));
    ask::<FIRST>(line.wrapping_add(NEAR));
}

/// Asks for the line that lies `bytes` beyond `here`, into the second-level cache only.
#[inline(always)]
pub(crate) fn far_beyond(here: *const u8, bytes: usize) {
    ask::<SECOND>(here.wrapping_add(bytes));
}

/// Asks for the lines of `numbers`, which are written to later.
///
/// Processors that do not know this hint take it for none.
#[inline(always)]
pub(crate) fn to_write(numbers: &[i32]) {
    for line in numbers.chunks(64 / size_of::<i32>()) {
        ask::<TO_WRITE>(line.as_ptr().cast());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::kernels::{TABLE, available};
    use crate::matrix::Matrix;
    use crate::synthetic::split_mix;
    use crate::trits::Trits;

    #[test]
    fn kernels_that_follow_are_in_the_table() {
        for name in KERNELS {
            #[cfg(target_arch = "x86_64")]
            assert!(TABLE.iter().any(|spec| spec.name() == name), "{name}");
            #[cfg(not(target_arch = "x86_64"))]
            let _ = (name, TABLE);
        }
    }

    /// Every distance gives the sums of products written out, at sizes that fill no tile or line.
    #[test]
    fn no_distance_changes_a_bit() {
        let (rows, cols) = (37, 709);
        let mut state = 5;
        let mut next = move || split_mix(&mut state);
        let trits: Vec<i8> = (0..rows * cols).map(|_| (next() % 3) as i8 - 1).collect();
        let q: Vec<i8> = (0..cols).map(|_| (next() % 255) as u8 as i8).collect();
        let dot = |row: &[i8]| -> i32 {
            let products = row.iter().zip(&q);
            products.map(|(&w, &q)| i32::from(w) * i32::from(q)).sum()
        };
        let want: Vec<i32> = trits.chunks(cols).map(dot).collect();
        let trits = Trits::new(rows, cols, trits).unwrap();
        let bytes = |n| Distance::Bytes(NonZeroUsize::new(n).unwrap());
        for kernel in available() {
            let matrix = Matrix::pack(kernel, &trits);
            let mut input = Input::default();
            input.set(&q, cols);
            input.prepare(kernel);
            for distance in [
                Distance::Off,
                bytes(1),
                bytes(256),
                bytes(16 << 10),
                bytes(1 << 40),
                Distance::default(),
            ] {
                set(distance);
                assert_eq!(super::distance(), distance);
                let mut got = vec![i32::MIN; rows];
                matrix.sums(&input, 0..rows, &mut got);
                assert_eq!(got, want, "{kernel:?} {distance:?}");
            }
        }
        set(Distance::default());
    }
}
