//! Single tokens and whole generations: their pages, their boxes, and what a run without them shows.

use bitgauge::report::documents;
use bitgauge::run::{Latency, Measured, Run, Verdict};

use super::artificial::{bare_run, full_run};
use crate::{text, words};

fn latency_of(run: &mut Run) -> &mut Latency {
    match &mut run.latency {
        Measured::Is(latency) => latency,
        Measured::Unavailable(why) => panic!("{why}"),
    }
}

/// The box that has these words, and its evidence.
fn boxed(run: &Run, needle: &str) -> (bool, String) {
    let sheet = text(&documents(run).unwrap(), "VALIDATION.md");
    let lines: Vec<&str> = sheet.lines().collect();
    let at = lines.iter().position(|l| l.contains(needle));
    let at = at.unwrap_or_else(|| panic!("{needle}: {sheet}"));
    (lines[at].starts_with("- [x]"), lines[at + 1].to_owned())
}

#[test]
fn a_target_is_ticked_only_where_it_was_held() {
    let run = full_run();
    let (ticked, evidence) = boxed(&run, "a token below 77 ms");
    assert!(ticked && evidence.contains("61.7"), "{evidence}");
    let (ticked, evidence) = boxed(&run, "below 62 ms");
    assert!(!ticked && evidence.contains("62.2"), "{evidence}");

    let page = words(&text(&documents(&run).unwrap(), "index.html"));
    assert!(page.contains("✓ held") && page.contains("✗ missed"));
}

/// The short form runs a tenth of the layers; what is aimed at is about all of them.
#[test]
fn a_cut_model_is_named_wherever_its_figures_are() {
    let mut run = full_run();
    let latency = latency_of(&mut run);
    latency.model.layers_run = 3;
    for target in &mut latency.targets {
        target.verdict = Verdict::NotMeasurable {
            why: "it speaks of the whole model".into(),
        };
    }
    let Measured::Is(generation) = &mut run.generation else {
        panic!()
    };
    generation.model.layers_run = 3;
    let all = documents(&run).unwrap();
    let (ticked, evidence) = boxed(&run, "a token below 77 ms");
    assert!(!ticked && evidence.contains("not measured"), "{evidence}");
    const CUT: &str = "3 of 30 layers";
    assert!(boxed(&run, "KV cache: ").1.contains(CUT));
    for line in ["- **Single tokens**", "- **Generations**"] {
        let report = text(&all, "report.md");
        let line = report.lines().find(|l| l.starts_with(line)).unwrap();
        assert!(line.contains(CUT), "{line}");
    }
    for chart in ["charts/latency.svg", "charts/cache.svg"] {
        assert!(text(&all, chart).contains(CUT), "{chart}");
    }
    let page = words(&text(&all, "index.html"));
    // Two charts with their text alternatives, and the captions of four tables.
    assert!(page.matches(CUT).count() >= 7, "{page}");
}

#[test]
fn every_raw_token_is_in_the_table_of_samples() {
    let run = full_run();
    let csv = text(&documents(&run).unwrap(), "csv/latency_samples.csv");
    let choices = &run.latency.get().unwrap().choices;
    let tokens: usize = choices.iter().map(|c| c.ns.len()).sum();
    assert_eq!(csv.lines().count(), tokens + 1);
    for ns in &choices[1].ns {
        assert!(csv.contains(&format!(",{ns}\n")), "{ns}");
    }
}

/// A run of a build that had neither section.
#[test]
fn a_run_without_the_sections_still_renders() {
    let mut json = serde_json::to_value(full_run()).unwrap();
    let sections = json.as_object_mut().unwrap();
    for section in ["latency", "generation"] {
        sections.remove(section).unwrap();
    }
    let run: Run = serde_json::from_value(json).unwrap();
    let all = documents(&run).unwrap();
    for gone in ["charts/latency.svg", "charts/cache.svg", "csv/latency.csv"] {
        assert!(all.iter().all(|d| d.path != gone), "{gone}");
    }
    let (ticked, evidence) = boxed(&run, "Targets of single tokens");
    assert!(!ticked && evidence.contains("this run did not measure it"));
    assert!(!boxed(&run, "The KV cache is worth").0);
    assert!(!text(&all, "report.md").contains("Single tokens"));
}

/// A suite of single tokens alone says how fast they are.
#[test]
fn single_tokens_answer_how_fast_where_no_ladder_does() {
    let mut run = bare_run();
    run.latency = full_run().latency;
    let report = text(&documents(&run).unwrap(), "report.md");
    let line = report.lines().find(|l| l.contains("How fast?")).unwrap();
    assert!(line.contains("16.2\u{a0}token/s"), "{line}");
}

#[test]
fn a_generation_too_long_without_the_cache_says_why() {
    let mut run = full_run();
    let Measured::Is(generation) = &mut run.generation else {
        panic!()
    };
    generation.gain = Measured::unavailable("it would take an hour");
    let all = documents(&run).unwrap();
    assert!(all.iter().all(|d| d.path != "csv/cache_gain.csv"));
    let page = words(&text(&all, "index.html"));
    assert!(page.contains("unavailable: it would take an hour"));
    let (ticked, evidence) = boxed(&run, "The KV cache is worth");
    assert!(!ticked && evidence.contains("an hour"), "{evidence}");
}
