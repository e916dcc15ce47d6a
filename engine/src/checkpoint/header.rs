//! The header of a safetensors file: where each tensor lies.
//!
//! The `safetensors` crate parses each entry and knows the dtypes. The checks
//! around it are our own, because its errors name neither tensor nor offset,
//! and because it keeps one of two entries of the same name.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{CheckpointError, shown};
use super::file::MAX_JSON;
use super::json::Fault;

/// Bytes of the header length.
pub(super) const PREFIX: usize = 8;

/// A tensor as its header describes it; the byte range was checked against
/// shape, dtype and file.
pub(super) struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Bytes of the file.
    pub bytes: Range<usize>,
    /// Where in the file the header describes the tensor.
    pub described_at: u64,
}

/// Reads the header of the file whose content is `file`: all entries by name,
/// in the order of their data, which they cover without gap or overlap.
pub(super) fn read(file: &[u8], path: &Path) -> Result<Vec<(String, Entry)>, CheckpointError> {
    let header = Header::find(file, path)?;
    let mut names = HashSet::new();
    let mut entries = Vec::new();
    for (name, raw) in header.raw_entries()? {
        let at = header.offset_of(raw);
        if !names.insert(name.clone()) {
            let right = "each name once".into();
            return Err(header.bad_entry(&name, at, "a second entry of this name".into(), right));
        }
        if name == "__metadata__" {
            header.check_metadata(raw)?;
        } else {
            entries.push(header.entry(name, raw)?);
        }
    }
    entries.sort_by_key(|(_, entry)| (entry.bytes.start, entry.bytes.end));
    header.check_cover(&entries, file.len())?;
    Ok(entries)
}

struct Header<'a> {
    path: &'a Path,
    /// A copy: another process might change the file while it is parsed.
    text: String,
    /// Bytes of the file after the header.
    data_len: usize,
}

impl<'a> Header<'a> {
    fn find(file: &[u8], path: &'a Path) -> Result<Self, CheckpointError> {
        let syntax = |offset: usize, found: String, right: String| CheckpointError::Syntax {
            path: path.to_owned(),
            offset: offset as u64,
            found,
            right,
        };
        let Some((prefix, rest)) = file.split_first_chunk::<PREFIX>() else {
            let found = format!("the file ends after {} bytes", file.len());
            return Err(syntax(0, found, "the header length in 8 bytes".into()));
        };
        let stated = u64::from_le_bytes(*prefix);
        let most = MAX_JSON.min(rest.len() as u64);
        if stated == 0 || stated > most {
            let found = format!("the header length is {stated}");
            let right = format!("1 to {most}: a header within this file and {MAX_JSON} bytes");
            return Err(syntax(0, found, right));
        }
        let (text, data) = rest.split_at(stated as usize);
        let text = String::from_utf8(text.to_vec()).map_err(|e| {
            let at = PREFIX + e.utf8_error().valid_up_to();
            let found = "a byte sequence that is not UTF-8".into();
            syntax(at, found, "JSON in UTF-8".into())
        })?;
        Ok(Self {
            path,
            text,
            data_len: data.len(),
        })
    }

    fn raw_entries(&self) -> Result<Vec<(String, &RawValue)>, CheckpointError> {
        serde_json::from_str::<RawEntries<'_>>(&self.text)
            .map(|entries| entries.0)
            .map_err(|error| {
                let Fault { offset, message } = Fault::new(&self.text, &error);
                CheckpointError::Syntax {
                    path: self.path.to_owned(),
                    offset: (PREFIX + offset) as u64,
                    found: message,
                    right: "a JSON object of tensor names".into(),
                }
            })
    }

    fn entry(&self, name: String, raw: &RawValue) -> Result<(String, Entry), CheckpointError> {
        let described_at = self.offset_of(raw);
        let bad = |at, found: String, right: &str| {
            Err(self.bad_entry(&name, at, found, right.to_owned()))
        };
        // The crate would take a list of the three values too.
        if !raw.get().starts_with('{') {
            let right = "an object with dtype, shape and data_offsets";
            return bad(described_at, "the entry is no object".into(), right);
        }
        let info: TensorInfo = match serde_json::from_str(raw.get()) {
            Ok(info) => info,
            Err(error) => {
                let fault = Fault::new(raw.get(), &error);
                let right = "a known dtype, a shape and two data_offsets of whole numbers >= 0";
                return bad(described_at + fault.offset as u64, fault.message, right);
            }
        };
        let (start, end) = info.data_offsets;
        let (dtype, len) = (info.dtype, self.data_len);
        if start > end || end > len {
            let found = format!("data_offsets [{start}, {end}]");
            let right = format!("start <= end <= {len}, the bytes of data in this file");
            return bad(described_at, found, &right);
        }
        let shape = shown(&format!("{:?}", info.shape));
        let bits = info
            .shape
            .iter()
            .try_fold(dtype.bitsize(), |bits, &dim| bits.checked_mul(dim));
        let Some(bits) = bits else {
            let found = format!("shape {shape} of {dtype} has more bits than can be counted");
            return bad(described_at, found, "a shape that fits the data");
        };
        if !bits.is_multiple_of(8) || bits / 8 != end - start {
            let found = format!("data_offsets [{start}, {end}] span {} bytes", end - start);
            let right = format!("{} bytes for shape {shape} of {dtype}", bits.div_ceil(8));
            return bad(described_at, found, &right);
        }
        let data = PREFIX + self.text.len();
        let entry = Entry {
            dtype,
            shape: info.shape,
            bytes: data + start..data + end,
            described_at,
        };
        Ok((name, entry))
    }

    /// The format's rule for the free-form part; nothing in it is used.
    fn check_metadata(&self, raw: &RawValue) -> Result<(), CheckpointError> {
        let strings = serde_json::from_str::<std::collections::HashMap<String, String>>(raw.get());
        strings.map(drop).map_err(|error| {
            let Fault { offset, message } = Fault::new(raw.get(), &error);
            CheckpointError::Syntax {
                path: self.path.to_owned(),
                offset: self.offset_of(raw) + offset as u64,
                found: format!("in __metadata__: {message}"),
                right: "an object of strings".into(),
            }
        })
    }

    fn check_cover(
        &self,
        entries: &[(String, Entry)],
        file_len: usize,
    ) -> Result<(), CheckpointError> {
        let mut covered = PREFIX + self.text.len();
        for (name, entry) in entries {
            let Range { start, end } = entry.bytes;
            if start != covered {
                let kind = if start < covered {
                    "overlaps the tensor before"
                } else {
                    "leaves a gap"
                };
                let found = format!("its data starts at byte {start} and {kind}");
                let right = format!("data from byte {covered} on");
                return Err(self.bad_entry(name, entry.described_at, found, right));
            }
            covered = end;
        }
        if covered == file_len {
            return Ok(());
        }
        Err(CheckpointError::Syntax {
            path: self.path.to_owned(),
            offset: covered as u64,
            found: format!("{} bytes that belong to no tensor", file_len - covered),
            right: "the end of the file".into(),
        })
    }

    /// Where in the file a part of the header text lies.
    fn offset_of(&self, part: &RawValue) -> u64 {
        let offset = part.get().as_ptr() as usize - self.text.as_ptr() as usize;
        (PREFIX + offset) as u64
    }

    fn bad_entry(&self, name: &str, offset: u64, found: String, right: String) -> CheckpointError {
        CheckpointError::Tensor {
            path: self.path.to_owned(),
            tensor: shown(name),
            offset,
            found,
            right,
        }
    }
}

/// All pairs of an object in order, duplicates included.
struct RawEntries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawEntries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = RawEntries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object of tensor names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(RawEntries(entries))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}
