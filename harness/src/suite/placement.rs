//! Where in memory a case lands: drawn anew for every placement.

use crate::measure::{SplitMix64, fresh_seed};

/// Bytes that lie before a buffer, at most.
const MOST: usize = 64 << 10;

/// One draw of places: before each buffer, memory of a random size is taken and kept, so that the
/// buffers of two placements lie differently within pages and cache sets. What a lucky place is
/// worth then differs from placement to placement and averages out.
pub struct Placement {
    random: SplitMix64,
    padding: Padding,
}

/// Memory that is kept so that what came after it lies where it does.
#[derive(Default)]
pub(super) struct Padding(Vec<Vec<u8>>);

impl Placement {
    /// The placement of a seed. What was allocated before has its share in where things lie, so a
    /// seed does not give the same addresses again.
    pub fn new(seed: u64) -> Self {
        Self {
            random: SplitMix64::new(seed),
            padding: Padding::default(),
        }
    }

    /// A placement of the process's own entropy.
    pub fn fresh() -> Self {
        Self::new(fresh_seed())
    }

    /// Moves what is allocated next.
    pub(super) fn pad(&mut self) {
        let bytes = self.random.below(MOST + 1);
        self.padding.0.push(Vec::with_capacity(bytes));
    }

    /// A copy of `buffer` at a place of its own.
    pub(super) fn copy<T: Clone>(&mut self, buffer: &T) -> T {
        self.pad();
        buffer.clone()
    }

    /// The padding so far, to be kept as long as the case.
    pub(super) fn take_padding(&mut self) -> Padding {
        std::mem::take(&mut self.padding)
    }
}
