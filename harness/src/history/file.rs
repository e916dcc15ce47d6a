//! The file: JSON lines that are appended and never changed.
//!
//! A line is written under a lock on the file, in one piece. A process that is killed, or a full
//! disk, may still leave a last line without its end; a reader skips it and says so, and the next
//! writer cuts it off and says so. Any other line that can't be read is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::line::{self, KIND, Line};

/// Larger files are not read: a run has some 10 kB.
const LARGEST: u64 = 256 << 20;

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
    /// The runs, in the order in which they were appended, each once.
    pub runs: Vec<Line>,
    /// Numbers of the lines that repeat one before them, as a merge of two copies leaves them.
    pub repeated: Vec<usize>,
    /// A last line that was not written to its end.
    pub torn: Option<Torn>,
}

/// Reads a history.
///
/// # Errors
/// When it can't be read, any line but a torn last one is not as [`Line`] says, or two runs of one
/// time, machine and revision differ in a case.
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
/// When the file is no history, holds a line that can't be read or another run of that time,
/// machine and revision with one of these cases, or the system refuses. It is then as it was.
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
    if lines.runs.contains(line) {
        let cut = None;
        return Ok(Appended { added: false, cut });
    }
    if let Some(case) = lines.runs.iter().find_map(|run| line.clash(run)) {
        let what = format!("nothing was appended: {}", clash(case, "it", line));
        return Err(failed(what));
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

/// That `holder` holds another figure of a case of `line`.
fn clash(case: &str, holder: &str, line: &Line) -> String {
    format!(
        "case {case}: {holder} holds a run of {} at {} on this machine with another figure of it; a run can have one, so keep the right one alone",
        line.date,
        line.revision()
    )
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Lines, HistoryError> {
    let (found, torn) = split(path, bytes)?;
    let mut first = BTreeMap::new();
    let mut repeated = BTreeSet::new();
    for (number, line) in &found {
        let key = |case| (line.key(), case);
        let ids = line.cases.iter().map(|case| case.id.as_str());
        let earlier = ids.clone().find_map(|id| Some((id, *first.get(&key(id))?)));
        match earlier {
            None => first.extend(ids.map(|id| (key(id), (number, line)))),
            Some((_, (_, same))) if same == line => {
                repeated.insert(*number);
            }
            Some((id, (other, _))) => {
                let what = clash(id, &format!("line {other}"), line);
                return Err(error(path, Some(*number), what));
            }
        }
    }
    let once = |(number, line)| (!repeated.contains(&number)).then_some(line);
    Ok(Lines {
        runs: found.into_iter().filter_map(once).collect(),
        repeated: repeated.into_iter().collect(),
        torn,
    })
}

/// A run with the number of its line.
type Numbered = (usize, Line);

/// The runs of all lines, and what is torn.
fn split(path: &Path, bytes: &[u8]) -> Result<(Vec<Numbered>, Option<Torn>), HistoryError> {
    let (mut found, mut torn) = (Vec::new(), None);
    for (i, text) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let number = i + 1;
        match text.strip_suffix(b"\n") {
            Some(text) => {
                let line = line::read(text).map_err(|what| error(path, Some(number), what))?;
                found.push((number, line));
            }
            // Whole but for the line end, as some editors leave it.
            None => match line::read(text) {
                Ok(line) => found.push((number, line)),
                Err(_) => {
                    torn = Some(Torn {
                        line: number,
                        bytes: text.len(),
                    });
                }
            },
        }
    }
    Ok((found, torn))
}
