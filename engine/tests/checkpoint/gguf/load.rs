use bitgauge_engine::checkpoint::{CheckpointError, Config, Linear, Norm, WeightScale};
use bitgauge_engine::model::{Best, Model, Source};
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Pool;

use super::file::{
    BF16, F16, F32, File, I2_S, IQ1_BN, IQ2_BN, IQ2_BN_R4, Q8_0, TQ1_0, TQ2_0, ternary, text,
};
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
        ("bitnet-b1.58", BF16, IQ1_BN, F16),
        ("bitnet-25", F32, IQ2_BN, F32),
        ("bitnet-b1.58", F32, IQ2_BN_R4, F16),
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

/// Rows of zeros among others, and a matrix of nothing else: their scales are 0 and their codes are
/// not.
#[test]
fn rows_of_zeros_have_no_scale() {
    let mut trits = vec![0; 256 * 256];
    (trits[5], trits[256 * 3 + 255], trits[256 * 255]) = (1, -1, -1);
    for kind in [IQ1_BN, IQ2_BN, IQ2_BN_R4] {
        for (trits, scale) in [(&trits, 0.5), (&vec![0; 256 * 256], 1.0)] {
            let mut file = small();
            let q = file.tensor("blk.0.attn_q.weight");
            (q.kind, q.data) = (kind, ternary(kind, trits, 256, 0.5));
            let stored = Stored::new(&file.bytes());
            let (found, by) = stored.open().unwrap().linear(0, Linear::Q).unwrap();
            assert_eq!(
                (&found, by),
                (trits, WeightScale::Multiply(scale)),
                "{kind}"
            );
        }
    }
}

/// As wide as the products of 2b4t: what is true of a few blocks of a row must be true of all of them.
#[test]
fn long_rows_are_read_to_their_end() {
    const WIDE: usize = 6912;
    let trits: Vec<i8> = (0..256 * WIDE)
        .map(|i| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % 3)
        .map(|code| code as i8 - 1)
        .collect();
    for kind in [I2_S, TQ1_0, TQ2_0, IQ1_BN, IQ2_BN, IQ2_BN_R4] {
        let mut file = small();
        let name = "bitnet-b1.58.feed_forward_length";
        file.set(name, 4, (WIDE as u32).to_le_bytes().to_vec());
        for (name, dimensions) in [
            ("ffn_gate.weight", [256, WIDE]),
            ("ffn_up.weight", [256, WIDE]),
            ("ffn_down.weight", [WIDE, 256]),
        ] {
            let tensor = file.tensor(&format!("blk.0.{name}"));
            tensor.dimensions = dimensions.map(|d| d as u64).to_vec();
            (tensor.kind, tensor.data) = (kind, ternary(kind, &trits, dimensions[0], 0.5));
        }
        let norm = file.tensor("blk.0.ffn_sub_norm.weight");
        norm.dimensions = vec![WIDE as u64];
        norm.data = super::file::floats(F32, &[1.0; WIDE]);
        norm.kind = F32;
        let stored = Stored::new(&file.bytes());
        let gguf = stored.open().unwrap();
        for linear in [Linear::Gate, Linear::Up, Linear::Down] {
            let (found, _) = gguf.linear(0, linear).unwrap();
            let wrong = found.iter().zip(&trits).position(|(f, t)| f != t);
            assert_eq!(
                (found.len(), wrong),
                (trits.len(), None),
                "{kind} {linear:?}"
            );
        }
    }
}

/// The loader decodes so many values at a time.
const PIECE: usize = 4 << 20;

/// An embedding of a little more than one piece, in blocks of 32 whose scales tell them apart.
fn long_embedding() -> File {
    let mut file = small();
    let rows = PIECE / 256 + 1;
    let name = "bitnet-b1.58.vocab_size";
    file.set(name, 4, (rows as u32).to_le_bytes().to_vec());
    let embedding = file.tensor("token_embd.weight");
    embedding.kind = Q8_0;
    embedding.dimensions = vec![256, rows as u64];
    let block = |b: usize| {
        let scale = half::f16::from_f32((b % 1000) as f32).to_le_bytes();
        [&scale[..], &[1; 31], &[3]].concat()
    };
    embedding.data = (0..rows * 8).flat_map(block).collect();
    file
}

#[test]
fn a_long_embedding_is_read_in_pieces_that_fit() {
    let stored = Stored::new(&long_embedding().bytes());
    let embedding = stored.open().unwrap().embedding().unwrap();
    assert_eq!(embedding.len(), PIECE + 256);
    for b in 0..embedding.len() / 32 {
        let scale = (b % 1000) as f32;
        assert_eq!(embedding.get(32 * b), scale, "block {b}");
        assert_eq!(embedding.get(32 * b + 31), 3.0 * scale, "block {b}");
    }
}

#[test]
fn a_fault_in_a_later_piece_is_told_by_its_place_in_the_tensor() {
    let mut file = long_embedding();
    let b = PIECE / 32 + 2;
    file.tensor("token_embd.weight").data[34 * b..34 * b + 2].copy_from_slice(&[0x00, 0x7c]);
    let bytes = file.bytes();
    let start = bytes
        .windows(34)
        .position(|w| w[2..] == [[1; 31].as_slice(), &[3]].concat());
    let error = Stored::new(&bytes).open().unwrap().embedding().unwrap_err();
    let CheckpointError::Tensor { offset, found, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(offset, (start.unwrap() + 34 * b) as u64);
    assert_eq!(found, format!("block {b} has the scale inf"));
}
