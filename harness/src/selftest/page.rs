//! A self-test as text and as markdown.

use super::document::{Document, Entry, Outcome};

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Miss => "MISS",
        Outcome::Skipped => "skipped",
    }
}

fn sum(document: &Document) -> String {
    let count = |outcome| document.count(outcome);
    let mut text = format!(
        "{} noticed, {} missed, {} skipped, in {:.0} s",
        count(Outcome::Pass),
        count(Outcome::Miss),
        count(Outcome::Skipped),
        document.seconds
    );
    if document
        .entries
        .iter()
        .any(|e| e.outcome == Outcome::Skipped)
    {
        text.push_str(" (what was skipped is no pass)");
    }
    text
}

/// What was planted, expected and said, an item at a time, and a sentence that sums it up.
pub fn text(document: &Document) -> String {
    let mut text = String::new();
    for e in &document.entries {
        text.push_str(&format!(
            "{:<7}  {}  ({:.1} s)\n",
            word(e.outcome),
            e.id,
            e.seconds
        ));
        let mut line = |name: &str, value: &str| {
            text.push_str(&format!("         {name:<8}  {value}\n"));
        };
        line("planted", &e.planted);
        line("expected", &e.expected);
        line("said", &e.said);
        if let Some(c) = &e.control {
            line("control", &format!("{}: {}{}", c.rule, c.said, failed(e)));
        }
        if let Some(seen_in) = &e.seen_in {
            line("seen in", seen_in);
        }
        if let Some(hint) = &e.hint {
            line("hint", hint);
        }
    }
    text.push_str(&sum(document));
    text.push('\n');
    text
}

/// A note where the control did not go as it must.
fn failed(entry: &Entry) -> &'static str {
    match entry.control.as_ref().is_some_and(|c| !c.held) {
        true => " (a control must go otherwise: this item proves nothing)",
        false => "",
    }
}

/// The same as a page.
pub fn markdown(document: &Document) -> String {
    let mut page = format!(
        "# bitgauge selftest\n\n{}, on {}, {}. Exit {}.\n\n\
         | | item | planted | expected | said | control | seen in | s |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        sum(document),
        document.machine,
        document.started,
        document.exit
    );
    for e in &document.entries {
        let control = e.control.as_ref().map_or(String::new(), |c| {
            format!("{}: {}{}", c.rule, c.said, failed(e))
        });
        let said = match &e.hint {
            Some(hint) => format!("{} ({hint})", e.said),
            None => e.said.clone(),
        };
        let seen_in = e.seen_in.clone().unwrap_or_default();
        let cells = [&e.id, &e.planted, &e.expected, &said, &control, &seen_in].map(|s| cell(s));
        page.push_str(&format!(
            "| {} | {} | {:.1} |\n",
            word(e.outcome),
            cells.join(" | "),
            e.seconds
        ));
    }
    page
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
