//! What can be wrong with a checkpoint, and how that is said.

use std::io;
use std::path::{Path, PathBuf};

/// One rule of `config.json`, broken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{key}` is {value}, but {rule}")]
pub struct ConfigError {
    /// The key as `config.json` spells it; keys inside an object are joined by a dot.
    pub key: String,
    /// The value found, as JSON, cut short if it is long; `absent` if there is none.
    pub value: String,
    /// What the value has to be.
    pub rule: String,
}

/// Why a checkpoint was refused. Each message says what is wrong, where, and
/// what would be right. Offsets are bytes from the start of the named file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused an operation.
    #[error("{}: cannot {action}: {source}; expected a file that can be read", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A path leads to something that can't be read as a checkpoint file.
    #[error("{}: {found}; expected {right}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be there.
        right: String,
    },
    /// A JSON file or the header of a safetensors file is malformed.
    #[error("{} at byte {offset}: {found}; expected {right}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where the fault is.
        offset: u64,
        /// What is there.
        found: String,
        /// What should be there.
        right: String,
    },
    /// `config.json` breaks a rule.
    #[error("{}: {error}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, its value, and the rule.
        error: ConfigError,
    },
    /// A tensor that the model needs is nowhere.
    #[error("{}: tensor {tensor} is missing; expected {right}", path.display())]
    Missing {
        /// The safetensors file, or the index of the shards.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What the tensor should be.
        right: String,
    },
    /// A tensor's description or one of its values is wrong.
    #[error("{}: tensor {tensor} at byte {offset}: {found}; expected {right}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The place of the wrong value, or of the tensor's entry in the header.
        offset: u64,
        /// What is there.
        found: String,
        /// What should be there.
        right: String,
    },
    /// There is no memory for a tensor.
    #[error("{}: tensor {tensor}: no memory for {bytes} bytes; expected a machine with more, or a smaller model", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What was asked for.
        bytes: usize,
    },
    /// There is no memory for what is made of tensors.
    #[error(
        "{what}: no memory for {bytes} bytes; expected a machine with more, or a smaller model"
    )]
    NoMemory {
        /// What is made.
        what: String,
        /// What was asked for.
        bytes: usize,
    },
}

impl CheckpointError {
    pub(super) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }

    pub(super) fn file(path: &Path, found: impl Into<String>, right: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            found: found.into(),
            right: right.into(),
        }
    }
}

/// Text from a file that nobody vouches for, made fit for a message: control
/// characters escaped, and cut short.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut out: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            // Quotes stay as they are: they do no harm, and names have none.
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push_str("...");
    }
    out
}
