//! A model takes little more memory than its weights, also while it is loaded.
#![cfg(target_os = "linux")]

mod program;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use program::{bitgauge, end, fixtures};
use serde_json::{Value, json};

const VOCABULARY: usize = 120_000;
const HIDDEN: usize = 1024;
const INTERMEDIATE: usize = 2048;
const LAYERS: usize = 48;

/// A folder whose file is almost all holes, and so takes no room on the disk: trits of -1, an embedding
/// of zeros, and scales, the only tensors that must not be zero.
fn write(dir: &Path) {
    let config = json!({
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "hidden_act": "relu2",
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e4,
        "tie_word_embeddings": true,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    });
    fs::write(dir.join("config.json"), config.to_string()).unwrap();

    let (mut header, mut bytes, mut scales) = (BTreeMap::new(), 0, Vec::new());
    let mut add = |name: String, dtype: &str, shape: &[usize]| {
        let width = BTreeMap::from([("U8", 1), ("BF16", 2), ("F32", 4)])[dtype];
        let begin = bytes;
        bytes += shape.iter().product::<usize>() * width;
        let tensor = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, bytes]});
        header.insert(name, tensor);
        begin
    };
    let embedding = "model.embed_tokens.weight".to_owned();
    add(embedding, "BF16", &[VOCABULARY, HIDDEN]);
    add("model.norm.weight".into(), "F32", &[HIDDEN]);
    for layer in 0..LAYERS {
        let norms = [
            ("input_layernorm", HIDDEN),
            ("post_attention_layernorm", HIDDEN),
            ("self_attn.attn_sub_norm", HIDDEN),
            ("mlp.ffn_sub_norm", INTERMEDIATE),
        ];
        for (norm, len) in norms {
            add(format!("model.layers.{layer}.{norm}.weight"), "F32", &[len]);
        }
        let linears = [
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", HIDDEN, HIDDEN),
            ("self_attn.v_proj", HIDDEN, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", INTERMEDIATE, HIDDEN),
            ("mlp.up_proj", INTERMEDIATE, HIDDEN),
            ("mlp.down_proj", HIDDEN, INTERMEDIATE),
        ];
        for (linear, rows, cols) in linears {
            let weight = format!("model.layers.{layer}.{linear}.weight");
            scales.push(add(format!("{weight}_scale"), "F32", &[1]));
            add(weight, "U8", &[rows / 4, cols]);
        }
    }
    let header = serde_json::to_string(&header).unwrap();
    let mut file = File::create(dir.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let front = file.stream_position().unwrap();
    file.set_len(front + bytes as u64).unwrap();
    for scale in scales {
        file.seek(SeekFrom::Start(front + scale as u64)).unwrap();
        file.write_all(&1_f32.to_le_bytes()).unwrap();
    }
}

/// Bytes of weights and cache, and the most that was held.
fn loaded(model: &Path) -> (f64, f64) {
    let ended = end(bitgauge(["inspect", "--load", "--json"]).arg(model));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let bytes = |key: &str| document.pointer(key).and_then(Value::as_f64).expect(key);
    let kept = bytes("/loading/weight_bytes") + bytes("/loading/cache_bytes");
    (kept, bytes("/loading/peak_resident_bytes/is"))
}

#[test]
fn no_more_than_a_tenth_beside_the_weights_is_held_while_loading() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    write(&folder);
    let packed = dir.path().join("packed");
    let repacked = end(bitgauge(["repack"]).arg(&folder).arg("--out").arg(&packed));
    assert_eq!(repacked.status, Some(0), "{repacked:?}");
    // What the program takes before it has a model worth the name.
    let (_, program) = loaded(&fixtures().join("trained"));
    let embedding = (VOCABULARY * HIDDEN * 2) as f64;
    for model in [folder, packed] {
        let (kept, peak) = loaded(&model);
        assert!(kept > 1.2 * embedding, "{kept} bytes of weights and cache");
        let excess = (peak - program) / kept - 1.0;
        let model = model.display();
        assert!((0.0..=0.1).contains(&excess), "{model}: {excess}");
    }
}
