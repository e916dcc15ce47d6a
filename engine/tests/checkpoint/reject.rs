//! What a loader must reject, and what it must accept all the same.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::folder::{
    CONFIG, Folder, MODEL, Tensor, fixture_json, fixtures, hex, load, safetensors, split_header,
    tensors_of, with_header,
};

/// A copy of A, changed as a recipe says.
fn apply(recipe: &Value) -> Folder {
    let folder = Folder::a();
    let mut file = folder.read(MODEL);
    let number = |key: &str| recipe[key].as_u64().unwrap() as usize;
    let bytes = || hex(recipe["hex"].as_str().unwrap());
    match recipe["op"].as_str().unwrap() {
        "truncate" => file.truncate(number("keep")),
        "append" => file.extend(bytes()),
        "patch" => {
            let bytes = bytes();
            file[number("offset")..][..bytes.len()].copy_from_slice(&bytes);
        }
        "config" => folder.edit_config(|config| {
            config.extend(recipe["set"].as_object().cloned().unwrap_or_default());
            for key in recipe["unset"].as_array().into_iter().flatten() {
                config.remove(key.as_str().unwrap());
            }
        }),
        other => panic!("unknown operation {other}"),
    }
    folder.write(MODEL, &file);
    folder
}

/// The tensor whose entry or data lies at `offset` of the unchanged file.
fn tensor_at(file: &[u8], offset: usize) -> Option<String> {
    let (text, _) = split_header(file);
    let header: Map<String, Value> = serde_json::from_str(&text).unwrap();
    header.iter().find_map(|(name, entry)| {
        let key = format!("\"{name}\":");
        let start = 8 + text.find(&key)?;
        let end = start + key.len() + text[start - 8 + key.len()..].find('}')?;
        let data = |i: usize| Some(8 + text.len() + entry["data_offsets"][i].as_u64()? as usize);
        let inside = (start..end).contains(&offset) || (data(0)?..data(1)?).contains(&offset);
        (inside && name != "__metadata__").then(|| name.clone())
    })
}

#[test]
fn every_recipe_is_refused_with_file_and_tensor() {
    let recipes = fixture_json("reject.json");
    let recipes = recipes["load"].as_array().unwrap();
    let original = Folder::a().read(MODEL);
    let mut naming_a_tensor = 0;
    for recipe in recipes {
        let name = recipe["name"].as_str().unwrap();
        let started = Instant::now();
        let message = apply(recipe).refusal();
        assert!(started.elapsed() < Duration::from_secs(1), "{name}: slow");
        let config = recipe["op"] == "config";
        let file = if config { CONFIG } else { MODEL };
        assert!(message.contains(file), "{name}: {message}");
        let says_right = message.contains("; expected ") || message.contains(", but ");
        assert!(says_right, "{name}: {message}");
        let offset = recipe["offset"].as_u64().unwrap_or(0) as usize;
        if let Some(tensor) = tensor_at(&original, offset) {
            assert!(message.contains(&tensor), "{name}: {message}");
            naming_a_tensor += 1;
        }
    }
    assert_eq!(recipes.len(), 56);
    assert_eq!(naming_a_tensor, 19);
}

#[test]
fn every_accepted_recipe_loads_as_a() {
    let a = load(&fixtures().join("A")).unwrap();
    let recipes = fixture_json("reject.json");
    for recipe in recipes["accept"].as_array().unwrap() {
        let name = recipe["name"].as_str().unwrap();
        let mut loaded = load(apply(recipe).path()).unwrap();
        if name == "eos list" {
            assert_eq!(loaded.config.eos_token_ids, [1, 2]);
            loaded.config.eos_token_ids = vec![1];
        }
        assert!(loaded == a, "{name}");
    }
    assert_eq!(recipes["accept"].as_array().unwrap().len(), 8);
}

#[test]
fn the_place_of_a_bad_value_is_told() {
    for (offset, patch, place) in [
        (26953, "c0", "byte 26953: code 3 at row 48, column 5"),
        (27971, "03", "byte 27971: code 3 at row 15, column 63"),
        (16882, "c07f", "byte 16882: NaN"),
        (17604, "c07f", "byte 17604: NaN"),
        (3880 + 2 * 65, "80ff", "byte 4010: -inf at row 1, column 1"),
    ] {
        let recipe = json!({"op": "patch", "offset": offset, "hex": patch});
        let message = apply(&recipe).refusal();
        assert!(message.contains(place), "{message}");
    }
}

/// A with a header of the same data, rewritten.
fn with_text(edit: impl FnOnce(&str) -> String) -> String {
    let folder = Folder::a();
    let (text, data) = split_header(&folder.read(MODEL));
    folder.write(MODEL, &with_header(&edit(&text), &data));
    folder.refusal()
}

#[test]
fn a_name_that_occurs_twice_is_refused() {
    let twice = r#"{"model.norm.weight":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"#;
    let message = with_text(|text| text.replacen('{', twice, 1));
    assert!(message.contains("model.norm.weight"), "{message}");
    assert!(message.contains("each name once"), "{message}");
    // The same name, spelled differently.
    let escaped = twice.replace("norm", "n\\u006frm");
    let message = with_text(|text| text.replacen('{', &escaped, 1));
    assert!(message.contains("each name once"), "{message}");
}

#[test]
fn shapes_and_offsets_can_not_overflow() {
    for (shape, offsets) in [
        ("[4294967296,4294967296]", "[0,0]"),
        ("[18446744073709551615]", "[0,18446744073709551615]"),
        ("[18446744073709551616]", "[0,0]"),
        ("[9223372036854775808,2]", "[0,0]"),
        ("[0,4294967296,4294967296,4294967296]", "[1,1]"),
        ("[0]", "[18446744073709551615,18446744073709551615]"),
        ("[0.0]", "[0,0]"),
        ("[0]", "[0]"),
        ("[0]", "[0,0,0]"),
    ] {
        let entry =
            format!(r#"{{"bad":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}},"#);
        let message = with_text(|text| text.replacen('{', &entry, 1));
        assert!(
            message.contains("tensor bad at byte "),
            "{shape} {offsets}: {message}"
        );
    }
}

#[test]
fn gaps_overlaps_and_odd_entries_are_refused() {
    for (from, to, what) in [
        ("[12416,12418]", "[12414,12416]", "overlaps"),
        (
            "\"shape\":[1]",
            "\"shape\":[1],\"shape\":[1]",
            "duplicate field",
        ),
        (
            "{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[12416,12418]}",
            "[\"BF16\",[1],[12416,12418]]",
            "no object",
        ),
        ("{\"format\":\"pt\"}", "{\"format\":1}", "__metadata__"),
        ("{\"format\":\"pt\"}", "[]", "__metadata__"),
        ("}}", "}},", "trailing characters"),
    ] {
        let message = with_text(|text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        assert!(message.contains(what), "{message}");
    }
    let gap = Folder::a();
    let (text, mut data) = split_header(&gap.read(MODEL));
    let unused = r#"{"unused":{"dtype":"U8","shape":[1],"data_offsets":[END,NEXT]},"#
        .replace("END", &(data.len() + 1).to_string())
        .replace("NEXT", &(data.len() + 2).to_string());
    data.extend([0, 0]);
    gap.write(MODEL, &with_header(&text.replacen('{', &unused, 1), &data));
    let message = gap.refusal();
    assert!(
        message.contains("unused") && message.contains("gap"),
        "{message}"
    );
}

#[test]
fn a_tensor_must_fill_its_bytes_even_if_unused() {
    let folder = Folder::a();
    let (text, mut data) = split_header(&folder.read(MODEL));
    let unused = r#"{"unused":{"dtype":"U8","shape":[1],"data_offsets":[END,NEXT]},"#
        .replace("END", &data.len().to_string())
        .replace("NEXT", &(data.len() + 2).to_string());
    data.extend([0, 0]);
    folder.write(MODEL, &with_header(&text.replacen('{', &unused, 1), &data));
    let message = folder.refusal();
    assert!(
        message.contains("span 2 bytes; expected 1 bytes"),
        "{message}"
    );
}

#[test]
fn integers_are_no_norm() {
    let folder = Folder::a();
    let mut tensors = tensors_of(&folder.read(MODEL));
    let norm = tensors.iter_mut().find(|t| t.name == "model.norm.weight");
    norm.unwrap().dtype = "I16";
    folder.write(MODEL, &safetensors(&tensors));
    let message = folder.refusal();
    assert!(message.contains("model.norm.weight"), "{message}");
    assert!(
        message.contains("shape [64] of I16; expected shape [64] of BF16"),
        "{message}"
    );
}

#[test]
fn json_beyond_the_limit_is_not_read_even_if_it_is_right() {
    const LIMIT: usize = 4 << 20;
    let folder = Folder::a();
    let (mut header, data) = split_header(&folder.read(MODEL));
    header.push_str(&" ".repeat(LIMIT - header.len()));
    folder.write(MODEL, &with_header(&header, &data));
    let mut config = folder.read(CONFIG);
    config.resize(LIMIT, b' ');
    folder.write(CONFIG, &config);
    assert!(load(folder.path()).is_ok());
    config.push(b' ');
    folder.write(CONFIG, &config);
    assert!(
        folder.refusal().contains("more than 4194304 bytes"),
        "{}",
        folder.refusal()
    );
    config.pop();
    folder.write(CONFIG, &config);
    header.push(' ');
    folder.write(MODEL, &with_header(&header, &data));
    assert!(
        folder.refusal().contains("length is 4194305"),
        "{}",
        folder.refusal()
    );
}

#[test]
fn a_message_can_not_drive_the_terminal() {
    let entry = r#"{"\u001b[31m\n":{"dtype":"\u001b[31m"},"#;
    let message = with_text(|text| text.replacen('{', entry, 1));
    assert!(message.contains("[31m"), "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
}

#[test]
fn json_of_any_depth_and_length_is_refused_soon() {
    let deep = "[".repeat(1 << 20);
    let long = format!(
        "{{{}}}",
        (0..300_000)
            .map(|i| format!("\"{i}\":0,"))
            .collect::<String>()
    );
    let zeros = format!("{{\"x\":{{\"shape\":[{}0]}}}}", "0,".repeat(1 << 20));
    let huge = "x".repeat(64 << 20);
    for text in [deep, long, zeros, huge] {
        for name in [CONFIG, MODEL, "tied to neither"] {
            let folder = Folder::a();
            match name {
                CONFIG => folder.write(CONFIG, text.as_bytes()),
                MODEL => folder.write(MODEL, &with_header(&text, b"")),
                _ => {
                    folder.remove(MODEL);
                    folder.write("model.safetensors.index.json", text.as_bytes());
                }
            }
            let started = Instant::now();
            let message = folder.refusal();
            assert!(
                started.elapsed() < Duration::from_secs(1),
                "slow: {message}"
            );
            assert!(message.len() < 2000, "{} bytes of message", message.len());
        }
    }
}

#[test]
fn many_layers_fail_at_the_first_that_is_missing() {
    let folder = Folder::a();
    folder.edit_config(|config| {
        config.insert("num_hidden_layers".into(), json!(u64::MAX));
    });
    let started = Instant::now();
    let message = folder.refusal();
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(
        message.contains("model.layers.2.input_layernorm.weight is missing"),
        "{message}"
    );
}

#[test]
fn a_broken_config_rule_names_key_value_and_rule() {
    for (key, value, rule) in [
        (
            "num_attention_heads",
            json!(5),
            "divide hidden_size, which is 64",
        ),
        (
            "num_key_value_heads",
            json!(3),
            "divide num_attention_heads, which is 4",
        ),
        ("head_dim", json!(32), "which is 16"),
        ("num_attention_heads", json!(64), "divide"),
        ("intermediate_size", json!(162), "multiple of 4"),
        ("max_position_embeddings", json!(u64::MAX), "address space"),
        ("vocab_size", json!(1_u64 << 55), "address space"),
        (
            "rope_scaling",
            json!({"type": "default", "rope_theta": 1e4}),
            "agree",
        ),
        ("rms_norm_eps", json!(1e300), "finite in float32"),
        ("rms_norm_eps", json!(null), "a number"),
        ("rope_theta", json!(1e-300), "greater than 0"),
        ("rope_theta", json!("1e4"), "a number"),
        ("tie_word_embeddings", json!(1), "true or false"),
        ("eos_token_id", json!([1, -1]), "a list of them"),
        ("bos_token_id", json!(4294967296_u64), "a token id or null"),
        (
            "quantization_config",
            json!(null),
            "`quant_method` = `bitnet`",
        ),
        ("hidden_act", json!(null), "`relu2`"),
        ("vocab_size", json!(true), "a whole number"),
        ("vocab_size", json!(96.0), "a whole number"),
        (
            "rope_scaling",
            json!({"factor": 2.0}),
            "rope type `default`",
        ),
        (
            "rope_parameters",
            json!({"rope_type": "llama3"}),
            "rope type `default`",
        ),
        ("rope_parameters", json!([]), "an object or null"),
    ] {
        let folder = Folder::a();
        folder.edit_config(|config| {
            config.insert(key.into(), value.clone());
        });
        // 64 heads divide 64; it is the key/value heads that then stay 2, and d = 1 that is odd.
        let (key, rule) = if value == json!(64) {
            ("head_dim", "even")
        } else {
            (key, rule)
        };
        let message = folder.refusal();
        for part in [CONFIG, key, rule] {
            assert!(message.contains(part), "{key} {value}: {message}");
        }
    }
}

#[test]
fn inner_config_rules_name_the_whole_key() {
    for (key, value) in [
        ("quant_method", json!("gptq")),
        ("linear_class", json!("trilinear")),
        ("quantization_mode", json!("sometimes")),
        ("use_rms_norm", json!(true)),
        ("modules_to_not_convert", json!([])),
        (
            "modules_to_not_convert",
            json!(["lm_head", "model.layers.0"]),
        ),
    ] {
        let folder = Folder::a();
        folder.edit_config(|config| {
            config["quantization_config"][key] = value.clone();
        });
        let message = folder.refusal();
        assert!(
            message.contains(&format!("`quantization_config.{key}`")),
            "{message}"
        );
    }
    // A `bitlinear` module ignores the mode, so that this asks for what can't be had.
    let folder = Folder::a();
    folder.edit_config(|config| {
        config["quantization_config"] =
            json!({"quant_method": "bitnet", "quantization_mode": "online"});
    });
    assert!(folder.refusal().contains("autobitlinear"));
}

#[test]
fn a_config_key_that_occurs_twice_is_refused_with_its_place() {
    let folder = Folder::a();
    folder.write(
        CONFIG,
        b"{\"model_type\": \"bitnet\",\n \"model_type\": \"bitnet\"}",
    );
    let message = folder.refusal();
    assert!(message.contains("duplicate key model_type"), "{message}");
    assert!(message.contains("config.json at byte 37"), "{message}");
}

#[test]
fn other_things_than_files_are_refused_at_once() {
    for name in [CONFIG, MODEL] {
        let folder = Folder::a();
        folder.remove(name);
        let absent = folder.refusal();
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let message = folder.refusal();
        assert!(
            message.contains("is a folder; expected a regular file"),
            "{message}"
        );
        let place = if name == CONFIG {
            CONFIG
        } else {
            "neither model.safetensors"
        };
        assert!(absent.contains(place), "{absent}");
    }
    #[cfg(unix)]
    for name in [CONFIG, MODEL] {
        let folder = Folder::a();
        folder.remove(name);
        let path = folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(
            folder.refusal().contains("is a FIFO"),
            "{}",
            folder.refusal()
        );
        folder.remove(name);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(
            folder.refusal().contains("is a device"),
            "{}",
            folder.refusal()
        );
        folder.remove(name);
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(folder.refusal().contains(name), "{}", folder.refusal());
    }
    assert!(load(&fixtures().join("nowhere")).is_err());
    assert!(load(&fixtures().join("A").join(CONFIG)).is_err());
}

#[test]
fn a_tied_head_must_be_the_embedding() {
    let folder = Folder::a();
    let mut tensors = tensors_of(&folder.read(MODEL));
    let embedding = tensors
        .iter()
        .find(|t| t.name.ends_with("embed_tokens.weight"));
    let mut head = embedding.unwrap().clone();
    head.name = "lm_head.weight".into();
    tensors.push(head.clone());
    folder.write(MODEL, &safetensors(&tensors));
    let loaded = load(folder.path()).unwrap();
    assert!(loaded == load(&fixtures().join("A")).unwrap());
    assert_eq!(loaded.head, None);

    // The same values, wider.
    let wide = head
        .data
        .chunks(2)
        .flat_map(|bits| [0, 0, bits[0], bits[1]]);
    let wide = Tensor::new("lm_head.weight", "F32", &head.shape, wide.collect());
    *tensors.last_mut().unwrap() = wide;
    folder.write(MODEL, &safetensors(&tensors));
    assert_eq!(load(folder.path()).unwrap().head, None);

    head.data[2 * (64 * 3 + 5)] ^= 1;
    *tensors.last_mut().unwrap() = head.clone();
    folder.write(MODEL, &safetensors(&tensors));
    let message = folder.refusal();
    assert!(message.contains("lm_head.weight"), "{message}");
    assert!(message.contains("row 3, column 5"), "{message}");

    folder.edit_config(|config| {
        config.insert("tie_word_embeddings".into(), json!(false));
    });
    assert!(load(folder.path()).unwrap().head.is_some());
}
