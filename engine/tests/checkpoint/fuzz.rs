//! Damaged files, by the thousand but always the same ones: each is refused,
//! or else loads as if it were whole.

use std::time::{Duration, Instant};

use safetensors::SafeTensors;

use super::folder::{CONFIG, Folder, INDEX, Loaded, MODEL, load};
use super::shards::sharded;

/// Marsaglia's xorshift64*.
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// Cuts, copies, inserts, or overwrites: damage that keeps much of the syntax.
fn damage(text: &[u8], draws: &mut Draws) -> Vec<u8> {
    const WORDS: [&str; 14] = [
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "0",
        "-1",
        "1e99",
        "null",
        "99999999999999999999",
        "\\u0000",
        "\u{e9}",
    ];
    let mut text = text.to_vec();
    for _ in 0..1 + draws.below(3) {
        let start = draws.below(text.len());
        let end = (start + draws.below(40)).min(text.len());
        let piece = match draws.below(4) {
            0 => Vec::new(),
            1 => WORDS[draws.below(WORDS.len())].into(),
            2 => vec![draws.below(256) as u8],
            _ => {
                let from = draws.below(text.len());
                text[from..(from + 30).min(text.len())].to_vec()
            }
        };
        let removed = if draws.below(2) == 0 { start } else { end };
        text.splice(start..removed, piece);
        if text.is_empty() {
            text.push(b' ');
        }
    }
    text
}

/// How many folders were loaded, and how many refused.
#[derive(Default)]
struct Tally {
    loaded: usize,
    refused: usize,
}

impl Tally {
    /// Fails if the folder loads as anything but `whole`, or takes long.
    fn count(&mut self, folder: &Folder, whole: &Loaded, what: &dyn Fn() -> String) {
        let started = Instant::now();
        match load(folder.path()) {
            Ok(loaded) => {
                assert!(loaded == *whole, "{}: loads as another model", what());
                self.loaded += 1;
            }
            Err(error) => {
                let message = error.to_string();
                assert!(
                    message.len() < 2000 && message.contains("expected"),
                    "{message}"
                );
                self.refused += 1;
            }
        }
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{}: slow",
            what()
        );
    }
}

#[test]
fn a_flipped_bit_of_the_header_is_refused_or_harmless() {
    let folder = Folder::a();
    let whole = load(folder.path()).unwrap();
    let file = folder.read(MODEL);
    let mut tally = Tally::default();
    for i in 0..3880 {
        let mut flipped = file.clone();
        // Another bit each time, so that all eight are met at each kind of place.
        flipped[i] ^= 1 << (i * 5 % 8);
        folder.write(MODEL, &flipped);
        tally.count(&folder, &whole, &|| format!("byte {i}"));
        if load(folder.path()).is_ok() {
            // What we accept, the format's own reader accepts.
            SafeTensors::deserialize(&flipped).unwrap();
        }
    }
    // Only __metadata__ may change: `{"format":"pt"}` and its key.
    assert!(
        tally.loaded > 0 && tally.loaded < 30,
        "{} loaded",
        tally.loaded
    );
    assert_eq!(tally.loaded + tally.refused, 3880);
}

#[test]
fn a_damaged_header_is_refused_or_harmless() {
    let folder = Folder::a();
    let whole = load(folder.path()).unwrap();
    let file = folder.read(MODEL);
    let mut draws = Draws(1);
    let mut tally = Tally::default();
    for round in 0..3000 {
        let mut damaged = damage(&file[8..3880], &mut draws);
        let mut bytes = (damaged.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut damaged);
        bytes.extend(&file[3880..]);
        folder.write(MODEL, &bytes);
        tally.count(&folder, &whole, &|| format!("round {round}"));
    }
    assert!(tally.refused > 2500, "{} refused", tally.refused);
}

#[test]
fn a_damaged_index_is_refused_or_harmless() {
    let (folder, _) = sharded();
    let whole = load(folder.path()).unwrap();
    let index = folder.read(INDEX);
    let mut draws = Draws(2);
    let mut tally = Tally::default();
    for round in 0..3000 {
        folder.write(INDEX, &damage(&index, &mut draws));
        tally.count(&folder, &whole, &|| format!("round {round}"));
    }
    for i in 0..index.len() {
        let mut flipped = index.clone();
        flipped[i] ^= 1 << (i * 5 % 8);
        folder.write(INDEX, &flipped);
        tally.count(&folder, &whole, &|| format!("byte {i}"));
    }
    assert!(tally.refused > 5000, "{} refused", tally.refused);
    assert!(
        tally.loaded > 0,
        "nothing loaded: is the index read at all?"
    );
}

/// Damage can leave a valid config of another model, so that only the absence
/// of panics and of long waits is asked for here.
#[test]
fn a_damaged_config_never_panics() {
    let folder = Folder::a();
    let config = folder.read(CONFIG);
    let mut draws = Draws(3);
    let mut refused = 0;
    let started = Instant::now();
    for _ in 0..3000 {
        folder.write(CONFIG, &damage(&config, &mut draws));
        if let Err(error) = load(folder.path()) {
            let message = error.to_string();
            assert!(message.contains(CONFIG), "{message}");
            refused += 1;
        }
    }
    assert!(refused > 1500, "{refused} refused");
    assert!(started.elapsed() < Duration::from_secs(60));
}
