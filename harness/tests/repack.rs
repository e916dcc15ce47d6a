//! `bitgauge repack`: the file answers as the model does, is whole or not there, and is known to be
//! of its model.

mod program;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use program::{bitgauge, copy_of, end, fixtures, refused};
use serde_json::Value;

const TOKENS: [&str; 5] = ["--json", "--tokens", "5,6,7", "--max-tokens", "12"];

fn repack(model: &Path, out: &Path) -> std::process::Command {
    let mut command = bitgauge(["repack"]);
    command.arg(model).arg("--out").arg(out);
    command
}

/// What `generate` says but for the model's name.
fn said(model: &Path) -> Value {
    let ended = end(bitgauge(["generate"]).arg(model).args(TOKENS));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("WARNING"), "{ended:?}");
    let mut document: Value = serde_json::from_str(&ended.stdout).unwrap();
    document["model"].take();
    document
}

#[test]
fn a_packed_model_answers_as_what_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trained.packed");
    let model = fixtures().join("trained");
    let ended = end(repack(&model, &out).arg("--json"));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(said(&out), said(&model));
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["bytes"], fs::metadata(&out).unwrap().len());
    let inspected = end(bitgauge(["inspect", "--json"]).arg(&out));
    let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(inspected["packed"]["origin"], told["origin"]);
    assert_eq!(inspected["packed"]["origin"]["name"], "trained");
    // Nothing else was left there.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // Packed for another kernel than runs, it answers the same and says what that costs.
    assert_eq!(
        end(repack(&model, &out).args(["--kernel", "naive"])).status,
        Some(0)
    );
    let ended = end(bitgauge(["generate", "--no-tune"]).arg(&out).args(TOKENS));
    assert!(ended.stderr.contains("is packed for naive"), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["tokens"], said(&model)["tokens"]);
}

#[test]
fn a_file_of_another_model_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (out, model) = (
        folder.path().join("a.packed"),
        copy_of(&fixtures().join("A")),
    );
    assert_eq!(end(&mut repack(model.path(), &out)).status, Some(0));
    let check = || {
        let mut command = bitgauge(["repack"]);
        command.arg(model.path()).arg("--check").arg(&out);
        command
    };
    assert_eq!(end(&mut check()).status, Some(0));
    // A norm's weight, the last bytes of the file or not: any byte makes another model.
    let weights = model.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    refused(&mut check(), "has another digest");
    assert_eq!(end(&mut repack(model.path(), &out)).status, Some(0));
    assert_eq!(end(&mut check()).status, Some(0));
}

#[test]
fn what_can_not_be_written_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.packed");
    fs::write(&out, "before").unwrap();
    let model = fixtures().join("A");
    refused(&mut repack(&folder.path().join("nosuch"), &out), "nosuch");
    refused(repack(&model, &out).args(["--kernel", "nosuch"]), "nosuch");
    assert_eq!(fs::read(&out).unwrap(), b"before");
    refused(&mut repack(&model, &out.join("below")), "below");
    refused(
        &mut repack(&model, &folder.path().join("no/such")),
        "no/such",
    );
    refused(
        &mut repack(&model, folder.path()),
        &folder.path().display().to_string(),
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    refused(bitgauge(["repack"]).arg(&model), "--out");
}

/// No file may grow beyond a few blocks: the disk is as good as full.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_midway_keeps_the_file_before() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.packed");
    let model = fixtures().join("A");
    assert_eq!(end(&mut repack(&model, &out)).status, Some(0));
    let whole = fs::read(&out).unwrap();
    assert!(whole.len() > 64 << 10, "more than the few blocks");
    let arguments = repack(&model, &out);
    let mut full = std::process::Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 32; exec \"$@\"", "sh"]);
    full.arg(arguments.get_program()).args(arguments.get_args());
    refused(&mut full, "a.packed");
    assert_eq!(fs::read(&out).unwrap(), whole);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Packing takes seconds: what can't be written is told before.
#[test]
fn a_folder_that_is_not_there_is_told_before_anything_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("missing/a.packed");
    let ended = refused(&mut repack(Path::new("2b4t"), &out), "missing/a.packed: ");
    assert!(ended.took < std::time::Duration::from_secs(1), "{ended:?}");
}

/// Whether others may read it is what the umask says, as of any other file.
#[cfg(unix)]
#[test]
fn a_file_has_the_mode_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.packed");
    let arguments = repack(&fixtures().join("A"), &out);
    let mut masked = std::process::Command::new("sh");
    masked.args(["-c", "umask 027; exec \"$@\"", "sh"]);
    masked
        .arg(arguments.get_program())
        .args(arguments.get_args());
    assert_eq!(end(&mut masked).status, Some(0));
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o777,
        0o640
    );
}

#[cfg(unix)]
#[test]
fn a_link_stays_and_where_it_leads_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("below/real", &link).unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    let real = folder.path().join("below/real");
    for before in [None, Some("before")] {
        if let Some(text) = before {
            fs::write(&real, text).unwrap();
        }
        assert_eq!(
            end(&mut repack(&fixtures().join("A"), &link)).status,
            Some(0)
        );
        assert!(link.is_symlink());
        assert!(fs::metadata(&real).unwrap().len() > 1000);
    }
    refused(
        &mut repack(&fixtures().join("A"), Path::new("/dev/null")),
        "/dev/null",
    );
    assert!(!Path::new("/dev/null").is_file());
}

/// The names of the files in `folder`.
#[cfg(unix)]
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| name(entry.unwrap())).collect()
}

/// A model of some hundred megabytes, so that a signal comes while it is written.
#[cfg(unix)]
#[test]
fn a_signal_while_it_writes_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.packed");
    fs::write(&out, "before").unwrap();
    let mut writer = repack(Path::new("700m"), &out);
    let mut writer = writer
        .args(["--kernel", "naive"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while names(folder.path()).len() == 1 {
        assert_eq!(writer.try_wait().unwrap(), None, "it wrote too fast");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&writer);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = writer.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(
        said.contains("a.packed") && said.contains("signal"),
        "{said}"
    );
    assert_eq!(names(folder.path()), ["a.packed"]);
    assert_eq!(fs::read(&out).unwrap(), b"before");
}

/// What a writer of the same file left when it was killed goes; what is still being written, or is
/// of another file, stays.
#[cfg(unix)]
#[test]
fn what_a_killed_writer_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.packed");
    let left = [
        "a.packed-000000",
        "a.packed-111111",
        "a.packed-b-222222",
        "b-333333",
    ]
    .map(|name| folder.path().join(format!(".writing-{name}")));
    for path in &left {
        fs::write(path, "left").unwrap();
    }
    let alive = fs::File::open(&left[1]).unwrap();
    alive.lock().unwrap();
    assert_eq!(
        end(&mut repack(&fixtures().join("A"), &out)).status,
        Some(0)
    );
    assert_eq!(
        left.each_ref().map(|path| path.exists()),
        [false, true, true, true]
    );
    drop(alive);
    assert_eq!(
        end(&mut repack(&fixtures().join("A"), &out)).status,
        Some(0)
    );
    assert_eq!(
        left.each_ref().map(|path| path.exists()),
        [false, false, true, true]
    );
}

/// Whoever reads meets a whole file, this one or that.
#[test]
fn ten_at_once_write_and_read_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.packed");
    let model = fixtures().join("A");
    assert_eq!(end(&mut repack(&model, &out)).status, Some(0));
    let expected = said(&model);
    let writers: Vec<_> = (0..10)
        .map(|_| {
            let mut writer = repack(&model, &out);
            writer.stdout(Stdio::null()).stderr(Stdio::null());
            writer.spawn().unwrap()
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(said(&out), expected);
    }
    for mut writer in writers {
        assert_eq!(writer.wait().unwrap().code(), Some(0));
    }
    assert_eq!(said(&out), expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.packed");
    assert_eq!(
        end(&mut repack(&fixtures().join("A"), &out)).status,
        Some(0)
    );
    let good = fs::read(&out).unwrap();
    let mut bytes = good.clone();
    let last = bytes.len() - 4096;
    bytes[last] ^= 1;
    fs::write(&out, &bytes).unwrap();
    let generate = || {
        let mut command = bitgauge(["generate"]);
        command.arg(&out).args(TOKENS);
        command
    };
    refused(&mut generate(), "checksum");
    fs::write(&out, &good[..last]).unwrap();
    refused(&mut generate(), "as its header asks for");
    refused(bitgauge(["inspect"]).arg(&out), "a.packed");
    fs::write(&out, &good).unwrap();
    assert_eq!(end(&mut generate()).status, Some(0));
}
