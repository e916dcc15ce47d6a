//! How many vector instructions a core issues: additions that wait for none of the others, on any
//! number of threads.
//!
//! Every processor adds integers on all ports that take vectors, so that no mix of instructions can
//! be issued faster than this.

#[cfg(target_arch = "x86_64")]
use super::issue_x86::{Adder, PER_ITERATION};
use super::{Unavailable, Yardstick};
use crate::measure::Verified;

/// Vectors of so many bytes added on `threads` threads that start together, in instructions. The
/// sums are compared with the expected ones after every slice.
///
/// # Errors
/// When this processor has no such vectors, the threads can't be started, or a sum is wrong.
pub fn issue_rate(vector: usize, threads: usize) -> Result<Verified<Yardstick>, Unavailable> {
    let name = format!("issue-{}bit-{threads}t", 8 * vector);
    #[cfg(target_arch = "x86_64")]
    {
        let Some(adder) = Adder::detect(vector) else {
            return Err(Unavailable::new(
                name,
                "this processor has no vectors of that size",
            ));
        };
        Yardstick::of_copies(name, PER_ITERATION, adder, threads)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        Err(Unavailable::new(name, "not an x86-64 processor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_no_processor_has_are_unavailable_by_name() {
        let refused = issue_rate(16, 1).unwrap_err();
        assert_eq!(refused.what, "issue-128bit-1t");
    }
}
