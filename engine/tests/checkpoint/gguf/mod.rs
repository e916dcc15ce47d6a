//! GGUF files: what they load as, and what is refused.

mod blocks;
mod file;
mod load;
mod peers;
mod reject;

use std::path::PathBuf;

use bitgauge_engine::checkpoint::{
    Checkpoint, CheckpointError, Config, Gguf, Linear, Norm, WeightScale,
};
use bitgauge_engine::model::Source;
use tempfile::TempDir;

use self::file::{F32, File, I2_S, floats, linear_name, norm_name, ternary};
use super::folder::fixtures;

/// A file that goes with the test.
struct Stored(TempDir);

impl Stored {
    fn new(bytes: &[u8]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::write(folder.path(), bytes).unwrap();
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("model.gguf")
    }

    fn open(&self) -> Result<Gguf, CheckpointError> {
        Gguf::open(&self.path())
    }
}

/// The whole trained fixture.
fn trained() -> Checkpoint {
    Checkpoint::open(&fixtures().join("trained")).unwrap()
}

/// The trained fixture as a GGUF file. `linears` is the type of the matrices with rows of 256
/// values, `rest` that of the down projections, whose rows of 688 are no whole blocks.
fn converted(architecture: &str, embedding: u32, linears: u32, rest: u32) -> File {
    let source = trained();
    let config = source.config();
    let mut file = File::new(architecture, config);
    let values = source.embedding().unwrap().into_f32();
    let shape = [config.hidden_size, config.vocab_size];
    file.push(
        "token_embd.weight",
        &shape,
        embedding,
        floats(embedding, &values),
    );
    let mut norm = |name: &str, values: Vec<f32>| {
        file.push(name, &[values.len()], F32, floats(F32, &values));
    };
    norm("output_norm.weight", source.final_norm().unwrap());
    for layer in 0..config.num_hidden_layers {
        for kind in Norm::ALL {
            norm(&norm_name(layer, kind), source.norm(layer, kind).unwrap());
        }
    }
    for layer in 0..config.num_hidden_layers {
        for linear in Linear::ALL {
            let (trits, scale) = Source::linear(&source, layer, linear).unwrap();
            let WeightScale::Multiply(scale) = scale else {
                panic!("the fixture's scales multiply");
            };
            let (n, k) = linear.shape(config);
            let kind = if k.is_multiple_of(256) { linears } else { rest };
            file.push(
                &linear_name(layer, linear),
                &[k, n],
                kind,
                ternary(kind, &trits, k, scale),
            );
        }
    }
    file
}

/// A model of one layer that is as small as whole blocks of every type allow: rows of 256.
fn small() -> File {
    let config = Config {
        vocab_size: 2,
        hidden_size: 256,
        intermediate_size: 256,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        head_dim: 256,
        max_position_embeddings: 8,
        ..trained().config().clone()
    };
    let mut file = File::new("bitnet-b1.58", &config);
    let ones = |n| floats(F32, &vec![1.0; n]);
    file.push("token_embd.weight", &[256, 2], F32, ones(512));
    file.push("output_norm.weight", &[256], F32, ones(256));
    for norm in Norm::ALL {
        file.push(&norm_name(0, norm), &[256], F32, ones(256));
    }
    for linear in Linear::ALL {
        let zeros = ternary(I2_S, &[0; 256 * 256], 256, 0.5);
        file.push(&linear_name(0, linear), &[256, 256], I2_S, zeros);
    }
    file
}
