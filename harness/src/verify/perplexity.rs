//! Perplexity of a text, by the engine.

use bitgauge_engine::attention::CacheFormat;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Pool;
use rayon::prelude::*;

use super::cache;
use super::check::{Book, Check, Differences};
use crate::fixtures::golden::{PerplexityGolden, Protocol};
use crate::oracle::Windows;

/// How far perplexity may be from the golden one, relative.
const LIMIT: f64 = 1e-3;

/// Bits a byte that a format of the cache may cost: half a per cent of the trained model's.
const MOST_COST: f64 = 0.009;

/// What stands before the format in the last part of the id of such a check.
pub const CACHE: &str = "/cache-";

/// Every so many windows are read where the whole text would take too long.
const STRIDE: usize = 16;

/// How much of the text a kernel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All windows.
    Whole,
    /// Every 16th window, once another kernel has read them all.
    Sample,
}

/// A text, the golden figures about it, and what the first kernel made of it.
pub struct Text<'g> {
    name: &'g str,
    golden: &'g PerplexityGolden,
    tokens: Vec<u32>,
    /// The kernel that read all windows, and the nats of each.
    whole: Option<(Kernel, Vec<f64>)>,
}

impl<'g> Text<'g> {
    /// `text`'s bytes are its tokens.
    pub fn new(name: &'g str, golden: &'g PerplexityGolden, text: &[u8]) -> Self {
        Self {
            name,
            golden,
            tokens: text.iter().map(|&byte| u32::from(byte)).collect(),
            whole: None,
        }
    }

    /// Judges `model`, packed for `kernel`. The first call reads the whole text. Later ones must
    /// give the very bits that the first gave in every window that they read, and report the
    /// perplexity of the text with these windows their own and any others the first kernel's.
    pub fn judge(&mut self, model: &Model, kernel: Kernel, share: Share, book: &mut Book<'_>) {
        let mut record = |check: Check| book.record(check.kernel(kernel).threads(1));
        let id = format!("perplexity/{}", self.name);
        let Some(protocol) = Protocol::parse(&self.golden.protocol) else {
            return record(Check::broken(id, "an unknown protocol"));
        };
        let windows = cut(protocol, &self.tokens);
        let predicted: usize = windows.iter().map(|window| window.len() - 1).sum();
        if predicted != self.golden.predicted {
            let why = format!(
                "{predicted} tokens to predict, not {}",
                self.golden.predicted
            );
            return record(Check::broken(id, why));
        }
        let stride = match (&self.whole, share) {
            (Some(_), Share::Sample) => STRIDE,
            _ => 1,
        };
        let own: Result<Vec<(usize, f64)>, String> = (0..windows.len())
            .into_par_iter()
            .step_by(stride)
            .map(|i| Ok((i, window_nll(model, CacheFormat::F32, windows[i])?)))
            .collect();
        let own = match own {
            Ok(own) => own,
            Err(why) => return record(Check::broken(id, why)),
        };
        let read = match &self.whole {
            Some((first, _)) if own.len() < windows.len() => format!(
                "{} of {} windows, the others by {}",
                own.len(),
                windows.len(),
                first.spec().name()
            ),
            _ => format!("{} windows", own.len()),
        };
        let mut nats = vec![f64::NAN; windows.len()];
        if let Some((first, whole)) = &self.whole {
            let mut differences = Differences::default();
            for &(i, nll) in &own {
                differences.expect(nll.to_bits() == whole[i].to_bits(), || {
                    format!(
                        "window {i}: {nll} nats, {} by {}",
                        whole[i],
                        first.spec().name()
                    )
                });
            }
            record(differences.check(format!("{id}/same-bits")));
            nats.clone_from(whole);
        }
        for (i, nll) in own {
            nats[i] = nll;
        }
        let per_token = nats.iter().sum::<f64>() / predicted as f64;
        let apart = (per_token - self.golden.nats_per_byte).abs();
        let limit = self.golden.tolerance_nats_per_byte;
        record(
            Check::at_most(format!("{id}/nats_per_byte"), apart, limit)
                .note(format!("{per_token:.6} nats a byte; {read}")),
        );
        let perplexity = per_token.exp();
        let relative = (perplexity / self.golden.ppl - 1.0).abs();
        record(
            Check::at_most(format!("{id}/relative"), relative, LIMIT)
                .note(format!("perplexity {perplexity:.4}; {read}")),
        );
        self.whole.get_or_insert((kernel, nats));
    }

    /// The text's tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Judges by what it costs to read the whole text with each rounding format of the cache: beside
    /// what `model`, packed for the kernel that was first, made of it in float32.
    pub fn judge_caches(&self, model: &Model, book: &mut Book<'_>) {
        for format in [CacheFormat::Bf16, CacheFormat::Int8] {
            let id = format!("perplexity/{}{CACHE}{format}", self.name);
            let (Some((kernel, f32)), Some(protocol)) =
                (&self.whole, Protocol::parse(&self.golden.protocol))
            else {
                return book.record(Check::broken(id, "the text was not read in float32"));
            };
            let own: Result<Vec<f64>, String> = cut(protocol, &self.tokens)
                .par_iter()
                .map(|window| window_nll(model, format, window))
                .collect();
            let bits = |nats: &[f64]| {
                nats.iter().sum::<f64>() / self.golden.predicted as f64 / std::f64::consts::LN_2
            };
            let check = match own {
                Ok(own) => {
                    let (own, f32) = (bits(&own), bits(f32));
                    Check::at_most(id, own - f32, MOST_COST)
                        .note(format!("bits a byte more: {own:.5}, float32 {f32:.5}"))
                }
                Err(why) => Check::broken(id, why),
            };
            book.record(check.kernel(*kernel).threads(1));
        }
    }
}

/// One window of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Tokens predicted.
    pub predicted: usize,
    /// Negative log-likelihood in nats.
    pub nats: f64,
}

/// Reads every window of `text`, whose bytes are its tokens, with a cache in float32.
///
/// # Errors
/// An unknown protocol; a text that the model can't read; a logit that is no number.
pub fn windows(
    model: &Model,
    golden: &PerplexityGolden,
    text: &[u8],
) -> Result<Vec<Window>, String> {
    let protocol = Protocol::parse(&golden.protocol).ok_or("an unknown protocol")?;
    let tokens: Vec<u32> = text.iter().map(|&byte| u32::from(byte)).collect();
    cut(protocol, &tokens)
        .par_iter()
        .map(|window| {
            Ok(Window {
                predicted: window.len() - 1,
                nats: window_nll(model, CacheFormat::F32, window)?,
            })
        })
        .collect()
}

fn cut(protocol: Protocol, tokens: &[u32]) -> Vec<&[u32]> {
    let windows = Windows {
        length: protocol.window,
        stride: protocol.stride,
    };
    windows.cut(tokens)
}

/// Negative log-likelihood of one window in nats, with a cache of `format`.
fn window_nll(model: &Model, format: CacheFormat, window: &[u32]) -> Result<f64, String> {
    let pool = Pool::new(1).map_err(|e| e.to_string())?;
    let settings = cache::settings(format);
    let mut session =
        Session::with_settings(model, &pool, window.len(), settings).map_err(|e| e.to_string())?;
    let (mut nll, mut wrong) = (0.0, None);
    let vocabulary = model.config().vocab_size;
    if let Some(token) = window.iter().find(|&&t| t as usize >= vocabulary) {
        return Err(format!(
            "byte {token} of the text is no token of {vocabulary}"
        ));
    }
    session
        .prefill_each(&window[..window.len() - 1], &mut |position, logits| {
            if logits.iter().any(|l| !l.is_finite()) {
                wrong = Some(position);
            }
            nll += negative_log_likelihood(logits, window[position + 1] as usize);
        })
        .map_err(|e| e.to_string())?;
    match wrong {
        Some(position) => Err(format!("a NaN or infinite logit at position {position}")),
        None => Ok(nll),
    }
}

/// `ln(sum exp(logits)) - logits[token]`, in f64.
fn negative_log_likelihood(logits: &[f32], token: usize) -> f64 {
    let wide: Vec<f64> = logits.iter().map(|&l| f64::from(l)).collect();
    crate::oracle::ops::negative_log_likelihood(&wide, token)
}
