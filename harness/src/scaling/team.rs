//! Numbers of threads, and schedulers that were seen to give the right answers with them.

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;
use bitgauge_engine::threads::{Pool, PoolError, Scheduler};

use crate::decoder::judge::{Judge, Right};
use crate::defects::Contended;
use crate::exit::{Exit, Failure};
use crate::rayon_pool::Halving;
use crate::run::WrongAnswer;

/// 1, 2, 4, ... and `most` itself.
pub fn thread_counts(most: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = std::iter::successors(Some(1), |n| Some(2 * n))
        .take_while(|n| *n < most)
        .collect();
    counts.push(most);
    counts
}

/// A scheduler that the engine's pool is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// One task a row from one locked queue.
    Contended,
    /// Ranges halved by rayon's joins.
    Rayon,
}

impl Rival {
    fn start(self, threads: usize) -> Result<Box<dyn Scheduler>, PoolError> {
        Ok(match self {
            Self::Contended => Box::new(Contended::new(threads)?),
            Self::Rayon => Box::new(Halving::new(threads)?),
        })
    }
}

/// A scheduler on which a model's kernels were judged.
pub struct Team {
    /// How rows are spread, over how many threads.
    pub scheduler: Box<dyn Scheduler>,
    /// The proof that they answer right on it.
    pub right: Right,
}

impl Team {
    /// Judges every kernel of `model` on `scheduler`.
    ///
    /// # Errors
    /// When one answers wrongly, or the answers can't be had.
    pub fn new(
        scheduler: Box<dyn Scheduler>,
        model: &Model,
        judge: &Judge,
    ) -> Result<Self, Failure> {
        let mut right = None;
        let mut judged: Vec<Kernel> = Vec::new();
        for (_, _, kernel) in model.kernels() {
            if !judged.contains(&kernel) {
                let name = || format!("kernel {}", kernel.spec().name());
                let trained = judge.trained(kernel, &*scheduler)?;
                right = Some(trained.map_err(|wrong| wrong_answers(&name(), &wrong))?);
                judged.push(kernel);
            }
        }
        let none = || Failure::could_not_run("a model without a layer has no kernel to judge");
        let right = right.ok_or_else(none)?;
        Ok(Self { scheduler, right })
    }

    /// The engine's pool with each of `counts`; then its rival, where there is one, with each that
    /// is above 1: one thread is spread by nobody.
    ///
    /// # Errors
    /// As [`Team::new`], and when threads can't be had.
    pub fn all(
        counts: &[usize],
        rival: Option<Rival>,
        model: &Model,
        judge: &Judge,
    ) -> Result<Vec<Self>, Failure> {
        let mut teams = Vec::new();
        for &threads in counts {
            teams.push(Self::new(Box::new(Pool::new(threads)?), model, judge)?);
        }
        if let Some(rival) = rival {
            for &threads in counts.iter().filter(|n| **n > 1) {
                teams.push(Self::new(rival.start(threads)?, model, judge)?);
            }
        }
        Ok(teams)
    }

    /// `pool 4`.
    pub fn name(&self) -> String {
        format!("{} {}", self.scheduler.name(), self.scheduler.threads())
    }
}

/// What ends a command when `what` answers wrongly.
pub fn wrong_answers(what: &str, wrong: &WrongAnswer) -> Failure {
    Failure {
        exit: Exit::WrongAnswers,
        message: format!("{what}: {}", wrong.seen_on),
    }
}

#[cfg(test)]
mod tests {
    use bitgauge_engine::model::{Dispatch, Group, Place};
    use bitgauge_engine::synthetic;

    use super::*;

    #[test]
    fn counts_double_and_the_last_is_always_there() {
        for (most, counts) in [
            (1, &[1][..]),
            (2, &[1, 2]),
            (3, &[1, 2, 3]),
            (6, &[1, 2, 4, 6]),
            (16, &[1, 2, 4, 8, 16]),
        ] {
            assert_eq!(thread_counts(most), counts);
        }
    }

    /// A wrong kernel in one place of many.
    struct WrongIn(Group);

    impl Dispatch for WrongIn {
        fn choose(&self, place: &Place) -> Kernel {
            match place.group == self.0 && place.layer == 1 {
                true => Kernel::new(&crate::defects::ONE_VALUE).unwrap(),
                false => Kernel::best(),
            }
        }
    }

    #[test]
    fn a_model_with_one_kernel_that_answers_wrongly_gets_no_team() {
        let trained = crate::verify::default_fixtures().unwrap().join("trained");
        let judge = Judge::open(&trained).unwrap();
        let source = synthetic::model(synthetic::shape("tiny").unwrap(), 1);
        let team = |dispatch: &dyn Dispatch| {
            let model = Model::load(&source, dispatch).unwrap();
            Team::new(Box::new(Pool::new(2).unwrap()), &model, &judge)
        };
        for group in [Group::Qkv, Group::Down] {
            let Err(failure) = team(&WrongIn(group)) else {
                panic!("a wrong kernel was let through");
            };
            assert_eq!(failure.exit, Exit::WrongAnswers);
        }
        assert!(team(&Kernel::best()).is_ok());
    }
}
