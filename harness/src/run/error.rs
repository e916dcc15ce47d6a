//! What can go wrong with a run folder.

use std::io;
use std::path::{Path, PathBuf};

/// A run folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such file.
    #[error("{path}: no such file. A run folder holds a run.json, written by `bitgauge run --out DIR`",
        path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not JSON, or not a run.
    #[error("{path}:{line}:{column}: {what}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 where the whole line is meant.
        column: usize,
        /// What was found there, and what would be right.
        what: String,
    },
    /// The file has another layout.
    #[error(
        "{path}: schema {found}, written by bitgauge {written_by}; this bitgauge reads schema {}. \
         Use the version that wrote it",
        super::SCHEMA, path = path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        found: String,
        /// Version of the program that wrote it, as far as it says.
        written_by: String,
    },
    /// The folder holds a run under other settings.
    #[error(
        "{path}: holds a run with other settings ({differences}). Name another folder, or give the same settings to resume",
        path = path.display()
    )]
    OtherSettings {
        /// The file.
        path: PathBuf,
        /// What differs, as `field: there / asked for`.
        differences: String,
    },
    /// A section that JSON can't hold.
    #[error(
        "section {section}: {what}. Say `unavailable` with the reason where a figure is not finite"
    )]
    NotWritable {
        /// The section.
        section: String,
        /// What is wrong.
        what: String,
    },
    /// The system refused.
    #[error("{path}: can't {action}: {reason}", path = path.display(), reason = reason(source))]
    Io {
        /// What was tried: `read`, `write`, `create the folder`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl RunError {
    /// The system's answer to `action` on `path`.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// The system's answer, with what would help.
fn reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{source}. Free some space and run the same command again; `run` resumes")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("{source}. Name a folder that can be written with --out DIR")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            format!("{source}. A run is a folder, not a file")
        }
        _ => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_refusals_say_what_would_help() {
        let message = |kind: io::ErrorKind| {
            RunError::io("write", Path::new("a/run.json"), kind.into()).to_string()
        };
        let full = message(io::ErrorKind::StorageFull);
        assert!(full.starts_with("a/run.json: can't write: "), "{full}");
        assert!(
            full.contains("Free some space") && full.contains("resumes"),
            "{full}"
        );
        let denied = message(io::ErrorKind::PermissionDenied);
        assert!(denied.contains("--out DIR"), "{denied}");
    }
}
