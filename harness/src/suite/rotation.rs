//! A product whose weights come from where a model's come from: each iteration reads the next of
//! several copies of the matrix, as a token reads one layer after the other.

use std::sync::Arc;

use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::tiled::Tiled;
use bitgauge_engine::trits::Trits;

use super::id::{CaseId, Work};
use super::product::{by_row, judge, multiply, operands};
use super::{Refusal, SuiteError};
use crate::measure::{Answer, Timed, Tolerance, Verified};

/// A product over copies of its matrix, one an iteration.
pub struct Rotation {
    copies: Arc<[Matrix]>,
    next: usize,
    activations: Vec<i8>,
    factors: Vec<f32>,
    input: Input,
    out: Tiled,
    scheduler: Arc<dyn Scheduler>,
}

impl Rotation {
    /// Two products of one size by one kernel, such as decoding and prefill, that read the same
    /// copies. Each was run on every copy, and all answers are the oracle's.
    ///
    /// # Errors
    /// When an id is no product's, or of another size than the first; when answers are wrong.
    pub fn pair(
        ids: &[CaseId; 2],
        kernel: Kernel,
        copies: usize,
        scheduler: &Arc<dyn Scheduler>,
    ) -> Result<[Verified<Self>; 2], SuiteError> {
        let matrix = packed(&ids[0], kernel)?;
        let copies: Arc<[Matrix]> = (0..copies.max(1)).map(|_| matrix.clone()).collect();
        let one = |id: &CaseId| {
            Self::new(id, &copies, scheduler)
                .and_then(Self::verified)
                .map_err(|refusal| refusal.of(id))
        };
        Ok([one(&ids[0])?, one(&ids[1])?])
    }

    fn new(
        id: &CaseId,
        copies: &Arc<[Matrix]>,
        scheduler: &Arc<dyn Scheduler>,
    ) -> Result<Self, Refusal> {
        let (rows, cols) = (copies[0].rows(), copies[0].cols());
        let tokens = match id.work() {
            Work::Product { tokens, shape, .. } if [shape.rows, shape.cols] == [rows, cols] => {
                usize::from(*tokens)
            }
            _ => return Err(Refusal::Failed(format!("this is no {rows}x{cols} product"))),
        };
        Ok(Self {
            copies: Arc::clone(copies),
            next: 0,
            activations: operands(rows, cols, tokens).1,
            factors: vec![1.0; tokens],
            input: Input::default(),
            out: Tiled::default(),
            scheduler: Arc::clone(scheduler),
        })
    }

    fn verified(mut self) -> Result<Verified<Self>, Refusal> {
        let rows = self.copies[0].rows();
        let mut answers = Vec::new();
        for _ in 0..self.copies.len() {
            self.out.resize(self.factors.len(), rows).fill(f32::NAN);
            self.iterate(1);
            answers.push(Answer::from_f32(&by_row(&self.out, rows)));
        }
        let want = judge(&self.copies[0], &self.activations, &answers[0])?;
        let wrong = |wrong: &crate::measure::Wrong<()>| Refusal::Wrong {
            what: "a copy".to_owned(),
            reason: Box::new(wrong.reason().clone()),
        };
        for answer in &answers[1..] {
            Verified::check((), answer, &want, Tolerance::Exact).map_err(|w| wrong(&w))?;
        }
        Verified::check(self, &answers[0], &want, Tolerance::Exact)
            .map_err(|w| Refusal::Failed(w.to_string()))
    }
}

fn packed(id: &CaseId, kernel: Kernel) -> Result<Matrix, SuiteError> {
    let failed = |message: String| Refusal::Failed(message).of(id);
    let Work::Product { shape, .. } = id.work() else {
        return Err(failed("this is no product".to_owned()));
    };
    let (trits, _) = operands(shape.rows, shape.cols, 1);
    let trits = Trits::new(shape.rows, shape.cols, trits).map_err(|e| failed(e.to_string()))?;
    Ok(Matrix::pack(kernel, &trits))
}

impl Timed for Rotation {
    fn iterate(&mut self, iterations: u64) {
        let Self {
            copies,
            next,
            activations,
            factors,
            input,
            out,
            scheduler,
        } = self;
        let scheduler = &**scheduler;
        // As within a token: the workers are awake from one product to the next.
        scheduler.enter(&mut || {
            for _ in 0..iterations {
                multiply(&copies[*next], activations, factors, input, out, scheduler);
                *next = (*next + 1) % copies.len();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use bitgauge_engine::threads::Pool;

    use super::*;
    use crate::exit::Exit;

    fn pair(ids: [&str; 2], kernel: Kernel) -> Result<[Verified<Rotation>; 2], SuiteError> {
        let pool: Arc<dyn Scheduler> = Arc::new(Pool::new(2).unwrap());
        Rotation::pair(&ids.map(|id| id.parse().unwrap()), kernel, 3, &pool)
    }

    #[test]
    fn every_iteration_reads_the_next_copy() {
        let ids = ["decode/64x256/best/2t", "prefill/64x256/best/2t"];
        let [mut decode, prefill] = pair(ids, Kernel::best()).unwrap();
        assert_eq!(decode.case().next, 0);
        let mut entrant = crate::measure::Entrant::new("decode", &mut decode);
        entrant.iterate(2);
        assert_eq!(decode.case().next, 2);
        assert!(Arc::ptr_eq(&decode.case().copies, &prefill.case().copies));
        let weights = prefill.case().copies.iter();
        let places: std::collections::BTreeSet<_> = weights.map(std::ptr::from_ref).collect();
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn a_wrong_kernel_is_refused_and_so_is_another_size() {
        let ids = ["decode/64x256/best/2t", "prefill/64x256/best/2t"];
        let wrong = Kernel::new(&crate::defects::ONE_VALUE).unwrap();
        let error = pair(ids, wrong).map(drop).unwrap_err();
        assert_eq!(error.exit(), Exit::WrongAnswers, "{error}");
        let ids = ["decode/64x256/best/2t", "prefill/64x320/best/2t"];
        let error = pair(ids, Kernel::best()).map(drop).unwrap_err();
        assert!(error.to_string().contains("no 64x256 product"), "{error}");
    }
}
