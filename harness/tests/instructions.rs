//! What the suite `instructions` decides without Valgrind: whether it can count, what it was asked
//! for, and what of gungraun's files is a count.

#[path = "../benches/instructions/arguments.rs"]
mod arguments;
#[path = "../benches/instructions/outcome.rs"]
mod outcome;
#[path = "../benches/instructions/plan.rs"]
mod plan;
#[path = "../benches/instructions/presence.rs"]
mod presence;

use arguments::{Counting, Task};
use plan::{Plan, Planned};
use presence::GUNGRAUN;
use std::path::Path;

const NO_FILE: &str = "No such file or directory (os error 2)";

fn missing(valgrind: Result<&str, &str>, runner: Result<&str, &str>) -> Option<String> {
    let owned = |asked: Result<&str, &str>| asked.map(str::to_owned).map_err(str::to_owned);
    presence::missing(&owned(valgrind), &owned(runner))
}

fn runner(version: &str) -> String {
    format!("gungraun-runner {version}\n")
}

#[test]
fn nothing_is_missing_where_valgrind_and_the_right_runner_are() {
    assert_eq!(
        missing(Ok("valgrind-3.19.0\n"), Ok(&runner(GUNGRAUN))),
        None
    );
}

#[test]
fn what_is_missing_is_said_in_one_line_with_the_command_that_brings_it() {
    let install = format!("cargo install gungraun-runner --version ={GUNGRAUN}");
    let right = runner(GUNGRAUN);
    for (valgrind, runner, named, absent) in [
        (
            Err(NO_FILE),
            Ok(right.as_str()),
            "install valgrind",
            install.as_str(),
        ),
        (
            Ok("valgrind-3.19.0"),
            Err(NO_FILE),
            install.as_str(),
            "apt-get",
        ),
    ] {
        let line = missing(valgrind, runner).unwrap();
        assert!(line.starts_with("instructions: unavailable: "), "{line}");
        assert!(line.contains("; to have it: "), "{line}");
        assert!(line.contains(named), "{line}");
        assert!(!line.contains(absent), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    let both = missing(Err(NO_FILE), Err(NO_FILE)).unwrap();
    assert!(
        both.contains("install valgrind") && both.contains(&install),
        "{both}"
    );
}

#[test]
fn a_runner_of_another_version_is_not_the_right_one() {
    for other in ["0.19.0", "0.20.1", "0.20.00"] {
        let line = missing(Ok("valgrind-3.19.0"), Ok(&runner(other))).unwrap();
        assert!(line.contains(other), "{line}");
        assert!(line.contains(&format!("--version ={GUNGRAUN} ")), "{line}");
    }
}

#[test]
fn a_program_that_only_has_the_name_is_not_valgrind() {
    assert!(missing(Ok("hello"), Ok(&runner(GUNGRAUN))).is_some());
}

#[test]
fn the_runner_asked_for_is_of_the_librarys_version() {
    let manifest = include_str!("../Cargo.toml");
    let wanted = format!("gungraun = \"={GUNGRAUN}\"");
    assert!(manifest.contains(&wanted), "Cargo.toml lacks {wanted}");
    let readme = include_str!("../benches/README.md");
    let install = format!("cargo install gungraun-runner --version ={GUNGRAUN} --locked");
    assert!(
        readme.contains(&install),
        "benches/README.md lacks {install}"
    );
}

fn read(arguments: &[&str]) -> Result<Task, String> {
    let owned: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    arguments::read(&owned)
}

fn counting(arguments: &[&str]) -> Counting {
    match read(arguments) {
        Ok(Task::Count(counting)) => counting,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn cargo_bench_counts_everything() {
    assert_eq!(counting(&["--bench"]), Counting::default());
}

#[test]
fn filters_and_baselines_are_read_as_criterion_reads_them() {
    let want = Counting {
        filters: vec!["gate_up/decode".into()],
        save: Some("before".into()),
        ..Counting::default()
    };
    for spelled in [
        &["gate_up/decode", "--save-baseline", "before", "--bench"][..],
        &["--save-baseline=before", "gate_up/decode", "--bench"],
    ] {
        assert_eq!(counting(spelled), want);
    }
    for (option, lenient) in [
        ("--baseline", false),
        ("-b", false),
        ("--baseline-lenient", true),
    ] {
        let got = counting(&[option, "main", "--bench"]);
        assert_eq!(got.baseline.as_deref(), Some("main"), "{option}");
        assert_eq!(got.lenient, lenient, "{option}");
        assert!(got.filters.is_empty(), "{option}");
    }
}

#[test]
fn how_criterion_measures_does_not_concern_a_count() {
    let all = [
        "--quick",
        "--sample-size",
        "10",
        "--noplot",
        "--color=always",
        "-v",
        "tmac",
        "--bench",
    ];
    let want = Counting {
        filters: vec!["tmac".into()],
        ..Counting::default()
    };
    assert_eq!(counting(&all), want);
}

#[test]
fn names_of_baselines_that_gungraun_refuses_become_names_that_it_takes() {
    let saved = |name| {
        counting(&["--save-baseline", name, "--bench"])
            .save
            .unwrap()
    };
    assert_eq!(saved("my_branch2"), "my_branch2");
    assert_eq!(saved("my-branch"), "my_2dbranch");
    assert_ne!(saved("a-b"), saved("a/b"));
}

#[test]
fn what_asks_for_no_measurement_counts_nothing() {
    for arguments in [
        &[][..],
        &["--test", "--bench"],
        &["--profile-time", "5", "--bench"],
        &["--bench", "--load-baseline", "a", "--baseline", "b"],
    ] {
        assert!(
            matches!(read(arguments), Ok(Task::Nothing(_))),
            "{arguments:?}"
        );
    }
    assert_eq!(read(&["--list", "--bench"]), Ok(Task::List));
}

#[test]
fn a_typing_error_is_refused_and_not_taken_for_a_filter() {
    for arguments in [
        &["--basline", "main", "--bench"][..],
        &["--baseline", "--bench"],
        &["--bench", "--baseline="],
        &["--bench", "--save-baseline"],
        &["--bench", "--quick=yes"],
    ] {
        assert!(read(arguments).is_err(), "{arguments:?}");
    }
}

fn summary(values: &str) -> String {
    format!(
        r#"{{"version":"7","profiles":[{{"tool":"Callgrind","data":{{"parts":[],"total":{{"metrics":{{"Ir":{{"values":{values}}}}},"regressions":[]}}}}}}]}}"#
    )
}

#[test]
fn the_count_of_a_summary_is_that_of_this_run() {
    let of = |values| outcome::instructions(&summary(values));
    assert_eq!(of(r#"{"new":39800}"#), Some(39800));
    assert_eq!(of(r#"{"new":39801,"old":39800}"#), Some(39801));
    assert_eq!(of(r#"{"old":39800}"#), None);
    assert_eq!(outcome::instructions("{}"), None);
    assert_eq!(outcome::instructions("not json"), None);
}

fn plan() -> Plan {
    let case = |name: &str, isa: &str| Planned {
        name: name.into(),
        isa: isa.into(),
    };
    Plan {
        shown: "avx2".into(),
        cases: vec![
            case("kernel/maddubs-avx2/o/decode", "avx2"),
            case("kernel/naive/o/decode", "portable"),
        ],
    }
}

/// The folder of the plan's first case, as gungraun lays it out.
const FIRST: &str = "bitgauge/instructions/simulated/counts/avx2.kernel__maddubs_avx2__o__decode";

fn write(home: &Path, file: &str, text: &str) {
    let folder = home.join(FIRST);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(file), text).unwrap();
}

#[test]
fn a_case_without_a_summary_or_with_none_counted_is_uncounted() {
    let home = tempfile::tempdir().unwrap();
    let all = plan();
    let both = ["kernel/maddubs-avx2/o/decode", "kernel/naive/o/decode"];
    assert_eq!(outcome::uncounted(home.path(), &all), both);
    write(home.path(), "summary.json", &summary(r#"{"new":0}"#));
    assert_eq!(outcome::uncounted(home.path(), &all), both);
    write(home.path(), "summary.json", &summary(r#"{"new":5}"#));
    assert_eq!(outcome::uncounted(home.path(), &all), both[1..]);
    // What an earlier run left is no count of the next.
    outcome::forget(home.path(), &all).unwrap();
    assert_eq!(outcome::uncounted(home.path(), &all), both);
}

#[test]
fn each_case_needs_the_baseline_that_it_is_compared_with() {
    let home = tempfile::tempdir().unwrap();
    let file = "callgrind.avx2.kernel__maddubs_avx2__o__decode.out.base@main";
    write(home.path(), file, "");
    let lacking = |name| outcome::without_baseline(home.path(), &plan(), name).len();
    assert_eq!(lacking("main"), 1);
    assert_eq!(lacking("other"), 2);
}

#[test]
fn a_plan_is_the_same_when_it_arrives() {
    let (_, text) = plan().variable();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan());
    assert_eq!(Plan::from_environment(), None);
}
