use std::path::PathBuf;

/// Why the oracle could not load a model or run it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OracleError {
    /// A file could not be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the checkpoint is not JSON.
    #[error("{}:{}:{}: not valid JSON: {source}", path.display(), source.line(), source.column())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        source: serde_json::Error,
    },
    /// A key of `config.json` breaks its rule.
    #[error("{}: `{key}` is {found}, expected {expected}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, dotted where it is nested.
        key: String,
        /// The value found, or "absent".
        found: String,
        /// The values that would be right.
        expected: String,
    },
    /// A safetensors file or its index is malformed as a whole.
    #[error("{} at byte {offset}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Byte offset from the start of the file.
        offset: u64,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// One tensor is missing, misshapen or holds a forbidden value.
    #[error("{}: tensor `{tensor}`: {problem}", path.display())]
    Tensor {
        /// The file, or the folder where no file has the tensor.
        path: PathBuf,
        /// The tensor's full name.
        tensor: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Parts given by a program do not make a model.
    #[error("model parts: `{part}`: {problem}")]
    Parts {
        /// The part, named as a checkpoint names its tensor.
        part: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A value that has to be finite is not.
    #[error("{place}: element {index} is {value}, expected a finite number")]
    NotFinite {
        /// The operation, with the layer where there is one.
        place: String,
        /// Index into the operation's input.
        index: usize,
        /// NaN or an infinity.
        value: f64,
    },
    /// A prompt without tokens.
    #[error("the prompt is empty, expected at least one token")]
    EmptyPrompt,
    /// A token id outside of the vocabulary.
    #[error("token id {token} is outside of the vocabulary, expected 0..{vocabulary}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Vocabulary size.
        vocabulary: usize,
    },
    /// The context is full.
    #[error("position {position} is beyond the context of {max_positions} positions")]
    ContextFull {
        /// Absolute position of the refused token, from 0.
        position: usize,
        /// The model's limit.
        max_positions: usize,
    },
}
