//! What this machine is to the engine and to a measurement: what it has, what of it is used and why
//! no more, how steady it is, and what would make it steadier.
//!
//! One file an area. `harness/schemas/diagnose.schema.json` describes the document.

mod advice;
mod counted;
mod instructions;
mod measured;
mod memory;
mod processor;
mod threads;

use std::time::SystemTime;

use bitgauge_engine::checkpoint::Config;
use serde::Serialize;

pub use advice::Advice;
pub use counted::{CountedEvent, Counters};
pub use instructions::{Dispatch, Instructions, Level, Refused, Selected, Withheld};
pub use measured::{Bandwidth, Noise, Shares, Steadiness, Unsettled};
pub use memory::{HugePages, Memory};
pub use processor::Processor;
pub use threads::Threads;

use crate::exit::Failure;
use crate::machine::Machine;
use crate::run::rfc3339;

/// Version of the document.
pub const SCHEMA: u32 = 1;

/// What is to be diagnosed.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Its shape.
    pub config: &'a Config,
    /// Threads that were asked for.
    pub asked: Option<usize>,
    /// Threads that the engine is given.
    pub threads: usize,
    /// Measures for less than a second, and no bandwidth.
    pub quick: bool,
    /// Seed of the comparisons.
    pub seed: u64,
}

/// The document.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `diagnose`.
    pub command: &'static str,
    /// Version of bitgauge.
    pub version: &'static str,
    /// When it began, RFC 3339.
    pub started: String,
    /// Machine class, the key of baselines.
    pub machine: String,
    /// The model's name.
    pub model: String,
    /// Whether only the short measurements were made.
    pub quick: bool,
    /// Whether this build checks what a release build does not: it is slower.
    pub debug_build: bool,
    /// The processor.
    pub processor: Processor,
    /// Instruction sets.
    pub instructions: Instructions,
    /// The kernel of every product.
    pub dispatch: Dispatch,
    /// Threads.
    pub threads: Threads,
    /// Memory.
    pub memory: Memory,
    /// Noise, and what else ran meanwhile.
    pub steadiness: Steadiness,
    /// Read bandwidth by threads.
    pub bandwidth: Vec<Bandwidth>,
    /// Hardware counters.
    pub counters: Counters,
    /// What to change for steadier or better results.
    pub advice: Vec<Advice>,
}

/// Diagnoses this machine; `stage` is told what is being measured.
///
/// # Errors
/// When threads can't be started.
pub fn diagnose(question: &Question<'_>, stage: &dyn Fn(&str)) -> Result<Diagnosis, Failure> {
    let started = rfc3339(SystemTime::now());
    let machine = Machine::detect();
    let dispatch = Dispatch::of(question.config);
    let mut diagnosis = Diagnosis {
        schema: SCHEMA,
        command: "diagnose",
        version: env!("CARGO_PKG_VERSION"),
        started,
        machine: machine.class(),
        model: question.model.to_owned(),
        quick: question.quick,
        debug_build: cfg!(debug_assertions),
        processor: Processor::of(&machine),
        instructions: Instructions::detect(&machine.isa),
        threads: Threads::of(&machine, question.asked, question.threads)?,
        memory: Memory::of(&machine.memory, question.config, &dispatch),
        counters: Counters::open(),
        steadiness: Steadiness::measure(question.quick, question.seed, stage),
        bandwidth: measured::bandwidth(&machine, question.threads, question.quick, stage),
        dispatch,
        advice: Vec::new(),
    };
    diagnosis.advice = advice::advice(&diagnosis);
    Ok(diagnosis)
}
