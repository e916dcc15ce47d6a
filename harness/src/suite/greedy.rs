//! Finding the largest logit by the quantised head.

use std::sync::Arc;

use bitgauge_engine::Error;
use bitgauge_engine::buffer::Buffer;
use bitgauge_engine::checkpoint::Floats;
use bitgauge_engine::float_matrix::FloatMatrix;
use bitgauge_engine::head::{QuantizedHead, Search};
use bitgauge_engine::threads::Scheduler;

use super::blueprint::Plan;
use super::operands::Operands;
use super::operation::{ROUNDING, repeat};
use super::placement::Placement;
use super::{Body, Refusal, hold};
use crate::measure::{Answer, Digest, Tolerance};
use crate::oracle::ops as oracle;

/// What stands for no row.
const NONE: i32 = -1;

/// A head in bf16, its quantised copy, and what it is multiplied with.
pub(super) struct GreedyPlan {
    head: FloatMatrix,
    quantized: QuantizedHead,
    x: Vec<f32>,
}

impl GreedyPlan {
    pub fn new([rows, cols]: [usize; 2]) -> Self {
        let mut operands = Operands::of_size(rows, cols);
        let weights = operands.floats(rows * cols);
        let upper: Vec<u16> = weights.iter().map(|w| (w.to_bits() >> 16) as u16).collect();
        let head = FloatMatrix::new(Floats::Bf16(upper.into()), cols);
        Self {
            quantized: QuantizedHead::new(&head),
            head,
            x: operands.floats(cols),
        }
    }
}

impl Plan for GreedyPlan {
    fn place(
        &self,
        placement: &mut Placement,
        scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        placement.pad(self.head.bytes());
        let head = self.head.clone();
        placement.pad(self.quantized.bytes());
        Ok(Box::new(Greedy {
            head,
            quantized: self.quantized.clone(),
            x: placement.copy(&self.x),
            search: Search::default(),
            row: NONE,
            scheduler,
        }))
    }

    fn bytes(&self) -> usize {
        self.quantized.bytes()
    }

    /// The row must have the largest of all logits. Where two are as near to each other as float32
    /// rounds, the oracle can't tell them apart, and takes either.
    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        let x: Vec<f64> = self.x.iter().map(|&v| f64::from(v)).collect();
        let mut row = vec![0.0; self.head.cols()];
        let logits: Vec<f64> = (0..self.head.rows())
            .map(|n| {
                self.head.read(n, &mut row);
                let row: Vec<f64> = row.iter().map(|&w| f64::from(w)).collect();
                oracle::dot(&row, &x)
            })
            .collect();
        let found = match got {
            Answer::Integers(rows) => rows.first().and_then(|&n| usize::try_from(n).ok()),
            _ => None,
        };
        let logit = found.and_then(|n| logits.get(n)).copied();
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        hold(
            "the largest logit",
            &Answer::Floats(vec![logit.unwrap_or(f64::NEG_INFINITY)]),
            &Answer::Floats(vec![largest]),
            Tolerance::Absolute(ROUNDING * largest.abs()),
        )
    }
}

struct Greedy {
    head: FloatMatrix,
    quantized: QuantizedHead,
    x: Buffer<f32>,
    search: Search,
    row: i32,
    scheduler: Arc<dyn Scheduler>,
}

impl Body for Greedy {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        let (scheduler, search) = (&*self.scheduler, &mut self.search);
        let (head, quantized, x, row) = (&self.head, &self.quantized, &self.x, &mut self.row);
        repeat(scheduler, iterations, || {
            let found = quantized.argmax(head, x, scheduler, search);
            *row = found.map_or(NONE, |(row, _)| row as i32);
        });
        Ok(())
    }

    fn answer(&self) -> Answer {
        Answer::Integers(vec![self.row])
    }

    fn digest(&self) -> Digest {
        Digest::of_bytes(&self.row.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use bitgauge_engine::threads::Pool;

    use super::*;

    #[test]
    fn only_the_row_with_the_largest_logit_is_right() {
        let plan = GreedyPlan::new([300, 64]);
        let pool = Arc::new(Pool::new(2).unwrap());
        let mut body = plan.place(&mut Placement::fresh(), pool).unwrap();
        assert!(plan.judge(&body.answer()).is_err(), "it has not run");
        body.run(1).unwrap();
        let Answer::Integers(found) = body.answer() else {
            panic!()
        };
        for row in -1..=300 {
            let right = plan.judge(&Answer::Integers(vec![row])).is_ok();
            assert_eq!(right, found == [row], "{row}");
        }
    }
}
