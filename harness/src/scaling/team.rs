//! Numbers of threads, and schedulers that were seen to give the right answers with them.

use bitgauge_engine::kernels::Kernel;
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

/// A scheduler on which the kernel was judged.
pub struct Team {
    /// How rows are spread, over how many threads.
    pub scheduler: Box<dyn Scheduler>,
    /// The proof that the kernel answers right on it.
    pub right: Right,
}

impl Team {
    /// Judges `kernel` on `scheduler`.
    ///
    /// # Errors
    /// When it answers wrongly, or the answers can't be had.
    pub fn new(
        scheduler: Box<dyn Scheduler>,
        kernel: Kernel,
        judge: &Judge,
    ) -> Result<Self, Failure> {
        let name = || format!("kernel {}", kernel.spec().name());
        let right = judge
            .trained(kernel, &*scheduler)?
            .map_err(|wrong| wrong_answers(&name(), &wrong))?;
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
        kernel: Kernel,
        judge: &Judge,
    ) -> Result<Vec<Self>, Failure> {
        let mut teams = Vec::new();
        for &threads in counts {
            teams.push(Self::new(Box::new(Pool::new(threads)?), kernel, judge)?);
        }
        if let Some(rival) = rival {
            for &threads in counts.iter().filter(|n| **n > 1) {
                teams.push(Self::new(rival.start(threads)?, kernel, judge)?);
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

    #[test]
    fn a_kernel_that_answers_wrongly_gets_no_team() {
        let trained = crate::verify::default_fixtures().unwrap().join("trained");
        let judge = Judge::open(&trained).unwrap();
        let pool = || Box::new(Pool::new(2).unwrap());
        let wrong = Kernel::new(&crate::defects::ONE_VALUE).unwrap();
        let Err(failure) = Team::new(pool(), wrong, &judge) else {
            panic!("a wrong kernel was let through");
        };
        assert_eq!(failure.exit, Exit::WrongAnswers);
        assert!(Team::new(pool(), Kernel::best(), &judge).is_ok());
    }
}
