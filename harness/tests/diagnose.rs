//! `bitgauge diagnose` on this machine, on parts of it, and on smaller ones.

mod program;
mod schema;

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use bitgauge::machine::allowed_cpus;
use bitgauge_engine::isa::Isa;
use program::{bitgauge, end, refused};
use serde_json::{Value, json};

fn described() -> Value {
    let schema = include_str!("../schemas/diagnose.schema.json");
    serde_json::from_str(schema).unwrap()
}

/// The document and the page of one call.
fn diagnosed(command: &mut Command) -> (Value, String) {
    let ended = end(command);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(schema::refusal(&described(), &document), None);
    consistent(&document);
    (document, ended.stderr)
}

fn quick<A: AsRef<OsStr>>(more: impl IntoIterator<Item = A>) -> Command {
    let mut command = bitgauge(["diagnose", "--quick", "--json"]);
    command.args(more);
    command
}

/// What must agree in every diagnosis of any machine.
#[track_caller]
fn consistent(d: &Value) {
    let levels = d["instructions"]["levels"].as_array().unwrap();
    let names: Vec<&str> = levels
        .iter()
        .map(|l| l["level"].as_str().unwrap())
        .collect();
    assert_eq!(names, Isa::ALL.map(Isa::name));
    let mut selected = "portable";
    for level in levels {
        let lacking = level["lacking"].as_array().unwrap();
        assert_eq!(level["detected"] == true, lacking.is_empty(), "{level}");
        let granted = level["granted"] == json!({ "is": true });
        let usable = level["compiled"] == true
            && level["detected"] == true
            && granted
            && level["capped"] == false;
        assert_eq!(level["usable"] == true, usable, "{level}");
        if usable {
            selected = level["level"].as_str().unwrap();
        }
    }
    assert_eq!(d["instructions"]["selected"], selected);
    let position = |name: &Value| names.iter().position(|n| name == n).unwrap();
    for row in d["dispatch"]["selected"].as_array().unwrap() {
        assert!(position(&row["isa"]) <= position(&json!(selected)), "{row}");
        assert_eq!(row["first_layer"], 0, "{row}");
        assert_eq!(
            row["last_layer"].as_u64().unwrap() + 1,
            d["dispatch"]["layers"]
        );
    }
    for refused in d["dispatch"]["refused"].as_array().unwrap() {
        assert!(
            position(&refused["isa"]) > position(&json!(selected)),
            "{refused}"
        );
        assert_ne!(refused["why"], "", "{refused}");
    }
}

fn level<'d>(d: &'d Value, name: &str) -> &'d Value {
    let mut levels = d["instructions"]["levels"].as_array().unwrap().iter();
    levels.find(|level| level["level"] == name).unwrap()
}

#[test]
fn a_diagnosis_of_this_machine_is_what_its_schema_describes() {
    let (document, page) = diagnosed(&mut quick(["--threads", "1"]));
    assert_eq!(document["model"], "2b4t");
    assert_eq!(document["dispatch"]["layers"], 30);
    assert_eq!(document["threads"]["asked"], json!({ "is": 1 }));
    assert_eq!(document["threads"]["used"], 1);
    for isa in Isa::ALL {
        let usable = isa.check().is_ok();
        assert_eq!(level(&document, isa.name())["usable"], usable, "{isa}");
    }
    let lines = page.lines().count();
    assert!(lines <= 80, "{lines} lines");
    assert!(!page.contains('\u{1b}'), "{page}");
    for section in ["PROCESSOR", "THREADS", "NOISE", "FOR STEADIER RESULTS"] {
        assert!(
            page.lines().any(|line| line == section),
            "{section}: {page}"
        );
    }

    // The check itself: whatever is left out, added or of another type is refused.
    let schema = described();
    let mut paths = Vec::new();
    objects(&document, String::new(), &mut paths);
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        let fields: Vec<String> = {
            let object = document.pointer(&path).unwrap().as_object().unwrap();
            object.keys().cloned().collect()
        };
        let spoilt = |spoil: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            let mut spoilt = document.clone();
            spoil(spoilt.pointer_mut(&path).unwrap().as_object_mut().unwrap());
            assert!(
                schema::refusal(&schema, &spoilt).is_some(),
                "{path}: {spoilt}"
            );
        };
        spoilt(&|object| drop(object.insert("more".into(), json!(1))));
        for field in &fields {
            spoilt(&|object| drop(object.remove(field)));
            spoilt(&|object| drop(object.insert(field.clone(), json!([[]]))));
        }
    }
}

/// Pointers to all objects within `value`.
fn objects(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                objects(value, format!("{at}/{name}"), found);
            }
            found.push(at);
        }
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                objects(value, format!("{at}/{i}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_cap_is_named_with_what_it_costs() {
    for cap in ["portable", "avx2"] {
        let (document, page) = diagnosed(quick(["tiny"]).env("BITGAUGE_ISA", cap));
        assert_eq!(document["instructions"]["cap"], json!({ "is": cap }));
        let capped: Isa = cap.parse().unwrap();
        for isa in Isa::ALL {
            let level = level(&document, isa.name());
            assert_eq!(level["capped"], isa > capped, "{level}");
            // The cap hides nothing of the machine.
            assert_eq!(level["detected"], isa.standing().detected(), "{level}");
            if isa > capped && isa.check().is_ok() {
                assert_eq!(level["usable"], false, "{level}");
                assert!(page.contains("unset BITGAUGE_ISA"), "{page}");
            }
        }
        let named = format!("{cap}, by BITGAUGE_ISA");
        assert!(page.contains(&named), "{page}");
    }
}

#[test]
fn a_cap_that_is_no_level_a_model_that_is_none_and_too_many_threads_are_refused() {
    refused(quick([""; 0]).env("BITGAUGE_ISA", "sse9"), "`sse9`");
    refused(&mut quick(["no-such-model"]), "no-such-model");
    refused(&mut quick(["--threads", "4096"]), "--threads 4096");
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_held_to_one_processor_says_so() {
    let last = *allowed_cpus().unwrap().last().unwrap();
    let (document, page) =
        bitgauge::machine::with_current_thread_on(&[last], || diagnosed(&mut quick(["tiny"])));
    let threads = &document["threads"];
    assert_eq!(threads["affinity"], json!({ "is": [last] }));
    assert_eq!(
        (&threads["allowed"], &threads["used"]),
        (&json!(1), &json!(1))
    );
    assert!(threads["asked"]["unavailable"].is_string(), "{threads}");
    assert!(page.contains("1 of "), "{page}");
}

/// Valgrind's processor has no AVX-512, and no tiles: a really smaller machine.
#[test]
fn a_smaller_processor_is_diagnosed_as_what_it_is() {
    let valgrind = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !valgrind.is_ok_and(|status| status.success()) || !cfg!(target_arch = "x86_64") {
        eprintln!("SKIPPED: valgrind is not installed, or this is no x86-64");
        return;
    }
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=none", "-q", env!("CARGO_BIN_EXE_bitgauge")])
        .args(["diagnose", "--quick", "--json", "tiny"])
        .env_remove("BITGAUGE_ISA")
        .stdin(Stdio::null());
    let (document, page) = diagnosed(&mut command);
    let instructions = &document["instructions"];
    let avx512 = level(&document, "avx512");
    if avx512["detected"] == true {
        eprintln!("SKIPPED: this valgrind has AVX-512");
        return;
    }
    assert!(["portable", "avx2"].contains(&instructions["selected"].as_str().unwrap()));
    let lacks = |level: &Value, feature| {
        level["lacking"]
            .as_array()
            .unwrap()
            .contains(&json!(feature))
    };
    assert!(lacks(avx512, "avx512f"), "{avx512}");
    assert!(
        lacks(level(&document, "amx-int8"), "amx-tile"),
        "{document}"
    );
    assert!(avx512["granted"]["unavailable"].is_string(), "{avx512}");
    assert_eq!(
        instructions["cap"]["unavailable"],
        "BITGAUGE_ISA is not set"
    );
    // The kernel below still lists what the processor denies, wherever the machine has it.
    if Isa::Avx512.standing().detected() {
        let hidden = instructions["hidden"]["is"].as_array().unwrap();
        assert!(hidden.contains(&json!("avx512f")), "{instructions}");
        assert!(page.contains("times are the emulator's"), "{page}");
    }
    let refused = document["dispatch"]["refused"].as_array().unwrap();
    assert!(
        refused.iter().any(|r| r["kernel"] == "vnni-avx512"),
        "{document}"
    );
}
