//! How wrong the wrong tables are: relative L2 errors against the right product.
//!
//! The formulas are applied to real activations as they are, so no kernel, packing or quantiser
//! gets in between: with trits w, activations x, their quantised q and scale s, and m = max |x|,
//! the right product is `(sum w q) / s`.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::oracle::{Decoder, Model, OracleError, ops};
use crate::verify::random::Random;

/// The relative error that the reports about the sign-indexed table claim, as fractions.
pub const CLAIMED: (f64, f64) = (2.91, 4.30);

/// The widths that the errors are given for: of the trained fixture and of 2B-4T.
pub const WIDTHS: [usize; 4] = [256, 688, 2560, 6912];

/// A formula in the place of the right product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Formula {
    /// `(sum sg(w) q) / s`
    SignsOfWeights,
    /// `m * sum w sg(x)`
    SignsOfActivations,
    /// `m * sum sg(w) sg(x)`
    SignsOfBoth,
    /// `(sum over groups of eight of q_first * sum w) / s`
    OneValue,
    /// `sum w x`, without quantisation: what int8 itself costs.
    Unquantised,
}

impl Formula {
    /// All of them.
    pub const ALL: [Formula; 5] = [
        Formula::SignsOfWeights,
        Formula::SignsOfActivations,
        Formula::SignsOfBoth,
        Formula::OneValue,
        Formula::Unquantised,
    ];

    /// In a few words, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignsOfWeights => "signs of weights",
            Self::SignsOfActivations => "signs of activations",
            Self::SignsOfBoth => "signs of both",
            Self::OneValue => "one value for eight",
            Self::Unquantised => "no quantisation",
        }
    }

    /// One output: the row's trits with one token's activations.
    fn output(self, w: &[i8], x: &[f32], q: &ops::Quantized) -> f64 {
        let sign_w = |w: i8| if w >= 0 { 1.0 } else { -1.0 };
        let sign_x = |x: f32| if x >= 0.0 { 1.0 } else { -1.0 };
        let absmax = || f64::from(x.iter().fold(1e-5f32, |m, x| m.max(x.abs())));
        let wq = w.iter().zip(&q.values);
        let wx = w.iter().zip(x);
        let s = f64::from(q.scale);
        match self {
            Self::SignsOfWeights => wq.map(|(&w, &q)| sign_w(w) * f64::from(q)).sum::<f64>() / s,
            Self::SignsOfActivations => {
                absmax() * wx.map(|(&w, &x)| f64::from(w) * sign_x(x)).sum::<f64>()
            }
            Self::SignsOfBoth => absmax() * wx.map(|(&w, &x)| sign_w(w) * sign_x(x)).sum::<f64>(),
            Self::OneValue => {
                let groups = w.chunks(8).zip(q.values.chunks(8));
                let sum = |(w, q): (&[i8], &[i8])| {
                    f64::from(q[0]) * w.iter().map(|&w| f64::from(w)).sum::<f64>()
                };
                groups.map(sum).sum::<f64>() / s
            }
            Self::Unquantised => wx.map(|(&w, &x)| f64::from(w) * f64::from(x)).sum(),
        }
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `||wrong - right|| / ||right||` over all outputs that were added.
#[derive(Debug, Clone, Copy, Default)]
struct RelativeError {
    apart: f64,
    size: f64,
}

impl RelativeError {
    fn add(&mut self, formula: Formula, trits: &[i8], x: &[f32], q: &ops::Quantized) {
        let cols = x.len();
        let right = ops::dot_rows(trits, trits.len() / cols, cols, &q.values);
        for (w, right) in trits.chunks_exact(cols).zip(right) {
            let right = f64::from(right) / f64::from(q.scale);
            self.apart += (formula.output(w, x, q) - right).powi(2);
            self.size += right.powi(2);
        }
    }

    fn get(self) -> f64 {
        (self.apart / self.size).sqrt()
    }
}

/// Mean relative error of `formula` on gaussian activations of `cols` columns, a third of the
/// weights being zero, as a fraction: the mean over `tokens` tokens, each with 64 rows of its own.
///
/// # Panics
/// If `tokens` is 0.
pub fn on_gaussian(formula: Formula, cols: usize, tokens: usize) -> f64 {
    assert!(tokens > 0, "a mean of something");
    let mut random = Random::new(cols as u64);
    let mut errors = 0.0;
    for _ in 0..tokens {
        let x = random.normals(cols);
        let q = ops::quantize(&x).expect("normal deviates are finite");
        let trits = random.trits(64 * cols);
        let mut error = RelativeError::default();
        error.add(formula, &trits, &x, &q);
        errors += error.get();
    }
    errors / tokens as f64
}

/// Least, median and largest relative error over the linears of a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Least.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

/// The spread of each formula's error over all linears of the model in `folder`, each linear's
/// error taken over all tokens of `prompt` together.
///
/// # Errors
/// When the model can't be loaded, or `prompt` not be read by it.
pub fn on_model(folder: &Path, prompt: &[u32]) -> Result<Vec<(Formula, Spread)>, OracleError> {
    let model = Model::open(folder)?;
    let mut decoder = Decoder::new(&model);
    let linears = model.layers().len() * 7;
    let mut errors = vec![[RelativeError::default(); Formula::ALL.len()]; linears];
    for &token in prompt {
        decoder.step_with(token, &mut |tap| {
            let trits = &model.layers()[tap.layer].linear(tap.linear).trits;
            let linear = tap.layer * 7 + tap.linear as usize;
            for (error, formula) in errors[linear].iter_mut().zip(Formula::ALL) {
                error.add(formula, trits, tap.input, tap.quantized);
            }
        })?;
    }
    Ok(Formula::ALL
        .into_iter()
        .enumerate()
        .map(|(i, formula)| {
            let mut all: Vec<f64> = errors.iter().map(|e| e[i].get()).collect();
            all.sort_by(f64::total_cmp);
            let middle = all.len() / 2;
            let median = match all.len() % 2 {
                0 => (all[middle - 1] + all[middle]) / 2.0,
                _ => all[middle],
            };
            let (min, max) = (all[0], all[all.len() - 1]);
            (formula, Spread { min, median, max })
        })
        .collect())
}
