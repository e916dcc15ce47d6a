//! What a self-test found, as `--json` prints it.

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// Version of the document's shape. A reader refuses any other.
pub const SCHEMA: u32 = 1;

/// A self-test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// [`crate::machine::Machine::class`] of the machine that was tested.
    pub machine: String,
    /// When, as RFC 3339 in UTC.
    pub started: String,
    /// Seed of every random order and place.
    pub seed: u64,
    /// Wall time of the whole.
    pub seconds: f64,
    /// One entry an item.
    pub entries: Vec<Entry>,
    /// Exit status: 0 where all that ran was noticed, 1 where anything was missed, 2 where nothing
    /// was tested.
    pub exit: u8,
}

/// What was planted, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Stable name, `family/what`.
    pub id: String,
    /// Where it was seen in public, for what was.
    pub seen_in: Option<String>,
    /// What was planted.
    pub planted: String,
    /// What had to be said of it.
    pub expected: String,
    /// What was said; the reason where it was skipped.
    pub said: String,
    /// Whether that is the same.
    pub outcome: Outcome,
    /// What may help against a miss.
    pub hint: Option<String>,
    /// The same trap without what prevents the fall.
    pub control: Option<Control>,
    /// Wall time.
    pub seconds: f64,
}

/// Whether what was planted was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What was said is what was expected.
    Pass,
    /// It is not.
    Miss,
    /// It could not be tried here, which proves nothing.
    Skipped,
}

/// An item's trap with another rule in place of ours, to see that it is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// The rule.
    pub rule: String,
    /// What it made of the same thing.
    pub said: String,
    /// Whether it went as a control must. Where it did not, the item proves nothing.
    pub held: bool,
}

impl Document {
    /// Entries with this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.entries.iter().filter(|e| e.outcome == outcome).count()
    }

    /// The status that the entries amount to.
    pub fn exit(&self) -> Exit {
        if self.count(Outcome::Miss) > 0 {
            Exit::Regressed
        } else if self.count(Outcome::Pass) == 0 {
            Exit::CouldNotRun
        } else {
            Exit::Held
        }
    }
}
