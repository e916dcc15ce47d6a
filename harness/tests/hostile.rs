//! Checkpoints and golden files that are broken, or made to do harm, are refused: exit 2, at once,
//! in one line that names the file, with little memory and never with a panic.

mod program;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bitgauge::fixtures::{Document, Reject};
use bitgauge_engine::checkpoint::{Checkpoint, CheckpointError, Linear, Norm};
use program::{Ended, bitgauge, copy_of, end, fixtures, refused};

/// Nothing hostile may keep the program busy for longer.
const AT_ONCE: Duration = Duration::from_secs(1);

const TENSORS: &str = "model.safetensors";

fn generate(model: &Path) -> Command {
    generate_up_to("1", model)
}

fn generate_up_to(tokens: &str, model: &Path) -> Command {
    let mut command = bitgauge(["generate", "--tokens", "1", "--max-tokens", tokens]);
    command.arg(model);
    command
}

/// `command` is refused at once, in one line that names `file`.
fn refused_at_once(command: &mut Command, file: &str) -> Ended {
    let ended = refused(command, file);
    assert!(ended.took < AT_ONCE, "{ended:?}");
    let line = ended.stderr.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "more than a line: {line}");
    assert!(line.len() < 1000, "{} bytes of error", line.len());
    ended
}

/// A good checkpoint, changed by `change`.
fn spoilt(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = copy_of(&fixtures().join("A"));
    change(folder.path());
    folder
}

/// A good checkpoint with other bytes in `file`.
fn with(file: &str, bytes: impl AsRef<[u8]>) -> tempfile::TempDir {
    spoilt(|dir| fs::write(dir.join(file), bytes).unwrap())
}

fn tensors() -> Vec<u8> {
    fs::read(fixtures().join("A").join(TENSORS)).unwrap()
}

/// A config of the good checkpoint with another value for `key`.
fn config_with(key: &str, value: impl Into<serde_json::Value>) -> String {
    let text = fs::read_to_string(fixtures().join("A/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config[key] = value.into();
    config.to_string()
}

fn recipes() -> Document<Reject> {
    Reject::read(&fixtures().join("reject.json")).unwrap()
}

#[test]
fn every_broken_checkpoint_is_refused() {
    let recipes = recipes();
    assert!(recipes.content.load.len() >= 50);
    for recipe in &recipes.content.load {
        let folder = recipes.materialise(recipe).unwrap();
        let here = folder.path().display().to_string();
        let ended = refused_at_once(&mut generate(folder.path()), &here);
        let named = [TENSORS, "config.json"]
            .iter()
            .any(|f| ended.stderr.contains(f));
        assert!(named, "{}: {ended:?}", recipe.name);
    }
}

#[test]
fn unusual_checkpoints_are_not_refused() {
    let recipes = recipes();
    assert!(!recipes.content.accept.is_empty());
    for recipe in &recipes.content.accept {
        let folder = recipes.materialise(recipe).unwrap();
        let ended = end(&mut generate(folder.path()));
        assert_eq!(ended.status, Some(0), "{}: {ended:?}", recipe.name);
    }
}

#[test]
fn prompts_that_must_fail_do() {
    let recipes = recipes();
    assert!(!recipes.content.run.is_empty());
    for recipe in &recipes.content.run {
        let tokens: Vec<String> = recipe.prompt.iter().map(u32::to_string).collect();
        let mut command = bitgauge(["generate", "--tokens", &tokens.join(",")]);
        let ended = refused(command.arg(recipes.base_folder()), "");
        assert!(!ended.stderr.is_empty(), "{}", recipe.name);
    }
}

/// Reads everything there is in a checkpoint.
fn read_whole(dir: &Path) -> Result<(), CheckpointError> {
    let checkpoint = Checkpoint::open(dir)?;
    checkpoint.embedding()?;
    checkpoint.head()?;
    checkpoint.final_norm()?;
    for layer in 0..checkpoint.config().num_hidden_layers {
        for norm in Norm::ALL {
            checkpoint.norm(layer, norm)?;
        }
        for linear in Linear::ALL {
            checkpoint.linear(layer, linear)?;
        }
    }
    Ok(())
}

/// Forty places over the file, and each edge of prefix, header and data.
#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let whole = tensors();
    let folder = spoilt(|_| ());
    read_whole(folder.path()).expect("the whole file is good");
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    let edges = [0, 1, 8, 9, header - 1, header, header + 1, whole.len() - 1];
    let spread = (0..40).map(|i| i * whole.len() / 40);
    for (i, keep) in edges.into_iter().chain(spread).enumerate() {
        fs::write(folder.path().join(TENSORS), &whole[..keep]).unwrap();
        let error = read_whole(folder.path()).expect_err("a part is not the whole");
        assert!(error.to_string().contains(TENSORS), "{keep}: {error}");
        if i % 5 == 0 {
            refused_at_once(&mut generate(folder.path()), TENSORS);
        }
    }
}

/// A flip may give another good checkpoint; it may never give a panic.
#[test]
fn a_flipped_bit_is_refused_or_makes_another_checkpoint() {
    let whole = tensors();
    let folder = spoilt(|_| ());
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    // Header and data get half of the flips each; 37 and 8 share no factor, so all bits have turns.
    let in_header = (0..100).map(|i| (i * header / 100, i * 37 % 8));
    let in_data = (0..100).map(|i| (header + i * (whole.len() - header) / 100, i * 37 % 8));
    let (mut refusals, mut accepted) = (0, 0);
    for (i, (at, bit)) in in_header.chain(in_data).enumerate() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        fs::write(folder.path().join(TENSORS), bytes).unwrap();
        let read = read_whole(folder.path());
        match &read {
            Ok(()) => accepted += 1,
            Err(error) => {
                refusals += 1;
                assert!(error.to_string().contains(TENSORS), "{at}: {error}");
            }
        }
        if i % 20 == 0 {
            let ended = end(&mut generate(folder.path()));
            let expected = if read.is_ok() { 0 } else { 2 };
            assert_eq!(ended.status, Some(expected), "byte {at}: {ended:?}");
        }
    }
    assert!(
        refusals > 50 && accepted > 20,
        "{refusals} refused, {accepted} accepted"
    );
}

#[test]
fn a_config_with_a_flipped_bit_does_not_panic() {
    let whole = fs::read(fixtures().join("A/config.json")).unwrap();
    let folder = spoilt(|_| ());
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(folder.path().join("config.json"), bytes).unwrap();
        if let Err(error) = read_whole(folder.path()) {
            let error = error.to_string();
            assert!(
                error.contains("config.json") || error.contains(TENSORS),
                "{at}: {error}"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused() {
    for file in [TENSORS, "config.json"] {
        let in_place = |put: fn(&Path)| {
            spoilt(|dir| {
                let path = dir.join(file);
                fs::remove_file(&path).unwrap();
                put(&path);
            })
        };
        let fifo = |path: &Path| {
            let made = Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success());
        };
        let puts: [fn(&Path); 5] = [
            |path| fs::create_dir(path).unwrap(),
            fifo,
            |path| fs::write(path, "").unwrap(),
            |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
            |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        ];
        for put in puts {
            let folder = in_place(put);
            refused_at_once(&mut generate(folder.path()), file);
            refused_at_once(bitgauge(["inspect"]).arg(folder.path()), file);
        }
        let missing = in_place(|_| ());
        refused_at_once(&mut generate(missing.path()), file);
    }
    refused_at_once(
        &mut generate(&fixtures().join("A/config.json")),
        "config.json",
    );
}

#[test]
fn files_too_large_for_their_kind_are_refused_without_reading_them() {
    const GIB: u64 = 1 << 30;
    for file in ["config.json", "model.safetensors.index.json", TENSORS] {
        let folder = spoilt(|dir| {
            let file = fs::File::create(dir.join(file)).unwrap();
            file.set_len(GIB).unwrap();
            if dir.join("model.safetensors.index.json").exists() {
                fs::remove_file(dir.join(TENSORS)).unwrap();
            }
        });
        refused_at_once(&mut generate(folder.path()), file);
    }
}

#[test]
fn json_nested_too_deeply_is_refused() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep_value = format!("{{\"a\":{deep}}}");

    for text in [&deep, &deep_value] {
        let folder = with("config.json", text);
        refused_at_once(&mut generate(folder.path()), "config.json");

        let mut file = (text.len() as u64).to_le_bytes().to_vec();
        file.extend(text.bytes());
        let folder = with(TENSORS, file);
        refused_at_once(&mut generate(folder.path()), TENSORS);

        let folder = with("golden.json", text);
        let verify = ["verify", "--kernel", "naive", "--fixtures"];
        let ended = refused(bitgauge(verify).arg(folder.path()), "golden.json");
        assert!(ended.took < AT_ONCE, "{ended:?}");
    }
}

#[test]
fn an_index_can_t_lead_out_of_the_folder() {
    let outside = fixtures().canonicalize().unwrap().join("A").join(TENSORS);
    let index = "model.safetensors.index.json";
    for shard in [
        OsStr::new("../model.safetensors"),
        OsStr::new("a/../../model.safetensors"),
        outside.as_os_str(),
        OsStr::new(""),
        OsStr::new("."),
        OsStr::new(".."),
    ] {
        let map = serde_json::json!({
            "weight_map": { "model.norm.weight": shard.to_str().unwrap() }
        });
        // A shard that is there all the same, so that only the rule can refuse it.
        let parent = tempfile::tempdir().unwrap();
        fs::copy(&outside, parent.path().join(TENSORS)).unwrap();
        let dir = parent.path().join("model");
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::copy(fixtures().join("A/config.json"), dir.join("config.json")).unwrap();
        fs::write(dir.join(index), map.to_string()).unwrap();
        let ended = refused_at_once(&mut generate(&dir), index);
        assert!(ended.stderr.contains("inside the folder"), "{ended:?}");
    }
}

/// `call` with no more than 2 GB of address space.
#[cfg(target_os = "linux")]
fn in_little_memory(call: &Command) -> Command {
    within("2000000", call)
}

/// `call` with so many kB of address space.
#[cfg(target_os = "linux")]
fn within(kilobytes: &str, call: &Command) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -v $1 && shift && exec \"$@\"",
            "sh",
            kilobytes,
        ])
        .arg(call.get_program())
        .args(call.get_args())
        // Arenas of malloc take address space by thread, not memory.
        .args(["--threads", "1"])
        .stdin(Stdio::null());
    command
}

#[cfg(target_os = "linux")]
#[test]
fn sizes_that_are_only_claimed_cost_no_memory() {
    let good = spoilt(|_| ());
    let ended = end(&mut in_little_memory(&generate(good.path())));
    assert_eq!(ended.status, Some(0), "the limit leaves room: {ended:?}");

    let mut long_header = tensors();
    long_header[..8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let folder = with(TENSORS, long_header);
    refused_at_once(&mut in_little_memory(&generate(folder.path())), TENSORS);

    for key in [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "max_position_embeddings",
    ] {
        let folder = with("config.json", config_with(key, 1u64 << 40));
        if key == "max_position_embeddings" {
            // Positions cost memory only where they are used.
            let ended = end(&mut in_little_memory(&generate(folder.path())));
            assert_eq!(ended.status, Some(0), "{ended:?}");
            let all = generate_up_to("1099511627775", folder.path());
            refused_at_once(&mut in_little_memory(&all), "memory");
        } else {
            let here = folder.path().display().to_string();
            refused_at_once(&mut in_little_memory(&generate(folder.path())), &here);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_is_missing_is_told() {
    let cache = tempfile::tempdir().unwrap();
    let shape_within = |kilobytes: &str, arguments: &[&str]| {
        let mut call = within(kilobytes, &bitgauge(arguments));
        call.env("BITGAUGE_CACHE", cache.path());
        call
    };
    let shape = |arguments: &[&str]| shape_within("400000", arguments);
    let little = "and 0.4 GB are available; ";
    for one in [
        &["generate", "2b4t", "--tokens", "1"][..],
        &["bench", "2b4t"],
        &["scaling", "--model", "2b4t"],
    ] {
        refused_at_once(&mut shape(one), little);
    }
    let out = cache.path().join("run");
    for (form, helps) in [(&[][..], "--quick, which"), (&["--quick"], "with --model")] {
        let mut run = shape(&["run", "--suite", "ladder"]);
        let run = run.args(form).arg("--out").arg(&out);
        let told = refused_at_once(run, little);
        assert!(
            told.stderr.trim_end().ends_with(helps) || form.is_empty(),
            "{told:?}"
        );
        assert!(told.stderr.contains(helps), "{told:?}");
    }
    let mut repack = shape(&["repack", "2b4t"]);
    refused_at_once(repack.arg("--out").arg(&out), little);
    assert!(!out.exists());
    // Room for the least form of it, and not for the head's quantised copy as well.
    let generate = ["generate", "2b4t", "--tokens", "1"];
    refused(&mut shape_within("1100000", &generate), "no memory for");
    // Operands have nobody to tell: the program ends all the same as one that could not run.
    let says = "memory allocation of 400000000 bytes failed";
    refused(&mut shape(&["tune", "20000x20000"]), says);
}

/// What a terminal takes for an order: it clears the line.
const ORDER: &str = "\u{1b}[2K";

/// The good checkpoint with one more tensor, which nothing reads.
fn with_extra_tensor(name: &str) -> tempfile::TempDir {
    let bytes = tensors();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    header[name] = serde_json::json!({
        "dtype": "U8", "shape": [8], "data_offsets": [data.len(), data.len() + 8]
    });
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    with(TENSORS, [&length, &header[..], data, &[0; 8]].concat())
}

#[test]
fn no_name_in_a_file_gives_orders_to_a_terminal() {
    let safe = |command: &mut Command, status: i32, holds: &str| {
        let ended = end(command);
        assert_eq!(ended.status, Some(status), "{ended:?}");
        for text in [&ended.stdout, &ended.stderr] {
            assert!(!text.contains('\u{1b}'), "{ended:?}");
        }
        let said = [ended.stdout, ended.stderr].concat();
        assert!(said.contains(holds), "{said}");
        said
    };
    let extra = with_extra_tensor(&format!("a\nb{ORDER}"));
    let said = safe(
        bitgauge(["inspect"]).arg(extra.path()),
        0,
        "ignored: tensor",
    );
    let line = said.lines().find(|l| l.starts_with("ignored:")).unwrap();
    assert!(line.contains("a b"), "a name forges no line: {line}");

    let parent = tempfile::tempdir().unwrap();
    let model = parent.path().join(format!("model{ORDER}"));
    fs::rename(copy_of(&fixtures().join("A")).path(), &model).unwrap();
    let packed = parent.path().join("packed");
    let repack = |what: &str| {
        let mut command = bitgauge(["repack"]);
        command.arg(&model).arg(what).arg(&packed);
        command
    };
    safe(&mut repack("--out"), 0, "from model");
    safe(&mut repack("--check"), 0, "from model");
    safe(bitgauge(["inspect"]).arg(&packed), 0, "from model");
    safe(bitgauge(["inspect"]).arg(model.join("x")), 2, "model");
    safe(bitgauge(["inspect", "--json"]).arg(&model), 0, "model");

    let baseline = parent.path().join("baseline.json");
    let header = serde_json::json!({
        "kind": "bitgauge-baseline", "schema": 0, "version": ORDER
    });
    fs::write(&baseline, header.to_string()).unwrap();
    safe(bitgauge(["baseline", "show"]).arg(&baseline), 5, "schema 0");
    let results = parent.path().join(format!("{ORDER}.json"));
    fs::write(&results, "{}").unwrap();
    safe(bitgauge(["import"]).arg(&results), 2, ".json");
}

#[cfg(unix)]
#[test]
fn a_link_that_can_t_be_followed_is_told_as_such() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["loop", "gone"] {
        std::os::unix::fs::symlink("loop", parent.path().join("loop")).ok();
        std::os::unix::fs::symlink("nowhere", parent.path().join("gone")).ok();
        let told = |arguments: &[&str], status: i32| {
            let mut command = bitgauge(arguments);
            let ended = end(command.arg(name).current_dir(parent.path()));
            assert_eq!(ended.status, Some(status), "{ended:?}");
            ended.stderr
        };
        let error = told(&["inspect"], 2);
        assert!(
            error.contains(&format!("`{name}` is a symbolic link")),
            "{error}"
        );
        assert!(!error.contains("neither a folder"), "{error}");
        let error = told(&["baseline", "show"], 5);
        assert!(!error.contains("baselines/"), "{error}");
    }
}
