//! Hugging Face `BitNetForCausalLM` folders, memory-mapped and checked.
#![allow(missing_docs)]

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    pub tie_word_embeddings: bool,
    pub bos_token_id: Option<u32>,
    pub eos_token_ids: Vec<u32>,
    pub linear_class: LinearClass,
    pub quantization_mode: QuantizationMode,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearClass {
    AutoBitLinear,
    BitLinear,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantizationMode {
    Offline,
    Online,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Linear {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}
impl Linear {
    pub fn name(self) -> &'static str {
        [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ][self as usize]
    }
    pub fn shape(self, c: &Config) -> (usize, usize) {
        match self {
            Linear::Q | Linear::O => (c.hidden_size, c.hidden_size),
            Linear::K | Linear::V => (c.num_key_value_heads * c.head_dim, c.hidden_size),
            Linear::Gate | Linear::Up => (c.intermediate_size, c.hidden_size),
            Linear::Down => (c.hidden_size, c.intermediate_size),
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Norm {
    Input,
    PostAttention,
    AttnSub,
    FfnSub,
}
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightScale {
    Multiply(f32),
    Divide(f32),
}
pub enum Floats {
    Bf16(Vec<u16>),
    F32(Vec<f32>),
}
impl Floats {
    pub fn bytes(&self) -> usize {
        match self {
            Floats::Bf16(v) => v.len() * 2,
            Floats::F32(v) => v.len() * 4,
        }
    }
    pub fn read(&self, start: usize, out: &mut [f32]) {
        match self {
            Floats::Bf16(v) => {
                for (o, &v) in out.iter_mut().zip(&v[start..]) {
                    *o = f32::from_bits(u32::from(v) << 16)
                }
            }
            Floats::F32(v) => out.copy_from_slice(&v[start..][..out.len()]),
        }
    }
}
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("x")]
    X,
}
pub struct Checkpoint;
impl Checkpoint {
    pub fn config(&self) -> &Config {
        unimplemented!()
    }
    pub fn embedding(&self) -> Result<Floats, CheckpointError> {
        unimplemented!()
    }
    pub fn head(&self) -> Result<Option<Floats>, CheckpointError> {
        unimplemented!()
    }
    pub fn final_norm(&self) -> Result<Vec<f32>, CheckpointError> {
        unimplemented!()
    }
    pub fn norm(&self, _: usize, _: Norm) -> Result<Vec<f32>, CheckpointError> {
        unimplemented!()
    }
    pub fn linear(&self, _: usize, _: Linear) -> Result<(Vec<i8>, WeightScale), CheckpointError> {
        unimplemented!()
    }
}
