//! Loops of one int8 multiply-add instruction, for x86-64; the one of tiles is in `dot_amx`.
//!
//! Each loop of vectors keeps twelve sums, more than the latency of the instruction times the ports that
//! run it, so that throughput and not latency is measured. The sums begin at different values,
//! lest the compiler find that they are one.

use super::dot::Instruction;
use super::dot_amx;
use super::team::Worker;
use bitgauge_engine::isa::Isa;
use std::arch::asm;
use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi16, _mm256_dpbusd_avx_epi32, _mm256_dpbusd_epi32,
    _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm512_dpbusd_epi32,
    _mm512_set1_epi32,
};
use std::hint::black_box;

const SUMS: usize = 12;
/// Instructions of each sum in one iteration: about 0.1 ms, beside which it does not count that
/// the threads of a team begin some hundred nanoseconds apart.
const DEPTH: usize = 1 << 16;

/// The unsigned and signed bytes that every group of four lanes multiplies.
const LEFT: [u8; 4] = [3, 250, 7, 129];
const RIGHT: [i8; 4] = [-5, 11, 127, -128];

/// What a loop adds up in one iteration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Sums that are kept, each of which begins at its number.
    pub sums: usize,
    /// Instructions of each sum.
    pub depth: usize,
    /// Groups of four products that fit beside each other in a sum.
    pub lanes: usize,
    /// Groups that an instruction adds to each lane.
    pub groups: usize,
}

impl Work {
    fn vectors(bytes: usize) -> Self {
        Self {
            sums: SUMS,
            depth: DEPTH,
            lanes: bytes / 4,
            groups: 1,
        }
    }
}

/// A loop that this processor can run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    instruction: Instruction,
    loop_of: unsafe fn(u64) -> u64,
    work: Work,
}

impl Kernel {
    /// The loop, if this processor has the instruction.
    pub(super) fn detect(instruction: Instruction) -> Option<Self> {
        let vnni = is_x86_feature_detected!("avx512vnni");
        let (loop_of, work): (unsafe fn(u64) -> u64, Work) = match instruction {
            Instruction::Portable => return None,
            Instruction::Avx2Maddubs => {
                is_x86_feature_detected!("avx2").then_some((maddubs as _, Work::vectors(32)))?
            }
            Instruction::Vnni256 if vnni && is_x86_feature_detected!("avx512vl") => {
                (vnni_256, Work::vectors(32))
            }
            Instruction::Vnni256 => {
                is_x86_feature_detected!("avxvnni").then_some((avx_vnni as _, Work::vectors(32)))?
            }
            Instruction::Vnni512 => vnni.then_some((vnni_512 as _, Work::vectors(64)))?,
            // The system has to grant tiles, and only the engine asks it.
            Instruction::AmxInt8 => {
                Isa::AmxInt8.check().ok()?;
                (dot_amx::tiles, dot_amx::WORK)
            }
        };
        Some(Self {
            instruction,
            loop_of,
            work,
        })
    }

    pub(super) fn ops_per_iteration(&self) -> u64 {
        let Work {
            sums,
            depth,
            lanes,
            groups,
        } = self.work;
        (2 * 4 * groups * lanes * sums * depth) as u64
    }
}

impl Worker for Kernel {
    fn run(&mut self, iterations: u64) -> u64 {
        // SAFETY: `detect` is the only maker of this type and has found the features of the loop.
        unsafe { (self.loop_of)(iterations) }
    }

    fn want(&self, iterations: u64) -> u64 {
        let product = |i: usize| i64::from(LEFT[i]) * i64::from(RIGHT[i]);
        let Work {
            sums,
            depth,
            lanes,
            groups,
        } = self.work;
        let times = (iterations as i64).wrapping_mul((depth * groups) as i64);
        let sums = 0..sums as i64;
        let lanes: Vec<i64> = match self.instruction {
            // Pairs into 16 bits: the two sums of each group alternate.
            Instruction::Avx2Maddubs => [product(0) + product(1), product(2) + product(3)]
                .iter()
                .flat_map(|&pair| {
                    sums.clone()
                        .map(move |s| i64::from(s.wrapping_add(times.wrapping_mul(pair)) as i16))
                })
                .flat_map(|lane| std::iter::repeat_n(lane, lanes))
                .collect(),
            _ => {
                let group: i64 = (0..4).map(product).sum();
                sums.map(|s| i64::from(s.wrapping_add(times.wrapping_mul(group)) as i32))
                    .flat_map(|lane| std::iter::repeat_n(lane, lanes))
                    .collect()
            }
        };
        lanes.into_iter().fold(0_i64, i64::wrapping_add) as u64
    }
}

pub(super) fn left() -> i32 {
    black_box(i32::from_ne_bytes(LEFT))
}

pub(super) fn right() -> i32 {
    black_box(i32::from_ne_bytes(RIGHT.map(|b| b as u8)))
}

pub(super) fn sum_of_i32(lanes: impl IntoIterator<Item = i32>) -> u64 {
    lanes.into_iter().map(i64::from).fold(0, i64::wrapping_add) as u64
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni_512(iterations: u64) -> u64 {
    let (a, b) = (_mm512_set1_epi32(left()), _mm512_set1_epi32(right()));
    let mut sums: [__m512i; SUMS] = std::array::from_fn(|s| _mm512_set1_epi32(s as i32));
    for _ in 0..iterations {
        for _ in 0..DEPTH {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
    }
    // SAFETY: both are SUMS times 64 bytes of integers, for which every pattern is a value.
    let lanes: [[i32; 16]; SUMS] = unsafe { std::mem::transmute(sums) };
    sum_of_i32(lanes.into_iter().flatten())
}

#[target_feature(enable = "avx512f,avx512vl,avx512vnni")]
fn vnni_256(iterations: u64) -> u64 {
    let (a, b) = (_mm256_set1_epi32(left()), _mm256_set1_epi32(right()));
    let mut sums: [__m256i; SUMS] = std::array::from_fn(|s| _mm256_set1_epi32(s as i32));
    for _ in 0..iterations {
        for _ in 0..DEPTH {
            for sum in &mut sums {
                *sum = _mm256_dpbusd_epi32(*sum, a, b);
            }
        }
    }
    // SAFETY: both are SUMS times 32 bytes of integers, for which every pattern is a value.
    let lanes: [[i32; 8]; SUMS] = unsafe { std::mem::transmute(sums) };
    sum_of_i32(lanes.into_iter().flatten())
}

#[target_feature(enable = "avx2,avxvnni")]
fn avx_vnni(iterations: u64) -> u64 {
    let (a, b) = (_mm256_set1_epi32(left()), _mm256_set1_epi32(right()));
    let mut sums: [__m256i; SUMS] = std::array::from_fn(|s| _mm256_set1_epi32(s as i32));
    for _ in 0..iterations {
        for _ in 0..DEPTH {
            for sum in &mut sums {
                *sum = _mm256_dpbusd_avx_epi32(*sum, a, b);
            }
        }
    }
    // SAFETY: both are SUMS times 32 bytes of integers, for which every pattern is a value.
    let lanes: [[i32; 8]; SUMS] = unsafe { std::mem::transmute(sums) };
    sum_of_i32(lanes.into_iter().flatten())
}

#[target_feature(enable = "avx2")]
fn maddubs(iterations: u64) -> u64 {
    let (a, mut b) = (_mm256_set1_epi32(left()), _mm256_set1_epi32(right()));
    let mut sums: [__m256i; SUMS] = std::array::from_fn(|s| _mm256_set1_epi16(s as i16));
    for _ in 0..iterations {
        for _ in 0..DEPTH {
            for sum in &mut sums {
                // The product does not depend on the sum, so it would be taken out of the loop
                // if the compiler knew that `b` stays the same.
                // SAFETY: no instruction; the register goes out as it came in.
                unsafe {
                    asm!("/* {0} */", inout(ymm_reg) b, options(nomem, nostack, preserves_flags));
                }
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(a, b));
            }
        }
    }
    // SAFETY: both are SUMS times 32 bytes of integers, for which every pattern is a value.
    let lanes: [[i16; 16]; SUMS] = unsafe { std::mem::transmute(sums) };
    sum_of_i32(lanes.into_iter().flatten().map(i32::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_gives_the_sums_that_scalar_arithmetic_gives() {
        for kernel in Instruction::ALL.into_iter().filter_map(Kernel::detect) {
            for iterations in [0, 1, 2, 37] {
                let mut kernel = kernel;
                assert_eq!(
                    kernel.run(iterations),
                    kernel.want(iterations),
                    "{kernel:?}"
                );
            }
        }
    }

    /// One instruction of 64 bytes is 64 multiply-adds.
    #[test]
    fn operations_are_counted_twice_a_multiply_add() {
        let ops = |i| Kernel::detect(i).map(|k| k.ops_per_iteration());
        for (instruction, bytes) in [
            (Instruction::Avx2Maddubs, 32),
            (Instruction::Vnni256, 32),
            (Instruction::Vnni512, 64),
        ] {
            assert!(ops(instruction).is_none_or(|n| n == 2 * bytes * 12 * 65_536));
        }
        // 16 rows times 16 columns, 64 products deep.
        let tiles = 16 * 16 * 64 * 6 * 4096;
        assert!(ops(Instruction::AmxInt8).is_none_or(|n| n == 2 * tiles));
    }

    /// A loop whose work was removed takes the same time for twice the iterations.
    #[test]
    fn time_grows_with_the_work() {
        for kernel in Instruction::ALL.into_iter().filter_map(Kernel::detect) {
            let mut kernel = kernel;
            let mut best = |n| {
                (0..15)
                    .map(|_| {
                        let start = std::time::Instant::now();
                        black_box(kernel.run(n));
                        start.elapsed().as_secs_f64()
                    })
                    .fold(f64::INFINITY, f64::min)
            };
            let growth = best(20) / best(5);
            assert!((2.5..6.0).contains(&growth), "{growth}");
        }
    }
}
