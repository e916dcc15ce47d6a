//! Whether the time that a worker reports can be the time of its work.
//!
//! Three bounds, from certain to statistical:
//!
//! 1. *Too much*: a worker can't have worked for longer than it took to answer.
//! 2. *Too little for any processor*: see [`LEAST_NS`].
//! 3. *Too little for the wall time*: the wall time of a run holds, besides the work, the way there
//!    and back, waiting for a core, and set-up. All that may be much longer than a short run, so
//!    one run proves nothing, nor does the least of several while the machine is busy. But none
//!    of it grows with the iterations. So a suspect is *heard*: it is asked for few and for many
//!    iterations in turn, and it is convicted only when the time outside of its clock was longer
//!    in every long run than in any short one. If that time does not depend on the iterations,
//!    all orders of `2 k` figures are equally likely, so an honest worker is convicted in one of
//!    `(2 k)! / (k!)^2` hearings, whatever the load: 1 in 12870 at [`PAIRS`]. The runs of a slow
//!    liar take seconds, so [`FEWER_PAIRS`] convict where long runs hid more than [`WIDE_GAP`]
//!    beyond any short one. The orders alone bound that shortcut by 1 in 70. It is rarer by as
//!    much as waits are shorter than the gap; where waits of more than 50 ms are common, it is
//!    not, and no bound better than 1 in 70 holds. Hearings are rare themselves.
//!
//! What stays open: a worker that hides less than [`SUSPICIOUS_SHARE`] of its wall time. It can't
//! be told from one that makes a fresh input for each iteration outside of its clock.

use std::time::Duration;

/// Difference allowed between two clocks, as a share; they are steered to each other's rate
/// within 500 parts in a million.
const CLOCK_SHARE: f64 = 0.001;

/// Granularity allowed to a worker's clock: some count microseconds.
const CLOCK_GRAIN_NS: f64 = 1000.0;

/// Least time of an iteration in nanoseconds. It has at least a taken branch, of which no
/// processor retires more than two in a cycle: 0.08 ns at 6 GHz.
const LEAST_NS: f64 = 0.05;

/// Least share of the wall time outside of the worker's clock that makes a run suspicious.
const SUSPICIOUS_SHARE: f64 = 0.9;

/// Least time outside of the clock that makes a run suspicious: waking up costs less.
const SUSPICIOUS_HIDDEN: Duration = Duration::from_micros(200);

/// Time outside of the clock, over suspicious runs on end, that leads to a first hearing. Each
/// acquittal doubles it.
const FIRST_HEARING: Duration = Duration::from_millis(50);

/// Suspicious runs on end that a hearing needs at least.
const LEAST_STREAK: u32 = 3;

/// Pairs of short and long runs that convict.
const PAIRS: usize = 8;

/// A gap between the hidden times of long runs and of short ones. Taken to be more than a scheduler
/// makes in every long run of [`FEWER_PAIRS`] and in no short one.
const WIDE_GAP: Duration = Duration::from_millis(50);

/// Pairs that convict where the gap is that wide: a slow worker need not be heard for minutes.
const FEWER_PAIRS: usize = 4;

/// One run, as the worker and as its client saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) iterations: u64,
    pub(super) ns: u64,
    pub(super) wall: Duration,
}

impl Seen {
    /// Wall time outside of the worker's clock.
    fn hidden(&self) -> Duration {
        self.wall.saturating_sub(Duration::from_nanos(self.ns))
    }

    fn suspicious(&self) -> bool {
        let hidden = self.hidden();
        hidden > SUSPICIOUS_HIDDEN
            && hidden.as_secs_f64() > SUSPICIOUS_SHARE * self.wall.as_secs_f64()
    }

    /// Refuses what one run alone proves impossible.
    pub(super) fn check(&self) -> Result<(), String> {
        let (ns, wall) = (self.ns as f64, self.wall.as_nanos() as f64);
        if ns > wall * (1.0 + CLOCK_SHARE) + CLOCK_GRAIN_NS {
            return Err(format!(
                "it says that {} iterations took {ns} ns, and answered after {wall} ns",
                self.iterations
            ));
        }
        if ns + CLOCK_GRAIN_NS < LEAST_NS * self.iterations as f64 {
            return Err(format!(
                "it says that {} iterations took {ns} ns; no processor needs less than \
                 {LEAST_NS} ns for one",
                self.iterations
            ));
        }
        Ok(())
    }
}

/// What is held against one case of one worker.
#[derive(Debug)]
pub(super) struct Record {
    runs: u64,
    streak: u32,
    hidden: Duration,
    hearing_at: Duration,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            runs: 0,
            streak: 0,
            hidden: Duration::ZERO,
            hearing_at: FIRST_HEARING,
        }
    }
}

impl Record {
    /// Notes a run; true where the case must be heard.
    pub(super) fn note(&mut self, seen: &Seen) -> bool {
        self.runs += 1;
        // The first run of a case may set it up.
        if self.runs == 1 || !seen.suspicious() {
            (self.streak, self.hidden) = (0, Duration::ZERO);
            return false;
        }
        self.streak += 1;
        self.hidden += seen.hidden();
        self.streak >= LEAST_STREAK && self.hidden >= self.hearing_at
    }

    /// Notes that a hearing found nothing.
    pub(super) fn acquit(&mut self) {
        (self.streak, self.hidden) = (0, Duration::ZERO);
        self.hearing_at = self.hearing_at.saturating_mul(2);
    }
}

/// Few and many iterations in turn.
#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) few: u64,
    pub(super) many: u64,
    pairs: usize,
    most_in_short: Duration,
    least_in_long: Duration,
}

/// How a hearing stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    GoOn,
    Acquitted,
    Convicted(String),
}

impl Hearing {
    /// For a case that made itself suspicious with so many iterations.
    pub(super) fn new(iterations: u64) -> Self {
        Self {
            few: 1,
            many: iterations.max(4),
            pairs: 0,
            most_in_short: Duration::ZERO,
            least_in_long: Duration::MAX,
        }
    }

    /// Iterations of the runs of the next pair. Which comes first follows the Thue-Morse sequence: where
    /// every other run takes longer, such as on the other of two processors, both kinds are among
    /// them.
    pub(super) fn order(&self) -> [u64; 2] {
        match self.pairs.count_ones() % 2 {
            0 => [self.few, self.many],
            _ => [self.many, self.few],
        }
    }

    /// Hears one pair of runs. A single overlap acquits.
    pub(super) fn hear(&mut self, short: &Seen, long: &Seen) -> Finding {
        self.pairs += 1;
        self.most_in_short = self.most_in_short.max(short.hidden());
        self.least_in_long = self.least_in_long.min(long.hidden());
        if !long.suspicious() || self.least_in_long <= self.most_in_short {
            return Finding::Acquitted;
        }
        let wide = self.least_in_long - self.most_in_short > WIDE_GAP;
        if self.pairs < if wide { FEWER_PAIRS } else { PAIRS } {
            return Finding::GoOn;
        }
        Finding::Convicted(format!(
            "it says that {} iterations took {} ns, and answered after {} ns; in {} pairs of runs \
             the time outside of its clock was at most {:?} for {} iterations, and at least {:?} \
             for {}",
            long.iterations,
            long.ns,
            long.wall.as_nanos(),
            self.pairs,
            self.most_in_short,
            self.few,
            self.least_in_long,
            self.many
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(iterations: u64, ns: u64, wall: u64) -> Seen {
        let wall = Duration::from_nanos(wall);
        Seen {
            iterations,
            ns,
            wall,
        }
    }

    #[test]
    fn a_run_cannot_have_taken_longer_than_its_answer() {
        // 1 us and 0.1 % are allowed to the clocks: 1 ms and 2 us.
        assert!(seen(1, 1_001_999, 1_000_000).check().is_ok());
        assert!(seen(1, 1_002_001, 1_000_000).check().is_err());
    }

    #[test]
    fn a_run_cannot_be_faster_than_any_processor() {
        // 1e6 iterations need 50 us; a clock that counts microseconds may say 49.
        assert!(seen(1_000_000, 49_000, 1_000_000).check().is_ok());
        assert!(seen(1_000_000, 48_999, 1_000_000).check().is_err());
        // A clock that counts microseconds may say 0 for a short run.
        assert!(seen(10, 0, 1_000_000).check().is_ok());
        assert!(seen(u64::MAX, 1, 1_000_000).check().is_err());
    }

    #[test]
    fn set_up_in_the_first_run_is_not_suspicious() {
        let mut record = Record::default();
        assert!(!record.note(&seen(1, 100, 10_000_000_000)));
        for _ in 0..1000 {
            assert!(!record.note(&seen(1, 100_000, 150_000)));
        }
    }

    #[test]
    fn one_ordinary_run_ends_a_streak() {
        let mut record = Record::default();
        for _ in 0..100 {
            for _ in 0..2 {
                assert!(!record.note(&seen(1, 1, 1_000_000_000)));
            }
            record.note(&seen(1, 100_000, 150_000));
        }
    }

    #[test]
    fn a_case_whose_time_is_mostly_hidden_is_heard_and_after_an_acquittal_later_again() {
        let mut record = Record::default();
        let runs_until_heard = |record: &mut Record| {
            let hidden = seen(1, 1_000, 10_001_000);
            (1..).find(|_| record.note(&hidden)).unwrap()
        };
        assert_eq!(runs_until_heard(&mut record), 1 + 5);
        record.acquit();
        assert_eq!(runs_until_heard(&mut record), 10);
        record.acquit();
        assert_eq!(runs_until_heard(&mut record), 20);
    }

    /// An honest worker on two processors by turns, of which one is slower.
    #[test]
    fn every_other_run_that_takes_longer_convicts_nobody() {
        for slower in [0, 1] {
            let mut hearing = Hearing::new(1000);
            let mut runs = 0;
            let finding = loop {
                let mut pair = hearing.order().map(|iterations| {
                    let wall = if runs % 2 == slower {
                        21_700_000
                    } else {
                        21_500_000
                    };
                    runs += 1;
                    seen(iterations, iterations + 500, wall)
                });
                pair.sort_by_key(|seen| seen.iterations);
                match hearing.hear(&pair[0], &pair[1]) {
                    Finding::GoOn => {}
                    finding => break finding,
                }
            };
            assert_eq!(finding, Finding::Acquitted);
        }
    }

    fn hear(mut pair: impl FnMut(usize, &Hearing) -> (Seen, Seen)) -> (usize, Finding) {
        let mut hearing = Hearing::new(1000);
        for i in 1.. {
            let (short, long) = pair(i, &hearing);
            match hearing.hear(&short, &long) {
                Finding::GoOn => {}
                finding => return (i, finding),
            }
        }
        unreachable!()
    }

    #[test]
    fn hidden_time_that_grows_with_the_iterations_convicts() {
        // Reports a hundredth of 10 us an iteration; 50 us for the way there and back.
        let run = |n: u64| seen(n, n * 100, n * 10_000 + 50_000);
        let (pairs, finding) = hear(|_, h| (run(h.few), run(h.many)));
        assert!(matches!(finding, Finding::Convicted(_)));
        assert_eq!(pairs, 8);
        // The same, slower: 10 ms an iteration.
        let run = |n: u64| seen(n, n * 1000, n * 10_000_000);
        assert_eq!(hear(|_, h| (run(h.few), run(h.many))).0, 4);
    }

    #[test]
    fn hidden_time_that_does_not_grow_acquits() {
        // 5 ms of set-up before every run, a little more or less.
        let run = |n: u64, more: u64| seen(n, n * 100, n * 100 + 5_000_000 + more);
        let wobble = [0, 7000, 3000, 9000, 1000];
        let pair = |i: usize, h: &Hearing| {
            let (a, b) = (wobble[i % 5], wobble[(i + 2) % 5]);
            (run(h.few, a), run(h.many, b))
        };
        assert_eq!(hear(pair).1, Finding::Acquitted);
    }

    #[test]
    fn a_busy_machine_does_not_convict_an_honest_worker() {
        // Waits for a core drawn from a heavy-tailed law, the same for short and long runs.
        let mut state = 1_u64;
        let mut wait = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let uniform = ((state >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
            (20_000.0 * uniform.powf(-0.8)).min(1e11) as u64
        };
        let hearings = 10_000;
        let convicted = (0..hearings)
            .filter(|_| {
                let mut run = |n: u64| seen(n, n, n + wait() + 1_000_000);
                let pair = |_: usize, h: &Hearing| (run(h.few), run(h.many));
                matches!(hear(pair).1, Finding::Convicted(_))
            })
            .count();
        // Expected: 10 000 / 12 870, and 1 in 70 of those whose gap is wide by chance.
        assert!(convicted <= 8, "{convicted} of {hearings}");
    }
}
