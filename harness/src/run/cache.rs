//! The machine's caches: prefetching over working sets, and the staircase of its memory.

use super::{Claim, Estimate, Measured, Verdict};
use serde::{Deserialize, Serialize};

/// One thread against each level of the memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheStudy {
    /// Data caches of a core, the nearest first.
    pub levels: Measured<Vec<CacheLevel>>,
    /// A product by prefetch distance and working set.
    pub prefetch: Measured<Prefetch>,
    /// Bandwidth and latency by working set, the smallest first.
    pub stairs: Vec<Stair>,
}

/// One cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheLevel {
    /// 1 is nearest to the core.
    pub level: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// Logical processors that share it, as the system says: a virtual machine may not know of
    /// others.
    pub shared_by: Measured<usize>,
}

/// One kernel with several prefetch distances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prefetch {
    /// The kernel.
    pub kernel: String,
    /// Columns of the matrices: activations.
    pub cols: usize,
    /// Working sets, the smallest first.
    pub sets: Vec<PrefetchSet>,
    /// What was claimed, held against the engine's own distance on the largest set.
    pub claim: Claim,
    /// What became of it.
    pub verdict: Verdict,
}

/// One working set of packed weights, read again and again from end to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrefetchSet {
    /// What it is to the machine: `half of L1`.
    pub name: String,
    /// Bytes of packed weights.
    pub bytes: u64,
    /// Matrices of equal content that make it up.
    pub matrices: usize,
    /// Distances; the first is none.
    pub distances: Vec<PrefetchDistance>,
}

/// One distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrefetchDistance {
    /// `off`, `256 B`, or `own`, which is the engine's.
    pub name: String,
    /// Bytes of weights read a second, GB/s.
    pub gb_s: Measured<Estimate>,
    /// Time without prefetch / time with this, from the same rounds.
    pub speedup: Measured<Estimate>,
}

/// One working set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stair {
    /// Bytes.
    pub bytes: u64,
    /// Bytes read a second by one thread, GB/s: the faster of reading with prefetch and without.
    pub read_gb_s: Measured<Estimate>,
    /// Nanoseconds a load that needs the one before, page walks included.
    pub load_ns: Measured<Estimate>,
}
