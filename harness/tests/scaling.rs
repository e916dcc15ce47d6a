//! `bitgauge scaling` as a user sees it.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bitgauge::machine::Machine;
use program::{Ended, bitgauge, end, refused};
use serde_json::{Value, json};

fn usable() -> usize {
    Machine::detect().usable.threads
}

/// The shortest run there is.
fn quick<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let shortest = [
        "--json",
        "scaling",
        "--quick",
        "--model",
        "tiny",
        "--max-time",
        "0.3",
    ];
    [&shortest, more].concat()
}

fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

fn measured(command: &mut Command) -> Value {
    let ended = end(command);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    document(&ended)
}

/// The points with these words, in the order of the document.
fn points<'d>(document: &'d Value, phase: &str, scheduler: &str) -> Vec<&'d Value> {
    let all = document["points"].as_array().unwrap();
    all.iter()
        .filter(|p| p["phase"] == phase && p["scheduler"] == scheduler)
        .collect()
}

fn threads(points: &[&Value]) -> Vec<u64> {
    points
        .iter()
        .map(|p| p["threads"].as_u64().unwrap())
        .collect()
}

/// A baseline in which every efficiency of `document` was this.
fn planted(dir: &Path, document: &Value, efficiency: f64) -> PathBuf {
    let mut scaling = document["scaling"].clone();
    for point in scaling["points"].as_array_mut().unwrap() {
        for field in ["efficiency", "low", "high"] {
            point[field] = json!(efficiency);
        }
    }
    let path = dir.join("baseline.json");
    let mut save = bitgauge(["baseline", "save", "--quick", "--case", "loop/lcg/1000/1t"]);
    let ended = end(save.arg("--out").arg(&path));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let text = fs::read_to_string(&path).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["scaling"] = scaling;
    fs::write(&path, file.to_string()).unwrap();
    path
}

#[test]
fn every_phase_is_measured_on_every_number_of_threads_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let most = usable().min(2).to_string();
    let mut command = bitgauge(quick(&["--threads", &most, "--scheduler", "contended"]));
    let document = measured(command.arg("--out").arg(&out));
    let counts: Vec<u64> = (1..=usable().min(2) as u64).collect();
    assert_eq!(document["thread_counts"], json!(counts));
    assert_eq!(document["model"]["name"], "tiny");
    for phase in ["decode", "prefill", "product"] {
        let pool = points(&document, phase, "pool");
        let run: Vec<&Value> = pool
            .iter()
            .copied()
            .filter(|p| p["speedup"]["measured"].is_object())
            .collect();
        assert_eq!(threads(&run), counts, "{phase}");
        assert_eq!(run[0]["efficiency"], json!([1.0, 1.0, 1.0]));
        for point in &run {
            let n = point["threads"].as_f64().unwrap();
            let speedup = &point["speedup"]["measured"]["speedup"];
            let [value, low, high] = ["value", "low", "high"].map(|k| speedup[k].as_f64().unwrap());
            assert!(0.0 < low && low <= value && value <= high, "{point}");
            assert!((point["efficiency"][0].as_f64().unwrap() - value / n).abs() < 1e-12);
            assert!(speedup["blocks"].as_u64().unwrap() >= 6, "{point}");
            let busy = &point["speedup"]["measured"]["utilisation"];
            let cores = busy["is"].as_array().map(Vec::len);
            assert!(cores == Some(n as usize) || busy["unavailable"].is_string());
        }
        let contended = threads(&points(&document, phase, "contended"));
        assert_eq!(contended, counts[1..], "{phase}");
        // Nothing beyond the machine is ever more than projected.
        let beyond: Vec<&&Value> = pool
            .iter()
            .filter(|p| p["threads"].as_u64() > counts.last().copied())
            .collect();
        assert_eq!(beyond.last().unwrap()["threads"], 16);
        for point in beyond {
            assert!(point["speedup"]["measured"].is_null(), "{point}");
            assert!(point["claim"]["not_measured"].is_string(), "{point}");
        }
    }
    let laws = document["laws"].as_array().unwrap();
    assert_eq!(laws.len(), 3);
    if counts.len() == 2 {
        assert_eq!(laws[0]["law"]["is"]["form"], "amdahl");
        assert_eq!(laws[0]["law"]["is"]["kappa"]["value"], 0.0);
    }
    let stored = document["scaling"]["points"].as_array().unwrap();
    assert!(stored.iter().all(|p| p["threads"].as_u64() > Some(1)));
    let written = fs::read_to_string(out.join("scaling.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), document);
    let svg = fs::read_to_string(out.join("scaling.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("ideal"));
    let png = fs::read(out.join("scaling.png")).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
}

#[test]
fn one_phase_of_one_kernel_can_be_chosen() {
    let arguments = quick(&["--threads", "1", "--phase", "product", "--kernel", "naive"]);
    let document = measured(&mut bitgauge(arguments));
    assert_eq!(document["kernel"], "naive");
    let all = document["points"].as_array().unwrap();
    assert!(all.iter().all(|p| p["phase"] == "product"));
    let note = document["notes"][0].as_str().unwrap();
    assert!(note.contains("1 thread only was measured"), "{note}");
    let law = document["laws"][0]["law"]["unavailable"].as_str().unwrap();
    assert!(law.contains("two numbers of threads"), "{law}");
}

#[test]
fn more_threads_than_the_process_may_use_are_refused() {
    let more = (usable() + 1).to_string();
    refused(
        &mut bitgauge(quick(&["--threads", &more])),
        "this process may use",
    );
    refused(&mut bitgauge(quick(&["--threads", "0"])), "at least one");
    refused(
        &mut bitgauge(quick(&["--kernel", "nosuch"])),
        "no kernel `nosuch`",
    );
    refused(&mut bitgauge(["scaling", "--model", "nosuch"]), "`nosuch`");
    refused(
        &mut bitgauge(["scaling", "--margin", "5"]),
        "`5%` or `0.05`",
    );
    refused(
        &mut bitgauge(["scaling", "--max-time", "0"]),
        "`500ms` or `2m`, and above 0",
    );
}

/// A process whose affinity mask holds one processor measures one thread and says why.
#[cfg(target_os = "linux")]
#[test]
fn the_affinity_mask_is_respected() {
    use bitgauge::machine::{allowed_cpus, pin_current_thread};
    let cpu = allowed_cpus().unwrap()[0];
    // A child has the mask of the thread that starts it.
    let pinned = std::thread::spawn(move || {
        assert!(pin_current_thread(cpu));
        let one = measured(&mut bitgauge(quick(&["--phase", "decode"])));
        refused(&mut bitgauge(quick(&["--threads", "2"])), "may use 1 CPUs");
        one
    });
    let document = pinned.join().unwrap();
    assert_eq!(document["thread_counts"], json!([1]));
    let note = document["notes"][0].as_str().unwrap();
    assert!(note.contains("affinity mask: 1"), "{note}");
    let beyond = points(&document, "decode", "pool");
    assert_eq!(threads(&beyond), [1, 2, 4, 8, 16]);
    for point in &beyond[1..] {
        let why = point["speedup"]["unavailable"]["why"].as_str().unwrap();
        assert!(why.contains("1 thread only"), "{why}");
    }
}

#[test]
fn efficiencies_are_held_against_a_baseline_of_this_class_of_machine() {
    if usable() < 2 {
        return eprintln!("one processor: nothing scales here");
    }
    let dir = tempfile::tempdir().unwrap();
    let arguments = quick(&["--threads", "2", "--phase", "product"]);
    let first = measured(&mut bitgauge(&arguments));
    let against = |path: &Path| end(bitgauge(&arguments).arg("--baseline").arg(path));

    let impossible = planted(dir.path(), &first, 2.0);
    let ended = against(&impossible);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(
        document(&ended)["baseline"]["points"][0]["verdict"],
        "regressed"
    );
    assert_eq!(document(&ended)["exit"], 1);

    let easy = planted(dir.path(), &first, 0.001);
    let ended = against(&easy);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(
        document(&ended)["baseline"]["points"][0]["verdict"],
        "improved"
    );

    // Points of another kernel are none to be held against.
    let text = fs::read_to_string(&easy).unwrap();
    let mut other: Value = serde_json::from_str(&text).unwrap();
    other["scaling"]["points"][0]["kernel"] = json!("another");
    fs::write(&easy, other.to_string()).unwrap();
    let ended = against(&easy);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let why = &document(&ended)["baseline"]["not_checked"][0]["why"];
    assert_eq!(why, "kernel `another` was not measured");

    let mut foreign: Value = serde_json::from_str(&text).unwrap();
    foreign["machine"] = json!("vax-11-780-1cpu");
    fs::write(&easy, foreign.to_string()).unwrap();
    let ended = against(&easy);
    assert_eq!(ended.status, Some(5), "{ended:?}");
    assert!(ended.stderr.contains("vax-11-780-1cpu") && ended.stdout.is_empty());
}

#[test]
fn a_baseline_that_can_t_be_read_is_status_5() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, torn) = (dir.path().join("missing"), dir.path().join("torn"));
    fs::write(&torn, r#"{"machine": "x", "scaling": {"poi"#).unwrap();
    for path in [&missing, &torn] {
        let ended = end(bitgauge(quick(&[])).arg("--baseline").arg(path));
        assert_eq!(ended.status, Some(5), "{ended:?}");
        assert!(ended.stderr.contains(&path.display().to_string()));
        assert_eq!(ended.stdout, "");
    }
}
