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

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 0.5, 0.3, 0.15 and 0.05 of tokens 2, 0, 3 and 1.
    fn logits() -> [f32; 4] {
        [0.3f32.ln(), 0.05f32.ln(), 0.5f32.ln(), 0.15f32.ln()]
    }

    fn shares(sampling: Sampling) -> [f64; 4] {
        const DRAWS: usize = 20_000;
        let mut sampler = Sampler::new(sampling).unwrap();
        let mut counts = [0; 4];
        for _ in 0..DRAWS {
            counts[sampler.next(&logits()).unwrap() as usize] += 1;
        }
        counts.map(|c| f64::from(c) / DRAWS as f64)
    }

    fn assert_shares(sampling: Sampling, want: [f64; 4]) {
        let got = shares(sampling);
        // Four standard deviations of a share of 1/2 in 20 000 draws are 0.014.
        let near = got.iter().zip(want).all(|(g, w)| (g - w).abs() < 0.015);
        assert!(near, "{sampling:?}: {got:?}, expected {want:?}");
    }

    fn warm() -> Sampling {
        Sampling {
            temperature: 1.0,
            seed: 7,
            ..Sampling::default()
        }
    }

    #[test]
    fn greedy_takes_the_largest_and_the_lowest_of_equals() {
        let mut greedy = Sampler::new(Sampling::default()).unwrap();
        assert_eq!(greedy.next(&logits()).unwrap(), 2);
        assert_eq!(greedy.next(&[1.0, 3.0, 3.0]).unwrap(), 1);
    }

    #[test]
    fn temperature_one_draws_by_probability() {
        assert_shares(warm(), [0.3, 0.05, 0.5, 0.15]);
    }

    #[test]
    fn a_half_temperature_squares_the_probabilities() {
        let squares = [0.09, 0.0025, 0.25, 0.0225].map(|p: f64| p / 0.365);
        let cold = Sampling {
            temperature: 0.5,
            ..warm()
        };
        assert_shares(cold, squares);
    }

    #[test]
    fn top_k_keeps_the_k_likeliest() {
        assert_shares(Sampling { top_k: 2, ..warm() }, [0.375, 0.0, 0.625, 0.0]);
        assert_shares(Sampling { top_k: 1, ..warm() }, [0.0, 0.0, 1.0, 0.0]);
        let three = [0.3, 0.0, 0.5, 0.15].map(|p: f64| p / 0.95);
        assert_shares(Sampling { top_k: 3, ..warm() }, three);
        assert_shares(Sampling { top_k: 4, ..warm() }, [0.3, 0.05, 0.5, 0.15]);
        assert_shares(
            Sampling {
                top_k: 99,
                ..warm()
            },
            [0.3, 0.05, 0.5, 0.15],
        );
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_p() {
        let p = |top_p| Sampling { top_p, ..warm() };
        assert_shares(p(0.45), [0.0, 0.0, 1.0, 0.0]);
        assert_shares(p(0.6), [0.375, 0.0, 0.625, 0.0]);
        let three = [0.3, 0.0, 0.5, 0.15].map(|p: f64| p / 0.95);
        assert_shares(p(0.9), three);
    }

    /// Of the two likeliest, one has 0.625 of what they have together.
    #[test]
    fn top_p_is_a_share_of_what_top_k_leaves() {
        let both = |top_k, top_p| Sampling {
            top_k,
            top_p,
            ..warm()
        };
        assert_shares(both(2, 0.6), [0.0, 0.0, 1.0, 0.0]);
        assert_shares(both(2, 0.65), [0.375, 0.0, 0.625, 0.0]);
    }

    /// Sums of quarters are exact.
    #[test]
    fn candidates_that_just_reach_p_are_enough() {
        for (top_p, most) in [(0.25, 0), (0.5, 1), (0.75, 2), (1.0, 3)] {
            let mut sampler = Sampler::new(Sampling { top_p, ..warm() }).unwrap();
            let draws = (0..200).map(|_| sampler.next(&[0.0; 4]).unwrap());
            assert_eq!(draws.max(), Some(most), "{top_p}");
        }
    }

    #[test]
    fn equal_seeds_draw_alike_and_others_do_not() {
        let draw = |seed| {
            let mut sampler = Sampler::new(Sampling { seed, ..warm() }).unwrap();
            (0..50)
                .map(|_| sampler.next(&logits()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for temperature in [-1.0, f32::NAN, f32::INFINITY] {
            let sampling = Sampling {
                temperature,
                ..warm()
            };
            assert!(Sampler::new(sampling).is_err(), "{temperature}");
        }
        for top_p in [0.0, -0.1, 1.1, f32::NAN] {
            assert!(
                Sampler::new(Sampling { top_p, ..warm() }).is_err(),
                "{top_p}"
            );
        }
        let mut sampler = Sampler::new(warm()).unwrap();
        assert!(matches!(
            sampler.next(&[0.0, f32::NAN]),
            Err(Error::NanLogits)
        ));
        assert!(matches!(sampler.next(&[]), Err(Error::NanLogits)));
    }
}
