//! `VALIDATION.md`: the sign-off sheet. No box is ticked by hand.

use super::summary;
use super::table::markdown as md;
use super::wording::{self, Finding, Mark, fraction, number, percent, plural, unavailable};
use crate::run::{
    CheckStatus, Checks, Comparison, DefectOutcome, Estimate, KernelRow, Measured, Run, Scaled,
};

/// The largest relative error of the state with every fix. From the notes that the ladder starts
/// from: "error < 1 %, later < 0.1 %".
const ERROR_LIMIT: f64 = 0.001;

/// One box of the sheet.
struct Line {
    mark: Mark,
    text: String,
    evidence: String,
}

impl Line {
    fn new(held: bool, text: impl Into<String>, evidence: impl Into<String>) -> Self {
        let mark = if held { Mark::Held } else { Mark::Broken };
        Self {
            mark,
            text: text.into(),
            evidence: evidence.into(),
        }
    }

    fn unknown(text: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            mark: Mark::Unknown,
            text: text.into(),
            evidence: why.into(),
        }
    }

    fn of<T>(
        value: &Measured<T>,
        text: &'static str,
        judge: impl FnOnce(&T) -> (bool, String),
    ) -> Self {
        match value {
            Measured::Is(v) => {
                let (held, evidence) = judge(v);
                Self::new(held, text, evidence)
            }
            Measured::Unavailable(why) => Self::unknown(text, why.clone()),
        }
    }
}

/// The sheet.
pub fn sheet(run: &Run) -> String {
    let groups = [
        ("Answers", answers(run)),
        ("Speed", speed(run)),
        ("Scaling", scaling(run)),
        ("Record", record(run)),
    ];
    let all = || groups.iter().flat_map(|(_, lines)| lines);
    let of = |mark: Mark| all().filter(|l| l.mark == mark).count();
    let mut out = format!(
        "# Validation\n\nRun {}, {}, bitgauge {}. Every box is filled from `run.json`: \
         **{} ticked, {} not ticked, {} not measured.**\n",
        md(&run.name),
        md(&run.started),
        md(&run.tool.version),
        of(Mark::Held),
        of(Mark::Broken),
        of(Mark::Unknown),
    );
    for (title, lines) in &groups {
        out += &format!("\n## {title}\n\n");
        for line in lines {
            let (mark, word) = match line.mark {
                Mark::Held | Mark::Plain => ("x", ""),
                Mark::Broken => (" ", "**not so:** "),
                Mark::Unknown => (" ", "**not measured:** "),
            };
            out += &format!(
                "- [{mark}] {}\n  - {word}{}\n",
                md(&line.text).replace('\n', " "),
                md(&line.evidence).replace('\n', " ")
            );
        }
    }
    out += "\n## Sign-off\n\n| Name | Date | Signature |\n| --- | --- | --- |\n|  |  |  |\n|  |  |  |\n";
    out
}

fn answers(run: &Run) -> Vec<Line> {
    let passed = |c: &Checks| {
        let [passed, failed, skipped] =
            [CheckStatus::Pass, CheckStatus::Fail, CheckStatus::Skipped].map(|s| c.count(s));
        (
            failed == 0 && passed > 0,
            format!("{passed} passed, {failed} failed, {skipped} skipped"),
        )
    };
    let mut lines = vec![
        Line::of(&run.checks, "Every check of an answer passed", passed),
        judged(run),
        Line::of(&run.selection, "No layer fell back to a slower path", |s| {
            (s.fallbacks == 0, plural(s.fallbacks, "fallback"))
        }),
    ];
    lines.push(match &run.defects {
        Measured::Unavailable(why) => Line::unknown("Every planted defect was caught", why),
        Measured::Is(defects) => {
            let missed: Vec<&str> = defects
                .iter()
                .filter(|d| d.outcome == DefectOutcome::Missed)
                .map(|d| d.id.as_str())
                .collect();
            let not_run = defects
                .iter()
                .filter(|d| matches!(d.outcome, DefectOutcome::NotRun { .. }))
                .count();
            let caught = defects.len() - missed.len() - not_run;
            let evidence = format!(
                "{caught} caught, {} missed{}{}, {not_run} not run",
                missed.len(),
                if missed.is_empty() { "" } else { ": " },
                missed.join(", ")
            );
            if missed.is_empty() && not_run > 0 || defects.is_empty() {
                Line::unknown("Every planted defect was caught", evidence)
            } else {
                Line::new(
                    missed.is_empty(),
                    "Every planted defect was caught",
                    evidence,
                )
            }
        }
    });
    let text = format!(
        "With every fix, relative error is below {}",
        fraction(ERROR_LIMIT)
    );
    lines.push(match run.ladder.as_ref().map(|l| l.rungs.last()) {
        Measured::Unavailable(why) => Line::unknown(text, why),
        Measured::Is(None) => Line::unknown(text, "the ladder has no steps"),
        Measured::Is(Some(step)) => match &step.comparison {
            Comparison::Wrong { error } => Line::new(false, text, wording::wrong(error)),
            Comparison::NotRun { why } => Line::unknown(text, why),
            Comparison::Timed { after, .. } | Comparison::Mended { after, .. } => {
                match &after.relative_error {
                    Measured::Is(e) => Line::new(*e < ERROR_LIMIT, text, fraction(*e)),
                    Measured::Unavailable(why) => Line::unknown(text, why),
                }
            }
        },
    });
    lines
}

/// A kernel that this machine runs but no check judged may be wrong for months.
fn judged(run: &Run) -> Line {
    let text = "Every kernel that runs here was judged";
    match (&run.kernels, &run.checks) {
        (Measured::Is(kernels), Measured::Is(checks)) => {
            let judged = |k: &KernelRow| {
                checks
                    .list
                    .iter()
                    .any(|c| c.kernel == k.name && c.status != CheckStatus::Skipped)
            };
            let here: Vec<&KernelRow> = kernels
                .iter()
                .filter(|k| k.available.get().is_some())
                .collect();
            let not: Vec<&str> = here
                .iter()
                .filter(|k| !judged(k))
                .map(|k| k.name.as_str())
                .collect();
            let evidence = if not.is_empty() {
                format!("{} run here, all judged", plural(here.len(), "kernel"))
            } else {
                format!("not judged: {}", not.join(", "))
            };
            Line::new(not.is_empty() && !here.is_empty(), text, evidence)
        }
        (Measured::Unavailable(why), _) | (_, Measured::Unavailable(why)) => {
            Line::unknown(text, why)
        }
    }
}

fn from_finding(text: String, f: &Finding) -> Option<Line> {
    let evidence = format!("{}: {}", f.word, f.sentence);
    (f.mark != Mark::Plain).then_some(Line {
        mark: f.mark,
        text,
        evidence,
    })
}

fn speed(run: &Run) -> Vec<Line> {
    let ladder = match &run.ladder {
        Measured::Is(ladder) => ladder,
        Measured::Unavailable(why) => return vec![Line::unknown("Claims of the ladder", why)],
    };
    let mut lines = Vec::new();
    for step in &ladder.rungs {
        let text = match &step.claim {
            Some(c) => format!("{}: {}", step.title, c.text),
            None => step.title.clone(),
        };
        lines.extend(from_finding(
            text,
            &Finding::of_comparison(&step.comparison),
        ));
    }
    match &ladder.masking {
        Measured::Is(m) => {
            let text = match &m.claim {
                Some(c) => format!("{}: {}", m.feature, c.text),
                None => m.feature.clone(),
            };
            lines.extend(from_finding(text, &super::tables::masking_finding(m)));
        }
        Measured::Unavailable(why) => lines.push(Line::unknown("The masked gain shows up", why)),
    }
    for target in &ladder.targets {
        lines.extend(from_finding(
            target.text.clone(),
            &Finding::of_target(target),
        ));
    }
    lines
}

fn scaling(run: &Run) -> Vec<Line> {
    let points = match &run.scaling {
        Measured::Is(points) => points,
        Measured::Unavailable(why) => {
            return vec![Line::unknown("Efficiency by threads is as claimed", why)];
        }
    };
    let lines: Vec<Line> = points
        .iter()
        .filter_map(|p| {
            let claimed = 100.0 * p.claimed_efficiency?;
            let text = format!(
                "{}, {}: {} with {} threads",
                p.phase,
                p.scheduler,
                percent(claimed),
                p.threads
            );
            let share = |s: f64| 100.0 * s / p.threads as f64;
            Some(match &p.speedup {
                Scaled::Measured { speedup, .. } => {
                    let efficiency = Estimate {
                        value: share(speedup.value),
                        low: share(speedup.low),
                        high: share(speedup.high),
                        ..*speedup
                    };
                    let evidence = format!(
                        "{} ({})",
                        percent(efficiency.value),
                        wording::sureness(&efficiency)
                    );
                    // The whole interval decides: within it, the claim is neither.
                    if efficiency.low >= claimed {
                        Line::new(true, text, evidence)
                    } else if efficiency.high < claimed {
                        Line::new(false, text, evidence)
                    } else {
                        Line::unknown(text, format!("undecided: {evidence}"))
                    }
                }
                Scaled::Projected { value, model, .. } => Line::unknown(
                    text,
                    format!("projected only ({model}): {}", percent(share(*value))),
                ),
                Scaled::Unavailable { why } => Line::unknown(text, why),
            })
        })
        .collect();
    if lines.is_empty() {
        return vec![Line::unknown(
            "Efficiency by threads is as claimed",
            "nothing was claimed",
        )];
    }
    lines
}

fn record(run: &Run) -> Vec<Line> {
    vec![
        Line::of(
            &run.tool.revision,
            "The revision that measured is known",
            |r| (true, r.clone()),
        ),
        Line::of(&run.model, "The whole model ran", |m| {
            (
                m.layers_run == m.layers_in_shape,
                summary::cut_model(run)
                    .unwrap_or_else(|| format!("all {} layers of {}", m.layers_run, m.name)),
            )
        }),
        Line::of(&run.machine, "The machine gave no warnings", |m| {
            (
                m.warnings.is_empty(),
                if m.warnings.is_empty() {
                    "none".into()
                } else {
                    m.warnings.join("; ")
                },
            )
        }),
        Line::of(&run.totals, "Nothing was left out", |t| {
            let all: Vec<String> = t
                .skipped
                .iter()
                .map(|s| format!("{}: {}", s.what, s.why))
                .collect();
            (
                all.is_empty(),
                if all.is_empty() {
                    format!("the run took {} s", number(t.seconds))
                } else {
                    all.join("; ")
                },
            )
        }),
    ]
    .into_iter()
    .map(|mut line| {
        if line.evidence.is_empty() {
            line.evidence = unavailable("no reason was recorded");
        }
        line
    })
    .collect()
}
