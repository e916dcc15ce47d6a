//! Attention that is right and slow: what the ladder takes away again.

use std::ops::Range;

use bitgauge_engine::attention::{Attend, Batch, Chunked, Scratch};
use bitgauge_engine::float::Peak;
use bitgauge_engine::threads::{Scheduler, Task, Work};

/// Another attention, all heads on the caller's thread, one after another.
pub struct SerialAttention<A>(pub A);

/// The engine's attention with a softmax that takes one score at a time and calls [`f32::exp`].
pub struct ScalarSoftmax;

impl<A: Attend> Attend for SerialAttention<A> {
    fn name(&self) -> &'static str {
        "serial-attention"
    }

    fn attend(
        &self,
        batch: Batch<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
        _scheduler: &dyn Scheduler,
    ) {
        self.0.attend(batch, out, scratch, &Caller);
    }
}

impl Attend for ScalarSoftmax {
    fn name(&self) -> &'static str {
        "scalar-softmax"
    }

    fn attend(
        &self,
        batch: Batch<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
        scheduler: &dyn Scheduler,
    ) {
        Chunked::with_softmax(scalar_softmax).attend(batch, out, scratch, scheduler);
    }
}

/// `exp(s - max) / sum`, one after another.
fn scalar_softmax(scores: &mut [f32]) -> Peak {
    let mut max = f32::NEG_INFINITY;
    for &s in &*scores {
        if s > max {
            max = s;
        }
    }
    let mut sum = 0.0;
    for s in &mut *scores {
        *s = (*s - max).exp();
        sum += *s;
    }
    for s in scores {
        *s /= sum;
    }
    Peak { max, sum }
}

/// Does all work where it is called.
struct Caller;

impl Scheduler for Caller {
    fn name(&self) -> &'static str {
        "caller"
    }

    fn threads(&self) -> usize {
        1
    }

    fn run(&self, work: Work<'_>, task: &Task<'_>) {
        let all: Range<usize> = 0..work.items();
        task(all, work.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::judge::Judge;
    use crate::verify::default_fixtures;
    use bitgauge_engine::kernels::Kernel;
    use bitgauge_engine::session::Settings;
    use bitgauge_engine::threads::Pool;

    /// Gives all positions the same weight.
    struct Flat;

    impl Attend for Flat {
        fn name(&self) -> &'static str {
            "flat"
        }

        fn attend(
            &self,
            batch: Batch<'_>,
            out: &mut [f32],
            scratch: &mut Scratch,
            scheduler: &dyn Scheduler,
        ) {
            let flat = |scores: &mut [f32]| {
                let sum = scores.len() as f32;
                scores.fill(1.0 / sum);
                Peak { max: 0.0, sum }
            };
            Chunked::with_softmax(flat).attend(batch, out, scratch, scheduler);
        }
    }

    #[test]
    fn they_answer_as_the_oracle_does_and_a_wrong_one_does_not() {
        let judge = Judge::open(&default_fixtures().unwrap().join("trained")).unwrap();
        let pool = Pool::with_min_piece(2, 0).unwrap();
        let answer = |attend: &dyn Attend| {
            let settings = Settings {
                attend,
                ..Settings::default()
            };
            let judged = judge.with_settings(Kernel::best(), &pool, settings);
            judged.unwrap().map(drop)
        };
        for right in [
            &SerialAttention(Chunked::new()) as &dyn Attend,
            &SerialAttention(ScalarSoftmax),
            &ScalarSoftmax,
            &Chunked::new(),
        ] {
            assert_eq!(answer(right), Ok(()), "{}", right.name());
        }
        assert!(answer(&Flat).is_err());
    }
}
