//! A model in memory: every linear layer packed for the kernel that will run it.

use rayon::prelude::*;

use crate::Error;
use crate::checkpoint::{Checkpoint, CheckpointError, Config, Floats, Linear, Norm, WeightScale};
use crate::float_matrix::FloatMatrix;
use crate::head::QuantizedHead;
use crate::isa::Isa;
use crate::kernels::Kernel;
use crate::matrix::Matrix;
use crate::ops::Rope;
use crate::packing;
use std::sync::Arc;

/// Layers that are loaded at once at most: each holds a matrix at one byte a weight for a moment,
/// which together must stay small beside the model.
const LOADERS: usize = 3;

/// Where weights come from: a checkpoint, or a synthetic shape.
pub trait Source: Sync {
    /// The model's shape and constants.
    fn config(&self) -> &Config;
    /// `[V, H]`.
    ///
    /// # Errors
    /// As the source has them.
    fn embedding(&self) -> Result<Floats, CheckpointError>;
    /// `[V, H]`, or `None` when the embedding serves as head.
    ///
    /// # Errors
    /// As the source has them.
    fn head(&self) -> Result<Option<Floats>, CheckpointError>;
    /// `[H]`.
    ///
    /// # Errors
    /// As the source has them.
    fn final_norm(&self) -> Result<Vec<f32>, CheckpointError>;
    /// `[H]`, or `[I]` for [`Norm::FfnSub`].
    ///
    /// # Errors
    /// As the source has them.
    fn norm(&self, layer: usize, norm: Norm) -> Result<Vec<f32>, CheckpointError>;
    /// Writes the trits of a linear, row-major `[N, K]`, into `trits`, which is that long; its scale.
    ///
    /// # Errors
    /// As the source has them.
    fn read_linear(
        &self,
        layer: usize,
        linear: Linear,
        trits: &mut [i8],
    ) -> Result<WeightScale, CheckpointError>;

    /// The products of a layer in the order of [`Group::ALL`], next to each other in memory and packed
    /// for these kernels; `None` when the source does not have them so.
    ///
    /// # Errors
    /// As the source has them.
    fn packed_layer(
        &self,
        _layer: usize,
        _kernels: [Kernel; 4],
    ) -> Result<Option<[Projection; 4]>, CheckpointError> {
        Ok(None)
    }

    /// What [`QuantizedHead::new`] makes of the head, when the source has it.
    ///
    /// # Errors
    /// As the source has them.
    fn quantized_head(&self) -> Result<Option<QuantizedHead>, CheckpointError> {
        Ok(None)
    }

    /// Trits, row-major `[N, K]`, and the scale.
    ///
    /// # Errors
    /// As the source has them, or no memory.
    fn linear(
        &self,
        layer: usize,
        linear: Linear,
    ) -> Result<(Vec<i8>, WeightScale), CheckpointError> {
        let mut trits = Vec::new();
        let what = || format!("layer {layer}, the trits of {}", linear.name());
        packing::make_room(&mut trits, linear.shape(self.config()), what)?;
        let scale = self.read_linear(layer, linear, &mut trits)?;
        Ok((trits, scale))
    }
}

impl Source for Checkpoint {
    fn config(&self) -> &Config {
        self.config()
    }
    fn embedding(&self) -> Result<Floats, CheckpointError> {
        self.embedding()
    }
    fn head(&self) -> Result<Option<Floats>, CheckpointError> {
        self.head()
    }
    fn final_norm(&self) -> Result<Vec<f32>, CheckpointError> {
        self.final_norm()
    }
    fn norm(&self, layer: usize, norm: Norm) -> Result<Vec<f32>, CheckpointError> {
        self.norm(layer, norm)
    }
    fn read_linear(
        &self,
        layer: usize,
        linear: Linear,
        trits: &mut [i8],
    ) -> Result<WeightScale, CheckpointError> {
        self.read_linear(layer, linear, trits)
    }
}

/// Linears that read the same input and so run as one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Query, key and value projections.
    Qkv,
    /// The output projection of attention.
    O,
    /// Gate and up projections of the feed-forward part.
    GateUp,
    /// Its down projection.
    Down,
}

impl Group {
    /// In the order in which a token meets them.
    pub const ALL: [Group; 4] = [Group::Qkv, Group::O, Group::GateUp, Group::Down];

    /// Rows and columns of its matrix.
    pub fn shape(self, config: &Config) -> (usize, usize) {
        let shapes = self.linears().iter().map(|linear| linear.shape(config));
        shapes.fold((0, 0), |(sum, _), (rows, cols)| (sum + rows, cols))
    }

    /// The linears, in the order of their rows.
    pub fn linears(self) -> &'static [Linear] {
        match self {
            Group::Qkv => &[Linear::Q, Linear::K, Linear::V],
            Group::O => &[Linear::O],
            Group::GateUp => &[Linear::Gate, Linear::Up],
            Group::Down => &[Linear::Down],
        }
    }

    /// The group that holds a linear.
    pub(crate) fn of(linear: Linear) -> Self {
        match linear {
            Linear::Q | Linear::K | Linear::V => Group::Qkv,
            Linear::O => Group::O,
            Linear::Gate | Linear::Up => Group::GateUp,
            Linear::Down => Group::Down,
        }
    }

    /// Stable name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Group::Qkv => "qkv",
            Group::O => "o",
            Group::GateUp => "gate_up",
            Group::Down => "down",
        }
    }
}

/// Where a matrix stands and how large it is, for whoever chooses its kernel.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The layer.
    pub layer: usize,
    /// Which product of the layer.
    pub group: Group,
    /// N, the number of outputs.
    pub rows: usize,
    /// K, the number of inputs.
    pub cols: usize,
}

impl Place {
    /// That of a group's matrix.
    pub fn of(config: &Config, layer: usize, group: Group) -> Self {
        let (rows, cols) = group.shape(config);
        Self {
            layer,
            group,
            rows,
            cols,
        }
    }
}

/// Chooses the kernel of each matrix.
pub trait Dispatch: Sync {
    /// The kernel for the matrix at `place`.
    fn choose(&self, place: &Place) -> Kernel;
}

/// The same kernel everywhere.
impl Dispatch for Kernel {
    fn choose(&self, _place: &Place) -> Kernel {
        *self
    }
}

/// The kernel that is expected to be fastest on this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Best;

impl Dispatch for Best {
    fn choose(&self, _place: &Place) -> Kernel {
        Kernel::best()
    }
}

/// One or several linears on the same input, as one packed matrix.
#[derive(Clone)]
pub struct Projection {
    matrix: Matrix,
    /// Rows and scale of each linear, in the order of the rows.
    parts: Vec<(usize, WeightScale)>,
}

impl Projection {
    /// `parts` are rows and scale of each linear.
    pub(crate) fn new(matrix: Matrix, parts: Vec<(usize, WeightScale)>) -> Self {
        Self { matrix, parts }
    }

    /// The packed matrix.
    pub fn matrix(&self) -> &Matrix {
        &self.matrix
    }

    /// Rows and scale of each linear.
    pub fn parts(&self) -> &[(usize, WeightScale)] {
        &self.parts
    }
}

/// One decoder layer.
pub struct Layer {
    pub(crate) input_norm: Vec<f32>,
    pub(crate) attn_sub_norm: Vec<f32>,
    pub(crate) post_attention_norm: Vec<f32>,
    pub(crate) ffn_sub_norm: Vec<f32>,
    projections: [Projection; 4],
}

impl Clone for Layer {
    fn clone(&self) -> Self {
        let mut projections = self.projections.clone();
        Matrix::gather(matrices(&mut projections));
        Self {
            input_norm: self.input_norm.clone(),
            attn_sub_norm: self.attn_sub_norm.clone(),
            post_attention_norm: self.post_attention_norm.clone(),
            ffn_sub_norm: self.ffn_sub_norm.clone(),
            projections,
        }
    }
}

impl Layer {
    /// The projection of `group`.
    pub fn projection(&self, group: Group) -> &Projection {
        &self.projections[group as usize]
    }

    /// The weights of all, next to each other.
    pub(crate) fn memory(&self) -> &[u8] {
        self.projections[0].matrix.memory()
    }
}

/// Token embedding and output head: `[V, H]` each, shared between models of the same weights.
#[derive(Clone)]
pub struct Vocabulary {
    pub(crate) embedding: FloatMatrix,
    /// `None` when the embedding serves as head.
    pub(crate) head: Option<FloatMatrix>,
    quantized_head: Option<QuantizedHead>,
}

impl Vocabulary {
    /// Reads both from `source`.
    ///
    /// # Errors
    /// As the source has them.
    pub fn load(source: &dyn Source) -> Result<Self, Error> {
        let hidden = source.config().hidden_size;
        let matrix = |values: Floats| FloatMatrix::new(values, hidden);
        Ok(Self {
            embedding: matrix(source.embedding()?),
            head: source.head()?.map(matrix),
            quantized_head: None,
        })
    }

    /// As [`Vocabulary::load`] with [`Vocabulary::with_quantized_head`]; a copy that the source has is
    /// taken.
    ///
    /// # Errors
    /// As the source has them, or no memory.
    pub fn load_quantized(source: &dyn Source) -> Result<Self, Error> {
        let vocabulary = Self::load(source)?;
        let quantized_head = match source.quantized_head()? {
            None => QuantizedHead::try_new(vocabulary.head())
                .map_err(|bytes| no_memory("a quantised head".into(), bytes))?,
            Some(head) => head,
        };
        Ok(Self {
            quantized_head: Some(quantized_head),
            ..vocabulary
        })
    }

    /// Adds a quantised copy of the output head: choosing the likeliest token then reads a fraction
    /// of the bytes, and the choice stays the same. Where there is no memory for it the process ends,
    /// as with `Vec`.
    pub fn with_quantized_head(mut self) -> Self {
        self.quantized_head = Some(QuantizedHead::new(self.head()));
        self
    }

    /// The quantised copy of the output head, where one was added.
    pub fn quantized_head(&self) -> Option<&QuantizedHead> {
        self.quantized_head.as_ref()
    }

    /// Bytes of embedding and head, the quantised copy aside.
    pub fn bytes(&self) -> usize {
        self.embedding.bytes() + self.head.as_ref().map_or(0, FloatMatrix::bytes)
    }

    /// The embedding, `[V, H]`.
    pub(crate) fn embedding(&self) -> &FloatMatrix {
        &self.embedding
    }

    /// The output head where it is not the embedding.
    pub(crate) fn own_head(&self) -> Option<&FloatMatrix> {
        self.head.as_ref()
    }

    /// The weights of the output head, `[V, H]`.
    pub fn head(&self) -> &FloatMatrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

/// A model, ready to run. A clone has its own layers and shares the vocabulary; [`Model::apart`]
/// shares nothing.
#[derive(Clone)]
pub struct Model {
    config: Config,
    pub(crate) vocabulary: Arc<Vocabulary>,
    layers: Vec<Layer>,
    pub(crate) final_norm: Vec<f32>,
    pub(crate) rope: Rope,
}

impl Model {
    /// Reads everything from `source` and packs each matrix for the kernel that `dispatch` chooses.
    ///
    /// # Errors
    /// As the source has them, or no memory.
    pub fn load(source: &dyn Source, dispatch: &dyn Dispatch) -> Result<Self, Error> {
        let vocabulary = Arc::new(Vocabulary::load(source)?);
        Self::with_vocabulary(source, dispatch, vocabulary)
    }

    /// As [`Model::load`], with an embedding and head that are in memory already: several models
    /// of the same weights, packed for different kernels, need only one.
    ///
    /// # Errors
    /// As the source has them, or no memory.
    pub fn with_vocabulary(
        source: &dyn Source,
        dispatch: &dyn Dispatch,
        vocabulary: Arc<Vocabulary>,
    ) -> Result<Self, Error> {
        let config = source.config().clone();
        let layers = (0..config.num_hidden_layers)
            .into_par_iter()
            .with_min_len(config.num_hidden_layers.div_ceil(LOADERS))
            .map_init(Vec::new, |trits, layer| {
                load_layer(source, dispatch, layer, trits)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            vocabulary,
            layers,
            final_norm: source.final_norm()?,
            rope: Rope::new(config.head_dim, config.rope_theta as f32),
            config,
        })
    }

    /// A copy that shares no byte with the original: two models that read the same memory would
    /// warm the caches for each other.
    pub fn apart(&self) -> Self {
        Self {
            vocabulary: Arc::new(Vocabulary::clone(&self.vocabulary)),
            ..self.clone()
        }
    }

    /// Its shape and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Embedding and head.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// The kernel of every linear: `(layer, linear, kernel)`.
    pub fn kernels(&self) -> impl Iterator<Item = (usize, Linear, Kernel)> + '_ {
        self.layers.iter().enumerate().flat_map(|(layer, l)| {
            Group::ALL.into_iter().flat_map(move |group| {
                let kernel = l.projection(group).matrix().kernel();
                group
                    .linears()
                    .iter()
                    .map(move |&linear| (layer, linear, kernel))
            })
        })
    }

    /// Linears that run portable code although this machine could do better.
    pub fn fallbacks(&self) -> usize {
        match Isa::highest() {
            Isa::Portable => 0,
            _ => self
                .kernels()
                .filter(|(_, _, k)| k.spec().isa() == Isa::Portable)
                .count(),
        }
    }

    /// Bytes of all ternary matrices, which decoding one token reads once.
    pub fn ternary_bytes(&self) -> usize {
        let projections = self.layers.iter().flat_map(|l| &l.projections);
        projections.map(|p| p.matrix().bytes()).sum()
    }

    /// Bytes of the output head, which computing logits reads once.
    pub fn head_bytes(&self) -> usize {
        self.vocabulary.head().bytes()
    }
}

pub(crate) fn no_memory(what: String, bytes: usize) -> CheckpointError {
    CheckpointError::NoMemory { what, bytes }
}

/// `trits` is scratch: matrices are large, and memory that was touched before is cheaper.
fn load_layer(
    source: &dyn Source,
    dispatch: &dyn Dispatch,
    layer: usize,
    trits: &mut Vec<i8>,
) -> Result<Layer, Error> {
    let config = source.config();
    let kernels = Group::ALL.map(|group| dispatch.choose(&Place::of(config, layer, group)));
    let projections = match source.packed_layer(layer, kernels)? {
        Some(projections) => projections,
        None => packing::layer(source, kernels, layer, trits)?,
    };
    Ok(Layer {
        input_norm: source.norm(layer, Norm::Input)?,
        attn_sub_norm: source.norm(layer, Norm::AttnSub)?,
        post_attention_norm: source.norm(layer, Norm::PostAttention)?,
        ffn_sub_norm: source.norm(layer, Norm::FfnSub)?,
        projections,
    })
}

/// The matrices of a layer, to be brought next to each other: on large pages, each by itself would
/// waste a part of its last one.
pub(crate) fn matrices(projections: &mut [Projection; 4]) -> [&mut Matrix; 4] {
    projections.each_mut().map(|p| &mut p.matrix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;
    use crate::synthetic;
    use crate::threads::Pool;

    /// The smallest matrix has twice the bytes that a process can address.
    #[test]
    fn matrices_that_fit_no_memory_are_refused() {
        let side = 1 << 24;
        let source = synthetic::model(
            Config {
                vocab_size: 1,
                hidden_size: side,
                intermediate_size: side,
                num_attention_heads: 1,
                num_key_value_heads: 1,
                head_dim: side,
                ..synthetic::shape("tiny").unwrap()
            },
            1,
        );
        let refused = Model::load(&source, &Best).err().unwrap().to_string();
        let says = "qkv: no memory for 844424930131968 bytes; expected";
        assert!(refused.contains(says), "{refused}");
        let refused = source.linear(0, Linear::Q).err().unwrap().to_string();
        let says = "q_proj: no memory for 281474976710656 bytes; expected";
        assert!(refused.contains(says), "{refused}");
    }

    #[test]
    fn a_model_apart_answers_the_same_from_memory_of_its_own() {
        let config = synthetic::shape("tiny").unwrap();
        let model = Model::load(&synthetic::model(config, 1), &Best).unwrap();
        let apart = model.apart();
        let pool = Pool::new(1).unwrap();
        let logits = |model: &Model| {
            let mut session = Session::new(model, &pool, 2).unwrap();
            session.prefill(&[1, 2]).unwrap().to_vec()
        };
        assert_eq!(logits(&model), logits(&apart));
        assert!(!Arc::ptr_eq(model.vocabulary(), apart.vocabulary()));
        assert!(Arc::ptr_eq(model.vocabulary(), model.clone().vocabulary()));
    }
}
