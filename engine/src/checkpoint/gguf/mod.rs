//! GGUF files of BitNet models, as bitnet.cpp, llama.cpp and ik_llama.cpp write them.
//!
//! [`Gguf::open`] maps the file and checks everything that can be known without touching the data,
//! as [`super::Checkpoint::open`] does; the values are checked by what reads them. Tensors that the
//! decoder does not read (biases, frequency factors, an output matrix beside the embedding) make
//! another model of it, so that a file with one is refused.
//!
//! What a file does not say, and what is taken from the sources of its writers:
//!
//! - Rows of `attn_q` and `attn_k` are in the order of the Hugging Face model: the graphs of all
//!   three architectures rotate pairs half a head apart, and the converters for `bitnet` permute
//!   nothing. A converter that permutes for another architecture leaves no trace that could be
//!   checked.
//! - `attn_sub_norm` stands in front of `attn_output`, `ffn_sub_norm` in front of `ffn_down`.
//! - The embedding serves as head: the graphs read no other, `output.weight` or not.
//! - `I2_S` is in the order of x86-64, see `ternary.rs`.

mod floats;
mod header;
mod kind;
mod metadata;
mod reader;
mod rows;
mod ternary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use memmap2::Mmap;

use self::header::Entry;
use self::kind::Kind;
use super::config::Config;
use super::error::{CheckpointError, shown};
use super::names::{Linear, Norm};
use super::values::Floats;
use super::{WeightScale, file};
use crate::buffer::Buffer;
use crate::model::Source;

type Result<T> = std::result::Result<T, CheckpointError>;

const EMBEDDING: &str = "token_embd.weight";
const FINAL_NORM: &str = "output_norm.weight";

/// A checked, memory-mapped GGUF file. It must not be modified in place while it lives.
pub struct Gguf {
    config: Config,
    path: PathBuf,
    map: Mmap,
    tensors: BTreeMap<String, Entry>,
}

/// What is wrong within the data of a tensor.
struct Fault {
    /// From the tensor's first byte.
    offset: usize,
    found: String,
    right: &'static str,
}

/// What the model needs a tensor to be.
#[derive(Clone, Copy)]
enum Role {
    Embedding,
    Norm,
    Linear,
}

impl Role {
    fn takes(self, kind: Kind) -> bool {
        match kind {
            Kind::F32 | Kind::F16 | Kind::Bf16 => true,
            Kind::Q8_0 | Kind::Q6K => matches!(self, Role::Embedding),
            Kind::Tq1_0 | Kind::Tq2_0 | Kind::I2S | Kind::Iq1Bn | Kind::Iq2Bn | Kind::Iq2BnR4 => {
                matches!(self, Role::Linear)
            }
        }
    }

    fn kinds(self) -> &'static str {
        match self {
            Role::Embedding => "F32, F16, BF16, Q8_0 or Q6_K",
            Role::Norm => "F32, F16 or BF16",
            Role::Linear => "I2_S, TQ1_0, TQ2_0, IQ1_BN, IQ2_BN, IQ2_BN_R4, F32, F16 or BF16",
        }
    }
}

impl Gguf {
    /// Opens a file and checks metadata, names, dimensions, types and places.
    ///
    /// # Errors
    /// The first thing that is wrong, see [`CheckpointError`]. Rules between the numbers are told
    /// by the names of [`Config`]'s fields.
    pub fn open(path: &Path) -> Result<Self> {
        let map = file::map(path, 24, "the header of a GGUF file")?;
        let (metadata, tensors) = header::read(&map, path)?;
        let vocabulary = tensors.get(EMBEDDING).and_then(|e| e.dimensions.get(1));
        let config = metadata.config(vocabulary.copied().unwrap_or(0))?;
        let opened = Self {
            config,
            path: path.to_owned(),
            map,
            tensors,
        };
        opened.check_tensors()?;
        Ok(opened)
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// Stops at the first tensor that is missing or wrong, so that its cost is bound by what is
    /// there, not by the number of layers that the metadata claim.
    fn check_tensors(&self) -> Result<()> {
        let config = &self.config;
        let hidden = config.hidden_size;
        let mut needed = BTreeSet::new();
        let mut need = |name: String, role: Role, dimensions: &[usize]| -> Result<()> {
            self.check_tensor(&name, role, dimensions)?;
            needed.insert(name);
            Ok(())
        };
        // In front of the rules between the numbers: one of them is taken from this tensor.
        need(
            EMBEDDING.into(),
            Role::Embedding,
            &[hidden, config.vocab_size],
        )?;
        config.check().map_err(|error| CheckpointError::Config {
            path: self.path.clone(),
            error,
        })?;
        need(FINAL_NORM.into(), Role::Norm, &[hidden])?;
        for layer in 0..config.num_hidden_layers {
            for norm in Norm::ALL {
                need(norm_tensor(layer, norm), Role::Norm, &[norm.len(config)])?;
            }
            for (linear, (n, k)) in config.linears() {
                need(linear_tensor(layer, linear), Role::Linear, &[k, n])?;
            }
        }
        let extra = self
            .tensors
            .iter()
            .find(|(name, _)| !needed.contains(*name));
        match extra {
            None => Ok(()),
            Some((name, entry)) => Err(CheckpointError::Tensor {
                path: self.path.clone(),
                tensor: shown(name),
                offset: entry.described_at,
                found: "a tensor that no part of the decoder reads".into(),
                right: "only the tensors of a BitNet model with norms in front of attn_output and \
                        ffn_down, without biases, whose embedding is the head"
                    .into(),
            }),
        }
    }

    fn check_tensor(&self, name: &str, role: Role, dimensions: &[usize]) -> Result<()> {
        let right = || {
            let kinds = role.kinds();
            format!("dimensions {dimensions:?} of {kinds}, as the metadata ask for")
        };
        let Some(entry) = self.tensors.get(name) else {
            return Err(CheckpointError::Missing {
                path: self.path.clone(),
                tensor: name.into(),
                right: right(),
            });
        };
        if entry.dimensions == dimensions && role.takes(entry.kind) {
            return Ok(());
        }
        Err(CheckpointError::Tensor {
            path: self.path.clone(),
            tensor: name.into(),
            offset: entry.described_at,
            found: format!("dimensions {:?} of {}", entry.dimensions, entry.kind),
            right: right(),
        })
    }

    fn check_layer(&self, layer: usize) {
        let layers = self.config.num_hidden_layers;
        assert!(layer < layers, "layer {layer} of a model with {layers}");
    }

    fn floats(&self, name: &str) -> Result<Floats> {
        let Entry {
            kind,
            dimensions,
            bytes,
            ..
        } = &self.tensors[name];
        let (map, start, block) = (&self.map, bytes.start, kind.block());
        let count = dimensions.iter().product();
        let floats = if *kind == Kind::Bf16 {
            let mut out = self.room(name, count)?;
            file::decode(map, start, block, &mut out, floats::halves).map(|()| Floats::Bf16(out))
        } else {
            let mut out = self.room(name, count)?;
            let decode =
                |first, out: &mut [f32], bytes: &[u8]| floats::floats(*kind, first, out, bytes);
            file::decode(map, start, block, &mut out, decode).map(|()| Floats::F32(out))
        };
        floats.map_err(|fault| self.refuse(name, fault))
    }

    fn room<T: Pod>(&self, name: &str, len: usize) -> Result<Buffer<T>> {
        Buffer::try_zeroed(len).ok_or_else(|| CheckpointError::Memory {
            path: self.path.clone(),
            tensor: name.into(),
            bytes: len.saturating_mul(size_of::<T>()),
        })
    }

    fn refuse(&self, name: &str, fault: Fault) -> CheckpointError {
        CheckpointError::Tensor {
            path: self.path.clone(),
            tensor: name.into(),
            offset: (self.tensors[name].bytes.start + fault.offset) as u64,
            found: fault.found,
            right: fault.right.into(),
        }
    }
}

impl Source for Gguf {
    fn config(&self) -> &Config {
        &self.config
    }

    fn embedding(&self) -> Result<Floats> {
        self.floats(EMBEDDING)
    }

    fn head(&self) -> Result<Option<Floats>> {
        Ok(None)
    }

    fn final_norm(&self) -> Result<Vec<f32>> {
        self.floats(FINAL_NORM).map(Floats::into_f32)
    }

    fn norm(&self, layer: usize, norm: Norm) -> Result<Vec<f32>> {
        self.check_layer(layer);
        self.floats(&norm_tensor(layer, norm)).map(Floats::into_f32)
    }

    fn read_linear(&self, layer: usize, linear: Linear, trits: &mut [i8]) -> Result<WeightScale> {
        self.check_layer(layer);
        let name = linear_tensor(layer, linear);
        let entry = &self.tensors[&name];
        let scale = match entry.kind {
            kind @ (Kind::F32 | Kind::F16 | Kind::Bf16) => {
                ternary::of_floats(&self.floats(&name)?, kind.block().1, trits)
            }
            kind => {
                let (_, cols) = linear.shape(&self.config);
                file::expect(&self.map, entry.bytes.clone());
                let scale = ternary::unpack(kind, &self.map[entry.bytes.clone()], cols, trits);
                file::release(&self.map, entry.bytes.clone());
                scale
            }
        };
        let scale = scale.map_err(|fault| self.refuse(&name, fault))?;
        Ok(WeightScale::Multiply(scale))
    }
}

fn norm_tensor(layer: usize, norm: Norm) -> String {
    let name = match norm {
        Norm::Input => "attn_norm",
        Norm::PostAttention => "ffn_norm",
        Norm::AttnSub => "attn_sub_norm",
        Norm::FfnSub => "ffn_sub_norm",
    };
    format!("blk.{layer}.{name}.weight")
}

fn linear_tensor(layer: usize, linear: Linear) -> String {
    let name = match linear {
        Linear::Q => "attn_q",
        Linear::K => "attn_k",
        Linear::V => "attn_v",
        Linear::O => "attn_output",
        Linear::Gate => "ffn_gate",
        Linear::Up => "ffn_up",
        Linear::Down => "ffn_down",
    };
    format!("blk.{layer}.{name}.weight")
}
