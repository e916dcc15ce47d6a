//! From a model in memory to a packed file.

use std::io::{self, Write};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::super::names::{Linear, Norm};
use super::super::values::Floats;
use super::header::{Header, LayerHeader, Origin, Width};
use super::sections::Sections;
use super::{PAGE, PIECE, Packed};
use crate::head::QuantizedHead;
use crate::model::{Group, Layer, Model};

/// Why a model was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A kernel that no reader could know.
    #[error(
        "kernel `{0}` is not one of the table, so that nothing could read what is packed for it"
    )]
    Kernel(&'static str),
}

impl Packed {
    /// Writes `model`, which was made from `origin`.
    ///
    /// # Errors
    /// When a kernel is not of [`crate::kernels::TABLE`], or `out` refuses.
    pub fn write(model: &Model, origin: Origin, out: &mut dyn Write) -> Result<(), WriteError> {
        let vocabulary = model.vocabulary();
        let made;
        let quantized_head = match vocabulary.quantized_head() {
            Some(head) => head,
            None => {
                made = QuantizedHead::try_new(vocabulary.head())
                    .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
                &made
            }
        };
        let layers = layer_headers(model)?;
        let own_head = vocabulary.own_head().map(|head| head.values());
        let mut header = Header {
            origin,
            config: model.config().clone(),
            embedding: width(vocabulary.embedding().values()),
            head: own_head.map(width),
            packings: Header::packings(&layers),
            layers,
            quantized_head: QuantizedHead::fingerprint(),
            checksums: Vec::new(),
        };
        let norms = norms(model);
        let parts = quantized_head.parts();
        let mut data = vec![bytes(vocabulary.embedding().values())];
        data.extend(own_head.map(bytes));
        data.push(bytemuck::cast_slice(&norms));
        data.extend(parts);
        // The matrices of a layer lie in one memory as they do in the file.
        data.extend(model.layers().iter().map(Layer::memory));
        let lengths: Vec<usize> = data.iter().map(|bytes| bytes.len()).collect();
        let sections = Sections::new(&header);
        assert!(
            sections.all().map(|section| section.bytes).eq(lengths),
            "sections as long as what they hold"
        );
        let pieces: Vec<&[u8]> = data.iter().flat_map(|bytes| bytes.chunks(PIECE)).collect();
        header.checksums = pieces.into_par_iter().map(xxh3_64).collect();
        out.write_all(&header.to_bytes().map_err(io::Error::from)?)?;
        for bytes in data {
            out.write_all(bytes)?;
            let page = PAGE as usize;
            let filling = bytes.len().next_multiple_of(page) - bytes.len();
            out.write_all(&[0; PAGE as usize][..filling])?;
        }
        Ok(())
    }
}

fn layer_headers(model: &Model) -> Result<Vec<LayerHeader>, WriteError> {
    let header = |layer: &Layer| {
        let kernels = Group::ALL.map(|group| layer.projection(group).matrix().kernel().spec());
        if let Some(unknown) = kernels.iter().find(|spec| spec.layout().is_none()) {
            return Err(WriteError::Kernel(unknown.name()));
        }
        let mut scales = Group::ALL.into_iter().flat_map(|group| {
            let parts = layer.projection(group).parts().iter();
            group.linears().iter().zip(parts.map(|&(_, scale)| scale))
        });
        let kernels = kernels.map(|spec| spec.name().to_owned());
        // Groups hold the linears in the order of `Linear::ALL`.
        let scales = Linear::ALL.map(|linear| {
            let (&of, scale) = scales.next().expect("a scale for each linear");
            assert_eq!(of, linear, "linears in their order");
            scale
        });
        Ok(LayerHeader { kernels, scales })
    };
    model.layers().iter().map(header).collect()
}

fn norms(model: &Model) -> Vec<f32> {
    let mut norms = model.final_norm.clone();
    for layer in model.layers() {
        for norm in Norm::ALL {
            norms.extend(match norm {
                Norm::Input => &layer.input_norm,
                Norm::PostAttention => &layer.post_attention_norm,
                Norm::AttnSub => &layer.attn_sub_norm,
                Norm::FfnSub => &layer.ffn_sub_norm,
            });
        }
    }
    norms
}

fn width(floats: &Floats) -> Width {
    match floats {
        Floats::Bf16(_) => Width::Bf16,
        Floats::F32(_) => Width::F32,
    }
}

fn bytes(floats: &Floats) -> &[u8] {
    match floats {
        Floats::Bf16(bits) => bytemuck::cast_slice(bits),
        Floats::F32(values) => bytemuck::cast_slice(values),
    }
}
