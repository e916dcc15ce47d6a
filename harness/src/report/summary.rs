//! The five answers that a reader wants first.

use super::finding::{self, Mark};
use super::latency::{self, percentiles};
use super::limit;
use super::wording::{self, NBSP, bytes, count, number, or_why, plural, times, unavailable};
use crate::run::{CheckStatus, Comparison, DefectOutcome, Measured, Run};

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
    [
        right(run),
        fast(run),
        limit::answer(run),
        claims(run),
        machine(run),
    ]
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
    let answer = |mark, headline, detail| Answer {
        question: "How fast?",
        mark,
        headline,
        detail,
    };
    let (headline, mut detail) = match (whole_token(run), last_step(run)) {
        (Some((headline, detail)), Ok((speed, ladder))) => (
            headline,
            format!("{detail}; the ladder's last step {speed}: {ladder}"),
        ),
        (Some(found), Err(_)) if run.ladder.get().is_none() => found,
        (Some((headline, detail)), Err(why)) => (headline, format!("{detail}; the ladder: {why}")),
        (None, Ok(found)) => found,
        (None, Err(why)) => {
            let single = run.ladder.get().is_none().then(|| single_tokens(run));
            return match single.flatten() {
                Some((headline, detail)) => answer(Mark::Plain, headline, detail),
                None => answer(Mark::Unknown, "not measured".into(), why),
            };
        }
    };
    for figure in latency::key_figures(run) {
        detail += &format!("; {figure}");
    }
    answer(Mark::Plain, headline, detail)
}

/// The engine's fastest way to a token: its speed, and what that rests on.
fn whole_token(run: &Run) -> Option<(String, String)> {
    let (token, e) = limit::fastest(run)?;
    let detail = format!(
        "{}, {}{NBSP}ms/token with {}; {}",
        token.choice,
        number(1000.0 / e.value),
        plural(token.threads, "thread"),
        wording::sureness(e)
    );
    Some((speed(e.value, cut(run)), detail))
}

/// The same of the ladder's last step.
fn last_step(run: &Run) -> Result<(String, String), String> {
    let ladder = match &run.ladder {
        Measured::Is(ladder) => ladder,
        Measured::Unavailable(why) => return Err(unavailable(why)),
    };
    let Some(top) = ladder.top() else {
        return Err("the last step has no time, since its answers are not right".into());
    };
    let e = &top.token_s;
    let mut detail = format!(
        "{}{NBSP}ms/token with {}; {}",
        number(top.ms_token.value),
        plural(top.threads, "thread"),
        wording::sureness(e)
    );
    if let Some(bottom) = ladder.original() {
        detail += &format!(
            "; {} the original's {}{NBSP}token/s",
            times(e.value / bottom.token_s.value),
            number(bottom.token_s.value)
        );
    }
    Ok((speed(e.value, cut(run)), detail))
}

/// The same of the median single token.
fn single_tokens(run: &Run) -> Option<(String, String)> {
    let latency = run.latency.get()?;
    let times = latency.choices.first()?;
    let median = times.percentile(50)?;
    let detail = format!("single tokens, greedy: {}", percentiles(times));
    Some((speed(1000.0 / median.value, latency.model.cut()), detail))
}

fn speed(token_s: f64, cut: Option<String>) -> String {
    let on = cut.map_or_else(String::new, |cut| format!(" on {cut}"));
    format!("{}{NBSP}token/s{on}", number(token_s))
}

/// `3 of 30 layers`, when not all layers of the shape ran.
pub fn cut(run: &Run) -> Option<String> {
    let m = run.model.get()?;
    (m.layers_run < m.layers_in_shape)
        .then(|| format!("{} of {} layers", m.layers_run, m.layers_in_shape))
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
    let judged: Vec<_> = finding::judged(ladder)
        .into_iter()
        .filter(|j| j.claimed.is_some())
        .collect();
    let names = |mark: Mark| -> Vec<&str> {
        let of = judged.iter().filter(|j| j.finding.mark == mark);
        of.map(|j| j.name.as_str()).collect()
    };
    let (held, broken, unknown) = (names(Mark::Held), names(Mark::Broken), names(Mark::Unknown));
    let mut detail: Vec<String> = [
        (Mark::Held, "confirmed", &held),
        (Mark::Broken, "refuted or wrong", &broken),
        (Mark::Unknown, "not measurable here", &unknown),
    ]
    .into_iter()
    .filter(|(_, _, names)| !names.is_empty())
    .map(|(mark, word, names)| format!("{}{NBSP}{word}: {}", mark.sign(), names.join(", ")))
    .collect();
    let wrong = ladder
        .rungs
        .iter()
        .filter(|s| matches!(s.comparison, Comparison::Wrong { .. }))
        .count();
    if wrong > 0 {
        detail.push(format!(
            "{wrong} of {} answer wrongly in their place",
            plural(ladder.rungs.len(), "step")
        ));
    }
    Answer {
        question,
        mark: match (held.len(), broken.len(), unknown.len()) {
            (_, 1.., _) => Mark::Broken,
            (1.., 0, 0) => Mark::Held,
            _ => Mark::Unknown,
        },
        headline: format!(
            "{} of {}",
            held.len(),
            held.len() + broken.len() + unknown.len()
        ),
        detail: detail.join("; "),
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
                isa_level(&m.isa),
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

/// The highest instruction set of the list, with what speeds up int8 products there; the whole list
/// is among the facts.
fn isa_level(isa: &[String]) -> String {
    let has = |name: &str| isa.iter().any(|i| i == name);
    if has("avx512f") {
        let extras: Vec<&str> = ["vbmi", "vnni"]
            .into_iter()
            .filter(|extra| has(&format!("avx512{extra}")))
            .collect();
        match extras.as_slice() {
            [] => "avx512".into(),
            extras => format!("avx512-{}", extras.join("/")),
        }
    } else if has("avx2") {
        if has("avxvnni") {
            "avx2, avxvnni"
        } else {
            "avx2"
        }
        .into()
    } else {
        isa.last().cloned().unwrap_or_else(|| "no SIMD".into())
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
                    "{}, {} of {} layers, {} weights{}",
                    m.name,
                    m.layers_run,
                    m.layers_in_shape,
                    count(m.weights),
                    m.bytes_per_token.map_or(String::new(), |read| format!(
                        ", {} read a token",
                        bytes(read)
                    ))
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
