//! What was measured, on what, by what.

use super::{Estimate, Measured};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// The program that measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Version of bitgauge.
    pub version: String,
    /// Revision that it was built from.
    pub revision: Measured<String>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The suite: `all`, `ladder`, ...
    pub suite: String,
    /// Whether the short form was asked for.
    pub quick: bool,
    /// Threads allowed to the engine.
    pub threads: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// Model, by name or folder.
    pub model: String,
    /// Whatever else changes what is measured, by option name.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// The machine, as far as a reader of the page needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineSummary {
    /// Processor model as the system names it.
    pub cpu: String,
    /// Logical processors of the machine.
    pub cpus: usize,
    /// Logical processors that this process may use (affinity and quota).
    pub allowed_cpus: usize,
    /// Instruction sets of interest that can be used.
    pub isa: Vec<String>,
    /// Bytes of memory.
    pub memory_bytes: Measured<u64>,
    /// Operating system and kernel release.
    pub os: Measured<String>,
    /// Hypervisor, or `none`.
    pub hypervisor: Measured<String>,
    /// Machine class, the key of stored baselines.
    pub class: String,
    /// Things that make timings here less trustworthy.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One row of the kernel table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelRow {
    /// Name, as `--kernel` takes it.
    pub name: String,
    /// How it works, in a few words.
    pub idea: String,
    /// Instruction set that it needs.
    pub isa: String,
    /// Bits per weight as packed.
    pub bits_per_weight: f64,
    /// `Is(())`: it can run here. Otherwise the reason why not.
    pub available: Measured<()>,
}

/// Which kernel each linear layer ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Layers of one kind with the same kernel are one row.
    pub rows: Vec<Selected>,
    /// Linear layers that ran a slower path than this machine has.
    pub fallbacks: usize,
}

/// A run of layers that use one kernel for one linear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// First decoder layer, from 0.
    pub first_layer: usize,
    /// Last decoder layer, included.
    pub last_layer: usize,
    /// The linear: `q_proj`, `down_proj`, ...
    pub linear: String,
    /// Kernel name.
    pub kernel: String,
    /// Whether this is a slower path than the machine has.
    #[serde(default)]
    pub fallback: bool,
    /// What selected it; `None` in runs that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What selected a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The user or a ladder, by its name.
    Named,
    /// What was measured on this machine: `bitgauge tune`.
    Tuned,
    /// The instruction sets that were found.
    Detected,
}

impl Origin {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Tuned => "tuned",
            Self::Detected => "detected",
        }
    }
}

/// The model that was timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Name of the shape, or the folder's name.
    pub name: String,
    /// Decoder layers that were run.
    pub layers_run: usize,
    /// Decoder layers of the shape. Larger than `layers_run`: token/s are those of the cut model.
    pub layers_in_shape: usize,
    /// Weights of the layers that were run, embeddings included.
    pub weights: u64,
    /// Bytes that one decoded token reads; `None` where the last state of the ladder answers wrongly.
    pub bytes_per_token: Option<u64>,
}

/// The machine's own limits, measured in this run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Yardsticks {
    /// Read bandwidth in GB/s.
    pub read_bandwidth: Vec<Yardstick>,
    /// Peak of int8 dot products in GOPS (a multiply-add is 2 operations).
    pub int8_peak: Vec<Yardstick>,
    /// Vector instructions issued, in 10^9 a second, for each size of vectors that the kernels use.
    #[serde(default)]
    pub issue: Vec<Yardstick>,
    /// The naive kernel in GOPS.
    pub naive: Vec<Yardstick>,
}

impl Yardsticks {
    /// Read bandwidth with this many threads, GB/s.
    pub fn bandwidth(&self, threads: usize) -> Option<&Estimate> {
        self.read_bandwidth
            .iter()
            .find(|y| y.threads == threads)
            .and_then(|y| y.value.get())
    }

    /// Vectors of so many bytes that this many threads issue, 10^9 a second.
    pub fn issue(&self, vector: usize, threads: usize) -> Measured<Estimate> {
        let here = |y: &&Yardstick| y.isa == vectors(vector) && y.threads == threads;
        let found = self.issue.iter().find(here);
        found.map_or_else(Measured::default, |y| y.value.clone())
    }
}

/// How the yardsticks name vectors of so many bytes.
pub fn vectors(bytes: usize) -> String {
    format!("{} bits", 8 * bytes)
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Yardstick {
    /// Instruction set of the loop that measured it.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// The limit, in the unit of the list that holds it.
    pub value: Measured<Estimate>,
}

/// `time` as RFC 3339 in UTC, to the second. Times before 1970 give 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days: a year that
    // begins in March puts the leap day last, so months have a closed form.
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn seconds_since_1970_become_a_date() {
        let at = |s| rfc3339(UNIX_EPOCH + Duration::from_secs(s));
        // Expected values: GNU date, `date -u -d @N --iso-8601=seconds`.
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
