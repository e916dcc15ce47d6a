//! In which order one token reads its weights, of products and of the quantised head: in several
//! streams, by turns.
//!
//! The prefetchers of hardware follow a stream through a page of memory, a few lines ahead of what
//! is read. A kernel that reads one stream has computed with these lines before the next can come;
//! while it reads other streams, they do.

use std::array;
use std::ops::Range;

use crate::aligned::LINE;
use crate::prefetch;

/// Streams of a block.
pub(crate) const STREAMS: usize = 4;

/// Bytes of a stream that are read in one turn: about as much as hardware runs ahead.
pub(crate) const TURN: usize = 512;

/// Bytes of a block, about: streams that lie much further apart are read slower. Short ones are
/// too, hence no piece of work that the pool gives a thread is cut further.
const BLOCK: usize = 256 << 10;

/// Tiles that lie next to each other, of which each stream reads an equal share.
pub(crate) struct Block {
    tiles: Range<usize>,
    /// Bytes of a tile.
    tile: usize,
}

impl Block {
    /// `tiles`, of `tile` bytes each, as one block.
    pub fn new(tiles: Range<usize>, tile: usize) -> Self {
        Self { tiles, tile }
    }

    /// `count` tiles of `tile` bytes, cut into blocks that are of one size but for the last: streams
    /// are of one length, and where each goes on is known.
    pub fn all(count: usize, tile: usize) -> impl Iterator<Item = Self> {
        let round = STREAMS * tile;
        let size = ((BLOCK + round / 2) / round).max(1) * STREAMS;
        let block = move |first| Self::new(first..count.min(first + size), tile);
        (0..count).step_by(size).map(block)
    }

    /// All of its tiles.
    pub fn tiles(&self) -> Range<usize> {
        self.tiles.clone()
    }

    /// The tiles that stream `k` reads.
    pub fn stream(&self, k: usize) -> Range<usize> {
        share(self.tiles(), k, STREAMS)
    }

    /// Tiles of the longest stream.
    pub fn longest(&self) -> usize {
        self.tiles.len().div_ceil(STREAMS)
    }

    /// The tile of each stream that is read in turns with tile `i` of the others.
    pub fn abreast(&self, i: usize) -> [Option<Place>; STREAMS] {
        array::from_fn(|k| {
            let stream = self.stream(k);
            (i < stream.len()).then(|| Place {
                tile: stream.start + i,
                left: (stream.len() - i) * self.tile,
                skip: (self.tiles.len() - stream.len()) * self.tile,
            })
        })
    }

    /// Asks for the first `ahead` bytes of every stream, which no turn before has asked for. The first
    /// tile lies at `weights`.
    pub fn begin(&self, weights: *const u8, ahead: usize) {
        for k in 0..STREAMS {
            let stream = self.stream(k);
            let first = (stream.start - self.tiles.start) * self.tile;
            for at in (0..ahead.min(stream.len() * self.tile)).step_by(LINE) {
                prefetch::beyond(weights, first + at);
            }
        }
    }
}

/// A tile of a stream.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub tile: usize,
    /// Bytes from its begin to the end of its stream.
    left: usize,
    /// Bytes of the other streams.
    skip: usize,
}

impl Place {
    /// How far beyond byte `at` of the tile lies what the stream reads `ahead` bytes later: it goes
    /// on in the next block, which is taken to be as long as this one, behind the other streams.
    #[inline(always)]
    pub fn beyond(&self, at: usize, ahead: usize) -> usize {
        let skip = if at + ahead < self.left { 0 } else { self.skip };
        ahead + skip
    }
}

fn share(of: Range<usize>, index: usize, parts: usize) -> Range<usize> {
    let place = |i| of.start + of.len() * i / parts;
    place(index)..place(index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_all_blocks_are_the_tiles_in_order() {
        for (count, tile) in [
            (1, 64),
            (3, 2560),
            (640, 2560),
            (641, 2560),
            (160, 6912),
            (2, 1 << 20),
        ] {
            let blocks: Vec<_> = Block::all(count, tile).collect();
            let streams = |b: &Block| (0..STREAMS).map(|k| b.stream(k)).collect::<Vec<_>>();
            let tiles: Vec<usize> = blocks.iter().flat_map(streams).flatten().collect();
            assert!(tiles.iter().copied().eq(0..count), "{count} of {tile}");
            for block in &blocks {
                let lengths = (0..STREAMS).map(|k| block.stream(k).len());
                assert_eq!(lengths.max().unwrap(), block.longest());
                let tiles = block.tiles();
                assert!(tiles.len() * tile <= BLOCK + STREAMS * tile / 2 || tiles.len() <= STREAMS);
                assert!(tiles.end == count || tiles.len() == STREAMS * block.stream(0).len());
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_what_its_stream_reads_later() {
        let (tile, ahead) = (1000, 2048);
        let blocks = [Block::new(0..40, tile), Block::new(40..80, tile)];
        for k in 0..STREAMS {
            let of = |b: &Block| b.stream(k).flat_map(|t| t * tile..(t + 1) * tile);
            let read: Vec<usize> = blocks.iter().flat_map(of).collect();
            for at in 0..10 * tile {
                let place = blocks[0].abreast(at / tile)[k].unwrap();
                assert_eq!(place.tile, read[at] / tile);
                let asked = read[at] + place.beyond(at % tile, ahead);
                assert_eq!(asked, read[at + ahead], "stream {k} at {at}");
            }
        }
    }
}
