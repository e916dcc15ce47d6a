//! How a baseline is laid out: JSON with one line a field and one line a case, so that it stays
//! small and a difference of two baselines can be read.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Levels that are broken into lines: the document, and the elements of its arrays.
const BROKEN: usize = 2;

/// The text of a document.
///
/// # Errors
/// When it can't be written as JSON.
pub fn to_json(document: &impl Serialize) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    document.serialize(&mut Serializer::with_formatter(
        &mut bytes,
        Lines::default(),
    ))?;
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[derive(Default)]
struct Lines {
    depth: usize,
    /// An object is broken at the top alone, an array where it is a field of the document.
    broken: Vec<bool>,
}

impl Lines {
    fn open(&mut self, is_array: bool) {
        let broken = self.depth == 0 || (is_array && self.depth < BROKEN);
        self.broken.push(broken);
        self.depth += 1;
    }

    fn separate<W: ?Sized + Write>(&self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        match self.broken.last() {
            Some(true) => self.line(out, self.depth),
            _ => Ok(()),
        }
    }

    fn line<W: ?Sized + Write>(&self, out: &mut W, indent: usize) -> io::Result<()> {
        out.write_all(b"\n")?;
        (0..indent).try_for_each(|_| out.write_all(b" "))
    }

    fn close<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.broken.pop() == Some(true) {
            self.line(out, self.depth)?;
        }
        out.write_all(bracket)
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(true);
        out.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.separate(out, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(false);
        out.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.separate(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_and_cases_have_lines_of_their_own_and_slices_have_none() {
        let document = json!({"cases": [{"id": "a", "slices": [[1, 2]]}, {"id": "b"}], "n": 1});
        let text = to_json(&document).unwrap();
        let want = concat!(
            "{\n",
            " \"cases\": [\n",
            "  {\"id\": \"a\",\"slices\": [[1,2]]},\n",
            "  {\"id\": \"b\"}\n",
            " ],\n",
            " \"n\": 1\n",
            "}\n"
        );
        assert_eq!(text, want);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
