//! What loading a model does with each of its matrices: packing it for the fastest kernel.

use std::sync::Arc;

use bitgauge_engine::Error;
use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::trits::Trits;

use super::blueprint::{Extra, Plan};
use super::operands::Operands;
use super::placement::Placement;
use super::{Body, Refusal, hold};
use crate::measure::{Answer, Digest, Tolerance};
use crate::oracle;

/// Trits `[N][K]`, and the activations of one token, which tell what was packed.
pub(super) struct PackPlan {
    trits: Arc<Trits>,
    activations: Vec<i8>,
}

impl PackPlan {
    pub fn new([rows, cols]: [usize; 2]) -> Result<Self, Refusal> {
        let mut operands = Operands::of_size(rows, cols);
        let trits = Trits::new(rows, cols, operands.trits(rows * cols))
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        Ok(Self {
            trits: Arc::new(trits),
            activations: operands.int8s(cols),
        })
    }
}

impl Plan for PackPlan {
    fn place(
        &self,
        placement: &mut Placement,
        _scheduler: Arc<dyn Scheduler>,
    ) -> Result<Box<dyn Body>, Refusal> {
        let kernel = Kernel::best();
        let mut input = Input::default();
        input.set(&self.activations, self.trits.cols());
        input.prepare(kernel);
        // Each iteration takes memory of its own, as loading does.
        placement.pad(self.bytes());
        Ok(Box::new(Pack {
            trits: Arc::clone(&self.trits),
            kernel,
            input,
            packed: None,
        }))
    }

    fn bytes(&self) -> usize {
        self.trits.rows() * self.trits.cols()
    }

    fn judge(&self, got: &Answer) -> Result<(), Refusal> {
        let (rows, cols) = (self.trits.rows(), self.trits.cols());
        let all: Vec<i8> = (0..rows).flat_map(|n| self.trits.row(n).to_vec()).collect();
        let want = oracle::ops::dot_rows(&all, rows, cols, &self.activations);
        let want = Answer::Integers(want);
        hold("sums of what was packed", got, &want, Tolerance::Exact)
    }

    fn extra(&mut self, _share: f64) -> Extra {
        Extra::Nobody("a matrix is packed all at once; plant it in another operation")
    }
}

struct Pack {
    trits: Arc<Trits>,
    kernel: Kernel,
    input: Input,
    packed: Option<Matrix>,
}

impl Pack {
    /// The sums by what was packed last; none where nothing was.
    fn sums(&self) -> Vec<i32> {
        let Some(matrix) = &self.packed else {
            return Vec::new();
        };
        let mut sums = vec![i32::MIN; matrix.rows()];
        matrix.sums(&self.input, 0..matrix.rows(), &mut sums);
        sums
    }
}

impl Body for Pack {
    fn run(&mut self, iterations: u64) -> Result<(), Error> {
        for _ in 0..iterations {
            self.packed = Some(Matrix::pack(self.kernel, &self.trits));
        }
        Ok(())
    }

    fn answer(&self) -> Answer {
        Answer::Integers(self.sums())
    }

    /// Of the sums, which another layout of the same weights does not change.
    fn digest(&self) -> Digest {
        let bytes: Vec<u8> = self.sums().into_iter().flat_map(i32::to_le_bytes).collect();
        Digest::of_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use bitgauge_engine::threads::Pool;

    use super::*;

    #[test]
    fn only_what_was_packed_rightly_is_right() {
        let plan = PackPlan::new([37, 70]).unwrap();
        let pool = Arc::new(Pool::new(1).unwrap());
        let mut body = plan.place(&mut Placement::fresh(), pool).unwrap();
        assert!(plan.judge(&body.answer()).is_err(), "it has not run");
        body.run(2).unwrap();
        plan.judge(&body.answer()).unwrap();
        let Answer::Integers(mut sums) = body.answer() else {
            panic!()
        };
        sums[36] += 1;
        assert!(plan.judge(&Answer::Integers(sums)).is_err());
    }
}
