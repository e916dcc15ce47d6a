//! The header: what the file holds, and how it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::super::WeightScale;
use super::super::config::Config;
use super::super::error::{CheckpointError, shown};
use super::super::file::{self, MAX_JSON};
use super::super::json::Fault;
use super::sections::Sections;
use super::{MAGIC, MAKE, PAGE, Result, VERSION};
use crate::head::QuantizedHead;
use crate::kernels::layout::{self, Layout};
use crate::kernels::{self, Spec};
use crate::model::Group;

/// Magic, version, length and checksum.
const PREFIX: usize = 24;

/// Largest dimension of a matrix: products of two can be counted.
const LARGEST: usize = i32::MAX as usize;

/// What a packed model was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Its name: that of a folder, a file or a shape.
    pub name: String,
    /// A digest of its files, in hexadecimal digits.
    pub digest: String,
}

/// The type of real numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Width {
    Bf16,
    F32,
}

impl Width {
    pub fn bytes(self) -> usize {
        match self {
            Width::Bf16 => 2,
            Width::F32 => 4,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub origin: Origin,
    pub config: Config,
    /// Type of the embedding.
    pub embedding: Width,
    /// Type of the head; `None` when the embedding serves as it.
    pub head: Option<Width>,
    pub layers: Vec<LayerHeader>,
    /// Fingerprints of the kernels, by name.
    pub packings: BTreeMap<String, String>,
    /// Fingerprint of how a head is quantised.
    pub quantized_head: String,
    /// Of each piece of each section, in their order.
    pub checksums: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LayerHeader {
    /// By [`Group::ALL`].
    pub kernels: [String; 4],
    /// By [`crate::checkpoint::Linear::ALL`].
    pub scales: [WeightScale; 7],
}

/// The header of a file of `size` bytes, and what stands in front of its data, in bytes.
pub(super) fn read(file: &File, size: u64, path: &Path) -> Result<(Header, u64)> {
    let syntax = |offset: usize, found: String, right: &str| CheckpointError::Syntax {
        path: path.to_owned(),
        offset: offset as u64,
        found,
        right: right.into(),
    };
    let io = |e| CheckpointError::io(path, "read", e);
    if size < PREFIX as u64 {
        let right = format!("at least {PREFIX} bytes in front of a header; {MAKE}");
        return Err(CheckpointError::file(
            path,
            format!("has {size} bytes"),
            right,
        ));
    }
    let mut prefix = [0; PREFIX];
    file::read_at(file, &mut prefix, 0).map_err(io)?;
    if prefix[..8] != MAGIC {
        let found = format!("the file starts with the bytes {:02x?}", &prefix[..8]);
        return Err(syntax(0, found, "the bytes of `BITGAUGE`"));
    }
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| prefix[at + i]));
    let version = word(8);
    if version != VERSION {
        let right = format!("version {VERSION}; {MAKE}");
        return Err(syntax(8, format!("version {version}"), &right));
    }
    let length = u64::from(word(12));
    let most = MAX_JSON.min(size - PREFIX as u64);
    if length > most {
        let right = format!("at most {most}: a header within this file and {MAX_JSON} bytes");
        return Err(syntax(
            12,
            format!("the header's length is {length}"),
            &right,
        ));
    }
    let mut text = vec![0; length as usize];
    file::read_at(file, &mut text, PREFIX as u64).map_err(io)?;
    let checksum = u64::from_le_bytes(std::array::from_fn(|i| prefix[16 + i]));
    if xxh3_64(&text) != checksum {
        let found = "the header has another checksum than is written here".into();
        return Err(syntax(
            16,
            found,
            &format!("a file that is not damaged; {MAKE}"),
        ));
    }
    let text = String::from_utf8(text).map_err(|e| {
        let at = PREFIX + e.utf8_error().valid_up_to();
        syntax(at, "a byte sequence that is not UTF-8".into(), "UTF-8")
    })?;
    let header: Header = serde_json::from_str(&text).map_err(|error| {
        let Fault { offset, message } = Fault::new(&text, &error);
        syntax(
            PREFIX + offset,
            message,
            &format!("the header of a packed model; {MAKE}"),
        )
    })?;
    header.check(path)?;
    let front = (PREFIX as u64 + length).next_multiple_of(PAGE);
    Ok((header, front))
}

impl Header {
    /// What stands in front of the data.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let text = serde_json::to_vec(self)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(xxh3_64(&text).to_le_bytes());
        bytes.extend(text);
        bytes.resize(bytes.len().next_multiple_of(PAGE as usize), 0);
        Ok(bytes)
    }

    /// The fingerprints of a header: how this build packs for its kernels.
    pub fn packings(layers: &[LayerHeader]) -> BTreeMap<String, String> {
        let names: BTreeSet<_> = layers.iter().flat_map(|layer| &layer.kernels).collect();
        let fingerprints = names.into_iter().filter_map(|name| {
            let fingerprint = layout::fingerprint(kernels::spec(name).ok()?);
            Some((name.clone(), fingerprint))
        });
        fingerprints.collect()
    }

    /// The kernel that a matrix is packed for.
    pub fn spec(&self, layer: usize, group: Group) -> &'static Spec {
        let spec = kernels::spec(&self.layers[layer].kernels[group as usize]);
        spec.expect("a kernel of the table, as whoever read or made the header has seen")
    }

    /// What the packed bytes of a matrix say.
    pub fn layout(&self, layer: usize, group: Group) -> &'static Layout {
        let layout = self.spec(layer, group).layout();
        layout.expect("a kernel with a layout, as whoever read or made the header has seen")
    }

    fn check(&self, path: &Path) -> Result<()> {
        let file = |found: String, right: String| Err(CheckpointError::file(path, found, right));
        let config = &self.config;
        config.check().map_err(|error| CheckpointError::Config {
            path: path.to_owned(),
            error,
        })?;
        let linears = config.linears();
        let sides = linears.iter().flat_map(|&(_, (rows, cols))| [rows, cols]);
        if let Some(side) = sides.chain([config.vocab_size]).find(|&n| n > LARGEST) {
            let right = format!("dimensions up to {LARGEST}");
            return file(format!("a matrix with {side} rows or columns"), right);
        }
        if self.layers.len() != config.num_hidden_layers {
            let found = format!("kernels and scales of {} layers", self.layers.len());
            let right = format!("those of {}", config.num_hidden_layers);
            return file(found, right);
        }
        if self.head.is_some() == config.tie_word_embeddings {
            let right = "a head of its own just where it is not tied to the embedding";
            let found = format!(
                "tie_word_embeddings is {}, and the head {:?}",
                config.tie_word_embeddings, self.head
            );
            return file(found, right.into());
        }
        for (i, layer) in self.layers.iter().enumerate() {
            for scale in &layer.scales {
                let (WeightScale::Multiply(value) | WeightScale::Divide(value)) = *scale;
                if !(value.is_finite() && value > 0.0) {
                    let found = format!("layer {i} has the scale {value}");
                    return file(found, "finite scales above 0".into());
                }
            }
            for name in &layer.kernels {
                let why = match kernels::spec(name) {
                    Ok(spec) if spec.layout().is_some() => continue,
                    Ok(_) => "what it packs can't be checked".to_owned(),
                    Err(unknown) => unknown.to_string(),
                };
                let found = format!("layer {i} is packed for `{}`: {why}", shown(name));
                return file(found, format!("a kernel of this build; {MAKE}"));
            }
        }
        let now = Self::packings(&self.layers);
        if let Some((name, now)) = now
            .iter()
            .find(|&(name, now)| self.packings.get(name) != Some(now))
        {
            let then = self.packings.get(name).map_or("none", String::as_str);
            let found = format!("packings of {name} with the fingerprint {}", shown(then));
            return file(
                found,
                format!("{now}, that of this build, which packs in another way; {MAKE}"),
            );
        }
        let now = QuantizedHead::fingerprint();
        if self.quantized_head != now {
            let then = shown(&self.quantized_head);
            return file(
                format!("a quantised head with the fingerprint {then}"),
                format!("{now}, that of this build, which quantises in another way; {MAKE}"),
            );
        }
        Ok(())
    }

    /// Where the data lies in a file of `size` bytes with `front` in front of the data.
    pub fn sections(&self, size: u64, front: u64, path: &Path) -> Result<Sections> {
        let sections = Sections::new(self);
        let right = front.saturating_add(sections.end);
        if size != right {
            let found = format!("has {size} bytes");
            let right = format!("{right} bytes, as its header asks for; {MAKE}");
            return Err(CheckpointError::file(path, found, right));
        }
        if self.checksums.len() != sections.pieces {
            let found = format!("{} checksums", self.checksums.len());
            let right = format!("{}, one a piece of the data; {MAKE}", sections.pieces);
            return Err(CheckpointError::file(path, found, right));
        }
        Ok(sections)
    }
}
