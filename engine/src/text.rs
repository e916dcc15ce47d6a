//! Text to token ids and back, by the folder's `tokenizer.json`.
//!
//! The only part that needs the `tokenizers` crate; the decoder itself works
//! on ids. Token ids are `u32`, as everywhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tokenizers::ModelWrapper;

/// Why text could not be handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The operating system refused to give the file.
    #[error("{}: cannot read it: {source}; expected the model's tokenizer.json", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is no tokenizer.
    #[error("{}: {found}; expected a Hugging Face tokenizer.json", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// The tokenizer can't handle a text.
    #[error("cannot turn the text into tokens: {0}")]
    Encode(String),
    /// The tokenizer can't handle a token.
    #[error("cannot turn token {token} into text: {reason}")]
    Decode {
        /// The token.
        token: u32,
        /// The tokenizer's reason.
        reason: String,
    },
}

/// Largest `tokenizer.json` that is read. That of the 2B4T model, with 128256
/// tokens, has about 9 MB.
const MAX_BYTES: u64 = 64 << 20;

/// The tokenizer of a model.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model's folder.
    ///
    /// # Errors
    /// The file is missing, not regular, too large, or no tokenizer; or its tokens depend on chance.
    pub fn open(dir: &Path) -> Result<Self, TextError> {
        let path = dir.join("tokenizer.json");
        let failed = |found: String| TextError::File {
            path: path.clone(),
            found,
        };
        let io = |source| TextError::Io {
            path: path.clone(),
            source,
        };
        // Looked at before it is opened: opening a FIFO would wait for a writer.
        if !fs::metadata(&path).map_err(io)?.is_file() {
            return Err(failed("is no regular file".into()));
        }
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(io)?;
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(failed(format!("has more than {MAX_BYTES} bytes")));
        }
        let mut inner =
            tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| failed(e.to_string()))?;
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some_and(|dropout| dropout > 0.0)
        {
            return Err(failed(
                "has a `dropout`, by which the tokens of a text are drawn at random".into(),
            ));
        }
        // `transformers` sets both anew for every text; a prompt is neither cut nor filled up.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self { inner })
    }

    /// The number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The ids of a text, with the special tokens that the tokenizer's own
    /// template adds, such as one at the start.
    ///
    /// # Errors
    /// The tokenizer has no token for a part of the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = self
            .inner
            .encode_fast(text, true)
            .map_err(|e| TextError::Encode(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// A decoder for tokens that arrive one by one.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream {
            tokenizer: self,
            tokens: Vec::new(),
            context: 0,
            given: 0,
        }
    }
}

/// Turns tokens into text as they arrive. A character may be spread over
/// several tokens; it is given out when it is complete.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// The last tokens: some whose text was given out, as context (a decoder
    /// may treat the first token of a text differently), then those since.
    tokens: Vec<u32>,
    /// How many of them are context.
    context: usize,
    /// Bytes of their text that were given out.
    given: usize,
}

impl TextStream<'_> {
    /// The text that this token completes, often all of it, sometimes none.
    ///
    /// # Errors
    /// The token is not in the vocabulary. The stream is as it was before.
    pub fn push(&mut self, token: u32) -> Result<String, TextError> {
        if self.tokenizer.inner.id_to_token(token).is_none() {
            return Err(TextError::Decode {
                token,
                reason: "the tokenizer has no such token".into(),
            });
        }
        self.tokens.push(token);
        let text = self.text(&self.tokens).inspect_err(|_| {
            self.tokens.pop();
        })?;
        let complete = complete_len(&text);
        // A decoder may take back what it said; what was given out stays.
        let new = text.get(self.given..complete).unwrap_or("").to_owned();
        self.given = self.given.max(complete);
        if complete == text.len() && !new.is_empty() {
            self.tokens.drain(..self.context);
            self.context = self.tokens.len();
            self.given = self.text(&self.tokens)?.len();
        }
        Ok(new)
    }

    /// The rest, at the end of the text: what is incomplete becomes U+FFFD.
    ///
    /// # Errors
    /// Those of the tokenizer's decoder.
    pub fn finish(self) -> Result<String, TextError> {
        let text = self.text(&self.tokens)?;
        Ok(text.get(self.given..).unwrap_or("").to_owned())
    }

    fn text(&self, tokens: &[u32]) -> Result<String, TextError> {
        let decoded = self.tokenizer.inner.decode(tokens, true);
        decoded.map_err(|e| TextError::Decode {
            token: tokens.last().copied().unwrap_or(0),
            reason: e.to_string(),
        })
    }
}

/// Bytes of `text` that later tokens won't change. Decoders write U+FFFD for
/// what is not a character yet: up to three, one for each byte of it so far.
fn complete_len(text: &str) -> usize {
    let held = text
        .chars()
        .rev()
        .take(3)
        .take_while(|&c| c == char::REPLACEMENT_CHARACTER)
        .count();
    text.len() - held * char::REPLACEMENT_CHARACTER.len_utf8()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trained() -> Tokenizer {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/trained");
        Tokenizer::open(&fixtures).unwrap()
    }

    fn streamed(tokenizer: &Tokenizer, tokens: impl IntoIterator<Item = u32>) -> Vec<String> {
        let mut stream = tokenizer.stream();
        let mut pieces: Vec<_> = tokens
            .into_iter()
            .map(|token| stream.push(token).unwrap())
            .collect();
        pieces.push(stream.finish().unwrap());
        pieces
    }

    fn bytes(text: &[u8]) -> impl Iterator<Item = u32> {
        text.iter().map(|&byte| u32::from(byte))
    }

    #[test]
    fn the_byte_level_tokenizer_encodes_bytes() {
        let text = "The function: \n\u{e9}\u{20ac}\u{1f600} end\t";
        let ids: Vec<u32> = bytes(text.as_bytes()).collect();
        assert_eq!(trained().encode(text).unwrap(), ids);
        assert_eq!(trained().vocab_size(), 256);
    }

    #[test]
    fn a_stream_gives_each_character_when_it_is_complete() {
        let pieces = streamed(&trained(), bytes("a\u{20ac}b\u{1f600} ".as_bytes()));
        let expected = [
            "a",
            "",
            "",
            "\u{20ac}",
            "b",
            "",
            "",
            "",
            "\u{1f600}",
            " ",
            "",
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn a_long_text_comes_out_whole() {
        let text = "na\u{ef}ve caf\u{e9} \u{65e5}\u{672c}\u{8a9e} \u{1f600}\u{1f680}, ".repeat(50);
        let pieces = streamed(&trained(), bytes(text.as_bytes()));
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let cut = streamed(&trained(), bytes(b"ab\xe2\x82"));
        assert_eq!(cut, ["a", "b", "", "", "\u{fffd}"]);
        let text = b"x\xff\xff\xff\xff\xff\xffy\xc3\xa9\xc3";
        let pieces = streamed(&trained(), bytes(text));
        assert_eq!(pieces.concat(), String::from_utf8_lossy(text));
    }

    fn written(json: &str) -> Result<Tokenizer, TextError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tokenizer.json"), json).unwrap();
        Tokenizer::open(dir.path())
    }

    /// The trained fixture's, one value of its file another.
    fn changed(at: &str, value: serde_json::Value) -> Result<Tokenizer, TextError> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/trained");
        let text = fs::read_to_string(fixtures.join("tokenizer.json")).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        *json.pointer_mut(at).unwrap() = value;
        written(&json.to_string())
    }

    #[test]
    fn a_prompt_is_neither_cut_nor_filled_up() {
        let cut = json!({
            "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0
        });
        let filled = json!({
            "strategy": { "Fixed": 16 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "!"
        });
        let ids: Vec<u32> = bytes(b"a prompt").collect();
        for (at, value) in [("/truncation", cut), ("/padding", filled)] {
            let tokenizer = changed(at, value).unwrap();
            assert_eq!(tokenizer.encode("a prompt").unwrap(), ids, "{at}");
        }
    }

    #[test]
    fn tokens_that_depend_on_chance_are_refused() {
        assert!(changed("/model/dropout", json!(0.0)).is_ok());
        let refused = changed("/model/dropout", json!(0.1)).err().unwrap();
        assert!(refused.to_string().contains("`dropout`"), "{refused}");
    }

    #[test]
    fn bytes_as_tokens_of_their_own_are_held_until_they_are_a_character() {
        let tokenizer = written(
            r#"{"version": "1.0", "decoder": {"type": "Sequence", "decoders": [
                {"type": "ByteFallback"}, {"type": "Fuse"}]},
                "model": {"type": "BPE", "byte_fallback": true, "merges": [], "vocab":
                {"a": 0, "<0xF0>": 1, "<0x9F>": 2, "<0x98>": 3, "<0x80>": 4}}}"#,
        )
        .unwrap();
        let pieces = streamed(&tokenizer, [0, 1, 2, 3, 4, 0]);
        assert_eq!(pieces, ["a", "", "", "", "\u{1f600}", "a", ""]);
    }

    #[test]
    fn only_the_first_word_loses_its_space() {
        let tokenizer = written(
            r#"{"version": "1.0", "decoder": {"type": "Metaspace", "replacement": "\u2581",
                "prepend_scheme": "always", "split": true},
                "model": {"type": "BPE", "merges": [], "vocab": {"\u2581a": 0, "\u2581b": 1}}}"#,
        )
        .unwrap();
        let pieces = streamed(&tokenizer, [0, 1, 1, 0]);
        assert_eq!(pieces, ["a", " b", " b", " a", ""]);
    }

    #[test]
    fn an_unknown_token_is_refused_and_leaves_the_stream_alone() {
        let tokenizer = trained();
        let mut stream = tokenizer.stream();
        assert_eq!(stream.push(0xc3).unwrap(), "");
        let error = stream.push(256).unwrap_err().to_string();
        assert!(error.contains("256"), "{error}");
        assert_eq!(stream.push(0xa9).unwrap(), "\u{e9}");
    }

    #[test]
    fn a_folder_without_a_good_tokenizer_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let message = || match Tokenizer::open(dir.path()) {
            Ok(_) => panic!("opened"),
            Err(error) => error.to_string(),
        };
        let path = dir.path().join("tokenizer.json");
        let absent = message();
        fs::write(&path, "{\"version\": 7}").unwrap();
        let wrong = message();
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let large = message();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let folder = message();
        for (message, part) in [
            (absent, "cannot read"),
            (wrong, "expected a Hugging Face tokenizer.json"),
            (large, "has more than 67108864 bytes"),
            (folder, "is no regular file"),
        ] {
            assert!(message.contains(part), "{message}");
            assert!(message.contains("tokenizer.json"), "{message}");
            assert!(message.contains("expected"), "{message}");
        }
    }
}
