//! `verify` holds on the repository's golden files, and turns red when something is wrong.

use bitgauge::verify::{self, Options};

#[test]
fn everything_is_right() {
    let start = std::time::Instant::now();
    let verification = verify::run(&Options::default(), &mut |check| {
        eprintln!(
            "{:?} {} {:?} {:?} {:?} {:?} {} {:?}",
            check.status,
            check.id,
            check.kernel,
            check.threads,
            check.figure,
            check.limit,
            check.note,
            start.elapsed()
        );
    })
    .unwrap();
    println!("{:?}", verification.totals);
    let failed: Vec<_> = verification.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
