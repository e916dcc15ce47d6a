//! Reproducible random values for cases that no file holds.

/// A generator of its own, so that cases stay the same whatever the engine does to its own.
/// PCG-XSH-RR 64/32 (O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good
/// Algorithms for Random Number Generation", 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
    const INCREMENT: u64 = 1_442_695_040_888_963_407;

    pub fn new(seed: u64) -> Self {
        let mut random = Self {
            state: seed.wrapping_add(Self::INCREMENT),
        };
        random.bits();
        random
    }

    pub fn bits(&mut self) -> u32 {
        let old = self.state;
        self.state = old
            .wrapping_mul(Self::MULTIPLIER)
            .wrapping_add(Self::INCREMENT);
        let shifted = (((old >> 18) ^ old) >> 27) as u32;
        shifted.rotate_right((old >> 59) as u32)
    }

    /// Uniform in 0..n; the bias of at most n / 2^32 does not matter here.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(n)) >> 32) as u32
    }

    /// A third each of -1, 0 and 1.
    pub fn trits(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| self.below(3) as i8 - 1).collect()
    }

    /// All 256 values alike, -128 included.
    pub fn int8s(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| (self.bits() >> 24) as u8 as i8).collect()
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let open = (f64::from(self.bits()) + 1.0) / (f64::from(u32::MAX) + 2.0);
        let angle = std::f64::consts::TAU * f64::from(self.bits()) / f64::from(u32::MAX);
        (-2.0 * open.ln()).sqrt() * angle.cos()
    }

    pub fn normals(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.normal() as f32).collect()
    }
}
