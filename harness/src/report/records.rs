//! `PERFORMANCE.md` and `RELEASE_NOTES.md`: what a repository's readers are told. Every figure
//! comes from the run; what it has not says why.

use super::finding::{self, Judged, Mark};
use super::markdown::{line, text as md};
use super::summary;
use super::table::Table;
use super::tables;
use super::wording::{or_why, unavailable};
use crate::run::{Measured, Run, Scaled, ScalingPoint};

/// What was measured on which machine: a table for each matter.
pub fn performance(run: &Run) -> String {
    let mut out = heading(run, "Performance");
    for answer in summary::answers(run) {
        out += &format!(
            "- **{}** {} {}: {}\n",
            answer.question,
            answer.mark.sign(),
            md(&answer.headline),
            md(&answer.detail)
        );
    }
    let ladder = || run.ladder.as_ref();
    let generation = || run.generation.as_ref();
    out += &section(
        "Tokens a second",
        [
            ladder().map(|l| tables::rungs(run, l)),
            run.tokens.as_ref().map(|t| tables::tokens(t)),
        ],
    );
    out += &section(
        "Latency of single tokens",
        [
            run.latency.as_ref().map(tables::latency),
            run.latency.as_ref().map(tables::latency_targets),
        ],
    );
    out += &section(
        "Generation",
        [
            generation().map(tables::generation),
            match run.generation.get().map(|g| (g, &g.gain)) {
                Some((g, Measured::Is(gain))) => Measured::Is(tables::cache_gain(g, gain)),
                Some((_, Measured::Unavailable(why))) => Measured::unavailable(why),
                None => generation().map(tables::generation),
            },
            generation().map(tables::cache_by_context),
        ],
    );
    out += &section(
        "Scaling over threads",
        [run.scaling.as_ref().map(|s| tables::scaling(s))],
    );
    out += &section(
        "Products and the read bandwidth",
        [
            run.yardsticks.as_ref().map(tables::yardsticks),
            run.products.as_ref().map(|p| tables::products(p)),
            run.prompts.as_ref().map(|p| tables::prompts(p)),
            run.targets.as_ref().map(|t| tables::targets(t)),
        ],
    );
    out += &section(
        "Are the answers right",
        [
            run.agreement.as_ref().map(tables::agreement),
            match run.agreement.get().map(|a| &a.depth) {
                Some(Measured::Is(depth)) => Measured::Is(tables::depth(depth)),
                Some(Measured::Unavailable(why)) => Measured::unavailable(why),
                None => run.agreement.as_ref().map(tables::agreement),
            },
        ],
    );
    out += &section("Claims", [ladder().map(tables::claims)]);
    out += &section(
        "The reports' numbers",
        [Measured::Is(tables::reported(run))],
    );
    out
}

/// What the ladder changed: before and after, claims held and missed, known limits.
pub fn release_notes(run: &Run) -> String {
    let mut out = heading(run, "Release notes");
    let ladder = run.ladder.as_ref();
    out += &section(
        "Before and after",
        [ladder.clone().map(|l| tables::rungs(run, l))],
    );
    let judged: Measured<Vec<Judged>> = ladder.map(|l| {
        let all = finding::judged(l).into_iter();
        all.filter(|j| j.claimed.is_some()).collect()
    });
    for (title, mark) in [
        ("Claims that held", Mark::Held),
        ("Claims that were missed", Mark::Broken),
        ("Claims that could not be decided", Mark::Unknown),
    ] {
        out += &format!("\n## {title}\n\n");
        match &judged {
            Measured::Unavailable(why) => out += &format!("{}\n", md(&absent(why))),
            Measured::Is(all) => {
                let of: Vec<&Judged> = all.iter().filter(|j| j.finding.mark == mark).collect();
                if of.is_empty() {
                    out += "none\n";
                }
                for j in of {
                    let sentence = j.finding.sentence();
                    out += &format!("- {} {}: {}\n", mark.sign(), line(&j.text), line(&sentence));
                }
            }
        }
    }
    out += "\n## Known limits\n\n";
    let limits = limits(run);
    if limits.is_empty() {
        out += "none\n";
    }
    for limit in limits {
        out += &format!("- {}\n", line(&limit));
    }
    out
}

fn heading(run: &Run, title: &str) -> String {
    format!(
        "# {title}: {}\n\n{}, bitgauge {}, revision {}, on {}. Rendered from `run.json` by \
         `bitgauge report`; nothing is filled in by hand.\n\n",
        md(&run.name),
        md(&run.started),
        md(&run.tool.version),
        md(&or_why(&run.tool.revision, Clone::clone)),
        or_why(&run.machine, |m| md(&format!(
            "{} ({} of {} logical processors, {})",
            m.cpu, m.allowed_cpus, m.cpus, m.class
        ))),
    )
}

/// The tables of one matter; those that this run lacks for the same reason say so once.
fn section<const N: usize>(title: &str, shown: [Measured<Table>; N]) -> String {
    let mut out = format!("\n## {title}\n");
    let mut said: Vec<&str> = Vec::new();
    for table in &shown {
        match table {
            Measured::Is(table) if table.rows.is_empty() => {
                out += &format!("\n{}: none\n", md(&table.caption));
            }
            Measured::Is(table) => {
                out += &format!("\n{}\n\n{}", md(&table.caption), table.markdown());
            }
            Measured::Unavailable(why) if said.contains(&why.as_str()) => {}
            Measured::Unavailable(why) => {
                out += &format!("\n{}\n", md(&absent(why)));
                said.push(why);
            }
        }
    }
    out
}

fn absent(why: &str) -> String {
    // A section that was never begun has only the reason that stands for none.
    let why = match Measured::<()>::default().why() == Some(why) {
        true => "its suite leaves this out, or the build that measured had none of it",
        false => why,
    };
    format!("not measured in this run: {why}")
}

/// What a reader must not take these figures for.
fn limits(run: &Run) -> Vec<String> {
    let mut out: Vec<String> = summary::cut_model(run).into_iter().collect();
    match &run.machine {
        Measured::Is(m) => out.extend(m.warnings.iter().map(|w| format!("machine: {w}"))),
        Measured::Unavailable(why) => out.push(format!("machine {}", unavailable(why))),
    }
    if let Measured::Is(kernels) = &run.kernels {
        out.extend(kernels.iter().filter_map(|k| {
            let why = k.available.why()?;
            Some(format!("kernel {} did not run here: {why}", k.name))
        }));
    }
    if let Measured::Is(s) = &run.selection
        && s.fallbacks > 0
    {
        out.push(format!(
            "{} linear layers fell back to a slower path",
            s.fallbacks
        ));
    }
    if let Measured::Is(points) = &run.scaling {
        let projected = |p: &&ScalingPoint| matches!(p.speedup, Scaled::Projected { .. });
        let mut threads: Vec<usize> = points.iter().filter(projected).map(|p| p.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        if !threads.is_empty() {
            let list: Vec<String> = threads.iter().map(usize::to_string).collect();
            out.push(format!(
                "scaling on {} threads is projected, not measured",
                list.join(", ")
            ));
        }
    }
    if let Measured::Is(totals) = &run.totals {
        let all = totals.skipped.iter();
        out.extend(all.map(|s| format!("{} was left out: {}", s.what, s.why)));
    }
    for (what, why) in [
        ("the checks", run.checks.why()),
        ("the ladder", run.ladder.why()),
        ("scaling", run.scaling.why()),
        ("single tokens", run.latency.why()),
        ("generations", run.generation.why()),
    ] {
        out.extend(why.map(|why| format!("{what}: {}", absent(why))));
    }
    out
}
