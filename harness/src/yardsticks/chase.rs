//! Load latency: loads of which each gives the address of the next.
//!
//! The lines of the buffer form one cycle, in the order of a linear congruential generator modulo
//! a power of two, which visits all (Hull and Dobell, "Random Number Generators", 1962) and has no
//! stride that hardware could follow. Where so many loads end is known without them.

use std::time::{Duration, Instant};

use bitgauge_engine::aligned::Aligned;

use super::Unavailable;
use crate::measure::{Answer, Failure, Timed, Tolerance, Verified};

/// Words of a cache line.
const WORDS: u64 = 8;
/// Knuth's multiplier (MMIX): 1 modulo 4, as a full period wants it.
const FACTOR: u64 = 6_364_136_223_846_793_005;
/// Odd, as a full period wants it.
const INCREMENT: u64 = 1_442_695_040_888_963_407;

/// Dependent loads over a working set.
pub struct Chase {
    words: Aligned,
    lines: u64,
    line: u64,
}

/// Loads of one iteration: prime, since a whole number of rounds would end where it began, and so
/// would a link that leads to itself.
pub const LOADS: u64 = 1021;

/// A chase through every cache line of `bytes`, a power of two.
///
/// # Errors
/// When `bytes` is no power of two of two lines or more, the memory can't be had, or the loads end
/// on a wrong line.
pub fn load_latency(bytes: u64) -> Result<Verified<Chase>, Unavailable> {
    let unavailable =
        |why: String| Unavailable::new(format!("load latency, {} KiB", bytes >> 10), why);
    let mut chase = Chase::new(bytes).map_err(unavailable)?;
    chase.iterate(1);
    let answer = |line: u64| Answer::Integers(vec![line as i32, (line >> 32) as i32]);
    let (got, want) = (answer(chase.line), answer(chase.after(0, LOADS)));
    Verified::check(chase, &got, &want, Tolerance::Exact)
        .map_err(|wrong| unavailable(wrong.to_string()))
}

impl Chase {
    fn new(bytes: u64) -> Result<Self, String> {
        let lines = bytes / (WORDS * 8);
        if !bytes.is_power_of_two() || lines < 2 {
            return Err(format!(
                "{bytes} bytes are no power of two of two cache lines or more"
            ));
        }
        let memory = usize::try_from(bytes).ok().and_then(Aligned::try_zeroed);
        let mut words = memory.ok_or("no memory for it")?;
        for (line, words) in (0..).zip(words.as_mut_slice::<[u64; WORDS as usize]>()) {
            words[0] = Steps::ONE.from(line) % lines * WORDS;
        }
        Ok(Self {
            words,
            lines,
            line: 0,
        })
    }

    /// The line on which so many loads from `line` end.
    fn after(&self, line: u64, loads: u64) -> u64 {
        Steps::many(loads).from(line) % self.lines
    }
}

impl Timed for Chase {
    fn iterate(&mut self, iterations: u64) {
        let words = self.words.as_slice::<u64>();
        let mut word = self.line * WORDS;
        for _ in 0..iterations * LOADS {
            word = words[word as usize];
        }
        self.line = word / WORDS;
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        let want = self.after(self.line, iterations * LOADS);
        let begin = Instant::now();
        self.iterate(iterations);
        let time = begin.elapsed();
        match self.line {
            line if line == want => Ok(time),
            line => Err(Failure::new(format!(
                "dependent loads ended on line {line}, expected {want}"
            ))),
        }
    }
}

/// Some steps of the generator, `x -> factor x + increment` modulo 2^64, as one.
#[derive(Clone, Copy)]
struct Steps {
    factor: u64,
    increment: u64,
}

impl Steps {
    const ONE: Self = Self {
        factor: FACTOR,
        increment: INCREMENT,
    };

    /// `n` steps, by squaring.
    fn many(mut n: u64) -> Self {
        let mut all = Self {
            factor: 1,
            increment: 0,
        };
        let mut power = Self::ONE;
        while n > 0 {
            if n % 2 == 1 {
                all = all.then(power);
            }
            power = power.then(power);
            n /= 2;
        }
        all
    }

    fn then(self, next: Self) -> Self {
        Self {
            factor: self.factor.wrapping_mul(next.factor),
            increment: next.from(self.increment),
        }
    }

    fn from(self, x: u64) -> u64 {
        x.wrapping_mul(self.factor).wrapping_add(self.increment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_visited_once_before_the_first_again() {
        for bytes in [128, 16 << 10, 1 << 20] {
            let chase = Chase::new(bytes).unwrap();
            let words = chase.words.as_slice::<u64>();
            let mut seen = vec![false; chase.lines as usize];
            let mut word = 0;
            for _ in 0..chase.lines {
                let line = (word / WORDS) as usize;
                assert_eq!(word % WORDS, 0, "loads begin on a line");
                assert!(!std::mem::replace(&mut seen[line], true), "{bytes}: {line}");
                word = words[word as usize];
            }
            assert_eq!(word, 0, "{bytes}: one cycle");
        }
    }

    /// A prefetcher that knows the last stride must not know the next.
    #[test]
    fn strides_do_not_repeat() {
        let chase = Chase::new(1 << 20).unwrap();
        let words = chase.words.as_slice::<u64>();
        let mut word = 0;
        let mut stride = 0;
        let mut repeated = 0;
        for _ in 0..chase.lines {
            let next = words[word as usize];
            repeated += u64::from(next.wrapping_sub(word) == stride);
            (stride, word) = (next.wrapping_sub(word), next);
        }
        assert!(repeated < chase.lines / 100, "{repeated}");
    }

    #[test]
    fn many_steps_are_single_steps() {
        let mut x = 7;
        for n in 0..100 {
            assert_eq!(Steps::many(n).from(7), x, "{n}");
            x = Steps::ONE.from(x);
        }
    }

    #[test]
    fn a_broken_link_is_an_error_and_no_time() {
        let mut chase = Chase::new(16 << 10).unwrap();
        assert!(chase.time(3).is_ok());
        chase.words.as_mut_slice::<u64>().fill(0);
        let failure = chase.time(3).unwrap_err();
        assert!(failure.message.contains("expected"), "{failure}");
    }

    #[test]
    fn sizes_without_a_cycle_are_refused() {
        for bytes in [0, 64, 3 << 10] {
            let refused = load_latency(bytes).map(|_| ()).unwrap_err();
            assert!(refused.why.contains("power of two"), "{refused}");
        }
    }
}
