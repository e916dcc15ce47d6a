//! A writer of GGUF files and of the blocks in them, from the documented formats.

use bitgauge_engine::checkpoint::{Config, Linear, Norm};
use half::f16;

pub const F32: u32 = 0;
pub const F16: u32 = 1;
pub const Q8_0: u32 = 8;
pub const Q6_K: u32 = 14;
pub const BF16: u32 = 30;
pub const TQ1_0: u32 = 34;
pub const TQ2_0: u32 = 35;
pub const I2_S: u32 = 36;
pub const IQ1_BN: u32 = 134;
pub const IQ2_BN: u32 = 135;
pub const IQ2_BN_R4: u32 = 335;

/// A tensor, its dimensions fastest first.
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub dimensions: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
}

#[derive(Clone)]
pub struct File {
    /// Key, type, and the bytes of the value.
    pub metadata: Vec<(String, u32, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
    /// Every tensor starts at a multiple of so many bytes.
    pub alignment: usize,
}

pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

impl File {
    /// The metadata that a converter writes for `config`.
    pub fn new(architecture: &str, config: &Config) -> Self {
        let mut file = Self {
            metadata: Vec::new(),
            tensors: Vec::new(),
            alignment: 32,
        };
        file.set("general.architecture", 8, text(architecture));
        let counts = [
            ("block_count", config.num_hidden_layers),
            ("embedding_length", config.hidden_size),
            ("feed_forward_length", config.intermediate_size),
            ("context_length", config.max_position_embeddings),
            ("attention.head_count", config.num_attention_heads),
            ("attention.head_count_kv", config.num_key_value_heads),
            ("rope.dimension_count", config.head_dim),
            ("vocab_size", config.vocab_size),
        ];
        for (name, count) in counts {
            let key = format!("{architecture}.{name}");
            file.set(&key, 4, (count as u32).to_le_bytes().to_vec());
        }
        let reals = [
            ("attention.layer_norm_rms_epsilon", config.rms_norm_eps),
            ("rope.freq_base", config.rope_theta),
        ];
        for (name, real) in reals {
            let key = format!("{architecture}.{name}");
            file.set(&key, 6, (real as f32).to_le_bytes().to_vec());
        }
        // As tokenizers have it: text, and arrays of it.
        file.set("tokenizer.ggml.model", 8, text("gpt2"));
        let mut tokens = [8_u32.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec()].concat();
        tokens.extend([text("a"), text("")].concat());
        file.set("tokenizer.ggml.tokens", 9, tokens);
        file
    }

    /// Sets or replaces an entry.
    pub fn set(&mut self, key: &str, kind: u32, value: Vec<u8>) {
        self.metadata.retain(|(k, ..)| k != key);
        self.metadata.push((key.into(), kind, value));
    }

    pub fn push(&mut self, name: &str, dimensions: &[usize], kind: u32, data: Vec<u8>) {
        self.tensors.push(Tensor {
            name: name.into(),
            dimensions: dimensions.iter().map(|&d| d as u64).collect(),
            kind,
            data,
        });
    }

    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|t| t.name == name).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.metadata {
            out.extend(text(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            out.extend(text(&tensor.name));
            out.extend((tensor.dimensions.len() as u32).to_le_bytes());
            out.extend(tensor.dimensions.iter().flat_map(|d| d.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(self.alignment), 0);
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(data);
        out
    }
}

pub fn norm_name(layer: usize, norm: Norm) -> String {
    let name = match norm {
        Norm::Input => "attn_norm",
        Norm::AttnSub => "attn_sub_norm",
        Norm::PostAttention => "ffn_norm",
        Norm::FfnSub => "ffn_sub_norm",
    };
    format!("blk.{layer}.{name}.weight")
}

pub fn linear_name(layer: usize, linear: Linear) -> String {
    let name = match linear {
        Linear::Q => "attn_q",
        Linear::K => "attn_k",
        Linear::V => "attn_v",
        Linear::O => "attn_output",
        Linear::Gate => "ffn_gate",
        Linear::Up => "ffn_up",
        Linear::Down => "ffn_down",
    };
    format!("blk.{layer}.{name}.weight")
}

/// Values as F32, F16 or BF16, which must hold them exactly.
pub fn floats(kind: u32, values: &[f32]) -> Vec<u8> {
    let bytes = |&value: &f32| match kind {
        F32 => value.to_le_bytes().to_vec(),
        F16 => {
            let half = f16::from_f32(value);
            assert_eq!(half.to_f32(), value);
            half.to_le_bytes().to_vec()
        }
        _ => {
            assert_eq!(value.to_bits() & 0xffff, 0);
            ((value.to_bits() >> 16) as u16).to_le_bytes().to_vec()
        }
    };
    values.iter().flat_map(bytes).collect()
}

/// A ternary matrix with rows of `cols` in any of the types that can hold it.
pub fn ternary(kind: u32, trits: &[i8], cols: usize, scale: f32) -> Vec<u8> {
    let codes: Vec<u8> = trits.iter().map(|&t| (t + 1) as u8).collect();
    let half = || floats(F16, &[scale]);
    match kind {
        I2_S => {
            let mut out = vec![0; codes.len() / 4];
            for (i, code) in codes.iter().enumerate() {
                let (block, j) = (i / 128, i % 128);
                out[block * 32 + j % 32] |= code << (6 - 2 * (j / 32));
            }
            out.extend(scale.to_le_bytes());
            out.extend([0xff; 28]);
            out
        }
        TQ2_0 => {
            let block = |codes: &[u8]| {
                let mut block = [0; 64];
                for (i, code) in codes.iter().enumerate() {
                    let (part, j) = (i / 128, i % 128);
                    block[part * 32 + j % 32] |= code << (2 * (j / 32));
                }
                [&block[..], &half()].concat()
            };
            codes.chunks(256).flat_map(block).collect()
        }
        TQ1_0 => {
            // The bytes with the values `first + n * step` for n from 0 on.
            let pack = |codes: &[u8], first: usize, step: usize, digits: usize| {
                let number = (0..5).fold(0_u32, |number, n| {
                    let digit = if n < digits {
                        codes[first + n * step]
                    } else {
                        0
                    };
                    number * 3 + u32::from(digit)
                });
                (number * 256).div_ceil(243) as u8
            };
            let block = |codes: &[u8]| {
                let mut block: Vec<u8> = (0..32).map(|b| pack(codes, b, 32, 5)).collect();
                block.extend((0..16).map(|b| pack(codes, 160 + b, 16, 5)));
                block.extend((0..4).map(|b| pack(codes, 240 + b, 4, 4)));
                block.extend(half());
                block
            };
            codes.chunks(256).flat_map(block).collect()
        }
        IQ1_BN => rows(&codes, cols, scale)
            .flat_map(|(scale, codes)| {
                let mut row = floats(F16, &[scale]);
                for block in codes.chunks(64) {
                    let sixteens = block.chunks(16);
                    let fives = sixteens.clone().flat_map(|some| some[..15].chunks(5));
                    row.extend(fives.map(fraction));
                    row.push(fraction(&sixteens.map(|some| some[15]).collect::<Vec<_>>()));
                }
                row
            })
            .collect(),
        IQ2_BN => rows(&codes, cols, scale)
            .flat_map(|(scale, codes)| {
                let mut row = floats(F32, &[scale]);
                for block in codes.chunks(64) {
                    let byte = |b: usize| (0..4).map(|p| block[b + 16 * p] << (2 * p)).sum::<u8>();
                    row.extend((0..16).map(byte));
                }
                row
            })
            .collect(),
        IQ2_BN_R4 => {
            let rows: Vec<_> = rows(&codes, cols, scale).collect();
            let four = |rows: &[(f32, Vec<u8>)]| {
                let mut out = floats(F32, &[0, 1, 2, 3].map(|r| rows[r].0));
                let mut codes = vec![0; cols];
                for (r, (_, row)) in rows.iter().enumerate() {
                    for (col, code) in row.iter().enumerate() {
                        let (block, place) = (col / 64, col % 64);
                        let byte = 64 * block + place / 16 * 16 + 4 * r + place % 4;
                        codes[byte] |= code << (2 * (place % 16 / 4));
                    }
                }
                out.extend(codes);
                out
            };
            rows.chunks(4).flat_map(four).collect()
        }
        _ => {
            let values: Vec<_> = trits.iter().map(|&t| f32::from(t) * scale).collect();
            floats(kind, &values)
        }
    }
}

/// Rows with their scales as ik_llama.cpp takes them: the largest magnitude, which is 0 where all
/// is zero, and not less than half of it, so that every code says 1 there.
fn rows(codes: &[u8], cols: usize, scale: f32) -> impl Iterator<Item = (f32, Vec<u8>)> {
    codes.chunks(cols).map(move |row| {
        if row.iter().all(|&code| code == 1) {
            return (0.0, vec![2; cols]);
        }
        (scale, row.to_vec())
    })
}

/// Up to five codes in a byte, the first the least significant digit, as a fraction of 243 rounded
/// up.
fn fraction(codes: &[u8]) -> u8 {
    let number = codes
        .iter()
        .rfold(0, |number, &code| 3 * number + u32::from(code));
    (number * 256).div_ceil(243) as u8
}
