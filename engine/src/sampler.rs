//! Choosing the next token.

use crate::ops;
use crate::{Error, Token};

/// How to choose; the default is greedy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; logits are divided by it otherwise.
    pub temperature: f32,
    /// Only the `top_k` largest logits are candidates; 0 means all.
    pub top_k: usize,
    /// Of these, the fewest whose probabilities reach `top_p`; 1 means all.
    pub top_p: f32,
    /// Equal seeds and logits give equal tokens.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

/// A seeded chooser of tokens.
pub struct Sampler {
    sampling: Sampling,
    state: u64,
    candidates: Vec<(f32, Token)>,
}

impl Sampler {
    /// Checks the parameters.
    ///
    /// # Errors
    /// When the temperature is negative or not finite, or `top_p` is outside of (0, 1].
    pub fn new(sampling: Sampling) -> Result<Self, Error> {
        let Sampling {
            temperature, top_p, ..
        } = sampling;
        let error = |name, value: f32, rule| {
            Err(Error::Sampling {
                name,
                value: f64::from(value),
                rule,
            })
        };
        if !(temperature.is_finite() && temperature >= 0.0) {
            return error(
                "temperature",
                temperature,
                "it must be finite and at least 0",
            );
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return error("top_p", top_p, "it must be above 0 and at most 1");
        }
        Ok(Self {
            sampling,
            state: sampling.seed,
            candidates: Vec::new(),
        })
    }

    /// Chooses from `logits`, one a token of the vocabulary.
    ///
    /// # Errors
    /// When there are none, or one is NaN.
    pub fn next(&mut self, logits: &[f32]) -> Result<Token, Error> {
        let best = ops::argmax(logits).ok_or(Error::NanLogits)?;
        let Sampling {
            temperature,
            top_k,
            top_p,
            ..
        } = self.sampling;
        if temperature == 0.0 {
            return Ok(best as Token);
        }
        let max = logits[best];
        let weighted = logits.iter().zip(0..);
        self.candidates.clear();
        self.candidates
            .extend(weighted.map(|(&l, id)| (((l - max) / temperature).exp(), id)));
        self.candidates
            .sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if top_k > 0 {
            self.candidates.truncate(top_k);
        }
        let total: f32 = self.candidates.iter().map(|c| c.0).sum();
        let mut reached = 0.0;
        let enough = self.candidates.iter().position(|c| {
            reached += c.0 / total;
            reached >= top_p
        });
        self.candidates
            .truncate(enough.map_or(self.candidates.len(), |i| i + 1));

        let total: f32 = self.candidates.iter().map(|c| c.0).sum();
        let mut left = self.uniform() * total;
        for &(weight, id) in &self.candidates {
            left -= weight;
            if left < 0.0 {
                return Ok(id);
            }
        }
        Ok(self.candidates.last().map_or(best as Token, |c| c.1))
    }

    /// Uniform in [0, 1): the upper 24 bits of SplitMix64 (Steele, Lea and Flood 2014).
    fn uniform(&mut self) -> f32 {
        let bits = crate::synthetic::split_mix(&mut self.state);
        (bits >> 40) as f32 / (1u64 << 24) as f32
    }
}
