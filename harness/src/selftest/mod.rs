//! Evidence that the gate can fail, on the user's own machine: regressions, wrong answers and
//! failures are planted on purpose, and each must be noticed.
//!
//! An [`Item`] plants one thing and says what must come of it. What the items need of the program
//! stands in [`Bench`], and all of them are judged there: with a detector that never alarms in its
//! place they are missed, which is how the self-test is tested.
//!
//! - `planted`: slowdowns of known size, and what is no slowdown;
//! - `answers`: kernels and workers that compute something else;
//! - `workers`: workers that lie, hang or die;
//! - `plumbing`: baselines and cases that are not there, and exit statuses;
//! - `gates`: gates that are known to have failed in public, with the rule that failed.

mod answers;
mod bench;
mod document;
mod gates;
pub mod misbehaviour;
mod page;
mod planted;
mod plumbing;
mod simulated;
mod workers;

use std::time::{Duration, Instant};

pub use bench::{Bench, Compare};
pub use document::{Control, Document, Entry, Outcome, SCHEMA};
pub use page::{markdown, text};

/// One thing that is planted.
pub struct Item {
    /// Stable name, `family/what`.
    pub id: String,
    /// What is planted.
    pub planted: String,
    /// What must be said of it.
    pub expected: String,
    /// Where it was seen in public.
    pub seen_in: Option<&'static str>,
    /// Time on an idle machine. Only tells how much is left.
    pub takes: Duration,
    /// Plants it.
    pub run: Box<dyn Fn(&Bench) -> Said>,
}

/// What was said of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Whether that was what it should be.
    pub outcome: Outcome,
    /// In words; the reason where it was skipped.
    pub said: String,
    /// What the user may do about a miss.
    pub hint: Option<String>,
    /// The same trap without what prevents the fall.
    pub control: Option<Control>,
}

impl Said {
    fn new(held: bool, said: impl Into<String>) -> Self {
        Self {
            outcome: match held {
                true => Outcome::Pass,
                false => Outcome::Miss,
            },
            said: said.into(),
            hint: None,
            control: None,
        }
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Skipped,
            ..Self::new(false, why)
        }
    }

    fn hint(mut self, hint: Option<&str>) -> Self {
        self.hint = hint.map(str::to_owned);
        self
    }

    /// Adds a control. One that does not go as it must shows that the item proves nothing, which
    /// is a miss.
    fn control(mut self, control: Control) -> Self {
        if !control.held && self.outcome == Outcome::Pass {
            self.outcome = Outcome::Miss;
        }
        self.control = Some(control);
        self
    }
}

/// Every item, in the order in which they run.
pub fn items() -> Vec<Item> {
    let mut items = planted::items();
    items.extend(answers::items());
    items.extend(workers::items());
    items.extend(plumbing::items());
    items.extend(gates::items());
    items
}

/// Where a self-test stands.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Items that are done.
    pub done: usize,
    /// All items.
    pub items: usize,
    /// The item that runs now.
    pub item: &'a str,
    /// What is left will take this long, if the machine goes on as it did.
    pub left: Duration,
}

/// Runs items one after the other: side by side they would disturb each other's clocks.
pub fn run(items: &[Item], bench: &Bench, watch: &mut dyn FnMut(&Standing<'_>)) -> Vec<Entry> {
    let begin = Instant::now();
    let mut entries = Vec::with_capacity(items.len());
    for (done, item) in items.iter().enumerate() {
        watch(&Standing {
            done,
            items: items.len(),
            item: &item.id,
            left: left(&items[..done], &items[done..], begin.elapsed()),
        });
        let start = Instant::now();
        let said = (item.run)(bench);
        entries.push(Entry {
            id: item.id.clone(),
            seen_in: item.seen_in.map(str::to_owned),
            planted: item.planted.clone(),
            expected: item.expected.clone(),
            said: said.said,
            outcome: said.outcome,
            hint: said.hint,
            control: said.control,
            seconds: start.elapsed().as_secs_f64(),
        });
    }
    entries
}

/// Time for what is left, at the pace of what is done.
fn left(done: &[Item], left: &[Item], elapsed: Duration) -> Duration {
    let sum = |items: &[Item]| items.iter().map(|i| i.takes).sum::<Duration>();
    let (done, left) = (sum(done), sum(left));
    // A pace that is known from less than this is none.
    if done < Duration::from_secs(2) {
        return left;
    }
    left.mul_f64(elapsed.as_secs_f64() / done.as_secs_f64())
}

#[cfg(test)]
mod tests;
