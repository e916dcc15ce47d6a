//! Kinds of checkpoint that no fixture in the repository has: `bitlinear`,
//! online master weights, an untied head, F16 and F32, unaligned data.

use bitgauge_engine::checkpoint::{Floats, Linear, Norm, WeightScale};
use serde_json::{Value, json};

use super::folder::{CONFIG, Folder, MODEL, Tensor, fixture_json, load, safetensors};

const V: usize = 5;
const H: usize = 12;
const I: usize = 8;

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn u16s(bits: &[u16]) -> Vec<u8> {
    bits.iter().flat_map(|b| b.to_le_bytes()).collect()
}

/// Where in the list of [`super::folder::Loaded::linears`] a linear of layer 0 is.
fn position(linear: Linear) -> usize {
    Linear::ALL.iter().position(|&l| l == linear).unwrap()
}

const LINEARS: [(&str, usize, usize); 7] = [
    ("self_attn.q_proj", H, H),
    ("self_attn.k_proj", 4, H),
    ("self_attn.v_proj", 4, H),
    ("self_attn.o_proj", H, H),
    ("mlp.gate_proj", I, H),
    ("mlp.up_proj", I, H),
    ("mlp.down_proj", H, I),
];

/// One layer, three heads of width 4, one key/value head.
fn folder(quantization: Value) -> Folder {
    let folder = Folder::empty();
    let config = json!({
        "model_type": "bitnet", "vocab_size": V, "hidden_size": H, "intermediate_size": I,
        "num_hidden_layers": 1, "num_attention_heads": 3, "num_key_value_heads": 1,
        "quantization_config": quantization,
    });
    folder.write(CONFIG, config.to_string().as_bytes());
    folder
}

/// All but the linears: the embedding in F16, the head in F32. A single byte in
/// front leaves every tensor unaligned.
fn frame(f16: u16) -> Vec<Tensor> {
    let norm = |name: &str, n| Tensor::new(name, "F16", &[n], u16s(&vec![f16; n]));
    let head: Vec<f32> = (0..V * H).map(|i| i as f32 - 0.1).collect();
    vec![
        Tensor::new("aaa", "U8", &[1], vec![7]),
        Tensor::new(
            "model.embed_tokens.weight",
            "F16",
            &[V, H],
            u16s(&[0x3c00; V * H]),
        ),
        Tensor::new("lm_head.weight", "F32", &[V, H], f32s(&head)),
        norm("model.norm.weight", H),
        norm("model.layers.0.input_layernorm.weight", H),
        norm("model.layers.0.post_attention_layernorm.weight", H),
        norm("model.layers.0.self_attn.attn_sub_norm.weight", H),
        norm("model.layers.0.mlp.ffn_sub_norm.weight", I),
    ]
}

/// Trit `i` of each linear of the online models.
fn trit(i: usize) -> i8 {
    [-1, 0, 1, 1, 0][i % 5]
}

fn online_linears(tensor: impl Fn(&str, usize, usize, Vec<f32>) -> Tensor) -> Vec<Tensor> {
    let linears = LINEARS.iter();
    linears
        .map(|&(name, n, k)| {
            let weights = (0..n * k).map(|i| f32::from(trit(i)) * 0.25).collect();
            tensor(&format!("model.layers.0.{name}.weight"), n, k, weights)
        })
        .collect()
}

fn check_online(folder: &Folder) {
    let loaded = load(folder.path()).unwrap();
    for (i, &(_, n, k)) in LINEARS.iter().enumerate() {
        let (trits, scale) = &loaded.linears[i];
        let expected: Vec<_> = (0..n * k).map(trit).collect();
        assert_eq!(*trits, expected);
        let mean = 0.25 * expected.iter().filter(|&&t| t != 0).count() as f64 / (n * k) as f64;
        let WeightScale::Multiply(scale) = *scale else {
            panic!("an online scale multiplies");
        };
        assert!(
            (f64::from(scale) / mean - 1.0).abs() < 3e-7,
            "{scale} {mean}"
        );
    }
}

fn online() -> Folder {
    folder(json!({
        "quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online",
    }))
}

#[test]
fn online_weights_of_every_float_type_are_quantized() {
    let f32_linears = online_linears(|name, n, k, w| Tensor::new(name, "F32", &[n, k], f32s(&w)));
    let bf16_linears = online_linears(|name, n, k, w| {
        let bits: Vec<_> = w.iter().map(|w| (w.to_bits() >> 16) as u16).collect();
        Tensor::new(name, "BF16", &[n, k], u16s(&bits))
    });
    let f16_linears = online_linears(|name, n, k, w| {
        let bits = w.iter().map(|&w| match w {
            0.0 => 0,
            0.25 => 0x3400,
            _ => 0xb400,
        });
        Tensor::new(name, "F16", &[n, k], u16s(&bits.collect::<Vec<_>>()))
    });
    for linears in [f32_linears, bf16_linears, f16_linears] {
        let folder = online();
        let tensors = [frame(0x3c00), linears].concat();
        folder.write(MODEL, &safetensors(&tensors));
        check_online(&folder);
    }
}

#[test]
fn a_master_weight_that_is_not_finite_is_refused() {
    let folder = online();
    let mut linears = online_linears(|name, n, k, w| Tensor::new(name, "F32", &[n, k], f32s(&w)));
    linears[6].data[4 * 9..4 * 10].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    folder.write(MODEL, &safetensors(&[frame(0x3c00), linears].concat()));
    let message = folder.refusal();
    assert!(message.contains("mlp.down_proj.weight"), "{message}");
    assert!(message.contains("-inf at row 1, column 1"), "{message}");
}

#[test]
fn an_untied_head_is_its_own() {
    let folder = online();
    let linears = online_linears(|name, n, k, w| Tensor::new(name, "F32", &[n, k], f32s(&w)));
    let tensors = [frame(0x3c00), linears].concat();
    folder.write(MODEL, &safetensors(&tensors));
    let loaded = load(folder.path()).unwrap();
    let head: Vec<_> = (0..V * H).map(|i| i as f32 - 0.1).collect();
    assert_eq!(loaded.head, Some(Floats::F32(head.into())));
    assert_eq!(loaded.embedding, Floats::F32(vec![1.0; V * H].into()));
}

#[test]
fn float16_is_widened_exactly() {
    let units = fixture_json("units.json");
    for pair in units["misc"]["f16_to_f32"].as_array().unwrap() {
        let bits = |i: usize| u32::from_str_radix(pair[i].as_str().unwrap(), 16).unwrap();
        let folder = online();
        let linears = online_linears(|name, n, k, w| Tensor::new(name, "F32", &[n, k], f32s(&w)));
        folder.write(
            MODEL,
            &safetensors(&[frame(bits(0) as u16), linears].concat()),
        );
        let loaded = load(folder.path()).unwrap();
        let expected = f32::from_bits(bits(1)).to_bits();
        assert!(loaded.final_norm.iter().all(|v| v.to_bits() == expected));
        assert_eq!(loaded.norms.len(), Norm::ALL.len());
        assert!(
            loaded
                .norms
                .iter()
                .flatten()
                .all(|v| v.to_bits() == expected)
        );
    }
    // And what is not finite is refused in this type too.
    let folder = online();
    let linears = online_linears(|name, n, k, w| Tensor::new(name, "F32", &[n, k], f32s(&w)));
    folder.write(MODEL, &safetensors(&[frame(0x7c00), linears].concat()));
    assert!(
        folder.refusal().contains("model.norm.weight"),
        "{}",
        folder.refusal()
    );
}

#[test]
fn bfloat16_is_widened_exactly() {
    let units = fixture_json("units.json");
    for pair in units["misc"]["bf16_to_f32"].as_array().unwrap() {
        let bits = |i: usize| u32::from_str_radix(pair[i].as_str().unwrap(), 16).unwrap();
        let floats = Floats::Bf16(vec![bits(0) as u16].into());
        assert_eq!(floats.get(0).to_bits(), bits(1));
        assert_eq!(floats.into_f32()[0].to_bits(), bits(1));
    }
}

/// Packed weights of all ones but for the last row of the query projection.
fn packed(scale: Tensor) -> Vec<Tensor> {
    let linears = LINEARS.iter().flat_map(|&(name, n, k)| {
        let mut data = vec![0b10_10_10_10; n / 4 * k];
        if name.ends_with("q_proj") {
            // Rows 2, 5, 8 and 11: 1, 1, 1 and -1.
            data[2 * k..].fill(0b00_10_10_10);
        }
        let name = format!("model.layers.0.{name}.weight");
        let mut scale = scale.clone();
        scale.name = format!("{name}_scale");
        [Tensor::new(&name, "U8", &[n / 4, k], data), scale]
    });
    frame(0x3c00).into_iter().chain(linears).collect()
}

#[test]
fn a_bitlinear_scale_divides() {
    for quantization in [
        json!({"quant_method": "bitnet"}),
        json!({"quant_method": "bitnet", "linear_class": "bitlinear"}),
    ] {
        // The scale of shape [] is as good as that of shape [1].
        for shape in [&[][..], &[1]] {
            let folder = folder(quantization.clone());
            let scale = Tensor::new("", "F32", shape, f32s(&[40.5]));
            folder.write(MODEL, &safetensors(&packed(scale)));
            let loaded = load(folder.path()).unwrap();
            let scales = loaded.linears.iter().map(|(_, scale)| *scale);
            assert!(scales.into_iter().all(|s| s == WeightScale::Divide(40.5)));
            let (q, _) = &loaded.linears[position(Linear::Q)];
            assert!(q[..11 * H].iter().all(|&t| t == 1) && q[11 * H..].iter().all(|&t| t == -1));
        }
    }
}

#[test]
fn a_scale_of_another_shape_is_refused() {
    let folder = folder(json!({"quant_method": "bitnet"}));
    let scale = Tensor::new("", "F32", &[1, 1], f32s(&[40.5]));
    folder.write(MODEL, &safetensors(&packed(scale)));
    let message = folder.refusal();
    assert!(
        message.contains("weight_scale") && message.contains("[1, 1]"),
        "{message}"
    );
}

#[test]
fn weights_of_the_other_mode_are_refused() {
    let online = online();
    let scale = Tensor::new("", "F32", &[1], f32s(&[40.5]));
    online.write(MODEL, &safetensors(&packed(scale)));
    let message = online.refusal();
    assert!(message.contains("shape [3, 12] of U8"), "{message}");
    assert!(
        message.contains("shape [12, 12] of BF16, F16 or F32"),
        "{message}"
    );

    let offline = folder(json!({"quant_method": "bitnet"}));
    let linears = online_linears(|name, n, k, w| Tensor::new(name, "F32", &[n, k], f32s(&w)));
    offline.write(MODEL, &safetensors(&[frame(0x3c00), linears].concat()));
    let message = offline.refusal();
    assert!(message.contains("shape [3, 12] of U8"), "{message}");
}
