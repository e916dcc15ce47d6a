//! Whether there is memory for a model, asked before seconds or an hour are spent on finding out: a
//! control group's limit ends a process without a word.

use bitgauge_engine::checkpoint::Config;

use super::summaries;
use crate::exit::Failure;
use crate::machine::{Machine, Surroundings};

/// Refuses a model that is packed once and of which not even the least form has room: 1.6 bits a
/// ternary weight, two bytes a weight of embedding and head.
///
/// # Errors
/// How much is needed, and how much there is.
pub fn for_one(config: &Config) -> Result<(), Failure> {
    let matrices = if config.tie_word_embeddings { 1 } else { 2 };
    let needed = ternary(config) / 5 + 2 * matrices * vocabulary(config);
    let available = obtainable(&Machine::detect());
    refuse_beyond(ONE, needed, available, "take a smaller one")
}

/// Refuses a model that a whole run has no room for.
///
/// The three fixes hold it packed for up to three kernels, the short form for one; embedding
/// and head take two bytes a weight each, and a quantised head one more. A ladder of other setups
/// looks once more when it knows them.
///
/// # Errors
/// As [`for_one`].
pub fn for_run(config: &Config, machine: &Machine, quick: bool) -> Result<(), Failure> {
    let kernels = if quick { 1 } else { 3 };
    let needed = kernels * ternary(config) / 4 + 5 * vocabulary(config);
    refuse_beyond(ONE, needed, obtainable(machine), smaller(quick))
}

const ONE: &str = "the model needs";

/// What helps a run, and a ladder by itself.
pub fn smaller(quick: bool) -> &'static str {
    match quick {
        true => "name a smaller one with --model",
        false => "name a smaller one with --model (or give --quick, which needs less)",
    }
}

fn obtainable(machine: &Machine) -> Option<u64> {
    Surroundings::detect().obtainable(machine.memory.available)
}

/// Refuses what needs more bytes than are `available`, where that is known: `what` needs them.
///
/// # Errors
/// As [`for_one`].
pub fn refuse_beyond(
    what: &str,
    needed: u64,
    available: Option<u64>,
    helps: &str,
) -> Result<(), Failure> {
    match available {
        Some(available) if available < needed => Err(Failure::could_not_run(format!(
            "{what} about {:.1} GB of memory here and {:.1} GB are available; {helps}",
            needed as f64 * 1e-9,
            available as f64 * 1e-9
        ))),
        _ => Ok(()),
    }
}

fn vocabulary(config: &Config) -> u64 {
    (config.vocab_size * config.hidden_size) as u64
}

fn ternary(config: &Config) -> u64 {
    summaries::weights(config) - vocabulary(config)
}
