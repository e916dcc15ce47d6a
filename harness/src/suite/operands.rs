//! What cases work on: functions of a seed, the same in every build, so that equal work gives
//! equal digests.

use crate::measure::SplitMix64;

/// Values that are drawn; what is longer repeats them. A matrix of 35 million trits has to be made
/// whenever a worker starts, and copying is far quicker than drawing. A prime, so that no two rows
/// within so many are alike.
const STRETCH: usize = 65_537;

/// A stream of operands.
pub(super) struct Operands(SplitMix64);

impl Operands {
    /// The stream of a matrix of `rows` x `cols`; all kernels and phases of a size get one.
    pub fn of_size(rows: usize, cols: usize) -> Self {
        Self(SplitMix64::new(((rows as u64) << 32) ^ cols as u64))
    }

    /// Trits of about a third each.
    pub fn trits(&mut self, len: usize) -> Vec<i8> {
        self.bytes(len, |byte| ((u16::from(byte) * 3) >> 8) as i8 - 1)
    }

    /// All 256 values alike, -128 included.
    pub fn int8s(&mut self, len: usize) -> Vec<i8> {
        self.bytes(len, |byte| byte as i8)
    }

    fn bytes(&mut self, len: usize, value: impl Fn(u8) -> i8) -> Vec<i8> {
        let mut values = vec![0; len.min(STRETCH)];
        for eight in values.chunks_mut(8) {
            let bytes = self.bits().to_le_bytes();
            for (out, byte) in eight.iter_mut().zip(bytes) {
                *out = value(byte);
            }
        }
        repeated(values, len)
    }

    /// Uniform in [-1, 1), two from one draw.
    pub fn floats(&mut self, len: usize) -> Vec<f32> {
        let uniform = |bits: u32| (bits >> 8) as f32 / (1u32 << 23) as f32 - 1.0;
        let mut values = vec![0.0; len.min(STRETCH)];
        for two in values.chunks_mut(2) {
            let bits = self.bits();
            for (out, half) in two.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                *out = uniform(half);
            }
        }
        repeated(values, len)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }
}

fn repeated<T: Copy>(stretch: Vec<T>, len: usize) -> Vec<T> {
    let mut values = stretch;
    values.reserve_exact(len - values.len());
    while values.len() < len {
        let more = (len - values.len()).min(STRETCH);
        values.extend_from_within(..more);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trits_are_a_third_each_and_activations_reach_both_ends() {
        let mut operands = Operands::of_size(100, 300);
        let trits = operands.trits(30_001);
        for value in [-1, 0, 1] {
            let count = trits.iter().filter(|&&t| t == value).count();
            assert!((9_700..10_300).contains(&count), "{count} times {value}");
        }
        let int8s = operands.int8s(30_001);
        assert!(int8s.contains(&-128) && int8s.contains(&127));
        let floats = operands.floats(1000);
        assert!(floats.iter().all(|x| (-1.0..1.0).contains(x)));
    }

    #[test]
    fn rows_of_a_repeated_stretch_differ() {
        let trits = Operands::of_size(300, 2560).trits(300 * 2560);
        let rows: std::collections::BTreeSet<_> = trits.chunks_exact(2560).collect();
        assert_eq!(rows.len(), 300);
        assert_eq!(trits[..7], trits[STRETCH..STRETCH + 7]);
    }

    #[test]
    fn sizes_have_streams_of_their_own() {
        let first = |rows, cols| Operands::of_size(rows, cols).bits();
        assert_eq!(first(8, 16), first(8, 16));
        assert_ne!(first(8, 16), first(16, 8));
    }
}
