//! What the suites share: their settings, their random operands, and how an answer is held
//! against the oracle's.

#![allow(
    dead_code,
    reason = "each suite is a crate of its own and uses a part of this"
)]

pub mod operations;
pub mod products;

use std::time::Duration;

use criterion::Criterion;

/// Few and short samples: the suites have some hundred benchmarks.
pub fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(500))
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `len` values in [-1, 1).
    pub fn floats(&mut self, len: usize) -> Vec<f32> {
        let uniform = |bits: u64| (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        (0..len).map(|_| uniform(self.bits())).collect()
    }
}

/// Ends the suite unless `got` is within float32 rounding of `want`, by the largest of `want`.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}: number of values");
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let close = (f64::from(got) - want).abs() <= 1e-5 * largest;
        assert!(
            close,
            "{what} is wrong at {i}: {got}, the oracle has {want}; what is wrong is not measured"
        );
    }
}
