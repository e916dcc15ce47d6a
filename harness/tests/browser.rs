//! The pages in a real browser: narrow and wide, light and dark, without scripts, and on paper.
//!
//! Wants Chromium or Chrome; without one nothing is checked, which is said on stderr, and which
//! fails where `BITGAUGE_NEEDS_BROWSER=1`.
#![cfg(unix)]

mod report {
    pub mod artificial;
}
mod verdicts;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bitgauge::process::{Ended, Group};
use bitgauge::report::documents;
use bitgauge::run::Run;
use bitgauge::verdicts::Verdicts;
use report::artificial::{bare_run, full_run};
use serde::Deserialize;

const CHECKS: &str = include_str!("data/page_checks.js");

/// Before anything else of the page: what would stand in the console.
const LISTEN: &str = "<script>window.faults = [];\
    addEventListener('error', (e) => faults.push('error: ' + e.message));\
    addEventListener('unhandledrejection', (e) => faults.push('rejected: ' + e.reason));\
    addEventListener('securitypolicyviolation', (e) => faults.push('policy: ' + e.blockedURI));\
    for (const level of ['error', 'warn']) console[level] = (...said) => faults.push(said.join(' '));\
    </script>";

/// Name, width in CSS pixels, theme, and whether scripts run.
const VIEWS: [(&str, u32, &str, bool); 5] = [
    ("phone-light", 360, "light", true),
    ("phone-dark", 360, "dark", true),
    ("desk-light", 1440, "light", true),
    ("desk-dark", 1440, "dark", true),
    ("desk-without-scripts", 1440, "light", false),
];

const PATIENCE: Duration = Duration::from_secs(120);

/// What `page_checks.js` says.
#[derive(Debug, Deserialize)]
struct Seen {
    views: usize,
    tables: usize,
    /// Clicks on headers that changed the order of rows.
    moved: usize,
    pictures: usize,
    faults: Vec<String>,
}

/// The browser, or `None` where none is installed and none is demanded.
fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| {
            ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name))
        })
        .find(|path| path.is_file());
    if found.is_none() {
        let demanded = std::env::var_os("BITGAUGE_NEEDS_BROWSER").is_some_and(|v| v == "1");
        assert!(
            !demanded,
            "BITGAUGE_NEEDS_BROWSER=1, and no chromium, chromium-browser or google-chrome in PATH"
        );
        // Not by `eprintln!`: what a test prints that passes is not shown.
        let said = b"NOT CHECKED: no chromium, chromium-browser or google-chrome in PATH\n";
        io::stderr().write_all(said).unwrap();
    }
    found
}

/// Runs the browser on a page of `folder`; what it writes to stdout.
fn browse(browser: &Path, folder: &Path, page: &str, arguments: &[String]) -> String {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    let mut command = Command::new(browser);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args([
            "--disable-background-networking",
            "--no-first-run",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", folder.join("user").display()))
        .args(arguments)
        .arg(format!("file://{}", folder.join(page).display()))
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap());
    let ended = Group::start(&mut command).unwrap().wait(PATIENCE);
    let said = String::from_utf8_lossy(&fs::read(&err).unwrap()).into_owned();
    assert!(
        matches!(ended, Ended::Exited(status) if status.success()),
        "{}: {ended:?}\n{said}",
        browser.display()
    );
    fs::read_to_string(out).unwrap()
}

/// Text as an attribute holds it.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;")
}

/// A page that holds `page` once for each view. A window of a browser is not made as narrow as a
/// phone, and has one theme; a frame has the width and the theme that it is given.
fn views(page: &str) -> String {
    let page = page.replacen("<head>", &format!("<head>{LISTEN}"), 1);
    assert!(page.contains(LISTEN));
    let frames: String = VIEWS
        .iter()
        .map(|(name, width, theme, scripted)| {
            let sandbox = if *scripted {
                ""
            } else {
                " sandbox=\"allow-same-origin\""
            };
            format!(
                "<iframe id=\"{name}\" width=\"{width}\" height=\"900\"{sandbox} \
                 style=\"border:0;color-scheme:{theme}\" srcdoc=\"{}\"></iframe>\n",
                attribute(&page)
            )
        })
        .collect();
    format!("<!DOCTYPE html><meta charset=\"utf-8\"><body>{frames}<script>{CHECKS}</script>")
}

fn check(browser: &Path, page: &str) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("views.html"), views(page)).unwrap();
    let dom = browse(browser, folder.path(), "views.html", &["--dump-dom".into()]);
    let verdict = dom
        .rsplit_once("<pre id=\"checks\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .unwrap_or_else(|| panic!("the checks said nothing: {dom}"))
        .0;
    let json = verdict
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&nbsp;", "\u{a0}")
        .replace("&amp;", "&");
    let seen: Seen = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {json}"));
    assert_eq!(seen.faults, Vec::<String>::new());
    assert_eq!(seen.views, VIEWS.len());
    seen
}

/// Sheets of paper that the page takes.
fn sheets(browser: &Path, page: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let pdf = folder.path().join("page.pdf");
    fs::write(folder.path().join("page.html"), page).unwrap();
    let print = format!("--print-to-pdf={}", pdf.display());
    browse(browser, folder.path(), "page.html", &[print]);
    let pdf = fs::read(pdf).unwrap();
    assert!(pdf.starts_with(b"%PDF-"));
    let name = b"/Type /Page";
    pdf.windows(name.len() + 1)
        .filter(|w| w.starts_with(name) && !w[name.len()].is_ascii_alphanumeric())
        .count()
}

fn of_run(run: &Run) -> String {
    let all = documents(run).unwrap();
    let page = all.into_iter().find(|d| d.path == "index.html").unwrap();
    String::from_utf8(page.bytes).unwrap()
}

fn of_verdicts(v: &Verdicts) -> String {
    let all = bitgauge::export::documents(v).unwrap();
    let page = all.into_iter().find(|d| d.path == "index.html").unwrap();
    String::from_utf8(page.bytes).unwrap()
}

#[test]
fn the_page_of_a_run() {
    let Some(browser) = browser() else { return };
    let page = of_run(&full_run());
    let seen = check(&browser, &page);
    assert_eq!(seen.tables, page.matches("<table").count());
    assert_eq!(seen.pictures, 11);
    assert!(seen.tables > 10 && seen.moved > 100, "{seen:?}");
    let sheets = sheets(&browser, &page);
    assert!((2..30).contains(&sheets), "{sheets} sheets");
}

#[test]
fn the_page_of_a_run_that_measured_nothing() {
    let Some(browser) = browser() else { return };
    let seen = check(&browser, &of_run(&bare_run()));
    assert_eq!(seen.pictures, 0);
}

#[test]
fn the_page_of_a_comparison() {
    let Some(browser) = browser() else { return };
    let page = of_verdicts(&verdicts::fifty());
    let seen = check(&browser, &page);
    assert_eq!((seen.tables, seen.pictures), (5, 1));
    assert!(seen.moved > 50, "{seen:?}");
    let sheets = sheets(&browser, &page);
    assert!((1..30).contains(&sheets), "{sheets} sheets");
}

#[test]
fn pages_of_hostile_names_and_of_none() {
    let Some(browser) = browser() else { return };
    let seen = check(&browser, &of_verdicts(&verdicts::hostile()));
    assert!(seen.moved > 0, "{seen:?}");
    check(&browser, &of_verdicts(&verdicts::nothing()));
}
