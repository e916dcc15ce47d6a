//! A model's speed as llama-bench states it: reading prompts and generating tokens, one test after
//! the other, so many times each. What is compared is paired elsewhere (`compare`); here stands
//! what one program says of itself.
//!
//! The tests are those of llama-bench: `pp N` reads a prompt of N tokens, whose last logits are
//! computed; `tg N` generates N tokens one at a time. Both begin behind `depth` tokens, 0 unless
//! asked for. One warm-up comes before the samples.

mod cases;
mod row;

use bitgauge_engine::model::Model;
use bitgauge_engine::threads::Scheduler;

use crate::exit::Failure;
use crate::measure::{Entrant, Timed};

use cases::{Greedy, Reading};
pub use row::{About, Format, Row};

/// What one test does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Reads a prompt of so many tokens.
    Prompt(usize),
    /// Generates so many tokens.
    Generate(usize),
}

/// One test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// What it does.
    pub work: Work,
    /// Tokens that are in the context already.
    pub depth: usize,
}

impl Test {
    /// The tests of these lengths, in llama-bench's order; a length of 0 leaves its test out.
    pub fn all(prompts: &[usize], generated: &[usize], depths: &[usize]) -> Vec<Self> {
        let mut tests = Vec::new();
        for &depth in depths {
            let prompts = prompts.iter().map(|&n| Work::Prompt(n));
            let works = prompts.chain(generated.iter().map(|&n| Work::Generate(n)));
            let works = works.filter(|work| work.tokens() > 0);
            tests.extend(works.map(|work| Self { work, depth }));
        }
        tests
    }

    /// Tokens whose time is taken.
    pub fn tokens(&self) -> usize {
        self.work.tokens()
    }

    /// Positions of the context that it fills.
    pub fn positions(&self) -> usize {
        self.depth.saturating_add(self.tokens())
    }

    /// `pp512`, `tg128`, `tg128 @ d512`.
    pub fn name(&self) -> String {
        let name = match self.work {
            Work::Prompt(n) => format!("pp{n}"),
            Work::Generate(n) => format!("tg{n}"),
        };
        match self.depth {
            0 => name,
            depth => format!("{name} @ d{depth}"),
        }
    }

    /// Judges this test's work on the very model, and then times it: nanoseconds, one value a
    /// repetition.
    ///
    /// # Errors
    /// When an answer is wrong, the context is too short, or the work fails.
    pub fn samples(
        &self,
        model: &Model,
        scheduler: &dyn Scheduler,
        repetitions: usize,
    ) -> Result<Vec<u64>, Failure> {
        match self.work {
            Work::Prompt(n) => {
                let mut case = Reading::new(model, scheduler, self.depth, n)?.judged()?;
                times(Entrant::new(self.name(), &mut case), repetitions)
            }
            Work::Generate(n) => {
                let mut case = Greedy::new(model, scheduler, self.depth, n)?.judged()?;
                times(Entrant::new(self.name(), &mut case), repetitions)
            }
        }
    }
}

impl Work {
    fn tokens(self) -> usize {
        match self {
            Self::Prompt(n) | Self::Generate(n) => n,
        }
    }
}

fn times(mut case: Entrant<'_>, repetitions: usize) -> Result<Vec<u64>, Failure> {
    let once = |_| Ok(case.time(1)?.as_nanos() as u64);
    (0..repetitions).map(once).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_come_in_order_and_a_length_of_0_is_none() {
        let names = |prompts: &[usize], generated: &[usize], depths: &[usize]| {
            let tests = Test::all(prompts, generated, depths);
            tests.iter().map(Test::name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[512], &[128], &[0]), ["pp512", "tg128"]);
        assert_eq!(names(&[0], &[8, 16], &[0]), ["tg8", "tg16"]);
        assert_eq!(names(&[4], &[0], &[0, 32]), ["pp4", "pp4 @ d32"]);
        assert!(names(&[0], &[0], &[0]).is_empty());
    }
}
