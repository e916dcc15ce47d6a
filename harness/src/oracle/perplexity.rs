//! Perplexity over overlapping windows of a text.

use rayon::prelude::*;

use super::decoder::Decoder;
use super::error::OracleError;
use super::model::Model;
use super::ops;

/// How a text is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Tokens in a window; the last may be shorter.
    pub length: usize,
    /// Tokens from the start of a window to the start of the next.
    pub stride: usize,
}

impl Windows {
    /// The windows of `tokens`, in order. Each begins with an empty cache and
    /// predicts all of its tokens but the first, so that with a stride one
    /// less than the length every token but the text's first is predicted
    /// once. A window that could predict nothing is left out.
    ///
    /// # Panics
    /// If `stride` is 0.
    pub fn cut<'t>(&self, tokens: &'t [u32]) -> Vec<&'t [u32]> {
        (0..tokens.len())
            .step_by(self.stride)
            .map(|start| &tokens[start..tokens.len().min(start + self.length)])
            .filter(|window| window.len() > 1)
            .collect()
    }
}

/// Negative log-likelihood of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Perplexity {
    /// Tokens predicted.
    pub predicted: usize,
    /// Sum over each window, in nats.
    pub window_nll_nats: Vec<f64>,
}

impl Perplexity {
    /// Sum over the text, in nats.
    pub fn nll_nats(&self) -> f64 {
        self.window_nll_nats.iter().sum()
    }

    /// Mean over the predicted tokens, in nats.
    pub fn nats_per_token(&self) -> f64 {
        self.nll_nats() / self.predicted as f64
    }

    /// exp(mean negative log-likelihood).
    pub fn perplexity(&self) -> f64 {
        self.nats_per_token().exp()
    }
}

/// Perplexity of `tokens`. The windows share nothing and run in parallel.
///
/// # Errors
/// [`OracleError::EmptyPrompt`] if no token can be predicted, and as
/// [`Decoder::step`].
pub fn perplexity(
    model: &Model,
    tokens: &[u32],
    windows: Windows,
) -> Result<Perplexity, OracleError> {
    let windows = windows.cut(tokens);
    if windows.is_empty() {
        return Err(OracleError::EmptyPrompt);
    }
    let window_nll_nats = windows
        .par_iter()
        .map(|window| window_nll(model, window))
        .collect::<Result<Vec<f64>, OracleError>>()?;
    Ok(Perplexity {
        predicted: windows.iter().map(|window| window.len() - 1).sum(),
        window_nll_nats,
    })
}

fn window_nll(model: &Model, window: &[u32]) -> Result<f64, OracleError> {
    let mut decoder = Decoder::new(model);
    let mut nll = 0.0;
    for pair in window.windows(2) {
        let logits = decoder.step(pair[0])?;
        let next = pair[1] as usize;
        if next >= logits.len() {
            return Err(OracleError::UnknownToken {
                token: pair[1],
                vocabulary: logits.len(),
            });
        }
        nll += ops::negative_log_likelihood(&logits, next);
    }
    Ok(nll)
}
