//! Texts, numbers, likelihood and depth of the trained model by every kernel.

use std::path::PathBuf;

use bitgauge::agreement::{checks, measure, of_kernels};
use bitgauge::defects::ONE_VALUE;
use bitgauge::fixtures::golden::Golden;
use bitgauge::run::{Agreement, Measured};
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

/// The wrong kernel comes first, in the place of `naive`, so that the fast one reads the long text.
#[test]
fn kernels_that_disagree_turn_it_red() {
    let kernels = [Kernel::new(&ONE_VALUE).unwrap(), Kernel::best()];
    let found = of_kernels(&trained(), &kernels).unwrap();
    let failed: Vec<_> = checks(&found)
        .into_iter()
        .filter(|c| c.status == Status::Fail)
        .map(|c| c.id)
        .collect();
    for id in [
        "agreement/texts/as-naive",
        "agreement/texts/strict-prefix",
        "agreement/residual-streams/as-naive",
        "agreement/logits/as-naive",
    ] {
        assert!(failed.iter().any(|f| f == id), "{id}: {failed:?}");
    }
    let Measured::Is(depth) = found.depth else {
        panic!()
    };
    assert!(
        depth[0].median < 6e-6,
        "the last kernel is right: {depth:?}"
    );
}

#[test]
fn a_number_that_is_none_and_another_likelihood_turn_it_red() {
    let mut found = of_kernels(&trained(), &[Kernel::best()]).unwrap();
    let red = |found: &Agreement, id: &str| {
        let checks = checks(found);
        let check = checks.iter().find(|c| c.id == id);
        check.unwrap_or_else(|| panic!("{id}")).status == Status::Fail
    };
    let finite = "agreement/logits/finite";
    assert!(!red(&found, finite) && !red(&found, "agreement/bits-a-byte"));
    found.scans[1].not_finite = 1;
    assert!(red(&found, finite));
    let Measured::Is(likelihood) = &mut found.likelihood else {
        panic!()
    };
    likelihood.bits_a_byte -= 2.0 * likelihood.tolerance;
    assert!(red(&found, "agreement/bits-a-byte"));
}
