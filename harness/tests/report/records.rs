//! The records that are signed and published, and the reports' numbers.

use std::fs;
use std::path::Path;
use std::process::Command;

use bitgauge::report::{documents, render};
use bitgauge::run::{Comparison, Measured};

use super::artificial::{bare_run, full_run};
use crate::{files, put, text};

/// The rows of the reports' numbers: what, theirs, ours, verdict.
fn reported(run: &bitgauge::run::Run) -> Vec<[String; 4]> {
    let csv = text(&documents(run).unwrap(), "csv/reported.csv");
    let mut reader = csv::ReaderBuilder::new().from_reader(csv.as_bytes());
    let rows = reader.records().map(|r| {
        let r = r.unwrap();
        [0, 1, 2, 3].map(|i| r[i].to_owned())
    });
    rows.collect()
}

/// The story's numbers, as the design tells it.
const THEIRS: [&str; 22] = [
    "0.42",
    "2.4 %",
    "95 %",
    "6x",
    "291-430 %",
    "2x",
    "< 1 %",
    "0.1 %",
    "25 %",
    "10+",
    "7.8x",
    "1.5-2x",
    "> 2x",
    "10-12",
    "< 500",
    "< 150",
    "< 50",
    "> 80 %",
    "95 % on 2",
    "93 % on 4",
    "89 % on 8",
    "84 % on 16",
];

#[test]
fn every_number_of_the_reports_has_a_neighbour_or_a_reason() {
    let mut run = full_run();
    let Measured::Is(latency) = &mut run.latency else {
        panic!()
    };
    let mut below_150 = latency.targets[0].clone();
    below_150.below_ms = 150.0;
    (latency.targets[0].below_ms, latency.targets[1].below_ms) = (500.0, 50.0);
    latency.targets.push(below_150);
    let Measured::Is(defects) = &mut run.defects else {
        panic!()
    };
    for error in [5.0, 0.1] {
        let mut of = defects[0].errors[0].clone();
        of.relative_error = Measured::Is(error);
        defects[0].errors.push(of);
    }
    let rows = reported(&run);
    for theirs in THEIRS {
        let row = rows.iter().find(|r| r[1].contains(theirs));
        let row = row.unwrap_or_else(|| panic!("{theirs} is in no row"));
        assert!(!row[2].is_empty() && !row[3].is_empty(), "{row:?}");
        assert!(!row[2].starts_with("unavailable: this run"), "{row:?}");
    }
    let of = |theirs: &str| rows.iter().find(|r| r[1].contains(theirs)).unwrap();
    assert!(
        of("0.42")[2].contains("0.333\u{a0}token/s"),
        "{:?}",
        of("0.42")
    );
    let [_, _, errors, within] = of("291-430");
    assert_eq!(
        errors.replace('\u{a0}', " "),
        "sign-table: 10.0 % to 500 % on 3 kinds of data"
    );
    assert!(within.contains("1 of 3 lie within"), "{within}");
    assert!(of("10-12")[2].contains("4 of 30 layers"));
    assert!(of("> 2x")[2].contains("3.51×") && of("> 2x")[3].contains("confirmed"));
    assert!(of("< 150")[3].contains("held") && of("< 150")[2].contains("50\u{a0}% of tokens"));
    assert!(of("tokens < 50")[3].contains("missed") && of("tokens < 50")[2].contains("62.2"));
    assert!(of("95 % on 2")[2].contains("91.0\u{a0}%"));
    assert!(of("84 % on 16")[2].contains("projected"));
    assert!(of("84 % on 16")[3].contains("not measured: projected only"));

    for row in reported(&bare_run()) {
        assert!(row[2].starts_with("unavailable: "), "{row:?}");
        assert!(row[3].starts_with('?'), "{row:?}");
    }
}

#[test]
fn a_claimed_efficiency_stands_beside_the_measured_one() {
    let csv = text(&documents(&full_run()).unwrap(), "csv/scaling.csv");
    let two = csv
        .lines()
        .find(|l| l.starts_with("decode,contiguous,2"))
        .unwrap();
    assert!(two.contains("91") && two.contains(",95,"), "{two}");
    let sixteen = csv
        .lines()
        .find(|l| l.starts_with("decode,contiguous,16"))
        .unwrap();
    assert!(
        sixteen.contains("not measured: projected only"),
        "{sixteen}"
    );
}

#[test]
fn the_performance_page_has_every_matter_or_says_why_not() {
    const MATTERS: [&str; 8] = [
        "Tokens a second",
        "Latency of single tokens",
        "Generation",
        "Scaling over threads",
        "Products and the read bandwidth",
        "Are the answers right",
        "Claims",
        "The reports' numbers",
    ];
    for (run, measured) in [(full_run(), true), (bare_run(), false)] {
        let page = text(&documents(&run).unwrap(), "PERFORMANCE.md");
        for matter in MATTERS {
            let section = page.split("\n## ").find(|s| s.starts_with(matter));
            let section = section.unwrap_or_else(|| panic!("{matter}: {page}"));
            let table = section.contains("| --- |") || section.contains("| ---: |");
            let why = section.matches("not measured in this run: ").count();
            assert_eq!(table, measured || matter == MATTERS[7], "{section}");
            assert_eq!(why, usize::from(!table), "{section}");
        }
    }
}

#[test]
fn release_notes_sort_the_claims_and_name_the_limits() {
    let notes = |run| text(&documents(&run).unwrap(), "RELEASE_NOTES.md");
    let section = |notes: &str, title: &str| {
        let found = notes.split("\n## ").find(|s| s.starts_with(title));
        found
            .unwrap_or_else(|| panic!("{title}: {notes}"))
            .to_owned()
    };
    let full = notes(full_run());
    assert!(section(&full, "Claims that held").contains("SIMD is selected"));
    let missed = section(&full, "Claims that were missed");
    assert!(missed.contains("contiguous rows") && missed.contains("published repair"));
    assert!(section(&full, "Claims that could").contains("80 %"));
    let limits = section(&full, "Known limits");
    for limit in [
        "4 of the 30 layers",
        "clock rate is not fixed",
        "made-up-matrix did not run here: no AMX",
        "4, 8, 16 threads is projected",
        "hardware counters was left out",
    ] {
        assert!(limits.contains(limit), "{limit}: {limits}");
    }
    let bare = notes(bare_run());
    for title in [
        "Before and after",
        "Claims that held",
        "Claims that were missed",
    ] {
        assert!(section(&bare, title).contains("not measured in this run: "));
    }

    let mut run = full_run();
    let Measured::Is(ladder) = &mut run.ladder else {
        panic!()
    };
    ladder.rungs[0].comparison = Comparison::NotRun {
        why: "the time was spent".into(),
    };
    ladder.left_out.clear();
    let held = section(&notes(run), "Claims that held");
    assert!(!held.contains("SIMD is selected"), "{held}");
}

#[test]
fn a_revision_with_changes_is_not_known() {
    let mut run = full_run();
    for (revision, line, evidence) in [
        ("0123abc", "- [x]", "- 0123abc"),
        (
            "0123abc+",
            "- [ ]",
            "0123abc with changes that no revision holds",
        ),
    ] {
        run.tool.revision = Measured::Is(revision.into());
        let sheet = text(&documents(&run).unwrap(), "VALIDATION.md");
        let at = sheet.find(&format!("{line} The revision that measured is known"));
        let box_ = &sheet[at.unwrap_or_else(|| panic!("{revision}: {sheet}"))..];
        assert!(box_.lines().nth(1).unwrap().ends_with(evidence), "{box_}");
    }
}

/// The groups that the reports' own checklist has.
#[test]
fn the_sheet_has_the_reports_groups_and_boxes_of_tokens() {
    let sheet = text(&documents(&full_run()).unwrap(), "VALIDATION.md");
    let groups: Vec<&str> = sheet
        .lines()
        .filter_map(|l| l.strip_prefix("## "))
        .collect();
    let want = ["SIMD", "T-MAC", "Threads", "Final", "Sign-off"];
    assert_eq!(groups, want);
    let last = sheet
        .split("\n## ")
        .find(|s| s.starts_with("Final"))
        .unwrap();
    assert!(last.contains("a token below 77 ms") && last.contains("KV cache: above 2x"));
}

#[test]
fn the_first_screen_has_the_figures_of_tokens_and_generations() {
    let page = text(&documents(&full_run()).unwrap(), "index.html");
    let first = page.split("<h2>").next().unwrap();
    for figure in [
        "Is it right?",
        "How fast?",
        "How far from the limit?",
        "Which claims held?",
        "99\u{a0}% of tokens within 62.2\u{a0}ms",
        "first token of a generation after 151\u{a0}ms",
        "KV cache 3.51×",
    ] {
        assert!(first.contains(figure), "{figure}");
    }
}

/// Two people with the same run: other folders, working directories, languages, time zones.
#[test]
fn two_people_render_the_same_bytes() {
    let rendered = |language: &str, zone: &str, home: &Path| {
        let dir = tempfile::tempdir_in(home).unwrap();
        put(dir.path(), &full_run());
        let out = Command::new(env!("CARGO_BIN_EXE_bitgauge"))
            .args(["report", "."])
            .current_dir(dir.path())
            .env("HOME", home)
            .envs([("LC_ALL", language), ("LANG", language), ("TZ", zone)])
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        files(dir.path())
    };
    let home = tempfile::tempdir().unwrap();
    let other = home.path().join("Ünïcode and spaces");
    fs::create_dir(&other).unwrap();
    let one = rendered("C", "UTC", home.path());
    let two = rendered("de_DE.UTF-8", "Asia/Kathmandu", &other);
    assert!(one.len() > 40, "only {} files", one.len());
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &one {
        assert!(two[name] == *bytes, "{name} differs");
    }

    // And as the library renders it, in this process.
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &full_run());
    render(dir.path()).unwrap();
    assert!(files(dir.path()) == one, "the library renders otherwise");
}
