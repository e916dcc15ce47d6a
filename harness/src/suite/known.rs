//! Work of exactly known size that has nothing to do with the engine: one case that only computes
//! and one that only reads. Extra work is planted in them to a step, or to a line of memory.

use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};

use bitgauge_engine::Error;
use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::threads::Scheduler;

use super::blueprint::{Extra, Plan};
use super::placement::Placement;
use super::{Body, Refusal, hold};
use crate::measure::{Answer, Digest, SplitMix64, Tolerance, fresh_seed};

/// `x -> A x + C` modulo 2^64, Knuth's constants for MMIX (The Art of Computer Programming,
/// volume 2, section 3.3.4): its period is 2^64.
const A: u64 = 6_364_136_223_846_793_005;
const C: u64 = 1_442_695_040_888_963_407;

/// Where every sequence passes through before its counted steps.
const START: u64 = 0x0123_4567_89ab_cdef;

/// The value `steps` steps after `x`, by repeated squaring of the map: composed with itself,
/// `a x + c` becomes `a^2 x + (a c + c)`. As the period is 2^64, `-n` steps go back n.
fn jump(x: u64, mut steps: u64) -> u64 {
    let (mut a, mut c) = (A, C);
    let (mut all_a, mut all_c) = (1u64, 0u64);
    while steps > 0 {
        if steps & 1 == 1 {
            all_c = a.wrapping_mul(all_c).wrapping_add(c);
            all_a = a.wrapping_mul(all_a);
        }
        c = a.wrapping_mul(c).wrapping_add(c);
        a = a.wrapping_mul(a);
        steps >>= 1;
    }
    all_a.wrapping_mul(x).wrapping_add(all_c)
}

fn answer(value: u64) -> Answer {
    Answer::Integers(vec![value as i32, (value >> 32) as i32])
}

fn digest(value: u64) -> Digest {
    Digest::of_bytes(&value.to_le_bytes())
}

/// A loop of dependent multiplications.
///
/// Extra steps come first, from a place so much earlier in the sequence that the last value stays
/// the same. Had they been left out, it would be another.
pub(super) struct LcgPlan {
    steps: u64,
    extra: u64,
}

impl LcgPlan {
    pub fn new(steps: u64) -> Self {
        Self { steps, extra: 0 }
    }
}

impl Plan for LcgPlan {
    fn place(
        &self,
        placement: &mut Placement,
        _scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        placement.pad(size_of::<Lcg>());
        Ok(Box::new(Lcg {
            from: jump(START, self.extra.wrapping_neg()),
            steps: self.steps + self.extra,
            value: 0,
        }))
    }

    fn bytes(&self) -> usize {
        size_of::<Lcg>()
    }

    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        let want = answer(jump(START, self.steps));
        hold("the last value", got, &want, Tolerance::Exact)
    }

    fn extra(&mut self, share: f64) -> Extra {
        self.extra = (self.steps as f64 * share).round() as u64;
        Extra::Own(self.extra as f64 / self.steps as f64)
    }
}

struct Lcg {
    from: u64,
    steps: u64,
    value: u64,
}

impl Body for Lcg {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        for _ in 0..iterations {
            // Constants that the compiler does not know can't be composed into fewer steps.
            let (a, c) = black_box((A, C));
            let mut x = black_box(self.from);
            for _ in 0..self.steps {
                x = x.wrapping_mul(a).wrapping_add(c);
            }
            self.value = black_box(x);
        }
        Ok(())
    }

    fn answer(&self) -> Answer {
        answer(self.value)
    }

    fn digest(&self) -> Digest {
        digest(self.value)
    }
}

/// A cache line of numbers.
type Line = [u64; 8];

/// Lines that an iteration reads: 1.25 MiB.
const SLICE: usize = (5 << 18) / size_of::<Line>();

/// Lines of a piece of memory: 960 KiB, too few for large pages, since the luck of many small pages
/// averages out. No multiple of a slice: a side with extra lines would else come to the end of a
/// piece twice as often as one without.
const PIECE: usize = (960 << 10) / size_of::<Line>();

/// What the numbers of every line add up to, so that any slice has a sum that is known.
const LINE_SUM: u64 = 0x9e37_79b9_7f4a_7c15;

/// A walk through pieces of memory, slice by slice and round again, adding up what it reads.
///
/// The sum begins at minus what the extra lines are worth, and so ends at what the slice is worth
/// if these have been read.
pub(super) struct WalkPlan {
    pieces: usize,
    extra: usize,
}

impl WalkPlan {
    pub fn new(mebibytes: usize) -> Self {
        Self {
            pieces: (mebibytes << 20).div_ceil(PIECE * size_of::<Line>()),
            extra: 0,
        }
    }
}

impl Plan for WalkPlan {
    fn place(
        &self,
        _placement: &mut Placement,
        _scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        Ok(Box::new(Walk {
            pieces: Pieces::take(self.pieces),
            at: 0,
            extra: self.extra,
            sum: 0,
        }))
    }

    fn bytes(&self) -> usize {
        self.pieces * PIECE * size_of::<Line>()
    }

    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        let want = answer(LINE_SUM.wrapping_mul(SLICE as u64));
        hold("the sum of a slice", got, &want, Tolerance::Exact)
    }

    fn extra(&mut self, share: f64) -> Extra {
        self.extra = (SLICE as f64 * share).round() as usize;
        Extra::Own(self.extra as f64 / SLICE as f64)
    }
}

/// Pieces of memory that nobody walks through now.
///
/// How fast a piece can be read depends on the pages that the system gave for it. Filling all anew
/// for every placement would take far longer than walking through them. So all walks of a process
/// draw from the same pieces, and each placement gives one back to the system: luck then goes to
/// either side as often, and does not stay.
static SPARE: Mutex<Vec<Aligned>> = Mutex::new(Vec::new());

/// Pieces of a walk; spare again when dropped, but for one.
struct Pieces(Vec<Aligned>);

impl Pieces {
    fn take(count: usize) -> Self {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut random = SplitMix64::new(fresh_seed());
        while spare.len() < count {
            spare.push(filled(&mut random));
        }
        let take = |_| {
            let at = random.below(spare.len());
            spare.swap_remove(at)
        };
        Self((0..count).map(take).collect())
    }

    fn lines(&self, piece: usize) -> &[Line] {
        self.0[piece].as_slice()
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.0.pop();
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        spare.append(&mut self.0);
    }
}

/// A piece of lines, of which each has the same sum.
fn filled(random: &mut SplitMix64) -> Aligned {
    let mut piece = Aligned::zeroed(PIECE * size_of::<Line>());
    for line in piece.as_mut_slice::<Line>() {
        let mut rest = LINE_SUM;
        for number in &mut line[1..] {
            *number = random.next_u64();
            rest = rest.wrapping_sub(*number);
        }
        line[0] = rest;
    }
    piece
}

struct Walk {
    pieces: Pieces,
    /// The line to be read next, counted over all pieces.
    at: usize,
    extra: usize,
    sum: u64,
}

impl Body for Walk {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        for _ in 0..iterations {
            let mut left = SLICE + self.extra;
            let mut sum = LINE_SUM.wrapping_mul(self.extra as u64).wrapping_neg();
            while left > 0 {
                let lines = &self.pieces.lines(self.at / PIECE)[self.at % PIECE..];
                let lines = &lines[..left.min(lines.len())];
                sum = sum.wrapping_add(add_up(lines));
                left -= lines.len();
                self.at = (self.at + lines.len()) % (PIECE * self.pieces.0.len());
            }
            self.sum = black_box(sum);
        }
        Ok(())
    }

    fn answer(&self) -> Answer {
        answer(self.sum)
    }

    fn digest(&self) -> Digest {
        digest(self.sum)
    }
}

fn add_up(lines: &[Line]) -> u64 {
    let mut sums = [0u64; 8];
    for line in lines {
        for (sum, &number) in sums.iter_mut().zip(line) {
            *sum = sum.wrapping_add(number);
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_so_many_steps() {
        let mut x = START;
        for n in 0..3000 {
            assert_eq!(jump(START, n), x, "{n} steps");
            x = x.wrapping_mul(A).wrapping_add(C);
        }
    }

    #[test]
    fn a_negative_jump_goes_back() {
        for n in [0u64, 1, 2, 1000, 1 << 40] {
            assert_eq!(jump(jump(START, n.wrapping_neg()), n), START);
        }
    }

    fn scheduler() -> Arc<dyn Scheduler> {
        Arc::new(bitgauge_engine::threads::Pool::new(1).unwrap())
    }

    /// Extra work that is left out, or done too often, is seen in the answer.
    #[test]
    fn the_answer_holds_only_if_the_extra_steps_are_made() {
        let mut lcg = Lcg {
            from: jump(START, 5u64.wrapping_neg()),
            steps: 105,
            value: 0,
        };
        let plan = LcgPlan::new(100);
        lcg.run(1).unwrap();
        assert!(plan.judge(&lcg.answer()).is_ok());
        for steps in [100, 104, 106] {
            lcg.steps = steps;
            lcg.run(1).unwrap();
            assert!(plan.judge(&lcg.answer()).is_err(), "{steps} steps");
        }
    }

    #[test]
    fn every_slice_of_a_walk_has_the_same_sum_and_extra_lines_are_read() {
        let mut plan = WalkPlan::new(2);
        assert!(matches!(plan.extra(0.01), Extra::Own(share) if share == 205.0 / 20_480.0));
        let mut walk = plan.place(&mut Placement::new(1), scheduler()).unwrap();
        for _ in 0..5 {
            walk.run(1).unwrap();
            assert!(plan.judge(&walk.answer()).is_ok());
        }
        let mut short = Walk {
            pieces: Pieces(vec![Aligned::zeroed(PIECE * size_of::<Line>())]),
            at: 0,
            extra: 1,
            sum: 0,
        };
        short.run(1).unwrap();
        assert!(plan.judge(&short.answer()).is_err());
    }

    #[test]
    fn a_walk_goes_on_where_it_stopped() {
        let mut walk = Walk {
            pieces: Pieces::take(5),
            at: 0,
            extra: 3,
            sum: 0,
        };
        walk.run(9).unwrap();
        assert_eq!(walk.at, 9 * (SLICE + 3) % (5 * PIECE));
    }

    #[test]
    fn two_walks_share_no_piece() {
        let of = |walk: &Pieces| {
            let starts = walk.0.iter().map(|piece| piece.as_slice::<u8>().as_ptr());
            starts.collect::<std::collections::BTreeSet<_>>()
        };
        let (one, other) = (Pieces::take(5), Pieces::take(5));
        assert_eq!(of(&one).union(&of(&other)).count(), 10);
    }
}
