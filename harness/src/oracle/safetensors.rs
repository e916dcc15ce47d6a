//! The safetensors container: 8 bytes of little-endian header length, a JSON
//! header, and the tensors' bytes without gaps.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::OracleError;

/// One tensor of the header.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The dtype as the file spells it, such as `BF16`.
    pub dtype: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Byte offset from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

/// An open file of which the header is known to describe exactly its bytes.
#[derive(Debug)]
pub struct Container {
    path: PathBuf,
    file: File,
    entries: BTreeMap<String, Entry>,
}

impl Container {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// [`OracleError::Io`], [`OracleError::File`] or [`OracleError::Tensor`]:
    /// header length beyond the file, header not JSON, shapes that are not
    /// lists of sizes, unknown dtypes, byte counts that do not fit shape and
    /// dtype, tensors that overlap, leave gaps or pass the end of the file.
    pub fn open(path: &Path) -> Result<Self, OracleError> {
        let io = |source| OracleError::Io {
            path: path.into(),
            source,
        };
        let file_error = |offset, problem| OracleError::File {
            path: path.into(),
            offset,
            problem,
        };
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let Some(room) = size.checked_sub(8) else {
            return Err(file_error(
                0,
                format!("{size} bytes in all, expected 8 bytes of header length"),
            ));
        };
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io)?;
        let header_length = u64::from_le_bytes(length);
        if header_length == 0 || header_length > room {
            return Err(file_error(
                0,
                format!("header length {header_length}, expected 1 to {room}"),
            ));
        }
        // Bounded by the file's own size, which was checked just now.
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header).map_err(io)?;
        let header: Map<String, Value> = serde_json::from_slice(&header)
            .map_err(|error| file_error(8, format!("the header is not a JSON object: {error}")))?;

        let data_start = 8 + header_length;
        let mut entries = BTreeMap::new();
        for (name, value) in header {
            if name == "__metadata__" {
                continue;
            }
            let entry = entry(&value, data_start, size).map_err(|problem| OracleError::Tensor {
                path: path.into(),
                tensor: name.clone(),
                problem,
            })?;
            entries.insert(name, entry);
        }
        check_cover(&entries, data_start, size)
            .map_err(|(offset, problem)| file_error(offset, problem))?;
        Ok(Container {
            path: path.into(),
            file,
            entries,
        })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header, by tensor name.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// The bytes of a tensor of this file.
    ///
    /// # Errors
    /// [`OracleError::Io`].
    pub fn bytes(&self, entry: &Entry) -> Result<Vec<u8>, OracleError> {
        let mut bytes = vec![0; entry.length as usize];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(entry.offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| OracleError::Io {
                path: self.path.clone(),
                source,
            })?;
        Ok(bytes)
    }
}

/// Bytes of one value.
fn dtype_size(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" => 1,
        "U16" | "I16" | "F16" | "BF16" => 2,
        "U32" | "I32" | "F32" => 4,
        "U64" | "I64" | "F64" => 8,
        _ => return None,
    })
}

fn entry(value: &Value, data_start: u64, file_size: u64) -> Result<Entry, String> {
    let dtype = value["dtype"].as_str().ok_or("no dtype string")?;
    let width = dtype_size(dtype).ok_or_else(|| format!("unknown dtype {dtype}"))?;
    let sizes = |key: &str| -> Result<Vec<u64>, String> {
        value[key]
            .as_array()
            .and_then(|list| list.iter().map(Value::as_u64).collect())
            .ok_or_else(|| format!("{key} is {}, expected a list of integers >= 0", value[key]))
    };
    let shape = sizes("shape")?;
    let data_size = file_size - data_start;
    let [begin, end] = sizes("data_offsets")?[..] else {
        return Err("data_offsets are not a pair".into());
    };
    if begin > end || end > data_size {
        return Err(format!(
            "data_offsets [{begin}, {end}] do not lie in order within the file's {data_size} bytes of data"
        ));
    }
    let expected = shape
        .iter()
        .try_fold(width, |product, &size| product.checked_mul(size));
    if expected != Some(end - begin) {
        return Err(format!(
            "data_offsets [{begin}, {end}] span {} bytes, but shape {shape:?} of {dtype} needs {}",
            end - begin,
            expected.map_or("more than 2^64".into(), |bytes| bytes.to_string())
        ));
    }
    let shape = shape
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| format!("size {size} is too large")))
        .collect::<Result<Vec<usize>, String>>()?;
    Ok(Entry {
        dtype: dtype.into(),
        shape,
        offset: data_start + begin,
        length: end - begin,
    })
}

/// The tensors, sorted, must lie side by side from the header to the end.
fn check_cover(
    entries: &BTreeMap<String, Entry>,
    data_start: u64,
    file_size: u64,
) -> Result<(), (u64, String)> {
    let mut order: Vec<(&String, &Entry)> = entries.iter().collect();
    order.sort_by_key(|(_, entry)| (entry.offset, entry.length));
    let mut next = data_start;
    for (name, entry) in order {
        if entry.offset != next {
            return Err((
                entry.offset,
                format!("tensor `{name}` begins here, expected byte {next}: no gaps, no overlaps"),
            ));
        }
        next += entry.length;
    }
    if next != file_size {
        return Err((
            next,
            format!("the tensors end here, but the file has {file_size} bytes"),
        ));
    }
    Ok(())
}
