//! `bitgauge baseline` and `bitgauge gate --baseline` as a user sees them.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use bitgauge::machine::Machine;
use program::{Ended, bitgauge, end, refused};
use serde_json::{Value, json};

const LOOP: &str = "loop/lcg/3000/1t";
const PRODUCT: &str = "decode/64x640/naive/1t";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A baseline of a loop and of a product, saved by the program.
    fn saved(&self) -> PathBuf {
        let path = self.path("saved.json");
        let mut save = bitgauge([
            "baseline", "save", "--quick", "--case", LOOP, "--case", PRODUCT,
        ]);
        let ended = end(save.arg("--out").arg(&path));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        path
    }

    /// The same with a change.
    fn changed(&self, saved: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut file: Value = serde_json::from_str(&fs::read_to_string(saved).unwrap()).unwrap();
        change(&mut file);
        let path = self.path("changed.json");
        fs::write(&path, file.to_string()).unwrap();
        path
    }
}

fn gate(file: &Path, more: &[&str]) -> Ended {
    let gate = ["--json", "gate", "--max-time", "6s", "--baseline"];
    end(bitgauge(gate).arg(file).args(more))
}

fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

/// Makes a stored case look as if it had taken a third of its time.
fn three_times_faster(case: &mut Value) {
    let of = |x: &Value| json!(x.as_f64().unwrap() / 3.0);
    for field in ["median", "low", "high"] {
        case["ratio"][field] = of(&case["ratio"][field]);
    }
    case["ns"] = of(&case["ns"]);
    case["iterations"][1] = json!(case["iterations"][1].as_u64().unwrap() * 3);
}

fn position(file: &Value, id: &str) -> usize {
    let cases = file["cases"].as_array().unwrap();
    cases.iter().position(|case| case["id"] == id).unwrap()
}

#[test]
fn what_is_saved_is_shown_checked_and_held() {
    let folder = Folder::new();
    let saved = folder.saved();
    let text = fs::read_to_string(&saved).unwrap();
    assert!(text.lines().count() > 10 && text.len() < 20_000);

    let ended = end(bitgauge(["--json", "baseline", "show"]).arg(&saved));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let shown = document(&ended);
    assert_eq!(shown["machine"], Machine::detect().class());
    let case = &shown["cases"][position(&shown, PRODUCT)];
    assert_eq!(case["kernel"], "naive");
    assert_eq!(case["yardstick"]["unit"], "naive products");
    // The yardstick is the naive product of 16 x 2560 weights, and this one has 64 x 640.
    let ratio = case["ratio"]["median"].as_f64().unwrap();
    assert!((0.5..2.0).contains(&ratio), "{case}");
    let line = ended
        .stderr
        .lines()
        .find(|line| line.starts_with(PRODUCT))
        .unwrap();
    let mut words = line.split_whitespace().rev();
    let (unit, number) = (words.next().unwrap(), words.next().unwrap());
    let unit = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        unit => panic!("a product in {unit}: {line}"),
    };
    let ns = number.parse::<f64>().unwrap() * unit;
    assert!(
        (ns / case["ns"].as_f64().unwrap() - 1.0).abs() < 1e-3,
        "{line}"
    );

    // It is sound, and not the whole suite.
    let ended = end(bitgauge(["--json", "baseline", "check"]).arg(&saved));
    assert_eq!(ended.status, Some(5), "{ended:?}");
    let checked = document(&ended);
    let missing = checked["missing"].as_array().unwrap();
    assert!(
        missing.contains(&json!("op/rms_norm/1x2560/1t")),
        "{checked}"
    );
    assert_eq!(checked["unknown"], json!([]));

    let ended = gate(&saved, &[]);
    assert!(matches!(ended.status, Some(0 | 4)), "{ended:?}");
    let gated = document(&ended);
    let mut ids: Vec<&Value> = gated["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["case"])
        .collect();
    ids.sort_by_key(|id| id.as_str());
    let mut all: Vec<&Value> = shown["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["id"])
        .collect();
    all.sort_by_key(|id| id.as_str());
    assert_eq!(ids, all);
    assert_eq!(gated["not_checked"], json!([]));
    assert_eq!(gated["margin"], 0.1);
    assert!(ended.stderr.contains("not in the baseline"), "{ended:?}");
}

#[test]
fn a_case_that_was_three_times_faster_is_a_regression_by_name() {
    let folder = Folder::new();
    let saved = folder.saved();
    let faster = folder.changed(&saved, |file| {
        let at = position(file, LOOP);
        three_times_faster(&mut file["cases"][at]);
    });
    let ended = gate(&faster, &["--case", LOOP]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let case = document(&ended)["cases"][0].clone();
    assert_eq!(
        (&case["case"], &case["verdict"]),
        (&json!(LOOP), &json!("regressed"))
    );
    let speedup = case["speedup"].as_f64().unwrap();
    assert!((speedup - 1.0 / 3.0).abs() < 0.1, "{case}");
    let [low, high] = ["low", "high"].map(|end| case[end].as_f64().unwrap());
    assert!(low <= speedup && speedup <= high && high < 1.0, "{case}");
    assert!(ended.stderr.contains(LOOP));
}

#[test]
fn what_got_better_is_told_with_the_command_that_keeps_it() {
    let folder = Folder::new();
    let saved = folder.saved();
    let slower = folder.changed(&saved, |file| {
        let at = position(file, LOOP);
        let case = &mut file["cases"][at];
        let of = |x: &Value| json!(x.as_f64().unwrap() * 3.0);
        for field in ["median", "low", "high"] {
            case["ratio"][field] = of(&case["ratio"][field]);
        }
        case["iterations"][0] = json!(case["iterations"][0].as_u64().unwrap() * 3);
    });
    let ended = gate(&slower, &["--case", LOOP]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(document(&ended)["cases"][0]["verdict"], "improved");
    assert!(
        ended.stderr.contains("bitgauge baseline save --out"),
        "{ended:?}"
    );
}

#[test]
fn another_class_of_machine_is_refused_and_what_travels_is_gated_on_request() {
    let folder = Folder::new();
    let saved = folder.saved();
    let foreign = folder.changed(&saved, |file| file["machine"] = json!("vax-11-780-1cpu"));
    let ended = gate(&foreign, &[]);
    assert_eq!(ended.status, Some(5), "{ended:?}");
    assert!(ended.stderr.contains("vax-11-780-1cpu") && ended.stderr.contains("--foreign"));
    assert_eq!(ended.stdout, "");
    let check = end(bitgauge(["baseline", "check"]).arg(&foreign));
    assert_eq!(check.status, Some(5), "{check:?}");

    let ended = gate(&foreign, &["--foreign"]);
    assert!(matches!(ended.status, Some(0 | 4)), "{ended:?}");
    assert_eq!(document(&ended)["cases"].as_array().unwrap().len(), 2);

    // A case on another kernel stays behind, and is told; one whose threads nobody has too.
    let other = folder.changed(&saved, |file| {
        file["machine"] = json!("vax-11-780-1cpu");
        let at = position(file, PRODUCT);
        file["cases"][at]["kernel"] = json!("tmac-vax");
    });
    let ended = gate(&other, &["--foreign"]);
    assert!(matches!(ended.status, Some(0 | 4)), "{ended:?}");
    assert_eq!(document(&ended)["cases"].as_array().unwrap().len(), 1);
    assert!(
        ended.stderr.contains(&format!("not gated {PRODUCT}")),
        "{ended:?}"
    );
    let ended = gate(&other, &["--foreign", "--case", PRODUCT]);
    assert_eq!(ended.status, Some(5), "{ended:?}");
    assert!(ended.stderr.contains("tmac-vax"), "{ended:?}");
}

#[test]
fn what_can_t_be_held_any_more_is_never_passed_over() {
    let folder = Folder::new();
    let saved = folder.saved();
    let gone = folder.changed(&saved, |file| {
        let at = position(file, PRODUCT);
        file["cases"][at]["id"] = json!("decode/64x640/tmac-gone/1t");
    });
    let ended = gate(&gone, &[]);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let not_checked = &document(&ended)["not_checked"];
    assert_eq!(not_checked[0]["case"], "decode/64x640/tmac-gone/1t");
    let why = not_checked[0]["why"].as_str().unwrap();
    assert!(why.contains("tmac-gone"), "{why}");
    let check = end(bitgauge(["--json", "baseline", "check"]).arg(&gone));
    assert_eq!(check.status, Some(5), "{check:?}");
    let unknown = &document(&check)["unknown"];
    assert_eq!(unknown, &json!(["decode/64x640/tmac-gone/1t"]));

    // Alone, or beside one that there is.
    for beside in [&["--case", LOOP][..], &[]] {
        let asked = |command: &[&str]| {
            let mut command = bitgauge(command);
            command.args(beside).args(["--case", "no-such-case"]);
            command
        };
        let mut nothing = asked(&["gate"]);
        refused(nothing.arg("--baseline").arg(&saved), "no such case");
        let mut nothing = asked(&["baseline", "save", "--quick"]);
        nothing.arg("--out").arg(folder.path("none.json"));
        refused(&mut nothing, "no case of the suite");
    }
}

#[test]
fn a_change_of_the_arithmetic_is_told_and_is_no_error() {
    let folder = Folder::new();
    let saved = folder.saved();
    let other = folder.changed(&saved, |file| {
        let at = position(file, LOOP);
        file["cases"][at]["digest"] = json!("0123456789abcdef");
    });
    let ended = gate(&other, &["--case", LOOP]);
    assert!(matches!(ended.status, Some(0 | 4)), "{ended:?}");
    assert!(ended.stderr.contains("arithmetic changed"), "{ended:?}");
}

#[test]
fn what_can_t_be_read_is_no_usable_baseline() {
    let folder = Folder::new();
    let saved = folder.saved();
    let text = fs::read_to_string(&saved).unwrap();
    let torn = folder.path("torn.json");
    fs::write(&torn, &text[..text.len() / 2]).unwrap();
    let edited = folder.changed(&saved, |file| {
        file["cases"][0]["ratio"]["median"] = json!(1e-3)
    });
    for path in [
        &torn,
        &edited,
        &folder.path("missing.json"),
        &folder.path(""),
    ] {
        for command in [
            ["gate", "--baseline"],
            ["baseline", "show"],
            ["baseline", "check"],
        ] {
            let ended = end(bitgauge(["--json"]).args(command).arg(path));
            assert_eq!(ended.status, Some(5), "{command:?} {ended:?}");
            assert!(
                ended.stderr.contains(&path.display().to_string()),
                "{ended:?}"
            );
            assert_eq!(ended.stdout, "");
        }
    }
    // A class of machine is looked up in baselines/.
    let mut show = bitgauge(["baseline", "show", "vax-11-780-1cpu"]);
    let ended = end(show.current_dir(folder.0.path()));
    assert_eq!(ended.status, Some(5), "{ended:?}");
    assert!(
        ended.stderr.contains("baselines/vax-11-780-1cpu.json"),
        "{ended:?}"
    );
}

#[test]
fn one_reference_is_needed_and_two_are_too_many() {
    // Not a repository: nothing could be built here even if a command were let through.
    let elsewhere = tempfile::tempdir().unwrap();
    for (arguments, reason) in [
        (&["gate"][..], "required"),
        (
            &["gate", "--against", "HEAD", "--baseline", "x.json"],
            "cannot be used with",
        ),
        (
            &["gate", "--against", "HEAD", "--foreign"],
            "cannot be used with",
        ),
        (
            &["gate", "--baseline", "x.json", "--allow-different-output"],
            "cannot be used with",
        ),
    ] {
        refused(bitgauge(arguments).current_dir(&elsewhere), reason);
    }
}

#[test]
fn a_baseline_is_replaced_whole_or_not_at_all() {
    let folder = Folder::new();
    let saved = folder.saved();
    let save = |path: &Path| {
        let mut save = bitgauge(["baseline", "save", "--quick", "--case", LOOP, "--out"]);
        save.arg(path);
        save
    };
    let unchanged = |path: &Path, text: &str| assert_eq!(fs::read_to_string(path).unwrap(), text);

    let foreign = folder.changed(&saved, |file| file["machine"] = json!("vax-11-780-1cpu"));
    let text = fs::read_to_string(&foreign).unwrap();
    refused(&mut save(&foreign), "vax-11-780-1cpu");
    unchanged(&foreign, &text);
    let notes = folder.path("notes.txt");
    fs::write(&notes, "mine").unwrap();
    refused(&mut save(&notes), "no baseline");
    unchanged(&notes, "mine");
    refused(&mut save(&notes.join("below")), "notes.txt");
    if cfg!(target_os = "linux") {
        refused(&mut save(Path::new("/dev/full")), "no regular file");
        assert!(!fs::metadata("/dev/full").unwrap().is_file());
    }

    // No file may grow beyond a few blocks: the disk is as good as full.
    let text = fs::read_to_string(&saved).unwrap();
    let mut full = std::process::Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]);
    let arguments = save(&saved);
    full.arg(arguments.get_program()).args(arguments.get_args());
    let ended = end(full.env_remove("BITGAUGE_ISA"));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("can't write"), "{ended:?}");
    assert_eq!(document(&ended)["cases"][0]["id"], LOOP, "it is said");
    unchanged(&saved, &text);
    let left: Vec<_> = fs::read_dir(folder.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with(".writing"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    let ended = end(&mut save(&saved));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let now: Value = serde_json::from_str(&fs::read_to_string(&saved).unwrap()).unwrap();
    assert_eq!(now["cases"].as_array().unwrap().len(), 1);
}
