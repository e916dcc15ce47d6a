//! Where in memory a case lands: drawn anew for every placement.

use bitgauge_engine::buffer::Buffer;

use crate::measure::{SplitMix64, fresh_seed};

/// Bytes of padding before a buffer, at most; twice as many where it is small.
const MOST: usize = 64 << 10;

/// Blocks of a buffer's own size before it, at most.
const MOST_BLOCKS: usize = 16;

/// One draw of places: before each buffer, memory is taken and kept, so that the buffers of two
/// placements lie differently within pages and cache sets. What a lucky place is worth then
/// differs from placement to placement and averages out.
///
/// A block of random size moves what is taken from the end of the heap; blocks of the buffer's own
/// size use up the holes that it would else find again and again. Buffers of a mebibyte or more
/// begin on a page of their own, always: there the system draws, by the pages that it gives.
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

    /// Moves a buffer of `bytes` that is allocated next.
    pub(super) fn pad(&mut self, bytes: usize) {
        let any = self.random.below(MOST + 1);
        let blocks = MOST_BLOCKS.min(MOST / bytes.max(1));
        let own = self.random.below(blocks + 1);
        let sizes = std::iter::once(any).chain(std::iter::repeat_n(bytes, own));
        self.padding.0.extend(sizes.map(Vec::with_capacity));
    }

    /// A copy of `values` at a place of its own.
    pub(super) fn copy<T>(&mut self, values: &[T]) -> Buffer<T>
    where
        for<'a> Buffer<T>: From<&'a [T]>,
    {
        self.pad(size_of_val(values));
        values.into()
    }

    /// A buffer of `len` numbers that no right case gives, at a place of its own.
    pub(super) fn poisoned(&mut self, len: usize) -> Buffer<f32> {
        self.pad(len * size_of::<f32>());
        let mut buffer = Buffer::zeroed(len);
        buffer.fill(f32::NAN);
        buffer
    }

    /// The padding so far, to be kept as long as the case.
    pub(super) fn take_padding(&mut self) -> Padding {
        std::mem::take(&mut self.padding)
    }
}
