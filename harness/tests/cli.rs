//! The command line as a user sees it: exit statuses, one document on stdout, words on stderr.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bitgauge_engine::isa::Isa;
use program::{Ended, bitgauge, copy_of, end, fixtures, refused};
use serde_json::{Value, json};

/// The document on stdout, which must be the only thing there.
fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|e| panic!("stdout is no JSON document ({e}): {ended:?}"))
}

/// A golden folder's name as an argument.
fn folder(name: &str) -> String {
    fixtures().join(name).display().to_string()
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn ids(tokens: &Value) -> String {
    let ids: Vec<String> = tokens
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    ids.join(",")
}

#[test]
fn usage_errors_are_status_2() {
    refused(&mut bitgauge([""; 0]), "Usage");
    refused(&mut bitgauge(["frobnicate"]), "frobnicate");
    refused(
        &mut bitgauge(["generate", &folder("A")]),
        "<--tokens <IDS>|--prompt <TEXT>>",
    );
    refused(
        &mut bitgauge(["repack", &folder("A")]),
        "<--out <FILE>|--check <FILE>>",
    );
    refused(&mut bitgauge(["inspect"]), "MODEL");
    assert_eq!(end(&mut bitgauge(["--help"])).status, Some(0));
    assert_eq!(end(&mut bitgauge(["--version"])).status, Some(0));
}

/// A pipe that nobody reads.
fn closed() -> std::io::PipeWriter {
    let (_, writer) = std::io::pipe().unwrap();
    writer
}

/// What was asked for as files is there, whoever reads the rest.
#[test]
fn files_are_written_although_nobody_reads_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = bitgauge(["compare", "--max-time", "1", "--command", "true", "true"]);
    let ended = end(command.arg("--out").arg(&out).stdout(closed()));
    assert_eq!(ended.status, Some(141), "{ended:?}");
    for file in ["report.md", "samples.json"] {
        assert!(out.join(file).exists(), "{file}: {ended:?}");
    }
}

/// A folder where a file belongs refuses it, as a full disk does.
#[test]
fn what_was_measured_is_said_although_files_can_t_be_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("report.md")).unwrap();
    for json in [&[][..], &["--json"]] {
        let mut command = bitgauge(["compare", "--max-time", "1", "--command", "true", "true"]);
        let ended = end(command.args(json).arg("--out").arg(folder.path()));
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.stdout.contains("speedup"), "{ended:?}");
        assert!(ended.stderr.contains("report.md"), "{ended:?}");
        assert!(!ended.stdout.contains("written to"), "{ended:?}");
    }
}

/// Minutes of measuring are not for a folder that can't be had.
#[test]
fn an_output_that_can_t_be_written_is_refused_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    for arguments in [
        &["compare", "--command", "true", "true"][..],
        &["compare", "naive", "naive@1", "--shape", "8x64"],
        &["selftest", "--only", "gate"],
        &["gate", "--against", "HEAD"],
        &["scaling", "--quick"],
    ] {
        let ended = refused(bitgauge(arguments).arg("--out").arg(&file), "file: can't");
        assert!(!ended.stderr.contains("building"), "{ended:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

/// Both sides write as much as they want, which is compared without being held.
#[cfg(target_os = "linux")]
#[test]
fn output_that_is_compared_takes_no_memory() {
    let write = "head -c 300000000 /dev/zero";
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 250000 && exec \"$@\"", "sh"]);
    limited.arg(env!("CARGO_BIN_EXE_bitgauge"));
    limited.args(["--threads", "1", "compare", "--max-time", "1", "--command"]);
    let ended = end(limited.args(["--same-output", write, write]));
    assert!(matches!(ended.status, Some(0 | 4)), "{ended:?}");
}

#[test]
fn what_is_missing_comes_with_what_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["baseline", "check", "nowhere"][..],
        &["baseline", "show", "nowhere.json"],
        &["gate", "--baseline", "nowhere"],
    ] {
        let ended = end(bitgauge(arguments).current_dir(folder.path()));
        assert_eq!(ended.status, Some(5), "{ended:?}");
        assert!(
            ended.stderr.contains("`bitgauge baseline save`"),
            "{ended:?}"
        );
    }
    let ended = refused(&mut bitgauge(["ladder", "nope"]), "nope");
    assert!(ended.stderr.contains("three-fixes, limit"), "{ended:?}");
}

/// Before anything is measured: that would take minutes.
#[test]
fn a_ladder_of_more_tokens_than_the_models_take_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ladder = folder.path().join("ladder.toml");
    let text = include_str!("../ladders/three-fixes.toml");
    let (context, tokens) = ("context = 512\n[original]", "tokens = 4097");
    for (from, to) in [("[original]", context), ("tokens = 50", tokens)] {
        fs::write(&ladder, text.replacen(from, to, 1)).unwrap();
        let mut command = bitgauge(["ladder", "--quick", "--model", "tiny", "--threads", "1"]);
        command
            .arg(&ladder)
            .arg("--out")
            .arg(folder.path().join("run"));
        let ended = refused(&mut command, to.lines().next().unwrap());
        assert!(!ended.stderr.contains("judging"), "{ended:?}");
        // The folder is that run's, and does not go on with a ladder that was edited meanwhile.
        let edited = text
            .replacen(from, to, 1)
            .replacen("\nid = \"", "\nid = \"not-", 1);
        fs::write(&ladder, edited).unwrap();
        refused(&mut command, "other settings (ladder: ");
        fs::remove_dir_all(folder.path().join("run")).unwrap();
    }
}

#[test]
fn unknown_names_are_status_2_and_the_known_ones_are_told() {
    let a = folder("A");
    for arguments in [
        &["generate", &a, "--tokens", "1", "--kernel", "nosuch"][..],
        &["verify", "--kernel", "nosuch"],
    ] {
        let ended = refused(&mut bitgauge(arguments), "no kernel `nosuch`");
        assert!(ended.stderr.contains("tmac-scalar"), "{ended:?}");
    }
    let ended = refused(
        &mut bitgauge(["generate", &a, "--tokens", "1", "--kv", "nosuch"]),
        "`nosuch`",
    );
    assert!(ended.stderr.contains("f32, bf16, int8"), "{ended:?}");
    for arguments in [
        &["generate", "nosuch", "--tokens", "1"][..],
        &["inspect", "nosuch"],
        &["run", "--quick", "--model", "nosuch"],
        &["ladder", "--quick", "--model", "nosuch"],
    ] {
        let ended = refused(&mut bitgauge(arguments), "`nosuch`");
        assert!(ended.stderr.contains("2b4t"), "{ended:?}");
    }
}

#[test]
fn nothing_to_check_is_status_2() {
    let empty = tempfile::tempdir().unwrap();
    let missing = empty.path().join("missing");
    let verify = |dir: &Path| bitgauge(["verify".as_ref(), "--fixtures".as_ref(), dir.as_os_str()]);
    refused(&mut verify(empty.path()), "no fixtures here");
    refused(&mut verify(&missing), "missing");
}

#[test]
fn json_is_one_document_alone_on_stdout() {
    let a = folder("A");
    let of = |arguments: &[&str]| {
        let ended = end(bitgauge(arguments).arg("--json"));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        document(&ended)
    };
    let kernels = of(&["kernels"]);
    let names: Vec<_> = kernels["kernels"].as_array().unwrap().iter().collect();
    assert_eq!(names[0]["name"], "naive");
    assert_eq!(names.iter().filter(|k| k["default"] == true).count(), 1);

    let model = of(&["inspect", &a]);
    assert_eq!(model["hidden_size"], 64);
    assert_eq!(model["vocabulary"], 96);

    let said = of(&["generate", &a, "--tokens", "1", "--max-tokens", "3"]);
    assert_eq!(said["prompt_tokens"], json!([1]));
    assert_eq!(said["tokens"].as_array().unwrap().len(), 3);
    assert_eq!(said["ended_by"], "length");

    let verified = of(&["verify", "--fixtures", &a]);
    assert_eq!(verified["totals"]["failed"], 0);
    assert!(verified["totals"]["passed"].as_u64() > Some(0));
}

#[test]
fn loading_is_held_against_reading_and_fresh_memory() {
    let model = fixtures().join("trained");
    let path = model.to_str().unwrap();
    let ended = end(&mut bitgauge(["inspect", path, "--load", "--json"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let loading = serde_json::from_str::<Value>(&ended.stdout).unwrap()["loading"].take();
    let bytes =
        ["config.json", "model.safetensors"].map(|f| fs::metadata(model.join(f)).unwrap().len());
    assert_eq!(loading["file_bytes"], bytes.iter().sum::<u64>());
    let [load, read, fresh] = ["load_s", "read_s", "fresh_s"].map(|key| -> [f64; 3] {
        let seconds: [f64; 3] = serde_json::from_value(loading[key].clone()).unwrap();
        assert!(seconds.iter().all(|&s| s > 0.0), "{key}: {seconds:?}");
        seconds
    });
    let median = |below: [f64; 3]| {
        let mut of: Vec<f64> = load.iter().zip(below).map(|(l, b)| l / b).collect();
        of.sort_by(f64::total_cmp);
        of[1]
    };
    let floor = std::array::from_fn(|round| read[round] + fresh[round]);
    for (key, right) in [("ratio", median(read)), ("ratio_to_floor", median(floor))] {
        let said = loading[key].as_f64().unwrap();
        assert!((said / right - 1.0).abs() < 1e-9, "{key}: {said}, {right}");
    }
    refused(
        &mut bitgauge(["inspect", "tiny", "--load"]),
        "synthetic_checkpoint",
    );
}

/// The golden files say up to which token every right decoder must agree.
#[test]
fn generate_continues_the_golden_prompts() {
    let mut compared = 0;
    for name in ["A", "C", "trained"] {
        let golden = read_json(&fixtures().join(name).join("golden.json"));
        for case in golden["cases"].as_array().unwrap() {
            let strict = case["strict_prefix"].as_u64().unwrap() as usize;
            let (prompt, n) = (ids(&case["prompt"]), strict.to_string());
            let model = folder(name);
            let arguments = ["generate", &model, "--tokens", &prompt, "--max-tokens", &n];
            let said = document(&end(bitgauge(arguments).arg("--json")));
            let expected = &case["continuation"].as_array().unwrap()[..strict];
            assert_eq!(said["tokens"], json!(expected), "{name} {}", case["id"]);
            compared += strict;
        }
    }
    assert!(compared > 50, "only {compared} tokens were compared");
}

/// What stands on the command line reaches sampler, cache and model.
#[test]
fn generate_does_what_it_is_asked_for() {
    let model = copy_of(&fixtures().join("A"));
    let said = |arguments: &[&str]| {
        let mut command = bitgauge([
            "generate",
            "--json",
            "--tokens",
            "3,1,4",
            "--max-tokens",
            "20",
        ]);
        document(&end(command.arg(model.path()).args(arguments)))
    };
    let tokens = |arguments: &[&str]| said(arguments)["tokens"].clone();

    let likeliest = tokens(&[]);
    let hot = ["--temperature", "9"];
    let with = |more: [&'static str; 2]| [hot, more].concat();
    let drawn = tokens(&with(["--seed", "1"]));
    assert_eq!(drawn, tokens(&with(["--seed", "1"])));
    assert_ne!(drawn, tokens(&with(["--seed", "2"])));
    assert_ne!(drawn, likeliest);
    assert_eq!(tokens(&with(["--top-k", "1"])), likeliest);
    assert_eq!(tokens(&with(["--top-p", "0.0001"])), likeliest);

    // Two layers, keys and values, two heads of 16 numbers, and for int8 a scale each.
    for (format, bytes) in [("f32", 512), ("bf16", 256), ("int8", 160)] {
        let cache = said(&["--kv", format])["cache"].clone();
        assert_eq!(
            cache,
            json!({"format": format, "bytes_per_position": bytes})
        );
    }

    let known = likeliest.as_array().unwrap();
    let first = known.iter().position(|token| *token == known[3]).unwrap();
    let path = model.path().join("config.json");
    let mut config = read_json(&path);
    config["eos_token_id"] = known[3].clone();
    fs::write(path, config.to_string()).unwrap();
    let ended = said(&[]);
    assert_eq!(ended["ended_by"], "end token");
    assert_eq!(ended["tokens"], json!(known[..first]));
}

#[test]
fn golden_answers_that_disagree_are_status_3() {
    let verify = |dir: &Path| {
        let arguments = ["verify", "--json", "--kernel", "naive", "--fixtures"];
        end(bitgauge(arguments).arg(dir))
    };

    let sound = copy_of(&fixtures().join("A"));
    assert_eq!(verify(sound.path()).status, Some(0));

    let other_logit = copy_of(&fixtures().join("A"));
    let path = other_logit.path().join("golden.json");
    let mut golden = read_json(&path);
    let block = &mut golden["cases"][0]["continuation_logits_b64"];
    let mut logits = BASE64_STANDARD.decode(block.as_str().unwrap()).unwrap();
    let first = logits.first_chunk_mut::<4>().unwrap();
    *first = (f32::from_le_bytes(*first) - 0.01).to_le_bytes();
    *block = BASE64_STANDARD.encode(logits).into();
    fs::write(&path, golden.to_string()).unwrap();

    let other_trit = copy_of(&fixtures().join("A"));
    let path = other_trit.path().join("model.safetensors");
    let mut tensors = fs::read(&path).unwrap();
    // Inside a packed weight; the codes are 0, 1 and 2.
    let byte = &mut tensors[26953];
    *byte = (*byte & !3) | (*byte & 3 == 0) as u8;
    fs::write(&path, tensors).unwrap();

    for spoilt in [other_logit, other_trit] {
        let ended = verify(spoilt.path());
        assert_eq!(ended.status, Some(3), "{ended:?}");
        assert!(document(&ended)["totals"]["failed"].as_u64() > Some(0));
        assert!(ended.stderr.contains("FAIL"), "{ended:?}");
    }
}

#[test]
fn thread_counts_that_can_t_be_had_are_refused_by_every_command() {
    let a = folder("A");
    for arguments in [
        &["kernels"][..],
        &["inspect", &a],
        &["generate", &a, "--tokens", "1"],
        &["verify", "--fixtures", &a],
        &["run", "--quick", "--model", "tiny"],
        &["ladder", "--quick", "--model", "tiny"],
        &["report", &a],
    ] {
        refused(bitgauge(arguments).args(["--threads", "0"]), "--threads 0");
        refused(
            bitgauge(arguments).args(["--threads", "4096"]),
            "--threads 4096",
        );
        refused(bitgauge(arguments).args(["--threads", "two"]), "two");
    }
}

#[test]
fn a_cap_on_the_instruction_set_is_obeyed_and_a_wrong_one_is_refused() {
    let a = folder("A");
    let generate = ["generate", &a, "--tokens", "1", "--max-tokens", "1"];
    let portable = end(bitgauge(generate)
        .arg("--json")
        .env("BITGAUGE_ISA", "portable"));
    assert_eq!(portable.status, Some(0));
    let said = document(&portable);
    assert_eq!(said["fallbacks"], 0, "portable is the best there is");
    for row in said["selection"].as_array().unwrap() {
        assert_eq!(row["kernel"], "tmac-scalar");
    }
    assert!(!portable.stderr.contains("WARNING"), "{portable:?}");

    refused(
        bitgauge(generate)
            .args(["--kernel", "maddubs-avx2"])
            .env("BITGAUGE_ISA", "portable"),
        "maddubs-avx2",
    );
    refused(
        bitgauge(["kernels"]).env("BITGAUGE_ISA", "nonsense"),
        "nonsense",
    );
}

#[test]
fn portable_code_on_a_better_machine_is_told_aloud() {
    if Isa::Avx2.check().is_err() {
        eprintln!("skipped: this machine has nothing better than portable code");
        return;
    }
    let a = folder("A");
    let ended = end(&mut bitgauge([
        "generate", &a, "--json", "--tokens", "1", "--kernel", "naive",
    ]));
    assert_eq!(ended.status, Some(0));
    assert!(
        ended.stderr.contains("WARNING: 14 of 14 linears"),
        "{ended:?}"
    );
    assert_eq!(document(&ended)["fallbacks"], 14);
}

#[test]
fn prompts_that_the_model_can_t_take_are_status_2() {
    let a = folder("A");
    let generate = |tokens: &str| bitgauge(["generate", &a, "--tokens", tokens]);
    refused(&mut generate("5,96"), "id 96");
    refused(&mut generate("4294967296"), "4294967296");
    refused(&mut generate(""), "--tokens");
    let context = vec!["2"; 256].join(",");
    assert_eq!(end(&mut generate(&context)).status, Some(0));
    refused(&mut generate(&(context + ",2")), "257");
    refused(generate("1").args(["--temperature", "nan"]), "temperature");
    refused(generate("1").args(["--top-p", "1.5"]), "top_p");
}

#[test]
fn a_run_folder_must_be_a_folder_with_a_run_or_without() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let run = |out: &Path| {
        let mut command = bitgauge(["run", "--suite", "ladder", "--quick", "--model", "tiny"]);
        command.arg("--out").arg(out);
        command
    };
    let report = |dir: &Path| bitgauge(["report".as_ref(), dir.as_os_str()]);
    refused(&mut run(&file), "file");
    refused(&mut run(&file.join("below")), "file");
    refused(&mut report(&file), "file");
    refused(&mut report(&dir.path().join("missing")), "missing");

    let deep = "[".repeat(100_000);
    for corrupt in ["", "{", "[]", "null", "{\"schema\": 99}", "\u{0}", &deep] {
        fs::write(dir.path().join("run.json"), corrupt).unwrap();
        refused(&mut run(dir.path()), "run.json");
        refused(&mut report(dir.path()), "run.json");
    }
}

/// Nobody reads on: as by SIGPIPE, quiet and with the status that a shell gives for it.
#[test]
fn a_closed_stdout_is_status_141_and_a_full_one_status_2() {
    let a = folder("A");
    for arguments in [
        &["kernels"][..],
        &["inspect", &a],
        &["generate", &a, "--tokens", "1"],
        &["verify", "--fixtures", &a, "--kernel", "naive"],
    ] {
        for json in [&[][..], &["--json"]] {
            let ended = end(bitgauge(arguments).args(json).stdout(closed()));
            assert_eq!(ended.status, Some(141), "{arguments:?} {json:?}: {ended:?}");
            assert!(!ended.stderr.contains("can't write"), "{ended:?}");
            let mut both = bitgauge(arguments);
            let both = both.args(json).stdout(closed()).stderr(closed()).status();
            assert_eq!(both.unwrap().code(), Some(141), "{arguments:?} {json:?}");
            if let Ok(full) = fs::File::create("/dev/full") {
                let ended = end(bitgauge(arguments).args(json).stdout(full));
                assert_eq!(ended.status, Some(2), "{arguments:?} {json:?}: {ended:?}");
                assert!(ended.stderr.contains("can't write"), "{ended:?}");
            }
        }
    }
    // Nobody hears the reason; the status still tells.
    let refused = bitgauge(["inspect", "nosuch"]).stderr(closed()).status();
    assert_eq!(refused.unwrap().code(), Some(2));
}

/// Every file of a run folder, by its path below it.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(dir).unwrap().to_owned();
                files.insert(below, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Kills a run once its ladder is recorded; what is there then.
fn killed_in_the_masking_matrix(run: &mut Command, run_file: &Path) -> Value {
    let quiet = run.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn().unwrap();
    let recorded = loop {
        std::thread::sleep(Duration::from_millis(20));
        let text = fs::read_to_string(run_file).unwrap_or_default();
        match serde_json::from_str::<Value>(&text) {
            Ok(found) if found["ladder"]["is"].is_object() => break found,
            _ => assert_eq!(child.try_wait().unwrap(), None, "nothing recorded"),
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let masking = &recorded["ladder"]["is"]["masking"]["unavailable"];
    assert_eq!(masking, "the run ended before it was measured");
    recorded
}

/// One run, which is then reported, resumed, and asked for with other settings.
#[test]
fn a_run_is_rendered_again_resumed_and_never_mixed_with_another() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("run");
    let run = |arguments: &[&str]| {
        let mut command = bitgauge(["run", "--suite", "ladder", "--json", "--threads", "1"]);
        command.arg("--out").arg(&dir).args(arguments);
        command
    };
    let quick = ["--quick", "--model", "tiny"];
    let run_file = dir.join("run.json");
    let climbed = killed_in_the_masking_matrix(&mut run(&quick), &run_file);
    let first = end(&mut run(&quick));
    assert_eq!(first.status, Some(0), "{first:?}");
    assert_eq!(document(&first), read_json(&run_file));
    let measured = document(&first);
    let (before, after) = (&climbed["ladder"]["is"], &measured["ladder"]["is"]);
    for part in ["rungs", "alone", "left_out"] {
        assert_eq!(before[part], after[part], "{part}: kept");
    }
    assert!(after["masking"]["is"].is_object(), "{}", after["masking"]);
    assert!(measured["ladder"].to_string().len() > 1000, "raw samples");

    let rendered = content(&dir);
    assert!(rendered.contains_key(Path::new("index.html")));
    for page in rendered.keys().filter(|p| !p.ends_with("run.json")) {
        fs::remove_file(dir.join(page)).unwrap();
    }
    for _ in 0..2 {
        let report = end(bitgauge(["report", "--json"]).arg(&dir));
        assert_eq!(report.status, Some(0), "{report:?}");
        assert!(!document(&report)["written"].as_array().unwrap().is_empty());
        assert!(content(&dir) == rendered, "the pages are the same bytes");
    }

    let again = end(&mut run(&quick));
    assert_eq!(again.status, Some(0), "{again:?}");
    assert!(again.took < first.took / 4, "{again:?}");
    for section in ["ladder", "profiles", "model", "started", "settings"] {
        assert_eq!(document(&again)[section], measured[section], "{section}");
    }

    let before = content(&dir);
    let seed = measured["settings"]["seed"].as_u64().unwrap() + 1;
    let other_seed = ["--quick", "--model", "tiny", "--seed", &seed.to_string()];
    for (other, what) in [
        (&["--model", "tiny"][..], "quick: true there"),
        (&["--quick", "--model", &folder("trained")], "model: tiny"),
        (&other_seed, "seed:"),
    ] {
        refused(&mut run(other), what);
    }
    let mut other_suite = bitgauge(["run", "--suite", "scaling", "--threads", "1"]);
    refused(
        other_suite.args(quick).arg("--out").arg(&dir),
        "suite: ladder there",
    );
    assert!(content(&dir) == before, "a refusal leaves the run as it is");

    let text = fs::read_to_string(&run_file).unwrap();
    fs::write(&run_file, &text[..text.len() / 2]).unwrap();
    refused(&mut run(&quick), "run.json");
    refused(bitgauge(["report"]).arg(&dir), "run.json");
}
