//! Whole tokens: their table, and whether their parts add up.

use bitgauge::report::documents;
use bitgauge::run::{Measured, Run};

use super::artificial::full_run;
use crate::text;

/// Three per cent either way, of the token that is furthest off.
#[test]
fn parts_that_miss_time_of_a_token_are_not_ticked() {
    for (parts, ticked) in [(97.0, true), (96.9, false), (103.0, true), (103.1, false)] {
        let mut run = full_run();
        let Measured::Is(tokens) = &mut run.tokens else {
            panic!()
        };
        tokens[1].parts_percent = Measured::Is(parts);
        let sheet = text(&documents(&run).unwrap(), "VALIDATION.md");
        let line = sheet.lines().find(|l| l.contains("parts of a token"));
        assert_eq!(line.unwrap().starts_with("- [x]"), ticked, "{parts}");
    }
}

/// A run of a build that timed no whole tokens.
#[test]
fn a_run_without_whole_tokens_still_renders() {
    let mut json = serde_json::to_value(full_run()).unwrap();
    json.as_object_mut().unwrap().remove("tokens").unwrap();
    let run: Run = serde_json::from_value(json).unwrap();
    let all = documents(&run).unwrap();
    assert!(all.iter().all(|d| d.path != "csv/tokens.csv"));
    let sheet = text(&all, "VALIDATION.md");
    let line = sheet.lines().find(|l| l.contains("parts of a token"));
    assert!(line.unwrap().starts_with("- [ ]"));
}
