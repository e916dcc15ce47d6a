//! Where the data of a packed model lies: a function of its header.

use std::ops::Range;

use super::super::names::Norm;
use super::header::Header;
use super::{PAGE, PIECE};
use crate::head::{PARTS, QuantizedHead};
use crate::matrix::side_by_side;
use crate::model::Group;

/// A part of the data.
pub(super) struct Section {
    /// For messages.
    pub name: String,
    /// From the start of the data.
    pub start: u64,
    pub bytes: usize,
    /// The first of its pieces, counted over all sections.
    pub first_piece: usize,
}

/// All parts, in their order.
pub(super) struct Sections {
    pub embedding: Section,
    pub head: Option<Section>,
    pub norms: Section,
    pub quantized_head: [Section; PARTS],
    pub layers: Vec<Section>,
    /// Bytes of the data.
    pub end: u64,
    /// Pieces of all sections.
    pub pieces: usize,
}

impl Sections {
    /// Lengths that can't be counted come out as the largest, which no file has.
    pub fn new(header: &Header) -> Self {
        let config = &header.config;
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let (mut end, mut pieces) = (0_u64, 0_usize);
        let mut next = |name: String, bytes: usize| {
            let section = Section {
                name,
                start: end,
                bytes,
                first_piece: pieces,
            };
            let pages = (bytes as u64).div_ceil(PAGE).saturating_mul(PAGE);
            end = end.saturating_add(pages);
            pieces = pieces.saturating_add(bytes.div_ceil(PIECE));
            section
        };
        let real = |bytes: usize| vocab.saturating_mul(hidden).saturating_mul(bytes);
        let norms: usize = Norm::ALL.iter().map(|norm| norm.len(config)).sum();
        let norms = norms.saturating_mul(config.num_hidden_layers);
        let norms = norms
            .saturating_add(hidden)
            .saturating_mul(size_of::<f32>());
        let parts = QuantizedHead::part_bytes(vocab, hidden);
        Self {
            embedding: next("the embedding".into(), real(header.embedding.bytes())),
            head: header
                .head
                .map(|width| next("the head".into(), real(width.bytes()))),
            norms: next("the norms".into(), norms),
            quantized_head: std::array::from_fn(|i| {
                next(format!("part {i} of the quantised head"), parts[i])
            }),
            layers: (0..config.num_hidden_layers)
                .map(|layer| {
                    let (_, bytes) = matrices(header, layer);
                    next(format!("layer {layer}"), bytes)
                })
                .collect(),
            end,
            pieces,
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Section> {
        [&self.embedding]
            .into_iter()
            .chain(&self.head)
            .chain([&self.norms])
            .chain(&self.quantized_head)
            .chain(&self.layers)
    }
}

/// Where the matrices of a layer lie in its section, by [`Group::ALL`], and the bytes of all.
pub(super) fn matrices(header: &Header, layer: usize) -> ([Range<usize>; 4], usize) {
    side_by_side(Group::ALL.map(|group| {
        let (rows, cols) = group.shape(&header.config);
        (header.layout(layer, group).bytes)(rows, cols)
    }))
}
