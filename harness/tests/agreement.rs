//! Texts, numbers, likelihood and depth of the trained model by every kernel.

use std::path::PathBuf;

use bitgauge::agreement::{checks, measure, of_kernels};
use bitgauge::defects::FLOAT_SUM;
use bitgauge::fixtures::golden::Golden;
use bitgauge::run::Measured;
use bitgauge::verify::{self, Status};
use bitgauge_engine::kernels::{Kernel, available};

fn trained() -> PathBuf {
    verify::default_fixtures().unwrap().join("trained")
}

#[test]
fn every_kernel_agrees_and_the_error_begins_at_float32_rounding() {
    let found = measure(&trained()).unwrap();
    let wrong: Vec<_> = checks(&found)
        .into_iter()
        .filter(|c| c.status != Status::Pass)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");

    let golden = Golden::read(&trained().join("golden.json")).unwrap();
    let cases = &golden.content.cases;
    let tokens: usize = cases.iter().map(|c| c.continuation.len()).sum();
    let names: Vec<_> = available().map(|k| k.spec().name()).collect();
    let rows: Vec<_> = found.texts.iter().map(|t| t.kernel.as_str()).collect();
    assert_eq!(rows, names, "every kernel that runs here, naive first");
    assert!(
        found
            .texts
            .iter()
            .all(|t| t.tokens == tokens && t.strict > 0)
    );

    // 256 numbers a row, in both of them: the residual stream's and the vocabulary's.
    let longest = cases.iter().map(|c| c.prompt.len() + c.continuation.len());
    let numbers = 256 * longest.max().unwrap() * names.len();
    let looked: Vec<_> = found.scans.iter().map(|s| s.numbers as usize).collect();
    assert_eq!(looked, [4 * numbers, numbers]);

    let Measured::Is(depth) = &found.depth else {
        panic!("{:?}", found.depth)
    };
    let at: Vec<_> = depth.iter().map(|d| d.at.as_str()).collect();
    assert_eq!(
        at,
        ["layer 0", "layer 1", "layer 2", "layer 3", "output head"]
    );
    // One rounding of float32 is 6e-8; some dozens of them in a row stay far below a hundred.
    assert!(
        depth[0].median > 1e-8 && depth[0].median < 6e-6,
        "{depth:?}"
    );
    for d in depth {
        assert!(d.median <= d.p90 && d.p90 <= d.worst, "{d:?}");
        assert!(d.worst <= cases[0].tolerance.logit_rel_l2, "{d:?}");
    }
    let Measured::Is(likelihood) = &found.likelihood else {
        panic!("{:?}", found.likelihood)
    };
    let Measured::Is(difference) = &likelihood.difference else {
        panic!("{:?}", likelihood.difference)
    };
    assert!(difference.low <= difference.value && difference.value <= difference.high);
    assert_eq!(
        difference.blocks, 65,
        "windows of 255 bytes in a text of 16384"
    );
}

/// Sums in float32 are off by a few in a million: no text need show it, the streams do.
#[test]
fn a_kernel_that_is_off_by_little_is_not_like_naive() {
    let kernels = [
        Kernel::by_name("naive").unwrap(),
        Kernel::new(&FLOAT_SUM).unwrap(),
    ];
    let found = of_kernels(&trained(), &kernels).unwrap();
    assert!(found.scans[0].unlike_naive > 0, "{:?}", found.scans);
    let failed: Vec<_> = checks(&found)
        .into_iter()
        .filter(|c| c.status == Status::Fail)
        .collect();
    assert!(
        failed
            .iter()
            .any(|c| c.id == "agreement/residual-streams/as-naive")
    );
}
