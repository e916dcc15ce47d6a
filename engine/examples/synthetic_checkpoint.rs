//! Writes a synthetic shape as the folder that Hugging Face would have of it, to measure loading:
//! `cargo run --release -p bitgauge-engine --example synthetic_checkpoint -- 2b4t DIR`

use std::error::Error;
use std::path::Path;

use bitgauge_engine::checkpoint::{Config, Floats, Linear, Norm, WeightScale};
use bitgauge_engine::model::Source;
use bitgauge_engine::synthetic;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize_to_file};

type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, dir] = &arguments[..] else {
        return Err("usage: synthetic_checkpoint SHAPE DIR".into());
    };
    let config = synthetic::shape(name)
        .ok_or_else(|| format!("{name}: one of {}", synthetic::NAMES.join(", ")))?;
    let dir = Path::new(dir);
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("config.json"), json(&config))?;
    let tensors = tensors(&synthetic::model(config, 1))?;
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    serialize_to_file(views, None, &dir.join("model.safetensors"))?;
    Ok(())
}

fn json(c: &Config) -> String {
    serde_json::json!({
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": c.vocab_size,
        "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size,
        "num_hidden_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads,
        "num_key_value_heads": c.num_key_value_heads,
        "hidden_act": "relu2",
        "max_position_embeddings": c.max_position_embeddings,
        "rms_norm_eps": c.rms_norm_eps,
        "rope_theta": c.rope_theta,
        "tie_word_embeddings": c.tie_word_embeddings,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    })
    .to_string()
}

fn tensors(source: &dyn Source) -> Result<Vec<Tensor>, Box<dyn Error>> {
    let config = source.config();
    let mut all = Vec::new();
    let (vocabulary, hidden) = (config.vocab_size, config.hidden_size);
    let (dtype, bytes) = floats(source.embedding()?);
    all.push((
        "model.embed_tokens.weight".into(),
        dtype,
        vec![vocabulary, hidden],
        bytes,
    ));
    all.push(vector("model.norm.weight".into(), source.final_norm()?));
    for layer in 0..config.num_hidden_layers {
        for norm in Norm::ALL {
            all.push(vector(norm.tensor(layer), source.norm(layer, norm)?));
        }
        for linear in Linear::ALL {
            let (rows, cols) = linear.shape(config);
            let (trits, scale) = source.linear(layer, linear)?;
            let WeightScale::Multiply(scale) = scale else {
                return Err("autobitlinear multiplies its scale".into());
            };
            let shape = vec![rows / 4, cols];
            all.push((linear.tensor(layer), Dtype::U8, shape, packed(&trits)));
            all.push(vector(linear.scale_tensor(layer), vec![scale]));
        }
    }
    Ok(all)
}

/// Four trits a byte, rows a quarter of the matrix apart.
fn packed(trits: &[i8]) -> Vec<u8> {
    let quarter = trits.len() / 4;
    let code = |i: usize| (trits[i] + 1) as u8;
    (0..quarter)
        .map(|i| (0..4).fold(0, |byte, j| byte | code(i + j * quarter) << (2 * j)))
        .collect()
}

fn vector(name: String, values: Vec<f32>) -> Tensor {
    let len = values.len();
    let (dtype, bytes) = floats(Floats::F32(values.into()));
    (name, dtype, vec![len], bytes)
}

fn floats(values: Floats) -> (Dtype, Vec<u8>) {
    match values {
        Floats::Bf16(bits) => (
            Dtype::BF16,
            bits.iter().flat_map(|b| b.to_le_bytes()).collect(),
        ),
        Floats::F32(values) => (
            Dtype::F32,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
    }
}
