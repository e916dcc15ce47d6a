//! Instructions that the cases of the other suites execute, counted by Valgrind. See ../README.md.
//!
//! One program in four roles. Cargo starts it; it looks for what is installed, asks itself under
//! Valgrind which instructions it sees there, and starts itself again with a plan. That process
//! hands the plan to gungraun's runner, which starts the program under Valgrind for each case.

#[path = "../common/mod.rs"]
mod common;

mod arguments;
mod cases;
mod outcome;
mod plan;
mod presence;
mod simulated;

use std::env;
use std::ffi::OsString;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bitgauge::exit::Exit;
use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::{TABLE, available};
use regex::Regex;

use arguments::{Counting, Task};
use plan::{Plan, Planned};

/// The role under Valgrind: counts one case.
const COUNT: &str = "--count-one";
/// The role that says what this process sees of the processor.
const SHOW: &str = "--show-instruction-sets";
/// The function whose instructions are counted, with all that it calls.
const REGION: &str = "counted_region";
/// By how much a case may grow against a baseline, unless GUNGRAUN_CALLGRIND_LIMITS says.
const LIMIT: &str = "ir=0.5%";
const LIMITS_VARIABLE: &str = "GUNGRAUN_CALLGRIND_LIMITS";
/// Set to `required`, what can't be counted is a failure.
const REQUIRED: &str = "BITGAUGE_INSTRUCTIONS";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(COUNT) => count(&arguments[1..]),
        Some(SHOW) => show(),
        _ if Plan::from_environment().is_some() => simulated::run(),
        _ => return ExitCode::from(ask(&arguments) as u8),
    }
    ExitCode::SUCCESS
}

/// What cargo started.
fn ask(arguments: &[String]) -> Exit {
    let counting = match arguments::read(arguments) {
        Ok(Task::Count(counting)) => counting,
        Ok(Task::List) => {
            for case in cases::all() {
                println!("{}: benchmark", case.name);
            }
            return Exit::Held;
        }
        Ok(Task::Nothing(why)) => return nothing(&format!("instructions: not counted: {why}")),
        Err(why) => {
            eprintln!("instructions: {why}");
            return Exit::CouldNotRun;
        }
    };
    let valgrind = env::var_os("GUNGRAUN_VALGRIND_BIN").unwrap_or_else(|| "valgrind".into());
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or("gungraun-runner");
    let versions = [&valgrind, &OsString::from(runner)].map(|program| {
        let mut command = Command::new(program);
        printed(command.arg("--version"))
    });
    if let Some(line) = presence::missing(&versions[0], &versions[1]) {
        return nothing(&line);
    }
    let seen = match seen_under(&valgrind) {
        Ok(seen) => seen,
        Err(why) => {
            return nothing(&format!(
                "instructions: unavailable: this program does not run under Valgrind: {why}"
            ));
        }
    };
    let plan = match plan(&seen, &counting.filters) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("instructions: {why}");
            return Exit::CouldNotRun;
        }
    };
    let version = versions[0].as_deref().unwrap_or_default().trim();
    println!(
        "instructions: simulated by {version}, which shows {} to a program: that is what is counted",
        seen.highest
    );
    for spec in TABLE
        .iter()
        .filter(|s| !seen.kernels.contains(&s.name().to_owned()))
    {
        println!(
            "kernel/{}: unavailable: it needs {}, which {version} does not show ({} is the most here)",
            spec.name(),
            spec.isa(),
            seen.highest
        );
    }
    if plan.cases.is_empty() {
        return nothing("instructions: nothing counted: no case of that name can be counted");
    }
    run(&plan, &counting)
}

/// Says why nothing was counted. That fails only where a count is required.
fn nothing(why: &str) -> Exit {
    println!("{why}");
    match env::var(REQUIRED).as_deref() {
        Ok("required") => Exit::CouldNotRun,
        _ => Exit::Held,
    }
}

/// What a program prints on stdout, or why it did not end well.
fn printed(command: &mut Command) -> presence::Asked {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// What a process sees of the processor.
struct Seen {
    highest: String,
    /// The kernels that can run.
    kernels: Vec<String>,
}

fn show() {
    println!("{}", Isa::highest());
    for kernel in available() {
        println!("{}", kernel.spec().name());
    }
}

fn seen_under(valgrind: &OsString) -> Result<Seen, String> {
    let program = env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(valgrind);
    let text = printed(command.args(["--tool=none", "-q"]).arg(program).arg(SHOW))?;
    let mut lines = text.lines().map(str::to_owned);
    let highest = lines.next().ok_or("it printed nothing")?;
    Ok(Seen {
        highest,
        kernels: lines.collect(),
    })
}

fn plan(seen: &Seen, filters: &[String]) -> Result<Plan, String> {
    let filters: Vec<Regex> = filters
        .iter()
        .map(|f| {
            Regex::new(f).map_err(|e| format!("the filter `{f}` is no regular expression: {e}"))
        })
        .collect::<Result<_, _>>()?;
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| f.is_match(name));
    let mut cases: Vec<Planned> = cases::all()
        .into_iter()
        .filter(|case| wanted(&case.name))
        .filter_map(|case| {
            let isa = match case.kernel {
                Some(spec) if !seen.kernels.iter().any(|k| k == spec.name()) => return None,
                Some(spec) => spec.isa().name().to_owned(),
                None => seen.highest.clone(),
            };
            Some(Planned {
                name: case.name,
                isa,
            })
        })
        .collect();
    cases.sort_by(|a, b| a.isa.cmp(&b.isa));
    // Two widths share their preparation.
    cases.dedup_by(|a, b| a.name == b.name);
    Ok(Plan {
        shown: seen.highest.clone(),
        cases,
    })
}

/// Where gungraun keeps counts: `target/gungraun`, whatever cargo calls `target`.
fn home() -> PathBuf {
    env::var_os("GUNGRAUN_HOME").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("gungraun"),
        PathBuf::from,
    )
}

fn run(plan: &Plan, counting: &Counting) -> Exit {
    let home = home();
    let mut compared = counting.baseline.as_deref();
    if let Some(name) = compared {
        // Gungraun would make a baseline that is missing and compare with nothing.
        let missing = outcome::without_baseline(&home, plan, name);
        if !missing.is_empty() && counting.lenient {
            println!("instructions: not compared: there is no baseline `{name}`");
            compared = None;
        } else if !missing.is_empty() {
            eprintln!(
                "instructions: no baseline `{name}` of {} of {} cases, such as {}; save it with --save-baseline {name} where it is known to be good",
                missing.len(),
                plan.cases.len(),
                missing[0]
            );
            return Exit::NoBaseline;
        }
    }
    if let Err(why) = outcome::forget(&home, plan) {
        eprintln!("instructions: {why}");
        return Exit::CouldNotRun;
    }
    let program = env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    let (variable, value) = plan.variable();
    // Without `--bench`, gungraun runs the cases and counts nothing.
    command
        .arg("--bench")
        .env(variable, value)
        .env("GUNGRAUN_HOME", &home)
        .env("GUNGRAUN_SAVE_SUMMARY", "json");
    if let Some(name) = &counting.save {
        command.arg(format!("--save-baseline={name}"));
    }
    if let Some(name) = compared {
        command.arg(format!("--baseline={name}"));
        if env::var_os(LIMITS_VARIABLE).is_none() {
            command.env(LIMITS_VARIABLE, LIMIT);
        }
    }
    let status = match command.status() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("instructions: could not start itself: {error}");
            return Exit::CouldNotRun;
        }
    };
    let uncounted = outcome::uncounted(&home, plan);
    if !uncounted.is_empty() {
        eprintln!("instructions: no count of {}", uncounted.join(", "));
        return Exit::CouldNotRun;
    }
    match status.code() {
        Some(0) => Exit::Held,
        // What gungraun's runner says of a count above its limit.
        Some(3) => Exit::Regressed,
        _ => Exit::CouldNotRun,
    }
}

/// Under Valgrind: one iteration of one case, after it was held against the oracle.
fn count(arguments: &[String]) {
    let [name, shown] = arguments else {
        panic!("{COUNT} takes a case and an instruction set");
    };
    let highest = Isa::highest().name();
    assert!(
        highest == shown,
        "this process sees {highest}, and {shown} was to be counted"
    );
    let case = cases::all().into_iter().find(|c| c.name == *name);
    let case = case.unwrap_or_else(|| panic!("there is no case {name}"));
    let mut ready = (case.make)().unwrap_or_else(|e| panic!("{name}: {e}"));
    // The first iteration may make room and look up what the processor has.
    ready();
    counted_region(&mut ready);
    println!("{name}: counted with {highest} at most");
}

/// A function of its own, so that Valgrind finds where counting begins and ends.
#[inline(never)]
fn counted_region(ready: &mut dyn FnMut()) {
    ready();
    black_box(ready);
}
