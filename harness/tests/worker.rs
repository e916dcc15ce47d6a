//! Workers as processes: good ones in two languages, and each way in which one can go wrong, named.

use bitgauge::compare::workers::{self, Pairing, Source};
use bitgauge::compare::{Plan, Standing};
use bitgauge::exit::Exit;
use bitgauge::machine::allowed_cpus;
use bitgauge::measure::pair::{Stop, compare};
use bitgauge::measure::stats::Rules;
use bitgauge::measure::{Entrant, Schedule, Stopped};
use bitgauge::verdicts::NotChecked;
use bitgauge::worker::{Fault, Launch, PairError, Worker, WorkerError, digest, verified_pair};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn script(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workers");
    folder.join(name).to_str().unwrap().to_owned()
}

fn faulty(way: &str, argument: &str) -> Launch {
    let words = ["sh", &script("faulty.sh"), way, argument];
    let mut launch = Launch::new(words.map(str::to_owned).to_vec());
    launch.timeout = Duration::from_secs(10);
    launch
}

/// Starts it, and runs its case `a` until it fails.
fn error_of(launch: &Launch) -> WorkerError {
    let mut worker = match Worker::start(launch) {
        Err(error) => return error,
        Ok(worker) => worker,
    };
    let error = (0..1000).find_map(|_| worker.run("a", 100).err());
    let error = error.unwrap_or_else(|| panic!("{} was believed", launch.name()));
    assert_eq!(error.case.as_deref(), Some("a"));
    assert_eq!(
        worker.run("b", 1),
        Err(error.clone()),
        "it must be ended for good"
    );
    error
}

/// The error of a faulty worker; it must name the worker, and the status must be `CouldNotRun`.
fn named(way: &str) -> WorkerError {
    let error = error_of(&faulty(way, ""));
    let text = error.to_string();
    assert!(text.contains(&format!("faulty.sh {way}")), "{text}");
    assert_eq!(error.exit(), Exit::CouldNotRun, "{text}");
    error
}

fn says(error: &WorkerError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or("");
    !state.is_empty() && !state.starts_with('Z')
}

/// Whether the process whose number is in this file is gone, or goes within a second.
fn ends(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    assert!(pid.trim().parse::<u32>().is_ok(), "{pid:?}");
    let start = Instant::now();
    while lives(&pid) {
        if start.elapsed() > Duration::from_secs(1) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    (folder, file)
}

/// The example server, which `cargo test` builds beside the tests.
fn example() -> Launch {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/serve");
    assert!(
        program.exists(),
        "run `cargo build --example serve` first: no {}",
        program.display()
    );
    Launch::new(vec![program.to_str().unwrap().to_owned()])
}

/// The Python worker; `None`, and a line that says so, where there is no Python 3.
fn python() -> Option<Launch> {
    let found = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        let words = ["python3".to_owned(), script("worker.py")];
        return Some(Launch::new(words.to_vec()));
    }
    eprintln!("SKIPPED: no python3 here, so no worker in another language was tested");
    None
}

#[test]
fn the_example_serves_its_cases_and_two_copies_agree() {
    let mut launch = example();
    launch.cpu = allowed_cpus().map(|cpus| cpus[0]);
    let mut one = Worker::start(&launch).unwrap();
    let mut two = Worker::start(&launch).unwrap();
    assert_eq!(one.hello().name, "serve-example");
    let ids: Vec<&str> = one.hello().cases.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["sum", "sort"]);

    let mut sorted: Vec<u32> = (0..1024_u32)
        .map(|n| n.wrapping_mul(2_654_435_761))
        .collect();
    sorted.sort_unstable();
    assert_eq!(one.run("sort", 3).unwrap().check, digest(&sorted));

    let (mut before, mut after) = verified_pair(&mut one, &mut two, "sum", false, false).unwrap();
    let schedule = Schedule {
        max_rounds: 50,
        ..Schedule::default()
    };
    let comparison = compare(
        Entrant::new("before", &mut before),
        Entrant::new("after", &mut after),
        &Rules::default(),
        &schedule,
        Stop::AfterBlocks,
        &mut |_| ControlFlow::Continue(()),
    );
    assert_eq!(comparison.stopped, Stopped::MaxRounds);
    assert_eq!(before.case().fault(), None);
    one.bye();
    two.bye();
}

#[test]
fn a_turn_costs_microseconds() {
    let mut launch = example();
    launch.cpu = allowed_cpus().map(|cpus| cpus[0]);
    let mut worker = Worker::start(&launch).unwrap();
    let mut turns: Vec<Duration> = (0..2001)
        .map(|_| {
            let start = Instant::now();
            let ns = worker.run("sum", 1).unwrap().ns;
            start.elapsed().saturating_sub(Duration::from_nanos(ns))
        })
        .collect();
    turns.sort();
    // About 5 us on an idle machine. A client that looked again every millisecond would be caught.
    assert!(
        turns[1000] < Duration::from_micros(200),
        "{:?}",
        turns[1000]
    );
}

#[test]
fn a_worker_in_another_language_is_timed_and_compared() {
    let Some(launch) = python() else { return };
    let mut one = Worker::start(&launch).unwrap();
    let mut two = Worker::start(&launch).unwrap();
    assert_eq!(
        (
            one.hello().revision.as_deref(),
            one.case("sum").unwrap().threads
        ),
        (None, 1)
    );
    assert!(one.run("sum", 100).unwrap().ns > one.run("sum", 1).unwrap().ns);
    // crc32 of b"1999000", upper case in the answer; from zlib.
    assert_eq!(one.run("sum", 1).unwrap().check, "4ceba9ee");
    for case in ["sum", "reverse"] {
        verified_pair(&mut one, &mut two, case, false, false).unwrap();
    }
    assert_eq!(one.run("absent", 1).unwrap_err().fault, Fault::NoSuchCase);
    assert!(
        one.run("sum", 1).is_ok(),
        "a case that is not there does not end the worker"
    );
}

#[test]
fn a_worker_is_pinned_and_its_environment_padded() {
    let Some(mut launch) = python() else { return };
    let run = |launch: &Launch, case: &str| {
        let mut worker = Worker::start(launch).unwrap();
        worker.run(case, 1).unwrap().check
    };
    launch.padding = 4321;
    // crc32 of b"4321" and of b"0".
    assert_eq!(run(&launch, "padding"), "c48ebf68");
    launch.padding = 0;
    assert_eq!(run(&launch, "padding"), "f4dbdf21");

    // Compared through the digest, so each processor must give another one.
    let Some(cpus) = allowed_cpus() else { return };
    let mut seen: Vec<String> = cpus
        .iter()
        .map(|cpu| {
            launch.cpu = Some(*cpu);
            run(&launch, "processors")
        })
        .collect();
    if cpus.len() > 1 {
        launch.cpu = None;
        seen.push(run(&launch, "processors"));
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn what_cannot_be_started_says_why() {
    let missing = Launch::parse("/no/such/program --flag").unwrap();
    says(
        &error_of(&missing),
        &[
            "/no/such/program --flag",
            "could not be started",
            "no program",
        ],
    );
    let mut elsewhere = faulty("good", "");
    elsewhere.cpu = Some(100_000);
    says(&error_of(&elsewhere), &["processor 100000", "may use"]);
    let mut huge = faulty("good", "");
    huge.padding = 16 << 20;
    says(&error_of(&huge), &["could not be started"]);
    says(&error_of(&Launch::new(vec![])), &["no command"]);
}

#[test]
fn a_bad_hello_is_refused() {
    says(
        &named("dies-at-hello"),
        &["died", "exit status: 3", "no licence found"],
    );
    says(&named("no-cases"), &["no cases"]);
    says(&named("twin-cases"), &["two cases", "\"a\""]);
    says(&named("nameless"), &["missing field `name`"]);
    says(&named("refuses-hello"), &["not today"]);
    says(&named("babbles"), &["garbage", "Welcome to faulty 1.0"]);
}

#[test]
fn a_death_is_told_with_its_status() {
    says(
        &named("dies-in-fifth-run"),
        &["case `a`", "died", "signal: 11"],
    );
    says(&named("exits-politely"), &["died", "exit status: 0"]);
}

#[test]
fn a_hung_worker_is_killed_with_its_children() {
    let (_folder, file) = scratch();
    let mut launch = faulty("hangs", file.to_str().unwrap());
    launch.timeout = Duration::from_millis(300);
    let start = Instant::now();
    says(
        &error_of(&launch),
        &["faulty.sh hangs", "case `a`", "hung", "300ms"],
    );
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(ends(&file), "its child lives on");

    let mut dripping = faulty("drips", "");
    dripping.timeout = Duration::from_millis(300);
    says(&error_of(&dripping), &["hung"]);
}

#[test]
fn a_worker_that_is_dropped_is_killed_with_its_children() {
    let (_folder, file) = scratch();
    let mut worker = Worker::start(&faulty("stays", file.to_str().unwrap())).unwrap();
    worker.run("a", 1).unwrap();
    let start = Instant::now();
    worker.bye();
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(ends(&file), "it outlived its bye");
}

#[test]
fn bye_lets_a_worker_end_by_itself() {
    let (_folder, file) = scratch();
    Worker::start(&faulty("says-goodbye", file.to_str().unwrap()))
        .unwrap()
        .bye();
    assert_eq!(fs::read_to_string(&file).unwrap(), "bye\n");
}

#[test]
fn garbage_is_shown_and_ends_the_worker() {
    says(
        &named("garbage"),
        &["garbage", "segmentation fault (core dumped)"],
    );
    says(&named("half"), &["garbage", "no `check`"]);
    says(&named("answers-twice"), &["garbage", "not asked for"]);
    let endless = named("endless-line");
    says(&endless, &["endless line"]);
    assert!(endless.to_string().len() < 1000, "the whole line is shown");
}

#[test]
fn what_was_not_asked_for_is_never_taken_for_an_answer() {
    let mut worker = Worker::start(&faulty("adds-later", "")).unwrap();
    worker.run("a", 1).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let error = worker.run("a", 1).unwrap_err();
    says(&error, &["not asked for", "and another thing"]);
}

#[test]
fn a_worker_that_stops_listening_is_told_from_one_that_died() {
    says(
        &named("closes-stdout"),
        &["closed its stdout", "goes on running"],
    );
    let (_folder, file) = scratch();
    let launch = faulty("leaves-a-child", file.to_str().unwrap());
    let start = Instant::now();
    says(&error_of(&launch), &["died", "exit status: 7"]);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "waited for its child"
    );
    assert!(ends(&file), "its child lives on");
}

#[test]
fn a_loud_worker_is_drained_and_its_last_words_kept() {
    let error = named("loud");
    says(&error, &["exit status: 9", "…eee", "THE END"]);
    assert!(error.stderr.len() < 4096);
}

#[test]
fn a_refusal_is_passed_on_and_does_not_end_the_worker() {
    let mut worker = Worker::start(&faulty("refuses", "")).unwrap();
    for _ in 0..2 {
        let a = worker.run("a", 1).unwrap_err();
        says(&a, &["case `a`", "needs a GPU"]);
        assert_eq!(a.exit(), Exit::CouldNotRun);
        let b = worker.run("b", 1).unwrap_err();
        says(&b, &["case `b`", "off by 3"]);
        assert_eq!(b.exit(), Exit::WrongAnswers);
    }
}

#[test]
fn a_time_longer_than_the_wall_clock_saw_is_a_lie() {
    says(&named("too-long"), &["lies about time", "1000000000 ns"]);
}

/// Runs `case` `a` of a faulty worker against itself as measuring does; why that ended.
fn paired(way: &str) -> (String, Exit) {
    let start = || Worker::start(&faulty(way, "")).unwrap();
    let (mut one, mut two) = (start(), start());
    let (mut before, mut after) = verified_pair(&mut one, &mut two, "a", false, false).unwrap();
    let schedule = Schedule {
        max_time: Duration::from_secs(5),
        ..Schedule::default()
    };
    let comparison = compare(
        Entrant::new("before", &mut before),
        Entrant::new("after", &mut after),
        &Rules::default(),
        &schedule,
        Stop::AfterBlocks,
        &mut |_| ControlFlow::Continue(()),
    );
    let Stopped::Failed { failure, .. } = comparison.stopped else {
        panic!("{way} was believed: {:?}", comparison.stopped);
    };
    let fault = before.case().fault().or(after.case().fault()).unwrap();
    assert_eq!(failure.message, fault.to_string());
    (failure.message, fault.exit())
}

#[test]
fn a_time_that_does_not_grow_with_the_iterations_is_a_lie() {
    let (message, exit) = paired("always-1");
    assert!(message.contains("lies about time"), "{message}");
    assert_eq!(exit, Exit::CouldNotRun);
}

#[test]
fn a_worker_that_hides_nearly_all_of_its_time_is_convicted() {
    let mut worker = Worker::start(&faulty("hundredth", "")).unwrap();
    let error = (0..200).find_map(|_| worker.run("a", 20_000).err());
    let error = error.expect("it was believed");
    says(
        &error,
        &[
            "faulty.sh hundredth",
            "case `a`",
            "lies about time",
            "outside of its clock",
        ],
    );
}

#[test]
fn untimed_set_up_before_each_run_is_no_lie() {
    let mut worker = Worker::start(&faulty("set-up-each-time", "")).unwrap();
    for _ in 0..40 {
        worker.run("a", 1000).unwrap();
    }
}

#[test]
fn workers_that_disagree_are_wrong_answers_unless_that_is_allowed() {
    let start = |check: &str| Worker::start(&faulty("digest", check)).unwrap();
    for (one, two, equal) in [
        ("00ff", "00FF", true),
        ("00ff", "00fe", false),
        ("00ff", "ff", false),
        ("0", "00", false),
    ] {
        let (mut before, mut after) = (start(one), start(two));
        assert!(verified_pair(&mut before, &mut after, "a", false, true).is_ok());
        match verified_pair(&mut before, &mut after, "a", false, false) {
            Ok(_) => assert!(equal, "{one} passed for {two}"),
            Err(error) => {
                assert!(
                    !equal && matches!(error, PairError::Disagree { .. }),
                    "{error}"
                );
                assert_eq!(error.exit(), Exit::WrongAnswers);
                let text = error.to_string();
                for word in ["wrong answers", "`a`", one, two, "faulty.sh digest"] {
                    assert!(text.contains(word), "no {word} in: {text}");
                }
            }
        }
    }
    let (mut before, mut after) = (start("00ff"), start("xyz"));
    let error = verified_pair(&mut before, &mut after, "a", false, true).unwrap_err();
    assert!(error.to_string().contains("hexadecimal"), "{error}");
    assert_eq!(error.exit(), Exit::CouldNotRun);
}

/// Two workers that agree with each other, of which the second judges its answers.
#[test]
fn answers_that_agree_are_held_against_a_judge() {
    let source = |way: &str| Source {
        name: way.to_owned(),
        layouts: vec![faulty(way, "").command],
    };
    let found = |way: &str, judged_by| {
        let pairing = Pairing {
            plan: Plan {
                rules: Rules::new(0.02, 0.01, 0.95).unwrap(),
                seed: 1,
                max_time: Duration::from_secs(1),
            },
            timeout: Duration::from_secs(10),
            allow_different_output: false,
            cases: Some(vec!["a".to_owned()]),
            filters: Vec::new(),
            judged_by,
        };
        let mut watch = |_: &Standing<'_>| ControlFlow::Continue(());
        workers::run(&source(way), &source(way), &pairing, &mut watch)
            .unwrap()
            .outcome
    };
    for (way, word) in [
        ("wrong", "off by 3"),
        ("two-faced", "that was judged is ab"),
    ] {
        let outcome = found(way, Some("--judged"));
        assert!(outcome.cases.is_empty(), "{way} was timed");
        let [failed] = &outcome.not_checked[..] else {
            panic!("{:?}", outcome.not_checked)
        };
        assert_eq!(failed.exit, Exit::WrongAnswers as u8, "{}", failed.why);
        assert!(failed.why.contains(word), "{}", failed.why);
        // The answers of both sides agree, so that nothing else can have been seen.
        let unjudged = found(way, None);
        let wrong = |c: &NotChecked| c.exit == Exit::WrongAnswers as u8;
        assert!(!unjudged.not_checked.iter().any(wrong));
    }
}

#[test]
fn a_digest_that_changes_from_run_to_run_is_a_wrong_answer() {
    let (message, exit) = paired("flips");
    for word in ["faulty.sh flips", "case `a`", "check aa, later ab"] {
        assert!(message.contains(word), "no {word} in: {message}");
    }
    assert_eq!(exit, Exit::WrongAnswers);
}
