//! Choosing a token by chance.

use std::sync::Arc;

use bitgauge_engine::buffer::Buffer;
use bitgauge_engine::sampler::{Sampler, Sampling};
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::{Error, Token};

use super::blueprint::{Extra, Plan};
use super::operands::Operands;
use super::placement::Placement;
use super::{Body, Refusal, hold};
use crate::measure::{Answer, Digest, Tolerance};
use crate::oracle::ops as oracle;

/// What stands for no token.
const NONE: i32 = -1;

/// Logits `[A][B]` of A tokens that follow each other.
pub(super) struct SamplePlan {
    logits: Vec<f32>,
    vocabulary: usize,
}

impl SamplePlan {
    pub fn new([tokens, vocabulary]: [usize; 2]) -> Self {
        Self {
            logits: Operands::of_size(tokens, vocabulary).floats(tokens * vocabulary),
            vocabulary,
        }
    }
}

impl Plan for SamplePlan {
    fn place(
        &self,
        placement: &mut Placement,
        _scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        // Of one candidate, chance has no say: the answer is the same in every iteration.
        let sampling = Sampling {
            temperature: 0.7,
            top_k: 1,
            top_p: 0.9,
            seed: 1,
        };
        let logits = placement.copy(&self.logits);
        placement.pad(self.vocabulary * size_of::<(f32, Token)>());
        Ok(Box::new(Sample {
            sampler: Sampler::new(sampling)?,
            tokens: vec![NONE; self.logits.len() / self.vocabulary],
            logits,
        }))
    }

    fn bytes(&self) -> usize {
        self.logits.len() * size_of::<f32>() + self.vocabulary * size_of::<(f32, Token)>()
    }

    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        let likeliest = |logits: &[f32]| {
            let logits: Vec<f64> = logits.iter().map(|&l| f64::from(l)).collect();
            oracle::argmax(&logits).map_or(NONE, |n| n as i32)
        };
        let want = self.logits.chunks_exact(self.vocabulary).map(likeliest);
        let want = Answer::Integers(want.collect());
        hold("the likeliest tokens", got, &want, Tolerance::Exact)
    }

    fn extra(&mut self, _share: f64) -> Extra {
        Extra::Nobody("a token is chosen all at once; plant it in another operation")
    }
}

struct Sample {
    logits: Buffer<f32>,
    sampler: Sampler,
    tokens: Vec<i32>,
}

impl Body for Sample {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        let vocabulary = self.logits.len() / self.tokens.len();
        for _ in 0..iterations {
            let all = self.logits.chunks_exact(vocabulary);
            for (token, logits) in self.tokens.iter_mut().zip(all) {
                *token = self.sampler.next(logits)? as i32;
            }
        }
        Ok(())
    }

    fn answer(&self) -> Answer {
        Answer::Integers(self.tokens.clone())
    }

    fn digest(&self) -> Digest {
        let bytes: Vec<u8> = self.tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
        Digest::of_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use bitgauge_engine::threads::Pool;

    use super::*;

    #[test]
    fn only_the_likeliest_tokens_are_right() {
        let plan = SamplePlan::new([3, 500]);
        let pool = Arc::new(Pool::new(1).unwrap());
        let mut body = plan.place(&mut Placement::fresh(), pool).unwrap();
        assert!(plan.judge(&body.answer()).is_err(), "it has not run");
        for iterations in [1, 4] {
            body.run(iterations).unwrap();
            plan.judge(&body.answer()).unwrap();
        }
        let Answer::Integers(mut tokens) = body.answer() else {
            panic!()
        };
        tokens.swap(0, 2);
        assert!(plan.judge(&Answer::Integers(tokens)).is_err());
    }
}
