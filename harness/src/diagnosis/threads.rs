//! Threads: asked for, allowed, used.

use bitgauge_engine::threads::{Pool, Scheduler};
use serde::Serialize;

use crate::exit::Failure;
use crate::machine::{Machine, allowed_cpus};
use crate::run::Measured;

/// Threads, and what limits them.
#[derive(Debug, Clone, Serialize)]
pub struct Threads {
    /// Asked for with `--threads`.
    pub asked: Measured<usize>,
    /// Logical processors in the affinity mask.
    pub affinity: Measured<Vec<usize>>,
    /// Processors' worth of time that control groups allow.
    pub quota: Measured<f64>,
    /// The least of these limits.
    pub allowed: usize,
    /// Threads of the pool that was started for this diagnosis.
    pub used: usize,
}

impl Threads {
    pub(super) fn of(
        machine: &Machine,
        asked: Option<usize>,
        threads: usize,
    ) -> Result<Self, Failure> {
        Ok(Self {
            asked: Measured::or(asked, "not asked for: as many as are allowed"),
            affinity: Measured::or(allowed_cpus(), "this system does not say"),
            quota: Measured::or(
                machine.usable.quota,
                "no control group sets one, or none can be read",
            ),
            allowed: machine.usable.threads,
            used: Pool::new(threads)?.threads(),
        })
    }
}
