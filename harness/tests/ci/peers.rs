//! ci/peers.sh with a llama-bench that prints what the real one would, at a speed that is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Reports `$SPEED` token/s for the one test that it is asked for, after a line on stderr, and keeps
/// what it was called with.
const LLAMA_BENCH: &str = r#"#!/bin/sh
echo "$@" >> "$0.called"
echo "loading a model" >&2
while [ $# -gt 0 ]; do
    case $1 in
    -p) prompt=$2 ;;
    -n) generate=$2 ;;
    -t) threads=$2 ;;
    esac
    shift 2
done
cat <<END
[
  {
    "build_commit": "8cf427ff",
    "backends": "CPU",
    "model_type": "bitnet 2B I2_S",
    "n_threads": $threads,
    "n_prompt": $prompt,
    "n_gen": $generate,
    "n_depth": 0,
    "avg_ts": $SPEED,
    "stddev_ts": 0.0,
    "samples_ts": [ $SPEED ]
  }
]
END
"#;

struct Peers {
    folder: tempfile::TempDir,
}

impl Peers {
    fn new() -> Self {
        let peers = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(peers.path("a peer's model.gguf"), "").unwrap();
        peers.program("llama-bench", LLAMA_BENCH);
        peers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(name), executable).unwrap();
    }

    fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Command::new("bash")
            .arg(root.join("ci/peers.sh"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("BITGAUGE_ISA")
            .env("BITGAUGE", env!("CARGO_BIN_EXE_bitgauge"))
            .env("PEERS_OUT", self.path("out"))
            .env("PEERS_THREADS", "1")
            .env("PEERS_PROMPT", "4")
            .env("PEERS_GENERATE", "4")
            .env("PEERS_MAX_TIME", "20")
            .envs(settings.iter().copied())
            .output()
            .unwrap()
    }

    fn refused(&self, arguments: &[&str], settings: &[(&str, &str)], reason: &str) {
        let ended = self.run(arguments, settings);
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason), "{reason}: {stderr}");
    }
}

fn trained() -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/trained");
    fixtures.to_str().unwrap().to_owned()
}

/// The cells of the table's row for `test`.
fn row<'a>(table: &'a str, test: &str) -> Vec<&'a str> {
    let line = table
        .lines()
        .find(|line| line.starts_with(&format!("| {test} |")));
    let line = line.unwrap_or_else(|| panic!("no {test} in {table}"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn a_slow_peer_and_ours_are_paired_test_by_test() {
    let peers = Peers::new();
    let arguments = ["./llama-bench", "a peer's model.gguf", &trained()];
    let ended = peers.run(&arguments, &[("SPEED", "2.5")]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let table = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(
        table,
        fs::read_to_string(peers.path("out/peers.md")).unwrap()
    );
    for test in ["pp4", "tg4"] {
        let cells = row(&table, test);
        assert_eq!((cells[1], cells[2]), ("1", "2.50"), "{table}");
        assert_eq!(cells[6], "ours is faster", "{table}");
        let number = |cell: &str| cell.parse::<f64>().unwrap();
        let [ours, speedup] = [cells[3], cells[4]].map(number);
        assert!((speedup / (ours / 2.5) - 1.0).abs() < 0.01, "{table}");
        let verdicts = peers.path(&format!("out/{test}-t1/verdicts.json"));
        let verdicts: Value = serde_json::from_str(&fs::read_to_string(verdicts).unwrap()).unwrap();
        assert_eq!(verdicts["times"], "as reported by the programs");
    }
    assert!(table.contains("other weights"), "{table}");
    let called = fs::read_to_string(peers.path("llama-bench.called")).unwrap();
    let model = peers.path("a peer's model.gguf");
    for test in ["-p 4 -n 0", "-p 0 -n 4"] {
        let call = format!("-m {} {test} -t 1 -r 1 -o json", model.display());
        assert!(called.contains(&call), "{call}: {called}");
    }
}

#[test]
fn a_fast_peer_is_no_failure() {
    let peers = Peers::new();
    let arguments = ["./llama-bench", "a peer's model.gguf", &trained()];
    let settings = [("SPEED", "99999999"), ("PEERS_PROMPT", "0")];
    let ended = peers.run(&arguments, &settings);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let table = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(row(&table, "tg4")[6], "ours is slower", "{table}");
    assert!(!table.contains("| pp"), "{table}");
}

#[test]
fn what_cannot_be_paired_is_refused_before_anything_is_timed() {
    let peers = Peers::new();
    let ours = trained();
    let (peer, model) = ("./llama-bench", "a peer's model.gguf");
    peers.program("chatty", "#!/bin/sh\necho '| model | size |'\n");
    peers.program("broken", "#!/bin/sh\necho 'no such tensor' >&2\nexit 1\n");
    fs::write(peers.path("text"), "").unwrap();
    let speed = ("SPEED", "2.5");
    for (arguments, settings, reason) in [
        (&[peer][..], &[speed][..], "usage"),
        (&["./nowhere", model], &[speed], "no such file"),
        (&["./text", model], &[speed], "not executable"),
        (&[peer, "nowhere.gguf"], &[speed], "no such file"),
        (&["./chatty", model, &ours], &[speed], "printed no JSON"),
        (&["./broken", model, &ours], &[speed], "no such tensor"),
        (&[peer, model, &ours], &[("SPEED", "0")], "above zero"),
        // The peer's file is no model of ours.
        (&[peer, model], &[speed], "bitgauge can't use"),
        (
            &[peer, model, &ours],
            &[speed, ("PEERS_THREADS", "0")],
            "PEERS_THREADS",
        ),
        (
            &[peer, model, &ours],
            &[speed, ("PEERS_PROMPT", "x")],
            "PEERS_PROMPT",
        ),
        (
            &[peer, model, &ours],
            &[speed, ("PEERS_PROMPT", "0"), ("PEERS_GENERATE", "0")],
            "nothing to compare",
        ),
    ] {
        peers.refused(arguments, settings, reason);
        assert!(!peers.path("out/peers.md").exists(), "{reason}");
    }
    // Nor is a folder of somebody else's removed.
    fs::create_dir(peers.path("precious")).unwrap();
    fs::write(peers.path("precious/file"), "").unwrap();
    let precious = peers.path("precious");
    let out = ("PEERS_OUT", precious.to_str().unwrap());
    peers.refused(&[peer, model, &ours], &[speed, out], "name another folder");
    assert!(precious.join("file").exists());
}
