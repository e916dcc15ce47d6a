//! A model as it lies in memory, in one file: matrices packed for the kernels of one machine, and the
//! quantised head. Loading it is reading it.
//!
//! The file starts with eight bytes of magic, the format's version as u32, the length of a header as
//! u32 and the header's XXH3 as u64, all little-endian; then the header, which is JSON. The data
//! follows in sections, each from a multiple of 4096 on: embedding, head where it is not tied, norms,
//! the parts of the quantised head, layers. Where they lie follows from the header's configuration,
//! types and kernels; the file says it nowhere, so that no place in it can be wrong.
//!
//! What is checked, so that a file means what it says or is refused:
//!
//! - the header has its checksum, and so does each piece of the data, in the header;
//! - the file is as long as its sections;
//! - kernels, and the making of quantised heads, have fingerprints of what they make of a known
//!   matrix: a version of this program that packs in another way does not take the file;
//! - floats are finite, scales greater than 0, and packed bytes such as trits pack to.
//!
//! Checksums are against damage. Whoever writes a file on purpose decides what the model says, as
//! with any file of weights; what they can't do is to make a kernel meet codes that are no trits.

mod header;
mod read;
mod sections;
mod write;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::error::CheckpointError;
use super::file;
use super::names::{Linear, Norm};
use super::values::Floats;
use super::{Result, WeightScale};
use crate::head::QuantizedHead;
use crate::kernels::Kernel;
use crate::model::{Dispatch, Group, Place, Projection, Source};

use self::header::Header;
pub use self::header::Origin;
use self::sections::Sections;
pub use self::write::WriteError;

const MAGIC: [u8; 8] = *b"BITGAUGE";

/// Of the shape described above.
const VERSION: u32 = 1;

/// Bytes of a piece that has a checksum: little enough for a second-level cache.
const PIECE: usize = 1 << 20;

/// What a section's place in the file is a multiple of, in bytes.
const PAGE: u64 = 4096;

/// What makes a new file, for messages.
const MAKE: &str = "`bitgauge repack` writes a new one";

/// A checked file of a packed model. It is read when the model is loaded.
pub struct Packed {
    path: PathBuf,
    file: File,
    header: Header,
    sections: Sections,
    /// Bytes in front of the first section.
    front: u64,
    norms: Vec<f32>,
}

impl Packed {
    /// Whether a file starts as one of these does.
    pub fn is_at(path: &Path) -> bool {
        let mut magic = [0; MAGIC.len()];
        let opened = file::open_regular(path);
        opened.is_ok_and(|(file, _)| file::read_at(&file, &mut magic, 0).is_ok()) && magic == MAGIC
    }

    /// Opens a file and checks all but the data of matrices.
    ///
    /// # Errors
    /// The first thing that is wrong, see [`CheckpointError`].
    pub fn open(path: &Path) -> Result<Self> {
        if cfg!(target_endian = "big") {
            let right = "a little-endian machine, whose numbers are as the file has them";
            return Err(CheckpointError::file(path, "a packed model", right));
        }
        let (file, size) = file::open_regular(path)?;
        let (header, front) = header::read(&file, size, path)?;
        let sections = header.sections(size, front, path)?;
        let mut opened = Self {
            path: path.to_owned(),
            file,
            header,
            sections,
            front,
            norms: Vec::new(),
        };
        opened.norms = opened.read_norms()?;
        Ok(opened)
    }

    /// What it was made from.
    pub fn origin(&self) -> &Origin {
        &self.header.origin
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.front + self.sections.end
    }

    /// The kernels that its matrices are packed for.
    pub fn kernels(&self) -> BTreeSet<&str> {
        let layers = self.header.layers.iter();
        layers
            .flat_map(|layer| layer.kernels.iter().map(String::as_str))
            .collect()
    }

    /// Whether every matrix is packed for the kernel that `dispatch` chooses. Other matrices are
    /// unpacked and packed again, which takes longer than from the files that this one was made of.
    pub fn suits(&self, dispatch: &dyn Dispatch) -> bool {
        let config = &self.header.config;
        (0..config.num_hidden_layers).all(|layer| {
            let kernels = Group::ALL.map(|group| dispatch.choose(&Place::of(config, layer, group)));
            self.is_packed_for(layer, kernels)
        })
    }

    /// Names do not say it: one from another crate may have that of a kernel of the table.
    fn is_packed_for(&self, layer: usize, kernels: [Kernel; 4]) -> bool {
        let specs = Group::ALL.map(|group| self.header.spec(layer, group));
        let mut pairs = specs.into_iter().zip(kernels);
        pairs.all(|(spec, kernel)| std::ptr::eq(spec, kernel.spec()))
    }

    /// The norms of a layer follow that in front of the head, in the order of [`Norm::ALL`].
    fn norm_at(&self, layer: usize, norm: Norm) -> &[f32] {
        let config = &self.header.config;
        let len = |norm: &Norm| norm.len(config);
        let all: usize = Norm::ALL.iter().map(len).sum();
        let before: usize = Norm::ALL.iter().take_while(|&n| *n != norm).map(len).sum();
        let start = config.hidden_size + layer * all + before;
        &self.norms[start..start + norm.len(config)]
    }
}

impl Source for Packed {
    fn config(&self) -> &Config {
        &self.header.config
    }

    fn embedding(&self) -> Result<Floats> {
        self.read_floats(&self.sections.embedding, self.header.embedding)
    }

    fn head(&self) -> Result<Option<Floats>> {
        let head = self.sections.head.as_ref().zip(self.header.head);
        head.map(|(section, width)| self.read_floats(section, width))
            .transpose()
    }

    fn final_norm(&self) -> Result<Vec<f32>> {
        Ok(self.norms[..self.header.config.hidden_size].to_vec())
    }

    fn norm(&self, layer: usize, norm: Norm) -> Result<Vec<f32>> {
        Ok(self.norm_at(layer, norm).to_vec())
    }

    fn read_linear(&self, layer: usize, linear: Linear, trits: &mut [i8]) -> Result<WeightScale> {
        self.unpack(layer, linear, trits)
    }

    fn packed_layer(&self, layer: usize, kernels: [Kernel; 4]) -> Result<Option<[Projection; 4]>> {
        if !self.is_packed_for(layer, kernels) {
            return Ok(None);
        }
        self.read_layer(layer, kernels).map(Some)
    }

    fn quantized_head(&self) -> Result<Option<QuantizedHead>> {
        self.read_quantized_head().map(Some)
    }
}
