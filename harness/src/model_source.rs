//! Models as the command line names them: a folder, a GGUF file, or the name of a
//! synthetic shape.

use std::path::{Path, PathBuf};

use bitgauge_engine::checkpoint::{Checkpoint, Config, Gguf};
use bitgauge_engine::model::Source;
use bitgauge_engine::synthetic::{self, Synthetic};

/// Seed of synthetic weights, so that every run measures the same ones.
const SEED: u64 = 1;

/// A model that was named on the command line.
pub enum ModelSource {
    /// A checkpoint folder.
    Folder(Box<Checkpoint>, PathBuf),
    /// A GGUF file.
    Gguf(Box<Gguf>, PathBuf),
    /// A shape with weights made from a seed.
    Synthetic(Synthetic, &'static str),
}

/// A name that is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelSourceError {
    /// Neither a folder, a file nor a shape.
    #[error("`{name}` is neither a folder, a GGUF file nor a shape; a folder holds config.json and safetensors, and the shapes are {shapes}", shapes = synthetic::NAMES.join(", "))]
    Unknown {
        /// What was given.
        name: String,
    },
    /// A folder or file that was refused.
    #[error(transparent)]
    Checkpoint(#[from] bitgauge_engine::checkpoint::CheckpointError),
}

impl ModelSource {
    /// Opens the folder or GGUF file `name`, or takes the shape of that name.
    ///
    /// # Errors
    /// When it is none of these, or what is there can't be read.
    pub fn open(name: &str) -> Result<Self, ModelSourceError> {
        let known = synthetic::NAMES.into_iter().find(|n| *n == name);
        if let Some((name, config)) = known.and_then(|n| Some((n, synthetic::shape(n)?))) {
            return Ok(Self::Synthetic(synthetic::model(config, SEED), name));
        }
        let path = Path::new(name);
        if !path.exists() {
            return Err(ModelSourceError::Unknown {
                name: name.to_owned(),
            });
        }
        if path.is_dir() {
            let checkpoint = Box::new(Checkpoint::open(path)?);
            return Ok(Self::Folder(checkpoint, path.to_owned()));
        }
        Ok(Self::Gguf(Box::new(Gguf::open(path)?), path.to_owned()))
    }

    /// The weights.
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Folder(checkpoint, _) => &**checkpoint,
            Self::Gguf(gguf, _) => &**gguf,
            Self::Synthetic(synthetic, _) => synthetic,
        }
    }

    /// The shape's name, or the folder's or file's.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(_, path) | Self::Gguf(_, path) => path.file_name().map_or_else(
                || path.display().to_string(),
                |n| n.to_string_lossy().into_owned(),
            ),
            Self::Synthetic(_, name) => (*name).to_owned(),
        }
    }
}

/// Layers and vocabulary of the short form, as parts of the whole.
const PART: usize = 10;

/// A tenth of a shape: its layers, and its vocabulary, so that the head keeps its share.
pub fn tenth(config: &Config) -> Config {
    Config {
        num_hidden_layers: (config.num_hidden_layers / PART).max(1),
        vocab_size: config.vocab_size / PART,
        ..config.clone()
    }
}
