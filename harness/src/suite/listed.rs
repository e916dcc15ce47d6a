//! The cases that a gate runs when nobody names any.

use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::{Kernel, available};

use super::id::{CUT, CaseId, SHAPES};

/// Decoding at two widths and prefill at a quarter of one, with as many rows as a kernel multiplies in some
/// 20 us to 0.5 ms: for portable kernels and for those in vectors. What a case works on stays well
/// within a core's caches. Where it just fills one, its time is that of the pages that the system
/// happened to give.
const SMALL: [[&str; 3]; 2] = [
    ["decode/256x2560", "decode/384x1728", "prefill/32x640"],
    ["decode/1024x2560", "decode/384x6912", "prefill/512x640"],
];

/// What the fastest kernel multiplies for several tokens, as many as a batch of prefill has or half of
/// them: parts of the products of 2b4t, of which a whole one would take longer than a slice should.
const PREFILL: [&str; 2] = ["prefill/512x2560", "prefill-64/192x6912"];

/// A few tokens, too few for what kernels prepare for many.
const FEW: &str = "prefill-7/512x2560";

/// Operations on one thread, as one token needs them, or a part of it; and what loading and choosing
/// by chance take.
const OPERATIONS: [&str; 10] = [
    "rms_norm/1x2560",
    "quantize/1x2560",
    "quantize/1x6912",
    "relu2/1x1728",
    "softmax/20x256",
    "rotate/25x128",
    "attention_bf16/1x640",
    "attention_int8/1x640",
    "pack/128x2560",
    "sample/1x4096",
];

/// Operations on one thread and on all; a context of 640 is three chunks of attention.
const SPREAD: [&str; 5] = [
    "head/1000x2560",
    "greedy/4000x2560",
    "attention/1x64",
    "attention/1x640",
    "attention/4x32",
];

/// Whole tokens, on one thread and on all. A prompt takes as long as ten tokens, and so it is read of
/// one model only.
const TOKENS: [&str; 2] = ["tiny", CUT];

/// The cases of a gate, on one thread and on `threads_available`: every kernel that can run here
/// on two small products in both phases, the fastest on those of 2b4t, the operations beside
/// them, and whole tokens and prompts. An iteration takes some 20 us to 5 ms, a whole model's more.
pub fn default_suite(threads_available: usize) -> Vec<CaseId> {
    let best = Kernel::best();
    let mut ids = Vec::new();
    for kernel in available().filter(|&kernel| kernel != best) {
        let name = kernel.spec().name();
        let vectors = kernel.spec().isa() != Isa::Portable;
        ids.extend(SMALL[usize::from(vectors)].map(|product| format!("{product}/{name}/1t")));
    }
    ids.extend(OPERATIONS.map(|operation| format!("op/{operation}/1t")));
    ids.push(format!("{FEW}/{}/1t", best.spec().name()));
    let mut counts = vec![1, threads_available.max(1)];
    counts.dedup();
    for threads in counts {
        let name = best.spec().name();
        ids.extend(SHAPES.map(|(shape, ..)| format!("decode/{shape}/{name}/{threads}t")));
        ids.extend(PREFILL.map(|shape| format!("{shape}/{name}/{threads}t")));
        ids.extend(SPREAD.map(|operation| format!("op/{operation}/{threads}t")));
        ids.extend(TOKENS.map(|model| format!("token/{model}/best/{threads}t")));
        ids.push(format!("prompt/{CUT}/best/{threads}t"));
    }
    // Every one of them parses: a test reads the whole list.
    let mut ids: Vec<CaseId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    ids.sort();
    ids
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::suite::{Blueprint, Placement};

    #[test]
    fn it_has_enough_cases_and_none_twice() {
        for (threads, others) in [(1, 14), (2, 28), (8, 28)] {
            let suite = default_suite(threads);
            let kernels = available().count() - 1;
            assert_eq!(
                suite.len(),
                3 * kernels + 11 + others,
                "on {threads} threads"
            );
            // An AVX2 machine runs three kernels besides its fastest.
            assert!(threads == 1 || suite.len() - 3 * kernels + 3 * 3 >= 38);
            assert_eq!(suite.iter().collect::<BTreeSet<_>>().len(), suite.len());
            assert!(suite.iter().all(|id| [1, threads].contains(&id.threads())));
        }
    }

    #[test]
    fn every_case_can_be_made_judged_and_run() {
        for id in default_suite(2) {
            let blueprint = Blueprint::new(&id).unwrap();
            let verified = blueprint.verified(&mut Placement::fresh());
            let verified = verified.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(verified.case().id(), &id);
            assert_eq!(verified.case().threads(), id.threads());
            assert_eq!(verified.case().digest(), blueprint.judge().unwrap());
        }
    }
}
