//! Hugging Face `BitNetForCausalLM` folders: `config.json` with one
//! `model.safetensors`, or several shards with `model.safetensors.index.json`.
//!
//! [`Checkpoint::open`] maps the files and checks everything that can be known
//! without touching the data: every key of the configuration, every header,
//! and that each tensor that the model needs is there with its shape and
//! dtype. The values themselves are checked by the method that reads them, so
//! that reading all tensors is a complete check.
//!
//! A malformed folder is refused with the file, the tensor, the byte offset
//! and what would be right; it costs neither much time nor much memory.

mod config;
mod error;
mod file;
mod gguf;
mod header;
mod index;
mod json;
mod names;
mod packed;
mod values;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use memmap2::Mmap;
pub use safetensors::Dtype;
use serde::{Deserialize, Serialize};

pub use self::config::{Config, LinearClass, QuantizationMode};
pub use self::error::{CheckpointError, ConfigError};
pub use self::gguf::Gguf;
pub use self::names::{Linear, Norm};
pub use self::packed::{Origin, Packed, WriteError};
pub use self::values::{Floats, InvalidAt, quantize_weights, unpack_trits};

use crate::buffer::Buffer;
use crate::model::Source;

use self::error::shown;
use self::header::Entry;
use self::index::Index;
use self::names::{EMBEDDING, FINAL_NORM, HEAD};
use self::values::quantize_weights_into;

type Result<T> = std::result::Result<T, CheckpointError>;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// How the scale of a ternary linear enters its output, with `a` the integer
/// dot product and `s` the scale of the activations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum WeightScale {
    /// `y = a / s * scale`
    Multiply(f32),
    /// `y = a / (s * scale)`
    Divide(f32),
}

/// One tensor as its header describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, slowest first.
    pub shape: &'a [usize],
    /// The name of its file.
    pub file: &'a str,
    /// Its bytes in that file.
    pub bytes: Range<u64>,
}

/// A checked, memory-mapped checkpoint. The files must not be modified in
/// place while it lives.
pub struct Checkpoint {
    config: Config,
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Located>,
    extra: Vec<String>,
    /// What a missing tensor is missing from.
    listing: PathBuf,
}

struct MappedFile {
    name: String,
    path: PathBuf,
    map: Mmap,
}

struct Located {
    file: usize,
    entry: Entry,
}

/// What the model needs a tensor to be.
enum Role {
    /// Real numbers of this shape.
    Real(Vec<usize>),
    /// One real number.
    Scalar,
    /// Packed trits: this shape, in bytes.
    Packed(Vec<usize>),
}

impl Checkpoint {
    /// Opens a folder and checks configuration, headers, names, shapes and
    /// dtypes. `model.safetensors` is taken before an index of shards.
    ///
    /// # Errors
    /// The first thing that is wrong, see [`CheckpointError`].
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            let right = "a folder with config.json and model.safetensors";
            return Err(CheckpointError::file(dir, "no such folder", right));
        }
        let config_path = dir.join("config.json");
        let config = Config::parse(&file::read_text(&config_path)?, &config_path)?;
        let mut checkpoint = Self {
            config,
            files: Vec::new(),
            tensors: BTreeMap::new(),
            extra: Vec::new(),
            listing: dir.join(SINGLE),
        };
        // A link that leads nowhere counts as there, and fails with its name.
        if checkpoint.listing.symlink_metadata().is_ok() {
            checkpoint.add_file(dir, SINGLE)?;
        } else {
            checkpoint.listing = dir.join(INDEX);
            if checkpoint.listing.symlink_metadata().is_err() {
                let found = format!("holds neither {SINGLE} nor {INDEX}");
                return Err(CheckpointError::file(dir, found, "one of them"));
            }
            checkpoint.add_shards(dir)?;
        }
        checkpoint.check_tensors()?;
        Ok(checkpoint)
    }

    /// The configuration, all rules checked.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The embedding, `[V, H]`.
    ///
    /// # Errors
    /// A value that is not finite, or no memory.
    pub fn embedding(&self) -> Result<Floats> {
        self.floats(EMBEDDING)
    }

    /// The head, `[V, H]`; `None` if the embedding serves as the head.
    ///
    /// # Errors
    /// A value that is not finite, or no memory; a tied model with a head of
    /// its own that differs from the embedding.
    pub fn head(&self) -> Result<Option<Floats>> {
        if !self.tensors.contains_key(HEAD) {
            return Ok(None);
        }
        let head = self.floats(HEAD)?;
        if !self.config.tie_word_embeddings {
            return Ok(Some(head));
        }
        let embedding = self.embedding()?;
        let differs = |i: &usize| head.get(*i).to_bits() != embedding.get(*i).to_bits();
        let Some(i) = (0..head.len()).find(differs) else {
            return Ok(None);
        };
        let found = format!(
            "{} at {}, where the embedding has {}",
            head.get(i),
            place(i, self.config.hidden_size),
            embedding.get(i)
        );
        let right = "the embedding, bit for bit, or no tensor: tie_word_embeddings is true";
        Err(self.bad_value(HEAD, i, found, right))
    }

    /// The weight of the norm in front of the head, `[H]`.
    ///
    /// # Errors
    /// A value that is not finite.
    pub fn final_norm(&self) -> Result<Vec<f32>> {
        self.floats(FINAL_NORM).map(Floats::into_f32)
    }

    /// The weight of a norm, `[norm.len(config)]`.
    ///
    /// # Errors
    /// A value that is not finite.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn norm(&self, layer: usize, norm: Norm) -> Result<Vec<f32>> {
        self.check_layer(layer);
        self.floats(&norm.tensor(layer)).map(Floats::into_f32)
    }

    /// The trits of a linear, row-major `[N, K]` and each in -1..=1, with its
    /// scale. Unpacked from an offline checkpoint, quantised from an online one.
    ///
    /// # Errors
    /// A code that is no trit, a scale that is not finite and positive, a
    /// master weight that is not finite, or no memory.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn linear(&self, layer: usize, linear: Linear) -> Result<(Vec<i8>, WeightScale)> {
        Source::linear(self, layer, linear)
    }

    /// As [`Checkpoint::linear`], into `trits`, which has room for `N * K`.
    ///
    /// # Errors
    /// As [`Checkpoint::linear`].
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn read_linear(
        &self,
        layer: usize,
        linear: Linear,
        trits: &mut [i8],
    ) -> Result<WeightScale> {
        self.check_layer(layer);
        let name = linear.tensor(layer);
        if self.config.quantization_mode == QuantizationMode::Online {
            let scale = quantize_weights_into(&self.floats(&name)?, trits);
            return Ok(WeightScale::Multiply(scale));
        }
        let scale = self.scale(&linear.scale_tensor(layer))?;
        let scale = match self.config.linear_class {
            LinearClass::AutoBitLinear => WeightScale::Multiply(scale),
            LinearClass::BitLinear => WeightScale::Divide(scale),
        };
        self.trits(&name, linear.shape(&self.config).1, trits)?;
        Ok(scale)
    }

    /// Names of the tensors that the model has no use for.
    pub fn extra_tensors(&self) -> &[String] {
        &self.extra
    }

    /// Names and sizes in bytes of the safetensors files.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files
            .iter()
            .map(|file| (file.name.as_str(), file.map.len() as u64))
    }

    /// All tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo<'_>> {
        self.tensors.iter().map(|(name, located)| TensorInfo {
            name,
            dtype: located.entry.dtype,
            shape: &located.entry.shape,
            file: &self.files[located.file].name,
            bytes: located.entry.bytes.start as u64..located.entry.bytes.end as u64,
        })
    }
}

/// Opening: which tensors there are, and whether they are the right ones.
impl Checkpoint {
    /// Maps a file and adds its tensors, none of which may be known already.
    fn add_file(&mut self, dir: &Path, name: &str) -> Result<()> {
        let path = dir.join(name);
        let content = "a header length, a header and data";
        let map = file::map(&path, header::PREFIX as u64, content)?;
        let file = self.files.len();
        for (tensor, entry) in header::read(&map, &path)? {
            if let Some(first) = self.tensors.get(&tensor) {
                let found = format!("also in {}", self.files[first.file].name);
                return Err(CheckpointError::Tensor {
                    path,
                    tensor: shown(&tensor),
                    offset: entry.described_at,
                    found,
                    right: "each tensor in one shard".into(),
                });
            }
            self.tensors.insert(tensor, Located { file, entry });
        }
        self.files.push(MappedFile {
            name: name.to_owned(),
            path,
            map,
        });
        Ok(())
    }

    fn add_shards(&mut self, dir: &Path) -> Result<()> {
        let index = Index::read(&self.listing)?;
        for shard in index.shards() {
            if dir.join(shard).symlink_metadata().is_err() {
                let found = format!("weight_map names the shard {}", shown(shard));
                let right = "shards that are in the folder: this one is not";
                return Err(CheckpointError::file(&self.listing, found, right));
            }
            self.add_file(dir, shard)?;
        }
        for (tensor, shard) in &index.shard_of {
            let located = self.tensors.get(tensor);
            let holder = located.map(|located| &self.files[located.file].name);
            if holder != Some(shard) {
                let found = format!("weight_map says that {} holds it", shown(shard));
                let right = match holder {
                    Some(holder) => format!("{}, which does", shown(holder)),
                    None => "a shard that does; none of them holds it".into(),
                };
                return Err(self.wrong_listing(tensor, found, right));
            }
        }
        // Readers differ on whether a tensor exists that the index leaves out.
        match self
            .tensors
            .keys()
            .find(|name| !index.shard_of.contains_key(*name))
        {
            None => Ok(()),
            Some(tensor) => {
                let holder = &self.files[self.tensors[tensor].file].name;
                let found = format!("{} holds it, and weight_map leaves it out", shown(holder));
                Err(self.wrong_listing(tensor, found, "every tensor in weight_map".into()))
            }
        }
    }

    fn wrong_listing(&self, tensor: &str, found: String, right: String) -> CheckpointError {
        let found = format!("tensor {}: {found}", shown(tensor));
        CheckpointError::file(&self.listing, found, right)
    }

    /// Stops at the first tensor that is missing or wrong, so that its cost is
    /// bound by what is there, not by the number of layers in the config.
    fn check_tensors(&mut self) -> Result<()> {
        let config = &self.config;
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let mut needed = HashSet::new();
        let mut need = |name: String, role: Role| -> Result<()> {
            self.check_tensor(&name, &role)?;
            needed.insert(name);
            Ok(())
        };
        need(EMBEDDING.into(), Role::Real(vec![vocab, hidden]))?;
        need(FINAL_NORM.into(), Role::Real(vec![hidden]))?;
        if !config.tie_word_embeddings || self.tensors.contains_key(HEAD) {
            need(HEAD.into(), Role::Real(vec![vocab, hidden]))?;
        }
        for layer in 0..config.num_hidden_layers {
            for norm in Norm::ALL {
                need(norm.tensor(layer), Role::Real(vec![norm.len(config)]))?;
            }
            for (linear, (n, k)) in config.linears() {
                match config.quantization_mode {
                    QuantizationMode::Online => {
                        need(linear.tensor(layer), Role::Real(vec![n, k]))?;
                    }
                    QuantizationMode::Offline => {
                        need(linear.tensor(layer), Role::Packed(vec![n / 4, k]))?;
                        need(linear.scale_tensor(layer), Role::Scalar)?;
                    }
                }
            }
        }
        let extra = self.tensors.keys().filter(|name| !needed.contains(*name));
        self.extra = extra.cloned().collect();
        Ok(())
    }

    fn check_tensor(&self, name: &str, role: &Role) -> Result<()> {
        let right = || match role {
            Role::Real(shape) => format!("shape {shape:?} of BF16, F16 or F32"),
            Role::Scalar => "shape [1] or [] of BF16, F16 or F32".into(),
            Role::Packed(shape) => format!("shape {shape:?} of U8, four packed trits a byte"),
        };
        let Some(Located { file, entry }) = self.tensors.get(name) else {
            return Err(CheckpointError::Missing {
                path: self.listing.clone(),
                tensor: name.into(),
                right: format!("{}, as config.json asks for", right()),
            });
        };
        let real = matches!(entry.dtype, Dtype::BF16 | Dtype::F16 | Dtype::F32);
        let fits = match role {
            Role::Real(shape) => real && entry.shape == *shape,
            Role::Scalar => real && matches!(entry.shape[..], [] | [1]),
            Role::Packed(shape) => entry.dtype == Dtype::U8 && entry.shape == *shape,
        };
        if fits {
            return Ok(());
        }
        let shape = shown(&format!("{:?}", entry.shape));
        Err(CheckpointError::Tensor {
            path: self.files[*file].path.clone(),
            tensor: name.into(),
            offset: entry.described_at,
            found: format!("shape {shape} of {}", entry.dtype),
            right: format!("{}, as config.json asks for", right()),
        })
    }
}

/// Reading tensors that `open` has found to be there.
impl Checkpoint {
    fn check_layer(&self, layer: usize) {
        let layers = self.config.num_hidden_layers;
        assert!(layer < layers, "layer {layer} of a model with {layers}");
    }

    fn floats(&self, name: &str) -> Result<Floats> {
        let (entry, _) = self.bytes(name);
        let len = entry.shape.iter().product();
        let (floats, outcome) = match entry.dtype {
            Dtype::BF16 => {
                let mut bits = self.room(name, len)?;
                let outcome = self.pieces(name, &mut bits, values::decode_bf16);
                (Floats::Bf16(bits), outcome)
            }
            dtype => {
                let mut floats = self.room(name, len)?;
                let outcome = match dtype {
                    Dtype::F16 => self.pieces(name, &mut floats, values::decode_f16),
                    _ => self.pieces(name, &mut floats, values::decode_f32),
                };
                (Floats::F32(floats), outcome)
            }
        };
        let Err(InvalidAt(i)) = outcome else {
            return Ok(floats);
        };
        let columns = entry.shape.last().copied().unwrap_or(1);
        let found = format!("{} at {}", floats.get(i), place(i, columns));
        Err(self.bad_value(name, i, found, "finite values"))
    }

    /// Decodes a tensor on all threads.
    fn pieces<T: Send>(
        &self,
        name: &str,
        out: &mut [T],
        decode: fn(&mut [T], &[u8]) -> std::result::Result<(), InvalidAt>,
    ) -> std::result::Result<(), InvalidAt> {
        let Located { file, entry } = &self.tensors[name];
        let block = (1, entry.dtype.bitsize() / 8);
        let map = &self.files[*file].map;
        file::decode(map, entry.bytes.start, block, out, |first, out, bytes| {
            decode(out, bytes).map_err(|InvalidAt(at)| InvalidAt(first + at))
        })
    }

    fn scale(&self, name: &str) -> Result<f32> {
        let scale = self.floats(name)?.get(0);
        if scale > 0.0 {
            return Ok(scale);
        }
        Err(self.bad_value(
            name,
            0,
            format!("the scale {scale}"),
            "a finite scale above 0",
        ))
    }

    fn trits(&self, name: &str, columns: usize, trits: &mut [i8]) -> Result<()> {
        let Located { file, entry } = &self.tensors[name];
        file::expect(&self.files[*file].map, entry.bytes.clone());
        let (_, packed) = self.bytes(name);
        let outcome = values::decode_trits(trits, packed);
        self.release(name);
        outcome.map_err(|InvalidAt(i)| CheckpointError::Tensor {
            path: self.path_of(name).to_owned(),
            tensor: name.into(),
            offset: (entry.bytes.start + i % packed.len()) as u64,
            found: format!("code 3 at {}", place(i, columns)),
            right: "code 0, 1 or 2 for the trits -1, 0 and 1".into(),
        })
    }

    /// Lets go of the pages of a tensor that was read: the file would otherwise stand in memory
    /// beside what was made of it.
    fn release(&self, name: &str) {
        let Located { file, entry } = &self.tensors[name];
        file::release(&self.files[*file].map, entry.bytes.clone());
    }

    fn bytes(&self, name: &str) -> (&Entry, &[u8]) {
        let Located { file, entry } = &self.tensors[name];
        (entry, &self.files[*file].map[entry.bytes.clone()])
    }

    fn path_of(&self, name: &str) -> &Path {
        &self.files[self.tensors[name].file].path
    }

    fn room<T: Pod>(&self, name: &str, len: usize) -> Result<Buffer<T>> {
        Buffer::try_zeroed(len).ok_or_else(|| CheckpointError::Memory {
            path: self.path_of(name).to_owned(),
            tensor: name.into(),
            bytes: len.saturating_mul(size_of::<T>()),
        })
    }

    /// An error at value `i` of a tensor of real numbers.
    fn bad_value(&self, name: &str, i: usize, found: String, right: &str) -> CheckpointError {
        let (entry, _) = self.bytes(name);
        CheckpointError::Tensor {
            path: self.path_of(name).to_owned(),
            tensor: name.into(),
            offset: (entry.bytes.start + i * entry.dtype.bitsize() / 8) as u64,
            found,
            right: right.into(),
        }
    }
}

/// Value `i` of a row-major matrix, in words.
fn place(i: usize, columns: usize) -> String {
    format!("row {}, column {}", i / columns, i % columns)
}
