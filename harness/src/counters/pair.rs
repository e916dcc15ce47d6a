//! Two pieces of work, counted side by side.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::counts::{Counts, Event, Tally};
use super::{Counters, Measured};
use crate::measure::{Failure, Timed};
use crate::report::wording;

/// Counts of two cases, per iteration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountedPair {
    /// Iterations that were counted of each side.
    pub iterations: u64,
    /// One row an event that the counters were opened for, then the ratios between them.
    pub rows: Vec<Row>,
}

/// One counter, or a ratio of two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name, such as `cycles` or `cycles per instruction`.
    pub counter: String,
    /// Of the case before: events an iteration, or the ratio.
    pub before: Measured<f64>,
    /// Of the case after.
    pub after: Measured<f64>,
    /// `before / after`, as a speedup is: above 1, the case after needs less.
    pub ratio: Measured<f64>,
    /// Share of the time in which it was counted, the smaller of both sides. Below 1, both
    /// figures are estimates, scaled up to all of the time. `None` where nothing was counted.
    pub counted_share: Option<f64>,
}

impl CountedPair {
    /// Counts `blocks` blocks of `before`, `after`, `after`, `before`, `iterations` at a time,
    /// after one uncounted turn of each. What else the process does meanwhile counts too.
    ///
    /// # Errors
    /// When a case can't do its work, or when there is nothing to count: no blocks or no
    /// iterations.
    pub fn count(
        counters: &mut Counters,
        before: &mut dyn Timed,
        after: &mut dyn Timed,
        iterations: u64,
        blocks: u64,
    ) -> Result<Self, Failure> {
        // Both sides have two turns a block.
        let each = 2u64
            .checked_mul(blocks)
            .and_then(|n| n.checked_mul(iterations));
        let Some(each @ 1..) = each else {
            return Err(Failure::new(format!(
                "{blocks} blocks of {iterations} iterations can't be counted; at least one of one is needed"
            )));
        };
        before.time(iterations)?;
        after.time(iterations)?;
        let mut sums: [Option<Tally>; 2] = [None, None];
        for _ in 0..blocks {
            for side in [0, 1, 1, 0] {
                let case: &mut dyn Timed = if side == 0 { before } else { after };
                let (done, tally) = counters.tally(|| case.time(iterations));
                done?;
                match &mut sums[side] {
                    Some(sum) => sum.add(&tally),
                    none => *none = Some(tally),
                }
            }
        }
        let [Some(before), Some(after)] = sums else {
            return Err(Failure::new("no block was counted"));
        };
        Ok(Self::of(&before.counts(), &after.counts(), each))
    }

    fn of(before: &Counts, after: &Counts, iterations: u64) -> Self {
        let events = before.0.iter().map(|counted| {
            let event = counted.event;
            let of = |counts: &Counts| counts.of(event).map(|c| c.value as f64 / iterations as f64);
            row(event.name().to_owned(), [before, after], &[event], of)
        });
        let asked = |event: &Event| before.0.iter().any(|c| c.event == *event);
        let mut rows: Vec<Row> = events.collect();
        if asked(&Event::Instructions) {
            let sides = [before, after];
            if asked(&Event::Cycles) {
                let events = [Event::Cycles, Event::Instructions];
                let name = "cycles per instruction".to_owned();
                rows.push(row(name, sides, &events, Counts::cycles_per_instruction));
            }
            for event in [Event::BranchMisses, Event::CacheMisses] {
                if asked(&event) {
                    let events = [event, Event::Instructions];
                    let name = format!("{} per 1000 instructions", event.name());
                    rows.push(row(name, sides, &events, |counts| {
                        counts.per_thousand_instructions(event)
                    }));
                }
            }
        }
        Self { iterations, rows }
    }
}

fn row(
    counter: String,
    [before, after]: [&Counts; 2],
    events: &[Event],
    of: impl Fn(&Counts) -> Measured<f64>,
) -> Row {
    let shares = [before, after].into_iter().flat_map(|counts| {
        let share = |&event: &Event| counts.of(event).get().map(|c| c.counted_share);
        events.iter().filter_map(share)
    });
    let counted_share = shares.reduce(f64::min);
    let (before, after) = (of(before), of(after));
    let ratio = match (&before, &after) {
        (Measured::Unavailable(why), _) | (_, Measured::Unavailable(why)) => {
            Measured::unavailable(why)
        }
        (Measured::Is(_), Measured::Is(after)) if *after == 0.0 => {
            Measured::unavailable("none were counted after, and nothing can be divided by none")
        }
        (Measured::Is(before), Measured::Is(after)) => Measured::Is(before / after),
    };
    Row {
        counter,
        before,
        after,
        ratio,
        counted_share,
    }
}

impl fmt::Display for CountedPair {
    /// A table; reasons stand below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "per iteration, user space",
            "before",
            "after",
            "before/after",
        ];
        let mut lines = vec![header.map(str::to_owned)];
        let mut notes: Vec<String> = Vec::new();
        for row in &self.rows {
            let cell = |value: &Measured<f64>, digits| match value {
                Measured::Is(x) => wording::significant(*x, digits),
                Measured::Unavailable(_) => "unavailable".to_owned(),
            };
            lines.push([
                row.counter.clone(),
                cell(&row.before, 6),
                cell(&row.after, 6),
                cell(&row.ratio, 4),
            ]);
            let sides = [&row.before, &row.after, &row.ratio];
            if let Some(why) = sides.into_iter().find_map(|side| side.why()) {
                notes.push(format!("{}: {}", row.counter, wording::unavailable(why)));
            }
            if let Some(share) = row.counted_share.filter(|&share| share < 1.0) {
                notes.push(format!(
                    "{}: scaled, counted in {} of the time",
                    row.counter,
                    wording::fraction(share)
                ));
            }
        }
        let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max();
        let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
        for [name, before, after, ratio] in &lines {
            writeln!(
                f,
                "{name:<0$}  {before:>1$}  {after:>2$}  {ratio:>3$}",
                widths[0], widths[1], widths[2], widths[3]
            )?;
        }
        for note in notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::counts::tests::tally;
    use super::*;

    const HARDWARE_LESS: &str = "the counter of cache misses never ran";

    fn pair() -> CountedPair {
        let before = tally(&[
            (Event::Cycles, &[(4000, 100, 100)]),
            (Event::Instructions, &[(2000, 100, 100)]),
            (Event::BranchMisses, &[(10, 100, 50)]),
            (Event::CacheMisses, &[(0, 100, 0)]),
        ]);
        let after = tally(&[
            (Event::Cycles, &[(1000, 100, 100)]),
            (Event::Instructions, &[(1000, 100, 100)]),
            (Event::BranchMisses, &[(0, 100, 100)]),
            (Event::CacheMisses, &[(3, 100, 100)]),
        ]);
        CountedPair::of(&before.counts(), &after.counts(), 10)
    }

    fn row<'a>(pair: &'a CountedPair, counter: &str) -> &'a Row {
        let named = pair.rows.iter().find(|r| r.counter == counter);
        named.unwrap_or_else(|| panic!("no row {counter}"))
    }

    #[test]
    fn counts_are_per_iteration_and_the_ratio_is_before_over_after() {
        let pair = pair();
        let cycles = row(&pair, "cycles");
        assert_eq!(cycles.before, Measured::Is(400.0));
        assert_eq!(cycles.after, Measured::Is(100.0));
        assert_eq!(cycles.ratio, Measured::Is(4.0));
        assert_eq!(cycles.counted_share, Some(1.0));
    }

    #[test]
    fn ratios_to_instructions_have_rows_of_their_own() {
        let pair = pair();
        let cpi = row(&pair, "cycles per instruction");
        assert_eq!(cpi.before, Measured::Is(2.0));
        assert_eq!(cpi.after, Measured::Is(1.0));
        let misses = row(&pair, "branch misses per 1000 instructions");
        assert_eq!(misses.before, Measured::Is(10.0));
        assert_eq!(misses.counted_share, Some(0.5));
    }

    #[test]
    fn a_side_without_a_count_has_its_reason_and_takes_the_ratio_with_it() {
        let pair = pair();
        let misses = row(&pair, "cache misses");
        assert!(misses.before.why().unwrap().starts_with(HARDWARE_LESS));
        assert_eq!(misses.after, Measured::Is(0.3));
        assert!(misses.ratio.why().unwrap().starts_with(HARDWARE_LESS));
    }

    #[test]
    fn nothing_is_divided_by_a_count_of_none() {
        let pair = pair();
        assert_eq!(row(&pair, "branch misses").after, Measured::Is(0.0));
        assert!(row(&pair, "branch misses").ratio.why().is_some());
    }

    #[test]
    fn the_table_names_what_is_unavailable_and_what_is_scaled() {
        let text = pair().to_string();
        let line = |start: &str| {
            let found = text.lines().find(|l| l.starts_with(start));
            found.unwrap_or_else(|| panic!("no line {start} in\n{text}"))
        };
        let words: Vec<&str> = line("cycles ").split_whitespace().collect();
        assert_eq!(words, ["cycles", "400.000", "100.000", "4.000"]);
        assert!(line("cache misses ").contains("unavailable"));
        assert!(line("cache misses: ").contains(HARDWARE_LESS));
        assert!(line("branch misses: scaled").contains("50.0\u{a0}% of the time"));
    }

    #[test]
    fn the_document_has_no_number_where_none_was_counted() {
        let json = serde_json::to_value(pair()).unwrap();
        let misses = &json["rows"][3];
        assert_eq!(misses["counter"], "cache misses");
        assert!(misses["before"]["unavailable"].is_string());
        assert!(misses["before"].get("is").is_none());
    }

    #[cfg(target_os = "linux")]
    mod counted {
        use super::*;
        use crate::counters::tests::{counters_of_this_thread, touch_fresh_pages};
        use std::time::Duration;

        /// Touches so many fresh pages an iteration; breaks after so many calls.
        struct Pages {
            pages: u64,
            calls_left: u64,
        }

        impl Timed for Pages {
            fn iterate(&mut self, iterations: u64) {
                for _ in 0..iterations {
                    touch_fresh_pages(self.pages);
                }
            }

            fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
                self.calls_left = self
                    .calls_left
                    .checked_sub(1)
                    .ok_or_else(|| Failure::new("no pages are left"))?;
                self.iterate(iterations);
                Ok(Duration::from_nanos(1))
            }
        }

        fn pages(pages: u64) -> Pages {
            Pages {
                pages,
                calls_left: u64::MAX,
            }
        }

        #[test]
        fn a_case_that_touches_twice_the_pages_has_twice_the_faults() {
            let mut counters = counters_of_this_thread();
            let (mut before, mut after) = (pages(8000), pages(4000));
            let pair = CountedPair::count(&mut counters, &mut before, &mut after, 2, 2).unwrap();
            assert_eq!(pair.iterations, 8);
            let faults = &pair.rows[0];
            let ratio = *faults.ratio.get().unwrap();
            assert!((1.95..2.05).contains(&ratio), "{faults:?}");
            let before = *faults.before.get().unwrap();
            assert!((8000.0..8100.0).contains(&before), "{faults:?}");
        }

        #[test]
        fn a_case_that_fails_ends_the_count() {
            let mut counters = counters_of_this_thread();
            let mut breaks = pages(1);
            breaks.calls_left = 3;
            let failed = CountedPair::count(&mut counters, &mut pages(1), &mut breaks, 1, 9);
            assert_eq!(failed, Err(Failure::new("no pages are left")));
        }

        #[test]
        fn counting_nothing_is_refused() {
            let mut counters = counters_of_this_thread();
            for (iterations, blocks) in [(0, 1), (1, 0)] {
                let (mut a, mut b) = (pages(1), pages(1));
                let none = CountedPair::count(&mut counters, &mut a, &mut b, iterations, blocks);
                assert!(none.is_err());
            }
        }
    }
}
