//! The tensors of a `BitNetForCausalLM` layer: names and shapes.

use super::config::Config;

pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(super) const FINAL_NORM: &str = "model.norm.weight";
pub(super) const HEAD: &str = "lm_head.weight";

/// A ternary linear of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Linear {
    /// Query projection, `[H, H]`.
    Q,
    /// Key projection, `[G * d, H]`.
    K,
    /// Value projection, `[G * d, H]`.
    V,
    /// Attention output projection, `[H, H]`.
    O,
    /// Gate projection of the feed-forward part, `[I, H]`.
    Gate,
    /// Up projection of the feed-forward part, `[I, H]`.
    Up,
    /// Down projection of the feed-forward part, `[H, I]`.
    Down,
}

impl Linear {
    /// All seven, in the order in which a token meets them.
    pub const ALL: [Self; 7] = [
        Self::Q,
        Self::K,
        Self::V,
        Self::O,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    /// The module's name, such as `q_proj`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The name of the weight tensor in layer `layer`.
    pub fn tensor(self, layer: usize) -> String {
        let part = match self {
            Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        };
        format!("model.layers.{layer}.{part}.{}.weight", self.name())
    }

    /// The name of the scale tensor in layer `layer` (offline checkpoints only).
    pub fn scale_tensor(self, layer: usize) -> String {
        self.tensor(layer) + "_scale"
    }

    /// `(N, K)`: outputs and inputs.
    pub fn shape(self, config: &Config) -> (usize, usize) {
        let hidden = config.hidden_size;
        let key_value = config.num_key_value_heads * config.head_dim;
        match self {
            Self::Q | Self::O => (hidden, hidden),
            Self::K | Self::V => (key_value, hidden),
            Self::Gate | Self::Up => (config.intermediate_size, hidden),
            Self::Down => (hidden, config.intermediate_size),
        }
    }
}

/// An RMSNorm of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Norm {
    /// In front of attention, `[H]`.
    Input,
    /// In front of the feed-forward part, `[H]`.
    PostAttention,
    /// In front of the attention output projection, `[H]`.
    AttnSub,
    /// In front of the down projection, `[I]`.
    FfnSub,
}

impl Norm {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::Input,
        Self::PostAttention,
        Self::AttnSub,
        Self::FfnSub,
    ];

    /// The module's name, such as `input_layernorm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input_layernorm",
            Self::PostAttention => "post_attention_layernorm",
            Self::AttnSub => "attn_sub_norm",
            Self::FfnSub => "ffn_sub_norm",
        }
    }

    /// The name of the weight tensor in layer `layer`.
    pub fn tensor(self, layer: usize) -> String {
        let part = match self {
            Self::Input | Self::PostAttention => "",
            Self::AttnSub => "self_attn.",
            Self::FfnSub => "mlp.",
        };
        format!("model.layers.{layer}.{part}{}.weight", self.name())
    }

    /// The number of weights.
    pub fn len(self, config: &Config) -> usize {
        match self {
            Self::Input | Self::PostAttention | Self::AttnSub => config.hidden_size,
            Self::FfnSub => config.intermediate_size,
        }
    }
}
