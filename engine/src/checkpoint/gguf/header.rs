//! The front of a GGUF file: metadata, and where each tensor lies.
//!
//! Source: `docs/gguf.md` of ggml, version 3; version 2 is the same but for byte order.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;

use super::super::error::{CheckpointError, shown};
use super::kind::{KNOWN, Kind};
use super::metadata::Metadata;
use super::reader::Reader;

const MAGIC: [u8; 4] = *b"GGUF";

/// Most metadata entries, and most tensors. A model of 30 layers has 332 tensors; a bound of our
/// own, so that a hostile file costs little memory.
const MOST: u64 = 1 << 16;

/// Bytes of a key at most, as the format says.
const LONGEST_KEY: u64 = 0xffff;

/// Bytes of a tensor's name at most, as the format says.
const LONGEST_NAME: u64 = 64;

/// Dimensions of a tensor at most, as the format says.
const MOST_DIMENSIONS: u32 = 4;

/// A tensor as the file describes it; the byte range was checked against shape, type and file.
pub(super) struct Entry {
    pub kind: Kind,
    /// Fastest first, as the file has them: a matrix `[N, K]` is `[K, N]` here.
    pub dimensions: Vec<usize>,
    /// Bytes of the file.
    pub bytes: Range<usize>,
    /// Where in the file the tensor is described.
    pub described_at: u64,
}

/// Metadata and tensors by name.
pub(super) fn read<'a>(
    file: &'a [u8],
    path: &'a Path,
) -> Result<(Metadata<'a>, BTreeMap<String, Entry>), CheckpointError> {
    let mut reader = Reader::new(file, path);
    let magic = reader.u32("the magic number")?.to_le_bytes();
    if magic != MAGIC {
        let found = format!("the file starts with the bytes {magic:02x?}");
        return Err(reader.fault(0, found, "the bytes of `GGUF`"));
    }
    let version = reader.u32("the version")?;
    if !(2..=3).contains(&version) {
        let order = if (2..=3).contains(&version.swap_bytes()) {
            ", in big-endian order"
        } else {
            ""
        };
        let found = format!("version {version}{order}");
        return Err(reader.fault(4, found, "version 2 or 3, little-endian"));
    }
    let tensors = count(&mut reader, "the number of tensors")?;
    let entries = count(&mut reader, "the number of metadata entries")?;
    let mut metadata = Metadata::new(file, path);
    for _ in 0..entries {
        let at = reader.at();
        let key = reader.name("a metadata key", LONGEST_KEY)?;
        let value = reader.value(&shown(&key))?;
        if !metadata.insert(key.clone(), at, value) {
            let found = format!("a second entry for the key {}", shown(&key));
            return Err(reader.fault(at, found, "each key once"));
        }
    }
    let alignment = metadata.alignment()?;
    let described: Vec<_> = (0..tensors)
        .map(|_| describe(&mut reader, path))
        .collect::<Result<_, _>>()?;
    let data = align(reader.at(), alignment);
    let tensors = place(described, file, path, data, alignment)?;
    Ok((metadata, tensors))
}

fn count(reader: &mut Reader<'_>, what: &str) -> Result<u64, CheckpointError> {
    let at = reader.at();
    let count = reader.u64(what)?;
    if count <= MOST {
        return Ok(count);
    }
    Err(reader.fault(at, format!("{what} is {count}"), format!("at most {MOST}")))
}

/// A tensor whose place is not checked yet.
struct Described {
    name: String,
    kind: Kind,
    dimensions: Vec<usize>,
    size: usize,
    /// From the start of the data.
    offset: u64,
    at: usize,
}

fn describe(reader: &mut Reader<'_>, path: &Path) -> Result<Described, CheckpointError> {
    let at = reader.at();
    let name = reader.name("a tensor's name", LONGEST_NAME)?;
    let bad = |at, found: String, right: String| bad_entry(path, &name, at, found, right);
    let rank_at = reader.at();
    let rank = reader.u32("the number of dimensions")?;
    if rank > MOST_DIMENSIONS {
        let right = format!("at most {MOST_DIMENSIONS}");
        return Err(bad(rank_at, format!("{rank} dimensions"), right));
    }
    let mut dimensions = Vec::new();
    let mut values = Some(1_usize);
    for _ in 0..rank {
        let dimension = reader.u64("a dimension")?;
        let dimension = usize::try_from(dimension).ok();
        values = values.zip(dimension).and_then(|(n, d)| n.checked_mul(d));
        dimensions.extend(dimension);
    }
    let kind_at = reader.at();
    let number = reader.u32("a tensor's type")?;
    let Some(kind) = Kind::from_number(number) else {
        return Err(bad(kind_at, format!("the type {number}"), KNOWN.into()));
    };
    let (block, _) = kind.block();
    let cols = dimensions.first().copied().unwrap_or(1);
    if !cols.is_multiple_of(block) {
        let found = format!("rows of {cols} values of {kind}");
        let right = format!("a multiple of {block} values, the length of a block");
        return Err(bad(rank_at, found, right));
    }
    let rows = values.map(|values| values.checked_div(cols).unwrap_or(0));
    let size = rows.and_then(|rows| Some((rows, kind.bytes(rows, cols)?)));
    let Some((rows, size)) = size else {
        let found = format!("dimensions {dimensions:?} of {kind}, more bytes than can be counted");
        return Err(bad(rank_at, found, "dimensions that fit the data".into()));
    };
    let together = kind.rows_together();
    if !rows.is_multiple_of(together) {
        let found = format!("{rows} rows of {kind}");
        let right = format!("a multiple of {together} rows, which are interleaved");
        return Err(bad(rank_at, found, right));
    }
    let offset = reader.u64("a tensor's offset")?;
    Ok(Described {
        name,
        kind,
        dimensions,
        size,
        offset,
        at,
    })
}

/// Checks that the tensors lie in the file one after another, each on the next multiple of the
/// alignment, as ggml demands too.
fn place(
    described: Vec<Described>,
    file: &[u8],
    path: &Path,
    data: usize,
    alignment: usize,
) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let mut names = HashSet::new();
    let mut tensors = BTreeMap::new();
    let mut placed = Vec::new();
    for tensor in described {
        if !names.insert(tensor.name.clone()) {
            let (found, right) = ("a second tensor of this name", "each name once");
            return Err(bad_entry(
                path,
                &tensor.name,
                tensor.at,
                found.into(),
                right.into(),
            ));
        }
        let start = usize::try_from(tensor.offset).ok();
        let start = start.and_then(|offset| data.checked_add(offset));
        let end = start.and_then(|start| start.checked_add(tensor.size));
        let (Some(start), Some(end)) = (start, end.filter(|&end| end <= file.len())) else {
            let found = format!("{} bytes at {} of the data", tensor.size, tensor.offset);
            let left = file.len().saturating_sub(data);
            let right = format!("a place within the {left} bytes of data");
            return Err(bad_entry(path, &tensor.name, tensor.at, found, right));
        };
        placed.push((start..end, tensor));
    }
    placed.sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
    let mut next = data;
    for (Range { start, end }, tensor) in placed {
        if start != next {
            let kind = if start < next {
                "overlaps the tensor before"
            } else {
                "leaves a gap"
            };
            let found = format!("its data starts at byte {start} and {kind}");
            let right = format!("data from byte {next} on");
            return Err(bad_entry(path, &tensor.name, tensor.at, found, right));
        }
        next = align(end, alignment);
        let entry = Entry {
            kind: tensor.kind,
            dimensions: tensor.dimensions,
            bytes: start..end,
            described_at: tensor.at as u64,
        };
        tensors.insert(tensor.name, entry);
    }
    if file.len() > next {
        let found = format!("{} bytes that belong to no tensor", file.len() - next);
        return Err(Reader::new(file, path).fault(next, found, "the end of the file"));
    }
    Ok(tensors)
}

/// The next multiple of `alignment`, or a place behind every file.
fn align(at: usize, alignment: usize) -> usize {
    at.checked_next_multiple_of(alignment).unwrap_or(usize::MAX)
}

fn bad_entry(path: &Path, name: &str, at: usize, found: String, right: String) -> CheckpointError {
    CheckpointError::Tensor {
        path: path.to_owned(),
        tensor: shown(name),
        offset: at as u64,
        found,
        right,
    }
}
