//! `config.json`: the keys, their defaults and their rules.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{CheckpointError, ConfigError, shown};
use super::json;
use super::names::Linear;

/// How a linear layer applies its stored scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LinearClass {
    /// The output is multiplied by the scale.
    AutoBitLinear,
    /// The output is divided by the scale.
    BitLinear,
}

/// What the weight tensors of the linears hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QuantizationMode {
    /// Packed trits, four a byte, and a scale.
    Offline,
    /// Float master weights, quantised on load.
    Online,
}

/// The shape of a model and its few numbers. Plain data: whoever builds one by
/// hand calls [`Config::check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// V, the number of tokens.
    pub vocab_size: usize,
    /// H, the width of the residual stream.
    pub hidden_size: usize,
    /// I, the width of the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// A, the number of query heads.
    pub num_attention_heads: usize,
    /// G, the number of key and value heads.
    pub num_key_value_heads: usize,
    /// d = H / A.
    pub head_dim: usize,
    /// The context limit in tokens. Files may name any number here: allocate
    /// for the context that is used, not for this one.
    pub max_position_embeddings: usize,
    /// Added to the mean square in every RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// The embedding serves as the head too.
    pub tie_word_embeddings: bool,
    /// Token that starts a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// How the linears apply their scale.
    pub linear_class: LinearClass,
    /// What the linears' weight tensors hold.
    pub quantization_mode: QuantizationMode,
}

impl Config {
    /// Reads the text of a `config.json` and checks every rule. `path` only
    /// names the file in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, CheckpointError> {
        let syntax = |offset: usize, found: String| CheckpointError::Syntax {
            path: path.to_owned(),
            offset: offset as u64,
            found,
            right: "a JSON object with the keys of a BitNet configuration".into(),
        };
        let value = json::parse(text).map_err(|fault| syntax(fault.offset, fault.message))?;
        let Value::Object(object) = &value else {
            return Err(syntax(0, "the text is no JSON object".into()));
        };
        read(object).map_err(|error| CheckpointError::Config {
            path: path.to_owned(),
            error,
        })
    }

    /// Checks every rule between the fields, with products that can't overflow.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        for (key, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", hidden),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            ensure(value > 0, key, value, "it must be greater than 0")?;
        }
        ensure(
            hidden.is_multiple_of(heads),
            "num_attention_heads",
            heads,
            format_args!("it must divide hidden_size, which is {hidden}"),
        )?;
        ensure(
            heads.is_multiple_of(self.num_key_value_heads),
            "num_key_value_heads",
            self.num_key_value_heads,
            format_args!("it must divide num_attention_heads, which is {heads}"),
        )?;
        let head_dim = hidden / heads;
        ensure(
            self.head_dim == head_dim,
            "head_dim",
            self.head_dim,
            format_args!("it must be hidden_size / num_attention_heads, which is {head_dim}"),
        )?;
        ensure(
            head_dim.is_multiple_of(2),
            "head_dim",
            head_dim,
            "it must be even, for the rotary pairs",
        )?;
        ensure(
            self.rms_norm_eps >= 0.0 && (self.rms_norm_eps as f32).is_finite(),
            "rms_norm_eps",
            format_args!("{:?}", self.rms_norm_eps),
            "it must be finite in float32, and not negative",
        )?;
        let theta = self.rope_theta as f32;
        ensure(
            theta > 0.0 && theta.is_finite(),
            "rope_theta",
            format_args!("{:?}", self.rope_theta),
            "it must be finite in float32, and greater than 0",
        )?;
        self.check_products()?;
        if self.quantization_mode == QuantizationMode::Offline {
            return self.check_packed_rows();
        }
        ensure(
            self.linear_class == LinearClass::AutoBitLinear,
            "quantization_config.quantization_mode",
            "\"online\"",
            "`online` needs the linear_class `autobitlinear`: a `bitlinear` model is always packed",
        )
    }

    /// Every matrix, and the keys of one layer's cache, must be addressable as float32.
    fn check_products(&self) -> Result<(), ConfigError> {
        let hidden = ("hidden_size", self.hidden_size);
        let key_value = self.num_key_value_heads * self.head_dim;
        for ((key, value), (other, factor)) in [
            (hidden, ("itself", self.hidden_size)),
            (("vocab_size", self.vocab_size), hidden),
            (("intermediate_size", self.intermediate_size), hidden),
            (
                ("max_position_embeddings", self.max_position_embeddings),
                ("the width of the keys", key_value),
            ),
        ] {
            let bytes = value.checked_mul(factor).and_then(|n| n.checked_mul(4));
            ensure(
                bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok()),
                key,
                value,
                format_args!("its product with {other}, {factor}, must fit into the address space"),
            )?;
        }
        Ok(())
    }

    fn check_packed_rows(&self) -> Result<(), ConfigError> {
        let key_value = self.num_key_value_heads * self.head_dim;
        for (key, rows) in [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_key_value_heads * head_dim", key_value),
        ] {
            ensure(
                rows.is_multiple_of(4),
                key,
                rows,
                "packed (`offline`) weights need a multiple of 4 rows",
            )?;
        }
        Ok(())
    }

    /// The linears of a layer with their shapes `(N, K)`.
    pub fn linears(&self) -> [(Linear, (usize, usize)); 7] {
        Linear::ALL.map(|linear| (linear, linear.shape(self)))
    }
}

fn ensure(
    holds: bool,
    key: &str,
    value: impl ToString,
    rule: impl ToString,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError {
        key: key.into(),
        value: value.to_string(),
        rule: rule.to_string(),
    })
}

/// A JSON object whose keys are reported with a prefix.
#[derive(Clone, Copy)]
struct Keys<'a> {
    object: &'a Map<String, Value>,
    prefix: &'static str,
}

impl<'a> Keys<'a> {
    fn get(self, key: &str) -> Option<&'a Value> {
        self.object.get(key)
    }

    /// The value, unless the key is absent or null.
    fn given(self, key: &str) -> Option<&'a Value> {
        self.get(key).filter(|value| !value.is_null())
    }

    fn broken(self, key: &str, rule: impl ToString) -> ConfigError {
        ConfigError {
            key: format!("{}{key}", self.prefix),
            value: self
                .get(key)
                .map_or("absent".into(), |value| shown(&value.to_string())),
            rule: rule.to_string(),
        }
    }

    fn count(self, key: &str, default: usize) -> Result<usize, ConfigError> {
        self.get(key).map_or(Ok(default), |value| {
            whole(value).ok_or_else(|| self.broken(key, "it must be a whole number"))
        })
    }

    fn number(self, key: &str, default: f64) -> Result<f64, ConfigError> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_f64()
                .ok_or_else(|| self.broken(key, "it must be a number"))
        })
    }

    fn flag(self, key: &str, default: bool) -> Result<bool, ConfigError> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.broken(key, "it must be true or false"))
        })
    }

    /// Fails unless the key holds one of the words; `None` if it is absent.
    fn word<T: Copy>(self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let known = words.iter().find(|(word, _)| value == *word);
        let allowed: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        known
            .map(|(_, meaning)| Some(*meaning))
            .ok_or_else(|| self.broken(key, format_args!("it must be {}", allowed.join(" or "))))
    }

    fn inner(self, key: &str, prefix: &'static str) -> Result<Option<Keys<'a>>, ConfigError> {
        match self.given(key) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Keys { object, prefix })),
            Some(_) => Err(self.broken(key, "it must be an object or null")),
        }
    }
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok())
}

fn token(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

/// The defaults are those of the `BitNetConfig` class of transformers.
fn read(object: &Map<String, Value>) -> Result<Config, ConfigError> {
    let keys = Keys { object, prefix: "" };
    if keys.word("model_type", &[("bitnet", ())])?.is_none() {
        return Err(keys.broken("model_type", "it must be `bitnet`"));
    }
    keys.word("hidden_act", &[("relu2", ())])?;
    if keys.flag("attention_bias", false)? {
        return Err(keys.broken("attention_bias", "attention with a bias is not supported"));
    }
    let (linear_class, quantization_mode) = read_quantization(keys)?;

    let hidden_size = keys.count("hidden_size", 2560)?;
    let num_attention_heads = keys.count("num_attention_heads", 20)?;
    let num_key_value_heads = match keys.get("num_key_value_heads") {
        Some(Value::Null) => num_attention_heads,
        _ => keys.count("num_key_value_heads", 5)?,
    };
    let head_dim = match keys.given("head_dim") {
        Some(_) => keys.count("head_dim", 0)?,
        None => hidden_size.checked_div(num_attention_heads).unwrap_or(0),
    };
    let config = Config {
        vocab_size: keys.count("vocab_size", 128_256)?,
        hidden_size,
        intermediate_size: keys.count("intermediate_size", 6912)?,
        num_hidden_layers: keys.count("num_hidden_layers", 30)?,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        max_position_embeddings: keys.count("max_position_embeddings", 2048)?,
        rms_norm_eps: keys.number("rms_norm_eps", 1e-5)?,
        rope_theta: read_theta(keys)?,
        tie_word_embeddings: keys.flag("tie_word_embeddings", false)?,
        bos_token_id: read_bos(keys)?,
        eos_token_ids: read_eos(keys)?,
        linear_class,
        quantization_mode,
    };
    config.check()?;
    Ok(config)
}

fn read_quantization(keys: Keys<'_>) -> Result<(LinearClass, QuantizationMode), ConfigError> {
    let Some(inner) = keys.inner("quantization_config", "quantization_config.")? else {
        let rule = "a BitNet checkpoint needs it, with `quant_method` = `bitnet`";
        return Err(keys.broken("quantization_config", rule));
    };
    if inner.word("quant_method", &[("bitnet", ())])?.is_none() {
        return Err(inner.broken("quant_method", "it must be `bitnet`"));
    }
    let class = inner.word(
        "linear_class",
        &[
            ("bitlinear", LinearClass::BitLinear),
            ("autobitlinear", LinearClass::AutoBitLinear),
        ],
    )?;
    let mode = inner.word(
        "quantization_mode",
        &[
            ("offline", QuantizationMode::Offline),
            ("online", QuantizationMode::Online),
        ],
    )?;
    if inner.flag("use_rms_norm", false)? {
        let rule = "a norm of its own in front of each linear is not supported";
        return Err(inner.broken("use_rms_norm", rule));
    }
    if let Some(exempt) = inner.given("modules_to_not_convert")
        && *exempt != serde_json::json!(["lm_head"])
    {
        let rule = "only null or [\"lm_head\"] is supported: every linear but the head is ternary";
        return Err(inner.broken("modules_to_not_convert", rule));
    }
    Ok((
        class.unwrap_or(LinearClass::BitLinear),
        mode.unwrap_or(QuantizationMode::Offline),
    ))
}

fn read_theta(keys: Keys<'_>) -> Result<f64, ConfigError> {
    const PLAIN: &str = "only the rope type `default`, without scaling, is supported";
    let mut theta = None;
    if let Some(rope) = keys.inner("rope_parameters", "rope_parameters.")? {
        if !has_default_type(rope, true) {
            return Err(keys.broken("rope_parameters", PLAIN));
        }
        if rope.get("rope_theta").is_some() {
            theta = Some(rope.number("rope_theta", 0.0)?);
        }
    }
    let theta = match theta {
        Some(theta) => theta,
        None => keys.number("rope_theta", 500_000.0)?,
    };
    if let Some(scaling) = keys.inner("rope_scaling", "rope_scaling.")? {
        // Without a type, other keys would ask for a scaling that we can't name.
        if !has_default_type(scaling, scaling.object.is_empty()) {
            return Err(keys.broken("rope_scaling", PLAIN));
        }
        // The old name of `rope_parameters`: it must not say something else.
        if scaling.number("rope_theta", theta)? != theta {
            let rule = format!("it must agree with the rope_theta {theta} given elsewhere");
            return Err(scaling.broken("rope_theta", rule));
        }
    }
    Ok(theta)
}

/// Whether `rope_type`, or `type` as it was once called, is `default`.
fn has_default_type(rope: Keys<'_>, if_absent: bool) -> bool {
    let types: Vec<_> = ["rope_type", "type"]
        .iter()
        .filter_map(|key| rope.given(key))
        .collect();
    match types.is_empty() {
        true => if_absent,
        false => types.iter().all(|kind| *kind == "default"),
    }
}

fn read_bos(keys: Keys<'_>) -> Result<Option<u32>, ConfigError> {
    match keys.get("bos_token_id") {
        None => Ok(Some(128_000)),
        Some(Value::Null) => Ok(None),
        Some(value) => token(value)
            .map(Some)
            .ok_or_else(|| keys.broken("bos_token_id", "it must be a token id or null")),
    }
}

fn read_eos(keys: Keys<'_>) -> Result<Vec<u32>, ConfigError> {
    let ids = match keys.get("eos_token_id") {
        None => Some(vec![128_001]),
        Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(ids)) => ids.iter().map(token).collect(),
        Some(id) => token(id).map(|id| vec![id]),
    };
    ids.ok_or_else(|| {
        keys.broken(
            "eos_token_id",
            "it must be a token id, a list of them, or null",
        )
    })
}
