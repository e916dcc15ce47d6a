//! `report.md`, to be pasted into a pull request, and the fix log.

use super::agreement;
use super::cache;
use super::costs;
use super::finding::{Finding, no_time};
use super::latency;
use super::markdown::{line, text as md};
use super::summary;
use super::tables;
use super::wording::{self, NBSP, number, or_why, plural, unavailable};
use crate::run::{CheckStatus, Comparison, Estimate, Figures, Measured, Run, StepFinding};

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
    for (what, line) in [
        (
            "Single tokens",
            run.latency.as_ref().map(latency::latency_line),
        ),
        (
            "Generations",
            run.generation.as_ref().map(latency::generation_line),
        ),
        ("Caches", run.cache.as_ref().map(cache::line)),
        ("Counters", run.counters.as_ref().map(costs::line)),
    ] {
        if let Measured::Is((mark, line)) = line {
            out += &format!("- **{what}** {} {}\n", mark.sign(), md(&line));
        }
    }
    if let Measured::Is(agreement) = &run.agreement {
        for line in agreement::lines(agreement) {
            let words = md(&line.words);
            out += &format!("- **{}** {} {words}\n", line.what, line.mark.sign());
        }
    }
    if let Measured::Is(ladder) = &run.ladder {
        let mut steps = tables::rungs(run, ladder);
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
        let on = summary::cut(run).map_or_else(String::new, |cut| format!(" on {cut}"));
        out += &format!("\n### Steps{}\n\n{}", md(&on), steps.markdown());
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
    for (i, finding) in ladder.findings().enumerate() {
        out += &entry(i + 1, &finding);
    }
    out
}

fn entry(number: usize, step_finding: &StepFinding<'_>) -> String {
    let step = step_finding.step;
    let finding = Finding::of_step(step_finding);
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
        Comparison::Wrong { .. } => ("not paired".into(), no_time(&step.comparison)),
        other => (no_time(other), no_time(other)),
    };
    let claim = match &step.claim {
        Some(c) => {
            let error = c.error_below.map_or_else(String::new, |below| {
                format!(", relative error below {}", wording::limit(below))
            });
            format!("{} (judged as {}{error})", c.text, wording::claimed(c))
        }
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
        ("Measured", finding.measured.join("; ")),
        (
            "Verdict",
            format!("{} {}", finding.mark.sign(), finding.verdict()),
        ),
    ];
    let mut out = format!("\n## {number}. {} ({})\n\n", md(&step.title), md(&step.id));
    for (name, value) in lines {
        out += &format!("- **{name}**: {}\n", line(&value));
    }
    out
}

/// A state's figures in one sentence.
fn figures(f: &Figures) -> String {
    let with = |e: &Estimate, unit: &str| {
        format!("{}{NBSP}{unit} ({})", number(e.value), wording::sureness(e))
    };
    format!(
        "{}; {}; {}; {}; matrix products {}; busy per core {}; relative error {}; {}; {} a sample",
        with(&f.token_s, "token/s"),
        with(&f.ms_token, "ms/token"),
        or_why(&f.gb_s, |&x| format!("{}{NBSP}GB/s", number(x))),
        match &f.percent_of_bandwidth {
            Measured::Is(share) => format!("{} of read bandwidth", wording::percent(*share)),
            Measured::Unavailable(why) => format!("share of read bandwidth {}", unavailable(why)),
        },
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
        plural(f.threads, "thread"),
        plural(f.tokens as usize, "token"),
    )
}
