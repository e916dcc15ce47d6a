use bitgauge_engine::checkpoint::{Config, Linear, Norm};
use bitgauge_engine::model::{Best, Model, Source};
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Pool;

use super::file::{BF16, F16, F32, I2_S, TQ1_0, TQ2_0, text};
use super::{Stored, converted, small, trained};

/// The bits of the logits behind each of a few tokens.
fn logits(source: &dyn Source) -> Vec<u32> {
    let model = Model::load(source, &Best).unwrap();
    let pool = Pool::new(1).unwrap();
    let mut session = Session::new(&model, &pool, 8).unwrap();
    let tokens = [100, 101, 102, 32, 97];
    let each = tokens.map(|token| session.decode(token).unwrap().to_vec());
    each.concat().iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn logits_are_those_of_the_folder_bit_for_bit() {
    let expected = logits(&trained());
    for (architecture, embedding, linears, rest) in [
        ("bitnet-b1.58", BF16, I2_S, F32),
        ("bitnet-25", F32, TQ2_0, F16),
        ("bitnet-b1.58", F32, TQ1_0, BF16),
        ("bitnet-b1.58", BF16, F16, F16),
    ] {
        let file = converted(architecture, embedding, linears, rest);
        let stored = Stored::new(&file.bytes());
        let gguf = stored.open().unwrap();
        assert_eq!(
            logits(&gguf),
            expected,
            "types {embedding}, {linears} and {rest}"
        );
    }
}

#[test]
fn every_weight_and_every_number_is_that_of_the_folder() {
    let stored = Stored::new(&converted("bitnet-b1.58", BF16, I2_S, F16).bytes());
    let (gguf, folder) = (stored.open().unwrap(), trained());
    let folder: &dyn Source = &folder;
    assert_eq!(gguf.embedding().unwrap(), folder.embedding().unwrap());
    assert_eq!(gguf.final_norm().unwrap(), folder.final_norm().unwrap());
    for layer in 0..folder.config().num_hidden_layers {
        for norm in Norm::ALL {
            assert_eq!(
                gguf.norm(layer, norm).unwrap(),
                folder.norm(layer, norm).unwrap()
            );
        }
        for linear in Linear::ALL {
            let expected = folder.linear(layer, linear).unwrap();
            assert_eq!(
                gguf.linear(layer, linear).unwrap(),
                expected,
                "{layer} {linear:?}"
            );
        }
    }
    let as_float32 = |config: &Config| Config {
        rms_norm_eps: (config.rms_norm_eps as f32).into(),
        ..config.clone()
    };
    assert_eq!(*gguf.config(), as_float32(folder.config()));
}

#[test]
fn a_plain_bitnet_file_must_say_that_it_squares_a_relu() {
    let mut file = converted("bitnet", F32, I2_S, F32);
    let refusal = Stored::new(&file.bytes()).open().err().unwrap().to_string();
    assert!(
        refusal.contains("`bitnet.hidden_activation` is absent"),
        "{refusal}"
    );
    file.set("bitnet.hidden_activation", 8, text("relu2"));
    assert!(Stored::new(&file.bytes()).open().is_ok());
}

#[test]
fn what_a_file_may_leave_out_has_the_peers_defaults() {
    let mut file = small();
    for name in [
        "attention.head_count_kv",
        "rope.dimension_count",
        "vocab_size",
        "rope.freq_base",
    ] {
        file.metadata
            .retain(|(key, ..)| *key != format!("bitnet-b1.58.{name}"));
    }
    let stored = Stored::new(&file.bytes());
    let gguf = stored.open().unwrap();
    let config = gguf.config();
    assert_eq!(
        (
            config.num_key_value_heads,
            config.head_dim,
            config.vocab_size,
            config.rope_theta
        ),
        (1, 256, 2, 10_000.0)
    );
    assert_eq!(
        (config.bos_token_id, &config.eos_token_ids[..]),
        (None, &[][..])
    );
}

#[test]
fn end_tokens_and_another_alignment_are_read() {
    let mut file = small();
    file.set(
        "tokenizer.ggml.bos_token_id",
        4,
        1_u32.to_le_bytes().to_vec(),
    );
    file.set(
        "tokenizer.ggml.eos_token_id",
        4,
        0_u32.to_le_bytes().to_vec(),
    );
    // No multiple of which is the length of an I2_S matrix with its scale.
    file.alignment = 64;
    file.set("general.alignment", 4, 64_u32.to_le_bytes().to_vec());
    let stored = Stored::new(&file.bytes());
    let gguf = stored.open().unwrap();
    assert_eq!(gguf.config().bos_token_id, Some(1));
    assert_eq!(gguf.config().eos_token_ids, [0]);
}
