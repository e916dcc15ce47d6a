//! Checkpoints in several files.

use serde_json::{Map, Value, json};

use bitgauge_engine::checkpoint::Checkpoint;

use super::folder::{Folder, INDEX, MODEL, Tensor, fixtures, load, safetensors, tensors_of};

const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// A in two shards, and the weight map that goes with them.
pub fn sharded() -> (Folder, Map<String, Value>) {
    let folder = Folder::a();
    let tensors = tensors_of(&folder.read(MODEL));
    folder.remove(MODEL);
    let mut map = Map::new();
    for (part, name) in tensors
        .chunks(tensors.len().div_ceil(2))
        .zip([FIRST, SECOND])
    {
        folder.write(name, &safetensors(part));
        map.extend(part.iter().map(|t| (t.name.clone(), json!(name))));
    }
    write_index(&folder, &map);
    (folder, map)
}

fn write_index(folder: &Folder, map: &Map<String, Value>) {
    let index = json!({"metadata": {"total_size": 35356}, "weight_map": map});
    folder.write(INDEX, index.to_string().as_bytes());
}

const NORM: &str = "model.norm.weight";

#[test]
fn shards_load_as_the_whole() {
    let (folder, map) = sharded();
    assert!(map.values().any(|shard| shard == FIRST) && map.values().any(|shard| shard == SECOND));
    assert!(load(folder.path()).unwrap() == load(&fixtures().join("A")).unwrap());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let files: Vec<_> = checkpoint.files().map(|(name, _)| name).collect();
    assert_eq!(files, [FIRST, SECOND]);
}

#[test]
fn an_extra_tensor_is_reported() {
    let (folder, mut map) = sharded();
    let mut tensors = tensors_of(&folder.read(FIRST));
    tensors.push(Tensor::new("unused.weight", "U8", &[3], vec![1, 2, 3]));
    folder.write(FIRST, &safetensors(&tensors));
    // Not in the index, it is refused: readers differ on whether it exists.
    let message = folder.refusal();
    assert!(
        message.contains("unused.weight") && message.contains(INDEX),
        "{message}"
    );
    map.insert("unused.weight".into(), json!(FIRST));
    write_index(&folder, &map);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.extra_tensors(), ["unused.weight"]);
}

#[test]
fn a_tensor_must_be_where_the_index_says() {
    let (folder, map) = sharded();
    let holder = map[NORM].as_str().unwrap();
    let other = if holder == FIRST { SECOND } else { FIRST };
    let mut wrong = map.clone();
    wrong.insert(NORM.into(), json!(other));
    write_index(&folder, &wrong);
    let message = folder.refusal();
    for part in [INDEX, NORM, other, holder] {
        assert!(message.contains(part), "{message}");
    }

    let mut absent = map.clone();
    absent.insert("nowhere.weight".into(), json!(FIRST));
    write_index(&folder, &absent);
    let message = folder.refusal();
    assert!(message.contains("nowhere.weight"), "{message}");

    let mut unlisted = map;
    unlisted.remove(NORM);
    write_index(&folder, &unlisted);
    let message = folder.refusal();
    assert!(
        message.contains(NORM) && message.contains(INDEX),
        "{message}"
    );
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let (folder, map) = sharded();
    let holder = map[NORM].as_str().unwrap();
    let other = if holder == FIRST { SECOND } else { FIRST };
    let held = tensors_of(&folder.read(holder));
    let mut tensors = tensors_of(&folder.read(other));
    tensors.push(held.into_iter().find(|t| t.name == NORM).unwrap());
    folder.write(other, &safetensors(&tensors));
    let message = folder.refusal();
    assert!(message.contains(NORM), "{message}");
    assert!(
        message.contains(FIRST) && message.contains(SECOND),
        "{message}"
    );
}

#[test]
fn a_missing_or_broken_shard_is_refused_by_name() {
    let (folder, _) = sharded();
    let mut bytes = folder.read(SECOND);
    bytes.pop();
    folder.write(SECOND, &bytes);
    assert!(folder.refusal().contains(SECOND), "{}", folder.refusal());
    folder.remove(SECOND);
    assert!(folder.refusal().contains(SECOND), "{}", folder.refusal());
}

#[test]
fn a_missing_tensor_is_missing_from_the_index() {
    let (folder, mut map) = sharded();
    let holder = map.remove(NORM).unwrap();
    let mut tensors = tensors_of(&folder.read(holder.as_str().unwrap()));
    tensors.retain(|t| t.name != NORM);
    folder.write(holder.as_str().unwrap(), &safetensors(&tensors));
    write_index(&folder, &map);
    let message = folder.refusal();
    assert!(message.contains(INDEX), "{message}");
    assert!(
        message.contains("model.norm.weight is missing"),
        "{message}"
    );
}

#[test]
fn a_shard_outside_the_folder_is_refused() {
    let (outside, map) = sharded();
    let stolen = outside.path().join(FIRST);
    let (folder, _) = sharded();
    for path in [
        stolen.to_str().unwrap(),
        "../model.safetensors",
        "sub/../../model.safetensors",
        "./model-00001-of-00002.safetensors",
        "..\\model.safetensors",
        ".",
        "",
        "\u{0}",
    ] {
        let mut wrong = map.clone();
        wrong.insert(NORM.into(), json!(path));
        write_index(&folder, &wrong);
        let message = folder.refusal();
        assert!(
            message.contains("a file inside the folder"),
            "{path}: {message}"
        );
        assert!(
            message.contains(NORM) && message.contains(INDEX),
            "{path}: {message}"
        );
    }
}

#[test]
fn an_index_of_another_form_is_refused() {
    let (folder, map) = sharded();
    for (text, part) in [
        ("", "byte 0"),
        ("[]", "weight_map"),
        ("{}", "weight_map"),
        ("{\"weight_map\": []}", "weight_map"),
        ("{\"weight_map\": {\"a\": 1}}", "a file inside the folder"),
        ("{\"weight_map\": {}}", "is missing"),
        (
            "{\"weight_map\": {\"a\": \"x\", \"a\": \"x\"}}",
            "duplicate key a",
        ),
        ("{\"weight_map\": {}} x", "byte 19"),
    ] {
        folder.write(INDEX, text.as_bytes());
        let message = folder.refusal();
        assert!(
            message.contains(part) && message.contains(INDEX),
            "{text}: {message}"
        );
    }
    write_index(&folder, &map);
    assert!(load(folder.path()).is_ok());
}
