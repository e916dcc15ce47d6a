//! What was measured, kept for this machine, engine and instruction set.

use std::path::{Path, PathBuf};

use bitgauge_engine::FINGERPRINT;
use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::Kernel;
use serde::{Deserialize, Serialize};

use super::{Entry, Phase};
use crate::machine::Machine;
use crate::user_cache::{self, CacheError, Kept, folder};

/// Version of the stored shape. A reader refuses any other.
pub const SCHEMA: u32 = 1;

/// Everything that was measured on a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// `SCHEMA`.
    pub schema: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// Class of the machine, and the highest instruction set that was allowed.
    pub machine: String,
    /// The processor, as it calls itself.
    pub cpu: Option<String>,
    /// [`FINGERPRINT`] of the engine that was measured.
    pub engine: String,
    /// One a size and number of threads.
    pub entries: Vec<Entry>,
}

impl Kept for Tuning {
    const KIND: &'static str = "tuning";
    const SCHEMA: u32 = SCHEMA;
    const COMMAND: &'static str = "bitgauge tune";

    fn machine(&self) -> &str {
        &self.machine
    }

    fn check(&self) -> Result<(), String> {
        for e in &self.entries {
            for phase in [Phase::Decode, Phase::Prefill] {
                let race = e.race(phase);
                let at = |problem| format!("{}x{}: {problem}", e.rows, e.cols);
                race.check().map_err(at)?;
                // Another engine's names need not be known.
                if self.engine == FINGERPRINT {
                    Kernel::by_name(&race.choice).map_err(|error| at(error.to_string()))?;
                }
            }
        }
        Ok(())
    }
}

impl Tuning {
    /// An empty one of this machine, engine and instruction set.
    pub fn here() -> Self {
        let machine = Machine::detect();
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: format!("{}-{}", machine.class(), Isa::highest()),
            cpu: machine.cpu.name,
            engine: FINGERPRINT.to_owned(),
            entries: Vec::new(),
        }
    }

    /// What is known of a size.
    pub fn entry(&self, rows: usize, cols: usize, threads: usize) -> Option<&Entry> {
        let found = |e: &&Entry| e.is_about(rows, cols, threads);
        self.entries.iter().find(found)
    }

    fn is_of_this_engine(&self, here: &Self) -> bool {
        [&self.engine, &self.version] == [&here.engine, &here.version] && self.cpu == here.cpu
    }
}

/// What is known of this machine; empty where nothing was measured with this engine.
///
/// # Errors
/// When the file can't be read, is damaged, or names a kernel that can't run here.
pub fn stored() -> Result<Tuning, CacheError> {
    read(&folder()?, Tuning::here())
}

fn read(folder: &Path, here: Tuning) -> Result<Tuning, CacheError> {
    let kept: Option<Tuning> = user_cache::read(folder, &here.machine)?;
    Ok(kept
        .filter(|kept| kept.is_of_this_engine(&here))
        .unwrap_or(here))
}

/// Keeps entries, beside earlier ones of the same engine about other sizes and numbers of threads.
/// Returns where.
///
/// # Errors
/// As [`user_cache::update`].
pub fn save(entries: &[Entry]) -> Result<PathBuf, CacheError> {
    write(&folder()?, Tuning::here(), entries)
}

fn write(folder: &Path, here: Tuning, entries: &[Entry]) -> Result<PathBuf, CacheError> {
    let machine = here.machine.clone();
    user_cache::update(folder, &machine, |earlier: Option<Tuning>| {
        let mut all = earlier
            .filter(|earlier| earlier.is_of_this_engine(&here))
            .unwrap_or(here);
        for new in entries {
            all.entries
                .retain(|old| !old.is_about(new.rows, new.cols, new.threads));
            all.entries.push(new.clone());
        }
        all.entries.sort_by_key(|e| (e.threads, e.rows, e.cols));
        all
    })
}

#[cfg(test)]
mod tests {
    use super::super::Goal;
    use super::super::choice::{Candidate, Race};
    use super::*;

    fn entry(rows: usize, us: f64) -> Entry {
        let detected = Kernel::best().spec().name().to_owned();
        let race = || {
            let alone = Candidate {
                kernel: detected.clone(),
                us,
                speedup: None,
            };
            Race::decided(detected.clone(), vec![alone])
        };
        Entry {
            rows,
            cols: 64,
            threads: 1,
            measured: "2026-01-01T00:00:00Z".into(),
            goal: Goal::Both,
            decode: race(),
            prefill: race(),
        }
    }

    #[test]
    fn a_size_replaces_what_was_known_of_it_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for new in [&[entry(64, 1.0), entry(128, 2.0)][..], &[entry(64, 3.0)]] {
            write(folder.path(), Tuning::here(), new).unwrap();
        }
        let kept = read(folder.path(), Tuning::here()).unwrap();
        assert_eq!(kept.entries, [entry(64, 3.0), entry(128, 2.0)]);
    }
}
