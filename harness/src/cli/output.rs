//! Where words go: text to stdout, or, with `--json`, one document to stdout and text to stderr.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::exit::Failure;

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
    /// When the stream is closed or full.
    pub fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.text(&format!("{}\n", text.as_ref()))
    }

    /// Writes text as it is, at once.
    ///
    /// # Errors
    /// When the stream is closed or full.
    pub fn text(self, text: &str) -> Result<(), Failure> {
        let write = |out: &mut dyn Write| out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match self.json {
            true => write(&mut io::stderr()),
            false => write(&mut io::stdout()),
        }
        .map_err(|e| Failure::could_not_run(format!("can't write the output: {e}")))
    }

    /// Writes the document, if one was asked for.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub fn document(self, document: &impl Serialize) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(document)?;
            writeln!(io::stdout(), "{text}")
                .map_err(|e| Failure::could_not_run(format!("can't write the document: {e}")))?;
        }
        Ok(())
    }
}

/// Whether stderr shows progress bars: only a terminal does.
pub fn shows_progress() -> bool {
    io::stderr().is_terminal()
}
