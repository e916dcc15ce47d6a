//! What the processor does for a token: instructions, branches and caches, by hardware counters
//! where the kernel grants them, and by simulation, each labelled as what it is.

mod cachegrind;
mod hardware;
mod simulated;

use std::path::Path;

use crate::counters;
use crate::decoder::plan::Plan;
use crate::exit::Failure;
use crate::run::{CostStudy, Measured};

/// Whether the kernel grants any counter: packing a model for none would be a waste.
pub fn granted() -> bool {
    counters::open_events(&hardware::EVENTS).is_ok()
}

/// Counts on `plan`, where that is [`granted`]; simulates on the model in `trained`, unless the short form was
/// asked for.
///
/// # Errors
/// When a kernel answers wrongly, or threads can't be had.
pub fn run(
    plan: Option<&Plan<'_>>,
    trained: &Path,
    quick: bool,
    stage: &dyn Fn(&str, usize),
) -> Result<CostStudy, Failure> {
    let (hardware, grant) = match (counters::open_events(&hardware::EVENTS), plan) {
        (Ok(_), Some(plan)) => {
            stage("counters: hardware counters of decoding", 0);
            let granted = Measured::unavailable("counters are granted");
            (hardware::count(plan)?, granted)
        }
        (Ok(_), None) => (
            Measured::unavailable("no model was packed to count on"),
            Measured::unavailable("counters are granted"),
        ),
        (Err(no), _) => (
            Measured::unavailable(no.why),
            Measured::or(no.grant, "no command alone would"),
        ),
    };
    let simulated = match quick {
        true => Measured::unavailable("the short form leaves the simulation out"),
        false => {
            stage("counters: simulating caches and branches", 0);
            simulated::run(trained)
        }
    };
    Ok(CostStudy {
        hardware,
        grant,
        simulated,
    })
}
