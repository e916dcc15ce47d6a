//! The file: JSON lines that are appended and never changed.
//!
//! A line is written under a lock on the file, in one piece. A process that is killed, or a full
//! disk, may still leave a last line without its end; a reader skips it and says so, and the next
//! writer cuts it off and says so. Any other line that can't be read is an error.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::baseline::file::{Ratio, StoredCase, Unit};
use crate::baseline::provenance::{self, is_name};

/// What the field `kind` says.
pub const KIND: &str = "bitgauge-history";

/// Version of a line. A reader refuses any other, and any field that it does not know.
pub const SCHEMA: u32 = 1;

/// Larger files are not read: a run has some 10 kB.
const LARGEST: u64 = 256 << 20;

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

    /// Refuses what no run gives.
    fn sound(&self) -> Result<(), String> {
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

/// A history that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {what}", path.display(), line.map_or(String::new(), |line| format!(":{line}")))]
pub struct HistoryError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// A last line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// Its number, from 1.
    pub line: usize,
    /// What there is of it.
    pub bytes: usize,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
pub struct Lines {
    /// The runs, in the order in which they were appended.
    pub runs: Vec<Line>,
    /// A last line that was not written to its end.
    pub torn: Option<Torn>,
}

/// Reads a history.
///
/// # Errors
/// When it can't be read, or any line but a torn last one is not as [`Line`] says.
pub fn read(path: &Path) -> Result<Lines, HistoryError> {
    let failed = |what: String| error(path, None, what);
    let mut file = open(path, OpenOptions::new().read(true)).map_err(failed)?;
    file.lock_shared()
        .map_err(|e| failed(format!("it can't be locked against writers: {e}")))?;
    parse(path, &bytes_of(&mut file).map_err(failed)?)
}

/// What appending did.
#[derive(Debug, PartialEq, Eq)]
pub struct Appended {
    /// False where this run was there already.
    pub added: bool,
    /// A torn line of an earlier writer, which was cut off.
    pub cut: Option<Torn>,
}

/// Appends a run that the file does not hold yet; makes the file. Any number of processes may do
/// so at once.
///
/// # Errors
/// When the file is no history, holds a line that can't be read, or the system refuses. It is then
/// as it was.
pub fn append(path: &Path, line: &Line) -> Result<Appended, HistoryError> {
    let failed = |what: String| error(path, None, what);
    line.sound()
        .map_err(|what| failed(format!("nothing was appended: {what}")))?;
    let text = serde_json::to_string(line).map_err(|e| failed(e.to_string()))?;
    let mut file = open(
        path,
        OpenOptions::new().read(true).append(true).create(true),
    )
    .map_err(failed)?;
    file.lock()
        .map_err(|e| failed(format!("it can't be locked against other writers: {e}")))?;
    let held = bytes_of(&mut file).map_err(failed)?;
    let lines = parse(path, &held)?;
    if let Some(torn) = lines.torn {
        // A file that holds nothing else may be of any kind.
        let rest = &held[held.len() - torn.bytes..];
        let begin = format!("{{\"kind\":\"{KIND}\"");
        let shared = begin.len().min(rest.len());
        if rest[..shared] != begin.as_bytes()[..shared] {
            let what = "this is no line of a history, and nothing was appended";
            return Err(error(path, Some(torn.line), what.to_owned()));
        }
    }
    let same = |run: &Line| {
        (&run.date, &run.machine, &run.revision) == (&line.date, &line.machine, &line.revision)
    };
    if lines.runs.iter().any(same) {
        let cut = None;
        return Ok(Appended { added: false, cut });
    }
    let whole = held.len() as u64 - lines.torn.map_or(0, |torn| torn.bytes as u64);
    let unended = lines.torn.is_none() && held.last().is_some_and(|b| *b != b'\n');
    let text = format!("{}{text}\n", if unended { "\n" } else { "" });
    let write = |file: &mut File| {
        file.set_len(whole)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    };
    write(&mut file).map_err(|e| {
        // What was written of the line is of no use.
        let _ = file.set_len(whole);
        failed(format!("the run can't be appended: {e}"))
    })?;
    Ok(Appended {
        added: true,
        cut: lines.torn,
    })
}

fn error(path: &Path, line: Option<usize>, what: String) -> HistoryError {
    HistoryError {
        path: path.to_owned(),
        line,
        what,
    }
}

fn open(path: &Path, options: &OpenOptions) -> Result<File, String> {
    match fs::metadata(path) {
        // Opening a FIFO would wait for ever.
        Ok(found) if !found.is_file() => return Err("this is no regular file".to_owned()),
        Ok(found) if found.len() > LARGEST => {
            return Err(format!("{} bytes; at most {LARGEST} are read", found.len()));
        }
        _ => {}
    }
    options.open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!(
            "{e}; a history is begun by `bitgauge baseline save --history FILE` or `bitgauge history add`"
        ),
        _ => format!("it can't be opened: {e}"),
    })
}

fn bytes_of(file: &mut File) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_end(&mut bytes))
        .map_err(|e| format!("it can't be read: {e}"))?;
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Lines, HistoryError> {
    let mut lines = Lines::default();
    for (i, text) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let number = i + 1;
        match text.strip_suffix(b"\n") {
            Some(text) => {
                let line = line(text).map_err(|what| error(path, Some(number), what))?;
                lines.runs.push(line);
            }
            // Whole but for the line end, as some editors leave it.
            None => match line(text) {
                Ok(line) => lines.runs.push(line),
                Err(_) => {
                    lines.torn = Some(Torn {
                        line: number,
                        bytes: text.len(),
                    });
                }
            },
        }
    }
    Ok(lines)
}

/// The little that every version has.
#[derive(Deserialize)]
struct Header {
    schema: Option<u64>,
    version: Option<String>,
}

fn line(text: &[u8]) -> Result<Line, String> {
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
