//! `config.json` of a BitNet checkpoint.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::OracleError;
use super::model::Shape;
use super::weights::ScaleRule;

/// How a checkpoint stores its linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Two-bit trits with a stored scale.
    Packed(ScaleRule),
    /// Real weights, to be quantised on load.
    Master,
}

/// What `config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Sizes and constants.
    pub shape: Shape,
    /// Whether the embedding is the head too.
    pub tied: bool,
    /// Storage of the linear layers.
    pub storage: Storage,
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`OracleError::Io`], [`OracleError::Json`], and
    /// [`OracleError::Config`] for the first key that breaks its rule.
    pub fn read(path: &Path) -> Result<Self, OracleError> {
        let text = std::fs::read_to_string(path).map_err(|source| OracleError::Io {
            path: path.into(),
            source,
        })?;
        let object: Map<String, Value> =
            serde_json::from_str(&text).map_err(|source| OracleError::Json {
                path: path.into(),
                source,
            })?;
        let keys = Keys {
            path,
            prefix: String::new(),
            object: &object,
        };
        keys.fixed("model_type", None, "bitnet")?;
        keys.fixed("hidden_act", Some("relu2"), "relu2")?;
        keys.never("attention_bias")?;
        Ok(Config {
            shape: shape(&keys)?,
            tied: keys.boolean("tie_word_embeddings", false)?,
            storage: storage(&keys)?,
        })
    }
}

fn shape(keys: &Keys<'_>) -> Result<Shape, OracleError> {
    let hidden = keys.size("hidden_size", 2560)?;
    let heads = keys.size("num_attention_heads", 20)?;
    let key_value_heads = match keys.get("num_key_value_heads") {
        Some(Value::Null) => heads,
        _ => keys.size("num_key_value_heads", 5)?,
    };
    if !hidden.is_multiple_of(heads) || !(hidden / heads).is_multiple_of(2) {
        return Err(keys.wrong(
            "num_attention_heads",
            &format!("a divisor of hidden_size {hidden} that leaves an even head size"),
        ));
    }
    if !heads.is_multiple_of(key_value_heads) {
        return Err(keys.wrong(
            "num_key_value_heads",
            &format!("a divisor of num_attention_heads {heads}"),
        ));
    }
    if keys.present("head_dim") && keys.size("head_dim", 1)? != hidden / heads {
        return Err(keys.wrong(
            "head_dim",
            &format!("hidden_size / num_attention_heads = {}", hidden / heads),
        ));
    }
    let rms_norm_eps = keys.number("rms_norm_eps", 1e-5)?;
    if rms_norm_eps < 0.0 {
        return Err(keys.wrong("rms_norm_eps", "a number >= 0"));
    }
    Ok(Shape {
        vocabulary: keys.size("vocab_size", 128_256)?,
        hidden,
        intermediate: keys.size("intermediate_size", 6912)?,
        layers: keys.size("num_hidden_layers", 30)?,
        heads,
        key_value_heads,
        max_positions: keys.size("max_position_embeddings", 2048)?,
        rms_norm_eps,
        rope_theta: rope_theta(keys)?,
    })
}

fn rope_theta(keys: &Keys<'_>) -> Result<f64, OracleError> {
    let mut theta = keys.number("rope_theta", 500_000.0)?;
    let mut checked = "rope_theta";
    for section in ["rope_scaling", "rope_parameters"] {
        let Some(inner) = keys.section(section)? else {
            continue;
        };
        for name in ["rope_type", "type"] {
            if inner.present(name) {
                inner.fixed(name, None, "default")?;
            }
        }
        if section == "rope_parameters" && inner.present("rope_theta") {
            theta = inner.number("rope_theta", theta)?;
            checked = "rope_parameters";
        }
    }
    // An f32 is what the angles are made of.
    if theta > 0.0 && (theta as f32).is_finite() {
        Ok(theta)
    } else {
        Err(keys.wrong(checked, "a RoPE base that is finite and > 0"))
    }
}

fn storage(keys: &Keys<'_>) -> Result<Storage, OracleError> {
    let Some(quantization) = keys.section("quantization_config")? else {
        return Err(keys.wrong("quantization_config", "an object"));
    };
    quantization.fixed("quant_method", None, "bitnet")?;
    quantization.never("use_rms_norm")?;
    match quantization.get("modules_to_not_convert") {
        None | Some(Value::Null) => {}
        Some(Value::Array(names)) if names.as_slice() == [Value::from("lm_head")] => {}
        Some(_) => {
            return Err(quantization.wrong("modules_to_not_convert", "null or [\"lm_head\"]"));
        }
    }
    let online = match quantization.text("quantization_mode", "offline")? {
        "offline" => false,
        "online" => true,
        _ => return Err(quantization.wrong("quantization_mode", "\"offline\" or \"online\"")),
    };
    match quantization.text("linear_class", "bitlinear")? {
        // Packed in either mode: this class does not read the mode.
        "bitlinear" => Ok(Storage::Packed(ScaleRule::Divide)),
        "autobitlinear" if online => Ok(Storage::Master),
        "autobitlinear" => Ok(Storage::Packed(ScaleRule::Multiply)),
        _ => Err(quantization.wrong("linear_class", "\"bitlinear\" or \"autobitlinear\"")),
    }
}

/// An object of the file, which knows where it lies.
struct Keys<'a> {
    path: &'a Path,
    prefix: String,
    object: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key)
    }

    fn present(&self, key: &str) -> bool {
        !matches!(self.get(key), None | Some(Value::Null))
    }

    fn wrong(&self, key: &str, expected: &str) -> OracleError {
        OracleError::Config {
            path: PathBuf::from(self.path),
            key: format!("{}{key}", self.prefix),
            found: self.get(key).map_or("absent".into(), Value::to_string),
            expected: expected.into(),
        }
    }

    /// An object under `key`; `None` if it is absent or null.
    fn section(&self, key: &str) -> Result<Option<Keys<'_>>, OracleError> {
        if !self.present(key) {
            return Ok(None);
        }
        let object = self.get(key).and_then(Value::as_object);
        Ok(Some(Keys {
            path: self.path,
            prefix: format!("{}{key}.", self.prefix),
            object: object.ok_or_else(|| self.wrong(key, "an object"))?,
        }))
    }

    fn size(&self, key: &str, default: usize) -> Result<usize, OracleError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value
            .as_u64()
            .and_then(|v| usize::try_from(v).ok())
            .filter(|&v| v > 0)
            .ok_or_else(|| self.wrong(key, "an integer > 0"))
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, OracleError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value
            .as_f64()
            .filter(|v| v.is_finite())
            .ok_or_else(|| self.wrong(key, "a finite number"))
    }

    fn boolean(&self, key: &str, default: bool) -> Result<bool, OracleError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value
            .as_bool()
            .ok_or_else(|| self.wrong(key, "true or false"))
    }

    fn text(&self, key: &str, default: &'static str) -> Result<&str, OracleError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value.as_str().ok_or_else(|| self.wrong(key, "a string"))
    }

    fn never(&self, key: &str) -> Result<(), OracleError> {
        match self.boolean(key, false)? {
            false => Ok(()),
            true => Err(self.wrong(key, "false")),
        }
    }

    fn fixed(&self, key: &str, default: Option<&str>, expected: &str) -> Result<(), OracleError> {
        let found = match self.get(key) {
            None => default,
            Some(value) => value.as_str(),
        };
        if found == Some(expected) {
            Ok(())
        } else {
            Err(self.wrong(key, &format!("\"{expected}\"")))
        }
    }
}
