//! A fingerprint of a case's results, by which two processes can tell that they did equal work.

use std::fmt;
use std::io::{self, Read};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::Answer;

/// XXH3-64 of a result's bytes, least significant first on every machine; sixteen hexadecimal
/// digits as text.
///
/// It is taken after every slice of a worker, so it has to be fast: a byte at a time, as FNV
/// does it, would cost more than the slice where a product of many tokens is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u64);

impl Digest {
    /// Of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes))
    }

    /// Of what there is to read, which is not held in memory.
    ///
    /// # Errors
    /// The reader's.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hash = Xxh3Default::new();
        let mut piece = vec![0; 1 << 16];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(Self(hash.digest())),
                n => hash.update(&piece[..n]),
            }
        }
    }

    /// Of the bits of real numbers, four bytes each: 0 and -0 differ, and so do two NaNs.
    pub fn of_f32(values: &[f32]) -> Self {
        let mut hash = Xxh3Default::new();
        for values in values.chunks(256) {
            let mut bytes = [[0; 4]; 256];
            for (bytes, value) in bytes.iter_mut().zip(values) {
                *bytes = value.to_le_bytes();
            }
            hash.update(bytes[..values.len()].as_flattened());
        }
        Self(hash.digest())
    }

    /// Its lower and upper half, to be compared as an answer.
    pub(crate) fn as_answer(self) -> Answer {
        Answer::Integers(vec![self.0 as i32, (self.0 >> 32) as i32])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value that the xxHash project gives for no bytes and seed 0.
    #[test]
    fn it_is_the_published_hash() {
        assert_eq!(Digest::of_bytes(&[]).to_string(), "2d06800538d394c2");
    }

    #[test]
    fn numbers_count_by_their_bytes() {
        let bytes = [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0];
        assert_eq!(Digest::of_f32(&[1.0, -2.0]), Digest::of_bytes(&bytes));
    }

    #[test]
    fn long_results_are_hashed_whole() {
        let values: Vec<f32> = (0..1000_u16).map(f32::from).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(Digest::of_f32(&values), Digest::of_bytes(&bytes));
    }

    /// Wherever it stands in the logits of a large vocabulary.
    #[test]
    fn each_number_of_many_makes_a_difference() {
        let mut values = vec![1.0; 130_001];
        let whole = Digest::of_f32(&values);
        for at in (0..values.len()).step_by(9973).chain([values.len() - 1]) {
            values[at] = 2.0;
            assert_ne!(Digest::of_f32(&values), whole, "number {at}");
            values[at] = 1.0;
        }
    }

    #[test]
    fn a_sign_an_order_and_a_length_make_a_difference() {
        assert_ne!(Digest::of_f32(&[0.0]), Digest::of_f32(&[-0.0]));
        assert_ne!(Digest::of_f32(&[1.0, 2.0]), Digest::of_f32(&[2.0, 1.0]));
        assert_ne!(Digest::of_f32(&[0.0]), Digest::of_f32(&[0.0, 0.0]));
        assert_ne!(Digest::of_f32(&[]), Digest::of_f32(&[0.0]));
    }
}
