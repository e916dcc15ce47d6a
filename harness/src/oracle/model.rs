//! A whole model as plain numbers, and the check that they fit each other.

use super::error::OracleError;
use super::weights::Linear;

/// The sizes and constants of a model, named as in `config.json` without prefixes.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Vocabulary size V.
    pub vocabulary: usize,
    /// Hidden size H.
    pub hidden: usize,
    /// Intermediate size I of the feed-forward network.
    pub intermediate: usize,
    /// Number of decoder layers.
    pub layers: usize,
    /// Attention heads A; H = A * d.
    pub heads: usize,
    /// Key/value heads G, a divisor of A.
    pub key_value_heads: usize,
    /// Context limit in tokens.
    pub max_positions: usize,
    /// Epsilon inside every RMSNorm's root.
    pub rms_norm_eps: f64,
    /// Base of the RoPE frequencies.
    pub rope_theta: f64,
}

impl Shape {
    /// Values per head, d.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// Values of the key (or value) of one token, G * d.
    pub fn key_value_width(&self) -> usize {
        self.key_value_heads * self.head_dim()
    }

    /// Outputs and inputs (N, K) of a linear layer.
    pub fn linear(&self, name: LinearName) -> (usize, usize) {
        let (h, i) = (self.hidden, self.intermediate);
        match name {
            LinearName::Q | LinearName::O => (h, h),
            LinearName::K | LinearName::V => (self.key_value_width(), h),
            LinearName::Gate | LinearName::Up => (i, h),
            LinearName::Down => (h, i),
        }
    }

    fn check(&self) -> Result<(), OracleError> {
        let wrong = |part: &str, problem: String| {
            Err(OracleError::Parts {
                part: part.into(),
                problem,
            })
        };
        let sizes = [
            ("vocabulary", self.vocabulary),
            ("hidden", self.hidden),
            ("intermediate", self.intermediate),
            ("layers", self.layers),
            ("heads", self.heads),
            ("key_value_heads", self.key_value_heads),
            ("max_positions", self.max_positions),
        ];
        for (part, size) in sizes {
            if size == 0 {
                return wrong(part, "is 0, expected at least 1".into());
            }
        }
        if !self.hidden.is_multiple_of(self.heads) || !self.head_dim().is_multiple_of(2) {
            return wrong(
                "heads",
                format!(
                    "{} heads do not cut {} hidden values into heads of an even size",
                    self.heads, self.hidden
                ),
            );
        }
        if !self.heads.is_multiple_of(self.key_value_heads) {
            return wrong(
                "key_value_heads",
                format!(
                    "{} does not divide {} heads",
                    self.key_value_heads, self.heads
                ),
            );
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0) {
            return wrong(
                "rms_norm_eps",
                format!("is {}, expected a finite number >= 0", self.rms_norm_eps),
            );
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return wrong(
                "rope_theta",
                format!("is {}, expected a finite number > 0", self.rope_theta),
            );
        }
        Ok(())
    }
}

/// The seven linear layers of a decoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LinearName {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl LinearName {
    /// In the order in which a token meets them.
    pub const ALL: [LinearName; 7] = {
        use LinearName::*;
        [Q, K, V, O, Gate, Up, Down]
    };

    /// The name that checkpoints and golden files use, such as `q_proj`.
    pub fn as_str(self) -> &'static str {
        match self {
            LinearName::Q => "q_proj",
            LinearName::K => "k_proj",
            LinearName::V => "v_proj",
            LinearName::O => "o_proj",
            LinearName::Gate => "gate_proj",
            LinearName::Up => "up_proj",
            LinearName::Down => "down_proj",
        }
    }

    /// The block of the layer that owns it, `self_attn` or `mlp`.
    pub fn block(self) -> &'static str {
        match self {
            LinearName::Q | LinearName::K | LinearName::V | LinearName::O => "self_attn",
            LinearName::Gate | LinearName::Up | LinearName::Down => "mlp",
        }
    }
}

/// One decoder layer. Norm weights are `[H]`, `ffn_sub_norm` is `[I]`.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Layer {
    pub input_norm: Vec<f32>,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub attn_sub_norm: Vec<f32>,
    pub o: Linear,
    pub post_attention_norm: Vec<f32>,
    pub gate: Linear,
    pub up: Linear,
    pub ffn_sub_norm: Vec<f32>,
    pub down: Linear,
}

impl Layer {
    /// The linear layer of that name.
    pub fn linear(&self, name: LinearName) -> &Linear {
        match name {
            LinearName::Q => &self.q,
            LinearName::K => &self.k,
            LinearName::V => &self.v,
            LinearName::O => &self.o,
            LinearName::Gate => &self.gate,
            LinearName::Up => &self.up,
            LinearName::Down => &self.down,
        }
    }
}

/// Everything a [`Model`] is made of, for models that no file holds.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Sizes and constants.
    pub shape: Shape,
    /// Embedding, row-major `[V, H]`.
    pub embedding: Vec<f32>,
    /// Decoder layers, first to last.
    pub layers: Vec<Layer>,
    /// Weight of the last norm, `[H]`.
    pub final_norm: Vec<f32>,
    /// Head `[V, H]`; `None` where the embedding is the head (tied).
    pub head: Option<Vec<f32>>,
}

/// A model whose parts are known to fit each other.
#[derive(Debug, Clone)]
pub struct Model {
    parts: Parts,
}

impl Model {
    /// Checks the parts and makes a model of them.
    ///
    /// # Errors
    /// [`OracleError::Parts`] names the first part of a wrong size, with a
    /// weight outside of -1, 0, 1, with a scale that is not finite and > 0, or
    /// with a value that is not finite.
    pub fn from_parts(parts: Parts) -> Result<Self, OracleError> {
        let shape = &parts.shape;
        shape.check()?;
        let (h, i) = (shape.hidden, shape.intermediate);
        let table = shape
            .vocabulary
            .checked_mul(h)
            .ok_or_else(|| OracleError::Parts {
                part: "model.embed_tokens.weight".into(),
                problem: format!("[{}, {h}] has too many values", shape.vocabulary),
            })?;
        check_reals("model.embed_tokens.weight", &parts.embedding, table)?;
        check_reals("model.norm.weight", &parts.final_norm, h)?;
        if let Some(head) = &parts.head {
            check_reals("lm_head.weight", head, table)?;
        }
        if parts.layers.len() != shape.layers {
            return Err(OracleError::Parts {
                part: "model.layers".into(),
                problem: format!("{} given, expected {}", parts.layers.len(), shape.layers),
            });
        }
        for (l, layer) in parts.layers.iter().enumerate() {
            let norms = [
                ("input_layernorm", &layer.input_norm, h),
                ("self_attn.attn_sub_norm", &layer.attn_sub_norm, h),
                ("post_attention_layernorm", &layer.post_attention_norm, h),
                ("mlp.ffn_sub_norm", &layer.ffn_sub_norm, i),
            ];
            for (name, values, length) in norms {
                check_reals(&format!("model.layers.{l}.{name}.weight"), values, length)?;
            }
            for name in LinearName::ALL {
                let part = format!("model.layers.{l}.{}.{}", name.block(), name.as_str());
                check_linear(&part, layer.linear(name), shape.linear(name))?;
            }
        }
        Ok(Model { parts })
    }

    /// Sizes and constants.
    pub fn shape(&self) -> &Shape {
        &self.parts.shape
    }

    /// Embedding of one token, `[H]`.
    ///
    /// # Panics
    /// If `token` is not below the vocabulary size.
    pub fn embedding(&self, token: usize) -> &[f32] {
        row(&self.parts.embedding, token, self.parts.shape.hidden)
    }

    /// Row of the head that gives the logit of one token, `[H]`.
    ///
    /// # Panics
    /// If `token` is not below the vocabulary size.
    pub fn head(&self, token: usize) -> &[f32] {
        let head = self.parts.head.as_ref().unwrap_or(&self.parts.embedding);
        row(head, token, self.parts.shape.hidden)
    }

    /// Decoder layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.parts.layers
    }

    /// Weight of the last norm, `[H]`.
    pub fn final_norm(&self) -> &[f32] {
        &self.parts.final_norm
    }

    /// Whether the embedding is the head.
    pub fn tied(&self) -> bool {
        self.parts.head.is_none()
    }
}

fn row(table: &[f32], index: usize, width: usize) -> &[f32] {
    &table[index * width..(index + 1) * width]
}

fn check_reals(part: &str, values: &[f32], length: usize) -> Result<(), OracleError> {
    let problem = if values.len() != length {
        format!("{} values, expected {length}", values.len())
    } else if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        format!("value {at} is {}, expected a finite number", values[at])
    } else {
        return Ok(());
    };
    Err(OracleError::Parts {
        part: part.into(),
        problem,
    })
}

fn check_linear(part: &str, linear: &Linear, (n, k): (usize, usize)) -> Result<(), OracleError> {
    let problem = if (linear.rows, linear.cols) != (n, k) {
        format!("[{}, {}], expected [{n}, {k}]", linear.rows, linear.cols)
    } else if k >= 1 << 24 {
        format!("{k} inputs, expected fewer than 2^24: the integer products are i32")
    } else if Some(linear.trits.len()) != n.checked_mul(k) {
        format!("{} trits, expected {n} * {k}", linear.trits.len())
    } else if let Some(at) = linear.trits.iter().position(|t| !(-1..=1).contains(t)) {
        format!("trit {at} is {}, expected -1, 0 or 1", linear.trits[at])
    } else if !(linear.weight_scale.is_finite() && linear.weight_scale > 0.0) {
        format!(
            "weight scale {}, expected a finite number > 0",
            linear.weight_scale
        )
    } else {
        return Ok(());
    };
    Err(OracleError::Parts {
        part: part.into(),
        problem,
    })
}
