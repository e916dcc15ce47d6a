//! Checkpoints made on the spot, for what no golden file holds.

use std::io;

use serde_json::{Map, Value, json};

/// How real numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Real {
    /// The upper half of a float32.
    Bf16,
    /// IEEE half precision.
    F16,
    /// Single precision.
    F32,
}

impl Real {
    /// The name in a safetensors header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
            Self::F32 => "F32",
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        let each = |value: f32| match self {
            Self::Bf16 => ((value.to_bits() >> 16) as u16).to_le_bytes().to_vec(),
            Self::F16 => half_bits(value).to_le_bytes().to_vec(),
            Self::F32 => value.to_le_bytes().to_vec(),
        };
        values.iter().flat_map(|&v| each(v)).collect()
    }
}

/// Half precision, cut off and not rounded: what the file holds is what a model is made of, so
/// there is nothing to be near to. Below the normal range it is 0; above, the largest number.
fn half_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    match ((bits >> 23) as i32 & 0xff) - 127 {
        ..-14 => sign,
        16.. => sign | 0x7bff,
        exponent => sign | ((exponent + 15) as u16) << 10 | (bits >> 13) as u16 & 0x3ff,
    }
}

/// One tensor of a file to be.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its type, as the header names it.
    pub dtype: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major, little-endian.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// Real numbers.
    pub fn reals(name: &str, shape: &[usize], real: Real, values: &[f32]) -> Self {
        Self {
            name: name.into(),
            dtype: real.name(),
            shape: shape.into(),
            bytes: real.bytes(values),
        }
    }

    /// Bytes.
    pub fn bytes(name: &str, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            dtype: "U8",
            shape: shape.into(),
            bytes,
        }
    }

    /// Trits `[rows, cols]`, four in a byte that are a quarter of the rows apart.
    pub fn packed(name: &str, rows: usize, cols: usize, trits: &[i8]) -> Self {
        let quarter = rows / 4;
        let mut bytes = vec![0u8; quarter * cols];
        for (at, &trit) in trits.iter().enumerate() {
            let (row, col) = (at / cols, at % cols);
            bytes[row % quarter * cols + col] |= ((trit + 1) as u8) << (2 * (row / quarter));
        }
        Self::bytes(name, &[quarter, cols], bytes)
    }
}

/// The sizes and constants of a model.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// V.
    pub vocabulary: usize,
    /// H.
    pub hidden: usize,
    /// I.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// A.
    pub heads: usize,
    /// G.
    pub kv_heads: usize,
    /// Context limit.
    pub positions: usize,
    /// RMSNorm's epsilon.
    pub eps: f64,
    /// Base of the rotary frequencies.
    pub theta: f64,
}

impl Shape {
    /// One layer, one head, and the smallest sizes that can be packed.
    pub const SMALLEST: Self = Self {
        vocabulary: 2,
        hidden: 4,
        intermediate: 4,
        layers: 1,
        heads: 1,
        kv_heads: 1,
        positions: 4,
        eps: 1e-5,
        theta: 10_000.0,
    };

    /// The `config.json` of this shape.
    pub fn config(&self, class: &str, mode: &str, tied: bool) -> Value {
        json!({
            "model_type": "bitnet",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "max_position_embeddings": self.positions,
            "rms_norm_eps": self.eps,
            "rope_theta": self.theta,
            "tie_word_embeddings": tied,
            "bos_token_id": null,
            "eos_token_id": null,
            "quantization_config": {
                "quant_method": "bitnet",
                "linear_class": class,
                "quantization_mode": mode,
            },
        })
    }

    /// Name, N and K of each linear of layer `layer`.
    pub fn linears(&self, layer: usize) -> [(String, usize, usize); 7] {
        let (h, i) = (self.hidden, self.intermediate);
        let kv = self.kv_heads * (h / self.heads);
        [
            ("self_attn.q_proj", h, h),
            ("self_attn.k_proj", kv, h),
            ("self_attn.v_proj", kv, h),
            ("self_attn.o_proj", h, h),
            ("mlp.gate_proj", i, h),
            ("mlp.up_proj", i, h),
            ("mlp.down_proj", h, i),
        ]
        .map(|(name, n, k)| (format!("model.layers.{layer}.{name}.weight"), n, k))
    }

    /// Name and length of each norm of layer `layer`.
    pub fn norms(&self, layer: usize) -> [(String, usize); 4] {
        [
            ("input_layernorm", self.hidden),
            ("post_attention_layernorm", self.hidden),
            ("self_attn.attn_sub_norm", self.hidden),
            ("mlp.ffn_sub_norm", self.intermediate),
        ]
        .map(|(name, len)| (format!("model.layers.{layer}.{name}.weight"), len))
    }
}

/// All tensors of a packed, tied model: zero weights, scales and norms of 1, an embedding of 1.
pub fn blank(shape: &Shape, real: Real) -> Vec<Tensor> {
    let ones = |name: &str, dims: &[usize]| {
        Tensor::reals(name, dims, real, &vec![1.0; dims.iter().product()])
    };
    let table = [shape.vocabulary, shape.hidden];
    let mut tensors = vec![
        ones("model.embed_tokens.weight", &table),
        ones("model.norm.weight", &[shape.hidden]),
    ];
    for layer in 0..shape.layers {
        for (name, len) in shape.norms(layer) {
            tensors.push(ones(&name, &[len]));
        }
        for (name, n, k) in shape.linears(layer) {
            tensors.push(Tensor::packed(&name, n, k, &vec![0; n * k]));
            tensors.push(ones(&format!("{name}_scale"), &[1]));
        }
    }
    tensors
}

/// Puts `tensor` in the place of the one of its name.
///
/// # Panics
/// When there is none.
pub fn replace(tensors: &mut [Tensor], tensor: Tensor) {
    let place = tensors.iter_mut().find(|t| t.name == tensor.name);
    *place.expect("a tensor of this name") = tensor;
}

/// Writes `config.json` and `model.safetensors` to a folder that is removed with the value.
///
/// # Errors
/// What the operating system says.
pub fn write(config: &Value, tensors: &[Tensor]) -> io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("config.json"), config.to_string())?;
    let mut header = Map::new();
    let mut data = Vec::new();
    for tensor in tensors {
        let start = data.len();
        data.extend_from_slice(&tensor.bytes);
        header.insert(
            tensor.name.clone(),
            json!({
                "dtype": tensor.dtype,
                "shape": tensor.shape,
                "data_offsets": [start, data.len()],
            }),
        );
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    std::fs::write(folder.path().join("model.safetensors"), file)?;
    Ok(folder)
}
