//! Fixtures are found and read whole, or refused with the place.

use std::path::{Path, PathBuf};

use bitgauge::fixtures::golden::Protocol;
use bitgauge::fixtures::{self, FixtureError, Golden, Reject, Units};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// A copy of a fixture file in an empty folder, with its text changed.
fn changed(file: &str, change: impl Fn(&str) -> String) -> (tempfile::TempDir, PathBuf) {
    let text = std::fs::read_to_string(repository().join(file)).unwrap();
    let new = change(&text);
    assert_ne!(text, new, "the change changes nothing");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(Path::new(file).file_name().unwrap());
    std::fs::write(&path, new).unwrap();
    (folder, path)
}

fn edited(file: &str, edit: impl Fn(&mut Value)) -> (tempfile::TempDir, PathBuf) {
    changed(file, |text| {
        let mut value = serde_json::from_str(text).unwrap();
        edit(&mut value);
        serde_json::to_string_pretty(&value).unwrap()
    })
}

#[test]
fn the_repositorys_fixtures_are_found_and_nothing_in_them_is_unread() {
    let found = fixtures::discover(repository()).unwrap();
    let names: Vec<&str> = found
        .goldens
        .iter()
        .map(|g| g.content.name.as_str())
        .collect();
    assert_eq!(names, ["A", "C", "trained"]);
    assert_eq!((found.units.len(), found.rejects.len()), (1, 1));
    assert_eq!(found.unread, [""; 0]);
}

#[test]
fn a_folder_can_be_a_fixture_itself() {
    let found = fixtures::discover(repository().join("C")).unwrap();
    assert_eq!(found.goldens.len(), 1);
    assert_eq!(found.goldens[0].content.cases.len(), 4);
    assert!(found.units.is_empty() && found.rejects.is_empty());
}

#[test]
fn no_fixtures_is_an_error_that_says_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "").unwrap();
    let error = fixtures::discover(folder.path()).unwrap_err();
    assert!(matches!(error, FixtureError::Nothing { .. }));
    assert!(error.to_string().contains("golden.json"), "{error}");
    let error = fixtures::discover(folder.path().join("absent")).unwrap_err();
    assert!(matches!(error, FixtureError::Io { .. }), "{error}");
}

#[test]
fn broken_json_is_an_error_with_file_and_line() {
    let (folder, path) = changed("A/golden.json", |text| {
        text.replacen("\"format\"", "\n\n\"format\" oops", 1)
    });
    let error = fixtures::discover(folder.path()).unwrap_err().to_string();
    let line = std::fs::read_to_string(&path).unwrap();
    let line = 1 + line.lines().position(|l| l.contains("oops")).unwrap();
    assert!(error.contains(&format!("golden.json:{line}:")), "{error}");
}

#[test]
fn broken_base64_is_an_error_with_file_and_line() {
    let (_folder, path) = edited("A/golden.json", |value| {
        value["cases"][1]["logits_b64"] = "AAAA!".into();
    });
    let error = Golden::read(&path).unwrap_err().to_string();
    assert!(error.contains("not base64"), "{error}");
    assert!(!error.contains("golden.json:0:"), "{error}");
}

#[test]
fn unknown_keys_are_reported_where_they_stand() {
    let (folder, _path) = edited("A/golden.json", |value| {
        value["cases"][1]["speed_limit"] = 3.into();
        value["sampling"] = "seeded".into();
    });
    let unread = fixtures::discover(folder.path()).unwrap().unread;
    assert_eq!(unread.len(), 2, "{unread:?}");
    assert!(
        unread
            .iter()
            .any(|note| note.contains("cases.1.speed_limit")),
        "{unread:?}"
    );
    assert!(
        unread.iter().any(|note| note.contains("sampling")),
        "{unread:?}"
    );

    let (folder, _path) = edited("units.json", |value| {
        value["attention"] = serde_json::json!({"cases": []});
    });
    let unread = fixtures::discover(folder.path()).unwrap().unread;
    assert!(unread[0].contains("attention"), "{unread:?}");
}

#[test]
fn a_model_without_goldens_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["with", "without"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("config.json"), "{}").unwrap();
    }
    let golden = folder.path().join("with/golden.json");
    std::fs::copy(repository().join("A/golden.json"), golden).unwrap();
    let unread = fixtures::discover(folder.path()).unwrap().unread;
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert!(unread[0].contains("without"), "{unread:?}");
}

#[test]
fn a_golden_can_be_about_a_model_in_another_folder() {
    let (folder, path) = edited("A/golden.json", |value| value["model"] = "../base".into());
    let golden = Golden::read(&path).unwrap();
    assert_eq!(golden.model_folder(), folder.path().join("../base"));
}

#[test]
fn contradictions_are_errors() {
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit); 8] = [
        ("strict_prefix", |v| {
            v["cases"][0]["strict_prefix"] = 99.into()
        }),
        ("position", |v| v["cases"][0]["positions"][0] = 1.into()),
        ("not rows", |v| {
            v["cases"][1]["logits_b64"] = v["cases"][0]["logits_b64"].clone()
        }),
        ("top1", |v| v["cases"][0]["top1"] = Value::Array(vec![])),
        ("format", |v| v["format"] = 2.into()),
        ("scale_hex", |v| {
            v["taps"]["linears"]["q_proj"]["scale"] = 1.into()
        }),
        ("no cases", |v| {
            v["cases"] = Value::Array(vec![]);
            v["taps"] = Value::Null;
        }),
        ("tolerance", |v| {
            v["cases"][0].as_object_mut().unwrap().remove("tolerance");
        }),
    ];
    for (expected, edit) in edits {
        let (_folder, path) = edited("A/golden.json", edit);
        let error = Golden::read(&path).expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let (_folder, path) = edited("units.json", |v| v["rope"]["tolerance"] = "abs 1".into());
    let error = Units::read(&path).unwrap_err().to_string();
    assert!(error.contains("rope.tolerance"), "{error}");
}

/// What is not there is not compared.
#[test]
fn values_that_are_missing_from_units_are_errors() {
    let fields = [
        ("packing", "trits"),
        ("quantiser", "q"),
        ("rmsnorm", "weight"),
        ("rmsnorm", "y"),
        ("rope", "y"),
        ("softmax", "p"),
        ("matvec", "q"),
        ("matvec", "acc"),
        ("matvec", "y_multiply"),
        ("matvec", "y_divide"),
        ("online", "trits"),
    ];
    for (section, field) in fields {
        for cut in [0, 1] {
            let (_folder, path) = edited("units.json", |v| {
                let values = v[section]["cases"][1][field].as_array_mut().unwrap();
                values.truncate(cut * (values.len() - 1));
            });
            let error = Units::read(&path).expect_err(field).to_string();
            let place = format!("{section}.cases[1].{field}");
            assert!(error.contains(&place), "{place}: {error}");
        }
    }
    let hex = [
        ("packing", "packed_hex"),
        ("rope", "inv_freq"),
        ("online", "w"),
    ];
    for (section, field) in hex {
        let (_folder, path) = edited("units.json", |v| {
            let values = &mut v[section]["cases"][1][field];
            *values = match values {
                Value::Array(values) => values[1..].into(),
                Value::String(text) => text[..text.len() - 2].into(),
                other => panic!("{other}"),
            };
        });
        let error = Units::read(&path).expect_err(field).to_string();
        let place = format!("{section}.cases[1].{field}");
        assert!(error.contains(&place), "{place}: {error}");
    }
}

#[test]
fn a_recipe_is_read_with_its_own_keys_only() {
    for (key, value) in [("op", Value::from("melt")), ("offset", 3.into())] {
        let (_folder, path) = edited("reject.json", |v| v["load"][0][key] = value.clone());
        let error = Reject::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("empty file") && error.contains("truncate (keep)"),
            "{error}"
        );
        assert!(!error.contains("reject.json:0:"), "{error}");
    }
}

#[test]
fn a_recipe_changes_a_copy_as_it_says() {
    let reject = Reject::read(&repository().join("reject.json")).unwrap();
    let original = std::fs::read(repository().join("A/model.safetensors")).unwrap();
    let made = |name: &str| {
        let all = reject.content.load.iter().chain(&reject.content.accept);
        let recipe = all.clone().find(|recipe| recipe.name == name).unwrap();
        let folder = reject.materialise(recipe).unwrap();
        let config = std::fs::read(folder.path().join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        let tensors = std::fs::read(folder.path().join("model.safetensors")).unwrap();
        (tensors, config)
    };
    assert_eq!(made("7 bytes").0, original[..7]);
    assert_eq!(made("trailing byte").0, [&original[..], &[0]].concat());
    let mut patched = original.clone();
    patched[26953] = 0xc0;
    assert_eq!(made("trit code 3").0, patched);
    let (tensors, config) = made("rope_parameters for rope_theta");
    assert_eq!(tensors, original);
    assert_eq!(config["rope_parameters"]["rope_theta"], 500_000.0);
    assert_eq!(config.get("rope_theta"), None);
    assert_eq!(config["hidden_size"], 64);
}

#[test]
fn a_protocol_in_other_words_is_not_understood() {
    let words = |window, stride| {
        format!(
            "id=byte, no BOS; windows of {window} tokens, stride {stride}, fresh cache each; a \
             window predicts its tokens 1..end; every byte but the first of the text is \
             predicted once"
        )
    };
    let known = Protocol {
        window: 8,
        stride: 7,
    };
    assert_eq!(Protocol::parse(&words(8, 7)), Some(known));
    assert_eq!(
        Protocol::parse(&words(8, 8)),
        None,
        "the first of a window is never predicted"
    );
    assert_eq!(Protocol::parse(&words(1, 0)), None);
    assert_eq!(
        Protocol::parse(&words(8, 7).replace("no BOS", "BOS 1")),
        None
    );
}
