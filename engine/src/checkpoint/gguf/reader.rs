//! Walks through the description in front of a GGUF file's data.

use std::ops::Range;
use std::path::Path;

use super::super::error::CheckpointError;

/// Arrays may hold arrays. No file of a model does, so that few levels are plenty; the limit keeps
/// a hostile file from exhausting the stack.
const DEEPEST: usize = 4;

/// Elements of all arrays of texts and of arrays, which are passed one by one: vocabularies and
/// merges have some hundred thousand. A bound of our own, so that a hostile file costs little time.
const MOST_PASSED: u64 = 1 << 24;

/// A position in the file, which moves past what was read. Lengths are compared with what is left
/// before anything is done with them.
pub(super) struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    path: &'a Path,
    /// Elements that were passed one by one.
    passed: u64,
}

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// An integer of any width.
    Whole(i128),
    /// A float of either width.
    Real(f64),
    /// A truth value.
    Flag(bool),
    /// Text, by its bytes of the file.
    Text(Range<usize>),
    /// An array, by its number of elements.
    Array(u64),
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a [u8], path: &'a Path) -> Self {
        Self {
            file,
            at: 0,
            path,
            passed: 0,
        }
    }

    /// The offset of what is read next.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn fault(&self, at: usize, found: String, right: impl Into<String>) -> CheckpointError {
        CheckpointError::Syntax {
            path: self.path.to_owned(),
            offset: at as u64,
            found,
            right: right.into(),
        }
    }

    pub fn u32(&mut self, what: &str) -> Result<u32, CheckpointError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &str) -> Result<u64, CheckpointError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A length of 8 bytes and as many bytes of text, at most `longest`.
    pub fn name(&mut self, what: &str, longest: u64) -> Result<String, CheckpointError> {
        let start = self.at;
        let length = self.u64(what)?;
        if length == 0 || length > longest {
            let found = format!("{what} has {length} bytes");
            return Err(self.fault(start, found, format!("1 to {longest} bytes")));
        }
        let range = self.skip(start, length, what)?;
        // The copy is checked, not the file: another process might change that in between.
        String::from_utf8(self.file[range.clone()].to_vec()).map_err(|e| {
            let at = range.start + e.utf8_error().valid_up_to();
            self.fault(at, format!("{what} is not UTF-8"), "UTF-8")
        })
    }

    /// The type of a value, and the value.
    pub fn value(&mut self, key: &str) -> Result<Value, CheckpointError> {
        let start = self.at;
        let kind = self.u32(key)?;
        self.value_of(kind, start, key, 0)
    }

    fn value_of(
        &mut self,
        kind: u32,
        kind_at: usize,
        key: &str,
        depth: usize,
    ) -> Result<Value, CheckpointError> {
        Ok(match kind {
            0 => Value::Whole(u8::from_le_bytes(self.array(key)?).into()),
            1 => Value::Whole(i8::from_le_bytes(self.array(key)?).into()),
            2 => Value::Whole(u16::from_le_bytes(self.array(key)?).into()),
            3 => Value::Whole(i16::from_le_bytes(self.array(key)?).into()),
            4 => Value::Whole(self.u32(key)?.into()),
            5 => Value::Whole(i32::from_le_bytes(self.array(key)?).into()),
            6 => Value::Real(f32::from_le_bytes(self.array(key)?).into()),
            7 => match self.array::<1>(key)? {
                [flag @ 0..=1] => Value::Flag(flag == 1),
                [other] => {
                    let found = format!("the truth value of {key} is {other}");
                    return Err(self.fault(self.at - 1, found, "0 or 1"));
                }
            },
            8 => {
                let start = self.at;
                let length = self.u64(key)?;
                Value::Text(self.skip(start, length, key)?)
            }
            9 => Value::Array(self.elements(key, depth)?),
            10 => Value::Whole(self.u64(key)?.into()),
            11 => Value::Whole(i64::from_le_bytes(self.array(key)?).into()),
            12 => Value::Real(f64::from_le_bytes(self.array(key)?)),
            other => {
                let found = format!("{key} has the type {other}");
                return Err(self.fault(kind_at, found, "a type from 0 (u8) to 12 (f64)"));
            }
        })
    }

    /// Passes an array, and gives the number of its elements.
    fn elements(&mut self, key: &str, depth: usize) -> Result<u64, CheckpointError> {
        let start = self.at;
        if depth == DEEPEST {
            let found = format!("arrays in {key} hold arrays, more than {DEEPEST} levels deep");
            return Err(self.fault(start, found, "arrays of at most so many levels"));
        }
        let kind = self.u32(key)?;
        let count = self.u64(key)?;
        // Bytes of the smallest element: text has its length, an array its type and length.
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            _ => 12,
        };
        let left = (self.file.len() - self.at) as u64;
        if count > left / least {
            let found = format!("{key} has {count} elements of at least {least} bytes");
            let right = format!("elements within the {left} bytes that are left");
            return Err(self.fault(start, found, right));
        }
        match kind {
            8 | 9 => {
                self.passed = self.passed.saturating_add(count);
                if self.passed > MOST_PASSED {
                    let found = format!("{key} has {count} elements of no fixed size");
                    let right = format!("at most {MOST_PASSED} of them in all arrays together");
                    return Err(self.fault(start, found, right));
                }
                for _ in 0..count {
                    self.value_of(kind, start, key, depth + 1)?;
                }
            }
            0..=12 => {
                self.skip(start, count * least, key)?;
            }
            other => {
                let found = format!("{key} has elements of the type {other}");
                return Err(self.fault(start, found, "a type from 0 (u8) to 12 (f64)"));
            }
        }
        Ok(count)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], CheckpointError> {
        let range = self.skip(self.at, N as u64, what)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.file[range]);
        Ok(bytes)
    }

    /// Moves past `length` bytes. An error points to `start`.
    fn skip(
        &mut self,
        start: usize,
        length: u64,
        what: &str,
    ) -> Result<Range<usize>, CheckpointError> {
        let left = self.file.len() - self.at;
        let Some(length) = usize::try_from(length).ok().filter(|&n| n <= left) else {
            let found = format!("{what} needs {length} bytes and the file has {left} more");
            return Err(self.fault(start, found, "a file that is whole"));
        };
        let range = self.at..self.at + length;
        self.at = range.end;
        Ok(range)
    }
}
