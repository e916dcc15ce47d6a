//! Models as the command line names them: a folder, a GGUF file, a packed file, or the name of a
//! synthetic shape.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use bitgauge_engine::checkpoint::{Checkpoint, Config, Gguf, Origin, Packed};
use bitgauge_engine::model::Source;
use bitgauge_engine::synthetic::{self, Synthetic};
use xxhash_rust::xxh3::Xxh3Default;

/// Seed of synthetic weights, so that every run measures the same ones.
const SEED: u64 = 1;

/// A model that was named on the command line.
pub enum ModelSource {
    /// A checkpoint folder.
    Folder(Box<Checkpoint>, PathBuf),
    /// A GGUF file.
    Gguf(Box<Gguf>, PathBuf),
    /// A file that `bitgauge repack` wrote.
    Packed(Box<Packed>, PathBuf),
    /// A shape with weights made from a seed.
    Synthetic(Synthetic, &'static str),
}

/// A name that is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelSourceError {
    /// Neither a folder, a file nor a shape.
    #[error("`{name}` is neither a folder, a GGUF file, a packed file nor a shape; a folder holds config.json and safetensors, and the shapes are {shapes}", shapes = synthetic::NAMES.join(", "))]
    Unknown {
        /// What was given.
        name: String,
    },
    /// It is there, and the system does not open it.
    #[error("`{name}` {}: {source}", if Path::new(name).is_symlink() { "is a symbolic link that can't be followed" } else { "can't be opened" })]
    Unreachable {
        /// What was given.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A folder or file that was refused.
    #[error(transparent)]
    Checkpoint(#[from] bitgauge_engine::checkpoint::CheckpointError),
}

impl ModelSource {
    /// Opens the folder or file `name`, or takes the shape of that name.
    ///
    /// # Errors
    /// When it is none of these, or what is there can't be read.
    pub fn open(name: &str) -> Result<Self, ModelSourceError> {
        let known = synthetic::NAMES.into_iter().find(|n| *n == name);
        if let Some((name, config)) = known.and_then(|n| Some((n, synthetic::shape(n)?))) {
            return Ok(Self::Synthetic(synthetic::model(config, SEED), name));
        }
        let path = Path::new(name);
        let nothing = [ErrorKind::NotFound, ErrorKind::NotADirectory];
        let found = path.metadata().map_err(|source| {
            let name = name.to_owned();
            match nothing.contains(&source.kind()) && !path.is_symlink() {
                true => ModelSourceError::Unknown { name },
                false => ModelSourceError::Unreachable { name, source },
            }
        })?;
        if found.is_dir() {
            let checkpoint = Box::new(Checkpoint::open(path)?);
            return Ok(Self::Folder(checkpoint, path.to_owned()));
        }
        if Packed::is_at(path) {
            let packed = Box::new(Packed::open(path)?);
            return Ok(Self::Packed(packed, path.to_owned()));
        }
        Ok(Self::Gguf(Box::new(Gguf::open(path)?), path.to_owned()))
    }

    /// The weights.
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Folder(checkpoint, _) => &**checkpoint,
            Self::Gguf(gguf, _) => &**gguf,
            Self::Packed(packed, _) => &**packed,
            Self::Synthetic(synthetic, _) => synthetic,
        }
    }

    /// The shape's name, or the folder's or file's.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(_, path) | Self::Gguf(_, path) | Self::Packed(_, path) => {
                path.file_name().map_or_else(
                    || path.display().to_string(),
                    |n| n.to_string_lossy().into_owned(),
                )
            }
            Self::Synthetic(_, name) => (*name).to_owned(),
        }
    }

    /// The files that hold the weights, and the folder's `config.json` in front of them; none for a
    /// shape.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Folder(checkpoint, folder) => ["config.json"]
                .into_iter()
                .chain(checkpoint.files().map(|(name, _)| name))
                .map(|name| folder.join(name))
                .collect(),
            Self::Gguf(_, path) | Self::Packed(_, path) => vec![path.clone()],
            Self::Synthetic(..) => Vec::new(),
        }
    }

    /// What a packed model of this one is made from: the name, and an XXH3 of the content of all
    /// files. A packed file hands on its own.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn origin(&self) -> io::Result<Origin> {
        if let Self::Packed(packed, _) = self {
            return Ok(packed.origin().clone());
        }
        let mut digest = Xxh3Default::new();
        if let Self::Synthetic(_, name) = self {
            digest.update(format!("{name} of seed {SEED}").as_bytes());
        }
        let mut piece = vec![0; 1 << 20];
        for path in self.files() {
            let mut file = File::open(path)?;
            digest.update(&file.metadata()?.len().to_le_bytes());
            loop {
                match file.read(&mut piece)? {
                    0 => break,
                    read => digest.update(&piece[..read]),
                }
            }
        }
        Ok(Origin {
            name: self.name(),
            digest: format!("{:032x}", digest.digest128()),
        })
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
