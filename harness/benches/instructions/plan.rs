//! What is to be counted, handed from the process that cargo starts to the one that gungraun asks.

use serde::{Deserialize, Serialize};

const VARIABLE: &str = "BITGAUGE_INSTRUCTIONS_PLAN";

/// The cases that can be counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The highest instruction set that Valgrind shows to a program.
    pub shown: String,
    /// In the order in which they are counted, those of one instruction set together.
    pub cases: Vec<Planned>,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// The instruction set that it is counted with.
    pub isa: String,
}

impl Plan {
    /// The plan that the process that started this one has set, if any.
    pub fn from_environment() -> Option<Self> {
        serde_json::from_str(&std::env::var(VARIABLE).ok()?).ok()
    }

    /// Name and value of the environment variable for [`Plan::from_environment`].
    pub fn variable(&self) -> (&'static str, String) {
        (VARIABLE, serde_json::to_string(self).expect("plain text"))
    }
}

/// A name as gungraun takes it: letters, digits and _.
pub fn identifier(name: &str) -> String {
    name.replace('/', "__").replace('-', "_")
}
