//! Verdicts in every form, each read back by a parser that shares nothing with the writer.
//!
//! No figure here was measured.

mod verdicts;

use std::collections::BTreeSet;

use bitgauge::exit::Exit;
use bitgauge::export::{self, action_benchmark, annotations, bmf, junit};
use bitgauge::measure::Verdict;
use bitgauge::verdicts::Verdicts;
use verdicts::{HOSTILE, case, fifty, hostile, nothing};

fn names(v: &Verdicts) -> BTreeSet<&str> {
    v.cases.iter().map(|c| c.case.as_str()).collect()
}

/// What XML 1.0 can hold of a name: the writer puts U+FFFD in place of the rest.
fn in_xml(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[test]
fn junit_says_of_each_case_what_a_ci_system_shows() {
    let text = junit::document(&fifty());
    let xml = roxmltree::Document::parse(&text).unwrap();
    let suite = xml
        .descendants()
        .find(|n| n.has_tag_name("testsuite"))
        .unwrap();
    let count = |tag: &str| xml.descendants().filter(|n| n.has_tag_name(tag)).count();
    for (attribute, tag, want) in [
        ("tests", "testcase", 52),
        ("failures", "failure", 3),
        ("errors", "error", 2),
        ("skipped", "skipped", 4),
    ] {
        assert_eq!(count(tag), want, "{tag}");
        for node in [suite, xml.root_element()] {
            assert_eq!(node.attribute(attribute), Some(want.to_string().as_str()));
        }
    }
    let of = |tag: &str| {
        let found = xml.descendants().filter(|n| n.has_tag_name(tag));
        let names = found.map(|n| n.parent().unwrap().attribute("name").unwrap().to_owned());
        names.collect::<BTreeSet<_>>()
    };
    let v = fifty();
    let with = |verdict| {
        let cases = v.cases.iter().filter(|c| c.verdict == verdict);
        cases.map(|c| c.case.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(of("failure"), with(Verdict::Regressed));
    assert_eq!(of("skipped"), with(Verdict::Unclear));
    let not_checked = v.not_checked.iter().map(|c| c.case.clone()).collect();
    assert_eq!(of("error"), not_checked);
    let first = xml
        .descendants()
        .find(|n| n.has_tag_name("testcase"))
        .unwrap();
    assert_eq!(first.attribute("time"), Some("0.250000"), "seconds");
    let failure = xml
        .descendants()
        .find(|n| n.has_tag_name("failure"))
        .unwrap();
    let message = failure.attribute("message").unwrap();
    assert!(
        message.contains("speedup 0.9") && message.contains("% slower"),
        "{message}"
    );
}

#[test]
fn junit_holds_names_that_xml_has_characters_for() {
    let v = hostile();
    let text = junit::document(&v);
    let xml = roxmltree::Document::parse(&text).unwrap();
    let cases = xml.descendants().filter(|n| n.has_tag_name("testcase"));
    let got: Vec<&str> = cases.map(|n| n.attribute("name").unwrap()).collect();
    let mut want: Vec<String> = HOSTILE.iter().map(|name| in_xml(name)).collect();
    want.extend(HOSTILE.iter().map(|name| in_xml(name)));
    assert_eq!(got, want, "with a verdict, then without");
}

#[test]
fn junit_is_never_green_for_a_gate_that_did_not_pass() {
    let errors = |v: &Verdicts| {
        let text = junit::document(v);
        let xml = roxmltree::Document::parse(&text).unwrap();
        xml.descendants()
            .filter(|n| n.has_tag_name("error"))
            .count()
    };
    let mut v = nothing();
    for exit in [Exit::CouldNotRun, Exit::Held] {
        v.exit = exit as u8;
        assert_eq!(errors(&v), 1, "nothing checked, and {exit:?}");
    }
    let mut v = fifty();
    v.not_checked.clear();
    v.cases.retain(|c| c.verdict == Verdict::Unchanged);
    v.exit = Exit::Held as u8;
    assert_eq!(errors(&v), 0);
    v.exit = Exit::NoBaseline as u8;
    assert_eq!(errors(&v), 1, "a failure that no case shows");
}

#[test]
fn annotations_come_back_as_the_runner_reads_them() {
    // What the runner does: split at the first "::" after the command, then undo the escapes.
    let undo = |text: &str| {
        [
            ("%3A", ":"),
            ("%2C", ","),
            ("%0D", "\r"),
            ("%0A", "\n"),
            ("%25", "%"),
        ]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let v = hostile();
    let mut titles = BTreeSet::new();
    for line in annotations::lines(&v) {
        assert!(
            !line.contains(['\n', '\r']),
            "{line:?} is more than one line"
        );
        let (head, message) = line[2..].split_once("::").unwrap();
        let (level, properties) = head.split_once(' ').unwrap();
        assert!(["error", "warning", "notice"].contains(&level), "{line}");
        let (key, title) = properties.split_once('=').unwrap();
        assert_eq!(key, "title");
        assert!(!title.contains([',', ':']), "{line}");
        assert!(!message.is_empty());
        titles.insert(undo(title));
    }
    // Line ends and tabs survive; other control characters have no form.
    let kept = |text: &str| -> String {
        let lost = |c: char| {
            let control = c.is_control() && !"\n\r\t".contains(c);
            control || matches!(c, '\u{fffd}'..='\u{ffff}')
        };
        text.chars()
            .map(|c| if lost(c) { '?' } else { c })
            .collect()
    };
    for name in HOSTILE {
        let found = titles.iter().any(|t| kept(t).ends_with(&kept(name)));
        assert!(found, "{name:?} in {titles:?}");
    }
}

#[test]
fn annotations_fit_in_what_github_shows_and_never_say_nothing() {
    let mut v = fifty();
    for c in &mut v.cases {
        c.verdict = Verdict::Regressed;
    }
    let lines = annotations::lines(&v);
    let errors: Vec<_> = lines.iter().filter(|l| l.starts_with("::error ")).collect();
    assert_eq!(errors.len(), 10, "{lines:#?}");
    assert!(errors[9].contains("44 more"), "{}", errors[9]);

    assert!(annotations::lines(&nothing())[0].starts_with("::error "));
    let mut held = fifty();
    held.not_checked.clear();
    held.cases.retain(|c| c.verdict == Verdict::Unchanged);
    held.exit = 0;
    let lines = annotations::lines(&held);
    assert_eq!(lines.len(), 1, "held is said too");
    assert!(lines[0].starts_with("::notice title=bitgauge::39 cases: 39 unchanged"));
    held.cases.push(case("u", Verdict::Unclear, None));
    held.exit = Exit::Unclear as u8;
    assert!(annotations::lines(&held)[0].starts_with("::warning "));
}

#[test]
fn bmf_has_latency_and_speedup_and_leaves_out_what_is_unknown() {
    let mut v = fifty();
    v.cases[0].after_ns = None;
    v.cases[1].low = None;
    v.cases[2] = case("nothing known", Verdict::Unclear, None);
    v.cases[2].after_ns = None;
    v.cases[3].speedup = Some(f64::NAN);
    let text = bmf::document(&v).to_string();
    let back: serde_json::Value = serde_json::from_str(&text).unwrap();
    let back = back.as_object().unwrap();
    let first = &back[&v.cases[0].case];
    assert_eq!(first["speedup"]["value"].as_f64(), v.cases[0].speedup);
    assert_eq!(first["speedup"]["lower_value"].as_f64(), v.cases[0].low);
    assert_eq!(first["speedup"]["upper_value"].as_f64(), v.cases[0].high);
    assert!(first.get("latency").is_none());
    let second = &back[&v.cases[1].case];
    assert_eq!(second["latency"]["value"].as_f64(), v.cases[1].after_ns);
    assert!(second["speedup"].get("lower_value").is_none());
    assert!(!back.contains_key("nothing known"));
    assert!(
        back[&v.cases[3].case].get("speedup").is_none(),
        "NaN is no speedup"
    );
    assert_eq!(back.len(), v.cases.len() - 1);
    assert!(!text.contains("null"));
}

#[test]
fn github_action_benchmark_gets_times_and_speedups() {
    let mut v = fifty();
    v.cases[0].after_ns = None;
    let read = |list: Vec<action_benchmark::Entry>| -> Vec<serde_json::Value> {
        serde_json::from_str(&serde_json::to_string(&list).unwrap()).unwrap()
    };
    let times = read(action_benchmark::smaller_is_better(&v));
    assert_eq!(
        times.len(),
        v.cases.len() - 1,
        "without the one that has no time"
    );
    assert_eq!(times[0]["name"].as_str(), Some(v.cases[1].case.as_str()));
    assert_eq!(times[0]["value"].as_f64(), v.cases[1].after_ns);
    assert_eq!(times[0]["unit"], "ns");
    assert!(times[0].get("range").is_none());
    let speedups = read(action_benchmark::bigger_is_better(&v));
    assert_eq!(speedups[0]["value"].as_f64(), v.cases[0].speedup);
    assert!(speedups[0]["range"].as_str().unwrap().starts_with("[0.9"));
    assert!(read(action_benchmark::smaller_is_better(&nothing())).is_empty());
}

#[test]
fn the_csv_reads_back_to_the_same_figures_and_names() {
    let v = hostile();
    let bytes = export::csv(&v);
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), v.cases.len() + v.not_checked.len());
    for (row, c) in rows.iter().zip(&v.cases) {
        assert_eq!(&row[column("case")], c.case);
        assert_eq!(row[column("speedup")].parse().ok(), c.speedup);
        assert_eq!(row[column("low")].parse().ok(), c.low, "unknown is empty");
        assert_eq!(row[column("after_ns")].parse().ok(), c.after_ns);
    }
    let last = rows.last().unwrap();
    assert_eq!(&last[column("verdict")], "not checked");
    assert_eq!(&last[column("why")], v.not_checked.last().unwrap().why);
    assert_eq!(&last[column("speedup")], "");
}

#[test]
fn the_report_has_what_needs_an_eye_first_and_folds_the_unchanged() {
    let report = export::markdown(&fifty());
    let at = |what: &str| {
        report
            .find(what)
            .unwrap_or_else(|| panic!("no {what}:\n{report}"))
    };
    let order = [
        at("## bitgauge gate: could not run"),
        at("52 cases: 2 not checked, 3 regressed, 4 unclear, 4 improved, 39 unchanged"),
        at("**After**: work tree, revision 222222222222+"),
        at("**Before**: 111111111111"),
        at("**Is it right?** results agree in 49 of 50 cases"),
        at("counts as unchanged (calibration)"),
        at("at most 0.1 %"),
        at("### ✗ Not checked: 2 cases"),
        at("### ✗ Regressed: 3 cases"),
        at("### ✓ Improved: 4 cases"),
        at("### ? Unclear: 4 cases"),
        at("<details><summary>Unchanged: 39 cases</summary>"),
        at("Machine: some-machine-2cpu"),
        at("bitgauge gate --against 111111111111 --margin 2%"),
    ];
    assert!(order.is_sorted(), "{order:?}\n{report}");
    let regressed = &report[at("### ✗ Regressed")..at("### ✓ Improved")];
    let rows: Vec<&str> = regressed
        .lines()
        .filter(|l| l.starts_with("| case/"))
        .collect();
    assert!(rows[0].contains("0.9000×"), "the worst first: {rows:?}");
}

#[test]
fn a_hostile_name_stays_in_its_cell_of_the_report() {
    let v = hostile();
    let report = export::markdown(&v);
    let mut columns = None;
    for row in report.lines().filter(|l| l.starts_with('|')) {
        let bars = row
            .replace("\\\\", "")
            .replace("\\|", "")
            .matches('|')
            .count();
        if row.starts_with("| case") {
            columns = Some(bars);
        }
        assert_eq!(Some(bars), columns, "{row}");
    }
    assert!(!report.contains("<script"), "{report}");
    let rows = report
        .lines()
        .filter(|l| l.starts_with("| ") && !l.starts_with("| case |"));
    let separators = rows.clone().filter(|l| l.starts_with("| ---")).count();
    assert_eq!(
        rows.count() - separators,
        v.cases.len() + v.not_checked.len()
    );
}

#[test]
fn nothing_checked_is_said_everywhere() {
    let v = nothing();
    assert!(export::markdown(&v).contains("### Nothing was checked"));
    assert!(
        export::html(&v, None)
            .unwrap()
            .contains("Nothing was checked")
    );
    let names: Vec<_> = export::documents(&v)
        .unwrap()
        .into_iter()
        .map(|d| d.path)
        .collect();
    assert!(
        !names.iter().any(|n| n.starts_with("charts/")),
        "there is nothing to draw"
    );
}

#[test]
fn figures_measured_apart_say_so_in_every_form_for_people() {
    let mut v = fifty();
    v.command = "import new.json --against old.json".into();
    assert!(export::markdown(&v).contains("measured apart and not interleaved"));
    assert!(
        export::html(&v, None)
            .unwrap()
            .contains("measured apart and not interleaved")
    );
    assert!(junit::document(&v).contains("measured apart and not interleaved"));
    assert!(annotations::lines(&v)[0].contains("measured apart and not interleaved"));
    assert!(!export::markdown(&fifty()).contains("measured apart"));
}

#[test]
fn the_page_fetches_nothing_and_holds_every_case_as_text() {
    let v = hostile();
    let chart = export::documents(&v).unwrap();
    let page = chart.iter().find(|d| d.path == "index.html").unwrap();
    let page = String::from_utf8(page.bytes.clone()).unwrap();
    assert!(
        !page.contains("<script>alert") && !page.contains("</td><td>x"),
        "markup from a name"
    );
    for word in ["src=", "href=", "url(", "@import"] {
        assert!(!page.contains(word), "{word}");
    }
    assert_eq!(page.matches("<svg").count(), 1);
    let rows = page.matches("<td data-h=\"case\">").count();
    assert_eq!(rows, v.cases.len() + v.not_checked.len());
}

#[test]
fn the_chart_names_every_case_for_who_cannot_see_it() {
    let v = fifty();
    let documents = export::documents(&v).unwrap();
    let svg = documents
        .iter()
        .find(|d| d.path == "charts/verdicts.svg")
        .unwrap();
    let text = std::str::from_utf8(&svg.bytes).unwrap();
    let xml = roxmltree::Document::parse(text).unwrap();
    let description = xml.descendants().find(|n| n.has_tag_name("desc")).unwrap();
    let description = description.text().unwrap();
    for name in names(&v) {
        assert!(description.contains(name), "{name}");
    }
    assert!(description.starts_with("2 cases not checked."));
}

#[test]
fn a_folder_has_every_form_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a/b");
    let v = fifty();
    let written = export::folder(&out, &v).unwrap();
    for name in [
        "verdicts.json",
        "report.md",
        "index.html",
        "junit.xml",
        "bmf.json",
        "github-action-benchmark.json",
        "github-action-benchmark-speedup.json",
        "verdicts.csv",
        "charts/verdicts.svg",
        "charts/verdicts.png",
    ] {
        assert!(written.contains(&out.join(name)), "{name}");
        assert!(
            std::fs::metadata(out.join(name)).unwrap().len() > 0,
            "{name}"
        );
    }
    assert_eq!(export::read(&out).unwrap(), v);
    // Nothing to draw: the chart of the verdicts before must go.
    export::folder(&out, &nothing()).unwrap();
    assert!(!out.join("charts/verdicts.svg").exists());
}

#[test]
fn figures_that_json_cannot_hold_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut v = fifty();
    v.cases[7].speedup = Some(f64::NAN);
    let error = export::folder(dir.path(), &v).unwrap_err().to_string();
    assert!(error.contains("not finite"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn verdicts_of_another_schema_or_cut_off_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("verdicts.json");
    let error = |text: &str| {
        std::fs::write(&path, text).unwrap();
        export::read(dir.path()).unwrap_err().to_string()
    };
    let whole = serde_json::to_string_pretty(&fifty()).unwrap();
    let cut = error(&whole[..whole.len() / 2]);
    assert!(
        cut.contains("verdicts.json:") && cut.contains("EOF"),
        "{cut}"
    );
    let other = error(&whole.replacen("\"schema\": 1", "\"schema\": 99", 1));
    assert!(
        other.contains("schema 99") && other.contains("reads schema 1"),
        "{other}"
    );
    assert!(error("{}").contains("schema not stated"));
}
