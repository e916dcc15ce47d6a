//! Where words go: text to stdout, or, with `--json`, one document to stdout and text to stderr.
//!
//! What is said may hold names from files: no control character of theirs reaches a terminal.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::report::wording::printable;

/// The two streams of a command.
#[derive(Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// With `json`, text goes to stderr, so that stdout holds the document alone.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes a line of text.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.text(&format!("{}\n", text.as_ref()))
    }

    /// Writes lines of text at once.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn text(self, text: &str) -> Result<(), Failure> {
        self.raw(&printable(text))
    }

    /// Writes a part of a text as it is, at once: a generated text is the user's, down to its
    /// control characters.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn raw(self, text: &str) -> Result<(), Failure> {
        if self.json {
            write_to_stderr(text);
            return Ok(());
        }
        let mut out = io::stdout();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|e| refused("output", &e))
    }

    /// Writes the document, if one was asked for.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn document(self, document: &impl Serialize) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(document)?;
            writeln!(io::stdout(), "{text}").map_err(|e| refused("document", &e))?;
        }
        Ok(())
    }
}

fn refused(what: &str, error: &io::Error) -> Failure {
    Failure {
        exit: match error.kind() {
            io::ErrorKind::BrokenPipe => Exit::NoReader,
            _ => Exit::CouldNotRun,
        },
        message: format!("can't write the {what}: {error}"),
    }
}

/// Writes a line to stderr: what is told beside the results.
pub fn tell(text: impl AsRef<str>) {
    write_to_stderr(&printable(&format!("{}\n", text.as_ref())));
}

/// Where nobody reads stderr, the work goes on.
fn write_to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Whether stderr shows progress bars: only a terminal does.
pub fn shows_progress() -> bool {
    io::stderr().is_terminal()
}
