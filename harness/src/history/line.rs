//! A line of a history: one run, and what makes it one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::baseline::file::{Ratio, StoredCase, Unit};
use crate::baseline::provenance::{self, is_name};

/// What the field `kind` says.
pub const KIND: &str = "bitgauge-history";

/// Version of a line. A reader refuses any other, and any field that it does not know.
pub const SCHEMA: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// [`KIND`].
    pub kind: String,
    /// [`SCHEMA`].
    pub schema: u32,
    /// When measuring began, as RFC 3339 in UTC.
    pub date: String,
    /// Class of the machine, [`crate::machine::Machine::class`].
    pub machine: String,
    /// Commit of the sources; `None` outside of a work tree.
    pub revision: Option<String>,
    /// Whether files differed from that commit.
    pub dirty: bool,
    /// Version of bitgauge.
    pub version: String,
    /// What was measured, at least one case.
    pub cases: Vec<Case>,
}

/// A case of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its id.
    pub id: String,
    /// The kernel that ran; `None` where nothing is multiplied.
    pub kernel: Option<String>,
    /// The yardstick beside which it ran. Ratios to different ones can't be compared.
    pub yardstick: String,
    /// What the yardstick's work is counted in.
    pub unit: Unit,
    /// How long an iteration takes, in units of the yardstick's work.
    pub ratio: Ratio,
    /// Nanoseconds an iteration; for information, never judged.
    pub ns: f64,
}

impl From<&Baseline> for Line {
    fn from(baseline: &Baseline) -> Self {
        let case = |case: &StoredCase| Case {
            id: case.id.clone(),
            kernel: case.kernel.clone(),
            yardstick: case.yardstick.name.clone(),
            unit: case.yardstick.unit,
            ratio: case.ratio,
            ns: case.ns,
        };
        let revision = baseline.revision.as_deref();
        Self {
            kind: KIND.to_owned(),
            schema: SCHEMA,
            date: baseline.date.clone(),
            machine: baseline.machine.clone(),
            revision: revision.map(|r| r.trim_end_matches('+').to_owned()),
            dirty: revision.is_some_and(|r| r.ends_with('+')),
            version: baseline.version.clone(),
            cases: baseline.cases.iter().map(case).collect(),
        }
    }
}

impl Line {
    /// The revision as people write it: shortened, with `+` when files differed.
    pub fn revision(&self) -> String {
        let Some(revision) = &self.revision else {
            return "unknown".to_owned();
        };
        let short = revision.get(..12).unwrap_or(revision);
        format!("{short}{}", if self.dirty { "+" } else { "" })
    }

    /// When, where and of what a run was. Parts of one run, such as the shards of a CI matrix, may
    /// share it.
    pub(super) fn key(&self) -> (&str, &str, Option<&str>) {
        (&self.date, &self.machine, self.revision.as_deref())
    }

    /// A case that `other` has too, if it is of the same key.
    pub(super) fn clash(&self, other: &Self) -> Option<&str> {
        let held = |case: &&Case| other.cases.iter().any(|c| c.id == case.id);
        let found = (self.key() == other.key()).then(|| self.cases.iter().find(held));
        found.flatten().map(|case| case.id.as_str())
    }

    /// Refuses what no run gives.
    pub(super) fn sound(&self) -> Result<(), String> {
        if self.kind != KIND {
            let kind = self.kind.escape_debug();
            return Err(format!("kind `{kind}`, where `{KIND}` should stand"));
        }
        provenance::sound(
            &self.machine,
            &self.date,
            &self.version,
            self.revision.as_deref(),
        )?;
        if self.cases.is_empty() {
            return Err("a run without a case".to_owned());
        }
        let mut seen = BTreeSet::new();
        for case in &self.cases {
            let at = |what: &str| Err(format!("case {}: {what}", case.id.escape_debug()));
            if !is_name(&case.id) {
                return at("this is no id of a case");
            }
            if !is_name(&case.yardstick.replace(' ', "-")) {
                return at("its yardstick has no name");
            }
            if !seen.insert(&case.id) {
                return at("this case stands there twice");
            }
            let Ratio { median, low, high } = case.ratio;
            let ordered = 0.0 < low && low <= median && median <= high && high.is_finite();
            if !ordered {
                return at("its ratio must be above 0, and its interval must hold its median");
            }
            if !(case.ns.is_finite() && case.ns > 0.0) {
                return at("`ns` must be above 0");
            }
        }
        Ok(())
    }
}

/// The little that every version has.
#[derive(Deserialize)]
struct Header {
    schema: Option<u64>,
    version: Option<String>,
}

/// Reads one line without its end.
///
/// # Errors
/// What is wrong, and what would be right.
pub(super) fn read(text: &[u8]) -> Result<Line, String> {
    let right = "each line is one run as a JSON object, as `bitgauge history add` writes it; remove the line if it can't be mended";
    let header: Header =
        serde_json::from_slice(text).map_err(|e| format!("this is no run: {e}; {right}"))?;
    if header.schema != Some(u64::from(SCHEMA)) {
        let found = header.schema.map_or("none".to_owned(), |s| s.to_string());
        let by = header.version.unwrap_or_else(|| "(not stated)".to_owned());
        return Err(format!(
            "schema {found}, written by bitgauge {}; this one reads schema {SCHEMA}",
            by.escape_debug()
        ));
    }
    let line: Line =
        serde_json::from_slice(text).map_err(|e| format!("this is no run: {e}; {right}"))?;
    line.sound().map_err(|what| format!("{what}; {right}"))?;
    Ok(line)
}
