//! Why results can't be imported.

use std::io;
use std::path::{Path, PathBuf};

use super::Tool;

/// Where in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1; 0 where the whole line is meant.
    pub column: usize,
}

/// Results that could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No path was named.
    #[error("nothing to import: name a file or a folder")]
    NoPath,
    /// The system refused, or the file is too large or no regular file.
    #[error("{path}: can't read: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The text is not of its format.
    #[error("{path}:{line}:{column}: {what}", path = path.display(), line = place.line, column = place.column)]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// What was found there, and what would be right.
        what: String,
    },
    /// The text is of its format and says something impossible.
    #[error("{path}: {what}", path = path.display())]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A version that this program does not read.
    #[error("{path}: version {found} of {what}; this bitgauge reads {reads}", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// The version that it states.
        found: String,
        /// What would be right.
        reads: &'static str,
    },
    /// No format fits.
    #[error(
        "{path}: not recognised as results of criterion, gungraun, hyperfine (--export-json) or \
         llama-bench (-o json, jsonl or csv). Name the tool with --from to see what is missing",
        path = path.display()
    )]
    Unknown {
        /// The file or folder.
        path: PathBuf,
    },
    /// Two formats fit.
    #[error(
        "{path}: holds results of criterion and of gungraun. Name one with --from",
        path = path.display()
    )]
    Ambiguous {
        /// The folder.
        path: PathBuf,
    },
    /// Figures of different tools measure different things.
    #[error(
        "{path}: results of {other}, after results of {first}. Import one tool at a time",
        path = path.display()
    )]
    Tools {
        /// The tool of the paths before.
        first: Tool,
        /// The path.
        path: PathBuf,
        /// Its tool.
        other: Tool,
    },
    /// Which of two cases is meant could not be told.
    #[error("{path}: the second result called `{case}`. Import only one of them", path = path.display())]
    Twice {
        /// The file or folder that holds the second.
        path: PathBuf,
        /// The name.
        case: String,
    },
}

impl ImportError {
    /// The system's answer on `path`.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Text of `path` that is not the JSON expected.
    pub fn json(path: &Path, error: &serde_json::Error) -> Self {
        let message = error.to_string();
        // The place is stated in front.
        let what = message
            .rfind(" at line ")
            .map_or(&*message, |at| &message[..at]);
        Self::Corrupt {
            path: path.to_owned(),
            place: Place {
                line: error.line(),
                column: error.column(),
            },
            what: what.to_owned(),
        }
    }

    /// Something impossible in `path`.
    pub fn content(path: &Path, what: impl Into<String>) -> Self {
        Self::Content {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}
