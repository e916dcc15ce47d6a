//! The trends of one class of machine as a page and a chart.

use maud::{Markup, PreEscaped, html};

use super::trend::{CaseTrend, Class, Percent};
use crate::report::chart::{Chart, trend};
use crate::report::html::{Words, shell};
use crate::report::wording::{fixed, plural};
use crate::report::{Document, ReportError};
use crate::run::Measured;

/// `index.html`, `trend.svg` and `trend.png` of a class, from its trends alone.
///
/// # Errors
/// When the chart can't be drawn.
pub fn documents(class: &Class, alpha: f64) -> Result<Vec<Document>, ReportError> {
    let chart = trend::trends(class);
    let document = |name: &str, bytes| Document {
        path: name.to_owned(),
        bytes,
    };
    let svg = chart.as_ref().map(Chart::svg).transpose()?;
    let page = page(class, alpha, svg.as_deref());
    let mut out = vec![document("index.html", page.into_bytes())];
    if let (Some(svg), Some(chart)) = (svg, chart) {
        out.push(document("trend.svg", svg.into_bytes()));
        out.push(document("trend.png", chart.png()?));
    }
    Ok(out)
}

fn page(class: &Class, alpha: f64, svg: Option<&str>) -> String {
    let changed = class.cases.iter().filter(|c| !c.changes.is_empty()).count();
    let title = match changed {
        0 => "bitgauge history: no change".to_owned(),
        n => format!("bitgauge history: {} changed", plural(n, "case")),
    };
    let span = match class.runs.as_slice() {
        [] => String::new(),
        [only] => only.date.clone(),
        [first, .., last] => format!("{} to {}", first.date, last.date),
    };
    let note = html! { (Words(&class.machine)) " · " (plural(class.runs.len(), "run")) " · " (Words(&span)) };
    let body = html! {
        p.note.below {
            "Ratios to yardsticks that ran beside each case; above 0 % is slower. The probability that \
             any case without a change is marked is at most " (format!("{:.2} %", 100.0 * alpha))
            ", for one look, if runs do not lean on the runs before them."
        }
        @if let Some(svg) = svg {
            div.charts { figure.chart id="chart-trend" { (PreEscaped(svg)) } }
        }
        div.panel { (table(&class.cases)) }
    };
    let footer = html! { "Rendered from history.json, which holds every figure." };
    shell(&title, &note, &body, &footer)
}

fn table(cases: &[CaseTrend]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="cases" {
            table.sortable.cards {
                thead { tr {
                    th scope="col" { "case" }
                    @for head in ["runs", "first", "last", "drift"] { th.r scope="col" { (head) } }
                    th scope="col" { "changes" }
                } }
                tbody { @for c in cases { tr {
                    td data-h="case" { (Words(&c.case)) " " span.interval { "beside " (Words(&c.yardstick)) } }
                    td.r data-h="runs" data-v=(c.points.len()) { (c.points.len()) }
                    td.r data-h="first" data-v=(c.first) { (fixed(c.first, 4)) }
                    td.r data-h="last" data-v=(c.last) { (fixed(c.last, 4)) }
                    (drift(&c.drift))
                    td data-h="changes" {
                        @for change in &c.changes {
                            div {
                                (change.size) " at " code { (Words(&change.revision)) }
                                " after " code { (Words(&change.before)) }
                                ", " (Words(&change.date)) (format!(", p = {:.2e}", change.p))
                            }
                        }
                        @if c.changes.is_empty() { "none" }
                    }
                } } }
            }
        }
    }
}

fn drift(drift: &Measured<Percent>) -> Markup {
    html! {
        @match drift {
            Measured::Is(d) => { td.r data-h="drift" data-v=(d.percent) { (d) } },
            Measured::Unavailable(why) => { td.r data-h="drift" { span.missing { (why) } } },
        }
    }
}
