//! `index.html`: one file that fetches nothing.

use super::ReportError;
use super::chart::{self, Chart};
use super::summary::{self, Answer};
use super::table::{Cell, Kind, Table, interval};
use super::tables;
use super::wording::{self, printable, unavailable};
use crate::run::{CheckStatus, Measured, Run};
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

const STYLE: &str = include_str!("style.css");
const SORT: &str = include_str!("sort.js");

/// The dark theme of everything that is not a chart.
const DARK: &str = ":root{--paper:#171b21;--ground:#0f1216;--text:#e8ecf1;--muted:#9da8b5;\
                    --line:#2e3640;--held:#4fc487;--broken:#ff8075;--unknown:#e6a83c;\
                    --accent:#6ca6fb}";

/// Nothing may be fetched, whatever a name in the data looks like.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Text without what HTML can't hold.
pub struct Words<'a>(pub &'a str);

impl Render for Words<'_> {
    fn render_to(&self, out: &mut String) {
        printable(self.0).as_str().render_to(out);
    }
}

/// The page.
pub fn page(run: &Run, charts: &[Chart]) -> Result<String, ReportError> {
    let note = html! {
        (Words(&run.started)) " · version " (Words(&run.tool.version))
        " · revision " (Words(&wording::or_why(&run.tool.revision, Clone::clone)))
        @if run.settings.quick { " · quick run" }
    };
    let footer = html! {
        "Rendered from run.json, which holds every figure and every raw sample. "
        code { "bitgauge report DIR" } " renders it again, byte for byte."
    };
    let title = format!("bitgauge: {}", run.name);
    Ok(shell(&title, &note, &body(run, charts)?, &footer))
}

/// What all pages share: style, policy, the place of title and footer, sorting.
pub fn shell(title: &str, note: &Markup, body: &Markup, footer: &Markup) -> String {
    // Only a screen goes dark; paper stays white.
    let style = format!(
        "{STYLE}@media screen and (prefers-color-scheme: dark){{{DARK}\n{}}}",
        chart::dark_rules()
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (Words(title)) }
                style { (PreEscaped(style)) }
            }
            body {
                header {
                    h1 { (Words(title)) }
                    p.note { (note) }
                }
                main { (body) }
                footer { (footer) }
                script { (PreEscaped(SORT)) }
            }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

fn body(run: &Run, charts: &[Chart]) -> Result<Markup, ReportError> {
    let figures = |names: &[&str]| -> Result<Markup, ReportError> {
        let mut out = String::new();
        for chart in charts.iter().filter(|c| names.contains(&c.name)) {
            let svg = chart.svg()?;
            out += &html! { figure.chart id={"chart-" (chart.name)} { (PreEscaped(svg)) } }
                .into_string();
        }
        Ok(html! { @if !out.is_empty() { div.charts { (PreEscaped(out)) } } })
    };
    Ok(html! {
        (answers(&summary::answers(run)))
        @if let Some(cut) = summary::cut_model(run) { p.note.below { (Words(&cut)) "." } }

        h2 { "Claims" }
        (section(&run.ladder, |l| vec![Shown::cards(tables::claims(l))]))

        h2 { "The reports' numbers" }
        (panel(&Shown::cards(tables::reported(run))))

        h2 { "The ladder, one fix at a time" }
        (figures(&["before_after", "cumulative", "isolated"])?)
        (section(&run.ladder, |l| vec![
            Shown::cards(tables::rungs(run, l)).wide(),
            Shown::cards(tables::isolated(l)),
        ]))

        h2 { "What the defects hid" }
        @match &run.ladder {
            Measured::Is(l) => (section(&l.masking, |m| vec![Shown::cards(tables::masking(m))])),
            Measured::Unavailable(why) => (missing(why)),
        }

        h2 { "How far from the limit" }
        (figures(&["parts", "roofline", "scaling"])?)
        (section(&run.profiles, |p| vec![
            Shown::plain(tables::profiles(p)).folded("Time by part in every state".into()),
        ]))
        (section(&run.products, |p| vec![Shown::plain(tables::products(p)).wide()]))
        (section(&run.prompts, |p| vec![Shown::plain(tables::prompts(p)).wide()]))
        (section(&run.tokens, |t| vec![Shown::plain(tables::tokens(t)).wide()]))
        (section(&run.targets, |t| vec![Shown::cards(tables::targets(t))]))
        (section(&run.yardsticks, |y| vec![Shown::plain(tables::yardsticks(y))]))
        (section(&run.scaling, |s| vec![Shown::plain(tables::scaling(s)).wide()]))

        h2 { "How long single tokens take" }
        (figures(&["latency"])?)
        (section(&run.latency, |l| vec![
            Shown::plain(tables::latency(l)).wide(),
            Shown::cards(tables::latency_targets(l)),
            Shown::plain(tables::latency_parts(l)),
        ]))

        h2 { "Whole generations" }
        (figures(&["cache"])?)
        (section(&run.generation, |g| {
            let gain = g.gain.get().map(|gain| Shown::cards(tables::cache_gain(g, gain)));
            let mut shown = vec![Shown::plain(tables::generation(g)).wide()];
            shown.extend(gain);
            shown.push(Shown::plain(tables::cache_by_context(g)));
            shown
        }))
        @if let Some(why) = run.generation.get().and_then(|g| g.gain.why()) { (missing(why)) }

        h2 { "What the caches do" }
        (figures(&["prefetch", "staircase"])?)
        (section(&run.cache, |c| {
            let mut shown = Vec::new();
            if let Some(p) = c.prefetch.get() {
                shown.push(Shown::cards(tables::prefetch_claim(p)));
                shown.push(Shown::plain(tables::prefetch(c, p)));
            }
            shown.push(Shown::plain(tables::staircase(c)));
            shown
        }))
        @if let Some(why) = run.cache.get().and_then(|c| c.prefetch.why()) { (missing(why)) }

        h2 { "What the processor does for a token" }
        (section(&run.counters, |c| vec![Shown::plain(tables::costs(c)).wide()]))

        h2 { "Are the answers right" }
        (figures(&["depth"])?)
        (section(&run.agreement, |a| {
            let mut shown = vec![Shown::cards(tables::agreement(a)), Shown::plain(tables::texts(a))];
            shown.extend(a.likelihood.get().map(|l| Shown::plain(tables::likelihood(l)).wide()));
            shown.extend(a.depth.get().map(|d| Shown::plain(tables::depth(d))));
            shown
        }))
        (section(&run.checks, |c| {
            let notable = tables::checks(c, |s| s != CheckStatus::Pass);
            let passed = tables::checks(c, |s| s == CheckStatus::Pass);
            let folded = format!("{} that passed", wording::plural(passed.rows.len(), "check"));
            let mut shown = Vec::new();
            if !notable.rows.is_empty() { shown.push(Shown::cards(notable).named("checks-notable")); }
            if !passed.rows.is_empty() { shown.push(Shown::plain(passed).folded(folded)); }
            shown
        }))
        (section(&run.defects, |d| vec![Shown::cards(tables::defects(d))]))

        h2 { "What was run, on what" }
        div.panel { dl.facts {
            @for (name, value) in summary::facts(run) { dt { (name) } dd { (Words(&value)) } }
        } }
        (section(&run.kernels, |k| vec![Shown::cards(tables::kernels(k))]))
        (section(&run.selection, |s| vec![Shown::plain(tables::selection(s))]))
        (section(&run.totals, |t| vec![Shown::plain(tables::skipped(t))]))
    })
}

fn answers(answers: &[Answer]) -> Markup {
    html! {
        dl.answers {
            @for a in answers {
                div class=(a.mark.class()) {
                    dt { (a.question) }
                    dd.headline { span.sign aria-hidden="true" { (a.mark.sign()) " " } (Words(&a.headline)) }
                    dd.detail { (Words(&a.detail)) }
                }
            }
        }
    }
}

/// A table and how it is shown.
struct Shown {
    table: Table,
    cards: bool,
    wide: bool,
    anchor: &'static str,
    folded: Option<String>,
}

impl Shown {
    /// A table on every screen.
    fn plain(table: Table) -> Self {
        Self {
            anchor: table.id,
            table,
            cards: false,
            wide: false,
            folded: None,
        }
    }

    /// A table whose rows become cards on a phone.
    fn cards(table: Table) -> Self {
        Self {
            cards: true,
            ..Self::plain(table)
        }
    }

    /// As wide as its columns want; it scrolls within its panel.
    fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    fn class(&self) -> &'static str {
        match (self.wide, self.cards) {
            (false, false) => "sortable",
            (false, true) => "sortable cards",
            (true, false) => "sortable wide",
            (true, true) => "sortable wide cards",
        }
    }

    fn named(mut self, anchor: &'static str) -> Self {
        self.anchor = anchor;
        self
    }

    fn folded(mut self, summary: String) -> Self {
        self.folded = Some(summary);
        self
    }
}

/// The tables of a section, or why there are none.
fn section<T>(data: &Measured<T>, shown: impl FnOnce(&T) -> Vec<Shown>) -> Markup {
    match data {
        Measured::Unavailable(why) => missing(why),
        Measured::Is(data) => html! { @for s in shown(data) { (panel(&s)) } },
    }
}

fn missing(why: &str) -> Markup {
    html! { p.note { (Words(&unavailable(why))) } }
}

fn panel(shown: &Shown) -> Markup {
    let table = html! {
        div.scroll tabindex="0" role="region" aria-label=(shown.table.caption) {
            (table(&shown.table, shown.class()))
        }
    };
    html! {
        div.panel id=(shown.anchor) {
            @match &shown.folded {
                Some(summary) => details { summary { (summary) } (table) },
                None => (table),
            }
        }
    }
}

/// Right for figures; and where a figure can't be, so that a card can leave it out.
fn class_of(kind: Kind, cell: &Cell) -> Option<&'static str> {
    match (kind != Kind::Text, matches!(cell, Cell::Instead(_))) {
        (true, true) => Some("r instead"),
        (true, false) => Some("r"),
        (false, true) => Some("instead"),
        (false, false) => None,
    }
}

fn table(table: &Table, class: &str) -> Markup {
    let align = |kind: Kind| (kind != Kind::Text).then_some("r");
    html! {
        table class=(class) {
            caption { (Words(&table.caption)) }
            thead { tr {
                @for c in &table.columns { th scope="col" class=[align(c.kind)] { (c.head) } }
            } }
            tbody {
                @for row in &table.rows { tr {
                    @for (column, cell) in table.columns.iter().zip(row) {
                        td class=[class_of(column.kind, cell)] data-h=(column.head) data-v=[cell.sort_key()] {
                            (value(cell))
                        }
                    }
                } }
                @if table.rows.is_empty() {
                    tr { td colspan=(table.columns.len()) { "none" } }
                }
            }
        }
    }
}

/// Text in which names stand between backticks.
fn prose(text: &str) -> Markup {
    let pieces: Vec<&str> = text.split('`').collect();
    // An even number of pieces: a backtick has no partner.
    if pieces.len().is_multiple_of(2) {
        return html! { (Words(text)) };
    }
    html! {
        @for (i, piece) in pieces.iter().enumerate() {
            @if i % 2 == 1 { code { (Words(piece)) } } @else { (Words(piece)) }
        }
    }
}

fn value(cell: &Cell) -> Markup {
    html! {
        @match cell {
            Cell::Code(text) => code { (Words(text)) },
            Cell::Lines(facts) => { @for fact in facts { span.line { (Words(fact)) " " } } },
            Cell::Estimate(e) => {
                (wording::number(e.value)) " " span.interval { (interval(e)) }
            },
            Cell::Projected(value, low, high) => {
                (wording::number(*value)) " " span.interval {
                    "[" (wording::number(*low)) ", " (wording::number(*high)) "]"
                }
            },
            Cell::Instead(text) => span.missing { (Words(text)) },
            Cell::Missing(why) => span.missing { (Words(&unavailable(why))) },
            Cell::Verdict(mark, words) => {
                @let (word, rest) = words.split_once(": ").map_or((words.as_str(), ""), |(w, r)| (w, r));
                span class={"word " (mark.class())} { (mark.sign()) " " (Words(word)) }
                @if !rest.is_empty() { " " (prose(rest)) }
            },
            other => (Words(&other.text())),
        }
    }
}
