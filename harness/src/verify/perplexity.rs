//! Perplexity of a text, by the engine.

use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Pool;
use rayon::prelude::*;

use crate::fixtures::golden::{PerplexityGolden, Protocol};
use crate::oracle::{Perplexity, Windows};

use super::check::{Book, Check};
use bitgauge_engine::kernels::Kernel;

/// How far perplexity may be from the golden one, relative.
const LIMIT: f64 = 1e-3;

/// Judges `model`, packed for `kernel`, on `text`, whose bytes are its tokens.
pub fn judge(
    name: &str,
    golden: &PerplexityGolden,
    text: &[u8],
    model: &Model,
    kernel: Kernel,
    book: &mut Book<'_>,
) {
    let mut record = |check: Check| book.record(check.kernel(kernel).threads(1));
    let id = format!("perplexity/{name}");
    let tokens: Vec<u32> = text.iter().map(|&byte| u32::from(byte)).collect();
    let Some(protocol) = Protocol::parse(&golden.protocol) else {
        return record(Check::broken(id, "an unknown protocol"));
    };
    let windows = Windows {
        length: protocol.window,
        stride: protocol.stride,
    };
    let got = match perplexity(model, &tokens, windows) {
        Ok(got) => got,
        Err(why) => return record(Check::broken(id, why)),
    };
    if got.predicted != golden.predicted {
        let why = format!("{} tokens predicted, not {}", got.predicted, golden.predicted);
        return record(Check::broken(id, why));
    }
    let nats = (got.nats_per_token() - golden.nats_per_byte).abs();
    record(
        Check::at_most(format!("{id}/nats_per_byte"), nats, golden.tolerance_nats_per_byte)
            .note(format!("{:.6} nats a byte", got.nats_per_token())),
    );
    let relative = (got.perplexity() / golden.ppl - 1.0).abs();
    record(
        Check::at_most(format!("{id}/relative"), relative, LIMIT)
            .note(format!("perplexity {:.4}", got.perplexity())),
    );
}

/// Perplexity of `tokens`; windows share nothing and run side by side.
fn perplexity(model: &Model, tokens: &[u32], windows: Windows) -> Result<Perplexity, String> {
    let windows = windows.cut(tokens);
    let nll = windows.par_iter().map(|window| window_nll(model, window));
    Ok(Perplexity {
        predicted: windows.iter().map(|window| window.len() - 1).sum(),
        window_nll_nats: nll.collect::<Result<_, _>>()?,
    })
}

fn window_nll(model: &Model, window: &[u32]) -> Result<f64, String> {
    let pool = Pool::new(1).map_err(|e| e.to_string())?;
    let mut session = Session::new(model, &pool, window.len()).map_err(|e| e.to_string())?;
    let (mut nll, mut wrong) = (0.0, None);
    let vocabulary = model.config().vocab_size;
    if let Some(token) = window.iter().find(|&&t| t as usize >= vocabulary) {
        return Err(format!("byte {token} of the text is no token of {vocabulary}"));
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
