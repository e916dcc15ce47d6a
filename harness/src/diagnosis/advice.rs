//! What to change for steadier or faster results: only what applies to this machine.

use serde::Serialize;

use super::{Diagnosis, Noise};
use crate::calibration::{DEFAULT_MARGIN, share};
use crate::report::wording::bytes;
use crate::run::Measured;

/// One thing to change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// What is wrong, and what that does.
    pub finding: String,
    /// The command that changes it; `None` where it is not one command's matter.
    pub command: Option<String>,
}

/// What the host may take away, and other processes may run, before it is worth a line.
const STEAL: f64 = 0.01;
const OTHERS: f64 = 0.05;

pub(super) fn advice(d: &Diagnosis) -> Vec<Advice> {
    let all = [
        build(d),
        cap(d),
        frequency(d),
        placement(d),
        pages(d),
        rest(d),
    ];
    all.into_iter().flatten().collect()
}

fn one(finding: impl Into<String>, command: Option<&str>) -> Advice {
    Advice {
        finding: finding.into(),
        command: command.map(str::to_owned),
    }
}

/// How the program was built.
fn build(d: &Diagnosis) -> Vec<Advice> {
    let mut advice = Vec::new();
    if d.debug_build {
        advice.push(one(
            "this build has debug assertions: its times are not those of a release build",
            Some("cargo build --release"),
        ));
    }
    if let Measured::Is(hidden) = &d.instructions.hidden
        && !hidden.is_empty()
    {
        advice.push(one(
            "the processor denies features that the kernel lists, as under an emulator: times are the emulator's",
            None,
        ));
    }
    let lacking = &d.instructions.required_and_lacking;
    if !lacking.is_empty() {
        advice.push(one(
            format!(
                "this build takes {} for granted, which the processor lacks: it may stop at an illegal instruction, and what it detects is not to be believed",
                lacking.join(", ")
            ),
            Some("RUSTFLAGS= cargo build --release"),
        ));
    }
    advice
}

/// A cap on instruction sets that costs something.
fn cap(d: &Diagnosis) -> Vec<Advice> {
    let levels = &d.instructions.levels;
    let would_do = |l: &&super::Level| l.capped && l.detected && l.granted == Measured::Is(true);
    match (&d.instructions.cap, levels.iter().rfind(would_do)) {
        (Measured::Is(cap), Some(level)) => vec![one(
            format!(
                "BITGAUGE_ISA caps this process at {cap}; the machine runs {}",
                level.level
            ),
            Some("unset BITGAUGE_ISA"),
        )],
        _ => Vec::new(),
    }
}

fn frequency(d: &Diagnosis) -> Vec<Advice> {
    let mut advice = Vec::new();
    if let Measured::Is(governors) = &d.processor.governors
        && governors.iter().any(|governor| governor != "performance")
    {
        advice.push(one(
            format!(
                "the frequency governor is {}: short work may run before the clock has risen",
                governors.join(", ")
            ),
            Some("sudo cpupower frequency-set --governor performance"),
        ));
    }
    if let Measured::Is(turbo) = &d.processor.turbo
        && turbo.on
    {
        advice.push(one(
            "turbo is on: the clock depends on heat and on what other cores do",
            Some(&format!("echo {} | sudo tee {}", turbo.off, turbo.file)),
        ));
    }
    advice
}

/// Which processors it runs on.
fn placement(d: &Diagnosis) -> Vec<Advice> {
    let mut advice = Vec::new();
    let (processor, threads) = (&d.processor, &d.threads);
    if let (Measured::Is(true), Measured::Is(one_a_core), Measured::Is(allowed)) =
        (&processor.smt, &processor.one_a_core, &threads.affinity)
    {
        let apart = one_a_core.iter().filter(|cpu| allowed.contains(cpu));
        let apart: Vec<String> = apart.map(usize::to_string).collect();
        if !apart.is_empty() && apart.len() < allowed.len() {
            advice.push(one(
                "cores run two threads at a time (SMT), and threads may share one",
                Some(&format!("taskset -c {} bitgauge ...", apart.join(","))),
            ));
        }
    }
    if let Measured::Is(nodes) = &processor.numa_nodes
        && *nodes > 1
    {
        advice.push(one(
            format!(
                "memory is in {nodes} nodes: which one holds the weights is a matter of chance"
            ),
            Some("numactl --cpunodebind=0 --membind=0 bitgauge ..."),
        ));
    }
    if let Measured::Is(quota) = &threads.quota {
        advice.push(one(
            format!(
                "a control group allows {quota:.2} processors' worth of time: once that is spent, threads stand still for the rest of a period. Whole processors for the container (a cpuset) have no such pauses"
            ),
            None,
        ));
    }
    advice
}

fn pages(d: &Diagnosis) -> Vec<Advice> {
    let pages = &d.memory.huge_pages;
    if pages.transparent == Measured::Is("never".to_owned()) {
        return vec![one(
            "the kernel gives no transparent huge pages: streams of weights spend time on page walks",
            Some("echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"),
        )];
    }
    match pages.got {
        Measured::Is(got) if got < pages.tested / 2 => vec![one(
            format!(
                "of {} that asked for huge pages, {} got them: memory is fragmented, or something forbids them to this process",
                bytes(pages.tested),
                bytes(got)
            ),
            Some("echo 1 | sudo tee /proc/sys/vm/compact_memory"),
        )],
        _ => Vec::new(),
    }
}

fn rest(d: &Diagnosis) -> Vec<Advice> {
    let mut advice = Vec::new();
    let above = |share: &Measured<f64>, most| share.get().copied().filter(|share| *share > most);
    if let Some(steal) = above(&d.steadiness.shares.steal, STEAL) {
        advice.push(one(
            format!(
                "the host took away {} of the processors' time: only a machine with processors of its own mends that",
                share(steal)
            ),
            None,
        ));
    }
    if let Some(others) = above(&d.steadiness.shares.others, OTHERS) {
        advice.push(one(
            format!(
                "other processes ran for {} of the allowed processors' time: stop them while you measure",
                share(others)
            ),
            Some("ps -eo pcpu,pid,args --sort=-pcpu | head"),
        ));
    }
    for (what, noise) in [
        ("computing", &d.steadiness.compute),
        ("reading memory", &d.steadiness.memory),
    ] {
        advice.extend(blunt(what, noise));
    }
    if let Measured::Is(command) = &d.counters.grant {
        advice.push(one(
            "hardware counters are refused; `compare --counters` would say what a change did",
            Some(&format!("sudo {command}")),
        ));
    }
    if d.memory.fits == Measured::Is(false) {
        advice.push(one(
            format!(
                "{} needs {} and less is free: name a smaller model",
                d.model,
                bytes(d.memory.ternary + d.memory.vocabulary)
            ),
            Some("bitgauge run --model 700m"),
        ));
    }
    advice
}

/// Noise in which a difference of the default margin can go unseen.
fn blunt(what: &str, noise: &Noise) -> Option<Advice> {
    let floor = noise.floor.get()?;
    let smallest = match floor.smallest_effect {
        Measured::Is(smallest) if smallest <= DEFAULT_MARGIN => return None,
        Measured::Is(smallest) => format!("differences below {}", share(smallest)),
        Measured::Unavailable(_) => "even large differences".to_owned(),
    };
    Some(one(
        format!(
            "{what} is so noisy that {smallest} go unseen in {} s: measure for longer, or when the machine is quiet",
            floor.budget_seconds
        ),
        Some("bitgauge compare A B --max-time 60"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::{Question, Unsettled, diagnose};
    use crate::machine::Turbo;
    use bitgauge_engine::synthetic;
    use std::sync::OnceLock;

    /// A machine with nothing to change, whatever the machine of the tests is.
    fn steady() -> Diagnosis {
        static HERE: OnceLock<Diagnosis> = OnceLock::new();
        let here = HERE.get_or_init(|| {
            let config = synthetic::shape("tiny").unwrap();
            let question = Question {
                model: "tiny",
                config: &config,
                asked: None,
                threads: 1,
                quick: true,
                seed: 1,
            };
            diagnose(&question, &|_| ()).unwrap()
        });
        let mut d = here.clone();
        d.debug_build = false;
        d.instructions.required_and_lacking = Vec::new();
        d.instructions.cap = Measured::unavailable("not set");
        d.instructions.hidden = Measured::Is(Vec::new());
        d.processor.governors = Measured::Is(vec!["performance".into()]);
        d.processor.turbo = Measured::unavailable("no switch");
        d.processor.smt = Measured::Is(false);
        d.processor.numa_nodes = Measured::Is(1);
        d.threads.quota = Measured::unavailable("no quota");
        d.memory.huge_pages.transparent = Measured::Is("madvise".into());
        d.memory.huge_pages.got = Measured::Is(d.memory.huge_pages.tested);
        d.memory.fits = Measured::Is(true);
        d.counters.grant = Measured::unavailable("granted");
        d.steadiness.shares.steal = Measured::Is(0.0);
        d.steadiness.shares.others = Measured::Is(0.02);
        d.steadiness.compute.floor = floor(Measured::Is(0.003));
        d.steadiness.memory.floor = floor(Measured::Is(0.02));
        d
    }

    fn floor(smallest_effect: Measured<f64>) -> Measured<Unsettled> {
        Measured::Is(Unsettled {
            placements: 20,
            typical: 0.001,
            worst: 0.01,
            smallest_effect,
            budget_seconds: 5.0,
        })
    }

    /// The one thing that is wrong is named, and nothing else.
    #[track_caller]
    fn only(change: impl FnOnce(&mut Diagnosis), finding: &str, command: Option<&str>) {
        let mut d = steady();
        change(&mut d);
        let advice = advice(&d);
        let [one] = &advice[..] else {
            panic!("{finding}: {advice:?}");
        };
        assert!(one.finding.contains(finding), "{one:?}");
        assert_eq!(one.command.as_deref(), command, "{one:?}");
    }

    #[test]
    fn a_steady_machine_needs_no_advice() {
        assert_eq!(advice(&steady()), []);
        let mut unknown = steady();
        unknown.processor.governors = Measured::unavailable("no files");
        unknown.memory.huge_pages.got = Measured::unavailable("no files");
        unknown.memory.fits = Measured::unavailable("no files");
        unknown.steadiness.shares.steal = Measured::unavailable("no files");
        assert_eq!(advice(&unknown), []);
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_command() {
        only(
            |d| {
                d.processor.governors = Measured::Is(vec!["performance".into(), "powersave".into()])
            },
            "governor is performance, powersave",
            Some("sudo cpupower frequency-set --governor performance"),
        );
        let turbo = |on| {
            Measured::Is(Turbo {
                on,
                file: "/sys/devices/system/cpu/cpufreq/boost".into(),
                off: "0".into(),
            })
        };
        only(
            |d| d.processor.turbo = turbo(true),
            "turbo is on",
            Some("echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"),
        );
        let mut off = steady();
        off.processor.turbo = turbo(false);
        assert_eq!(advice(&off), []);
        only(
            |d| d.processor.numa_nodes = Measured::Is(2),
            "2 nodes",
            Some("numactl --cpunodebind=0 --membind=0 bitgauge ..."),
        );
        only(
            |d| d.threads.quota = Measured::Is(1.5),
            "1.50 processors",
            None,
        );
        only(
            |d| d.memory.huge_pages.transparent = Measured::Is("never".into()),
            "no transparent huge pages",
            Some("echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"),
        );
        only(
            |d| d.memory.huge_pages.got = Measured::Is(2 << 20),
            "fragmented",
            Some("echo 1 | sudo tee /proc/sys/vm/compact_memory"),
        );
        only(
            |d| d.steadiness.shares.steal = Measured::Is(0.12),
            "took away 12 %",
            None,
        );
        only(
            |d| d.steadiness.shares.others = Measured::Is(0.5),
            "other processes ran for 50 %",
            Some("ps -eo pcpu,pid,args --sort=-pcpu | head"),
        );
        only(
            |d| d.counters.grant = Measured::Is("sysctl a=2".into()),
            "counters are refused",
            Some("sudo sysctl a=2"),
        );
        only(
            |d| d.memory.fits = Measured::Is(false),
            "tiny needs",
            Some("bitgauge run --model 700m"),
        );
        only(
            |d| d.debug_build = true,
            "debug",
            Some("cargo build --release"),
        );
        only(
            |d| d.instructions.hidden = Measured::Is(vec!["avx512f"]),
            "times are the emulator's",
            None,
        );
        only(
            |d| d.instructions.required_and_lacking = vec!["avx2"],
            "takes avx2 for granted",
            Some("RUSTFLAGS= cargo build --release"),
        );
    }

    #[test]
    fn threads_of_one_core_are_kept_apart_where_they_may_meet() {
        let smt = |allowed: &[usize]| {
            let allowed = allowed.to_vec();
            move |d: &mut Diagnosis| {
                d.processor.smt = Measured::Is(true);
                d.processor.one_a_core = Measured::Is(vec![0, 1, 2]);
                d.threads.affinity = Measured::Is(allowed);
            }
        };
        let apart = Some("taskset -c 0,1 bitgauge ...");
        only(smt(&[0, 1, 3, 4]), "SMT", apart);
        let mut pinned = steady();
        smt(&[0, 1])(&mut pinned);
        assert_eq!(advice(&pinned), []);
    }

    #[test]
    fn noise_that_hides_a_change_of_the_margin_is_told() {
        let longer = Some("bitgauge compare A B --max-time 60");
        only(
            |d| d.steadiness.compute.floor = floor(Measured::Is(0.031)),
            "computing is so noisy that differences below 3.1 %",
            longer,
        );
        only(
            |d| d.steadiness.memory.floor = floor(Measured::unavailable("none")),
            "reading memory is so noisy that even large differences",
            longer,
        );
    }

    #[test]
    fn a_cap_is_told_only_where_it_costs_something() {
        let capped = |detected| {
            move |d: &mut Diagnosis| {
                d.instructions.cap = Measured::Is("portable");
                for level in &mut d.instructions.levels {
                    level.capped = level.level == "avx2";
                    level.detected = detected;
                    level.granted = Measured::Is(detected);
                }
            }
        };
        only(
            capped(true),
            "the machine runs avx2",
            Some("unset BITGAUGE_ISA"),
        );
        let mut no_loss = steady();
        capped(false)(&mut no_loss);
        assert_eq!(advice(&no_loss), []);
    }
}
