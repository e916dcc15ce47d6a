//! `index.html`: the verdicts on one page that fetches nothing.

use maud::{Markup, PreEscaped, html};

use super::words::{self, change, interval, speedup, time};
use super::{caveat, interleaved, markdown, with};
use crate::measure::Verdict;
use crate::report::ReportError;
use crate::report::chart::Chart;
use crate::report::html::{Words, shell};
use crate::report::wording::{plural, round};
use crate::verdicts::{CaseVerdict, Verdicts};

/// The page, with the chart if there is one.
///
/// # Errors
/// When the chart can't be drawn.
pub fn page(v: &Verdicts, chart: Option<&Chart>) -> Result<String, ReportError> {
    let svg = chart.map(Chart::svg).transpose()?;
    let name = v.command.split_whitespace().next().unwrap_or("verdicts");
    let title = format!("bitgauge {name}: {}", words::exit(v.exit));
    let note = html! { (Words(&v.started)) " · " (Words(&v.machine)) " · exit status " (v.exit) };
    let footer = html! {
        "Rendered from verdicts.json, which holds every figure. To repeat: "
        code { (Words(&words::repeat(v))) }
    };
    Ok(shell(&title, &note, &body(v, svg), &footer))
}

fn body(v: &Verdicts, svg: Option<String>) -> Markup {
    html! {
        (answers(v))
        @if let Some(caveat) = caveat(v) { p.note.below { "Mind: " (caveat) } }
        @if v.cases.is_empty() && v.not_checked.is_empty() {
            h2 { "Nothing was checked" }
            p { "No case has a verdict, so nothing is known." }
        }
        @if !v.not_checked.is_empty() { (not_checked(v)) }
        @if let Some(svg) = svg {
            h2 { "All cases" }
            div.charts { figure.chart id="chart-verdicts" { (PreEscaped(svg)) } }
        }
        @for (verdict, title) in [
            (Verdict::Regressed, "Regressed"),
            (Verdict::Improved, "Improved"),
            (Verdict::Unclear, "Unclear"),
        ] {
            @let cases = with(v, verdict);
            @if !cases.is_empty() {
                h2 { (title) ": " (plural(cases.len(), "case")) }
                div.panel { (table(v, &cases)) }
            }
        }
        @let unchanged = with(v, Verdict::Unchanged);
        @if !unchanged.is_empty() {
            h2 { "Unchanged: " (plural(unchanged.len(), "case")) }
            div.panel { details { summary { "Show them" } (table(v, &unchanged)) } }
        }
        h2 { "What was compared, on what" }
        div.panel { dl.facts {
            @for (name, value) in facts(v) { dt { (name) } dd { (Words(&value)) } }
        } }
    }
}

fn answers(v: &Verdicts) -> Markup {
    let n = |verdict| words::count(v, verdict);
    let (regressed, unclear) = (n(Verdict::Regressed), n(Verdict::Unclear));
    let worse = match (v.cases.len(), regressed, unclear) {
        (0, ..) => ("unknown", "?", "not known".to_owned()),
        (_, 0, 0) => ("held", "✓", "no".to_owned()),
        (_, 0, u) => ("unknown", "?", format!("{} unclear", plural(u, "case"))),
        (_, r, _) => ("broken", "✗", format!("yes, {}", plural(r, "case"))),
    };
    let better = match n(Verdict::Improved) {
        0 => ("plain", "·", "no".to_owned()),
        i => ("held", "✓", format!("yes, {}", plural(i, "case"))),
    };
    let checked = match (v.cases.len(), v.not_checked.len()) {
        (0, _) => ("broken", "✗", "nothing".to_owned()),
        (_, 0) => ("held", "✓", "yes".to_owned()),
        (_, m) => ("broken", "✗", format!("{} not checked", plural(m, "case"))),
    };
    let right = words::answers(v);
    let right_mark = if right.starts_with("yes") {
        ("held", "✓")
    } else if right.starts_with("no:") {
        ("broken", "✗")
    } else {
        ("unknown", "?")
    };
    let sure = format!("false alarms: at most {}", words::percent(v.alpha));
    let sureness = markdown::sureness(v);
    let plain = "";
    let rows = [
        (
            "Is it right?",
            right_mark.0,
            right_mark.1,
            right.as_str(),
            plain,
        ),
        (
            "Did anything get slower?",
            worse.0,
            worse.1,
            &worse.2,
            plain,
        ),
        (
            "Did anything get faster?",
            better.0,
            better.1,
            &better.2,
            plain,
        ),
        (
            "Was everything checked?",
            checked.0,
            checked.1,
            &checked.2,
            plain,
        ),
        ("How sure?", "plain", "", &sure, &sureness),
    ];
    html! {
        dl.answers {
            @for (question, class, sign, headline, detail) in rows {
                div class=(class) {
                    dt { (question) }
                    dd.headline { span.sign aria-hidden="true" { (sign) " " } (Words(headline)) }
                    @if !detail.is_empty() { dd.detail { (Words(detail)) } }
                }
            }
        }
    }
}

fn not_checked(v: &Verdicts) -> Markup {
    html! {
        h2 { span.broken.word { "✗ Not checked: " (plural(v.not_checked.len(), "case")) } }
        div.panel { div.scroll tabindex="0" role="region" aria-label="cases without a verdict" {
            table.sortable.cards {
                thead { tr { th scope="col" { "case" } th scope="col" { "why" } th scope="col" { "amounts to" } } }
                tbody { @for c in &v.not_checked { tr {
                    td data-h="case" { (Words(&c.case)) }
                    td data-h="why" { (Words(&c.why)) }
                    td data-h="amounts to" { (words::exit(c.exit)) }
                } } }
            }
        } }
    }
}

fn table(v: &Verdicts, cases: &[&CaseVerdict]) -> Markup {
    let interleaved = interleaved(v);
    let figure = |head: &str, value: Option<f64>, text: String| {
        html! { td.r data-h=(head) data-v=[words::real(value)] { (text) } }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="cases" {
            table.sortable.cards {
                thead { tr {
                    th scope="col" { "case" }
                    @for head in ["speedup", "change", "before", "after"] { th.r scope="col" { (head) } }
                    @if interleaved { th.r scope="col" { "blocks" } }
                } }
                tbody { @for c in cases { tr {
                    td data-h="case" { (Words(&c.case)) }
                    td.r data-h="speedup" data-v=[words::real(c.speedup)] {
                        @match words::real(c.speedup) {
                            Some(s) => { (speedup(s)) " " span.interval { (interval(c)) } },
                            None => span.missing { "unavailable" },
                        }
                    }
                    (figure("change", c.speedup, change(c)))
                    (figure("before", c.before_ns, time(c.before_ns)))
                    (figure("after", c.after_ns, time(c.after_ns)))
                    @if interleaved { td.r data-h="blocks" data-v=(c.blocks) { (c.blocks) } }
                } } }
            }
        }
    }
}

fn facts(v: &Verdicts) -> Vec<(&'static str, String)> {
    vec![
        ("Before", words::side(&v.before)),
        ("After", words::side(&v.after)),
        ("Machine", v.machine.clone()),
        ("Started", v.started.clone()),
        (
            "Margin",
            format!("{}, from: {}", words::percent(v.margin), v.margin_from),
        ),
        ("Alpha", round(v.alpha)),
        ("Seed", v.seed.to_string()),
    ]
}
