//! What the fixtures load as, against values from outside the engine.

use bitgauge_engine::checkpoint::{
    Checkpoint, Floats, InvalidAt, Linear, Norm, WeightScale, quantize_weights, unpack_trits,
};
use serde_json::Value;

use super::folder::{MODEL, fixture_json, fixtures, hex, load, tensors_of};

fn ints(values: &Value) -> Vec<i64> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| value.as_i64().unwrap()).collect()
}

fn float(bits: &Value) -> f32 {
    f32::from_bits(u32::from_str_radix(bits.as_str().unwrap(), 16).unwrap())
}

#[test]
fn packed_trits_unpack() {
    let units = fixture_json("units.json");
    for case in units["packing"]["cases"].as_array().unwrap() {
        let packed = hex(case["packed_hex"].as_str().unwrap());
        let trits = unpack_trits(&packed).unwrap();
        let trits: Vec<_> = trits.into_iter().map(i64::from).collect();
        assert_eq!(trits, ints(&case["trits"]));
    }
    assert_eq!(units["packing"]["cases"].as_array().unwrap().len(), 6);
}

#[test]
fn a_byte_with_code_3_does_not_unpack() {
    let units = fixture_json("units.json");
    let invalid = hex(units["packing"]["invalid_bytes_hex"].as_str().unwrap());
    for byte in 0..=255 {
        // Alone, in the middle of a block, and after a full one.
        for (before, after) in [(0, 0), (7, 30), (5000, 1)] {
            let mut packed = vec![0x55; before + 1 + after];
            packed[before] = byte;
            let unpacked = unpack_trits(&packed);
            assert_eq!(unpacked.is_err(), invalid.contains(&byte), "{byte:#x}");
            if let Err(InvalidAt(place)) = unpacked {
                assert_eq!(place % packed.len(), before);
                let code = byte >> (2 * (place / packed.len())) & 3;
                assert_eq!(code, 3);
            }
        }
    }
}

#[test]
fn master_weights_quantize() {
    let units = fixture_json("units.json");
    let cases = units["online"]["cases"].as_array().unwrap();
    for case in cases {
        let weights: Vec<f32> = case["w"].as_array().unwrap().iter().map(float).collect();
        // All of them are bf16 values.
        let upper: Vec<_> = weights.iter().map(|w| (w.to_bits() >> 16) as u16).collect();
        for weights in [
            Floats::F32(weights.clone().into()),
            Floats::Bf16(upper.into()),
        ] {
            let (trits, scale) = quantize_weights(&weights);
            let trits: Vec<_> = trits.into_iter().map(i64::from).collect();
            assert_eq!(trits, ints(&case["trits"]));
            let value = case["value"].as_f64().unwrap();
            assert!(
                (f64::from(scale) / value - 1.0).abs() < 3e-7,
                "{scale} {value}"
            );
        }
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn a_half_rounds_to_even_and_a_zero_matrix_to_zeros() {
    // mean |W| = 1, so that c = 1 and W is rounded as it stands.
    let weights = vec![0.5, -0.5, 0.75, -0.75, 1.5, -1.5, 2.0, -0.5000001];
    let (trits, scale) = quantize_weights(&Floats::F32(weights.into()));
    assert_eq!(trits, [0, 0, 1, -1, 1, -1, 1, -1]);
    assert_eq!(scale, 1.0);
    let (trits, scale) = quantize_weights(&Floats::F32(vec![0.0, -0.0, 0.0].into()));
    assert_eq!(trits, [0, 0, 0]);
    assert!((scale / 1e-5 - 1.0).abs() < 3e-7);
}

/// The taps hold the int8 input and the exact int32 output of each linear of
/// layer 0, so that they tell whether each trit is where it belongs.
#[test]
fn the_trits_of_the_fixtures_give_the_golden_accumulators() {
    for name in ["A", "C", "trained"] {
        let checkpoint = Checkpoint::open(&fixtures().join(name)).unwrap();
        let golden = fixture_json(&format!("{name}/golden.json"));
        for linear in Linear::ALL {
            let tap = &golden["taps"]["linears"][linear.name()];
            let (trits, _) = checkpoint.linear(0, linear).unwrap();
            let (rows, columns) = linear.shape(checkpoint.config());
            let input = ints(&tap["input_i8"]);
            assert_eq!((trits.len(), input.len()), (rows * columns, columns));
            let dot = |row: &[i8]| {
                row.iter()
                    .zip(&input)
                    .map(|(&w, &q)| i64::from(w) * q)
                    .sum()
            };
            let sums: Vec<i64> = trits.chunks(columns).map(dot).collect();
            assert_eq!(sums, ints(&tap["acc_i32"]), "{name} {}", linear.name());
        }
    }
}

/// By the tests' own reader of files.
#[test]
fn norms_scales_and_embedding_are_the_files_own() {
    for name in ["A", "C", "trained"] {
        let dir = fixtures().join(name);
        let tensors = tensors_of(&std::fs::read(dir.join(MODEL)).unwrap());
        let values = |tensor: &str| -> Vec<f32> {
            let tensor = tensors.iter().find(|t| t.name == tensor).unwrap();
            let widen = |bytes: &[u8]| match *bytes {
                [a, b] => f32::from_le_bytes([0, 0, a, b]),
                [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
                _ => panic!("neither bf16 nor f32"),
            };
            let width = if tensor.dtype == "BF16" { 2 } else { 4 };
            tensor.data.chunks(width).map(widen).collect()
        };
        let checkpoint = Checkpoint::open(&dir).unwrap();
        let embedding = checkpoint.embedding().unwrap();
        let each: Vec<_> = (0..embedding.len()).map(|i| embedding.get(i)).collect();
        assert_eq!(each, values("model.embed_tokens.weight"));
        assert_eq!(embedding.into_f32(), values("model.embed_tokens.weight"));
        assert_eq!(
            checkpoint.final_norm().unwrap(),
            values("model.norm.weight")
        );
        for layer in 0..checkpoint.config().num_hidden_layers {
            let p = format!("model.layers.{layer}.");
            for (norm, tensor) in [
                (Norm::Input, "input_layernorm.weight"),
                (Norm::PostAttention, "post_attention_layernorm.weight"),
                (Norm::AttnSub, "self_attn.attn_sub_norm.weight"),
                (Norm::FfnSub, "mlp.ffn_sub_norm.weight"),
            ] {
                let expected = values(&(p.clone() + tensor));
                assert_eq!(checkpoint.norm(layer, norm).unwrap(), expected);
            }
            for (linear, tensor) in [
                (Linear::Q, "self_attn.q_proj.weight_scale"),
                (Linear::K, "self_attn.k_proj.weight_scale"),
                (Linear::V, "self_attn.v_proj.weight_scale"),
                (Linear::O, "self_attn.o_proj.weight_scale"),
                (Linear::Gate, "mlp.gate_proj.weight_scale"),
                (Linear::Up, "mlp.up_proj.weight_scale"),
                (Linear::Down, "mlp.down_proj.weight_scale"),
            ] {
                let expected = values(&(p.clone() + tensor))[0];
                let (_, scale) = checkpoint.linear(layer, linear).unwrap();
                assert_eq!(scale, WeightScale::Multiply(expected));
            }
        }
    }
}

#[test]
fn defaults_are_those_of_the_config_class() {
    let path = std::path::Path::new("config.json");
    let text = r#"{"model_type": "bitnet", "quantization_config": {"quant_method": "bitnet"}}"#;
    let config = bitgauge_engine::checkpoint::Config::parse(text, path).unwrap();
    let expected = r#"Config { vocab_size: 128256, hidden_size: 2560, intermediate_size: 6912,
        num_hidden_layers: 30, num_attention_heads: 20, num_key_value_heads: 5, head_dim: 128,
        max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 500000.0,
        tie_word_embeddings: false, bos_token_id: Some(128000), eos_token_ids: [128001],
        linear_class: BitLinear, quantization_mode: Offline }"#;
    let words: Vec<_> = expected.split_whitespace().collect();
    assert_eq!(format!("{config:?}"), words.join(" "));

    let nulls = r#"{"model_type": "bitnet", "quantization_config": {"quant_method": "bitnet"},
        "num_key_value_heads": null, "head_dim": null, "bos_token_id": null,
        "eos_token_id": null, "rope_parameters": {"rope_theta": 10000}, "rope_theta": 1.0}"#;
    let config = bitgauge_engine::checkpoint::Config::parse(nulls, path).unwrap();
    assert_eq!(config.num_key_value_heads, 20);
    assert_eq!((config.bos_token_id, config.eos_token_ids), (None, vec![]));
    assert_eq!(config.rope_theta, 10000.0);
}

#[test]
fn inspection_lists_every_tensor_with_its_bytes() {
    let checkpoint = Checkpoint::open(&fixtures().join("A")).unwrap();
    let size = std::fs::metadata(fixtures().join("A").join(MODEL))
        .unwrap()
        .len();
    assert_eq!(checkpoint.files().collect::<Vec<_>>(), [(MODEL, size)]);
    assert!(checkpoint.extra_tensors().is_empty());
    // Two layers of 4 norms, 7 linears and 7 scales; embedding and last norm.
    assert_eq!(checkpoint.tensors().count(), 2 * 18 + 2);
    let scale = checkpoint
        .tensors()
        .find(|t| t.name == "model.layers.0.self_attn.q_proj.weight_scale")
        .unwrap();
    assert_eq!(
        (scale.dtype.to_string().as_str(), scale.shape),
        ("BF16", &[1][..])
    );
    assert_eq!((scale.file, scale.bytes), (MODEL, 16882..16884));
    let bytes: u64 = checkpoint
        .tensors()
        .map(|t| t.bytes.end - t.bytes.start)
        .sum();
    assert_eq!(bytes, size - 8 - 3872);
}

#[test]
fn every_fixture_loads() {
    for name in ["A", "C", "trained"] {
        load(&fixtures().join(name)).unwrap();
    }
}
