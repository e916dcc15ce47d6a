//! `bitgauge import`, on real results of the tools and on broken ones. Where the files come from:
//! data/import/README.md.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::{Ended, bitgauge, end, refused};
use serde_json::Value;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/import")
        .join(name)
}

fn import(arguments: &[&str]) -> Ended {
    end(&mut bitgauge(["import"].iter().chain(arguments)))
}

fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

/// The figures of `name`, by case.
fn figures(name: &str) -> Vec<Value> {
    let ended = import(&[data(name).to_str().unwrap(), "--json"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    document(&ended)["figures"].as_array().unwrap().clone()
}

fn close(value: &Value, want: f64) -> bool {
    (value.as_f64().unwrap() / want - 1.0).abs() < 1e-9
}

#[test]
fn criterion_s_folder_gives_its_own_medians() {
    let figures = figures("criterion");
    let names: Vec<&str> = figures
        .iter()
        .map(|f| f["case"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["norm/2560", "softmax/4096"]);
    for (figure, name) in figures.iter().zip(names) {
        let path = data(&format!("criterion/{name}/new/estimates.json"));
        let estimates: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let median = estimates["median"]["point_estimate"].as_f64().unwrap();
        assert!(close(&figure["value"], median), "{name}");
        assert_eq!(figure["unit"], "ns");
        assert_eq!(figure["statistic"], "median");
        assert_eq!(figure["samples"].as_array().unwrap().len(), 20);
        // Of 20 samples, the 6th from either end: 95.9 % (binomial tables).
        let mut samples: Vec<f64> = figure["samples"]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect();
        samples.sort_by(f64::total_cmp);
        assert!(close(&figure["interval"]["low"], samples[5]));
        assert!(close(&figure["interval"]["high"], samples[14]));
        assert!(close(&figure["interval"]["level"], 0.958_610_534_667_968_8));
    }
}

#[test]
fn hyperfine_s_seconds_become_nanoseconds() {
    let figures = figures("hyperfine/new.json");
    let names: Vec<&str> = figures
        .iter()
        .map(|f| f["case"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sleep 0.02", "sleep 0.05"]);
    // The medians in the file: 0.0211070985 s and 0.05110839 s.
    assert!(close(&figures[0]["value"], 21_107_098.5));
    assert!(close(&figures[1]["value"], 51_108_390.0));
    assert_eq!(figures[0]["samples"].as_array().unwrap().len(), 12);
}

#[test]
fn gungraun_s_summaries_give_new_instruction_counts_in_both_versions() {
    let value = |figures: &[Value], case: &str| {
        let found = figures.iter().find(|f| f["case"] == case);
        found.unwrap_or_else(|| panic!("{case}"))["value"].as_f64()
    };
    let first = figures("gungraun");
    assert_eq!(value(&first, "sums::group::sum short"), Some(514.0));
    assert_eq!(value(&first, "sums::group::sum long"), Some(5014.0));
    assert_eq!(first[0]["unit"], "instructions");
    let second = figures("gungraun-slower");
    assert_eq!(
        value(&second, "sums::group::sum short"),
        Some(568.0),
        "new, not old"
    );
    let v6 = figures("gungraun-v6.json");
    assert_eq!(
        value(&v6, "sums::group::sum short"),
        Some(514.0),
        "Both has new first"
    );
}

#[test]
fn llama_bench_s_formats_agree() {
    let json = figures("llama-bench/two-threads.json");
    let names: Vec<&str> = json.iter().map(|f| f["case"].as_str().unwrap()).collect();
    let model = "bitnet 2B I2_S CPU t2";
    let want = ["pp512", "tg128", "tg128 @ d512"].map(|test| format!("{model} {test}"));
    assert_eq!(names, want);
    assert_eq!(json, figures("llama-bench/two-threads.jsonl"));
    assert_eq!(json[1]["unit"], "token/s");
    assert_eq!(json[1]["smaller_is_better"], false);
    // 128 tokens in 12.8 s to 12.98 s: the middle is half-way between 12.88 and 12.9.
    let middle = (128.0 / 12.88 + 128.0 / 12.9) / 2.0;
    assert!((json[1]["value"].as_f64().unwrap() - middle).abs() < 1e-3);
    for (csv, json) in figures("llama-bench/two-threads.csv").iter().zip(&json) {
        assert_eq!(csv["case"], json["case"]);
        assert_eq!(
            (&csv["statistic"], &csv["interval"]),
            (&Value::from("mean"), &Value::Null)
        );
    }
}

#[test]
fn a_command_that_failed_has_no_time() {
    let path = data("hyperfine/failing.json");
    refused(
        &mut bitgauge(["import", path.to_str().unwrap()]),
        "5 of 5 runs did not end with exit status 0",
    );
}

#[test]
fn results_against_themselves_hold_and_planted_changes_are_seen() {
    let (old, new) = (data("gungraun"), data("gungraun-slower"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    // 568 / 514 and 5514 / 5014: 10.5 % and 10 % more.
    for (after, before, margin, exit, verdict) in [
        (old, old, "5%", 0, "unchanged"),
        (new, old, "5%", 1, "regressed"),
        (new, old, "20%", 0, "unchanged"),
        (old, new, "5%", 0, "improved"),
    ] {
        let ended = import(&[after, "--against", before, "--margin", margin, "--json"]);
        assert_eq!(
            ended.status,
            Some(exit),
            "{after} against {before}: {ended:?}"
        );
        let document = document(&ended);
        for case in document["cases"].as_array().unwrap() {
            assert_eq!(case["verdict"], verdict, "{case}");
        }
        assert_eq!(document["exit"], exit);
        assert!(
            ended.stderr.contains("measured apart and not interleaved"),
            "{ended:?}"
        );
    }
}

#[test]
fn a_saved_file_gates_as_the_results_that_it_was_saved_from() {
    let dir = tempfile::tempdir().unwrap();
    let stored = dir.path().join("stored.json");
    let stored = stored.to_str().unwrap();
    let (old, new) = (data("gungraun"), data("gungraun-slower"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    assert_eq!(import(&[old, "--save", stored]).status, Some(0));
    assert_eq!(import(&[old, "--against", stored]).status, Some(0));
    assert_eq!(import(&[new, "--against", stored]).status, Some(1));
    // The stored side is read before --save puts the new one in its place.
    assert_eq!(
        import(&[new, "--against", stored, "--save", stored]).status,
        Some(1)
    );
    assert_eq!(import(&[new, "--against", stored]).status, Some(0));
}

/// What a saved file says twice or against itself would decide a gate by which of the two is taken.
#[test]
fn a_saved_file_that_was_changed_is_5() {
    let dir = tempfile::tempdir().unwrap();
    let stored = dir.path().join("stored.json");
    let stored = stored.to_str().unwrap();
    let new = data("hyperfine/new.json");
    let new = new.to_str().unwrap();
    assert_eq!(import(&[new, "--save", stored]).status, Some(0));
    let saved: Value = serde_json::from_str(&fs::read_to_string(stored).unwrap()).unwrap();
    type Change = fn(&mut Value);
    let twice: Change = |file| {
        let mut slower = file["figures"][0].clone();
        let double = |x: &mut Value| *x = Value::from(2.0 * x.as_f64().unwrap());
        slower["samples"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(double);
        double(&mut slower["value"]);
        double(&mut slower["interval"]["low"]);
        double(&mut slower["interval"]["high"]);
        file["figures"].as_array_mut().unwrap().push(slower);
    };
    let twice_left_out: Change = |file| {
        let case = file["figures"][0]["case"].clone();
        file["left_out"] = serde_json::json!([{"case": case, "why": "it failed"}]);
    };
    let changes: [(&str, &str, Change); 6] = [
        ("twice", "the second result called `sleep 0.02`", twice),
        (
            "left out",
            "the second result called `sleep 0.02`",
            twice_left_out,
        ),
        ("value", "one of them was changed", |file| {
            file["figures"][0]["value"] = Value::from(2e7);
        }),
        ("interval", "one of them was changed", |file| {
            file["figures"][0]["interval"]["high"] = Value::from(1e9);
        }),
        ("no interval", "one of them was changed", |file| {
            file["figures"][0]["interval"] = Value::Null;
        }),
        ("direction", "smaller_is_better", |file| {
            file["figures"][0]["smaller_is_better"] = Value::from(false);
        }),
    ];
    for (name, reason, change) in changes {
        let mut file = saved.clone();
        change(&mut file);
        fs::write(stored, file.to_string()).unwrap();
        let ended = import(&[new, "--against", stored]);
        assert_eq!(ended.status, Some(5), "{name}: {ended:?}");
        assert!(ended.stderr.contains(reason), "{name}: {ended:?}");
        assert!(ended.stderr.contains("stored.json"), "{name}: {ended:?}");
    }
}

#[test]
fn values_without_samples_are_unclear() {
    let path = data("llama-bench/two-threads.csv");
    let path = path.to_str().unwrap();
    let ended = import(&[path, "--against", path]);
    assert_eq!(ended.status, Some(4), "{ended:?}");
    let samples = data("llama-bench/two-threads.json");
    let samples = samples.to_str().unwrap();
    assert_eq!(import(&[samples, "--against", samples]).status, Some(0));
    assert_eq!(
        import(&[path, "--against", samples]).status,
        Some(2),
        "a mean against a median"
    );
}

#[test]
fn what_is_stored_and_unusable_is_5_and_nothing_in_common_is_2() {
    let dir = tempfile::tempdir().unwrap();
    let new = data("hyperfine/new.json");
    let new = new.to_str().unwrap();
    let saved = dir.path().join("saved.json");
    let saved = saved.to_str().unwrap();
    import(&[new, "--save", saved]);
    let whole = fs::read_to_string(saved).unwrap();
    let against = |name: &str, text: Option<&str>| {
        let path = dir.path().join(name);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        import(&[new, "--against", path.to_str().unwrap()])
    };
    for (name, text, reason) in [
        ("missing.json", None, "can't read"),
        ("cut.json", Some(&whole[..whole.len() / 2]), "cut.json:"),
        (
            "newer.json",
            Some(&*whole.replacen(": 1", ": 99", 1)),
            "version 99 of saved imports; this bitgauge reads 1",
        ),
        (
            "zero.json",
            Some(&*whole.replacen("21107098.5", "0", 1)),
            "is 0 ns",
        ),
        ("text.json", Some("not JSON"), "text.json:1:"),
        (
            "empty.json",
            Some(r#"{"results": []}"#),
            "no result of hyperfine",
        ),
    ] {
        let ended = against(name, text);
        assert_eq!(ended.status, Some(5), "{name}: {ended:?}");
        assert!(ended.stderr.contains(reason), "{name}: {ended:?}");
    }
    let renamed = whole.replace("sleep", "snooze");
    let ended = against("renamed.json", Some(&renamed));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stdout.contains("NOT CHECKED sleep 0.02"), "{ended:?}");
    let ended = import(&[data("gungraun").to_str().unwrap(), "--against", saved]);
    assert_eq!(ended.status, Some(2), "another tool: {ended:?}");
}

#[test]
fn broken_results_are_refused_with_file_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let hyperfine = fs::read_to_string(data("hyperfine/new.json")).unwrap();
    let gungraun = fs::read_to_string(data("gungraun-v6.json")).unwrap();
    let csv = fs::read_to_string(data("llama-bench/two-threads.csv")).unwrap();
    let jsonl = fs::read_to_string(data("llama-bench/two-threads.jsonl")).unwrap();
    let second_line_cut = jsonl.replacen("}\n", "}\n{\"avg_ts\": 1,\n", 1);
    let mut doubled = csv.clone();
    doubled.push_str(csv.lines().last().unwrap());
    for (name, text, reason) in [
        (
            "cut.json",
            hyperfine[..hyperfine.len() - 100].to_owned(),
            "cut.json:",
        ),
        (
            "negative.json",
            hyperfine.replace("0.02", "-0.02"),
            "above zero",
        ),
        (
            "huge.json",
            hyperfine.replacen("\"mean\": 0", "\"mean\": 1e9990", 1),
            "out of range",
        ),
        (
            "nothing.json",
            r#"{"results": [], "command": 1}"#.to_owned(),
            "no result of hyperfine",
        ),
        (
            "v5.json",
            gungraun.replacen("\"6\"", "\"5\"", 1),
            "version \"5\" of a gungraun summary; this bitgauge reads \"6\" and \"7\"",
        ),
        (
            "v7.json",
            gungraun.replacen("\"6\"", "\"7\"", 1),
            "missing field `data`",
        ),
        ("lines.jsonl", second_line_cut, "lines.jsonl:2:"),
        (
            "short.csv",
            csv.trim_end().rsplit_once(',').unwrap().0.to_owned(),
            "short.csv:4:",
        ),
        (
            "words.csv",
            csv.replace("\"512\",\"0\",\"0\"", "\"many\",\"0\",\"0\""),
            "n_prompt is `many`, no count",
        ),
        ("twice.csv", doubled, "the second result called"),
        (
            "column.csv",
            csv.replacen("model_type", "avg_ts", 1),
            "column `avg_ts` stands there twice",
        ),
        (
            "average.jsonl",
            jsonl.replacen("\"avg_ts\":", "\"avg_ts\": 1e9, \"avg_ts\":", 1),
            "`avg_ts` stands there twice",
        ),
        (
            "samples.jsonl",
            jsonl.replacen(
                "\"samples_ts\":",
                "\"samples_ts\": [1e9], \"samples_ts\":",
                1,
            ),
            "`samples_ts` stands there twice",
        ),
        (
            "number.json",
            "[1] \"avg_ts\" \"n_prompt\" \"n_gen\"".to_owned(),
            "number.json:1:2: invalid type: integer `1`, expected a result as an object",
        ),
        (
            "deep.json",
            "[{\"avg_ts\": ".to_owned() + &"[".repeat(100_000) + "\"n_prompt\" \"n_gen\"",
            "recursion limit",
        ),
        ("else.json", "{}".to_owned(), "not recognised as results of"),
        ("empty", String::new(), "not recognised as results of"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let ended = refused(&mut bitgauge(["import", path.to_str().unwrap()]), reason);
        assert!(ended.stderr.contains(name), "{ended:?}");
    }
}

#[test]
fn large_and_odd_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large.json");
    fs::File::create(&large).unwrap().set_len(33 << 20).unwrap();
    refused(
        &mut bitgauge(["import", large.to_str().unwrap()]),
        "at most 33554432 are imported",
    );
    refused(&mut bitgauge(["import", "/dev/zero"]), "no regular file");
    let empty = dir.path().join("folder");
    fs::create_dir(&empty).unwrap();
    for (from, reason) in [
        (None, "not recognised"),
        (Some("criterion"), "no new/benchmark.json below it"),
        (Some("gungraun"), "run the benchmarks with --save-summary"),
        (Some("hyperfine"), "no regular file"),
    ] {
        let mut command = bitgauge(["import", empty.to_str().unwrap()]);
        if let Some(from) = from {
            command.args(["--from", from]);
        }
        refused(&mut command, reason);
    }
    let samples = vec!["0.1"; 10_001].join(",");
    let many = dir.path().join("many.json");
    let text =
        format!("{{\"results\":[{{\"command\":\"c\",\"mean\":0.1,\"times\":[{samples}]}}]}}");
    fs::write(&many, text).unwrap();
    refused(
        &mut bitgauge(["import", many.to_str().unwrap()]),
        "10001 samples; at most 10000",
    );
}

#[test]
fn criterion_files_that_do_not_belong_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("group/case/new");
    fs::create_dir_all(&new).unwrap();
    for file in ["benchmark", "estimates", "sample"] {
        let name = format!("{file}.json");
        fs::copy(
            data(&format!("criterion/norm/2560/new/{name}")),
            new.join(name),
        )
        .unwrap();
    }
    let folder = dir.path().to_str().unwrap();
    assert_eq!(import(&[folder]).status, Some(0));
    fs::copy(
        data("criterion/softmax/4096/new/sample.json"),
        new.join("sample.json"),
    )
    .unwrap();
    refused(&mut bitgauge(["import", folder]), "not of one measurement");
    fs::write(
        new.join("sample.json"),
        r#"{"iters":[1.0,2.0],"times":[1.0]}"#,
    )
    .unwrap();
    refused(
        &mut bitgauge(["import", folder]),
        "2 iteration counts and 1 times",
    );
    // Without samples, criterion's own interval counts.
    fs::remove_file(new.join("sample.json")).unwrap();
    let ended = import(&[folder, "--json"]);
    let estimates = fs::read_to_string(new.join("estimates.json")).unwrap();
    let estimates: Value = serde_json::from_str(&estimates).unwrap();
    let bound = estimates["median"]["confidence_interval"]["lower_bound"]
        .as_f64()
        .unwrap();
    assert!(close(
        &document(&ended)["figures"][0]["interval"]["low"],
        bound
    ));
    fs::remove_file(new.join("estimates.json")).unwrap();
    refused(
        &mut bitgauge(["import", folder]),
        "estimates.json: can't read",
    );
}

#[test]
fn a_folder_of_results_comes_out_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let out_name = out.to_str().unwrap();
    let llama = data("llama-bench/two-threads.json");
    let llama = llama.to_str().unwrap();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/example");
    let ours = ours.to_str().unwrap();
    let ended = import(&[
        llama,
        "--against",
        llama,
        "--out",
        out_name,
        "--beside",
        ours,
    ]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for name in [
        "verdicts.json",
        "report.md",
        "index.html",
        "junit.xml",
        "imported.json",
        "charts/verdicts.svg",
        "charts/beside.svg",
        "charts/beside.png",
    ] {
        assert!(out.join(name).is_file(), "{name}");
        assert!(ended.stdout.contains(name), "{name}: {ended:?}");
    }
    let svg = fs::read_to_string(out.join("charts/beside.svg")).unwrap();
    let xml = roxmltree::Document::parse(&svg).unwrap();
    let description = xml.descendants().find(|n| n.has_tag_name("desc")).unwrap();
    let description = description.text().unwrap();
    assert!(
        description.contains("bitnet 2B I2_S CPU t2 tg128, llama-bench: 101 ms"),
        "{description}"
    );
    assert!(description.contains("decode a token"), "{description}");

    // Counts are no times, and a folder without times has nothing to stand beside.
    let empty = dir.path().join("empty");
    let empty = empty.to_str().unwrap();
    let gungraun = data("gungraun");
    let gungraun = gungraun.to_str().unwrap();
    let missing = [
        "import",
        gungraun,
        "--out",
        empty,
        "--beside",
        dir.path().to_str().unwrap(),
    ];
    refused_after_text(&missing, "no such file");
    assert!(!Path::new(empty).exists(), "nothing is written");
    refused(&mut bitgauge(["import", llama, "--beside", ours]), "--out");
}

/// As `refused`, for what is refused once the figures were shown.
fn refused_after_text(arguments: &[&str], reason: &str) {
    let ended = end(&mut bitgauge(arguments));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains(reason), "{ended:?}");
}

#[test]
fn margins_and_probabilities_are_checked() {
    let path = data("hyperfine/new.json");
    let path = path.to_str().unwrap();
    for (option, value, reason) in [
        ("--margin", "-1%", "`2%` or `0.02`"),
        ("--margin", "nan", "`2%` or `0.02`"),
        ("--margin", "wide", "`2%` or `0.02`"),
        ("--alpha", "0%", "above 0"),
        ("--alpha", "1", "did you mean `1%`"),
        ("--from", "stopwatch", "possible values"),
    ] {
        let value = format!("{option}={value}");
        refused(&mut bitgauge(["import", path, &value]), reason);
    }
    let ended = end(&mut bitgauge(["import", path, "--alpha", "5%"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
}
