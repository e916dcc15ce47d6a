//! Asking for weights before they are needed: hardware alone does not keep up with a stream that
//! is consumed this evenly.

/// Asks for every cache line of the `T` that lies `bytes` beyond `here`.
#[inline]
pub(super) fn ahead<T, const BYTES: usize>(here: &T) {
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
