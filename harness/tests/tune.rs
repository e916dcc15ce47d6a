//! `bitgauge tune` as a user sees it, and what `generate` and `run` make of it.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::available;
use program::{Ended, bitgauge, end, refused};
use serde_json::Value;

fn call(cache: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = bitgauge(["--json", "--threads", "1"]);
    command.args(arguments).env("BITGAUGE_CACHE", cache);
    command
}

fn document(ended: &Ended) -> Value {
    assert_eq!(ended.status, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("no document ({e}): {ended:?}"))
}

/// The detected kernel and the one before it in the table.
fn names() -> [&'static str; 2] {
    let names: Vec<_> = available().map(|k| k.spec().name()).collect();
    [names[names.len() - 2], names[names.len() - 1]]
}

fn tune(cache: &Path, arguments: &[&str]) -> Value {
    let quick = ["tune", "tiny", "--max-time", "100ms"];
    let [other, _] = names();
    let named = ["--kernels", other];
    document(&end(call(cache, &quick).args(named).args(arguments)))
}

fn generate(cache: &Path, arguments: &[&str]) -> (Value, String) {
    let generate = ["generate", "tiny", "--tokens", "1,2", "--max-tokens", "2"];
    let ended = end(call(cache, &generate).args(arguments));
    (document(&ended), ended.stderr)
}

fn origins(document: &Value) -> Vec<String> {
    let rows = document["selection"].as_array().unwrap();
    let mut origins: Vec<_> = rows.iter().map(|r| r["origin"].to_string()).collect();
    origins.dedup();
    origins
}

fn only_file(cache: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(cache).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap().unwrap().path()
}

/// Lets every size get `kernel`, as if it had been found to be three times as fast.
fn plant(file: &Path, kernel: &str) {
    let mut stored: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    for entry in stored["entries"].as_array_mut().unwrap() {
        for phase in ["decode", "prefill"] {
            let race = &mut entry[phase];
            race["choice"] = kernel.into();
            for candidate in race["candidates"].as_array_mut().unwrap() {
                if candidate["speedup"].is_object() {
                    candidate["kernel"] = kernel.into();
                    let speedup = &mut candidate["speedup"];
                    for (key, value) in [("low", 2.9), ("value", 3.0), ("high", 3.1)] {
                        speedup[key] = value.into();
                    }
                }
            }
        }
    }
    fs::write(file, stored.to_string()).unwrap();
}

#[test]
fn it_races_tells_and_stores_and_generate_follows_it() {
    let cache = tempfile::tempdir().unwrap();
    let (before, told) = generate(cache.path(), &[]);
    assert_eq!(origins(&before), ["\"detected\""]);
    assert!(told.contains("(detected)"), "{told}");

    let document = tune(cache.path(), &["--seed", "7"]);
    let [other, detected] = names();
    assert_eq!(
        (&document["command"], &document["seed"]),
        (&"tune".into(), &7.into())
    );
    let sizes = document["sizes"].as_array().unwrap();
    assert!(!sizes.is_empty());
    for size in sizes {
        assert_eq!(size["fresh"], true, "{size}");
        assert_eq!(size["goal"], "both");
        for phase in ["decode", "prefill"] {
            let race = &size[phase];
            assert_eq!(race["detected"], detected);
            let raced = race["candidates"].as_array().unwrap();
            let kernels: Vec<_> = raced
                .iter()
                .map(|c| c["kernel"].as_str().unwrap())
                .collect();
            assert_eq!(kernels, [other, detected]);
            let speedup = &raced[0]["speedup"];
            assert!(speedup["blocks"].as_u64().unwrap() >= 12, "{speedup}");
            assert!(raced[1]["speedup"].is_null(), "{race}");
            let sure = speedup["low"].as_f64().unwrap() > 1.02;
            assert_eq!(
                race["choice"],
                if sure { other } else { detected },
                "{race}"
            );
            assert!(race["why"].as_str().unwrap().contains("x ("), "{race}");
        }
    }
    let file = only_file(cache.path());
    assert_eq!(document["stored"].as_str(), file.to_str());

    plant(&file, other);
    let (after, told) = generate(cache.path(), &[]);
    assert_eq!(origins(&after), ["\"tuned\""]);
    for row in after["selection"].as_array().unwrap() {
        assert_eq!(row["kernel"], other);
    }
    assert!(
        told.contains(&format!("kernel: {other} (tuned 20")),
        "{told}"
    );
    assert_eq!(after["tokens"], before["tokens"]);

    for arguments in [&["--no-tune"][..], &["--kernel", detected]] {
        let (left_out, _) = generate(cache.path(), arguments);
        for row in left_out["selection"].as_array().unwrap() {
            assert_eq!(row["kernel"], detected, "{arguments:?}");
        }
    }

    // What is known is told again, for the phase that is asked for, and not measured.
    let quick = ["tune", "tiny", "--tune-for", "prefill"];
    let again = self::document(&end(&mut call(cache.path(), &quick)));
    for size in again["sizes"].as_array().unwrap() {
        assert_eq!(
            (&size["fresh"], &size["goal"]),
            (&false.into(), &"prefill".into())
        );
    }
}

#[test]
fn other_threads_another_engine_and_another_cpu_are_not_followed() {
    let cache = tempfile::tempdir().unwrap();
    tune(cache.path(), &[]);
    let file = only_file(cache.path());
    plant(&file, names()[0]);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(origins(&generate(cache.path(), &[]).0), ["\"tuned\""]);
    for (key, value) in [("engine", "0123456789abcdef"), ("cpu", "A Processor")] {
        let mut other: Value = serde_json::from_str(&text).unwrap();
        other[key] = value.into();
        fs::write(&file, other.to_string()).unwrap();
        assert_eq!(
            origins(&generate(cache.path(), &[]).0),
            ["\"detected\""],
            "{key}"
        );
    }
    let mut other: Value = serde_json::from_str(&text).unwrap();
    for entry in other["entries"].as_array_mut().unwrap() {
        entry["threads"] = 2.into();
    }
    fs::write(&file, other.to_string()).unwrap();
    assert_eq!(origins(&generate(cache.path(), &[]).0), ["\"detected\""]);
}

#[test]
fn a_damaged_store_is_told_and_never_followed() {
    let cache = tempfile::tempdir().unwrap();
    tune(cache.path(), &[]);
    let file = only_file(cache.path());
    let [other, detected] = names();
    plant(&file, other);
    let text = fs::read_to_string(&file).unwrap();
    let class: Value = serde_json::from_str(&text).unwrap();
    let class = class["machine"].as_str().unwrap().to_owned();
    for (damage, said) in [
        (text[..text.len() / 2].to_owned(), "no tuning"),
        (text.replace(&class, "elsewhere"), "it is about elsewhere"),
        (
            text.replace("\"low\":2.9", "\"low\":0.9"),
            "the figures say",
        ),
        (
            text.replace(other, "faster-than-light"),
            "no kernel `faster-than-light`",
        ),
    ] {
        assert_ne!(damage, text);
        fs::write(&file, damage).unwrap();
        let (document, told) = generate(cache.path(), &[]);
        assert_eq!(origins(&document), ["\"detected\""], "{said}");
        for row in document["selection"].as_array().unwrap() {
            assert_eq!(row["kernel"], detected);
        }
        assert!(
            told.contains("WARNING") && told.contains(said),
            "{said}: {told}"
        );
        assert!(told.contains("`bitgauge tune` writes a new one"), "{told}");
    }
    let ended = end(&mut call(
        cache.path(),
        &["tune", "tiny", "--max-time", "0.1"],
    ));
    assert!(ended.stderr.contains("measuring again"), "{ended:?}");
    assert_eq!(document(&ended)["sizes"][0]["fresh"], true);
    assert_eq!(origins(&generate(cache.path(), &[]).0), ["\"tuned\""]);
}

#[test]
fn what_a_cap_forbids_is_never_used() {
    if Isa::highest() == Isa::Portable {
        eprintln!("skipped: there is nothing to cap");
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    tune(cache.path(), &[]);
    let file = only_file(cache.path());
    let arguments = ["generate", "tiny", "--tokens", "1", "--max-tokens", "2"];
    let capped = || {
        let mut command = call(cache.path(), &arguments);
        end(command.env("BITGAUGE_ISA", "portable"))
    };
    // Another key: nothing is known.
    let ended = capped();
    assert_eq!(origins(&document(&ended)), ["\"detected\""]);
    // Only then the head is not quantised by default.
    assert!(document(&ended)["head"].is_null(), "{ended:?}");
    assert!(generate(cache.path(), &[]).0["head"].is_object());

    // And a file that was made to look like one of the capped machine is refused.
    let machine = file.file_name().unwrap().to_str().unwrap();
    let forged = machine.replace(Isa::highest().name(), "portable");
    let text = fs::read_to_string(&file).unwrap();
    let class = |name: &str| name["tuning-".len()..name.len() - ".json".len()].to_owned();
    let text = text.replace(&class(machine), &class(&forged));
    fs::write(cache.path().join(&forged), text).unwrap();
    let ended = capped();
    assert!(ended.stderr.contains("WARNING"), "{ended:?}");
    let forbidden = "BITGAUGE_ISA caps this process at portable";
    assert!(ended.stderr.contains(forbidden), "{ended:?}");
    for row in document(&ended)["selection"].as_array().unwrap() {
        assert_eq!(row["kernel"], "tmac-scalar");
        assert_eq!(row["origin"], "detected");
    }
}

#[test]
fn what_can_t_be_measured_is_refused_before_any_time_is_spent() {
    let cache = tempfile::tempdir().unwrap();
    let tune = |arguments: &[&str]| {
        let mut command = bitgauge(["tune"]);
        command.args(arguments).env("BITGAUGE_CACHE", cache.path());
        command
    };
    refused(&mut tune(&["nowhere"]), "neither a folder");
    refused(&mut tune(&["0x64"]), "0x64");
    refused(
        &mut tune(&["tiny", "--kernels", "fast"]),
        "no kernel `fast`",
    );
    refused(
        tune(&["tiny", "--kernels", "maddubs-avx2"]).env("BITGAUGE_ISA", "portable"),
        "maddubs-avx2",
    );
    refused(&mut tune(&["tiny", "--max-time", "0"]), "above 0");
    refused(&mut tune(&["tiny", "--threads", "4096"]), "4096");
    let mut homeless = tune(&["tiny"]);
    for variable in ["BITGAUGE_CACHE", "XDG_CACHE_HOME", "HOME"] {
        homeless.env_remove(variable);
    }
    refused(&mut homeless, "BITGAUGE_CACHE");
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_no_shape() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("64x64")).unwrap();
    let mut tune = call(folder.path(), &["tune", "64x64", "--max-time", "100ms"]);
    refused(tune.current_dir(folder.path()), "symbolic link");
}

#[test]
fn a_cache_that_can_t_be_read_is_told_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let tune = ["tune", "64x64", "--max-time", "100ms"];
    let ended = refused(&mut call(&file, &tune), "file");
    assert!(!ended.stderr.contains("judging"), "{ended:?}");
}

/// Nothing can be made in that folder, as on a full disk.
#[cfg(target_os = "linux")]
#[test]
fn what_was_measured_is_said_although_it_can_t_be_kept() {
    let [other, _] = names();
    let mut tune = bitgauge(["tune", "64x64", "--max-time", "100ms", "--threads", "1"]);
    tune.args(["--kernels", other]);
    let ended = end(tune.env("BITGAUGE_CACHE", "/proc/bitgauge"));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stdout.contains("64x64         gets "), "{ended:?}");
    assert!(ended.stderr.contains("/proc/bitgauge"), "{ended:?}");
}
