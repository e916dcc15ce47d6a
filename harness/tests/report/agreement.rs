//! The trained model's answers by every kernel: their lines, boxes, tables and chart.

use bitgauge::report::documents;
use bitgauge::run::{Agreement, Measured, Run};

use super::artificial::full_run;
use crate::{text, words};

fn changed(change: impl FnOnce(&mut Agreement)) -> Run {
    let mut run = full_run();
    match &mut run.agreement {
        Measured::Is(agreement) => change(agreement),
        Measured::Unavailable(why) => panic!("{why}"),
    }
    run
}

/// The line of report.md and the box of the sheet that begin with this.
fn line_and_box(run: &Run, what: &str) -> (String, String) {
    let all = documents(run).unwrap();
    let find = |path: &str| {
        let text = text(&all, path);
        let line = text.lines().find(|l| l.contains(what));
        line.unwrap_or_else(|| panic!("{what} in {path}: {text}"))
            .to_owned()
    };
    (find("report.md"), find("VALIDATION.md"))
}

#[test]
fn a_text_unlike_naive_s_is_named_and_not_ticked() {
    const WHAT: &str = "SIMD = scalar = naive";
    let (line, box_) = line_and_box(&full_run(), WHAT);
    assert!(
        line.contains("✓ 2 kernels wrote the same 141 tokens"),
        "{line}"
    );
    assert!(line.contains("naive, made-up-wide") && box_.starts_with("- [x]"));

    let run = changed(|a| a.texts[1].unlike_naive = 19);
    let (line, box_) = line_and_box(&run, WHAT);
    assert!(line.contains("✗ made-up-wide: 19 tokens"), "{line}");
    assert!(box_.starts_with("- [ ]"), "{box_}");

    let run = changed(|a| a.texts[1].strict_missed = 1);
    assert!(line_and_box(&run, WHAT).1.starts_with("- [ ]"));
    let run = changed(|a| a.texts.truncate(1));
    assert!(line_and_box(&run, WHAT).1.starts_with("- [ ]"));
}

#[test]
fn numbers_that_are_none_are_counted_among_those_looked_at() {
    const WHAT: &str = "No NaN and no infinity";
    let (line, box_) = line_and_box(&full_run(), WHAT);
    assert!(
        line.contains("888 numbers") && box_.starts_with("- [x]"),
        "{line}"
    );
    for run in [
        changed(|a| a.scans[0].not_finite = 1),
        changed(|a| a.scans[1].unlike_naive = 1),
        changed(|a| a.scans.clear()),
    ] {
        assert!(line_and_box(&run, WHAT).1.starts_with("- [ ]"));
    }
}

#[test]
fn perplexity_is_ticked_within_the_tolerance_only() {
    const WHAT: &str = "Perplexity as the oracle";
    let (line, box_) = line_and_box(&full_run(), WHAT);
    assert!(
        line.contains("13 windows") && box_.starts_with("- [x]"),
        "{line}"
    );
    let run = changed(|a| {
        let Measured::Is(l) = &mut a.likelihood else {
            panic!()
        };
        l.tolerance = 0.000_5;
    });
    assert!(line_and_box(&run, WHAT).1.starts_with("- [ ]"));
}

/// The heights of the points of each line in a picture that has so many points.
fn heights(svg: &str, points: usize) -> Vec<Vec<f64>> {
    let lines = svg.split("<polyline").skip(1).map(|line| {
        let places = line.split("points=\"").nth(1).unwrap();
        let places = places.split('"').next().unwrap().split_whitespace();
        places
            .map(|place| place.split_once(',').unwrap().1.parse().unwrap())
            .collect()
    });
    lines.filter(|line: &Vec<_>| line.len() == points).collect()
}

#[test]
fn error_by_depth_is_a_table_a_chart_and_a_line() {
    let all = documents(&full_run()).unwrap();
    let report = text(&all, "report.md");
    let line = report
        .lines()
        .find(|l| l.contains("Error by depth"))
        .unwrap();
    assert!(line.contains("layer 0 0.000130\u{a0}%") && line.contains("output head 0.0710"));
    let chart = text(&all, "charts/depth.svg");
    assert!(chart.contains("layer 1: median 0.00310 %, worst 0.146 %"));
    let [median, worst] = &heights(&chart, 3)[..] else {
        panic!("two lines of three points");
    };
    // The higher, the smaller: the worst token is above the median, and both rise with the depth.
    for (median, worst) in median.iter().zip(worst) {
        assert!(worst < median);
    }
    assert!(median.is_sorted_by(|a, b| a > b));
    assert_eq!(text(&all, "csv/depth.csv").lines().count(), 4);
}

/// A run of a build that did not look.
#[test]
fn a_run_without_it_still_renders() {
    let mut json = serde_json::to_value(full_run()).unwrap();
    json.as_object_mut().unwrap().remove("agreement").unwrap();
    let run: Run = serde_json::from_value(json).unwrap();
    let all = documents(&run).unwrap();
    assert!(
        all.iter()
            .all(|d| d.path != "csv/texts.csv" && d.path != "charts/depth.svg")
    );
    let sheet = text(&all, "VALIDATION.md");
    let line = sheet.lines().find(|l| l.contains("writes the same text"));
    assert!(line.unwrap().starts_with("- [ ]"));
    assert!(words(&text(&all, "index.html")).contains("unavailable: this run did not measure it"));
}
