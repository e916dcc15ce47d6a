//! A run folder, written, read back, broken, and rendered.
//!
//! No figure here was measured. They are counted up (1111, 1112, ...), so that a figure in a page
//! can be traced to its field.

mod report {
    mod agreement;
    pub mod artificial;
    mod costs;
    mod extremes;
    mod latency;
    mod records;
    mod store;
    mod tokens;
}

use bitgauge::report::{Document, documents, render};
use bitgauge::run::{Comparison, Estimate, Measured, RUN_FILE, Run, read};
use report::artificial::{bare_run, full_run};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn put(dir: &Path, run: &Run) {
    fs::write(
        dir.join(RUN_FILE),
        serde_json::to_string_pretty(run).unwrap(),
    )
    .unwrap();
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                out.insert(name, fs::read(path).unwrap());
            }
        }
    }
    out
}

fn text(documents: &[Document], path: &str) -> String {
    let found = documents.iter().find(|d| d.path == path);
    String::from_utf8(found.unwrap_or_else(|| panic!("no {path}")).bytes.clone()).unwrap()
}

/// The words of a page, without tags, scripts and styles.
fn words(html: &str) -> String {
    let body = html
        .split_once("<body>")
        .unwrap()
        .1
        .split_once("<script>")
        .unwrap()
        .0;
    let mut out = String::new();
    let mut in_tag = false;
    for c in body.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                out.push(' ');
            }
            c if !in_tag => out.push(c),
            _ => {}
        }
    }
    out
}

#[test]
fn a_second_rendering_is_the_same_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &full_run());
    let written = render(dir.path()).unwrap();
    let first = files(dir.path());
    assert_eq!(
        first.len(),
        written.len() + 1,
        "run.json and what was written, nothing else"
    );
    render(dir.path()).unwrap();
    assert_eq!(first, files(dir.path()));

    let elsewhere = tempfile::tempdir().unwrap();
    fs::copy(dir.path().join(RUN_FILE), elsewhere.path().join(RUN_FILE)).unwrap();
    render(elsewhere.path()).unwrap();
    assert_eq!(
        first,
        files(elsewhere.path()),
        "the folder's own name must not matter"
    );
}

#[test]
fn every_promised_file_is_there() {
    let names: Vec<String> = documents(&full_run())
        .unwrap()
        .into_iter()
        .map(|d| d.path)
        .collect();
    for wanted in [
        "index.html",
        "report.md",
        "PERFORMANCE_FIX_LOG.md",
        "VALIDATION.md",
        "PERFORMANCE.md",
        "RELEASE_NOTES.md",
        "csv/claims.csv",
        "csv/reported.csv",
        "csv/steps.csv",
        "csv/isolated.csv",
        "csv/masking.csv",
        "csv/scaling.csv",
        "csv/parts.csv",
        "csv/products.csv",
        "csv/prompts.csv",
        "csv/tokens.csv",
        "csv/targets.csv",
        "csv/yardsticks.csv",
        "csv/latency.csv",
        "csv/latency_targets.csv",
        "csv/latency_parts.csv",
        "csv/latency_samples.csv",
        "csv/generation.csv",
        "csv/cache_gain.csv",
        "csv/cache_by_context.csv",
        "csv/prefetch.csv",
        "csv/prefetch_claim.csv",
        "csv/staircase.csv",
        "csv/counters.csv",
        "csv/checks.csv",
        "csv/defects.csv",
        "csv/kernels.csv",
        "csv/selection.csv",
        "csv/samples.csv",
        "charts/before_after.svg",
        "charts/before_after.png",
        "charts/cumulative.svg",
        "charts/isolated.svg",
        "charts/scaling.svg",
        "charts/roofline.svg",
        "charts/parts.svg",
        "charts/latency.svg",
        "charts/latency.png",
        "charts/cache.svg",
        "charts/prefetch.svg",
        "charts/staircase.svg",
    ] {
        assert!(
            names.iter().any(|n| n == wanted),
            "{wanted} is missing from {names:?}"
        );
    }
}

/// Each number of a CSV, as the page and the pasted report write it.
#[test]
fn every_number_of_a_table_is_in_the_page() {
    let run = full_run();
    let all = documents(&run).unwrap();
    let page = words(&text(&all, "index.html"));
    let tokens: BTreeSet<&str> = page
        .split(|c: char| c.is_whitespace() || "[](),;:".contains(c))
        .map(|token| token.trim_end_matches('×'))
        .collect();
    let mut seen = 0;
    for csv in all
        .iter()
        .filter(|d| d.path.ends_with(".csv") && !d.path.ends_with("samples.csv"))
    {
        let mut reader = csv::ReaderBuilder::new().from_reader(csv.bytes.as_slice());
        let header = reader.headers().unwrap().clone();
        for record in reader.records() {
            for (name, field) in header.iter().zip(&record.unwrap()) {
                // Levels and block counts stand in the sentence of the verdict.
                if name.ends_with("_level") || name.ends_with("_blocks") {
                    continue;
                }
                let Ok(x) = field.parse::<f64>() else {
                    continue;
                };
                let shown = three_digits(x);
                assert!(
                    tokens.contains(shown.as_str()) || tokens.contains(field),
                    "{}: {name} = {field} is not in the page as {shown}",
                    csv.path
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "only {seen} numbers were looked for");
}

/// Three significant digits for figures of everyday size, written independently of the renderer.
fn three_digits(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    for decimals in (0..=7).rev() {
        let text = format!("{x:.decimals$}");
        let digits = text
            .trim_start_matches(['-', '0', '.'])
            .replace('.', "")
            .len();
        if digits <= 3 || decimals == 0 {
            return text;
        }
    }
    unreachable!()
}

#[test]
fn the_pasted_report_has_the_verdicts_first_and_the_step_figures() {
    let run = full_run();
    let report = text(&documents(&run).unwrap(), "report.md");
    let first_table = report.lines().position(|l| l.starts_with('|')).unwrap();
    assert!(first_table <= 2, "the verdict table comes first");
    assert!(report.lines().nth(first_table).unwrap().contains("Verdict"));
    for step in &run.ladder.get().unwrap().rungs {
        if let Comparison::Timed {
            before,
            after,
            speedup,
            ..
        } = &step.comparison
        {
            for e in [before.token_s, after.token_s, *speedup] {
                for x in [e.value, e.low, e.high] {
                    assert!(report.contains(&three_digits(x)), "{}: {x}", step.id);
                }
            }
        }
    }
    assert!(report.contains("confirmed") && report.contains("refuted"));
    assert!(report.contains("blocks"), "a verdict says how sure it is");
}

#[test]
fn a_wrong_step_has_an_error_and_no_time_anywhere() {
    let run = full_run();
    let steps = &run.ladder.get().unwrap().rungs;
    let wrong = steps
        .iter()
        .find(|s| matches!(s.comparison, Comparison::Wrong { .. }))
        .unwrap();
    let json = serde_json::to_string(&wrong.comparison).unwrap();
    for time in ["token_s", "ms_token", "speedup", "samples", "_ns"] {
        assert!(!json.contains(time), "{time} in {json}");
    }
    let log = text(&documents(&run).unwrap(), "PERFORMANCE_FIX_LOG.md");
    let entry = log.split("\n## ").find(|e| e.contains(&wrong.id)).unwrap();
    assert!(
        entry.contains("311") && entry.contains("no time"),
        "{entry}"
    );
    assert!(!entry.contains("token/s"), "{entry}");
}

#[test]
fn names_from_outside_are_text_and_never_markup() {
    const EVIL: &str = "<script>alert('x')</script> & \"q\" | `c` \u{1}\u{7f}";
    let mut run = full_run();
    run.name = EVIL.into();
    run.command = vec![EVIL.into()];
    let Measured::Is(ladder) = &mut run.ladder else {
        panic!()
    };
    ladder.rungs[0].title = EVIL.into();
    ladder.rungs[0].id = EVIL.into();
    let Measured::Is(products) = &mut run.products else {
        panic!()
    };
    products[0].name = EVIL.into();
    let Measured::Is(profiles) = &mut run.profiles else {
        panic!()
    };
    profiles[0].parts[0].part = EVIL.into();
    let all = documents(&run).unwrap();

    let page = text(&all, "index.html");
    assert_eq!(
        page.matches("<script>").count(),
        1,
        "only the sorting script"
    );
    assert!(page.contains("&lt;script&gt;alert("));
    for document in &all {
        if document.path.ends_with(".svg") {
            let svg = std::str::from_utf8(&document.bytes).unwrap();
            roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{}: {e}", document.path));
        }
        if document.path.ends_with(".md") {
            let md = std::str::from_utf8(&document.bytes).unwrap();
            assert!(!md.contains("<script"), "{}", document.path);
        }
    }
    // In a Markdown table a bare | would begin a cell.
    let report = text(&all, "report.md");
    let row = report
        .lines()
        .find(|l| l.starts_with("| &lt;script"))
        .unwrap();
    let cells = row
        .replace("\\\\", "")
        .replace("\\|", "")
        .matches('|')
        .count();
    assert_eq!(cells, 5, "{row}");
}

#[test]
fn what_is_missing_says_why_and_is_never_zero() {
    let run = bare_run();
    let all = documents(&run).unwrap();
    let page = words(&text(&all, "index.html"));
    assert!(page.contains("unavailable: this run did not measure it"));
    assert!(
        page.contains("not checked"),
        "a run without checks is not right"
    );
    assert!(!page.contains(" 0 ") && !page.contains("NaN"), "{page}");
    let sheet = text(&all, "VALIDATION.md");
    assert!(
        !sheet.contains("[x]"),
        "nothing was measured, so nothing is ticked: {sheet}"
    );
    assert!(sheet.contains("not measured"));
    assert!(text(&all, "report.md").contains("unavailable"));
    assert!(
        all.iter().all(|d| !d.path.starts_with("charts/")),
        "no data, no chart"
    );

    // The same with everything there but single figures.
    let mut run = full_run();
    let Measured::Is(ladder) = &mut run.ladder else {
        panic!()
    };
    let Comparison::Timed { after, .. } = &mut ladder.rungs[0].comparison else {
        panic!()
    };
    after.gb_s = Measured::unavailable("no byte counter");
    run.yardsticks = Measured::unavailable("the bandwidth loop was refused");
    let all = documents(&run).unwrap();
    let page = words(&text(&all, "index.html"));
    assert!(page.contains("unavailable: no byte counter"));
    assert!(page.contains("unavailable: the bandwidth loop was refused"));
    assert!(text(&all, "csv/steps.csv").contains("unavailable: no byte counter"));
}

#[test]
fn the_sheet_ticks_only_what_was_measured_to_hold() {
    let sheet = |run: &Run| text(&documents(run).unwrap(), "VALIDATION.md");
    let state = |sheet: &str, needle: &str| {
        let line = sheet
            .lines()
            .find(|l| l.contains(needle))
            .unwrap_or_else(|| panic!("{needle}"));
        line.starts_with("- [x]")
    };
    const CHECKS: &str = "Every check of an answer passed";
    const DEFECTS: &str = "Every planted defect was caught";
    const FALLBACK: &str = "No layer fell back";
    const JUDGED: &str = "Every kernel that runs here was judged";
    let good = sheet(&full_run());
    for box_ in [CHECKS, DEFECTS, FALLBACK, JUDGED] {
        assert!(state(&good, box_), "{box_}: {good}");
    }

    let mut run = full_run();
    let Measured::Is(checks) = &mut run.checks else {
        panic!()
    };
    checks.list[0].status = bitgauge::run::CheckStatus::Fail;
    let Measured::Is(defects) = &mut run.defects else {
        panic!()
    };
    defects[0].outcome = bitgauge::run::DefectOutcome::Missed;
    let Measured::Is(selection) = &mut run.selection else {
        panic!()
    };
    selection.fallbacks = 1;
    let Measured::Is(kernels) = &mut run.kernels else {
        panic!()
    };
    let mut other = kernels[0].clone();
    other.name = "never-judged".into();
    kernels.push(other);
    let bad = sheet(&run);
    for box_ in [CHECKS, DEFECTS, FALLBACK, JUDGED] {
        assert!(!state(&bad, box_), "{box_}: {bad}");
    }
    assert!(bad.contains("never-judged"));
    let page = words(&text(&documents(&run).unwrap(), "index.html"));
    assert!(page.contains("1 failed"));
}

#[test]
fn a_claimed_efficiency_inside_the_interval_is_undecided() {
    let mut run = full_run();
    let Measured::Is(points) = &mut run.scaling else {
        panic!()
    };
    for p in points.iter_mut() {
        if let bitgauge::run::Scaled::Measured { speedup, .. } = &mut p.speedup
            && p.threads == 2
        {
            *speedup = Estimate {
                value: 1.88,
                low: 1.8,
                high: 1.95,
                level: 0.95,
                blocks: 9,
            };
            p.claimed_efficiency = Some(0.93);
        }
    }
    let sheet = text(&documents(&run).unwrap(), "VALIDATION.md");
    let at = sheet
        .find("93\u{a0}% with 2 threads")
        .expect("the box is there");
    assert!(
        sheet[at..].lines().nth(1).unwrap().contains("undecided"),
        "{sheet}"
    );
}

#[test]
fn charts_are_well_formed_and_have_a_text_alternative() {
    let all = documents(&full_run()).unwrap();
    let mut charts = 0;
    for d in all.iter().filter(|d| d.path.ends_with(".svg")) {
        let svg = std::str::from_utf8(&d.bytes).unwrap();
        let tree = roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{}: {e}", d.path));
        let root = tree.root_element();
        assert_eq!(root.attribute("role"), Some("img"));
        for name in root.attribute("aria-labelledby").unwrap().split(' ') {
            let node = tree
                .descendants()
                .find(|n| n.attribute("id") == Some(name))
                .unwrap();
            assert!(node.text().unwrap().len() > 5, "{}: {name}", d.path);
        }
        let (w, h) = view(&root);
        for text in root.descendants().filter(|n| n.has_tag_name("text")) {
            let at = |name| text.attribute(name).unwrap().parse::<f64>().unwrap();
            let inside = (0.0..=w).contains(&at("x")) && (0.0..=h).contains(&at("y"));
            assert!(inside, "{}: {:?} is off the picture", d.path, text.text());
        }
        charts += 1;
    }
    assert_eq!(charts, 11);
}

fn view(root: &roxmltree::Node) -> (f64, f64) {
    let numbers: Vec<f64> = root
        .attribute("viewBox")
        .unwrap()
        .split(' ')
        .map(|n| n.parse().unwrap())
        .collect();
    (numbers[2], numbers[3])
}

#[test]
fn pictures_decode_and_are_not_blank() {
    let all = documents(&full_run()).unwrap();
    let mut pictures = 0;
    for d in all.iter().filter(|d| d.path.ends_with(".png")) {
        let mut reader = png::Decoder::new(d.bytes.as_slice()).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert!(info.width >= 800 && info.height >= 300, "{}", d.path);
        let inked = pixels
            .chunks(3)
            .filter(|p| p.iter().any(|&c| c < 250))
            .count();
        let dark = pixels
            .chunks(3)
            .filter(|p| p.iter().all(|&c| c < 90))
            .count();
        assert!(
            inked * 50 > pixels.len() / 3,
            "{}: {inked} pixels differ from white",
            d.path
        );
        assert!(
            dark > 500,
            "{}: {dark} dark pixels, so the text is missing",
            d.path
        );
        pictures += 1;
    }
    assert_eq!(pictures, 11);
}

#[test]
fn the_page_fetches_nothing() {
    let page = text(&documents(&full_run()).unwrap(), "index.html");
    for fetch in [
        " src=", "url(", "@import", "<link", "<iframe", "<img", "fetch(", "import(",
    ] {
        assert!(!page.contains(fetch), "{fetch}");
    }
    let outside = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    assert!(!outside.contains("http://") && !outside.contains("https://"));
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_dark_screen_recolours_every_colour_of_every_chart() {
    let page = text(&documents(&full_run()).unwrap(), "index.html");
    let (style, body) = page.split_once("</style>").unwrap();
    let mut colours = 0;
    for attribute in ["fill", "stroke"] {
        for piece in body.split(&format!("{attribute}=\"#")).skip(1) {
            let rule = format!(".chart [{attribute}=\"#{}\"]{{", &piece[..6]);
            assert!(style.contains(&rule), "no dark colour for {rule}");
            colours += 1;
        }
    }
    assert!(colours > 100);
}

#[test]
fn a_missing_run_names_the_file_and_what_would_be_right() {
    let dir = tempfile::tempdir().unwrap();
    let error = render(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("run.json: no such file") && error.contains("--out"),
        "{error}"
    );
}

#[test]
fn corrupt_json_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let good = serde_json::to_string_pretty(&full_run()).unwrap();

    let cut: String = good.lines().take(40).collect::<Vec<_>>().join("\n");
    fs::write(dir.path().join(RUN_FILE), &cut).unwrap();
    let error = render(dir.path()).unwrap_err().to_string();
    assert!(error.contains("run.json:40:"), "{error}");

    let wrong_type = good.replacen("\"threads\": 2", "\"threads\": \"two\"", 1);
    let line = wrong_type
        .lines()
        .position(|l| l.contains("\"two\""))
        .unwrap()
        + 1;
    fs::write(dir.path().join(RUN_FILE), &wrong_type).unwrap();
    let error = render(dir.path()).unwrap_err().to_string();
    assert!(error.contains(&format!("run.json:{line}:")), "{error}");
    assert!(error.contains("two"), "{error}");
    assert_eq!(
        files(dir.path()).len(),
        1,
        "nothing is rendered from a broken run"
    );
}

#[test]
fn an_unknown_schema_is_refused_and_an_unknown_field_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let good = serde_json::to_string_pretty(&full_run()).unwrap();
    for (text, found) in [
        (
            good.replacen("\"schema\": 1", "\"schema\": 2", 1),
            "schema 2",
        ),
        (good.replacen("\"schema\": 1,", "", 1), "schema not stated"),
        ("{\"schema\": 7}".to_owned(), "schema 7"),
    ] {
        fs::write(dir.path().join(RUN_FILE), text).unwrap();
        let error = render(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(found) && error.contains("reads schema 1"),
            "{error}"
        );
    }
    let more = good.replacen(
        "\"schema\": 1,",
        "\"schema\": 1, \"of_the_future\": [1, {}],",
        1,
    );
    fs::write(dir.path().join(RUN_FILE), more).unwrap();
    assert_eq!(read(dir.path()).unwrap(), full_run());
}

/// Writes the artificial report where a person can look at it.
#[test]
#[ignore = "for looking: BITGAUGE_LOOK=DIR cargo test --test report -- --ignored"]
fn look() {
    let Some(dir) = std::env::var_os("BITGAUGE_LOOK") else {
        panic!("BITGAUGE_LOOK=DIR")
    };
    let dir = Path::new(&dir);
    fs::create_dir_all(dir).unwrap();
    put(dir, &full_run());
    render(dir).unwrap();
}
