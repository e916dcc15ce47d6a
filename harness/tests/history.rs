//! `bitgauge history` as a user sees it: appending from many processes, damage, and trends.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use program::{Ended, bitgauge, end, refused};
use serde_json::{Value, json};

fn run_of(machine: &str, number: usize, cases: &[(&str, f64)]) -> Value {
    let case = |(id, ratio): &(&str, f64)| {
        json!({
            "id": id, "kernel": null, "yardstick": "naive", "unit": "naive products", "ns": 100.0,
            "ratio": {"median": ratio, "low": ratio * 0.999, "high": ratio * 1.001},
        })
    };
    json!({
        "kind": "bitgauge-history", "schema": 1, "version": "0.1.0", "machine": machine,
        "date": format!("2026-01-{:02}T{:02}:00:00Z", 1 + number / 24, number % 24),
        "revision": format!("{number:012x}"), "dirty": false,
        "cases": cases.iter().map(case).collect::<Vec<_>>(),
    })
}

/// Noise of some per thousand that looks like no pattern.
fn wobble(number: usize) -> f64 {
    1.0 + 0.003 * ((number * 7 % 11) as f64 / 10.0 - 0.5)
}

/// 24 runs in which one case becomes slower by half a percent a run, another stays, and a third
/// becomes twice as fast at the 17th; and five of another machine that is ten times slower.
fn drifting(folder: &Path) -> PathBuf {
    let mut lines = Vec::new();
    for n in 0..24 {
        let drift = 2.0 * 1.005_f64.powi(n as i32) * wobble(n);
        let step = if n < 16 { 4.0 } else { 2.0 } * wobble(n + 3);
        let cases = [
            ("drifts", drift),
            ("stays", 3.0 * wobble(n + 5)),
            ("steps", step),
        ];
        lines.push(run_of("here-2cpu", n, &cases));
        if n % 5 == 0 {
            lines.push(run_of("there-8cpu", n, &[("drifts", 20.0)]));
        }
    }
    let path = folder.join("history.jsonl");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).unwrap();
    path
}

fn shown(path: &Path, more: &[&str]) -> (Ended, Value) {
    let ended = end(bitgauge(["--json", "history"]).arg(path).args(more));
    let document = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"));
    (ended, document)
}

#[test]
fn a_drift_and_a_step_are_found_and_machines_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = drifting(folder.path());
    let out = folder.path().join("out");
    let (ended, document) = shown(&path, &["--out", out.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let [here, there] = document["classes"].as_array().unwrap().as_slice() else {
        panic!("two machines: {document}");
    };
    assert_eq!(
        [&here["machine"], &there["machine"]],
        ["here-2cpu", "there-8cpu"]
    );
    assert_eq!(there["cases"][0]["points"].as_array().unwrap().len(), 5);
    let case = |name: &str| {
        let cases = here["cases"].as_array().unwrap();
        cases.iter().find(|case| case["case"] == name).unwrap()
    };
    let changes = |name: &str| case(name)["changes"].as_array().unwrap().clone();
    assert_eq!(changes("stays").len(), 0);
    let [step] = changes("steps").try_into().unwrap();
    assert_eq!(step["revision"], format!("{:012x}", 16));
    assert_eq!(step["before"], format!("{:012x}", 15));
    let size = step["size"]["percent"].as_f64().unwrap();
    assert!((size + 50.0).abs() < 0.5, "{step}");
    let drift = changes("drifts");
    assert!(!drift.is_empty());
    assert!(
        drift
            .iter()
            .all(|c| c["size"]["percent"].as_f64().unwrap() > 0.0)
    );
    assert!(drift.iter().all(|c| c["p"].as_f64().unwrap() <= 0.05));
    // 23 steps of 0.5 % are 12 %; the levels of its parts lie within.
    let total = case("drifts")["drift"]["is"]["percent"].as_f64().unwrap();
    assert!((4.0..12.2).contains(&total), "{total}");
    assert!(ended.stderr.contains("drifts") && ended.stderr.contains("changed by -50"));

    let page = |name: &str| fs::read(out.join("here-2cpu").join(name)).unwrap();
    let svg = String::from_utf8(page("trend.svg")).unwrap();
    let text = roxmltree::Document::parse(&svg).unwrap();
    let says = text.descendants().find(|n| n.has_tag_name("desc")).unwrap();
    let says = says.text().unwrap();
    assert!(
        says.contains("steps: 24 runs") && says.contains(&format!("{:012x}", 16)),
        "{says}"
    );
    assert!(page("trend.png").starts_with(b"\x89PNG"));
    assert!(
        String::from_utf8(page("index.html"))
            .unwrap()
            .contains("2 cases changed")
    );
    assert!(out.join("history.json").exists() && out.join("there-8cpu/trend.svg").exists());

    let (_, one) = shown(&path, &["--case", "stays"]);
    assert_eq!(one["classes"].as_array().unwrap().len(), 1);
}

#[test]
fn the_order_is_that_of_the_dates_and_the_page_is_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = drifting(folder.path());
    let (_, before) = shown(&path, &[]);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.reverse();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    assert_eq!(shown(&path, &[]).1, before);
}

#[test]
fn a_torn_last_line_is_told_and_any_other_damage_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = drifting(folder.path());
    let whole = fs::read_to_string(&path).unwrap();
    let lines = whole.lines().count();
    let torn = format!("{whole}{}", &whole[..300]);
    fs::write(&path, &torn).unwrap();
    let (ended, document) = shown(&path, &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains(&format!("line {} has no end (300 bytes)", lines + 1))
    );
    assert_eq!(document["torn"]["line"], lines + 1);
    assert_eq!(document["runs"], lines);

    let refuse = |text: &str, reason: &str| {
        fs::write(&path, text).unwrap();
        refused(bitgauge(["--json", "history"]).arg(&path), reason);
    };
    let at = |number: usize, line: &str| {
        let mut lines: Vec<&str> = whole.lines().collect();
        lines[number - 1] = line;
        lines.join("\n") + "\n"
    };
    refuse(&at(3, &whole[..300]), ":3: this is no run");
    refuse(&at(7, ""), ":7: this is no run");
    let changed = |number: usize, from: &str, to: &str| {
        let line = whole.lines().nth(number - 1).unwrap();
        assert!(line.contains(from), "{from}: {line}");
        at(number, &line.replacen(from, to, 1))
    };
    refuse(
        &changed(2, r#""schema":1"#, r#""schema":9"#),
        ":2: schema 9",
    );
    refuse(&changed(4, "2026-01", "last year"), ":4: `last year");
    refuse(
        &changed(4, "here-2cpu", "../../etc"),
        ":4: `../../etc` is no class",
    );
    refuse(
        &changed(5, r#""median":"#, r#""median":-"#),
        ":5: case drifts: its ratio",
    );
    refuse(&changed(5, "stays", "drifts"), "stands there twice");
    refuse(
        &changed(5, r#""dirty""#, r#""colour":1,"dirty""#),
        "unknown field `colour`",
    );
    refuse("", "there is no run");
    fs::remove_file(&path).unwrap();
    refused(bitgauge(["history"]).arg(&path), "baseline save --history");
    refused(bitgauge(["history"]).arg(folder.path()), "no regular file");
}

/// What `merge=union`, or `cat` of two copies, leaves.
#[test]
fn a_run_that_stands_there_many_times_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let ratio = |n: usize| if n < 3 { 2.0 } else { 2.1 } * wobble(n);
    let lines: Vec<String> = (0..6)
        .map(|n| format!("{}\n", run_of("here-2cpu", n, &[("steps", ratio(n))])))
        .collect();
    let once = lines.concat();
    fs::write(&path, &once).unwrap();
    let (ended, want) = shown(&path, &[]);
    assert!(!ended.stderr.contains("WARNING"), "{ended:?}");
    assert_eq!(want["repeated"], json!([]));
    fs::write(&path, once.repeat(3)).unwrap();
    let (ended, document) = shown(&path, &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!((&document["runs"], &want["runs"]), (&json!(6), &json!(6)));
    assert_eq!(document["classes"], want["classes"]);
    assert_eq!(document["repeated"], json!((7..=18).collect::<Vec<_>>()));
    assert!(
        ended
            .stderr
            .contains("12 lines repeat other lines, the first is line 7"),
        "{ended:?}"
    );

    // Another run of that second is no repetition, but two figures of one case are one too many.
    let shard = run_of("here-2cpu", 2, &[("other", 1.0)]);
    fs::write(&path, format!("{once}{shard}\n")).unwrap();
    let (ended, document) = shown(&path, &[]);
    assert_eq!((ended.status, &document["runs"]), (Some(0), &json!(7)));
    assert_eq!(document["repeated"], json!([]));
    let other = run_of("here-2cpu", 2, &[("other", 1.0), ("steps", 9.0)]);
    fs::write(&path, format!("{once}{other}\n")).unwrap();
    let ended = refused(bitgauge(["--json", "history"]).arg(&path), ":7: case steps");
    assert!(ended.stderr.contains("line 3"), "{ended:?}");
}

#[test]
fn runs_are_appended_once_each_by_ten_processes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.json");
    let history = folder.path().join("history.jsonl");
    let save = ["baseline", "save", "--quick", "--case", "loop/lcg/3000/1t"];
    let mut save = bitgauge(save);
    let ended = end(save.arg("--out").arg(&saved).arg("--history").arg(&history));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let lines = || fs::read_to_string(&history).unwrap().lines().count();
    assert_eq!(lines(), 1);
    let add = |file: &Path| {
        let mut add = bitgauge(["history", "add"]);
        add.arg(file).arg("--to").arg(&history);
        add
    };
    let ended = end(&mut add(&saved));
    assert!(ended.stdout.contains("is already in"), "{ended:?}");
    assert_eq!(lines(), 1);

    // Another shard of that second is another run; another figure of the same case is an error.
    let baseline: Value = serde_json::from_str(&fs::read_to_string(&saved).unwrap()).unwrap();
    let alone = fs::read_to_string(&history).unwrap();
    let mut other = baseline.clone();
    other["cases"][0]["ns"] = json!(2.0 * other["cases"][0]["ns"].as_f64().unwrap());
    let file = folder.path().join("other.json");
    fs::write(&file, other.to_string()).unwrap();
    refused(&mut add(&file), "case loop/lcg/3000/1t");
    assert_eq!(fs::read_to_string(&history).unwrap(), alone);
    other["cases"][0]["id"] = json!("loop/lcg/4000/1t");
    fs::write(&file, other.to_string()).unwrap();
    for what in ["appended to", "is already in"] {
        let ended = end(&mut add(&file));
        assert!(ended.stdout.contains(what), "{ended:?}");
        assert_eq!(lines(), 2);
    }
    fs::write(&history, &alone).unwrap();

    // Nobody reads what is said, and all that was asked for is written.
    let dated: Vec<_> = (0..2)
        .map(|hour| {
            let dated = folder.path().join(format!("{hour}.json"));
            let mut copy = baseline.clone();
            copy["date"] = json!(format!("2026-01-01T{hour:02}:00:00Z"));
            fs::write(&dated, copy.to_string()).unwrap();
            dated
        })
        .collect();
    let mut both = add(&dated[0]);
    let (_, closed) = std::io::pipe().unwrap();
    let ended = end(both.arg(&dated[1]).stdout(closed));
    assert_eq!(ended.status, Some(141), "{ended:?}");
    assert_eq!(lines(), 3);
    fs::write(&history, alone).unwrap();

    // A line that was torn is cut off by the first who comes.
    let text = fs::read_to_string(&history).unwrap();
    fs::write(&history, format!("{text}{}", &text[..100])).unwrap();
    let mut commands: Vec<_> = (10..20)
        .map(|minute| {
            let mut add = bitgauge(["history", "add"]);
            add.arg("--to").arg(&history);
            for second in 10..30 {
                let mut other = baseline.clone();
                other["date"] = json!(format!("2026-01-01T00:{minute}:{second}Z"));
                let file = folder.path().join(format!("{minute}-{second}.json"));
                fs::write(&file, other.to_string()).unwrap();
                add.arg(file);
            }
            add.stdout(Stdio::null()).stderr(Stdio::piped());
            add
        })
        .collect();
    let adding: Vec<_> = commands
        .iter_mut()
        .map(|add| add.spawn().unwrap())
        .collect();
    let mut cut = 0;
    for child in adding {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        cut += usize::from(String::from_utf8_lossy(&output.stderr).contains("it was cut off"));
    }
    assert_eq!((lines(), cut), (201, 1));
    let (ended, document) = shown(&history, &[]);
    assert_eq!(
        (ended.status, &document["runs"]),
        (Some(0), &json!(201)),
        "{ended:?}"
    );
    assert_eq!(document["torn"], Value::Null);
}

#[test]
fn what_is_no_history_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.json");
    let save = ["baseline", "save", "--quick", "--case", "loop/lcg/3000/1t"];
    assert_eq!(end(bitgauge(save).arg("--out").arg(&saved)).status, Some(0));
    let precious = folder.path().join("precious");
    for text in [
        "no line end",
        "a letter\nin two lines\n",
        "{\"kind\":\"other",
    ] {
        fs::write(&precious, text).unwrap();
        refused(
            bitgauge(["history", "add"])
                .arg(&saved)
                .arg("--to")
                .arg(&precious),
            "precious:1",
        );
        assert_eq!(fs::read_to_string(&precious).unwrap(), text);
    }
    // Not after a quarter of a minute of measuring.
    let mut save = bitgauge(save);
    let save = save
        .arg("--out")
        .arg(&saved)
        .arg("--history")
        .arg(&precious);
    refused(save, "precious:1");
}
