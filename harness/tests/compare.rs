//! `bitgauge compare` as a user runs it: kernels, workers in two languages, command lines.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::{Ended, bitgauge, end, refused};
use serde_json::Value;

fn compare(arguments: &[&str]) -> (Ended, Value) {
    let all = ["compare", "--json"].iter().chain(arguments);
    let ended = end(&mut bitgauge(all));
    let document = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|e| panic!("stdout is no document ({e}): {ended:?}"));
    (ended, document)
}

fn verdict(document: &Value) -> &str {
    document["cases"][0]["verdict"].as_str().unwrap()
}

/// A worker written in Python, or nothing where there is no Python.
fn python(work: &str, folder: &Path) -> Option<String> {
    let found = std::process::Command::new("python3")
        .arg("--version")
        .output();
    if found.is_err() {
        eprintln!("skipped: no python3");
        return None;
    }
    let script = format!(
        r#"
import json, sys, time
def work(n):
    x = 1
    for i in range(n):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
    return 7
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "hello":
        answer = {{"name": "snake", "cases": [{{"id": "loop", "unit": "iteration"}}]}}
    elif request["op"] == "run":
        check = 0
        start = time.perf_counter_ns()
        for _ in range(request["iterations"]):
            check += {work}
        answer = {{"ns": time.perf_counter_ns() - start, "check": "%x" % check}}
    else:
        break
    print(json.dumps(answer), flush=True)
"#
    );
    let path: PathBuf = folder.join(format!(
        "{}.py",
        work.replace(['(', ')', ' ', '+', '*'], "_")
    ));
    fs::write(&path, script).unwrap();
    Some(format!("python3 {}", path.display()))
}

#[test]
fn a_kernel_against_itself_is_unchanged_and_nothing_else_is_on_stdout() {
    let (ended, document) = compare(&["naive", "naive", "--shape", "64x256", "--max-time", "30"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let case = &document["cases"][0];
    assert_eq!(case["case"], "decode/64x256/1t");
    assert_eq!(case["verdict"], "unchanged");
    for field in ["speedup", "low", "high", "blocks", "seconds"] {
        assert!(
            case[field].as_f64().is_some_and(|x| x > 0.0),
            "{field}: {case}"
        );
    }
    assert!(ended.stderr.contains("1 unchanged"));
}

#[test]
fn speedup_is_time_of_a_over_time_of_b() {
    let (slow, fast) = ("loop/lcg/20000/1t", "loop/lcg/10000/1t");
    // Unequal work gives unequal answers: that is refused, and nothing is timed.
    let (ended, document) = compare(&[slow, fast]);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert!(document["cases"].as_array().unwrap().is_empty());

    let product = "decode/64x2560";
    let sides = [
        format!("{product}/naive/1t"),
        format!("{product}/tmac-scalar/1t"),
    ];
    let (ended, document) = compare(&[&sides[0], &sides[1]]);
    assert_eq!((ended.status, verdict(&document)), (Some(0), "improved"));
    // The verdict has the interval; it may come early, while that is still wide.
    assert!(document["cases"][0]["speedup"].as_f64().unwrap() > 2.0);
    let (ended, document) = compare(&[&sides[1], &sides[0]]);
    assert_eq!((ended.status, verdict(&document)), (Some(1), "regressed"));
    assert!(document["cases"][0]["speedup"].as_f64().unwrap() < 0.5);
}

#[test]
fn prefill_takes_the_number_of_tokens_that_is_asked_for() {
    let shape = ["naive", "naive", "--shape", "48x96", "--phase", "prefill"];
    for (tokens, case) in [("5", "prefill-5/48x96/1t"), ("32", "prefill/48x96/1t")] {
        let (_, document) = compare(&[&shape[..], &["--tokens", tokens]].concat());
        assert_eq!(document["cases"][0]["case"], case, "{document}");
    }
}

#[test]
fn what_cannot_be_had_is_refused_and_says_what_could() {
    for (arguments, reason) in [
        (&["naive", "fastest"][..], "fastest"),
        (&["naive", "naive", "--shape", "nowhere"], "nowhere"),
        (&["naive@4096", "naive"], "`naive@4096`: this process may"),
        (&["naive@0", "naive"], "`naive@0`: at least one"),
        (&["naive@x", "naive"], "@2"),
        (&["naive", "naive", "--margin", "2"], "2%"),
        (&["naive", "naive", "--alpha", "0"], "alpha"),
        (&["decode/o/naive/1t", "naive"], "no case"),
        (&["naive", "naive", "--tokens", "5"], "--phase prefill"),
        (&["naive", "naive", "--tokens", "32"], "--phase prefill"),
        (&["naive", "naive", "--model", "tiny"], "--phase token"),
        (
            &["naive", "naive", "--phase", "token", "--shape", "o"],
            "--phase decode",
        ),
        (&["true", "true", "--command", "--model", "tiny"], "--model"),
        (&["naive", "naive", "--allow-different-output"], "--workers"),
        (
            &["naive", "naive", "--phase", "prefill", "--tokens", "1"],
            "one token is `decode`",
        ),
        (
            &["nowhere-to-be-found", "true", "--workers"],
            "nowhere-to-be-found",
        ),
    ] {
        let mut command = bitgauge(["compare"].iter().chain(arguments));
        let ended = refused(&mut command, reason);
        assert_eq!(ended.status, Some(2), "{ended:?}");
    }
}

#[test]
fn ids_of_cases_say_themselves_what_is_done() {
    let id = "decode/4x8/naive/1t";
    for (option, value) in [
        ("--shape", "4x8"),
        ("--phase", "decode"),
        ("--tokens", "32"),
        ("--model", "tiny"),
    ] {
        let mut command = bitgauge(["compare", id, id, option, value]);
        refused(&mut command, &format!("{option}: A and B are ids"));
    }
    let many = "decode/4x8/naive/1024t";
    refused(
        &mut bitgauge(["compare", id, many]),
        &format!("{many}: this process may"),
    );
}

#[test]
fn a_command_line_that_cannot_be_run_is_not_checked_and_says_why() {
    for (line, reason) in [
        ("", "empty"),
        ("nowhere-to-be-found", "could not be started"),
    ] {
        let (ended, document) = compare(&["--command", "true", line]);
        assert_eq!(ended.status, Some(2), "{ended:?}");
        let why = document["not_checked"][0]["why"].as_str().unwrap();
        assert!(why.contains(reason), "{why}");
    }
}

#[test]
fn workers_in_another_language_are_paired() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(less), Some(more)) = (
        python("work(1000)", folder.path()),
        python("work(1100)", folder.path()),
    ) else {
        return;
    };
    let (ended, document) = compare(&["--workers", &less, &more]);
    assert_eq!(
        (ended.status, verdict(&document)),
        (Some(1), "regressed"),
        "{ended:?}"
    );
    let speedup = document["cases"][0]["speedup"].as_f64().unwrap();
    assert!((speedup - 1.0 / 1.1).abs() < 0.03, "{speedup}");
    // Its digest grows with the iterations, which is as good as one that does not.
    let (ended, document) = compare(&["--workers", &less, &less, "--margin", "5%"]);
    assert_eq!(
        (ended.status, verdict(&document)),
        (Some(0), "unchanged"),
        "{ended:?}"
    );
}

#[test]
fn workers_that_disagree_answer_wrongly_unless_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(right), Some(wrong)) = (
        python("work(1000)", folder.path()),
        python("work(1000) + 1", folder.path()),
    ) else {
        return;
    };
    let (ended, document) = compare(&["--workers", &right, &wrong]);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert!(document["cases"].as_array().unwrap().is_empty());
    let allowed = [
        "--workers",
        &right,
        &wrong,
        "--allow-different-output",
        "--margin",
        "10%",
    ];
    assert_eq!(compare(&allowed).0.status, Some(0));
}

#[test]
fn command_lines_are_paired_prepared_and_killed_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let prepare = format!("echo prepared >> {}", log.display());
    let (ended, document) = compare(&[
        "--command",
        "sleep 0.02",
        "sleep 0.04",
        "--prepare",
        &prepare,
        "--warmup",
        "2",
    ]);
    assert_eq!(
        (ended.status, verdict(&document)),
        (Some(1), "regressed"),
        "{ended:?}"
    );
    let blocks = document["cases"][0]["blocks"].as_u64().unwrap() as usize;
    let prepared = fs::read_to_string(&log).unwrap().lines().count();
    assert_eq!(
        prepared,
        4 * blocks + 4,
        "before each run, warm-up included"
    );

    let (ended, document) = compare(&["--command", "sleep 0.01", "sleep 9", "--timeout", "0.2"]);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let why = document["not_checked"][0]["why"].as_str().unwrap();
    assert!(why.contains("sleep 9") && why.contains("killed"), "{why}");
}

#[test]
fn output_of_command_lines_is_compared_where_that_is_asked_for() {
    let different = [
        "--command",
        "echo a",
        "echo b",
        "--margin",
        "90%",
        "--alpha",
        "50%",
    ];
    assert_eq!(compare(&different).0.status, Some(0));
    let strict = [&different[..], &["--same-output"]].concat();
    assert_eq!(compare(&strict).0.status, Some(3));
    let failing = compare(&["--command", "true", "exit 3"]);
    assert_eq!(failing.0.status, Some(2));
}

#[test]
fn a_budget_too_small_for_a_verdict_is_unclear() {
    let (ended, document) = compare(&["--command", "sleep 0.1", "sleep 0.1", "--max-time", "0.5"]);
    assert_eq!(
        (ended.status, verdict(&document)),
        (Some(4), "unclear"),
        "{ended:?}"
    );
}

#[test]
fn everything_measured_is_written_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new").display().to_string();
    compare(&["naive", "naive", "--shape", "64x256", "--out", &out]);
    let read = |name: &str| fs::read_to_string(Path::new(&out).join(name)).unwrap();
    let samples: Value = serde_json::from_str(&read("samples.json")).unwrap();
    assert!(samples[0]["placements"].as_array().unwrap().len() >= 9);
    assert!(read("report.md").contains("decode/64x256/1t"));
}

#[test]
fn counters_are_counted_or_unavailable_and_never_left_out() {
    let (ended, document) = compare(&["naive", "naive", "--shape", "64x256", "--counters"]);
    let counters = &document["counters"];
    match counters["unavailable"].as_str() {
        Some(why) => assert!(!why.is_empty() && ended.stderr.contains(why)),
        None => assert_eq!(counters["is"][0]["case"], "decode/64x256/1t"),
    }
    let (_, without) = compare(&["naive", "naive", "--shape", "64x256"]);
    assert!(without.get("counters").is_none());
}

/// Ctrl-C ends the measuring, not the report: two command lines that sleep can't be settled so soon.
#[cfg(unix)]
#[test]
fn what_was_measured_before_a_signal_is_told() {
    use std::io::Read;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let arguments = ["compare", "--json", "--command", "sleep 0.05", "sleep 0.05"];
    let mut running = bitgauge(arguments)
        .args(["--max-time", "60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The fewest placements for a verdict take 9 x 4 x 50 ms.
    std::thread::sleep(Duration::from_secs(1));
    let begin = Instant::now();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &running.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let mut text = String::new();
    running
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(4));
    assert!(begin.elapsed() < Duration::from_secs(10));
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(verdict(&document), "unclear");
    assert!(document["cases"][0]["blocks"].as_u64().unwrap() > 0);
}

/// A command line that takes `wait` seconds and reports `speed` token/s.
fn reports(wait: &str, speed: &str) -> String {
    let test = format!(r#"{{"n_prompt": 0, "n_gen": 8, "avg_ts": {speed}}}"#);
    format!("sh -c 'sleep {wait}; echo '\\''[{test}]'\\'")
}

#[test]
fn what_programs_report_counts_and_not_their_wall_time() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let (slow, fast) = (reports("0", "50"), reports("0.02", "100"));
    let reported = ["--command", "--reported", "llama-bench"];
    let (ended, document) = compare(&[&reported[..], &[&slow, &fast, "--out", out]].concat());
    assert_eq!(
        (ended.status, verdict(&document)),
        (Some(0), "improved"),
        "{ended:?}"
    );
    let case = &document["cases"][0];
    for (name, want) in [("speedup", 2.0), ("before_ns", 2e7), ("after_ns", 1e7)] {
        let got = case[name].as_f64().unwrap();
        assert!((got / want - 1.0).abs() < 1e-9, "{name}: {case}");
    }
    assert_eq!(document["times"], "as reported by the programs");
    for page in ["report.md", "index.html", "junit.xml"] {
        let text = fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains("as reported by the programs"), "{page}");
    }
    assert!(ended.stderr.contains("as reported by the programs"));
    let (_, document) = compare(&["--command", "true", "true", "--max-time", "0.1"]);
    assert!(document.get("times").is_none(), "{document}");
}

#[test]
fn a_program_that_reports_no_speed_is_not_checked_and_says_why() {
    let good = reports("0", "50");
    let two = r#"echo '[{"n_prompt":0,"n_gen":8,"avg_ts":1},{"n_prompt":8,"n_gen":0,"avg_ts":1}]'"#;
    for (line, reason) in [
        ("true", "wrote nothing"),
        ("echo hello", "\"hello"),
        ("echo '[{\"n_prompt\":0,\"n_gen\":8,\"avg_ts\":'", "stdout:"),
        (two, "2 tests (tg8, pp8)"),
        (&reports("0", "0"), "above zero"),
        (&reports("0", "50").replace(": 8", ": 16"), "the same test"),
        ("false", "failed with"),
    ] {
        let all = ["--command", "--reported", "llama-bench", &good, line];
        let (ended, document) = compare(&all);
        assert_eq!(ended.status, Some(2), "{line}: {ended:?}");
        let why = document["not_checked"][0]["why"].as_str().unwrap();
        assert!(why.contains(reason), "{line}: {why}");
    }
    for unfit in [
        &["naive", "naive", "--reported", "llama-bench"][..],
        &[
            "--command",
            "true",
            "true",
            "--same-output",
            "--reported",
            "llama-bench",
        ],
    ] {
        refused(&mut bitgauge(["compare"].iter().chain(unfit)), "--reported");
    }
}
