//! What gungraun wrote, read again: a count that is missing or zero is not a count.

use std::path::Path;

use crate::plan::Plan;

pub fn without_baseline(_home: &Path, _plan: &Plan, _name: &str) -> Vec<String> {
    Vec::new()
}

pub fn uncounted(_home: &Path, _plan: &Plan) -> Vec<String> {
    Vec::new()
}
