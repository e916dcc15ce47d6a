//! From a checkpoint folder to a [`Model`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::config::{Config, Storage};
use super::error::OracleError;
use super::float_formats::{bf16_to_f32, f16_to_f32};
use super::model::{Layer, LinearName, Model, Parts};
use super::safetensors::{Container, Entry};
use super::weights::{Linear, ScaleRule, quantize_master, unpack};

impl Model {
    /// Loads a folder with `config.json` and either `model.safetensors` or
    /// `model.safetensors.index.json` and the files that it names.
    ///
    /// # Errors
    /// Any [`OracleError`] that says which file, key or tensor is wrong.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OracleError> {
        let folder = folder.as_ref();
        let config = Config::read(&folder.join("config.json"))?;
        let tensors = Tensors::open(folder)?;
        let shape = &config.shape;

        let table = [shape.vocabulary, shape.hidden];
        let embedding = tensors.reals("model.embed_tokens.weight", &table)?;
        let head = if tensors.has("lm_head.weight") || !config.tied {
            Some(tensors.reals("lm_head.weight", &table)?)
        } else {
            None
        };
        let head = match head {
            Some(head) if config.tied => {
                if !head
                    .iter()
                    .map(|v| v.to_bits())
                    .eq(embedding.iter().map(|v| v.to_bits()))
                {
                    return Err(tensors.wrong(
                        "lm_head.weight",
                        "differs from the embedding to which the configuration ties it".into(),
                    ));
                }
                None
            }
            head => head,
        };
        // Not sized in advance: the number of layers is only a claim so far.
        let mut layers = Vec::new();
        for l in 0..shape.layers {
            layers.push(layer(&tensors, &config, l)?);
        }
        let final_norm = tensors.reals("model.norm.weight", &[shape.hidden])?;
        Model::from_parts(Parts {
            shape: config.shape,
            embedding,
            layers,
            final_norm,
            head,
        })
    }
}

fn layer(tensors: &Tensors, config: &Config, l: usize) -> Result<Layer, OracleError> {
    let shape = &config.shape;
    let norm = |name: &str, length: usize| {
        tensors.reals(&format!("model.layers.{l}.{name}.weight"), &[length])
    };
    let linear = |name: LinearName| {
        let prefix = format!("model.layers.{l}.{}.{}", name.block(), name.as_str());
        tensors.linear(&prefix, config.storage, shape.linear(name))
    };
    Ok(Layer {
        input_norm: norm("input_layernorm", shape.hidden)?,
        q: linear(LinearName::Q)?,
        k: linear(LinearName::K)?,
        v: linear(LinearName::V)?,
        attn_sub_norm: norm("self_attn.attn_sub_norm", shape.hidden)?,
        o: linear(LinearName::O)?,
        post_attention_norm: norm("post_attention_layernorm", shape.hidden)?,
        gate: linear(LinearName::Gate)?,
        up: linear(LinearName::Up)?,
        ffn_sub_norm: norm("mlp.ffn_sub_norm", shape.intermediate)?,
        down: linear(LinearName::Down)?,
    })
}

/// The tensors of all files of a checkpoint.
struct Tensors {
    folder: PathBuf,
    files: Vec<Container>,
    /// Index into `files` by tensor name.
    owners: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Tensors {
    fn open(folder: &Path) -> Result<Self, OracleError> {
        let single = folder.join("model.safetensors");
        let index = folder.join("model.safetensors.index.json");
        // Where both exist the single file counts, as it does in transformers.
        if single.exists() || !index.exists() {
            let file = Container::open(&single)?;
            return Ok(Tensors {
                folder: folder.into(),
                owners: file
                    .entries()
                    .keys()
                    .map(|name| (name.clone(), 0))
                    .collect(),
                files: vec![file],
            });
        }
        Self::open_sharded(folder, &index)
    }

    fn open_sharded(folder: &Path, index: &Path) -> Result<Self, OracleError> {
        let text = std::fs::read_to_string(index).map_err(|source| OracleError::Io {
            path: index.into(),
            source,
        })?;
        let Index { weight_map } =
            serde_json::from_str(&text).map_err(|source| OracleError::Json {
                path: index.into(),
                source,
            })?;
        let mut files = Vec::new();
        let mut numbers = BTreeMap::new();
        let mut owners = BTreeMap::new();
        for (tensor, name) in weight_map {
            let wrong = |problem: String| OracleError::Tensor {
                path: index.into(),
                tensor: tensor.clone(),
                problem,
            };
            if Path::new(&name)
                .file_name()
                .is_none_or(|plain| plain != name.as_str())
            {
                return Err(wrong(format!(
                    "is said to be in \"{name}\", expected a file name without folders"
                )));
            }
            let number = match numbers.get(&name) {
                Some(&number) => number,
                None => {
                    files.push(Container::open(&folder.join(&name))?);
                    numbers.insert(name.clone(), files.len() - 1);
                    files.len() - 1
                }
            };
            if !files[number].entries().contains_key(&tensor) {
                return Err(wrong(format!("is not in {name}, where the index puts it")));
            }
            owners.insert(tensor, number);
        }
        Ok(Tensors {
            folder: folder.into(),
            files,
            owners,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.owners.contains_key(name)
    }

    fn find(&self, name: &str) -> Result<(&Container, &Entry), OracleError> {
        let found = self.owners.get(name).map(|&number| &self.files[number]);
        found
            .and_then(|file| Some((file, file.entries().get(name)?)))
            .ok_or_else(|| OracleError::Tensor {
                path: self.folder.clone(),
                tensor: name.into(),
                problem: "missing".into(),
            })
    }

    fn wrong(&self, name: &str, problem: String) -> OracleError {
        let path = self
            .owners
            .get(name)
            .map(|&number| self.files[number].path());
        OracleError::Tensor {
            path: path.unwrap_or(&self.folder).into(),
            tensor: name.into(),
            problem,
        }
    }

    /// A BF16, F16 or F32 tensor of the given shape, widened, all of it finite.
    fn reals(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, OracleError> {
        let (file, entry) = self.find(name)?;
        if entry.shape != shape {
            return Err(self.wrong(name, format!("shape {:?}, expected {shape:?}", entry.shape)));
        }
        let width = match entry.dtype.as_str() {
            "BF16" | "F16" => 2,
            "F32" => 4,
            other => {
                return Err(self.wrong(name, format!("dtype {other}, expected BF16, F16 or F32")));
            }
        };
        let bytes = file.bytes(entry)?;
        let values: Vec<f32> = bytes
            .chunks_exact(width)
            .map(|b| match entry.dtype.as_str() {
                "BF16" => bf16_to_f32(u16::from_le_bytes([b[0], b[1]])),
                "F16" => f16_to_f32(u16::from_le_bytes([b[0], b[1]])),
                _ => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            })
            .collect();
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(at) => Err(self.wrong(
                name,
                format!(
                    "{} at byte {} of the file, expected a finite number",
                    values[at],
                    entry.offset + (at * width) as u64
                ),
            )),
        }
    }

    fn linear(
        &self,
        prefix: &str,
        storage: Storage,
        (rows, cols): (usize, usize),
    ) -> Result<Linear, OracleError> {
        let name = format!("{prefix}.weight");
        let (trits, weight_scale, rule) = match storage {
            Storage::Packed(rule) => (
                self.packed(&name, rows, cols)?,
                self.weight_scale(&format!("{name}_scale"))?,
                rule,
            ),
            Storage::Master => {
                let weights = self.reals(&name, &[rows, cols])?;
                let (trits, scale) = quantize_master(&weights)
                    .map_err(|error| self.wrong(&name, error.to_string()))?;
                (trits, scale, ScaleRule::Multiply)
            }
        };
        Ok(Linear {
            rows,
            cols,
            trits,
            weight_scale,
            rule,
        })
    }

    fn packed(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<i8>, OracleError> {
        let (file, entry) = self.find(name)?;
        if !rows.is_multiple_of(4) {
            return Err(self.wrong(
                name,
                format!("{rows} rows can't be packed, expected a multiple of 4"),
            ));
        }
        let shape = [rows / 4, cols];
        if entry.dtype != "U8" || entry.shape != shape {
            return Err(self.wrong(
                name,
                format!(
                    "{} {:?}, expected packed trits, U8 {shape:?}",
                    entry.dtype, entry.shape
                ),
            ));
        }
        unpack(&file.bytes(entry)?, rows, cols).map_err(|at| {
            self.wrong(
                name,
                format!(
                    "trit code 3 in byte {} of the file, expected codes 0 to 2",
                    entry.offset + at as u64
                ),
            )
        })
    }

    fn weight_scale(&self, name: &str) -> Result<f32, OracleError> {
        let scalar = self.find(name)?.1.shape.is_empty();
        let scale = self.reals(name, if scalar { &[] } else { &[1] })?[0];
        if scale > 0.0 {
            Ok(scale)
        } else {
            Err(self.wrong(name, format!("{scale}, expected a number > 0")))
        }
    }
}
