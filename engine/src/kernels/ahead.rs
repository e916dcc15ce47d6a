//! Fetching packed weights ahead of their use.

use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};

/// Bytes ahead at which memory is asked for: the second-level cache has more requests under way
/// than the first, and this covers the latency of memory.
const FAR: usize = 4096;

/// Bytes ahead at which a line moves on to the first-level cache.
const NEAR: usize = 512;

/// Asks for the lines that a sequential reader at `line` will want.
///
/// These may lie beyond the weights: a prefetch never faults.
#[inline(always)]
pub(super) fn fetch(line: *const u8) {
    // SAFETY: a prefetch reads nothing that the program could see, from any address; every
    // x86-64 CPU has it.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(line.wrapping_add(FAR).cast());
        _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(NEAR).cast());
    }
}
