//! From a packed file to memory: each piece read, compared with its checksum, and looked at while it
//! is in a cache.

use std::sync::Arc;

use bytemuck::Pod;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::super::names::Linear;
use super::super::values::Floats;
use super::super::{CheckpointError, Result, WeightScale, file};
use super::header::Width;
use super::sections::{Section, matrices};
use super::{MAKE, PIECE, Packed};
use crate::aligned::Aligned;
use crate::buffer::Buffer;
use crate::head::{QuantizedHead, Room};
use crate::kernels::Kernel;
use crate::matrix::Matrix;
use crate::model::{Group, Projection};

/// A byte of a section that can't be, and what it should be.
struct Wrong(usize, &'static str);

impl Packed {
    /// Reads a section into `out`, which is as long. `check` is given each piece with its place in the
    /// section.
    fn read(
        &self,
        section: &Section,
        out: &mut [u8],
        check: impl Fn(usize, &[u8]) -> std::result::Result<(), Wrong> + Sync,
    ) -> Result<()> {
        let start = self.front + section.start;
        let refuse = |at: usize, found: &str, right: &str| CheckpointError::Tensor {
            path: self.path.clone(),
            tensor: section.name.clone(),
            offset: start + at as u64,
            found: found.into(),
            right: format!("{right}; {MAKE}"),
        };
        out.par_chunks_mut(PIECE)
            .enumerate()
            .map(|(i, piece)| {
                let at = i * PIECE;
                file::read_at(&self.file, piece, start + at as u64)
                    .map_err(|e| CheckpointError::io(&self.path, "read", e))?;
                if xxh3_64(piece) != self.header.checksums[section.first_piece + i] {
                    let found = "bytes whose checksum is not that of the header";
                    return Err(refuse(at, found, "a file that is not damaged"));
                }
                check(at, piece)
                    .map_err(|Wrong(byte, right)| refuse(byte, "bytes that can't be", right))
            })
            .find_first(Result::is_err)
            .unwrap_or(Ok(()))
    }

    fn room<T: Pod>(&self, section: &Section) -> Result<Buffer<T>> {
        Buffer::try_zeroed(section.bytes / size_of::<T>())
            .ok_or_else(|| self.no_memory(&section.name, section.bytes))
    }

    fn no_memory(&self, what: &str, bytes: usize) -> CheckpointError {
        CheckpointError::Memory {
            path: self.path.clone(),
            tensor: what.into(),
            bytes,
        }
    }

    pub(super) fn read_floats(&self, section: &Section, width: Width) -> Result<Floats> {
        match width {
            Width::Bf16 => {
                let mut bits: Buffer<u16> = self.room(section)?;
                let bytes = bytemuck::cast_slice_mut(&mut bits);
                self.read(section, bytes, |at, piece| {
                    let words = piece.as_chunks::<2>().0;
                    finite(at, words, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80)
                })?;
                Ok(Floats::Bf16(bits))
            }
            Width::F32 => self.read_f32(section).map(Floats::F32),
        }
    }

    fn read_f32(&self, section: &Section) -> Result<Buffer<f32>> {
        let mut floats: Buffer<f32> = self.room(section)?;
        let bytes = bytemuck::cast_slice_mut(&mut floats);
        self.read(section, bytes, |at, piece| {
            let words = piece.as_chunks::<4>().0;
            finite(at, words, |b| !f32::from_le_bytes(b).is_finite())
        })?;
        Ok(floats)
    }

    pub(super) fn read_norms(&self) -> Result<Vec<f32>> {
        Ok(self.read_f32(&self.sections.norms)?.to_vec())
    }

    pub(super) fn read_quantized_head(&self) -> Result<QuantizedHead> {
        let config = &self.header.config;
        let sections = &self.sections.quantized_head;
        let read = |i: usize, out: &mut [u8]| self.read(&sections[i], out, |_, _| Ok(()));
        let room = Room::of(config.vocab_size, config.hidden_size)
            .map_err(|bytes| self.no_memory("the quantised head", bytes))?;
        let head = QuantizedHead::from_parts(room, read)?;
        head.ok_or_else(|| {
            let found = "a quantised head with a norm or a step below 0";
            CheckpointError::file(&self.path, found, format!("norms and steps; {MAKE}"))
        })
    }

    /// The section of a layer, all codes those of trits.
    fn layer_bytes(&self, layer: usize) -> Result<Aligned> {
        let section = &self.sections.layers[layer];
        let (places, _) = matrices(&self.header, layer);
        let layouts = Group::ALL.map(|group| self.header.layout(layer, group));
        let mut memory = Aligned::try_zeroed(section.bytes)
            .ok_or_else(|| self.no_memory(&section.name, section.bytes))?;
        self.read(section, memory.as_mut_slice(), |at, piece| {
            for (place, layout) in places.iter().zip(layouts) {
                let start = place.start.clamp(at, at + piece.len());
                let end = place.end.clamp(start, at + piece.len());
                if let Some(byte) = layout.unsound_at(&piece[start - at..end - at]) {
                    return Err(Wrong(start + byte, "codes of trits"));
                }
            }
            Ok(())
        })?;
        Ok(memory)
    }

    /// A layer that is packed for these kernels.
    pub(super) fn read_layer(&self, layer: usize, kernels: [Kernel; 4]) -> Result<[Projection; 4]> {
        let memory = Arc::new(self.layer_bytes(layer)?);
        let (places, _) = matrices(&self.header, layer);
        Ok(Group::ALL.map(|group| {
            let shape = group.shape(&self.header.config);
            let weights = places[group as usize].clone();
            let matrix = Matrix::within(kernels[group as usize], shape, &memory, weights);
            let parts = group.linears().iter().map(|&linear| {
                let (rows, _) = linear.shape(&self.header.config);
                (rows, self.scale(layer, linear))
            });
            Projection::new(matrix, parts.collect())
        }))
    }

    /// The trits of a linear, whatever it is packed for.
    pub(super) fn unpack(
        &self,
        layer: usize,
        linear: Linear,
        trits: &mut [i8],
    ) -> Result<WeightScale> {
        let config = &self.header.config;
        let group = Group::of(linear);
        let before = group.linears().iter().take_while(|&&l| l != linear);
        let first = before.map(|l| l.shape(config).0).sum();
        let memory = self.layer_bytes(layer)?;
        let (places, _) = matrices(&self.header, layer);
        let weights = &memory.as_slice()[places[group as usize].clone()];
        let layout = self.header.layout(layer, group);
        layout.unpack(weights, group.shape(config), first, trits);
        Ok(self.scale(layer, linear))
    }

    fn scale(&self, layer: usize, linear: Linear) -> WeightScale {
        self.header.layers[layer].scales[linear as usize]
    }
}

/// Fails at the first of the words from byte `at` on that is no finite number.
fn finite<const B: usize>(
    at: usize,
    words: &[[u8; B]],
    bad: impl Fn([u8; B]) -> bool,
) -> std::result::Result<(), Wrong> {
    if !words.iter().fold(false, |any, &word| any | bad(word)) {
        return Ok(());
    }
    let first = words.iter().position(|&word| bad(word));
    let first = first.expect("a bad word, of which there is one");
    Err(Wrong(at + first * B, "finite values"))
}
