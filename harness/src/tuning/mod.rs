//! Which kernel is fastest here, by measuring: every kernel that can run, on each size of matrix, in
//! both phases, on a number of threads.
//!
//! The way of a choice: the kernels of a size are judged by the oracle and raced (`race`) in one
//! interleaved run, over copies of the weights that come from where a model's come from; the
//! `choice` holds each against the kernel that detection selects; the figures are
//! kept (`store`) for this machine; [`Tuned`] gives a model's matrices their kernels.
//!
//! A matrix is packed once, for one kernel, and both phases run that one. So a size has a choice a
//! phase, and a [`Goal`] says which it follows.

mod choice;
mod dispatch;
mod race;
mod store;

use bitgauge_engine::checkpoint::Config;
use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::{Kernel, available};
use bitgauge_engine::model::Group;
use serde::{Deserialize, Serialize};

pub use crate::suite::Phase;
pub use choice::{Candidate, Race, told};
pub use dispatch::{Chosen, Tuned};
pub use race::{Plan, measure};
pub use store::{Tuning, save, stored};

/// A size of matrix, and how many of it a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Outputs, N.
    pub rows: usize,
    /// Inputs, K.
    pub cols: usize,
    /// Matrices of a model that have it.
    pub count: usize,
}

/// Which phase's choice a size follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Decoding's choice, unless it costs prefill a larger factor than decoding gains; prefill's, where
    /// decoding is as fast with it
    Both,
    /// Decoding's choice, whatever prefill pays
    Decode,
    /// Prefill's choice, whatever decoding pays
    Prefill,
}

/// What was measured about a size on a number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Outputs, N.
    pub rows: usize,
    /// Inputs, K.
    pub cols: usize,
    /// Threads.
    pub threads: usize,
    /// When it was measured, as RFC 3339 in UTC.
    pub measured: String,
    /// Whose choice is followed.
    pub goal: Goal,
    /// One token at a time.
    pub decode: Race,
    /// 32 tokens at once.
    pub prefill: Race,
}

impl Entry {
    /// The race of a phase.
    pub fn race(&self, phase: Phase) -> &Race {
        match phase {
            Phase::Decode => &self.decode,
            Phase::Prefill => &self.prefill,
        }
    }

    /// The name of the kernel for this size.
    pub fn kernel(&self) -> &str {
        match self.goal {
            Goal::Decode => &self.decode.choice,
            Goal::Prefill => &self.prefill.choice,
            Goal::Both if self.costs_more_than_it_gains() => &self.decode.detected,
            Goal::Both if self.decode_does_not_mind() => &self.prefill.choice,
            Goal::Both => &self.decode.choice,
        }
    }

    /// Whether decoding stays with what detection selects, and is not surely slower with prefill's choice.
    pub fn decode_does_not_mind(&self) -> bool {
        let speedup = self.decode.speedup(&self.prefill.choice);
        self.decode.choice == self.decode.detected && speedup.is_some_and(|s| s.high >= 1.0)
    }

    /// Whether decoding's choice slows prefill down by a larger factor than it speeds decoding up.
    pub fn costs_more_than_it_gains(&self) -> bool {
        let speedup = |race: &Race| race.speedup(&self.decode.choice).map(|s| s.value);
        let both = speedup(&self.decode).zip(speedup(&self.prefill));
        both.is_some_and(|(decode, prefill)| decode * prefill < 1.0)
    }

    fn is_about(&self, rows: usize, cols: usize, threads: usize) -> bool {
        [self.rows, self.cols, self.threads] == [rows, cols, threads]
    }
}

/// The sizes of a model's matrices, stacked as the engine stacks them, each once.
pub fn sizes(config: &Config) -> Vec<Size> {
    let mut sizes: Vec<Size> = Vec::new();
    for group in Group::ALL {
        let shapes = group.linears().iter().map(|l| l.shape(config));
        let (rows, cols) = shapes.fold((0, 0), |(rows, _), (n, k)| (rows + n, k));
        let count = config.num_hidden_layers;
        match sizes.iter_mut().find(|s| [s.rows, s.cols] == [rows, cols]) {
            Some(same) => same.count += count,
            None => sizes.push(Size { rows, cols, count }),
        }
    }
    sizes
}

/// The kernels that are worth a race: all that can run here, without portable ones where there are
/// others.
pub fn candidates() -> Vec<Kernel> {
    let vectors = |kernel: &Kernel| kernel.spec().isa() > Isa::Portable;
    let any = available().any(|kernel| vectors(&kernel));
    available()
        .filter(|kernel| vectors(kernel) || !any)
        .collect()
}

#[cfg(test)]
mod tests {
    use bitgauge_engine::synthetic;

    use super::*;
    use crate::suite::SHAPES;

    #[test]
    fn the_sizes_of_a_model_are_those_of_its_stacked_matrices() {
        let config = synthetic::shape("2b4t").unwrap();
        let found = sizes(&config);
        let found: Vec<_> = found.iter().map(|s| (s.rows, s.cols, s.count)).collect();
        assert_eq!(found, SHAPES.map(|(_, rows, cols)| (rows, cols, 30)));
    }

    #[test]
    fn a_size_follows_decoding_unless_prefill_pays_more_or_the_user_says_otherwise() {
        let race = |speedup: f64| {
            let candidate = |kernel: &str, speedup| Candidate {
                kernel: kernel.to_owned(),
                us: 1.0,
                speedup,
            };
            let speedup = crate::run::Estimate {
                value: speedup,
                low: speedup,
                high: speedup,
                level: 0.95,
                blocks: 12,
            };
            let others = vec![
                candidate("detected", None),
                candidate("other", Some(speedup)),
            ];
            Race::decided("detected".to_owned(), others)
        };
        let kernel = |goal, decode, prefill| {
            let entry = Entry {
                rows: 64,
                cols: 64,
                threads: 1,
                measured: String::new(),
                goal,
                decode: race(decode),
                prefill: race(prefill),
            };
            entry.kernel().to_owned()
        };
        for (decode, prefill, both, by_decode, by_prefill) in [
            (1.05, 0.3, "detected", "other", "detected"),
            (1.5, 0.8, "other", "other", "detected"),
            (1.5, 1.2, "other", "other", "other"),
            (0.9, 2.0, "detected", "detected", "other"),
            (1.0, 2.0, "other", "detected", "other"),
            (1.01, 1.01, "detected", "detected", "detected"),
        ] {
            assert_eq!(kernel(Goal::Both, decode, prefill), both, "{decode}");
            assert_eq!(kernel(Goal::Decode, decode, prefill), by_decode, "{decode}");
            assert_eq!(kernel(Goal::Prefill, decode, prefill), by_prefill);
        }
    }

    #[test]
    fn equal_sizes_are_one() {
        let mut config = synthetic::shape("tiny").unwrap();
        config.intermediate_size = config.hidden_size;
        let layers = config.num_hidden_layers;
        let square = |s: &&Size| s.rows == s.cols;
        let squares: Vec<_> = sizes(&config).into_iter().collect();
        let square = squares.iter().find(square).unwrap();
        assert_eq!(square.count, 2 * layers, "o and down");
    }

    #[test]
    fn portable_kernels_race_only_where_there_are_no_others() {
        let names: Vec<_> = candidates().iter().map(|k| k.spec().name()).collect();
        let best = Kernel::best().spec();
        assert!(names.contains(&best.name()));
        assert_eq!(names.contains(&"naive"), best.isa() == Isa::Portable);
    }
}
