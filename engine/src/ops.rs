//! The decoder's operations between the products, each on one token.

use crate::float;

/// RMSNorm: `y = (x / sqrt(mean(x^2) + eps)) * weight`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let mean = (float::sum_of_squares(x) / x.len() as f64) as f32;
    float::scale_by(x, 1.0 / (mean + eps).sqrt(), weight, y);
}

/// The angles of rotary position embedding for one model.
#[derive(Clone)]
pub struct Rope {
    inverse_frequencies: Vec<f32>,
}

impl Rope {
    /// `f_j = fl(1 / fl(theta^fl(2j/d)))` for `j < d/2`: float32, as the model was trained.
    pub fn new(head_dim: usize, theta: f32) -> Self {
        let frequency = |j: usize| {
            let exponent = (2 * j) as f32 / head_dim as f32;
            1.0 / f64::from(theta).powf(f64::from(exponent)) as f32
        };
        Self {
            inverse_frequencies: (0..head_dim / 2).map(frequency).collect(),
        }
    }

    /// The d/2 inverse frequencies.
    pub fn inverse_frequencies(&self) -> &[f32] {
        &self.inverse_frequencies
    }

    /// Writes `(cos, sin)` of the float32 angle `fl(position * f_j)` for each pair.
    pub fn angles(&self, position: usize, out: &mut [(f32, f32)]) {
        for (out, &f) in out.iter_mut().zip(&self.inverse_frequencies) {
            let (sin, cos) = f64::from(position as f32 * f).sin_cos();
            *out = (cos as f32, sin as f32);
        }
    }
}

/// Rotates one head in place; pairs are `(j, j + d/2)`.
pub fn rotate(head: &mut [f32], angles: &[(f32, f32)]) {
    let (low, high) = head.split_at_mut(head.len() / 2);
    float::rotate(low, high, angles);
}

/// Index of the largest logit; the lowest on a tie. `None` when there is none, or one is NaN.
pub fn argmax(logits: &[f32]) -> Option<usize> {
    if logits.iter().any(|l| l.is_nan()) {
        return None;
    }
    let max = logits.iter().copied().reduce(f32::max)?;
    logits.iter().position(|&l| l == max)
}
