//! Models of any shape, made from a seed: for speed, where the text does not matter.

use crate::buffer::Buffer;
use crate::checkpoint::{
    CheckpointError, Config, Floats, Linear, LinearClass, Norm, QuantizationMode, WeightScale,
};
use crate::model::Source;

/// Shapes by name.
pub const NAMES: [&str; 5] = ["tiny", "700m", "1.3b", "2b4t", "3b"];

/// A source of weights that are a function of shape, seed and place.
pub struct Synthetic {
    config: Config,
    seed: u64,
}

/// The shape called `name`, one of [`NAMES`].
pub fn shape(name: &str) -> Option<Config> {
    let (hidden, ffn, layers, heads, kv_heads, vocabulary, context) = match name {
        "tiny" => (256, 688, 4, 8, 2, 512, 512),
        "700m" => (1536, 4096, 24, 16, 16, 32_002, 2048),
        "1.3b" => (2048, 5460, 24, 32, 32, 32_002, 2048),
        "2b4t" => (2560, 6912, 30, 20, 5, 128_256, 4096),
        "3b" => (3200, 8640, 26, 32, 32, 32_002, 2048),
        _ => return None,
    };
    Some(Config {
        vocab_size: vocabulary,
        hidden_size: hidden,
        intermediate_size: ffn,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim: hidden / heads,
        max_position_embeddings: context,
        rms_norm_eps: 1e-5,
        rope_theta: 500_000.0,
        tie_word_embeddings: true,
        bos_token_id: None,
        eos_token_ids: Vec::new(),
        linear_class: LinearClass::AutoBitLinear,
        quantization_mode: QuantizationMode::Offline,
    })
}

/// A model of `config`'s shape; the same seed gives the same weights.
pub fn model(config: Config, seed: u64) -> Synthetic {
    Synthetic { config, seed }
}

impl Source for Synthetic {
    fn config(&self) -> &Config {
        &self.config
    }

    /// Uniform in [-1, 1), in bf16.
    fn embedding(&self) -> Result<Floats, CheckpointError> {
        let mut state = self.stream(u64::MAX, 0);
        let len = self.config.vocab_size * self.config.hidden_size;
        let mut values: Buffer<u16> =
            Buffer::try_zeroed(len).ok_or_else(|| CheckpointError::NoMemory {
                what: "the embedding".into(),
                bytes: len.saturating_mul(size_of::<u16>()),
            })?;
        for four in values.chunks_mut(4) {
            let bits = split_mix(&mut state);
            for (half, value) in four.iter_mut().enumerate() {
                let uniform = f32::from((bits >> (16 * half)) as u16 as i16) / 32768.0;
                *value = (uniform.to_bits() >> 16) as u16;
            }
        }
        Ok(Floats::Bf16(values))
    }

    fn head(&self) -> Result<Option<Floats>, CheckpointError> {
        Ok(None)
    }

    fn final_norm(&self) -> Result<Vec<f32>, CheckpointError> {
        Ok(vec![1.0; self.config.hidden_size])
    }

    fn norm(&self, _layer: usize, norm: Norm) -> Result<Vec<f32>, CheckpointError> {
        Ok(match norm {
            Norm::FfnSub => vec![1.0; self.config.intermediate_size],
            _ => vec![1.0; self.config.hidden_size],
        })
    }

    /// A third of the trits is zero; the scale keeps a product's outputs near its inputs in size.
    fn read_linear(
        &self,
        layer: usize,
        linear: Linear,
        trits: &mut [i8],
    ) -> Result<WeightScale, CheckpointError> {
        let (_, cols) = linear.shape(&self.config);
        let mut state = self.stream(layer as u64, 1 + linear as u64);
        for eight in trits.chunks_mut(8) {
            let bits = split_mix(&mut state);
            for (value, byte) in eight.iter_mut().zip(bits.to_le_bytes()) {
                *value = ((u16::from(byte) * 3) >> 8) as i8 - 1;
            }
        }
        let scale = (1.5 / cols as f64).sqrt() as f32;
        Ok(WeightScale::Multiply(scale))
    }
}

impl Synthetic {
    /// The random state that begins the weights of one place.
    fn stream(&self, layer: u64, which: u64) -> u64 {
        let mut state = self.seed ^ layer.wrapping_mul(0x9e37_79b9) ^ (which << 56);
        split_mix(&mut state)
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
