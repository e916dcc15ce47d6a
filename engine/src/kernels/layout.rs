//! What a kernel's packed bytes say, for whoever meets weights that were packed before.

use super::Spec;
use crate::synthetic::split_mix;
use crate::trits::Trits;
use xxhash_rust::xxh3::xxh3_64;

/// The reverse of a kernel's `pack`, in plain code that shares nothing with the kernel's `rows`.
pub(crate) struct Layout {
    /// Bytes of a matrix of so many rows and columns.
    pub bytes: fn(usize, usize) -> usize,
    /// Packs a matrix into as many bytes, which are zero before.
    pub pack: fn(&Trits, &mut [u8]),
    /// The code, trit + 1, of a weight of sound bytes.
    pub code: fn(&[u8], Place) -> u8,
    /// Whether all codes in the bytes are those of trits. Bytes come in pairs, from an even place on.
    pub sound: fn(&[u8]) -> bool,
}

/// A weight of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// N of the matrix.
    pub rows: usize,
    /// K of the matrix.
    pub cols: usize,
    /// The weight's row.
    pub n: usize,
    /// The weight's column.
    pub k: usize,
}

impl Layout {
    /// Writes the trits of a matrix of sound bytes, row-major, rows `first..` as far as `out` goes.
    pub fn unpack(
        &self,
        weights: &[u8],
        (rows, cols): (usize, usize),
        first: usize,
        out: &mut [i8],
    ) {
        for (i, row) in out.chunks_exact_mut(cols).enumerate() {
            for (k, trit) in row.iter_mut().enumerate() {
                let n = first + i;
                let place = Place { rows, cols, n, k };
                *trit = (self.code)(weights, place) as i8 - 1;
            }
        }
    }

    /// The place of the first pair of bytes that are not sound.
    pub fn unsound_at(&self, bytes: &[u8]) -> Option<usize> {
        if (self.sound)(bytes) {
            return None;
        }
        let pair = bytes.chunks(2).position(|pair| !(self.sound)(pair));
        Some(2 * pair.expect("an unsound pair, of which there is one"))
    }
}

/// Digit `j` of a number in base 3, the least significant first.
pub(super) fn digit(number: u8, j: usize) -> u8 {
    number / [1, 3, 9, 27, 81][j] % 3
}

/// Whether a condition holds for all bytes; no early exit, so that this becomes vector code.
pub(super) fn all(bytes: &[u8], holds: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, &byte| all & holds(byte))
}

/// Four codes of two bits in each byte: none is 3.
pub(super) fn pairs_of_bits(bytes: &[u8]) -> bool {
    all(bytes, |byte| byte & (byte >> 1) & 0x55 == 0)
}

/// Sixteen hexadecimal digits of what `spec` makes of a matrix: another version of it, that packs in
/// another way, has others.
pub(crate) fn fingerprint(spec: &Spec) -> String {
    // No multiple of any tile.
    const SHAPE: (usize, usize) = (67, 333);
    let mut state = 1;
    let trit = |_| (split_mix(&mut state) % 3) as i8 - 1;
    let trits = (0..SHAPE.0 * SHAPE.1).map(trit).collect();
    let packed = spec.pack(&Trits::checked(SHAPE.0, SHAPE.1, trits));
    format!("{:016x}", xxh3_64(packed.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::super::TABLE;
    use super::*;

    const SHAPES: [(usize, usize); 9] = [
        (1, 1),
        (3, 5),
        (16, 64),
        (17, 333),
        (65, 257),
        (64, 256),
        (40, 2563),
        (130, 20),
        (7, 241),
    ];

    #[test]
    fn every_kernel_unpacks_to_what_it_packed() {
        for spec in TABLE {
            let layout = spec.layout().unwrap();
            for (rows, cols) in SHAPES {
                let mut state = (rows * cols) as u64;
                let trit = |_| (split_mix(&mut state) % 3) as i8 - 1;
                let values: Vec<i8> = (0..rows * cols).map(trit).collect();
                let packed = spec.pack(&Trits::new(rows, cols, values.clone()).unwrap());
                let bytes = packed.as_slice::<u8>();
                let name = spec.name();
                assert_eq!(
                    bytes.len(),
                    (layout.bytes)(rows, cols),
                    "{name} {rows}x{cols}"
                );
                assert_eq!(layout.unsound_at(bytes), None, "{name} {rows}x{cols}");
                let mut found = vec![0; rows * cols];
                layout.unpack(bytes, (rows, cols), 0, &mut found);
                assert_eq!(found, values, "{name} {rows}x{cols}");
                let last = rows - 1;
                layout.unpack(bytes, (rows, cols), last, &mut found[..cols]);
                assert_eq!(found[..cols], values[last * cols..], "{name} {rows}x{cols}");
            }
        }
    }

    /// The words that packing rows of all kinds writes are just those that are sound.
    #[test]
    fn what_no_trits_pack_to_is_unsound() {
        for spec in TABLE {
            let layout = spec.layout().unwrap();
            let mut state = 7;
            // Enough for every word of nine trits, and of two bytes.
            let (rows, cols) = (192, 18_000);
            let trit = |_| (split_mix(&mut state) % 3) as i8 - 1;
            let values = (0..rows * cols).map(trit).collect();
            let packed = spec.pack(&Trits::checked(rows, cols, values));
            // A sound byte is sound beside any other, but for kernels that pack whole words.
            let whole = spec.name() == "tmac-avx512";
            let mut met = vec![false; 1 << 16];
            for pair in packed.as_slice::<u8>().as_chunks::<2>().0 {
                match whole {
                    true => met[usize::from(u16::from_le_bytes(*pair))] = true,
                    false => pair.iter().for_each(|&b| met[usize::from(b)] = true),
                }
            }
            for word in 0..=u16::MAX {
                let [low, high] = word.to_le_bytes();
                let known = match whole {
                    true => met[usize::from(word)],
                    false => met[usize::from(low)] && met[usize::from(high)],
                };
                let sound = (layout.sound)(&[low, high]);
                assert_eq!(sound, known, "{} {low:#04x} {high:#04x}", spec.name());
            }
        }
    }
}
