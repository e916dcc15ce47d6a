//! What was counted, scaled where a counter had to share its register, and ratios of it.

use serde::{Deserialize, Serialize};

use super::Reading;
use crate::run::Measured;

/// Something that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Cycles of the core, at whatever frequency it ran.
    Cycles,
    /// Instructions retired.
    Instructions,
    /// Branches retired.
    Branches,
    /// Branches that were predicted wrongly.
    BranchMisses,
    /// Accesses to the last-level cache, as the kernel defines them for this processor.
    CacheReferences,
    /// Those of them that missed.
    CacheMisses,
    /// Loads, as the first-level data cache sees them.
    L1Loads,
    /// Those of them that missed it.
    L1LoadMisses,
    /// Pages that had to be fetched or made; counted by the kernel, so it needs no hardware.
    PageFaults,
}

impl Event {
    /// The events that [`super::open`] counts.
    pub const HARDWARE: [Event; 6] = [
        Event::Cycles,
        Event::Instructions,
        Event::Branches,
        Event::BranchMisses,
        Event::CacheReferences,
        Event::CacheMisses,
    ];

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Event::Cycles => "cycles",
            Event::Instructions => "instructions",
            Event::Branches => "branches",
            Event::BranchMisses => "branch misses",
            Event::CacheReferences => "cache references",
            Event::CacheMisses => "cache misses",
            Event::L1Loads => "first-level loads",
            Event::L1LoadMisses => "first-level load misses",
            Event::PageFaults => "page faults",
        }
    }
}

/// A count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Events; an estimate where [`Count::counted_share`] is below 1.
    pub value: u64,
    /// Share of the time in which they were counted, over 0 and up to 1. Below 1, the counter had
    /// to share a register with others, and what it saw was scaled up to all of the time.
    pub counted_share: f64,
}

/// The count of one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// What was counted.
    pub event: Event,
    /// How often.
    pub count: Measured<Count>,
}

/// The counts of one piece of work: user space, all threads, one entry an event asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counts(pub Vec<Counted>);

impl Counts {
    /// The count of an event; unavailable when it was not asked for.
    pub fn of(&self, event: Event) -> Measured<Count> {
        let found = self.0.iter().find(|c| c.event == event);
        found.map_or_else(
            || Measured::unavailable(format!("{} were not asked for", event.name())),
            |c| c.count.clone(),
        )
    }

    /// CPI: cycles an instruction.
    pub fn cycles_per_instruction(&self) -> Measured<f64> {
        self.per_instruction(Event::Cycles)
    }

    /// Events in a thousand instructions.
    pub fn per_thousand_instructions(&self, event: Event) -> Measured<f64> {
        self.per_instruction(event).map(|rate| 1000.0 * rate)
    }

    fn per_instruction(&self, event: Event) -> Measured<f64> {
        match (self.of(event), self.of(Event::Instructions)) {
            (Measured::Unavailable(why), _) | (_, Measured::Unavailable(why)) => {
                Measured::Unavailable(why)
            }
            (Measured::Is(_), Measured::Is(Count { value: 0, .. })) => {
                Measured::unavailable("no instruction was counted")
            }
            (Measured::Is(events), Measured::Is(instructions)) => {
                Measured::Is(events.value as f64 / instructions.value as f64)
            }
        }
    }
}

/// What the counters of one event, one a thread, saw in a piece of work, or why that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tallied {
    event: Event,
    threads: Result<Vec<Reading>, String>,
}

impl Tallied {
    /// From totals before and after, one pair a thread.
    pub(super) fn between(event: Event, totals: Result<Vec<(Reading, Reading)>, String>) -> Self {
        let difference = |(before, after): (Reading, Reading)| {
            Some(Reading {
                count: after.count.checked_sub(before.count)?,
                enabled_ns: after.enabled_ns.checked_sub(before.enabled_ns)?,
                running_ns: after.running_ns.checked_sub(before.running_ns)?,
            })
        };
        let threads = totals.and_then(|totals| {
            let differences: Option<_> = totals.into_iter().map(difference).collect();
            differences.ok_or_else(|| format!("the counter of {} ran backwards", event.name()))
        });
        Self { event, threads }
    }

    fn add(&mut self, more: &Self) {
        match (&mut self.threads, &more.threads) {
            (Err(_), _) => {}
            (Ok(_), Err(why)) => self.threads = Err(why.clone()),
            (Ok(sums), Ok(more)) => {
                for (sum, more) in sums.iter_mut().zip(more) {
                    sum.count += more.count;
                    sum.enabled_ns += more.enabled_ns;
                    sum.running_ns += more.running_ns;
                }
            }
        }
    }

    /// The scaling of perf_event_open(2): count * enabled / running, for each thread.
    fn count(&self) -> Measured<Count> {
        let name = self.event.name();
        let threads = match &self.threads {
            Ok(threads) => threads,
            Err(why) => return Measured::unavailable(why),
        };
        let (mut value, mut enabled, mut running) = (0u128, 0u128, 0u128);
        for t in threads {
            if t.enabled_ns == 0 {
                // The thread slept all along.
                continue;
            }
            if t.running_ns == 0 {
                return Measured::unavailable(format!(
                    "the counter of {name} never ran: other events had the processor's registers all the time"
                ));
            }
            let scale = |count: u128| {
                (count * u128::from(t.enabled_ns) + u128::from(t.running_ns) / 2)
                    / u128::from(t.running_ns)
            };
            value += scale(u128::from(t.count));
            enabled += u128::from(t.enabled_ns);
            running += u128::from(t.running_ns);
        }
        if enabled == 0 {
            return Measured::unavailable(format!(
                "no thread of this process ran while {name} were counted"
            ));
        }
        match u64::try_from(value) {
            Ok(value) => Measured::Is(Count {
                value,
                counted_share: (running as f64 / enabled as f64).min(1.0),
            }),
            Err(_) => Measured::unavailable(format!("more {name} than 64 bits hold")),
        }
    }
}

/// What all counters saw in a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally(pub(super) Vec<Tallied>);

impl Tally {
    /// Adds another piece of work of the same counters.
    pub(super) fn add(&mut self, more: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&more.0) {
            sum.add(more);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let counted = |t: &Tallied| Counted {
            event: t.event,
            count: t.count(),
        };
        Counts(self.0.iter().map(counted).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn reading(count: u64, enabled_ns: u64, running_ns: u64) -> Reading {
        Reading {
            count,
            enabled_ns,
            running_ns,
        }
    }

    /// Count, enabled and running of one thread.
    type Thread = (u64, u64, u64);

    /// A tally of counters that started at 0.
    pub(crate) fn tally(events: &[(Event, &[Thread])]) -> Tally {
        let tallied = events.iter().map(|&(event, threads)| {
            let threads = threads.iter();
            let pairs = threads.map(|&(c, e, r)| (Reading::default(), reading(c, e, r)));
            Tallied::between(event, Ok(pairs.collect()))
        });
        Tally(tallied.collect())
    }

    fn count(threads: &[Thread]) -> Measured<Count> {
        tally(&[(Event::Cycles, threads)])
            .counts()
            .of(Event::Cycles)
    }

    #[test]
    fn a_counter_that_ran_all_the_time_is_taken_as_it_is() {
        let want = Count {
            value: 1234,
            counted_share: 1.0,
        };
        assert_eq!(count(&[(1234, 50, 50)]), Measured::Is(want));
    }

    #[test]
    fn a_counter_that_ran_a_quarter_of_the_time_is_scaled_and_says_so() {
        let want = Count {
            value: 4000,
            counted_share: 0.25,
        };
        assert_eq!(count(&[(1000, 400, 100)]), Measured::Is(want));
    }

    #[test]
    fn threads_add_up_each_scaled_by_its_own_share() {
        // 10 seen in all of 100 ns, and 10 in half of 100 ns, stand for 10 + 20.
        let want = Count {
            value: 30,
            counted_share: 0.75,
        };
        assert_eq!(count(&[(10, 100, 100), (10, 100, 50)]), Measured::Is(want));
    }

    #[test]
    fn a_thread_that_slept_counts_nothing() {
        let want = Count {
            value: 7,
            counted_share: 1.0,
        };
        assert_eq!(count(&[(7, 10, 10), (0, 0, 0)]), Measured::Is(want));
    }

    #[test]
    fn a_counter_that_never_ran_is_unavailable_and_not_zero() {
        let never = count(&[(0, 100, 0)]);
        assert!(never.why().unwrap().contains("never ran"), "{never:?}");
        let in_one_thread = count(&[(5, 100, 100), (0, 100, 0)]);
        assert!(in_one_thread.why().is_some(), "{in_one_thread:?}");
        assert!(count(&[(0, 0, 0)]).why().is_some());
        assert!(count(&[]).why().is_some());
    }

    #[test]
    fn events_that_did_not_happen_while_the_counter_ran_are_zero() {
        assert_eq!(count(&[(0, 100, 100)]).get().map(|c| c.value), Some(0));
    }

    #[test]
    fn only_what_came_between_two_readings_counts() {
        let pair = (reading(100, 10, 10), reading(130, 40, 25));
        let tally = Tally(vec![Tallied::between(Event::Branches, Ok(vec![pair]))]);
        let want = Count {
            value: 60,
            counted_share: 0.5,
        };
        assert_eq!(tally.counts().of(Event::Branches), Measured::Is(want));
    }

    #[test]
    fn a_counter_that_ran_backwards_is_unavailable() {
        let pair = (reading(100, 10, 10), reading(99, 20, 20));
        let tally = Tally(vec![Tallied::between(Event::Branches, Ok(vec![pair]))]);
        let branches = tally.counts().of(Event::Branches);
        assert!(branches.why().unwrap().contains("backwards"));
    }

    #[test]
    fn pieces_of_work_add_up_before_they_are_scaled() {
        // In its second piece of work the counter never got a register: the first stands for both.
        let mut sum = tally(&[(Event::Cycles, &[(100, 50, 50)])]);
        sum.add(&tally(&[(Event::Cycles, &[(0, 50, 0)])]));
        let want = Count {
            value: 200,
            counted_share: 0.5,
        };
        assert_eq!(sum.counts().of(Event::Cycles), Measured::Is(want));
    }

    #[test]
    fn a_failure_in_one_piece_of_work_makes_the_sum_unavailable() {
        let mut sum = tally(&[(Event::Cycles, &[(100, 50, 50)])]);
        sum.add(&Tally(vec![Tallied::between(
            Event::Cycles,
            Err("it failed".into()),
        )]));
        sum.add(&tally(&[(Event::Cycles, &[(100, 50, 50)])]));
        assert_eq!(sum.counts().of(Event::Cycles).why(), Some("it failed"));
    }

    #[test]
    fn ratios_to_instructions() {
        let counts = tally(&[
            (Event::Cycles, &[(3000, 9, 9)]),
            (Event::Instructions, &[(6000, 9, 9)]),
            (Event::CacheMisses, &[(12, 9, 9)]),
        ])
        .counts();
        assert_eq!(counts.cycles_per_instruction(), Measured::Is(0.5));
        let misses = counts.per_thousand_instructions(Event::CacheMisses);
        assert_eq!(misses, Measured::Is(2.0));
        let branches = counts.per_thousand_instructions(Event::BranchMisses);
        assert_eq!(branches.why(), Some("branch misses were not asked for"));
    }

    #[test]
    fn no_ratio_to_no_instructions() {
        let counts = tally(&[
            (Event::Cycles, &[(3000, 9, 9)]),
            (Event::Instructions, &[(0, 9, 9)]),
        ])
        .counts();
        assert!(counts.cycles_per_instruction().why().is_some());
    }
}
