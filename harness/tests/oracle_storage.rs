//! The ways in which one and the same model can be stored. Fixture A is
//! rewritten so that its golden logits, or a known permutation of them, must
//! come out again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bitgauge::fixtures::Golden;
use bitgauge::oracle::{Decoder, Model};
use serde_json::{Value, json};

type Tensors = BTreeMap<String, Tensor>;

#[derive(Clone)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn fixture_a() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/A")
}

fn tensors_of_a() -> Tensors {
    let file = std::fs::read(fixture_a().join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let (header, data) = file[8..].split_at(length);
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
    let number = |v: &Value| v.as_u64().unwrap() as usize;
    header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, value)| {
            let shape = value["shape"].as_array().unwrap();
            let range = number(&value["data_offsets"][0])..number(&value["data_offsets"][1]);
            let tensor = Tensor {
                dtype: value["dtype"].as_str().unwrap().into(),
                shape: shape.iter().map(number).collect(),
                bytes: data[range].to_vec(),
            };
            (name, tensor)
        })
        .collect()
}

fn write_tensors(path: &Path, tensors: &Tensors) {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, tensor) in tensors {
        let begin = data.len();
        data.extend(&tensor.bytes);
        header.insert(
            name.clone(),
            json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [begin, data.len()]}),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    std::fs::write(path, file).unwrap();
}

/// A folder with A's configuration, changed.
fn folder(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = std::fs::read(fixture_a().join("config.json")).unwrap();
    let mut config = serde_json::from_slice(&config).unwrap();
    change(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

fn store(change: impl FnOnce(&mut Value), tensors: &Tensors) -> Result<Model, String> {
    let folder = folder(change);
    write_tensors(&folder.path().join("model.safetensors"), tensors);
    Model::open(folder.path()).map_err(|error| error.to_string())
}

/// Prompt and golden logits of the case without near ties.
fn golden() -> (Vec<u32>, Vec<Vec<f64>>) {
    let golden = Golden::read(&fixture_a().join("golden.json")).unwrap();
    let case = golden
        .content
        .cases
        .iter()
        .find(|c| c.id == "tight-8+3")
        .unwrap();
    let rows = case.logits.chunks_exact(case.vocabulary());
    let rows = rows.map(|row| row.iter().map(|&l| f64::from(l)).collect());
    (case.prompt.clone(), rows.collect())
}

fn assert_golden(model: &Model, limit: f64, place: impl Fn(usize) -> usize) {
    let (prompt, expected) = golden();
    let mut decoder = Decoder::new(model);
    for (token, expected) in prompt.into_iter().zip(expected) {
        let logits = decoder.step(token).unwrap();
        assert_eq!(logits.len(), expected.len());
        for (v, golden) in expected.iter().enumerate() {
            let found = logits[place(v)];
            assert!((found - golden).abs() <= limit, "{found} {golden}");
        }
    }
}

const EXACT: f64 = 5e-7;
/// The tight cases' own tolerance is 7e-4; a rounded scale needs little of it.
const ROUNDED_SCALE: f64 = 2e-5;

fn same(v: usize) -> usize {
    v
}

fn widened(tensor: &Tensor) -> Vec<f32> {
    assert_eq!(tensor.dtype, "BF16");
    let (pairs, _) = tensor.bytes.as_chunks::<2>();
    pairs
        .iter()
        .map(|&[low, high]| f32::from_le_bytes([0, 0, low, high]))
        .collect()
}

fn f32_tensor(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor {
        dtype: "F32".into(),
        shape: shape.into(),
        bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

#[test]
fn as_it_is_and_with_real_tensors_as_f32() {
    let mut tensors = tensors_of_a();
    assert_golden(&store(|_| (), &tensors).unwrap(), EXACT, same);
    for tensor in tensors.values_mut().filter(|t| t.dtype == "BF16") {
        *tensor = f32_tensor(&tensor.shape, &widened(tensor));
    }
    assert_golden(&store(|_| (), &tensors).unwrap(), EXACT, same);
}

#[test]
fn a_norm_as_f16() {
    let mut tensors = tensors_of_a();
    // 1.25 in both formats.
    let mut logits_with = |dtype: &str, bits: u16| {
        let norm = tensors.get_mut("model.norm.weight").unwrap();
        norm.dtype = dtype.into();
        norm.bytes = norm
            .bytes
            .chunks(2)
            .flat_map(|_| bits.to_le_bytes())
            .collect();
        let model = store(|_| (), &tensors).unwrap();
        Decoder::new(&model).step(7).unwrap()
    };
    assert_eq!(logits_with("F16", 0x3d00), logits_with("BF16", 0x3fa0));
}

#[test]
fn scales_without_dimensions() {
    let mut tensors = tensors_of_a();
    for (name, tensor) in &mut tensors {
        if name.ends_with("weight_scale") {
            tensor.shape.clear();
        }
    }
    assert_golden(&store(|_| (), &tensors).unwrap(), EXACT, same);
}

#[test]
fn two_files_with_an_index() {
    let folder = folder(|_| ());
    let (first, second): (Tensors, Tensors) = tensors_of_a()
        .into_iter()
        .partition(|(name, _)| name.contains("layers.0"));
    let mut map = serde_json::Map::new();
    for (file, tensors) in [("one.safetensors", &first), ("two.safetensors", &second)] {
        assert!(!tensors.is_empty());
        write_tensors(&folder.path().join(file), tensors);
        map.extend(tensors.keys().map(|name| (name.clone(), file.into())));
    }
    let index = folder.path().join("model.safetensors.index.json");
    let write = |map: &serde_json::Map<String, Value>| {
        let text = json!({"metadata": {"total_size": 1}, "weight_map": map});
        std::fs::write(&index, text.to_string()).unwrap();
    };
    write(&map);
    assert_golden(&Model::open(folder.path()).unwrap(), EXACT, same);

    map.insert("model.norm.weight".into(), "one.safetensors".into());
    write(&map);
    let error = Model::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("`model.norm.weight`") && error.contains("one.safetensors"),
        "{error}"
    );
    map.insert("model.norm.weight".into(), "../two.safetensors".into());
    write(&map);
    let error = Model::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("without folders"), "{error}");
}

#[test]
fn a_head_of_its_own() {
    let untie = |config: &mut Value| config["tie_word_embeddings"] = false.into();
    let mut tensors = tensors_of_a();
    let mut head = tensors["model.embed_tokens.weight"].clone();
    tensors.insert("lm_head.weight".into(), head.clone());
    assert_golden(
        &store(|_| (), &tensors).expect("tied and equal"),
        EXACT,
        same,
    );

    // Rows one further down: token v's logit is found at v + 1.
    head.bytes.rotate_right(2 * head.shape[1]);
    let vocabulary = head.shape[0];
    tensors.insert("lm_head.weight".into(), head);
    let model = store(untie, &tensors).unwrap();
    assert!(!model.tied());
    assert_golden(&model, EXACT, |v| (v + 1) % vocabulary);

    let error = store(|_| (), &tensors).expect_err("tied but different");
    assert!(error.contains("lm_head.weight"), "{error}");
}

#[test]
fn scales_that_divide() {
    let mut tensors = tensors_of_a();
    for (name, tensor) in &mut tensors {
        if name.ends_with("weight_scale") {
            *tensor = f32_tensor(&[1], &[1.0 / widened(tensor)[0]]);
        }
    }
    // Absent, the class is `bitlinear`; it does not read the mode.
    for quantization in [
        json!({"quant_method": "bitnet"}),
        json!({"quant_method": "bitnet", "linear_class": "bitlinear", "quantization_mode": "online"}),
    ] {
        let change = |config: &mut Value| config["quantization_config"] = quantization;
        assert_golden(&store(change, &tensors).unwrap(), ROUNDED_SCALE, same);
    }
}

/// Master weights trit * b have the mean b * share of nonzeros, which becomes
/// the scale; so b is chosen to bring A's scale back.
#[test]
fn master_weights() {
    let mut tensors = tensors_of_a();
    let scales: Vec<String> = tensors
        .keys()
        .filter_map(|name| name.strip_suffix("_scale").map(String::from))
        .collect();
    assert_eq!(scales.len(), 14);
    for name in scales {
        let scale = widened(&tensors.remove(&format!("{name}_scale")).unwrap())[0];
        let packed = &tensors[&name];
        let [quarter, cols] = packed.shape[..] else {
            panic!("{name} is a matrix");
        };
        let mut trits = vec![0.0f32; 4 * quarter * cols];
        for (at, &byte) in packed.bytes.iter().enumerate() {
            for part in 0..4 {
                trits[part * quarter * cols + at] = f32::from((byte >> (2 * part)) & 3) - 1.0;
            }
        }
        let nonzero = trits.iter().filter(|t| **t != 0.0).count() as f32;
        let b = scale * trits.len() as f32 / nonzero;
        let weights: Vec<f32> = trits.iter().map(|t| t * b).collect();
        tensors.insert(name, f32_tensor(&[4 * quarter, cols], &weights));
    }
    let online = |config: &mut Value| {
        config["quantization_config"]["quantization_mode"] = "online".into();
    };
    assert_golden(&store(online, &tensors).unwrap(), ROUNDED_SCALE, same);
}
