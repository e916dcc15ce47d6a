//! The pages for people say what is true: links lead somewhere, command lines are understood, and
//! the kernel of the guide works when somebody does what the guide says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Markdown file of the repository, as `(path from the root, text)`.
fn pages() -> Vec<(PathBuf, String)> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                if !name.starts_with('.') && !["target", "runs"].contains(&name.as_str()) {
                    walk(root, &path, found);
                }
            } else if name.ends_with(".md") {
                found.push((path, fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), Path::new(""), &mut found);
    found
}

/// The fenced blocks of a page, as `(what stands behind the fence, text)`.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("```") {
            let inside = lines.by_ref().take_while(|l| !l.starts_with("```"));
            let text = inside.fold(String::new(), |text, line| text + line + "\n");
            blocks.push((title.trim().to_owned(), text));
        }
    }
    blocks
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^) ]+)\)").unwrap();
    let mut followed = 0;
    for (path, text) in pages() {
        for found in link.captures_iter(&text) {
            let target = found[1].split('#').next().unwrap();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let folder = root().join(path.parent().unwrap());
            assert!(
                folder.join(target).exists(),
                "{}: {target} leads nowhere",
                path.display()
            );
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
}

/// The words behind `bitgauge` of a line that calls it.
fn call(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches("$ ");
    let rest = line.strip_prefix("bitgauge ").or_else(|| {
        let (cargo, rest) = line.split_once(" -- ")?;
        cargo.starts_with("cargo run").then_some(rest)
    })?;
    // Some blocks say behind a gap what a line is for; what the shell does with the output is not
    // for bitgauge.
    let words = shlex::split(rest.split("   ").next()?)?;
    let own = words.into_iter().take_while(|w| w != ">" && w != "|");
    Some(own.collect())
}

#[test]
fn command_lines_are_understood() {
    let mut understood = 0;
    for (path, text) in pages() {
        for (_, block) in blocks(&text) {
            for line in block.lines() {
                let Some(words) = call(line) else { continue };
                let words = std::iter::once("bitgauge".to_owned()).chain(words);
                if let Err(error) = bitgauge::cli::grammar().try_get_matches_from(words) {
                    panic!("{}: `{line}`: {error}", path.display());
                }
                understood += 1;
            }
        }
    }
    assert!(understood > 20, "only {understood} were found");
}

/// In running text: the command exists, and so does each of its flags.
#[test]
fn commands_in_sentences_exist() {
    let span = Regex::new(r"`bitgauge ([a-z]+)([^`]*)`").unwrap();
    let flag = Regex::new(r"(?:^|[ \[])--([a-z][a-z-]*)").unwrap();
    let mut grammar = bitgauge::cli::grammar();
    grammar.build();
    let mut seen = 0;
    for (path, text) in pages() {
        for found in span.captures_iter(&text) {
            let what = format!("{}: {}", path.display(), &found[0]);
            let command = grammar
                .find_subcommand(&found[1])
                .unwrap_or_else(|| panic!("{what}: no such command"));
            let own = command
                .get_arguments()
                .chain(command.get_subcommands().flat_map(|c| c.get_arguments()));
            let known: Vec<&str> = own.filter_map(|a| a.get_long()).collect();
            for found in flag.captures_iter(&found[2]) {
                assert!(known.contains(&&found[1]), "{what}: no --{}", &found[1]);
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} were found");
}

/// The files of a folder, by their path from `root`.
fn files_of(root: &Path, folder: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files_of(root, &path, files);
        } else {
            files.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

/// Writes only what differs, so that nothing is compiled twice.
fn put(path: &Path, bytes: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(bytes) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// `text` with the added lines of a diff, each behind the line that the diff has before it.
fn with_added(text: &str, diff: &str) -> String {
    let (mut text, mut before) = (text.to_owned(), None);
    for line in diff.lines() {
        let (mark, line) = line.split_at(1);
        let line = format!("{line}\n");
        match mark {
            " " => assert_eq!(text.matches(&line).count(), 1, "{line} is not there once"),
            "+" => {
                let context: &String = before.as_ref().expect("context before what is added");
                text = text.replacen(context, &format!("{context}{line}"), 1);
            }
            _ => panic!("{mark}{line}: only additions are meant"),
        }
        before = Some(line);
    }
    text
}

/// What the page says, done to a copy of the engine: a workspace of its own, with nothing to fetch.
#[test]
fn the_kernel_of_the_guide_is_listed_and_exact() {
    const TABLE: &str = "engine/src/kernels/mod.rs";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own-kernel");
    let (root, here) = (root(), folder.join("repository"));
    let mut files = BTreeMap::new();
    files_of(&root, "engine/src", &mut files);
    for name in [
        "Cargo.lock",
        "Cargo.toml",
        "engine/Cargo.toml",
        "engine/build.rs",
        "engine/tests/kernels.rs",
    ] {
        files.insert(name.into(), fs::read(root.join(name)).unwrap());
    }
    let workspace = String::from_utf8(files["Cargo.toml"].clone()).unwrap();
    let members = "members = [\"engine\", \"harness\"]\ndefault-members = [\"harness\"]\n";
    assert!(workspace.contains(members));
    let alone = workspace.replace(members, "members = [\"engine\"]\n");
    files.insert("Cargo.toml".into(), alone.into_bytes());
    // The tests of the table go over `available`, too.
    let listed = "#[test] fn listed() { \
        for k in bitgauge_engine::kernels::available() { println!(\"has {}\", k.spec().name()); } }";
    files.insert("engine/tests/listed.rs".into(), listed.into());

    let page = fs::read_to_string(root.join("guides/bring-your-own-kernel.md")).unwrap();
    let (mut written, mut edits) = (0, 0);
    for (title, text) in blocks(&page) {
        match title.split_once(' ') {
            Some(("rust", path)) => {
                let inside = path.starts_with("engine/");
                let path = if inside {
                    path.to_owned()
                } else {
                    format!("engine/{path}")
                };
                assert!(
                    files.insert(path, text.into_bytes()).is_none(),
                    "{title} is there already"
                );
                written += 1;
            }
            Some(("diff", TABLE)) => {
                let table = String::from_utf8(files[TABLE].clone()).unwrap();
                files.insert(TABLE.into(), with_added(&table, &text).into_bytes());
                edits += 1;
            }
            _ => assert!(title.is_empty(), "what is {title}?"),
        }
    }
    assert_eq!((written, edits), (2, 2));
    let mut earlier = BTreeMap::new();
    if here.join("engine/src").is_dir() {
        files_of(&here, "engine/src", &mut earlier);
    }
    for path in earlier.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(here.join(path)).unwrap();
    }
    for (path, bytes) in &files {
        put(&here.join(path), bytes);
    }
    let out = Command::new(env!("CARGO"))
        .current_dir(&here)
        .args(["test", "--offline", "-p", "bitgauge-engine"])
        .args([
            "--test",
            "kernels",
            "--test",
            "own_kernel",
            "--test",
            "listed",
        ])
        .args(["--", "--show-output"])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        // The other vector kernels have their own tests.
        .env("BITGAUGE_ISA", "portable")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\n{errors}");
    assert!(said.contains("has bytes\n"), "{said}");
    assert!(said.contains("test sums_are_exact ... ok"), "{said}");
    assert!(
        said.contains("random_values_on_every_shape_and_batch ... ok"),
        "{said}"
    );
}
