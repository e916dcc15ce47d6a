//! Checkpoint folders for the tests, a writer of their own, and a reader of
//! everything.

use std::fs;
use std::path::{Path, PathBuf};

use bitgauge_engine::checkpoint::{
    Checkpoint, CheckpointError, Config, Floats, Linear, Norm, WeightScale,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub const MODEL: &str = "model.safetensors";
pub const INDEX: &str = "model.safetensors.index.json";
pub const CONFIG: &str = "config.json";

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

pub fn fixture_json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixtures().join(name)).unwrap()).unwrap()
}

/// A folder that goes with the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A copy of fixture A.
    pub fn a() -> Self {
        let folder = Self::empty();
        for name in [CONFIG, MODEL] {
            folder.write(name, &fs::read(fixtures().join("A").join(name)).unwrap());
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }

    /// Replaces a file by a new one: to cut the old one to length and write it
    /// again makes some file systems wait for the disk.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        let _ = fs::remove_file(&path);
        fs::write(path, bytes).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }

    pub fn edit_config(&self, edit: impl FnOnce(&mut Map<String, Value>)) {
        let mut config: Value = serde_json::from_slice(&self.read(CONFIG)).unwrap();
        edit(config.as_object_mut().unwrap());
        self.write(CONFIG, config.to_string().as_bytes());
    }

    /// The message with which the folder is refused.
    pub fn refusal(&self) -> String {
        match load(self.path()) {
            Ok(_) => panic!("the folder was loaded"),
            Err(error) => error.to_string(),
        }
    }
}

/// All that a model needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    pub embedding: Floats,
    pub head: Option<Floats>,
    pub final_norm: Vec<f32>,
    pub norms: Vec<Vec<f32>>,
    pub linears: Vec<(Vec<i8>, WeightScale)>,
}

/// Opens a folder and reads every tensor.
pub fn load(dir: &Path) -> Result<Loaded, CheckpointError> {
    let checkpoint = Checkpoint::open(dir)?;
    let mut loaded = Loaded {
        config: checkpoint.config().clone(),
        embedding: checkpoint.embedding()?,
        head: checkpoint.head()?,
        final_norm: checkpoint.final_norm()?,
        norms: Vec::new(),
        linears: Vec::new(),
    };
    for layer in 0..checkpoint.config().num_hidden_layers {
        for norm in Norm::ALL {
            loaded.norms.push(checkpoint.norm(layer, norm)?);
        }
        for linear in Linear::ALL {
            loaded.linears.push(checkpoint.linear(layer, linear)?);
        }
    }
    Ok(loaded)
}

/// A tensor as the tests write it.
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

impl Tensor {
    pub fn new(name: &str, dtype: &'static str, shape: &[usize], data: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
            data,
        }
    }
}

/// The bytes of a safetensors file with these tensors in this order.
pub fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for tensor in tensors {
        let start = data.len();
        data.extend(&tensor.data);
        let entry = json!({
            "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, data.len()],
        });
        header.insert(tensor.name.clone(), entry);
    }
    with_header(&Value::Object(header).to_string(), &data)
}

/// The bytes of a safetensors file with this header, right or wrong.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// Header text and data of a well-formed file.
pub fn split_header(file: &[u8]) -> (String, Vec<u8>) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(file[8..8 + length].to_vec()).unwrap();
    (header, file[8 + length..].to_vec())
}

/// The tensors of a well-formed file, by a reader that shares nothing with the
/// one under test.
pub fn tensors_of(file: &[u8]) -> Vec<Tensor> {
    let (header, data) = split_header(file);
    let header: Map<String, Value> = serde_json::from_str(&header).unwrap();
    let entries = header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__");
    entries
        .map(|(name, entry)| {
            let number = |value: &Value| value.as_u64().unwrap() as usize;
            let range = number(&entry["data_offsets"][0])..number(&entry["data_offsets"][1]);
            let shape = entry["shape"].as_array().unwrap().iter().map(number);
            Tensor {
                dtype: match entry["dtype"].as_str().unwrap() {
                    "BF16" => "BF16",
                    "F32" => "F32",
                    "U8" => "U8",
                    other => panic!("fixtures hold no {other}"),
                },
                shape: shape.collect(),
                data: data[range].to_vec(),
                name,
            }
        })
        .collect()
}

pub fn hex(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}
