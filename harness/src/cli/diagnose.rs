//! `bitgauge diagnose`: what this machine is, what of it is used, and what would make it steadier.

use bitgauge_engine::checkpoint::Config;
use bitgauge_engine::synthetic;
use clap::Args;

use super::output::Output;
use super::progress::Progress;
use crate::calibration::share;
use crate::diagnosis::{
    Diagnosis, Dispatch, Instructions, Memory, Noise, Processor, Question, Refused, Steadiness,
    Threads, diagnose,
};
use crate::exit::{Exit, Failure};
use crate::machine::{Cache, CacheKind, Limit};
use crate::measure::fresh_seed;
use crate::model_source::ModelSource;
use crate::report::wording::bytes;
use crate::run::Measured;

/// Arguments of `bitgauge diagnose`.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint folder, a GGUF file, a packed file, or the name of a synthetic shape
    #[arg(default_value = "2b4t")]
    model: String,
    /// Measure noise for less than a second, and no bandwidth
    #[arg(long)]
    quick: bool,
    /// Seed of every random order and place [default: a fresh one]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Diagnoses and shows.
///
/// # Errors
/// When the model can't be opened, threads can't be started or the output can't be written.
pub fn run(
    arguments: &Arguments,
    asked: Option<usize>,
    threads: usize,
    output: Output,
) -> Result<Exit, Failure> {
    let (model, config) = shape(&arguments.model)?;
    let progress = Progress::new();
    let stage = |title: &str| {
        if !arguments.quick {
            progress.stage(title, 0);
        }
    };
    let question = Question {
        model: &model,
        config: &config,
        asked,
        threads,
        quick: arguments.quick,
        seed: arguments.seed.unwrap_or_else(fresh_seed),
    };
    let diagnosis = diagnose(&question, &stage)?;
    progress.finish();
    for line in page(&diagnosis) {
        output.line(line)?;
    }
    output.document(&diagnosis)?;
    Ok(Exit::Held)
}

/// The model's name and shape; of a synthetic one no weight is made.
fn shape(name: &str) -> Result<(String, Config), Failure> {
    if let Some(config) = synthetic::shape(name) {
        return Ok((name.to_owned(), config));
    }
    let model = ModelSource::open(name)?;
    Ok((model.name(), model.source().config().clone()))
}

/// The page, line by line.
fn page(d: &Diagnosis) -> Vec<String> {
    let mut page = vec![format!(
        "bitgauge {}, {}, {}{}",
        d.version,
        d.machine,
        d.started,
        if d.debug_build { ", debug build" } else { "" }
    )];
    let mut section = |title: &str, lines: Vec<String>| {
        page.push(String::new());
        page.push(title.to_owned());
        page.extend(lines.into_iter().map(|line| format!("  {line}")));
    };
    section("PROCESSOR", processor(&d.processor));
    section("INSTRUCTION SETS", instructions(&d.instructions));
    section(&format!("KERNELS of {}", d.model), dispatch(&d.dispatch));
    section("THREADS", threads(&d.threads, &d.processor));
    section("MEMORY", memory(&d.memory, &d.model));
    section("READ BANDWIDTH", bandwidth(d));
    section("NOISE", steadiness(&d.steadiness));
    section("HARDWARE COUNTERS", counters(d));
    section("FOR STEADIER RESULTS", advice(d));
    page
}

/// A value, or `unavailable` and why.
fn shown<T>(value: &Measured<T>, show: impl FnOnce(&T) -> String) -> String {
    match value {
        Measured::Is(value) => show(value),
        Measured::Unavailable(why) => format!("unavailable: {why}"),
    }
}

fn row(name: &str, text: impl AsRef<str>) -> String {
    format!("{name:<14} {}", text.as_ref())
}

fn many(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

fn processor(p: &Processor) -> Vec<String> {
    let mut lines = vec![row("name", shown(&p.name, String::clone))];
    if p.kernel_name != p.name {
        let name = shown(&p.kernel_name, String::clone);
        lines.push(row("to the kernel", name));
        lines.push(row(
            "what follows",
            "is from the kernel's files: of the processor beneath an emulator, not of this one",
        ));
    }
    lines.push(row(
        "identity",
        format!(
            "{}, family, model, stepping {}",
            shown(&p.vendor, String::clone),
            shown(&p.family_model_stepping, String::clone)
        ),
    ));
    let counted = |value: &Measured<usize>, one: &str| match value {
        Measured::Is(n) => many(*n, one),
        Measured::Unavailable(why) => format!("{one}s unavailable ({why})"),
    };
    lines.push(row(
        "cores",
        [
            counted(&p.logical, "logical CPU"),
            counted(&p.cores, "core"),
            counted(&p.sockets, "socket"),
            counted(&p.numa_nodes, "memory node"),
            format!(
                "SMT {}",
                shown(&p.smt, |on| if *on { "on" } else { "off" }.to_owned())
            ),
        ]
        .join(", "),
    ));
    lines.push(row(
        "caches",
        shown(&p.caches, |caches| {
            caches.iter().map(cache).collect::<Vec<_>>().join(", ")
        }),
    ));
    lines.push(row(
        "governor",
        match (&p.governors, &p.frequency_driver) {
            (Measured::Is(governors), Measured::Is(driver)) => {
                format!("{} ({driver})", governors.join(", "))
            }
            (governors, _) => shown(governors, |g| g.join(", ")),
        },
    ));
    lines.push(row(
        "turbo",
        shown(&p.turbo, |turbo| {
            if turbo.on { "on" } else { "off" }.to_owned()
        }),
    ));
    lines.push(row("hypervisor", shown(&p.hypervisor, String::clone)));
    let kernel = shown(&p.kernel, String::clone);
    lines.push(row("system", format!("{} {kernel}", p.os)));
    lines
}

fn cache(cache: &Cache) -> String {
    let kind = match cache.kind {
        CacheKind::Data => "d",
        CacheKind::Instruction => "i",
        CacheKind::Unified => "",
    };
    let size = match cache.bytes {
        b if b >= 1 << 20 && b.is_multiple_of(1 << 20) => format!("{} MiB", b >> 20),
        b => format!("{} KiB", b >> 10),
    };
    let shared = match cache.shared_by {
        Some(n) if n > 1 => format!(" for {n} CPUs"),
        _ => String::new(),
    };
    format!("L{}{kind} {size}{shared}", cache.level)
}

fn instructions(i: &Instructions) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<14} {:<9} {:<9} {:<8} {:<7} {:<6}",
        "level", "compiled", "detected", "granted", "capped", "usable"
    )];
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    for level in &i.levels {
        let granted = level.granted.get().map_or("-", |granted| yes(*granted));
        let line = format!(
            "{:<14} {:<9} {:<9} {:<8} {:<7} {:<6}",
            level.level,
            yes(level.compiled),
            yes(level.detected),
            granted,
            yes(level.capped),
            yes(level.usable)
        );
        let why = level.obstacle().unwrap_or_default();
        lines.push(format!("{line} {why}").trim_end().to_owned());
    }
    lines.push(row("selected", i.selected));
    lines.push(row(
        "cap",
        match &i.cap {
            Measured::Is(cap) => format!("{cap}, by BITGAUGE_ISA"),
            Measured::Unavailable(why) => format!("none: {why}"),
        },
    ));
    if let Measured::Is(hidden) = &i.hidden
        && !hidden.is_empty()
    {
        lines.push(row(
            "hidden",
            format!(
                "{}: the kernel lists what the processor denies to this process, as under an emulator",
                hidden.join(", ")
            ),
        ));
    }
    if !i.required_by_build.is_empty() {
        lines.push(row(
            "build needs",
            format!("{} (-C target-cpu)", i.required_by_build.join(", ")),
        ));
    }
    lines
}

fn dispatch(dispatch: &Dispatch) -> Vec<String> {
    let mut lines: Vec<String> = dispatch
        .selected
        .iter()
        .map(|s| {
            format!(
                "layers {:<7} {:<8} {:>6} x {:<6} {:<13} needs {}",
                format!("{}-{}", s.first_layer, s.last_layer),
                s.product,
                s.rows,
                s.cols,
                s.kernel,
                s.isa
            )
        })
        .collect();
    lines.push(row(
        "fallbacks",
        match dispatch.fallbacks {
            0 => "none".to_owned(),
            n => format!(
                "{} of portable code on a machine that has better",
                many(n, "product")
            ),
        },
    ));
    if !dispatch.refused.is_empty() {
        let kernel = |r: &Refused| format!("{} ({})", r.kernel, r.isa);
        let kernels: Vec<String> = dispatch.refused.iter().map(kernel).collect();
        lines.push(row(
            "can't run here",
            format!("{}: see the levels above", kernels.join(", ")),
        ));
    }
    lines
}

fn threads(t: &Threads, p: &Processor) -> Vec<String> {
    let affinity = shown(&t.affinity, |allowed| {
        let online = p.logical.get().map_or("?".to_owned(), usize::to_string);
        format!("{} of {online} CPUs", allowed.len())
    });
    vec![
        row(
            "asked",
            match &t.asked {
                Measured::Is(asked) => asked.to_string(),
                Measured::Unavailable(why) => why.clone(),
            },
        ),
        row("affinity", affinity),
        row(
            "cgroup quota",
            match &t.quota {
                Measured::Is(quota) => format!("{quota:.2} CPUs' worth of time"),
                Measured::Unavailable(why) => format!("none known: {why}"),
            },
        ),
        row("allowed", t.allowed.to_string()),
        row("used", t.used.to_string()),
    ]
}

fn memory(m: &Memory, model: &str) -> Vec<String> {
    let pages = &m.huge_pages;
    let size = |value: &Measured<u64>| shown(value, |n| bytes(*n));
    let mut lines = vec![
        row(
            "available",
            format!("{} of {}", size(&m.available), size(&m.total)),
        ),
        row(
            "limits",
            format!(
                "control group {}; address space {}",
                m.group_limit
                    .get()
                    .map_or("none known".to_owned(), |limit| bytes(*limit)),
                shown(&m.address_space, |limit| match limit {
                    Limit::Unlimited => "unlimited".to_owned(),
                    Limit::Bytes(limit) => bytes(*limit),
                })
            ),
        ),
        row(
            model,
            format!(
                "{} ternary, {} embedding and head: {}; keys and values come on top",
                bytes(m.ternary),
                bytes(m.vocabulary),
                shown(&m.fits, |fits| {
                    if *fits { "fits" } else { "does NOT fit" }.to_owned()
                })
            ),
        ),
        row(
            "huge pages",
            format!(
                "transparent: {}; {} reserved of {} each",
                shown(&pages.transparent, String::clone),
                shown(&pages.reserved, u64::to_string),
                size(&pages.size)
            ),
        ),
        row(
            "really given",
            shown(&pages.got, |got| {
                format!(
                    "{} of {} that asked for them",
                    share(*got as f64 / pages.tested as f64),
                    bytes(pages.tested)
                )
            }),
        ),
    ];
    if let Measured::Is(container) = &m.container {
        lines.push(row("container", container));
    }
    lines
}

fn bandwidth(d: &Diagnosis) -> Vec<String> {
    let rate = |rate: &f64| format!("{rate:.1} GB/s");
    let line = |b: &crate::diagnosis::Bandwidth| {
        let text = shown(&b.gigabytes_per_second, rate);
        let note = b.note.iter().map(|note| format!(" ({note})"));
        row(&many(b.threads, "thread"), text + &note.collect::<String>())
    };
    d.bandwidth.iter().map(line).collect()
}

fn steadiness(s: &Steadiness) -> Vec<String> {
    let shared = |value: &Measured<f64>| shown(value, |part| share(*part));
    let mut lines = noise("computing", &s.compute);
    lines.extend(noise("reading", &s.memory));
    lines.extend([
        row(
            "stolen",
            format!(
                "{} by the host, in {:.1} s",
                shared(&s.shares.steal),
                s.seconds
            ),
        ),
        row(
            "others",
            format!("{} by other processes", shared(&s.shares.others)),
        ),
        row(
            "load",
            shown(&s.load_average, |[one, five, fifteen]| {
                format!("{one:.2} {five:.2} {fifteen:.2} (1, 5, 15 minutes)")
            }),
        ),
    ]);
    lines
}

fn noise(name: &str, noise: &Noise) -> Vec<String> {
    let floor = match &noise.floor {
        Measured::Is(floor) => floor,
        Measured::Unavailable(why) => return vec![row(name, format!("unavailable: {why}"))],
    };
    let seen = match &floor.smallest_effect {
        Measured::Is(least) => format!("a difference below {} can't be seen", share(*least)),
        Measured::Unavailable(why) => why.clone(),
    };
    vec![
        row(name, format!("{seen} in {} s", floor.budget_seconds)),
        row(
            "",
            format!(
                "equal work differed by {} as a rule, {} at worst ({})",
                share(floor.typical),
                share(floor.worst),
                noise.case
            ),
        ),
    ]
}

fn counters(d: &Diagnosis) -> Vec<String> {
    let Measured::Is(events) = &d.counters.events else {
        return vec![shown(&d.counters.events, |_| String::new())];
    };
    let line = |event: &crate::diagnosis::CountedEvent| {
        row(
            event.event,
            shown(&event.trial, |n| format!("{n} in a short trial")),
        )
    };
    events.iter().map(line).collect()
}

fn advice(d: &Diagnosis) -> Vec<String> {
    if d.advice.is_empty() {
        return vec!["nothing that was looked at is wrong".to_owned()];
    }
    let lines = |advice: &crate::diagnosis::Advice| {
        let command = advice
            .command
            .iter()
            .map(|command| format!("    {command}"));
        [format!("- {}", advice.finding)]
            .into_iter()
            .chain(command)
            .collect::<Vec<_>>()
    };
    d.advice.iter().flat_map(lines).collect()
}
