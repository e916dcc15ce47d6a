//! The five answers that a reader wants first.

use super::tables::masking_finding;
use super::wording::{
    self, Finding, Mark, NBSP, bytes, count, number, or_why, percent, plural, times, unavailable,
};
use crate::run::{
    CheckStatus, Comparison, DefectOutcome, Estimate, Figures, Ladder, Measured, Run,
};

/// One answer.
pub struct Answer {
    /// The question.
    pub question: &'static str,
    /// How it went.
    pub mark: Mark,
    /// The answer in a few words.
    pub headline: String,
    /// What it rests on.
    pub detail: String,
}

/// Right, fast, how far from the limit, which claims held, on what machine.
pub fn answers(run: &Run) -> [Answer; 5] {
    [right(run), fast(run), limit(run), claims(run), machine(run)]
}

/// The state with every fix: the last step's after.
pub fn top(ladder: &Ladder) -> Option<&Figures> {
    ladder.rungs.last().and_then(|s| s.comparison.after())
}

/// The original: the first step's before.
pub fn bottom(ladder: &Ladder) -> Option<&Figures> {
    ladder.rungs.first().and_then(|s| s.comparison.before())
}

/// Every finding of the ladder, with the name of what it is about.
fn findings(ladder: &Ladder) -> Vec<(&str, Finding)> {
    let steps = ladder
        .rungs
        .iter()
        .map(|s| (s.id.as_str(), Finding::of_comparison(&s.comparison)));
    let masking = ladder
        .masking
        .get()
        .map(|m| (m.feature.as_str(), masking_finding(m)));
    let targets = ladder
        .targets
        .iter()
        .map(|t| (t.id.as_str(), Finding::of_target(t)));
    steps.chain(masking).chain(targets).collect()
}

fn right(run: &Run) -> Answer {
    let question = "Is it right?";
    let mut notes = Vec::new();
    let (mut mark, mut headline) = match &run.checks {
        Measured::Unavailable(why) => {
            notes.push(unavailable(why));
            (Mark::Unknown, "not checked".to_owned())
        }
        Measured::Is(checks) => {
            let [passed, failed, skipped] =
                [CheckStatus::Pass, CheckStatus::Fail, CheckStatus::Skipped]
                    .map(|s| checks.count(s));
            notes.push(format!(
                "{} passed, {failed} failed, {skipped} skipped",
                plural(passed, "check")
            ));
            match (passed, failed) {
                (0, 0) => (Mark::Unknown, "nothing was checked".to_owned()),
                (_, 0) => (Mark::Held, "yes".to_owned()),
                _ => (Mark::Broken, "no".to_owned()),
            }
        }
    };
    match &run.defects {
        Measured::Is(defects) => {
            let of = |wanted: fn(&DefectOutcome) -> bool| {
                defects.iter().filter(|d| wanted(&d.outcome)).count()
            };
            let caught = of(|o| matches!(o, DefectOutcome::Caught { .. }));
            let missed = of(|o| matches!(o, DefectOutcome::Missed));
            notes.push(format!(
                "{caught} of {} caught",
                plural(defects.len(), "planted defect")
            ));
            if missed > 0 && mark == Mark::Held {
                mark = Mark::Unknown;
                headline = "the checks have a hole".into();
            }
        }
        Measured::Unavailable(why) => notes.push(format!("defects {}", unavailable(why))),
    }
    if let Some(Comparison::Wrong { error }) = run
        .ladder
        .get()
        .and_then(|l| l.rungs.last())
        .map(|s| &s.comparison)
    {
        mark = Mark::Broken;
        headline = "no".into();
        notes.push(format!(
            "the last step answers with a {}",
            wording::wrong(error)
        ));
    }
    Answer {
        question,
        mark,
        headline,
        detail: notes.join("; "),
    }
}

fn fast(run: &Run) -> Answer {
    let question = "How fast?";
    let nothing = |why: String| Answer {
        question,
        mark: Mark::Unknown,
        headline: "not measured".into(),
        detail: why,
    };
    let ladder = match &run.ladder {
        Measured::Is(ladder) => ladder,
        Measured::Unavailable(why) => return nothing(unavailable(why)),
    };
    let Some(top) = top(ladder) else {
        return nothing("the last step has no time, since its answers are not right".into());
    };
    let e = &top.token_s;
    let mut detail = format!(
        "{}{NBSP}ms/token with {}; {}",
        number(top.ms_token.value),
        plural(top.threads, "thread"),
        wording::sureness(e)
    );
    if let Some(bottom) = bottom(ladder) {
        detail += &format!(
            "; {} the original's {}{NBSP}token/s",
            times(e.value / bottom.token_s.value),
            number(bottom.token_s.value)
        );
    }
    if let Some(m) = run.model.get().filter(|m| m.layers_run < m.layers_in_shape) {
        detail += &format!("; {} of {} layers", m.layers_run, m.layers_in_shape);
    }
    Answer {
        question,
        mark: Mark::Plain,
        headline: format!("{}{NBSP}token/s", number(e.value)),
        detail,
    }
}

/// That fewer layers ran than the shape has, if so.
pub fn cut_model(run: &Run) -> Option<String> {
    let m = run.model.get()?;
    (m.layers_run < m.layers_in_shape).then(|| {
        format!(
            "Cut model: {} of the {} layers of {} ran, so token/s are not those of the whole model",
            m.layers_run, m.layers_in_shape, m.name
        )
    })
}

fn limit(run: &Run) -> Answer {
    let question = "How far from the limit?";
    let nothing = |why: String| Answer {
        question,
        mark: Mark::Unknown,
        headline: "not measured".into(),
        detail: why,
    };
    let top = match run.ladder.as_ref().map(top) {
        Measured::Is(Some(top)) => top,
        Measured::Is(None) => return nothing("the last step has no time".into()),
        Measured::Unavailable(why) => return nothing(unavailable(&why)),
    };
    let share = match &top.percent_of_bandwidth {
        Measured::Is(share) => *share,
        Measured::Unavailable(why) => return nothing(unavailable(why)),
    };
    let roof: Option<&Estimate> = run.yardsticks.get().and_then(|y| y.bandwidth(top.threads));
    let roof = match roof {
        Some(e) => format!("{}{NBSP}GB/s read bandwidth", number(e.value)),
        None => "the read bandwidth".into(),
    };
    let detail = format!(
        "{} of {roof}, measured in this run with {}",
        or_why(&top.gb_s, |&x| format!("{}{NBSP}GB/s", number(x))),
        plural(top.threads, "thread")
    );
    Answer {
        question,
        mark: Mark::Plain,
        headline: format!("{} of read bandwidth", percent(share)),
        detail,
    }
}

fn claims(run: &Run) -> Answer {
    let question = "Which claims held?";
    let ladder = match &run.ladder {
        Measured::Is(ladder) => ladder,
        Measured::Unavailable(why) => {
            return Answer {
                question,
                mark: Mark::Unknown,
                headline: "not measured".into(),
                detail: unavailable(why),
            };
        }
    };
    let findings = findings(ladder);
    let of = |mark: Mark| findings.iter().filter(|(_, f)| f.mark == mark).count();
    let (held, broken, unknown) = (of(Mark::Held), of(Mark::Broken), of(Mark::Unknown));
    let names: Vec<String> = findings
        .iter()
        .filter(|(_, f)| f.mark != Mark::Plain)
        .map(|(name, f)| format!("{}{NBSP}{name}", f.mark.sign()))
        .collect();
    Answer {
        question,
        mark: match (held, broken, unknown) {
            (_, 1.., _) => Mark::Broken,
            (1.., 0, 0) => Mark::Held,
            _ => Mark::Unknown,
        },
        headline: format!("{held} of {}", held + broken + unknown),
        detail: format!(
            "{}. {broken} refuted or wrong, {unknown} not measurable",
            names.join(", ")
        ),
    }
}

fn machine(run: &Run) -> Answer {
    let question = "On what machine?";
    match &run.machine {
        Measured::Is(m) => {
            let mut detail = format!(
                "{} of {} usable; {}; {} memory; class {}",
                m.allowed_cpus,
                plural(m.cpus, "logical processor"),
                if m.isa.is_empty() {
                    "no SIMD".into()
                } else {
                    m.isa.join(", ")
                },
                or_why(&m.memory_bytes, |&b| bytes(b)),
                m.class
            );
            if !m.warnings.is_empty() {
                detail += &format!("; warning: {}", m.warnings.join("; "));
            }
            Answer {
                question,
                mark: Mark::Plain,
                headline: m.cpu.clone(),
                detail,
            }
        }
        Measured::Unavailable(why) => Answer {
            question,
            mark: Mark::Unknown,
            headline: "unknown".into(),
            detail: unavailable(why),
        },
    }
}

/// Name and value of what was run, on what.
pub fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let s = &run.settings;
    let options: Vec<String> = s
        .options
        .iter()
        .map(|(k, v)| format!("{k} = {v}"))
        .collect();
    let mut out = vec![
        ("Started", run.started.clone()),
        ("Command", run.command.join(" ")),
        (
            "bitgauge",
            format!(
                "{}, revision {}",
                run.tool.version,
                or_why(&run.tool.revision, |r| r.clone())
            ),
        ),
        (
            "Settings",
            format!(
                "suite {}, {}, {}, seed {}, model {}{}{}",
                s.suite,
                if s.quick { "quick" } else { "full length" },
                plural(s.threads, "thread"),
                s.seed,
                s.model,
                if options.is_empty() { "" } else { "; " },
                options.join(", ")
            ),
        ),
        (
            "Model",
            or_why(&run.model, |m| {
                format!(
                    "{}, {} of {} layers, {} weights, {} read a token",
                    m.name,
                    m.layers_run,
                    m.layers_in_shape,
                    count(m.weights),
                    bytes(m.bytes_per_token)
                )
            }),
        ),
    ];
    match &run.machine {
        Measured::Is(m) => out.extend([
            ("Processor", m.cpu.clone()),
            (
                "Logical processors",
                format!("{} of {} usable", m.allowed_cpus, m.cpus),
            ),
            ("Instruction sets", m.isa.join(", ")),
            ("Memory", or_why(&m.memory_bytes, |&b| bytes(b))),
            ("System", or_why(&m.os, Clone::clone)),
            ("Hypervisor", or_why(&m.hypervisor, Clone::clone)),
            ("Machine class", m.class.clone()),
            (
                "Warnings",
                if m.warnings.is_empty() {
                    "none".into()
                } else {
                    m.warnings.join("; ")
                },
            ),
        ]),
        Measured::Unavailable(why) => out.push(("Machine", unavailable(why))),
    }
    out.push((
        "Time taken",
        or_why(&run.totals, |t| format!("{}{NBSP}s", number(t.seconds))),
    ));
    out
}
