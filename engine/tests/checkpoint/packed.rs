//! Packed models: what they load as, and what is refused.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::checkpoint::{
    Checkpoint, CheckpointError, Config, Floats, Linear, LinearClass, Norm, Origin, Packed,
    WeightScale,
};
use bitgauge_engine::kernels::{self, Kernel, Operands, Spec};
use bitgauge_engine::model::{Best, Dispatch, Model, Place, Source, Vocabulary};
use bitgauge_engine::session::Session;
use bitgauge_engine::synthetic;
use bitgauge_engine::threads::Pool;
use serde_json::{Value, json};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use super::folder::fixtures;
use super::fuzz::Draws;

/// Bytes of a piece with a checksum.
const PIECE: usize = 1 << 20;

fn fixture(name: &str) -> Checkpoint {
    Checkpoint::open(&fixtures().join(name)).unwrap()
}

fn load(source: &dyn Source, dispatch: &dyn Dispatch) -> Result<Model, bitgauge_engine::Error> {
    let vocabulary = Vocabulary::load_quantized(source)?;
    Model::with_vocabulary(source, dispatch, vocabulary.into())
}

fn packed(source: &dyn Source, dispatch: &dyn Dispatch) -> Vec<u8> {
    let origin = Origin {
        name: "fixture".into(),
        digest: "0123".into(),
    };
    let mut bytes = Vec::new();
    Packed::write(&load(source, dispatch).unwrap(), origin, &mut bytes).unwrap();
    bytes
}

/// A file that goes with the test.
struct Stored(TempDir);

impl Stored {
    fn new(bytes: &[u8]) -> Self {
        let stored = Self(tempfile::tempdir().unwrap());
        std::fs::write(stored.path(), bytes).unwrap();
        stored
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("model.packed")
    }

    fn open(&self) -> Result<Packed, CheckpointError> {
        Packed::open(&self.path())
    }
}

/// The bits of the logits behind each of a few tokens, and what greedy choices read.
fn answers(model: &Model) -> (Vec<u32>, String) {
    let pool = Pool::new(1).unwrap();
    let mut session = Session::new(model, &pool, 16).unwrap();
    let each = [20, 21, 22, 2, 17].map(|token| session.decode(token).unwrap().to_vec());
    let bits = each.concat().iter().map(|logit| logit.to_bits()).collect();
    let greedy = [3, 4].map(|token| format!("{:?}", session.decode_greedy(token).unwrap()));
    (bits, greedy.concat())
}

fn same_numbers(packed: &Packed, source: &dyn Source) {
    assert_eq!(packed.config(), source.config());
    assert_eq!(packed.embedding().unwrap(), source.embedding().unwrap());
    assert_eq!(packed.head().unwrap(), source.head().unwrap());
    assert_eq!(packed.final_norm().unwrap(), source.final_norm().unwrap());
    for layer in 0..source.config().num_hidden_layers {
        for norm in Norm::ALL {
            let expected = source.norm(layer, norm).unwrap();
            assert_eq!(packed.norm(layer, norm).unwrap(), expected);
        }
        for linear in Linear::ALL {
            let expected = source.linear(layer, linear).unwrap();
            let found = packed.linear(layer, linear).unwrap();
            assert_eq!(found, expected, "{layer} {linear:?}");
        }
    }
}

/// A fixture whose scales divide, with a head of its own: its embedding backwards, in float32.
struct Untied(Config, Checkpoint);

impl Untied {
    fn new(checkpoint: Checkpoint) -> Self {
        let config = Config {
            tie_word_embeddings: false,
            linear_class: LinearClass::BitLinear,
            ..checkpoint.config().clone()
        };
        Self(config, checkpoint)
    }
}

impl Source for Untied {
    fn config(&self) -> &Config {
        &self.0
    }
    fn embedding(&self) -> Result<Floats, CheckpointError> {
        self.1.embedding()
    }
    fn head(&self) -> Result<Option<Floats>, CheckpointError> {
        let backwards: Vec<f32> = self.1.embedding()?.into_f32().into_iter().rev().collect();
        Ok(Some(Floats::F32(backwards.into())))
    }
    fn final_norm(&self) -> Result<Vec<f32>, CheckpointError> {
        self.1.final_norm()
    }
    fn norm(&self, layer: usize, norm: Norm) -> Result<Vec<f32>, CheckpointError> {
        self.1.norm(layer, norm)
    }
    fn read_linear(
        &self,
        layer: usize,
        linear: Linear,
        trits: &mut [i8],
    ) -> Result<WeightScale, CheckpointError> {
        match self.1.read_linear(layer, linear, trits)? {
            WeightScale::Multiply(scale) => Ok(WeightScale::Divide(1.7 / scale)),
            divide => Ok(divide),
        }
    }
}

/// Tied and not, scales that multiply and that divide.
#[test]
fn what_was_packed_is_loaded_to_the_bit_for_every_kernel() {
    let sources: [(&str, Box<dyn Source>); 4] = [
        ("A", Box::new(fixture("A"))),
        ("C", Box::new(fixture("C"))),
        ("untied C", Box::new(Untied::new(fixture("C")))),
        ("trained", Box::new(fixture("trained"))),
    ];
    for (name, source) in sources {
        let source = &*source;
        let expected = answers(&load(source, &Best).unwrap());
        for kernel in kernels::available() {
            let stored = Stored::new(&packed(source, &kernel));
            assert!(Packed::is_at(&stored.path()));
            let packed = stored.open().unwrap();
            assert!(packed.suits(&kernel));
            let model = load(&packed, &kernel).unwrap();
            assert_eq!(answers(&model), expected, "{name} {kernel:?}");
            assert!(model.kernels().all(|(.., k)| k == kernel));
            same_numbers(&packed, source);
            // For another kernel the same weights are packed anew.
            let other = kernels::available().find(|k| *k != kernel).unwrap();
            assert!(!packed.suits(&other));
            let model = load(&packed, &other).unwrap();
            assert_eq!(answers(&model), expected, "{name} {kernel:?} {other:?}");
        }
    }
}

/// A kernel for each group, and sections of several pieces.
#[test]
fn kernels_may_differ_within_a_layer() {
    struct Mixed(Vec<Kernel>);
    impl Dispatch for Mixed {
        fn choose(&self, place: &Place) -> Kernel {
            self.0[(place.group as usize + place.layer) % self.0.len()]
        }
    }
    let mixed = Mixed(kernels::available().collect());
    let config = Config {
        vocab_size: 5001,
        ..synthetic::shape("tiny").unwrap()
    };
    let source = synthetic::model(config, 3);
    let stored = Stored::new(&packed(&source, &mixed));
    let packed = stored.open().unwrap();
    assert!(packed.suits(&mixed) && !packed.suits(&Best));
    same_numbers(&packed, &source);
    let expected = answers(&load(&source, &Best).unwrap());
    assert_eq!(answers(&load(&packed, &mixed).unwrap()), expected);
}

/// One byte a weight, which is not what the table's kernel of that name packs.
#[test]
fn a_kernel_of_another_crate_with_a_name_of_the_table_is_packed_for_anew() {
    static TWIN: Spec = Spec::portable(
        "naive",
        "one byte a weight",
        8.0,
        1,
        |trits| {
            let rows = (0..trits.rows()).flat_map(|n| trits.row(n));
            let bytes: Vec<u8> = rows.map(|&trit| trit as u8).collect();
            Aligned::from(&bytes[..])
        },
        |_, _| {},
        |op: &Operands<'_>, range: Range<usize>, out: &mut [i32]| {
            let tokens = op.quantized.tokens();
            for (n, out) in range.zip(out.chunks_exact_mut(tokens)) {
                let row = &op.weights[n * op.cols..][..op.cols];
                for (t, sum) in out.iter_mut().enumerate() {
                    let pairs = row.iter().zip(op.quantized.row(t));
                    *sum = pairs
                        .map(|(&w, &q)| i32::from(w as i8) * i32::from(q))
                        .sum();
                }
            }
        },
    );
    let twin = Kernel::new(&TWIN).unwrap();
    let source = fixture("C");
    let stored = Stored::new(&packed(&source, &naive()));
    let packed = stored.open().unwrap();
    assert!(packed.suits(&naive()) && !packed.suits(&twin));
    let expected = answers(&load(&source, &naive()).unwrap());
    assert_eq!(answers(&load(&packed, &twin).unwrap()), expected);
}

#[test]
fn a_kernel_that_no_reader_knows_is_not_written() {
    static FOREIGN: Spec = Spec::portable(
        "foreign",
        "none",
        8.0,
        1,
        |_| Default::default(),
        |_, _| {},
        |_: &Operands<'_>, _: Range<usize>, _: &mut [i32]| {},
    );
    let foreign = Kernel::new(&FOREIGN).unwrap();
    let model = Model::load(
        &synthetic::model(synthetic::shape("tiny").unwrap(), 1),
        &foreign,
    );
    let origin = Origin {
        name: String::new(),
        digest: String::new(),
    };
    let error = Packed::write(&model.unwrap(), origin, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("`foreign`"), "{error}");
}

/// The refusal of a file, by opening or by loading it; where it was, and the message.
fn refusal(bytes: &[u8]) -> (Option<u64>, String) {
    let stored = Stored::new(bytes);
    let started = Instant::now();
    let outcome = stored.open().map_err(Into::into);
    let outcome = outcome.and_then(|packed| load(&packed, &naive()));
    assert!(started.elapsed() < Duration::from_secs(5));
    let error = match outcome {
        Err(bitgauge_engine::Error::Checkpoint(error)) => error,
        other => panic!("not refused: {:?}", other.err()),
    };
    let offset = match &error {
        CheckpointError::Syntax { offset, .. } | CheckpointError::Tensor { offset, .. } => {
            Some(*offset)
        }
        _ => None,
    };
    let message = error.to_string();
    let rule = matches!(error, CheckpointError::Config { .. });
    assert!(rule || message.contains("; expected "), "{message}");
    (offset, message)
}

/// The simplest layout: four codes a byte, row after row.
fn naive() -> Kernel {
    Kernel::by_name("naive").unwrap()
}

fn good() -> Vec<u8> {
    packed(&fixture("trained"), &naive())
}

/// Where the data starts.
fn front(bytes: &[u8]) -> usize {
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    (24 + length as usize).next_multiple_of(4096)
}

/// The file with its header changed, and all else as it should be.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    let mut header = serde_json::from_slice(&bytes[24..24 + length as usize]).unwrap();
    change(&mut header);
    let text = serde_json::to_vec(&header).unwrap();
    let mut out = bytes[..12].to_vec();
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(xxh3_64(&text).to_le_bytes());
    out.extend(text);
    out.resize(out.len().next_multiple_of(4096), 0);
    out.extend(&bytes[front(bytes)..]);
    out
}

/// Sections of the trained fixture, packed for `naive`: where they start in the data, and their
/// bytes. All have one piece.
fn sections() -> Vec<Range<usize>> {
    // Planes of four, two and two bits a weight in whole lines, with two numbers a row.
    let head = [32768, 2048, 16384, 2048, 16384, 2048, 1024];
    let norms = 4 * (256 + 4 * (3 * 256 + 688));
    let layer = 512 * 64 + 256 * 64 + 2 * 688 * 64 + 256 * 172;
    let mut bytes = vec![2 * 256 * 256, norms];
    bytes.extend(head);
    bytes.extend([layer; 4]);
    let mut end = 0;
    let place = |bytes: usize| {
        let start = end;
        end = (start + bytes).next_multiple_of(4096);
        start..start + bytes
    };
    bytes.into_iter().map(place).collect()
}

/// The file with bytes of a section changed, and the checksum as it should be.
fn forged(bytes: &[u8], section: usize, at: usize, with: &[u8]) -> (Vec<u8>, u64) {
    let mut bytes = bytes.to_vec();
    let (front, place) = (front(&bytes), sections()[section].clone());
    bytes[front + place.start + at..][..with.len()].copy_from_slice(with);
    let checksum = xxh3_64(&bytes[front + place.start..front + place.end]);
    let changed = with_header(&bytes, |header| {
        header["checksums"][section] = json!(checksum)
    });
    assert_eq!(changed.len(), bytes.len());
    (changed, (front + place.start + at) as u64)
}

#[test]
fn the_good_file_is_as_long_as_its_sections() {
    let good = good();
    let end = sections().last().unwrap().end.next_multiple_of(4096);
    assert_eq!(good.len(), front(&good) + end);
    assert!(load(&Stored::new(&good).open().unwrap(), &naive()).is_ok());
}

#[test]
fn damage_of_the_front_is_refused_where_it_is() {
    let cases: [(&str, usize, &[u8], usize, &str); 6] = [
        ("magic", 0, b"GGUF", 0, "the bytes of `BITGAUGE`"),
        ("version", 8, &[0; 4], 8, "version 0; expected version 1"),
        ("version", 8, &[2], 8, "version 2; expected version 1"),
        ("length", 12, &[255; 4], 12, "the header's length is"),
        ("checksum", 16, &[1, 2, 3], 16, "another checksum"),
        ("header", 40, b"#", 16, "another checksum"),
    ];
    for (name, at, with, expected, says) in cases {
        let mut bytes = good();
        bytes[at..at + with.len()].copy_from_slice(with);
        let (offset, message) = refusal(&bytes);
        assert!(message.contains(says), "{name}: {message}");
        assert_eq!(offset, Some(expected as u64), "{name}: {message}");
    }
    assert!(!Packed::is_at(&fixtures().join("trained/config.json")));
    assert!(!Packed::is_at(&fixtures()));
}

#[test]
fn a_file_of_another_length_is_refused() {
    let good = good();
    let mut lengths: Vec<usize> = (0..front(&good)).step_by(97).collect();
    lengths.extend([good.len() / 2, good.len() - 4096, good.len() - 1]);
    for length in lengths {
        refusal(&good[..length]);
    }
    let (_, message) = refusal(&[&good[..], &[0]].concat());
    assert!(message.contains("as its header asks for"), "{message}");
}

#[test]
fn headers_that_fit_nothing_are_refused() {
    let good = good();
    let cases: [(&str, Value, &str); 16] = [
        ("/config/vocab_size", json!(257), "as its header asks for"),
        ("/config/vocab_size", json!(1_u64 << 32), "dimensions up to"),
        ("/config/vocab_size", json!(u64::MAX), "address space"),
        ("/config/vocab_size", json!(-1), "invalid value"),
        ("/config/hidden_size", json!(512), "head_dim"),
        (
            "/config/num_hidden_layers",
            json!(1_u64 << 60),
            "those of 1152921504606846976",
        ),
        (
            "/config/num_hidden_layers",
            json!(3),
            "of 4 layers; expected those of 3",
        ),
        ("/config/more", json!(1), "unknown field"),
        (
            "/config/tie_word_embeddings",
            json!(false),
            "a head of its own",
        ),
        ("/head", json!("Bf16"), "a head of its own"),
        ("/embedding", json!("F32"), "as its header asks for"),
        ("/layers/1/kernels/2", json!("other"), "packed for `other`"),
        (
            "/layers/1/kernels/2",
            json!("tmac-scalar"),
            "tmac-scalar with the fingerprint none",
        ),
        (
            "/packings/naive",
            json!("0"),
            "naive with the fingerprint 0;",
        ),
        (
            "/quantized_head",
            json!("0"),
            "head with the fingerprint 0;",
        ),
        ("/checksums", json!([1, 2]), "2 checksums; expected 13"),
    ];
    for (at, value, says) in cases {
        let bytes = with_header(&good, |header| {
            let (parent, name) = at.rsplit_once('/').unwrap();
            let parent = header.pointer_mut(parent).unwrap();
            match parent {
                Value::Array(list) => list[name.parse::<usize>().unwrap()] = value.clone(),
                _ => parent[name] = value.clone(),
            }
        });
        let (_, message) = refusal(&bytes);
        assert!(message.contains(says), "{at} {value}: {message}");
    }
    let scales = [
        (0.0, "layer 3 has the scale"),
        (-1.0, "layer 3 has the scale"),
        (1e39, "number out of range"),
    ];
    for (scale, says) in scales {
        let bytes = with_header(&good, |header| {
            header["layers"][3]["scales"][6] = json!({ "Multiply": scale });
        });
        let (_, message) = refusal(&bytes);
        assert!(message.contains(says), "{scale}: {message}");
    }
}

#[test]
fn damage_of_the_data_is_refused_where_it_is() {
    let good = good();
    for (i, place) in sections().into_iter().enumerate() {
        for at in [place.start, place.end - 1] {
            let mut bytes = good.clone();
            let start = front(&bytes);
            bytes[start + at] ^= 1;
            let (offset, message) = refusal(&bytes);
            assert!(message.contains("checksum"), "section {i}: {message}");
            assert_eq!(
                offset,
                Some((start + place.start) as u64),
                "section {i}: {message}"
            );
        }
    }
}

#[test]
fn a_later_piece_is_told_by_its_place() {
    let config = Config {
        vocab_size: 5001,
        ..synthetic::shape("tiny").unwrap()
    };
    let mut bytes = packed(&synthetic::model(config, 3), &naive());
    let at = front(&bytes) + 2 * PIECE;
    bytes[at + 7] ^= 0x40;
    let (offset, message) = refusal(&bytes);
    assert!(
        message.contains("the embedding") && message.contains("checksum"),
        "{message}"
    );
    assert_eq!(offset, Some(at as u64));
}

/// What no damage could be: values that can't be, with the checksums that they ask for.
#[test]
fn forged_data_is_refused_where_it_is() {
    let good = good();
    let one = 1.0_f32.to_le_bytes();
    assert!(
        load(
            &Stored::new(&forged(&good, 1, 0, &one).0).open().unwrap(),
            &naive()
        )
        .is_ok()
    );
    let infinite = f32::INFINITY.to_le_bytes();
    let cases: [(usize, usize, &[u8], &str); 5] = [
        (0, 1000, &[0x80, 0x7f], "the embedding"),
        (0, 2002, &[0xff, 0xff], "the embedding"),
        (1, 400, &infinite, "the norms"),
        // In the output projection of the first layer, and at the end of the last one.
        (9, 512 * 64 + 10, &[0x0c], "layer 0"),
        (
            12,
            512 * 64 + 256 * 64 + 2 * 688 * 64 + 256 * 172 - 2,
            &[0xc0],
            "layer 3",
        ),
    ];
    for (section, at, with, says) in cases {
        let (bytes, expected) = forged(&good, section, at, with);
        let (offset, message) = refusal(&bytes);
        assert!(message.contains(says), "{message}");
        assert!(message.contains("bytes that can't be"), "{message}");
        assert_eq!(offset, Some(expected), "{message}");
    }
    // Steps and norms of the quantised head.
    for section in [3, 5, 7, 8] {
        for wrong in [-1.0_f32, f32::NAN] {
            let (bytes, _) = forged(&good, section, 8, &wrong.to_le_bytes());
            let (_, message) = refusal(&bytes);
            assert!(message.contains("a norm or a step below 0"), "{message}");
        }
    }
}

#[test]
fn a_byte_changed_anywhere_is_refused_or_means_nothing() {
    let good = good();
    let expected = answers(&load(&Stored::new(&good).open().unwrap(), &naive()).unwrap());
    let mut draws = Draws(11);
    for _ in 0..300 {
        let mut bytes = good.clone();
        let at = draws.below(bytes.len());
        bytes[at] ^= 1 << draws.below(8);
        let stored = Stored::new(&bytes);
        let loaded = stored.open().map_err(Into::into);
        let loaded = loaded.and_then(|packed| load(&packed, &naive()));
        if let Ok(model) = loaded {
            assert_eq!(answers(&model), expected, "byte {at}");
        }
    }
}

/// Sound files that end while they are read.
#[test]
fn a_file_cut_after_it_was_opened_is_refused() {
    let stored = Stored::new(&good());
    let packed = stored.open().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(stored.path());
    file.unwrap().set_len(200_000).unwrap();
    let error = load(&packed, &naive()).err().unwrap().to_string();
    assert!(error.contains("cannot read"), "{error}");
}
