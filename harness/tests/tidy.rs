//! The tree stays as ARCHITECTURE.md says it is.

use std::fs;
use std::path::{Path, PathBuf};

use bitgauge_engine::kernels::TABLE;

/// Lines of code that one file may have.
const LONGEST: usize = 700;

/// Files that may hold `unsafe`: kernels, those of the quantised head, float arithmetic compiled for
/// several instruction sets, what asks the processor for them, prefetching, the pool's one hand-over of borrowed work, the memory map,
/// what asks the system for pages, and yardsticks in vector
/// instructions.
const UNSAFE: [&str; 12] = [
    "engine/src/isa/x86.rs",
    "engine/src/kernels/",
    "engine/src/float.rs",
    "engine/src/head/dot.rs",
    "engine/src/prefetch.rs",
    "engine/src/threads/board.rs",
    "engine/src/checkpoint/file.rs",
    "harness/src/yardsticks/pages.rs",
    "harness/src/yardsticks/read_x86.rs",
    "harness/src/yardsticks/dot_x86.rs",
    "harness/src/yardsticks/dot_amx.rs",
    "harness/src/yardsticks/issue_x86.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files below the crates with this ending, as `(path from the root, text)`.
fn files(ending: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, ending, found);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    for crate_folder in ["engine", "harness"] {
        walk(&root.join(crate_folder), ending, &mut found);
    }
    found.sort();
    let name = |path: &Path| {
        path.strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    found
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

/// What the compiler sees: no comments, no strings that a test searches for.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

#[test]
fn files_are_short_enough_to_read() {
    for (name, text) in files(".rs") {
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST,
            "{name} has {lines} lines; {LONGEST} is the limit"
        );
    }
}

#[test]
fn unsafe_stands_where_it_may_and_says_why() {
    for (name, text) in files(".rs") {
        if name.ends_with("tests/tidy.rs") {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = code(line);
            if !code.contains("unsafe {") && !code.contains("unsafe impl") {
                continue;
            }
            let allowed = UNSAFE.iter().any(|place| name.starts_with(place));
            assert!(allowed, "{name}:{}: no place for unsafe", i + 1);
            let above = lines[i.saturating_sub(12)..=i].iter();
            let reason = above.clone().any(|l| l.contains("SAFETY:"));
            assert!(
                reason,
                "{name}:{}: an unsafe block without `// SAFETY:`",
                i + 1
            );
        }
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX", "TODO"];
    for (name, text) in files(".rs").into_iter().chain(files(".toml")) {
        assert!(
            !name.contains("utils"),
            "{name}: name a file by what it is about"
        );
        if name.ends_with("tests/tidy.rs") {
            continue;
        }
        for (i, line) in text.lines().enumerate() {
            for word in words {
                assert!(!line.contains(word), "{name}:{}: {word}", i + 1);
            }
        }
    }
}

#[test]
fn the_oracle_shares_no_code_with_the_engine() {
    for (name, text) in files(".rs") {
        if name.starts_with("harness/src/oracle/") {
            assert!(!text.contains("bitgauge_engine"), "{name} names the engine");
        }
    }
}

#[test]
fn the_engine_never_takes_a_time() {
    for (name, text) in files(".rs") {
        if name.starts_with("engine/src/") {
            assert!(
                !text.contains("Instant"),
                "{name} takes times; the harness does that"
            );
        }
    }
}

#[test]
fn the_readme_names_every_kernel() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for spec in TABLE {
        let name = format!("`{}`", spec.name());
        assert!(readme.contains(&name), "README.md does not name {name}");
    }
}

#[test]
fn fixtures_are_those_of_the_manifest() {
    let folder = root().join("fixtures");
    let text = fs::read_to_string(folder.join("MANIFEST.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = manifest["files"].as_object().unwrap();
    assert!(!files.is_empty());
    for (name, entry) in files {
        let length = fs::metadata(folder.join(name)).map(|m| m.len()).ok();
        assert_eq!(length, entry["bytes"].as_u64(), "fixtures/{name}");
    }
}
