//! Damaged and hostile files: each refused, with the place of the fault.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use super::file::{
    BF16, F16, F32, I2_S, IQ1_BN, IQ2_BN, IQ2_BN_R4, Q8_0, TQ1_0, TQ2_0, floats, text,
};
use super::{Stored, small};
use bitgauge_engine::checkpoint::{CheckpointError, Linear};
use bitgauge_engine::model::{Best, Model, Source};

/// Where `name`, with its length in front, starts.
fn at(bytes: &[u8], name: &str) -> usize {
    let name = text(name);
    let mut windows = bytes.windows(name.len());
    windows.position(|window| window == name).unwrap()
}

/// Offset of the fault, and the message.
fn refusal(bytes: &[u8]) -> (Option<u64>, String) {
    let stored = Stored::new(bytes);
    let started = Instant::now();
    let error = match stored.open() {
        Err(error) => error,
        Ok(gguf) => match Model::load(&gguf, &Best) {
            Err(bitgauge_engine::Error::Checkpoint(error)) => error,
            other => panic!("not refused: {:?}", other.err()),
        },
    };
    assert!(started.elapsed() < Duration::from_secs(5));
    let offset = match &error {
        CheckpointError::Syntax { offset, .. } | CheckpointError::Tensor { offset, .. } => {
            Some(*offset)
        }
        _ => None,
    };
    (offset, error.to_string())
}

fn patched(at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = small().bytes();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

#[test]
fn the_good_file_loads() {
    assert!(Model::load(&Stored::new(&small().bytes()).open().unwrap(), &Best).is_ok());
}

#[test]
fn damaged_bytes_are_refused_where_they_are() {
    let good = small().bytes();
    let key = |name: &str| at(&good, name);
    let blocks = key("bitnet-b1.58.block_count");
    let tokens = key("tokenizer.ggml.tokens") + 8 + 21;
    let q = key("blk.0.attn_q.weight");
    // Behind the name: rank, two dimensions, type, offset.
    let (rank, dimensions, kind, offset) = (q + 27, q + 31, q + 47, q + 51);
    let huge = u64::MAX.to_le_bytes();
    let cases: [(&str, usize, &[u8], usize, &str); 20] = [
        ("magic", 0, b"GGML", 0, "the bytes of `GGUF`"),
        ("version", 4, &[1, 0, 0, 0], 4, "version 1;"),
        ("byte order", 4, &[0, 0, 0, 3], 4, "big-endian"),
        ("tensor count", 8, &huge, 8, "the number of tensors is"),
        (
            "entry count",
            16,
            &huge,
            16,
            "the number of metadata entries is",
        ),
        ("key length", 24, &huge, 24, "a metadata key has"),
        (
            "key of nothing",
            24,
            &[0; 8],
            24,
            "a metadata key has 0 bytes",
        ),
        ("key of no text", 32, &[0xff], 32, "not UTF-8"),
        (
            "value type",
            blocks + 32,
            &[13],
            blocks + 32,
            "has the type 13",
        ),
        (
            "value of another type",
            blocks + 32,
            &[6],
            blocks,
            "a whole number",
        ),
        (
            "element type",
            tokens + 4,
            &[14],
            tokens + 4,
            "elements of the type 14",
        ),
        (
            "element count",
            tokens + 8,
            &huge,
            tokens + 4,
            "elements of at least 8 bytes",
        ),
        (
            "element length",
            tokens + 16,
            &huge,
            tokens + 16,
            "the file has",
        ),
        ("rank", rank, &[5], rank, "5 dimensions"),
        ("dimensions", dimensions, &huge, rank, "rows of"),
        (
            "more than can be counted",
            dimensions + 8,
            &huge,
            rank,
            "can be counted",
        ),
        ("tensor type", kind, &[2], kind, "the type 2;"),
        ("offset behind the end", offset, &huge, q, "a place within"),
        ("offset in another tensor", offset, &[0; 8], q, "overlaps"),
        ("name", q + 8, b"x", 0, ""),
    ];
    for (name, place, with, expected, message) in cases {
        let (offset, found) = refusal(&patched(place, with));
        if message.is_empty() {
            assert!(
                found.contains("attn_q.weight is missing"),
                "{name}: {found}"
            );
            continue;
        }
        assert!(found.contains(message), "{name}: {found}");
        assert_eq!(offset, Some(expected as u64), "{name}: {found}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let good = small().bytes();
    let data = at(&good, "blk.0.ffn_down.weight");
    let mut places: Vec<_> = (0..data + 100).step_by(7).collect();
    places.extend([good.len() / 2, good.len() - 1]);
    for length in places {
        let (_, message) = refusal(&good[..length]);
        assert!(message.contains("; expected "), "{length}: {message}");
    }
}

#[test]
fn bytes_behind_the_last_tensor_are_refused() {
    let mut bytes = small().bytes();
    let end = bytes.len();
    bytes.extend([0; 5]);
    let (offset, message) = refusal(&bytes);
    assert_eq!(offset, Some(end as u64), "{message}");
}

#[test]
fn arrays_of_arrays_end_somewhere() {
    let mut file = small();
    let array = [9_u32.to_le_bytes().to_vec(), 1_u64.to_le_bytes().to_vec()].concat();
    file.set("deep", 9, array.repeat(10_000));
    let (offset, message) = refusal(&file.bytes());
    assert!(message.contains("levels deep"), "{message}");
    let start = at(&file.bytes(), "deep") + 12 + 4;
    assert_eq!(offset, Some((start + 4 * 12) as u64));
}

/// A file with so many zeros behind byte `at`, which take no room on a disk.
fn with_hole(bytes: &[u8], at: usize, zeros: u64) -> Stored {
    let stored = Stored::new(&bytes[..at]);
    let file = OpenOptions::new().write(true).open(stored.path());
    let mut file = file.unwrap();
    file.seek(SeekFrom::Start(at as u64 + zeros)).unwrap();
    file.write_all(&bytes[at..]).unwrap();
    stored
}

#[test]
fn words_longer_than_any_that_is_known_are_refused_unread() {
    const HOLE: u64 = 300 << 30;
    let mut bytes = small().bytes();
    let word = at(&bytes, "bitnet-b1.58");
    bytes[word..word + 8].copy_from_slice(&(12 + HOLE).to_le_bytes());
    let refused = with_hole(&bytes, word + 20, HOLE).open().err().unwrap();
    let message = refused.to_string();
    let key = at(&bytes, "general.architecture");
    let says = format!("at byte {key}: `general.architecture` is bitnet-b1.58");
    assert!(message.contains(&says), "{message}");
    assert!(message.contains("text of at most 1000 bytes"), "{message}");
}

#[test]
fn arrays_that_say_nothing_cost_little() {
    let array = |kind: u32, count: u64| {
        let mut file = small();
        let value = [kind.to_le_bytes().to_vec(), count.to_le_bytes().to_vec()].concat();
        file.set("large", 9, value);
        let bytes = file.bytes();
        let start = at(&bytes, "large") + 8 + 5 + 4;
        (bytes, start)
    };
    // Truth values, of which none is read.
    let count = 30 << 30;
    let (bytes, start) = array(7, count);
    let started = Instant::now();
    assert!(with_hole(&bytes, start + 12, count).open().is_ok());
    assert!(started.elapsed() < Duration::from_secs(5));
    for kind in [8, 9] {
        let count = (1 << 24) + 1;
        let (bytes, start) = array(kind, count);
        let refused = with_hole(&bytes, start + 12, 12 * count).open().err();
        let message = refused.unwrap().to_string();
        let says = format!("at byte {start}: large has 16777217 elements of no fixed size");
        assert!(message.contains(&says), "{message}");
    }
}

/// The longest and the most are taken, or refused for another reason; one more is not.
#[test]
fn names_texts_and_counts_end_at_their_limits() {
    let key = |length: usize| {
        let mut file = small();
        file.set(&"k".repeat(length), 7, vec![1]);
        file.bytes()
    };
    assert!(Stored::new(&key(65_535)).open().is_ok());
    let (_, message) = refusal(&key(65_536));
    assert!(message.contains("expected 1 to 65535 bytes"), "{message}");

    let name = |length: usize| {
        let mut file = small();
        file.push(&"n".repeat(length), &[1], F32, floats(F32, &[1.0]));
        match Stored::new(&file.bytes()).open() {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    assert!(!name(64).contains("bytes"), "{}", name(64));
    assert!(name(65).contains("expected 1 to 64 bytes"), "{}", name(65));

    let architecture = |length: usize| {
        let mut file = small();
        file.set("general.architecture", 8, text(&"a".repeat(length)));
        refusal(&file.bytes()).1
    };
    let says = "text of at most 1000 bytes";
    assert!(!architecture(1000).contains(says));
    assert!(architecture(1001).contains(says));

    for (place, what) in [(8, "tensors"), (16, "metadata entries")] {
        let count = |n: u64| refusal(&patched(place, &n.to_le_bytes())).1;
        let says = format!("the number of {what} is 65537; expected at most 65536");
        assert!(count((1 << 16) + 1).contains(&says));
        assert!(!count(1 << 16).contains("the number of"));
    }
}

/// Each within the limit; it is for all of them together.
#[test]
fn elements_of_all_arrays_are_counted_together() {
    let array = |count: u64| [8_u32.to_le_bytes().to_vec(), count.to_le_bytes().to_vec()].concat();
    let mut file = small();
    let half = 1 << 23;
    file.set("first", 9, array(half));
    file.set("second", 9, array(half + 1));
    let bytes = file.bytes();
    let (first, second) = (at(&bytes, "first") + 8 + 5 + 16, at(&bytes, "second"));
    // No text at all: a length of zero each.
    let stored = with_hole(&bytes, first, 8 * half);
    let mut rest = OpenOptions::new().write(true).open(stored.path()).unwrap();
    let after = (second + 8 + 6 + 16) as u64 + 8 * half;
    rest.set_len(after + 8 * (half + 1)).unwrap();
    rest.flush().unwrap();
    let message = stored.open().err().unwrap().to_string();
    let says = "second has 8388609 elements of no fixed size";
    assert!(message.contains(says), "{message}");
}

#[test]
fn two_of_a_name_are_refused() {
    let mut file = small();
    file.metadata
        .push(("bitnet-b1.58.vocab_size".into(), 4, vec![2, 0, 0, 0]));
    assert!(
        refusal(&file.bytes())
            .1
            .contains("a second entry for the key")
    );
    let mut file = small();
    let copy = file.tensor("output_norm.weight").clone();
    file.tensors.push(copy);
    assert!(
        refusal(&file.bytes())
            .1
            .contains("a second tensor of this name")
    );
}

#[test]
fn numbers_that_fit_nothing_are_refused_at_their_keys() {
    let count = |n: u32| n.to_le_bytes().to_vec();
    let cases = [
        ("general.architecture", 8, text("llama"), "`bitnet-b1.58`"),
        ("general.alignment", 4, count(24), "a power of two"),
        ("general.alignment", 4, count(0), "a power of two"),
        ("split.count", 4, count(2), "one file"),
        ("bitnet-b1.58.hidden_activation", 8, text("silu"), "`relu2`"),
        ("bitnet-b1.58.rope.scaling.type", 8, text("yarn"), "`none`"),
        (
            "bitnet-b1.58.rope.scaling.factor",
            6,
            2_f32.to_le_bytes().to_vec(),
            "1: no other",
        ),
        (
            "bitnet-b1.58.rope.dimension_count",
            4,
            count(64),
            "which is 256",
        ),
        ("bitnet-b1.58.vocab_size", 4, count(3), "which is 2"),
        (
            "bitnet-b1.58.block_count",
            5,
            (-1_i32).to_le_bytes().to_vec(),
            "not negative",
        ),
        (
            "bitnet-b1.58.attention.head_count",
            7,
            vec![1],
            "whole number",
        ),
        (
            "tokenizer.ggml.bos_token_id",
            10,
            u64::MAX.to_le_bytes().to_vec(),
            "a token id",
        ),
    ];
    for (key, kind, value, right) in cases {
        let mut file = small();
        file.set(key, kind, value);
        let bytes = file.bytes();
        let (offset, message) = refusal(&bytes);
        assert!(
            message.contains(key) && message.contains(right),
            "{message}"
        );
        assert_eq!(offset, Some(at(&bytes, key) as u64), "{message}");
    }
    for (key, value) in [
        ("block_count", u32::MAX),
        ("embedding_length", u32::MAX),
        ("attention.head_count", 0),
    ] {
        let mut file = small();
        file.set(&format!("bitnet-b1.58.{key}"), 4, count(value));
        refusal(&file.bytes());
    }
}

#[test]
fn tensors_of_another_model_are_refused() {
    let mut file = small();
    file.push("blk.0.attn_q.bias", &[256], F32, floats(F32, &[0.0; 256]));
    let (offset, message) = refusal(&file.bytes());
    assert!(
        message.contains("attn_q.bias") && message.contains("no part"),
        "{message}"
    );
    assert_eq!(offset, Some(at(&file.bytes(), "blk.0.attn_q.bias") as u64));
    let mut file = small();
    file.tensor("output_norm.weight").kind = Q8_0;
    file.tensor("output_norm.weight").data = vec![0; 8 * 34];
    assert!(
        refusal(&file.bytes())
            .1
            .contains("of Q8_0; expected dimensions [256]")
    );
}

/// Breaks the query projection of a good matrix of `kind` at byte `place` and expects the fault
/// at `expected` of it.
fn broken_q(kind: u32, good: &[u8], place: usize, with: &[u8], expected: usize, says: &str) {
    let mut file = small();
    let q = file.tensor("blk.0.attn_q.weight");
    q.kind = kind;
    q.data = good.to_vec();
    assert!(
        Stored::new(&file.bytes())
            .open()
            .unwrap()
            .linear(0, Linear::Q)
            .is_ok()
    );
    let mut bytes = file.bytes();
    // The data ends with the six other matrices, in their order behind this one.
    let start = bytes.len() - 6 * (256 * 64 + 32) - good.len().next_multiple_of(32);
    bytes[start + place..start + place + with.len()].copy_from_slice(with);
    let (offset, message) = refusal(&bytes);
    assert!(
        message.contains("tensor blk.0.attn_q.weight") && message.contains(says),
        "{message}"
    );
    assert_eq!(offset, Some((start + expected) as u64), "{message}");
}

#[test]
fn values_that_are_no_ternary_matrix_are_refused_with_block_and_place() {
    let mut trits = vec![0_i8; 256 * 256];
    (trits[5], trits[256 * 3]) = (1, -1);
    let good = |kind| super::file::ternary(kind, &trits, 256, 0.5);
    broken_q(I2_S, &good(I2_S), 40, &[0x5d], 40, "code 3 in block 1");
    let scale_at = 256 * 64;
    for wrong in [0.0_f32, -1.0, f32::NAN, f32::INFINITY] {
        broken_q(
            I2_S,
            &good(I2_S),
            scale_at,
            &wrong.to_le_bytes(),
            scale_at,
            "the scale",
        );
    }
    for (kind, size) in [(TQ2_0, 66), (TQ1_0, 54)] {
        let scale_at = 4 * size - 2;
        let other = "block 3 has the scale 0.25, and block 0 has 0.5";
        broken_q(kind, &good(kind), scale_at, &[0x00, 0x34], scale_at, other);
        for wrong in [[0x00, 0x00], [0x00, 0xb8], [0x00, 0x7c], [0x00, 0x7e]] {
            broken_q(
                kind,
                &good(kind),
                scale_at,
                &wrong,
                scale_at,
                "block 3 has the scale",
            );
        }
    }
    broken_q(
        TQ2_0,
        &good(TQ2_0),
        66 + 9,
        &[0x5d],
        66 + 9,
        "code 3 in block 1",
    );
    let third = 256 * 3;
    broken_q(
        F32,
        &good(F32),
        third * 4,
        &0.25_f32.to_le_bytes(),
        third * 4,
        "is 0.25",
    );
    broken_q(
        F16,
        &good(F16),
        third * 2,
        &[0x00, 0x7c],
        third * 2,
        "is inf",
    );
    broken_q(
        BF16,
        &good(BF16),
        third * 2,
        &[0x80, 0x7f],
        third * 2,
        "is inf",
    );
}

#[test]
fn rows_with_scales_of_their_own_are_refused_where_they_are_wrong() {
    let mut trits = vec![0_i8; 256 * 256];
    (trits[5], trits[256 * 6], trits[256 * 7 + 1]) = (1, -1, -1);
    let good = |kind| super::file::ternary(kind, &trits, 256, 0.5);
    let halves: [&[u8]; 4] = [&[0x00, 0x34], &[0x00, 0xb8], &[0x00, 0x7c], &[0x00, 0x7e]];
    let singles = [0.25, -0.5, f32::INFINITY, f32::NAN].map(f32::to_le_bytes);
    let singles = singles.each_ref().map(|bytes| &bytes[..]);
    // The scale of row 6, the third of the second four.
    let places = [
        (IQ1_BN, 6 * 54, halves),
        (IQ2_BN, 6 * 68, singles),
        (IQ2_BN_R4, 4 * 68 + 8, singles),
    ];
    for (kind, at, [other, rest @ ..]) in places {
        let says = "row 6 has the scale 0.25, and row 0 has 0.5";
        broken_q(kind, &good(kind), at, other, at, says);
        for wrong in rest {
            broken_q(kind, &good(kind), at, wrong, at, "row 6 has the scale");
        }
    }
    // Behind the scale, a block of row 6; and a block of the second four, where byte 16 + 8 is of
    // the same row.
    let at = 6 * 68 + 4 + 16 + 9;
    broken_q(IQ2_BN, &good(IQ2_BN), at, &[0x5d], at, "code 3 in row 6");
    let at = 4 * 68 + 16 + 64 + 24;
    let good = good(IQ2_BN_R4);
    broken_q(IQ2_BN_R4, &good, at, &[0x5d], at, "code 3 in row 6");
}

#[test]
fn interleaved_rows_are_whole_fours() {
    let mut file = small();
    file.push("blk.0.attn_q.more", &[64, 6], IQ2_BN_R4, vec![0; 6 * 20]);
    let (offset, message) = refusal(&file.bytes());
    assert!(message.contains("6 rows of IQ2_BN_R4"), "{message}");
    let name = at(&file.bytes(), "blk.0.attn_q.more");
    assert_eq!(offset, Some((name + 8 + 17) as u64));
}

#[test]
fn scales_of_the_embedding_must_be_finite() {
    let mut file = small();
    let embedding = file.tensor("token_embd.weight");
    embedding.kind = Q8_0;
    embedding.data = vec![0; 16 * 34];
    embedding.data[34..36].copy_from_slice(&[0x00, 0x7c]);
    let (_, message) = refusal(&file.bytes());
    assert!(message.contains("block 1 has the scale inf"), "{message}");
}
