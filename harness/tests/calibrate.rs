//! `bitgauge calibrate` as a user sees it.

mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use program::{bitgauge, end, refused};
use serde_json::Value;

/// A calibration as small as it can be: a comparison or two on each path.
fn calibrate(cache: &Path, arguments: &[&str]) -> Command {
    let tiny = ["--quick", "--comparisons", "4", "--worker-comparisons", "1"];
    let mut command = bitgauge(["--json", "calibrate", "--threads", "1"]);
    command
        .args(tiny)
        .args(arguments)
        .env("BITGAUGE_CACHE", cache);
    command
}

fn document(stdout: &str) -> Value {
    serde_json::from_str(stdout).unwrap_or_else(|e| panic!("no JSON document ({e}): {stdout}"))
}

fn stored_in(cache: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(cache).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn it_compares_tells_and_stores_and_compare_uses_it() {
    let cache = tempfile::tempdir().unwrap();
    let ended = end(&mut calibrate(
        cache.path(),
        &["--load", "1", "--seed", "7"],
    ));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let document = document(&ended.stdout);
    assert_eq!(document["command"], "calibrate");
    assert_eq!(
        (&document["exit"], &document["seed"]),
        (&0.into(), &7.into())
    );
    assert_eq!(document["unavailable"], Value::Array(Vec::new()));
    let rows = document["rows"].as_array().unwrap();
    let paths: Vec<_> = rows
        .iter()
        .map(|row| (row["path"].as_str().unwrap(), row["load"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        paths,
        [
            ("functions", 0),
            ("workers", 0),
            ("functions", 1),
            ("workers", 1)
        ]
    );
    for row in rows {
        let rates = row["rates"].as_array().unwrap();
        let margins: Vec<_> = rates
            .iter()
            .map(|r| r["margin"].as_f64().unwrap())
            .collect();
        assert_eq!(margins, [0.02, 0.005, 0.001]);
        let alarms = &rates[0]["alarms"];
        let trials = alarms["trials"].as_u64().unwrap();
        assert!((3..=4).contains(&trials), "{row}");
        assert_eq!(alarms["hits"], 0, "{row}");
        // None of n: 1 - 0.025^(1/n).
        let high = 1.0 - 0.025_f64.powf(1.0 / trials as f64);
        assert!((alarms["high"].as_f64().unwrap() - high).abs() < 1e-6);
        assert!(row["bias_floor"].is_number(), "{row}");
        for case in row["cases"].as_array().unwrap() {
            let effects = case["effects"].as_array().unwrap();
            let within: Vec<_> = effects
                .iter()
                .map(|e| e["within"].as_f64().unwrap())
                .collect();
            assert_eq!(within, [1.0, 5.0, 30.0]);
        }
    }
    // The loop is planted in at least; what it takes to be found has an interval too.
    let planted = &document["planted"][0];
    assert!(
        planted["found"]["trials"].as_u64().unwrap() > 0,
        "{planted}"
    );

    let files = stored_in(cache.path());
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(document["stored"].as_str(), files[0].to_str());
    let stored: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(stored["rows"], document["rows"].clone().sorted());

    let from = compare(cache.path(), &[]);
    assert!(from.0.contains("bias floor of this machine"), "{from:?}");
    assert!(from.0.contains("functions, calibrated 2"), "{from:?}");
}

trait Sorted {
    fn sorted(self) -> Self;
}

impl Sorted for Value {
    /// Rows by path and load, as they are stored.
    fn sorted(mut self) -> Self {
        let key = |row: &Value| (row["path"].to_string(), row["load"].as_u64());
        self.as_array_mut().unwrap().sort_by_key(key);
        self
    }
}

/// `margin_from` of a comparison of the loop with itself, and what it said on stderr.
fn compare(cache: &Path, arguments: &[&str]) -> (String, String) {
    let case = "loop/lcg/20000/1t";
    let mut command = bitgauge(["--json", "compare", case, case]);
    let ended = end(command.args(arguments).env("BITGAUGE_CACHE", cache));
    let document = document(&ended.stdout);
    let from = document["margin_from"].as_str().unwrap();
    (from.to_owned(), ended.stderr)
}

#[test]
fn without_a_calibration_or_with_a_corrupt_one_the_margin_says_so() {
    let cache = tempfile::tempdir().unwrap();
    let (from, _) = compare(cache.path(), &[]);
    assert!(from.contains("never calibrated"), "{from}");
    let ended = end(&mut calibrate(
        cache.path(),
        &["--load", "0", "--path", "functions"],
    ));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let file = stored_in(cache.path()).remove(0);
    let text = fs::read_to_string(&file).unwrap();

    // A floor far above any margin that one would ask for.
    let mut calibration: Value = serde_json::from_str(&text).unwrap();
    calibration["rows"][0]["bias_floor"] = 0.5.into();
    fs::write(&file, calibration.to_string()).unwrap();
    let (from, stderr) = compare(cache.path(), &["--margin", "1%"]);
    assert_eq!(from, "--margin");
    assert!(
        stderr.contains("below the bias floor of this machine"),
        "{stderr}"
    );

    fs::write(&file, &text[..text.len() / 2]).unwrap();
    let (from, stderr) = compare(cache.path(), &[]);
    assert!(from.contains("can't be read"), "{from}");
    assert!(stderr.contains(file.to_str().unwrap()), "{stderr}");
}

#[test]
fn outside_of_a_repository_builds_are_unavailable_with_the_reason_and_the_rest_is_done() {
    let cache = tempfile::tempdir().unwrap();
    let nowhere = tempfile::tempdir().unwrap();
    let arguments = ["--load", "0", "--path", "functions", "--builds"];
    let mut command = calibrate(cache.path(), &arguments);
    let ended = end(command.current_dir(nowhere.path()));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let document = document(&ended.stdout);
    let unavailable = &document["unavailable"][0];
    assert_eq!(unavailable["what"], "builds, idle");
    assert!(
        unavailable["why"].as_str().unwrap().contains("git"),
        "{unavailable}"
    );
    assert_eq!(document["rows"].as_array().unwrap().len(), 1);
    assert_eq!(stored_in(cache.path()).len(), 1);
}

#[test]
fn what_makes_no_sense_is_refused_before_any_time_is_spent() {
    let cache = tempfile::tempdir().unwrap();
    refused(
        &mut calibrate(cache.path(), &["--comparisons", "0"]),
        "--comparisons",
    );
    refused(
        &mut calibrate(cache.path(), &["--path", "telepathy"]),
        "functions",
    );
    refused(
        &mut calibrate(
            cache.path(),
            &["--path", "workers", "--against-criterion-rule"],
        ),
        "functions",
    );
    let mut homeless = calibrate(cache.path(), &[]);
    for variable in ["BITGAUGE_CACHE", "XDG_CACHE_HOME", "HOME"] {
        homeless.env_remove(variable);
    }
    refused(&mut homeless, "BITGAUGE_CACHE");
    assert_eq!(stored_in(cache.path()).len(), 0);
}

/// Processes whose parent is `parent`, by their command lines.
fn busy_children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pid = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let is_busy = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&words).replace('\0', " ");
        text.ends_with(&format!(" busy {parent} "))
    };
    processes.filter_map(|e| pid(&e)).filter(is_busy).collect()
}

fn within(time: Duration, holds: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < time {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[cfg(target_os = "linux")]
#[test]
fn the_load_ends_when_calibrate_is_killed() {
    let cache = tempfile::tempdir().unwrap();
    let mut command = bitgauge(["calibrate", "--path", "functions", "--quick", "--load", "2"]);
    let mut child = command
        .env("BITGAUGE_CACHE", cache.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let parent = child.id();
    let loaded = within(Duration::from_secs(60), || busy_children(parent).len() == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(loaded, "no load was started");
    let gone = || busy_children(parent).is_empty();
    assert!(within(Duration::from_secs(5), gone), "the load outlived it");
    assert_eq!(stored_in(cache.path()).len(), 0);
}
