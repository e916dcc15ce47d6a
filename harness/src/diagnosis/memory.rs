//! Memory: what there is, what the model takes, and whether large pages are really given.

use bitgauge_engine::aligned::Aligned;
use bitgauge_engine::checkpoint::Config;
use serde::Serialize;

use super::instructions::Dispatch;
use crate::machine::{self, Limit, Surroundings, bytes_on_huge_pages};
use crate::run::Measured;

const UNSAID: &str = "this system does not say";

/// Memory, in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    /// All there is.
    pub total: Measured<u64>,
    /// Free for new programs without swapping.
    pub available: Measured<u64>,
    /// What control groups allow.
    pub group_limit: Measured<u64>,
    /// What the address space is limited to.
    pub address_space: Measured<Limit>,
    /// What the container calls itself.
    pub container: Measured<String>,
    /// The model's ternary matrices as the selected kernels pack them.
    pub ternary: u64,
    /// Embedding, output head and its quantised copy, at two bytes a weight and one.
    pub vocabulary: u64,
    /// Whether the two fit.
    pub fits: Measured<bool>,
    /// Large pages.
    pub huge_pages: HugePages,
}

/// Large pages: what was set, and what a mapping of the engine really got.
#[derive(Debug, Clone, Serialize)]
pub struct HugePages {
    /// `always`, `madvise` or `never`.
    pub transparent: Measured<String>,
    /// Size of one.
    pub size: Measured<u64>,
    /// Pages set aside.
    pub reserved: Measured<u64>,
    /// Bytes of a buffer that was made as the engine makes those of its weights, and filled.
    pub tested: u64,
    /// Bytes of it that lie on large pages.
    pub got: Measured<u64>,
}

impl Memory {
    pub(super) fn of(memory: &machine::Memory, config: &Config, dispatch: &Dispatch) -> Self {
        let around = Surroundings::detect();
        let heads = if config.tie_word_embeddings { 1 } else { 2 };
        let weights = (config.vocab_size * config.hidden_size) as u64;
        let (ternary, vocabulary) = (dispatch.ternary_bytes(), weights * (2 * heads + 1));
        let least = around.obtainable(memory.available);
        Self {
            total: Measured::or(memory.total, UNSAID),
            available: Measured::or(memory.available, UNSAID),
            group_limit: Measured::or(
                around.memory_limit,
                "no control group sets one, or none can be read",
            ),
            address_space: Measured::or(around.address_space, UNSAID),
            container: Measured::or(around.container, "nothing here is a sign of one"),
            ternary,
            vocabulary,
            fits: Measured::or(
                least.map(|least| ternary + vocabulary <= least),
                "how much memory is free is unknown",
            ),
            huge_pages: HugePages::of(memory),
        }
    }
}

/// Bytes of the test mapping: enough for chance not to decide, and filled at once.
const TESTED: usize = 32 << 20;

impl HugePages {
    fn of(memory: &machine::Memory) -> Self {
        let mut buffer = Aligned::zeroed(TESTED);
        buffer.as_mut_slice::<u8>().fill(1);
        let bytes = std::hint::black_box(buffer.as_slice::<u8>());
        let start = bytes.as_ptr() as usize;
        Self {
            transparent: Measured::or(
                memory.transparent_huge_pages.clone(),
                "the kernel has no setting for it",
            ),
            size: Measured::or(memory.huge_page, UNSAID),
            reserved: Measured::or(memory.huge_pages_reserved, UNSAID),
            tested: TESTED as u64,
            got: Measured::or(
                bytes_on_huge_pages(start..start + TESTED),
                "no list of this process's mappings that can be believed",
            ),
        }
    }
}
