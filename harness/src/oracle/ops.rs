//! Every operation of the decoder as a function of plain slices.
//!
//! Lengths that do not fit each other are mistakes of the caller and panic;
//! values that a model or a prompt can bring are errors.

use super::error::OracleError;
use super::weights::ScaleRule;

/// Activations of one token, quantised to 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// Factor by which the activations were multiplied (127 / absmax).
    pub scale: f32,
    /// `values[k] / scale` approximates the activation k.
    pub values: Vec<i8>,
}

/// Quantises one token's activations `x[K]` with one absmax scale.
///
/// The order of the `f32` operations is part of the format, so scale bits and
/// values are exact: m = max(max |x|, 1e-5); s = (1/m) * 127, each step
/// rounded; q = clamp(round_half_even(x * s), -128, 127).
///
/// # Errors
/// [`OracleError::NotFinite`] on NaN or an infinity.
pub fn quantize(x: &[f32]) -> Result<Quantized, OracleError> {
    if let Some(index) = x.iter().position(|v| !v.is_finite()) {
        return Err(OracleError::NotFinite {
            place: "activation quantiser".into(),
            index,
            value: f64::from(x[index]),
        });
    }
    let absmax = x.iter().fold(1e-5f32, |m, v| m.max(v.abs()));
    let reciprocal = 1.0f32 / absmax;
    let scale = reciprocal * 127.0f32;
    let values = x
        .iter()
        .map(|&v| (v * scale).round_ties_even().clamp(-128.0, 127.0) as i8)
        .collect();
    Ok(Quantized { scale, values })
}

/// Integer products `a[n] = sum_k trits[n, k] * q[k]`, exact for K < 2^24.
///
/// `trits` is row-major `[rows, cols]`, `q` is `[cols]`, the result `[rows]`.
///
/// # Panics
/// If the lengths do not fit, or `cols` is 2^24 or more.
pub fn dot_rows(trits: &[i8], rows: usize, cols: usize, q: &[i8]) -> Vec<i32> {
    assert_eq!(trits.len(), rows * cols, "trits are [rows, cols]");
    assert_eq!(q.len(), cols, "q is [cols]");
    assert!(cols < 1 << 24, "128 * cols must fit an i32");
    (0..rows)
        .map(|n| {
            let row = &trits[n * cols..(n + 1) * cols];
            // Trits can't wrap it, by the assertion above; the checks of a debug
            // build would triple the time of every test that decodes.
            row.iter().zip(q).fold(0i32, |sum, (&w, &a)| {
                sum.wrapping_add(i32::from(w) * i32::from(a))
            })
        })
        .collect()
}

/// The real value that the integer product `a` stands for: a / s * ws, or
/// a / (s * ws), where s is the activation scale and ws the weight scale.
pub fn rescale(a: i32, activation_scale: f32, weight_scale: f32, rule: ScaleRule) -> f64 {
    let (a, s, ws) = (
        f64::from(a),
        f64::from(activation_scale),
        f64::from(weight_scale),
    );
    match rule {
        ScaleRule::Multiply => a / s * ws,
        ScaleRule::Divide => a / (s * ws),
    }
}

/// RMSNorm: x / sqrt(mean(x^2) + eps) * weight, over the whole slice.
///
/// # Panics
/// If `x` and `weight` differ in length.
pub fn rmsnorm(x: &[f64], weight: &[f32], eps: f64) -> Vec<f64> {
    assert_eq!(x.len(), weight.len(), "one weight per value");
    let mean_square = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
    let root = (mean_square + eps).sqrt();
    x.iter()
        .zip(weight)
        .map(|(v, &w)| v / root * f64::from(w))
        .collect()
}

/// RoPE's `f32` inverse frequencies, 1 / theta^(2j/d) for j < d/2, each of the
/// three operations rounded to `f32`.
pub fn inverse_frequencies(head_dim: usize, theta: f64) -> Vec<f32> {
    // The power of two f32 values, formed in f64, is the f32 power rounded once.
    let theta = f64::from(theta as f32);
    (0..head_dim / 2)
        .map(|j| {
            let exponent = (2 * j) as f32 / head_dim as f32;
            1.0f32 / theta.powf(f64::from(exponent)) as f32
        })
        .collect()
}

/// Rotates one head `x[d]` to `position`, in place. Pairs are (j, j + d/2).
///
/// The angle is an `f32` product, since that rounding is part of the model;
/// its sine and cosine are not rounded.
///
/// # Panics
/// If `x` is not twice as long as `inverse_frequencies`.
pub fn rope(x: &mut [f64], position: usize, inverse_frequencies: &[f32]) {
    let half = inverse_frequencies.len();
    assert_eq!(x.len(), 2 * half, "one frequency per pair");
    for (j, &frequency) in inverse_frequencies.iter().enumerate() {
        let angle = position as f32 * frequency;
        let (sin, cos) = f64::from(angle).sin_cos();
        let (a, b) = (x[j], x[j + half]);
        x[j] = a * cos - b * sin;
        x[j + half] = b * cos + a * sin;
    }
}

/// exp(score - max) / sum. A masked score is minus infinity; at least one
/// score has to be finite, else the result is NaN.
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / sum).collect()
}

/// max(x, 0)^2.
pub fn relu2(x: f64) -> f64 {
    // Not f64::max, which would turn NaN into 0 and hide it.
    if x <= 0.0 { 0.0 } else { x * x }
}

/// Plain dot product in `f64`.
///
/// # Panics
/// If the lengths differ.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "a dot product needs equal lengths");
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Index of the largest value, the lowest index on a tie. `None` where there
/// is no answer: no values, or a NaN among them.
pub fn argmax(values: &[f64]) -> Option<usize> {
    if values.iter().any(|v| v.is_nan()) {
        return None;
    }
    (0..values.len()).reduce(|best, i| if values[i] > values[best] { i } else { best })
}

/// Negative log-likelihood of `token` in nats: ln(sum exp(logits)) - logits\[token\].
///
/// # Panics
/// If `token` is not an index of `logits`.
pub fn negative_log_likelihood(logits: &[f64], token: usize) -> f64 {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - max).exp()).sum();
    max + sum.ln() - logits[token]
}
