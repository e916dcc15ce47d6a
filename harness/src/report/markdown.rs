//! `report.md`, to be pasted into a pull request, and the fix log.

use super::summary;
use super::table::markdown as md;
use super::tables;
use super::wording::{self, Finding, NBSP, number, or_why, unavailable};
use crate::run::{CheckStatus, Comparison, Estimate, Figures, Measured, Run, Step};

/// The report in short: verdicts first.
pub fn report(run: &Run) -> String {
    let mut out = format!("## bitgauge: {}\n\n", md(&run.name));
    match &run.ladder {
        Measured::Is(ladder) => out += &tables::claims(ladder).markdown(),
        Measured::Unavailable(why) => out += &format!("Claims: {}\n", md(&unavailable(why))),
    }
    out += "\n";
    for answer in summary::answers(run) {
        out += &format!(
            "- **{}** {} {}: {}\n",
            answer.question,
            answer.mark.sign(),
            md(&answer.headline),
            md(&answer.detail)
        );
    }
    if let Measured::Is(ladder) = &run.ladder {
        let mut steps = tables::rungs(ladder);
        let keep = [
            "step",
            "before_token_s",
            "after_token_s",
            "speedup",
            "after_relative_error_percent",
        ];
        let kept: Vec<bool> = steps
            .columns
            .iter()
            .map(|c| keep.contains(&c.key))
            .collect();
        let mut it = kept.iter();
        steps.columns.retain(|_| *it.next().unwrap_or(&false));
        for row in &mut steps.rows {
            let mut it = kept.iter();
            row.retain(|_| *it.next().unwrap_or(&false));
        }
        out += &format!("\n### Steps\n\n{}", steps.markdown());
        out += &format!(
            "\n### One at a time\n\n{}",
            tables::isolated(ladder).markdown()
        );
        match &ladder.masking {
            Measured::Is(m) => {
                out += &format!(
                    "\n### {}\n\n{}",
                    md(&m.feature),
                    tables::masking(m).markdown()
                );
            }
            Measured::Unavailable(why) => {
                out += &format!("\nMasking matrix: {}\n", md(&unavailable(why)));
            }
        }
    }
    if let Measured::Is(checks) = &run.checks {
        let failed = tables::checks(checks, |s| s == CheckStatus::Fail);
        if !failed.rows.is_empty() {
            out += &format!("\n### Failed checks\n\n{}", failed.markdown());
        }
    }
    out += "\n<details><summary>What was run, on what</summary>\n\n";
    for (name, value) in summary::facts(run) {
        out += &format!("- {name}: {}\n", md(&value));
    }
    out += "\n</details>\n";
    out
}

/// One entry a fix: what, why, before, after, claim, verdict.
pub fn fix_log(run: &Run) -> String {
    let mut out = format!(
        "# Performance fix log\n\nRun {}, {}, on {}. Rendered from `run.json` by `bitgauge report`.\n",
        md(&run.name),
        md(&run.started),
        or_why(&run.machine, |m| md(&m.cpu)),
    );
    let ladder = match &run.ladder {
        Measured::Is(ladder) => ladder,
        Measured::Unavailable(why) => {
            return out + &format!("\nNo ladder: {}\n", md(&unavailable(why)));
        }
    };
    if let Some(cut) = summary::cut_model(run) {
        out += &format!("\n{}.\n", md(&cut));
    }
    for (i, step) in ladder.rungs.iter().enumerate() {
        out += &entry(i + 1, step);
    }
    out
}

fn entry(number: usize, step: &Step) -> String {
    let finding = Finding::of_comparison(&step.comparison);
    let (before, after) = match &step.comparison {
        Comparison::Timed { before, after, .. } => (figures(before), figures(after)),
        Comparison::Mended {
            error_before,
            after,
            ..
        } => (
            format!("wrong answers, {}; no time", wording::wrong(error_before)),
            figures(after),
        ),
        Comparison::Wrong { error } => (
            "not paired".into(),
            format!("wrong answers, {}; no time", wording::wrong(error)),
        ),
        Comparison::NotRun { why } => (unavailable(why), unavailable(why)),
    };
    let claim = match &step.claim {
        Some(c) => format!("{} ({})", c.text, wording::claimed(c)),
        None => "nothing was claimed".into(),
    };
    let lines = [
        ("What", step.change.clone()),
        ("Why", step.why.clone()),
        ("Compared with", step.compared_with.clone()),
        ("Before", before),
        ("After", after),
        ("Claim", claim),
        ("Prediction", step.prediction.clone()),
        (
            "Verdict",
            format!(
                "{} {}: {}",
                finding.mark.sign(),
                finding.word,
                finding.sentence
            ),
        ),
    ];
    let mut out = format!("\n## {number}. {} ({})\n\n", md(&step.title), md(&step.id));
    for (name, value) in lines {
        out += &format!("- **{name}**: {}\n", md(&value).replace('\n', " "));
    }
    out
}

/// A state's figures in one sentence.
fn figures(f: &Figures) -> String {
    let with = |e: &Estimate, unit: &str| {
        format!("{}{NBSP}{unit} ({})", number(e.value), wording::sureness(e))
    };
    format!(
        "{}; {}; {}; {} of read bandwidth; matrix products {}; busy per core {}; relative error {}; {} threads; {} tokens a sample",
        with(&f.token_s, "token/s"),
        with(&f.ms_token, "ms/token"),
        or_why(&f.gb_s, |&x| format!("{}{NBSP}GB/s", number(x))),
        or_why(&f.percent_of_bandwidth, |&x| wording::percent(x)),
        or_why(&f.product_share, |&x| format!(
            "{} of the time",
            wording::percent(x)
        )),
        or_why(&f.utilisation, |u| {
            u.iter()
                .map(|&x| wording::percent(x))
                .collect::<Vec<_>>()
                .join(", ")
        }),
        or_why(&f.relative_error, |&x| wording::fraction(x)),
        f.threads,
        f.tokens,
    )
}
