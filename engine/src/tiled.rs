//! A product as it lies in memory, by tiles of sixteen rows: `[tile][token][row of the tile]`.
//!
//! Whoever takes rows writes cache lines from end to end, and whoever takes tokens reads them so. A
//! last tile is as narrow as the rows that it has, so that there are no gaps, and the numbers of a
//! product of one token lie in order.

use std::ops::Range;

use crate::buffer::Buffer;

/// Rows of a tile: a cache line of numbers.
pub const TILE: usize = 16;

/// One number for each row and token.
#[derive(Default)]
pub struct Tiled {
    numbers: Buffer<f32>,
    tokens: usize,
}

/// In memory that was made before.
impl From<Buffer<f32>> for Tiled {
    fn from(numbers: Buffer<f32>) -> Self {
        let tokens = 0;
        Self { numbers, tokens }
    }
}

impl Tiled {
    /// Tokens, of which each has as many numbers as there are rows.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Makes room for so many tokens and rows, and gives it; what it holds is any numbers.
    pub fn resize(&mut self, tokens: usize, rows: usize) -> &mut [f32] {
        self.tokens = tokens;
        self.numbers.resize(tokens * rows);
        &mut self.numbers
    }

    /// All numbers, in order, of a product of one token; `None` of several.
    pub fn in_order(&self) -> Option<&[f32]> {
        (self.tokens == 1).then_some(&*self.numbers)
    }

    /// Writes `to[i * stride + j]`: of the `i`th of `tokens`, the number of the `j`th of `rows`. Reads
    /// from one end to the other.
    ///
    /// # Panics
    /// When there are no such tokens or rows, or no such place.
    pub fn gather(&self, tokens: Range<usize>, rows: Range<usize>, stride: usize, to: &mut [f32]) {
        assert!(
            tokens.end <= self.tokens,
            "tokens {tokens:?} of {}",
            self.tokens
        );
        if tokens.is_empty() || rows.is_empty() {
            return;
        }
        let all = self.numbers.len() / self.tokens;
        assert!(rows.end <= all, "rows {rows:?} of {all}");
        let room = (tokens.len() - 1) * stride + rows.len();
        assert!(
            rows.len() <= stride && room <= to.len(),
            "{} numbers for {} tokens, {} rows each, {stride} apart",
            to.len(),
            tokens.len(),
            rows.len()
        );
        let mut row = rows.start;
        while row < rows.end {
            let first = row / TILE * TILE;
            let tile = &self.numbers[first * self.tokens..];
            let width = TILE.min(tile.len() / self.tokens);
            let lines = tile[tokens.start * width..tokens.end * width].chunks_exact(width);
            let end = rows.end.min(first + width);
            let to = to[row - rows.start..].chunks_mut(stride);
            for (line, to) in lines.zip(to) {
                match (line.first_chunk(), to.first_chunk_mut::<TILE>()) {
                    (Some(line), Some(to)) if end - row == TILE => *to = *line,
                    _ => to[..end - row].copy_from_slice(&line[row - first..end - first]),
                }
            }
            row = end;
        }
    }
}

/// Brings a tile from `[row][token]` into its order; `room` is as long.
pub(crate) fn turn(tile: &mut [f32], tokens: usize, room: &mut [f32]) {
    let width = tile.len() / tokens;
    for (t, to) in room.chunks_exact_mut(width).enumerate() {
        for (to, from) in to.iter_mut().zip(tile.chunks_exact(tokens)) {
            *to = from[t];
        }
    }
    tile.copy_from_slice(room);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that say where they belong, with a last tile of any width.
    fn numbered(tokens: usize, rows: usize) -> Tiled {
        let mut tiled = Tiled::default();
        let all = tiled.resize(tokens, rows);
        for (i, tile) in all.chunks_mut(TILE * tokens).enumerate() {
            let mut room = vec![0.0; tile.len()];
            for (n, row) in tile.chunks_exact_mut(tokens).enumerate() {
                for (t, number) in row.iter_mut().enumerate() {
                    *number = (1000 * t + TILE * i + n) as f32;
                }
            }
            turn(tile, tokens, &mut room);
        }
        tiled
    }

    #[test]
    fn any_tokens_and_rows_are_gathered_and_nothing_else_is_written() {
        for rows in [1, 15, 16, 17, 53] {
            for tokens in [1, 2, 5] {
                let tiled = numbered(tokens, rows);
                for first in 0..rows {
                    for end in first + 1..=rows {
                        for some in [0..tokens, 0..1, tokens - 1..tokens] {
                            let (width, stride) = (end - first, end - first + 3);
                            let mut to = vec![-1.0; some.len() * stride];
                            tiled.gather(some.clone(), first..end, stride, &mut to);
                            for (t, to) in some.zip(to.chunks(stride)) {
                                let numbers = (first..end).map(|n| (1000 * t + n) as f32);
                                assert!(numbers.eq(to[..width].iter().copied()), "{to:?}");
                                assert_eq!(to[width..], [-1.0; 3]);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows 16..38 of 37")]
    fn rows_beyond_the_last_are_refused() {
        numbered(2, 37).gather(0..2, 16..38, 22, &mut [0.0; 44]);
    }

    #[test]
    #[should_panic(expected = "20 numbers for 3 tokens, 9 rows each, 10 apart")]
    fn a_place_for_too_few_tokens_is_refused() {
        numbered(3, 37).gather(0..3, 4..13, 10, &mut [0.0; 20]);
    }

    #[test]
    fn only_one_token_lies_in_order() {
        let want: Vec<f32> = (0..37).map(|n| n as f32).collect();
        assert_eq!(numbered(1, 37).in_order(), Some(&want[..]));
        assert_eq!(numbered(2, 37).in_order(), None);
    }
}
