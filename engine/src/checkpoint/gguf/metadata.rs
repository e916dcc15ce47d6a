//! The metadata of a GGUF file by key, and the configuration that it makes.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::config::{Config, LinearClass, QuantizationMode};
use super::super::error::{CheckpointError, ConfigError, shown};
use super::reader::Value;

type Result<T> = std::result::Result<T, CheckpointError>;

/// Entries by key, each with its place in the file.
pub(super) struct Metadata<'a> {
    file: &'a [u8],
    path: &'a Path,
    entries: BTreeMap<String, (usize, Value)>,
}

/// Alignment of a file that does not name one.
const ALIGNMENT: u64 = 32;

/// Bytes of a text at most that is looked at: all that are, are single words.
const LONGEST_TEXT: usize = 1000;

impl<'a> Metadata<'a> {
    pub fn new(file: &'a [u8], path: &'a Path) -> Self {
        Self {
            file,
            path,
            entries: BTreeMap::new(),
        }
    }

    /// Adds an entry, unless there is one for the key.
    pub fn insert(&mut self, key: String, at: usize, value: Value) -> bool {
        self.entries.insert(key, (at, value)).is_none()
    }

    /// What the data of every tensor is aligned to, in bytes.
    pub fn alignment(&self) -> Result<usize> {
        let key = "general.alignment";
        let alignment = self.count(key)?.unwrap_or(ALIGNMENT);
        // A page is the largest that makes sense.
        if (8..=4096).contains(&alignment) && alignment.is_power_of_two() {
            return Ok(alignment as usize);
        }
        Err(self.broken(key, "a power of two from 8 to 4096"))
    }

    /// The configuration, but for [`Config::check`]. `vocabulary` is the number of rows of the
    /// embedding.
    ///
    /// Activation: the graphs of `bitnet-b1.58` and `bitnet-25` square what a ReLU leaves, which
    /// is what this decoder does. The graph of `bitnet` takes SiLU unless `hidden_activation`
    /// says `relu2`; without it, such a file is another model and is refused.
    pub fn config(&self, vocabulary: usize) -> Result<Config> {
        let architecture = self.text("general.architecture")?;
        let architecture = architecture.as_deref().unwrap_or_default();
        let known = ["bitnet-b1.58", "bitnet-25", "bitnet"];
        if !known.contains(&architecture) {
            let rule = "`bitnet-b1.58`, `bitnet-25` or `bitnet`";
            return Err(self.broken("general.architecture", rule));
        }
        let key = |name: &str| format!("{architecture}.{name}");
        let activation = key("hidden_activation");
        match self.text(&activation)?.as_deref() {
            Some("relu2") => {}
            None if architecture != "bitnet" => {}
            _ => return Err(self.broken(&activation, "`relu2`: no other is supported")),
        }
        if self.count("split.count")?.is_some_and(|parts| parts > 1) {
            return Err(self.broken("split.count", "a model in one file"));
        }
        self.check_rope(architecture)?;
        let needed = |name: &str| self.needed(&key(name));
        let (hidden, heads) = (needed("embedding_length")?, needed("attention.head_count")?);
        let width = hidden.checked_div(heads).unwrap_or(0);
        for name in [
            "rope.dimension_count",
            "attention.key_length",
            "attention.value_length",
        ] {
            self.agree(&key(name), width, "embedding_length / attention.head_count")?;
        }
        self.agree(
            &key("vocab_size"),
            vocabulary,
            "the rows of token_embd.weight",
        )?;
        let epsilon = key("attention.layer_norm_rms_epsilon");
        let Some(rms_norm_eps) = self.real(&epsilon)? else {
            return Err(self.broken(&epsilon, "a number"));
        };
        Ok(Config {
            vocab_size: vocabulary,
            hidden_size: hidden,
            intermediate_size: needed("feed_forward_length")?,
            num_hidden_layers: needed("block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: match self.count(&key("attention.head_count_kv"))? {
                Some(_) => needed("attention.head_count_kv")?,
                None => heads,
            },
            head_dim: width,
            max_position_embeddings: needed("context_length")?,
            rms_norm_eps,
            rope_theta: self.real(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            tie_word_embeddings: true,
            bos_token_id: self.token("tokenizer.ggml.bos_token_id")?,
            eos_token_ids: self
                .token("tokenizer.ggml.eos_token_id")?
                .into_iter()
                .collect(),
            linear_class: LinearClass::AutoBitLinear,
            quantization_mode: QuantizationMode::Offline,
        })
    }

    /// Only rotation by the plain angles is supported; converters write a linear scaling by 1.
    fn check_rope(&self, architecture: &str) -> Result<()> {
        let kind = format!("{architecture}.rope.scaling.type");
        if let Some("none" | "linear") | None = self.text(&kind)?.as_deref() {
            for name in ["rope.scaling.factor", "rope.scale_linear"] {
                let key = format!("{architecture}.{name}");
                // llama.cpp takes a factor of 0 as none.
                if self.real(&key)?.is_some_and(|factor| factor != 1.0) {
                    return Err(self.broken(&key, "1: no other scaling is supported"));
                }
            }
            return Ok(());
        }
        Err(self.broken(&kind, "`none`, or `linear` by 1"))
    }

    fn agree(&self, key: &str, expected: usize, what: &str) -> Result<()> {
        match self.count(key)? {
            Some(value) if value != expected as u64 => {
                Err(self.broken(key, &format!("{what}, which is {expected}")))
            }
            _ => Ok(()),
        }
    }

    fn needed(&self, key: &str) -> Result<usize> {
        let count = self.count(key)?.and_then(|n| usize::try_from(n).ok());
        count.ok_or_else(|| self.broken(key, "a whole number"))
    }

    fn token(&self, key: &str) -> Result<Option<u32>> {
        let Some(id) = self.count(key)? else {
            return Ok(None);
        };
        let id = u32::try_from(id).map_err(|_| self.broken(key, "a token id"))?;
        Ok(Some(id))
    }

    fn count(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number, not negative", |value| match value {
            Value::Whole(n) => u64::try_from(*n).ok(),
            _ => None,
        })
    }

    fn real(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", |value| match value {
            Value::Real(x) => Some(*x),
            _ => None,
        })
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        let right = format!("text of at most {LONGEST_TEXT} bytes");
        self.typed(key, &right, |value| match value {
            Value::Text(range) if range.len() <= LONGEST_TEXT => {
                String::from_utf8(self.file[range.clone()].to_vec()).ok()
            }
            _ => None,
        })
    }

    fn typed<T>(
        &self,
        key: &str,
        right: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.entries.get(key) {
            None => Ok(None),
            Some((_, value)) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(self.broken(key, right)),
            },
        }
    }

    /// The entry of this key is absent or wrong.
    fn broken(&self, key: &str, right: &str) -> CheckpointError {
        match self.entries.get(key) {
            None => CheckpointError::Config {
                path: self.path.to_owned(),
                error: ConfigError {
                    key: key.into(),
                    value: "absent".into(),
                    rule: format!("it must be {right}"),
                },
            },
            Some((at, value)) => CheckpointError::Syntax {
                path: self.path.to_owned(),
                offset: *at as u64,
                found: format!("`{}` is {}", shown(key), self.show(value)),
                right: right.into(),
            },
        }
    }

    fn show(&self, value: &Value) -> String {
        match value {
            Value::Whole(n) => n.to_string(),
            Value::Real(x) => format!("{x:?}"),
            Value::Flag(flag) => flag.to_string(),
            Value::Array(elements) => format!("an array of {elements}"),
            Value::Text(range) => {
                let most = range.start..range.end.min(range.start + LONGEST_TEXT);
                // A copy: a `str` must not lie in the map.
                let start = self.file[most].to_vec();
                shown(&String::from_utf8_lossy(&start))
            }
        }
    }
}
