//! How well the evaluation text is predicted, window by window beside the oracle.

use std::f64::consts::LN_2;

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;

use crate::exit::Failure;
use crate::fixtures::golden::PerplexityGolden;
use crate::measure::stats::fixed_blocks_interval;
use crate::run::{Estimate, Likelihood, Measured};
use crate::verify::perplexity;

/// Lets `model` read the text in the windows of the golden file.
///
/// The interval of the difference is that of the median window, between two order statistics
/// (David and Nagaraja, "Order Statistics", 7.1): it assumes windows that are independent of each
/// other, and no distribution.
///
/// # Errors
/// When the text can't be cut or read.
pub fn measure(
    stated: &PerplexityGolden,
    text: &[u8],
    kernel: Kernel,
    model: &Model,
) -> Result<Measured<Likelihood>, Failure> {
    let windows = match perplexity::windows(model, stated, text) {
        Ok(windows) => windows,
        Err(why) => return Ok(Measured::unavailable(why)),
    };
    let predicted: usize = windows.iter().map(|w| w.predicted).sum();
    let nats_a_byte = windows.iter().map(|w| w.nats).sum::<f64>() / predicted as f64;
    let differences: Vec<f64> = windows
        .iter()
        .zip(&stated.window_nll_nats)
        .map(|(own, oracle)| (own.nats - oracle) / own.predicted as f64 / LN_2)
        .collect();
    Ok(Measured::Is(Likelihood {
        kernel: kernel.spec().name().into(),
        predicted,
        bits_a_byte: nats_a_byte / LN_2,
        oracle_bits_a_byte: stated.bits_per_byte,
        perplexity: nats_a_byte.exp(),
        oracle_perplexity: stated.ppl,
        difference: if differences.len() == windows.len() {
            median(&differences)
        } else {
            Measured::unavailable("the golden file does not have every window's likelihood")
        },
        tolerance: stated.tolerance_nats_per_byte / LN_2,
    }))
}

fn median(differences: &[f64]) -> Measured<Estimate> {
    let interval = fixed_blocks_interval(differences, 0.95);
    let mut sorted = differences.to_vec();
    sorted.sort_by(f64::total_cmp);
    let estimate = interval.map(|i| Estimate {
        value: (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0,
        low: i.low,
        high: i.high,
        level: i.coverage,
        blocks: sorted.len() as u64,
    });
    Measured::or(estimate, "too few windows for an interval")
}
