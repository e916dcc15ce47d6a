//! What is compared with itself: work that computes, a small product, work that reads memory, and
//! a product on two threads.

use crate::suite::{CaseId, IdError};

const LOOP: &str = "loop/lcg/20000/1t";

const PRODUCT: &str = "decode/256x2560/best/1t";
const MEMORY: &str = "memory/walk/8MiB/1t";
const THREADS: &str = "decode/1280x2560/best/2t";

/// The cases that this many usable CPUs can run.
///
/// # Errors
/// None: a test parses them.
pub fn all(threads: usize) -> Result<Vec<CaseId>, IdError> {
    [LOOP, PRODUCT, MEMORY, THREADS]
        .into_iter()
        .map(str::parse)
        .filter(|id: &Result<CaseId, _>| id.as_ref().is_ok_and(|id| id.threads() <= threads))
        .collect()
}

/// The order in which one process takes them, by position in [`all`]: cheap ones more often.
pub fn turn(cases: usize) -> Vec<usize> {
    [0, 1, 0, 1, 0, 2, 0, 1, 0, 3]
        .into_iter()
        .filter(|&at| at < cases)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_those_that_the_machine_can_run() {
        assert_eq!(all(1).unwrap().len(), 3);
        assert_eq!(all(2).unwrap().len(), 4);
        for (cases, length) in [(3, 9), (4, 10)] {
            let turn = turn(cases);
            assert_eq!(turn.len(), length);
            assert!((0..cases).all(|at| turn.contains(&at)));
        }
    }
}
