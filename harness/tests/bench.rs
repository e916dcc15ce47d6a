//! `bitgauge bench` as a user runs it, and `import` of what it writes.

mod program;

use std::fs;

use program::{bitgauge, end, fixtures, refused};
use serde_json::Value;

/// What `bench` writes to stdout for a prompt of 40, which is more than a batch, and 12 tokens.
fn bench(more: &[&str]) -> String {
    let trained = fixtures().join("trained");
    let fixed = [
        "bench",
        "-m",
        trained.to_str().unwrap(),
        "-p",
        "40",
        "-n",
        "12",
    ];
    let ended = end(&mut bitgauge(fixed.iter().chain(more)));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended.stdout
}

#[test]
fn rows_have_llama_bench_s_names_and_their_figures_agree() {
    let text = bench(&["-r", "3", "-o", "json", "-t", "1", "-d", "0,5"]);
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap_or(f64::NAN);
    let lengths = ["n_prompt", "n_gen", "n_depth"];
    let lengths: Vec<_> = rows.iter().map(|r| lengths.map(|n| number(r, n))).collect();
    let want = [[40.0, 0.0, 0.0], [0.0, 12.0, 0.0]];
    let deep = want.map(|[p, n, _]| [p, n, 5.0]);
    assert_eq!(lengths, [want, deep].concat());
    for row in &rows {
        let tokens = number(row, "n_prompt") + number(row, "n_gen");
        let values = |name: &str| -> Vec<f64> {
            let values = row[name].as_array().unwrap();
            values.iter().map(|v| v.as_f64().unwrap()).collect()
        };
        let (ns, ts) = (values("samples_ns"), values("samples_ts"));
        assert_eq!((ns.len(), ts.len()), (3, 3));
        for (ns, ts) in ns.iter().zip(&ts) {
            assert!((ns * ts / (tokens * 1e9) - 1.0).abs() < 1e-9, "{row}");
        }
        let mean = ts.iter().sum::<f64>() / 3.0;
        assert!((number(row, "avg_ts") / mean - 1.0).abs() < 1e-9, "{row}");
        assert!(number(row, "stddev_ts") >= 0.0 && number(row, "avg_ns") > 0.0);
        assert!(number(row, "model_size") > 0.0);
        assert_eq!(number(row, "n_threads"), 1.0);
        assert!(row["backends"].as_str().unwrap().starts_with("bitgauge "));
        let head = match number(row, "n_gen") {
            0.0 => "exact",
            _ => "quantized",
        };
        assert_eq!(row["head"], head);
    }
}

#[test]
fn what_bench_writes_is_imported_in_each_form() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for form in ["json", "jsonl", "csv"] {
        let path = dir.path().join(form);
        let more = ["-r", "2", "--kernel", "naive", "--threads", "1", "-o", form];
        let text = bench(&more);
        fs::write(&path, &text).unwrap();
        let ended = end(&mut bitgauge(["import", "--json", path.to_str().unwrap()]));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let imported: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(imported["tool"], "llama-bench");
        let figures = imported["figures"].as_array().unwrap();
        let names: Vec<String> = figures.iter().map(|f| f["case"].to_string()).collect();
        assert!(names[0].ends_with("bitgauge naive t1 pp40\""), "{names:?}");
        assert!(names[1].ends_with("bitgauge naive t1 tg12\""), "{names:?}");
        let samples: Vec<usize> = figures
            .iter()
            .map(|f| f["samples"].as_array().unwrap().len())
            .collect();
        let kept = if form == "csv" { 0 } else { 2 };
        assert_eq!(samples, [kept; 2], "{form}");
        if form == "json" {
            let rows: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(figures[1]["samples"], rows[1]["samples_ts"]);
        }
        all.push(names);
    }
    assert!(all.iter().all(|names| *names == all[0]), "{all:?}");
}

#[test]
fn the_table_is_on_stdout_unless_a_document_is() {
    let text = bench(&["-r", "2", "--head", "exact"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("| model | size | params | backend | threads |"));
    assert!(lines[2].contains("| exact | pp40 |") && lines[2].contains(" ± "));
    assert!(lines[3].contains("| exact | tg12 |"), "{text}");
    let document: Value = serde_json::from_str(&bench(&["-r", "1", "--json"])).unwrap();
    assert_eq!(document[1]["n_gen"], 12);
    assert_eq!(document[1]["stddev_ts"], Value::Null, "of one sample");
}

#[test]
fn what_cannot_be_timed_is_refused() {
    for (arguments, reason) in [
        (&["tiny", "-p", "0", "-n", "0"][..], "leaves no test"),
        (
            &["tiny", "-p", "0", "-n", "8", "-d", "505"],
            "context has 512",
        ),
        (&["tiny", "-p", "18446744073709551615"], "context has 512"),
        (&["tiny", "-r", "0"], "repetitions"),
        (&["tiny", "-p", "x"], "invalid"),
        (&["tiny", "--kernel", "fastest"], "fastest"),
        (&["nowhere"], "neither a folder"),
        (&["tiny", "-m", "tiny"], "cannot be used with"),
    ] {
        refused(&mut bitgauge(["bench"].iter().chain(arguments)), reason);
    }
}
