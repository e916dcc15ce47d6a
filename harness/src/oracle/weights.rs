//! Ternary weights: the packed format, the quantiser of master weights, and
//! the linear layer that both end up as.

use super::error::OracleError;
use super::ops::{self, Quantized};

/// What a stored weight scale does to the integer product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleRule {
    /// `autobitlinear`: y = a / s * weight_scale.
    Multiply,
    /// `bitlinear`: y = a / (s * weight_scale).
    Divide,
}

/// A ternary linear layer with N = `rows` outputs and K = `cols` inputs.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Outputs, N.
    pub rows: usize,
    /// Inputs, K.
    pub cols: usize,
    /// Weights in -1, 0, 1, row-major `[rows, cols]`.
    pub trits: Vec<i8>,
    /// One scale for the whole layer, finite and > 0.
    pub weight_scale: f32,
    /// Whether that scale multiplies or divides.
    pub rule: ScaleRule,
}

/// What a linear layer gives for one token.
#[derive(Debug, Clone)]
pub struct Product {
    /// Exact integer products, `[rows]`.
    pub accumulators: Vec<i32>,
    /// The products rescaled, `[rows]`.
    pub output: Vec<f64>,
}

impl Linear {
    /// Multiplies one token's quantised activations `[cols]`.
    ///
    /// # Panics
    /// If `x` does not have `cols` values.
    pub fn apply(&self, x: &Quantized) -> Product {
        let accumulators = ops::dot_rows(&self.trits, self.rows, self.cols, &x.values);
        let output = accumulators
            .iter()
            .map(|&a| ops::rescale(a, x.scale, self.weight_scale, self.rule))
            .collect();
        Product {
            accumulators,
            output,
        }
    }
}

/// Unpacks `[rows/4, cols]` bytes into row-major trits `[rows, cols]`.
///
/// Bits 2j+1..2j of byte \[i, k\] hold weight \[i + j * rows/4, k\] plus 1: the
/// four codes of a byte belong to rows that are rows/4 apart.
///
/// # Errors
/// The index of the first byte that holds the invalid code 3.
///
/// # Panics
/// If `rows` is not a multiple of 4 or the number of bytes does not fit.
pub fn unpack(bytes: &[u8], rows: usize, cols: usize) -> Result<Vec<i8>, usize> {
    assert!(
        rows.is_multiple_of(4),
        "packed rows come in multiples of four"
    );
    let packed_rows = rows / 4;
    assert_eq!(bytes.len(), packed_rows * cols, "bytes are [rows/4, cols]");
    let mut trits = vec![0i8; rows * cols];
    for i in 0..packed_rows {
        for k in 0..cols {
            let byte = bytes[i * cols + k];
            for j in 0..4 {
                let code = (byte >> (2 * j)) & 3;
                if code == 3 {
                    return Err(i * cols + k);
                }
                trits[(i + j * packed_rows) * cols + k] = code as i8 - 1;
            }
        }
    }
    Ok(trits)
}

/// Quantises master weights: the trits, and the scale that multiplies.
///
/// b = mean |W| over the tensor, c = 1 / max(b, 1e-5), trit =
/// clamp(round_half_even(W * c), -1, 1), scale = 1 / c, each an `f32`; only
/// the sum of the mean is wider.
///
/// # Errors
/// [`OracleError::NotFinite`] where the mean is, as with no weights at all.
pub fn quantize_master(weights: &[f32]) -> Result<(Vec<i8>, f32), OracleError> {
    let sum: f64 = weights.iter().map(|w| f64::from(w.abs())).sum();
    let mean = (sum / weights.len() as f64) as f32;
    if !mean.is_finite() {
        return Err(OracleError::NotFinite {
            place: "mean of absolute master weights".into(),
            index: 0,
            value: f64::from(mean),
        });
    }
    let c = 1.0f32 / mean.max(1e-5f32);
    let trits = weights
        .iter()
        .map(|&w| (w * c).round_ties_even().clamp(-1.0, 1.0) as i8)
        .collect();
    Ok((trits, 1.0f32 / c))
}
