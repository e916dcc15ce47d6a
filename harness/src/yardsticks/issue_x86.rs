//! Loops of additions of vectors, for x86-64.

use std::arch::asm;
use std::arch::x86_64::{__m256i, __m512i, _mm256_set1_epi32, _mm512_set1_epi32};

use super::team::Worker;

/// More than one instruction's latency times the ports that take it.
const SUMS: usize = 12;
/// Instructions of each sum in one iteration: about 0.1 ms.
const DEPTH: usize = 1 << 15;
/// Instructions of an iteration.
pub(super) const PER_ITERATION: u64 = (SUMS * DEPTH) as u64;
/// What is added.
const STEP: i32 = 7;

/// A loop that this processor can run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adder {
    lanes: usize,
    add: unsafe fn(u64) -> u64,
}

impl Adder {
    /// The loop over vectors of so many bytes, if there are such.
    pub(super) fn detect(vector: usize) -> Option<Self> {
        let add: unsafe fn(u64) -> u64 = match vector {
            32 if is_x86_feature_detected!("avx2") => add_256,
            64 if is_x86_feature_detected!("avx512f") => add_512,
            _ => return None,
        };
        let lanes = vector / size_of::<i32>();
        Some(Self { lanes, add })
    }
}

impl Worker for Adder {
    fn run(&mut self, iterations: u64) -> u64 {
        // SAFETY: `detect` is the only maker of this type and has found the feature of the loop.
        unsafe { (self.add)(iterations) }
    }

    fn want(&self, iterations: u64) -> u64 {
        let added = (iterations as i32)
            .wrapping_mul(DEPTH as i32)
            .wrapping_mul(STEP);
        let sums = (0..SUMS as i32).map(|sum| i64::from(sum.wrapping_add(added)));
        sums.map(|sum| sum * self.lanes as i64).sum::<i64>() as u64
    }
}

fn total<const LANES: usize>(sums: [[i32; LANES]; SUMS]) -> u64 {
    let lanes = sums.into_iter().flatten();
    lanes.map(i64::from).sum::<i64>() as u64
}

#[target_feature(enable = "avx512f")]
fn add_512(iterations: u64) -> u64 {
    let step = _mm512_set1_epi32(STEP);
    let mut sums: [__m512i; SUMS] = std::array::from_fn(|s| _mm512_set1_epi32(s as i32));
    for _ in 0..iterations * DEPTH as u64 {
        for sum in &mut sums {
            // SAFETY: an addition of registers; as assembly it is neither merged nor moved.
            unsafe {
                asm!("vpaddd {0}, {0}, {1}", inout(zmm_reg) *sum, in(zmm_reg) step,
                    options(nomem, nostack, preserves_flags));
            }
        }
    }
    // SAFETY: both are SUMS times 64 bytes of integers, for which every pattern is a value.
    total(unsafe { std::mem::transmute::<[__m512i; SUMS], [[i32; 16]; SUMS]>(sums) })
}

#[target_feature(enable = "avx2")]
fn add_256(iterations: u64) -> u64 {
    let step = _mm256_set1_epi32(STEP);
    let mut sums: [__m256i; SUMS] = std::array::from_fn(|s| _mm256_set1_epi32(s as i32));
    for _ in 0..iterations * DEPTH as u64 {
        for sum in &mut sums {
            // SAFETY: an addition of registers; as assembly it is neither merged nor moved.
            unsafe {
                asm!("vpaddd {0}, {0}, {1}", inout(ymm_reg) *sum, in(ymm_reg) step,
                    options(nomem, nostack, preserves_flags));
            }
        }
    }
    // SAFETY: both are SUMS times 32 bytes of integers, for which every pattern is a value.
    total(unsafe { std::mem::transmute::<[__m256i; SUMS], [[i32; 8]; SUMS]>(sums) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_scalar_arithmetic() {
        for mut adder in [32, 64].into_iter().filter_map(Adder::detect) {
            for iterations in [0, 1, 2, 37] {
                assert_eq!(adder.run(iterations), adder.want(iterations), "{adder:?}");
            }
        }
    }

    /// A loop whose work was removed takes the same time for twice the iterations.
    #[test]
    fn time_grows_with_the_work() {
        for mut adder in [32, 64].into_iter().filter_map(Adder::detect) {
            let mut best = |n| {
                let times = (0..15).map(|_| {
                    let start = std::time::Instant::now();
                    std::hint::black_box(adder.run(n));
                    start.elapsed().as_secs_f64()
                });
                times.fold(f64::INFINITY, f64::min)
            };
            let growth = best(20) / best(5);
            assert!((2.5..6.0).contains(&growth), "{growth}");
        }
    }
}
