//! Asking for weights before they are needed: hardware alone does not keep up with a stream that
//! is consumed this evenly.
//!
//! What is asked for may lie beyond the weights: a prefetch never faults.

/// Asks for every cache line of the `T` that lies `BYTES` beyond `here`.
#[inline]
pub fn ahead<T, const BYTES: usize>(here: &T) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of::<T>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = std::ptr::from_ref(here).wrapping_byte_add(BYTES + line);
        // SAFETY: every x86-64 has SSE, and a prefetch does nothing where no memory is mapped.
        // (Newer compilers than the oldest supported one call it safe by themselves.)
        #[allow(unused_unsafe)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address.cast())
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = here;
}

/// Bytes ahead at which memory is asked for by [`in_two_steps`]: the second-level cache has more
/// requests under way than the first, and this covers the latency of memory.
#[cfg(target_arch = "x86_64")]
const FAR: usize = 8192;

/// Bytes ahead at which a line moves on to the first-level cache.
#[cfg(target_arch = "x86_64")]
const NEAR: usize = 512;

/// Asks for the lines that a sequential reader at `line` will want, first into the second-level
/// cache and then into the first.
#[inline(always)]
pub fn in_two_steps(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
    // SAFETY: every x86-64 has SSE, and a prefetch does nothing where no memory is mapped.
    #[cfg(target_arch = "x86_64")]
    #[allow(unused_unsafe)]
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(line.wrapping_add(FAR).cast());
        _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(NEAR).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
