//! `VALIDATION.md`: the sign-off sheet. No box is ticked by hand.

mod agreement;
mod tokens;

use super::finding::{self, Judged, Mark};
use super::limit::{self, Reach};
use super::markdown::{line as one_line, text as md};
use super::summary;
use super::wording::{self, fraction, limit as bound, number, percent, plural, unavailable};
use crate::run::{
    CheckStatus, Checks, ClaimedEfficiency, Comparison, Defect, DefectOutcome, Estimate, KernelRow,
    Knob, Ladder, Measured, Run, Scaled, Selection,
};

/// The largest relative error of the state with every fix. From the notes that the ladder starts
/// from: "error < 1 %, later < 0.1 %".
const ERROR_LIMIT: f64 = 0.001;

/// How far, in per cent of a token's time, its parts may add up to something else: beyond that, they
/// don't say where it goes.
const UNACCOUNTED: f64 = 3.0;

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
        ("SIMD", simd(run)),
        ("T-MAC", tmac(run)),
        ("Threads", threads(run)),
        ("Final", last(run)),
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
                Mark::Broken => (" ", "**no:** "),
                Mark::Unknown => (" ", "**not measured:** "),
            };
            out += &format!(
                "- [{mark}] {}\n  - {word}{}\n",
                one_line(&line.text),
                one_line(&line.evidence)
            );
        }
    }
    out += "\n## Sign-off\n\n| Name | Date | Signature |\n| --- | --- | --- |\n|  |  |  |\n|  |  |  |\n";
    out
}

fn simd(run: &Run) -> Vec<Line> {
    let mut lines = steps(run, Knob::Dispatch);
    lines.push(Line::of(
        &run.selection,
        "No layer fell back to a slower path",
        |s| (s.fallbacks == 0, fallbacks(s)),
    ));
    lines.push(judged(run));
    lines.extend(agreement::lines(run));
    lines.push(reach(run));
    lines.push(parts(run));
    lines
}

/// How many fallbacks there were, and which kernels ran.
fn fallbacks(s: &Selection) -> String {
    let mut kernels: Vec<&str> = s.rows.iter().map(|r| r.kernel.as_str()).collect();
    kernels.sort_unstable();
    kernels.dedup();
    format!(
        "{}; every linear ran {}",
        plural(s.fallbacks, "fallback"),
        match kernels.as_slice() {
            [] => "an unknown kernel".into(),
            kernels => kernels.join(" or "),
        }
    )
}

/// A figure to sign, with no claim to hold it against.
fn reach(run: &Run) -> Line {
    let text = "The products' share of the read bandwidth is known";
    match (&run.products, &run.yardsticks) {
        (Measured::Unavailable(why), _) | (_, Measured::Unavailable(why)) => {
            Line::unknown(text, why)
        }
        (Measured::Is(products), Measured::Is(yardsticks)) => {
            let reaches = limit::reaches(products, yardsticks);
            match reaches.as_slice() {
                [] => Line::unknown(text, "no product was timed beside the read bandwidth"),
                some => {
                    let words: Vec<String> = some.iter().map(Reach::words).collect();
                    Line::new(true, text, words.join(", "))
                }
            }
        }
    }
}

/// Whether the parts of a token say where all of its time goes.
fn parts(run: &Run) -> Line {
    let text = format!(
        "The parts of a token add up to the whole of it within {}",
        percent(UNACCOUNTED)
    );
    let tokens = match &run.tokens {
        Measured::Unavailable(why) => return Line::unknown(text, why),
        Measured::Is(tokens) => tokens,
    };
    let off = |share: &f64| (share - 100.0).abs();
    let shares = tokens.iter().filter_map(|t| t.parts_percent.get());
    match shares.max_by(|a, b| off(a).total_cmp(&off(b))) {
        None => Line::unknown(text, "no token was watched part by part"),
        Some(worst) => Line::new(
            off(worst) <= UNACCOUNTED,
            text,
            format!("{} of it, where they are furthest off", percent(*worst)),
        ),
    }
}

fn tmac(run: &Run) -> Vec<Line> {
    let mut lines = steps(run, Knob::Kernel);
    lines.push(exact(run));
    lines.push(reported_error(run));
    lines.push(caught(run));
    lines
}

/// The relative error of the state with every fix.
fn exact(run: &Run) -> Line {
    let text = format!(
        "With every fix, relative error is below {}",
        bound(ERROR_LIMIT)
    );
    match run.ladder.as_ref().map(|l| l.rungs.last()) {
        Measured::Unavailable(why) => Line::unknown(text, why),
        Measured::Is(None) => Line::unknown(text, "the ladder has no steps"),
        Measured::Is(Some(step)) => match (&step.comparison, step.comparison.after()) {
            (Comparison::Wrong { error }, _) => Line::new(false, text, wording::wrong(error)),
            (_, Some(after)) => match &after.relative_error {
                Measured::Is(e) => Line::new(*e < ERROR_LIMIT, text, fraction(*e)),
                Measured::Unavailable(why) => Line::unknown(text, why),
            },
            (other, None) => Line::unknown(text, finding::no_time(other)),
        },
    }
}

/// Whether some reading of the wrong table is as far off as was reported. One is enough: the
/// report does not say which of its readings it measured, nor on what data.
fn reported_error(run: &Run) -> Line {
    let text = |claimed: &str| format!("A wrong table is off by the reported {claimed}");
    let defects = match &run.defects {
        Measured::Is(defects) => defects,
        Measured::Unavailable(why) => return Line::unknown(text("error"), why),
    };
    let Some(range) = defects.iter().find_map(|d| d.claimed) else {
        return Line::unknown(text("error"), "no defect with a reported error was run");
    };
    let text = text(&format!(
        "{} to {}",
        fraction(range.low),
        fraction(range.high)
    ));
    let of = |d: &Defect| {
        let figures: Vec<(f64, String)> = d
            .errors
            .iter()
            .filter_map(|e| {
                let x = *e.relative_error.get()?;
                Some((x, format!("{} on {}, K={}", fraction(x), e.data, e.k)))
            })
            .collect();
        (d.id.clone(), figures)
    };
    let figures: Vec<(String, Vec<(f64, String)>)> = defects
        .iter()
        .filter(|d| d.claimed == Some(range))
        .map(of)
        .collect();
    let within: Vec<String> = figures
        .iter()
        .flat_map(|(id, all)| {
            let inside = all
                .iter()
                .filter(|(x, _)| (range.low..=range.high).contains(x));
            inside.map(move |(_, words)| format!("{id}: {words}"))
        })
        .collect();
    if figures.iter().all(|(_, all)| all.is_empty()) {
        return Line::unknown(text, "no error of a wrong table was measured");
    }
    if within.is_empty() {
        let all: Vec<String> = figures
            .iter()
            .flat_map(|(id, all)| all.iter().map(move |(_, words)| format!("{id}: {words}")))
            .collect();
        return Line::new(false, text, all.join("; "));
    }
    Line::new(true, text, within.join("; "))
}

fn caught(run: &Run) -> Line {
    let text = "Every planted defect was caught";
    let defects = match &run.defects {
        Measured::Is(defects) => defects,
        Measured::Unavailable(why) => return Line::unknown(text, why),
    };
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
        Line::unknown(text, evidence)
    } else {
        Line::new(missed.is_empty(), text, evidence)
    }
}

fn threads(run: &Run) -> Vec<Line> {
    let mut lines = steps(run, Knob::Scheduler);
    lines.extend(scaling(run));
    lines
}

fn last(run: &Run) -> Vec<Line> {
    let passed = |c: &Checks| {
        let [passed, failed, skipped] =
            [CheckStatus::Pass, CheckStatus::Fail, CheckStatus::Skipped].map(|s| c.count(s));
        (
            failed == 0 && passed > 0,
            format!("{passed} passed, {failed} failed, {skipped} skipped"),
        )
    };
    let mut lines = vec![Line::of(
        &run.checks,
        "Every check of an answer passed",
        passed,
    )];
    lines.extend(tokens::lines(run));
    match &run.ladder {
        Measured::Unavailable(why) => lines.push(Line::unknown("Targets of the whole set", why)),
        Measured::Is(ladder) => {
            lines.extend(other_steps(ladder));
            match &ladder.masking {
                Measured::Is(m) => {
                    lines.extend(finding::of_masking(m).into_iter().filter_map(from_judged));
                }
                Measured::Unavailable(why) => {
                    lines.push(Line::unknown("The masked gain shows up", why));
                }
            }
            let targets = ladder.targets.iter().map(finding::of_target);
            lines.extend(targets.filter_map(from_judged));
        }
    }
    lines.extend(record(run));
    lines
}

/// The claims of the steps that turn this knob; the first counts where a step turns several.
fn steps(run: &Run, knob: Knob) -> Vec<Line> {
    let text = "Claims of the ladder";
    let ladder = match &run.ladder {
        Measured::Is(ladder) => ladder,
        Measured::Unavailable(why) => return vec![Line::unknown(text, why)],
    };
    let lines: Vec<Line> = ladder
        .findings()
        .filter(|f| f.step.knobs.first() == Some(&knob))
        .filter_map(|f| from_judged(finding::of_step(&f)))
        .collect();
    if lines.is_empty() {
        return vec![Line::unknown(
            text,
            "no step of the ladder is known to be about this",
        )];
    }
    lines
}

/// The claims of the steps that no other section has.
fn other_steps(ladder: &Ladder) -> Vec<Line> {
    ladder
        .findings()
        .filter(|f| matches!(f.step.knobs.first(), None | Some(Knob::Cache)))
        .filter_map(|f| from_judged(finding::of_step(&f)))
        .collect()
}

fn from_judged(judged: Judged) -> Option<Line> {
    (judged.finding.mark != Mark::Plain).then(|| Line {
        mark: judged.finding.mark,
        evidence: judged.finding.sentence(),
        text: judged.text,
    })
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
            let text = format!(
                "{}, {}: {} with {} threads",
                p.phase,
                p.scheduler,
                bound(p.claimed_efficiency?),
                p.threads
            );
            let share = |s: f64| 100.0 * s / p.threads as f64;
            let evidence = match &p.speedup {
                Scaled::Measured { speedup, .. } => {
                    let efficiency = Estimate {
                        value: share(speedup.value),
                        low: share(speedup.low),
                        high: share(speedup.high),
                        ..*speedup
                    };
                    format!(
                        "{} ({})",
                        percent(efficiency.value),
                        wording::sureness(&efficiency)
                    )
                }
                Scaled::Projected { value, .. } => percent(share(*value)),
                Scaled::Unavailable { .. } => String::new(),
            };
            Some(match (p.claim()?, evidence.as_str()) {
                (ClaimedEfficiency::Held, _) => Line::new(true, text, evidence),
                (ClaimedEfficiency::Missed, _) => Line::new(false, text, evidence),
                (ClaimedEfficiency::Undecided, _) => {
                    Line::unknown(text, format!("undecided: {evidence}"))
                }
                (ClaimedEfficiency::NotMeasured(why), "") => Line::unknown(text, why),
                (ClaimedEfficiency::NotMeasured(why), _) => {
                    Line::unknown(text, format!("{why}: {evidence}"))
                }
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
            |r| match r.strip_suffix('+') {
                None => (true, r.clone()),
                Some(hash) => (false, format!("{hash} with changes that no revision holds")),
            },
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
