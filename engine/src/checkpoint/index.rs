//! `model.safetensors.index.json`: which shard holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde_json::Value;

use super::error::{CheckpointError, shown};
use super::file;
use super::json;

/// Tensor name -> name of its shard, as the index has it.
pub(super) struct Index {
    pub shard_of: BTreeMap<String, String>,
}

impl Index {
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let text = file::read_text(path)?;
        let syntax = |offset: usize, found: String| CheckpointError::Syntax {
            path: path.to_owned(),
            offset: offset as u64,
            found,
            right: "an object whose `weight_map` names the shard of each tensor".into(),
        };
        let value = json::parse(&text).map_err(|fault| syntax(fault.offset, fault.message))?;
        let Some(Value::Object(weight_map)) = value.get("weight_map") else {
            return Err(syntax(0, "no object `weight_map`".into()));
        };
        let mut shard_of = BTreeMap::new();
        for (tensor, shard) in weight_map {
            let shard = shard.as_str().filter(|shard| stays_inside(shard));
            let Some(shard) = shard else {
                let found = format!(
                    "weight_map sends tensor {} to {}",
                    shown(tensor),
                    shown(&weight_map[tensor].to_string())
                );
                let right = "the name of a file inside the folder";
                return Err(CheckpointError::file(path, found, right));
            };
            shard_of.insert(tensor.clone(), shard.to_owned());
        }
        Ok(Self { shard_of })
    }

    /// The shards, each once.
    pub fn shards(&self) -> BTreeSet<&str> {
        self.shard_of.values().map(String::as_str).collect()
    }
}

/// Whether a relative path can't lead out of its folder by its spelling. Links
/// are followed: a download cache keeps its files elsewhere and links to them.
fn stays_inside(shard: &str) -> bool {
    let mut components = Path::new(shard).components().peekable();
    components.peek().is_some()
        && components.all(|part| matches!(part, Component::Normal(_)))
        && !shard.contains(['\\', '\0'])
}
