//! A calibration from start to end: each path, idle and beside a load.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::against::{self, Against, AgainstRow};
use super::comparisons::{Comparison, Functions, Pairs, Turns, rules};
use super::planted::{self, Planted};
use super::row::Measured;
use super::{ALPHA, Calibration, DEFAULT_MARGIN, Route, SCHEMA, cases};
use crate::busy::Busy;
use crate::compare::Plan;
use crate::compare::workers::Source;
use crate::exit::{Exit, Failure};
use crate::gate::{Gate, Tree, target_folder};
use crate::machine::Machine;
use crate::measure::SplitMix64;
use crate::run::rfc3339;
use crate::suite::CaseId;

/// What to calibrate, and how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The paths.
    pub paths: Vec<Route>,
    /// Busy processes of the loaded half; 0 leaves it out.
    pub load: usize,
    /// Threads that cases may use.
    pub threads: usize,
    /// A fifth of the time.
    pub quick: bool,
    /// Comparisons in one process, idle and loaded each; `None` for as many as fit the time.
    pub comparisons: Option<u64>,
    /// The same with two processes.
    pub pairs: Option<u64>,
    /// Whether criterion's rule has its turn too.
    pub against_criterion: bool,
    /// The program that serves as worker and as load: this one.
    pub program: PathBuf,
    /// The folder in whose repository builds are made.
    pub repository: PathBuf,
    /// Draws every order and place.
    pub seed: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// The rows.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// What was asked for and could not be had.
    pub unavailable: Vec<Unavailable>,
    /// Estimates that were checked, where functions were calibrated idle.
    pub planted: Vec<Planted>,
    /// Criterion's rule, where it was asked for.
    pub criterion: Option<Against>,
}

/// What could not be had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unavailable {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// What it amounts to.
    pub exit: u8,
}

/// Where a calibration stands.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What is being measured.
    pub what: &'a str,
    /// How much of it is done, from 0 to 1.
    pub done: f64,
    /// Seconds that the whole will still take, by the times set and, where numbers are set, by
    /// the pace so far. Builds are not counted: nothing says how long they take.
    pub left: f64,
}

/// Seconds for one path and load.
fn stage_seconds(path: Route, quick: bool) -> f64 {
    match (path, quick) {
        (Route::Functions, false) => 40.0,
        (Route::Functions, true) => 6.0,
        (_, false) => 50.0,
        (_, true) => 9.0,
    }
}

/// Seconds for criterion's rule at one load.
fn against_seconds(quick: bool) -> f64 {
    if quick { 8.0 } else { 30.0 }
}

/// Comparisons with a planted effect.
fn plants(quick: bool) -> u64 {
    if quick { 5 } else { 20 }
}

/// One path and load, or criterion's rule at one load.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Path(Route, usize),
    Criterion(usize),
}

struct Run<'a> {
    settings: &'a Settings,
    ids: Vec<CaseId>,
    rng: SplitMix64,
    builds: Option<Result<[Source; 2], Failure>>,
    found: Calibrated,
    told: &'a mut dyn FnMut(&Step<'_>),
}

/// Calibrates. What fails is kept beside what was found.
///
/// # Errors
/// When the settings ask for nothing that can be done.
pub fn run(settings: &Settings, told: &mut dyn FnMut(&Step<'_>)) -> Result<Calibrated, Failure> {
    let functions = settings.paths.contains(&Route::Functions);
    if settings.against_criterion && !functions {
        return Err(Failure::could_not_run(
            "criterion's rule is held against comparisons in one process: it needs the path `functions`",
        ));
    }
    let loads = match settings.load {
        0 => vec![0],
        load => vec![0, load],
    };
    let mut stages = Vec::new();
    for &load in &loads {
        let paths = settings.paths.iter();
        stages.extend(paths.map(|&path| Stage::Path(path, load)));
        if settings.against_criterion {
            stages.push(Stage::Criterion(load));
        }
    }
    let mut run = Run {
        settings,
        ids: cases::all(settings.threads)?,
        rng: SplitMix64::new(settings.seed),
        builds: None,
        found: Calibrated {
            calibration: Calibration {
                schema: SCHEMA,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                machine: Machine::detect().class(),
                alpha: ALPHA,
                rows: Vec::new(),
            },
            unavailable: Vec::new(),
            planted: Vec::new(),
            criterion: settings.against_criterion.then(against::settings),
        },
        told,
    };
    for (at, &stage) in stages.iter().enumerate() {
        let later = stages[at + 1..].iter().map(|s| run.seconds(*s)).sum();
        if let Err(failure) = run.stage(stage, later) {
            run.found.unavailable.push(Unavailable {
                what: name(stage),
                why: failure.message,
                exit: failure.exit as u8,
            });
        }
    }
    Ok(run.found)
}

/// A stage, for people.
fn name(stage: Stage) -> String {
    let beside = |load| match load {
        0 => "idle".to_owned(),
        n => format!("beside {n} busy processes"),
    };
    match stage {
        Stage::Path(path, load) => format!("{path}, {}", beside(load)),
        Stage::Criterion(load) => format!("criterion's rule, {}", beside(load)),
    }
}

impl Run<'_> {
    fn seconds(&self, stage: Stage) -> f64 {
        let quick = self.settings.quick;
        match stage {
            Stage::Path(path, _) => stage_seconds(path, quick),
            Stage::Criterion(_) => against_seconds(quick),
        }
    }

    fn stage(&mut self, stage: Stage, later: f64) -> Result<(), Failure> {
        let what = name(stage);
        match stage {
            Stage::Criterion(load) => self.criterion(load, &what, later),
            Stage::Path(path, load) => {
                let seed = self.rng.next_u64();
                let (ids, quick) = (self.ids.clone(), self.settings.quick);
                let mut turns: Box<dyn Turns> = match path {
                    Route::Functions => Box::new(Functions::new(ids, quick, seed)?),
                    Route::Workers => Box::new(Pairs::new(ids, self.copies(), quick, seed)),
                    Route::Builds => Box::new(Pairs::new(ids, self.builds(&what)?, quick, seed)),
                };
                self.path(path, load, turns.as_mut(), &what, later)
            }
        }
    }

    /// The load of a stage.
    fn load(&self, processes: usize) -> Result<Busy, Failure> {
        Busy::start(&self.settings.program, processes).map_err(|e| {
            Failure::could_not_run(format!("{}: {e}", self.settings.program.display()))
        })
    }

    fn path(
        &mut self,
        path: Route,
        load: usize,
        turns: &mut dyn Turns,
        what: &str,
        later: f64,
    ) -> Result<(), Failure> {
        let wanted = match path {
            Route::Functions => self.settings.comparisons,
            _ => self.settings.pairs,
        };
        let planned = stage_seconds(path, self.settings.quick);
        let processes = self.load(load)?;
        let measured = rfc3339(SystemTime::now());
        let begin = Instant::now();
        let mut comparisons: Vec<Comparison> = Vec::new();
        for turn in 0.. {
            let elapsed = begin.elapsed().as_secs_f64();
            let done = match wanted {
                Some(n) => comparisons.len() as f64 / n.max(1) as f64,
                None => elapsed / planned,
            };
            if done >= 1.0 && turn > 0 {
                break;
            }
            let left = match wanted {
                Some(_) if done > 0.0 => elapsed / done - elapsed,
                _ => planned - elapsed,
            };
            (self.told)(&Step {
                what,
                done: done.min(1.0),
                left: left.max(0.0) + later,
            });
            comparisons.extend(turns.next()?);
        }
        still_on(&processes)?;
        drop(processes);
        let seconds = begin.elapsed().as_secs_f64();
        let row = Measured {
            path,
            load,
            measured,
            seconds,
            cases: turns.cases(),
            pace: turns.pace(),
            comparisons: &comparisons,
            seed: self.rng.next_u64(),
        };
        self.found.calibration.rows.push(row.row());
        if path == Route::Functions {
            if load == 0 {
                self.plant(&comparisons, later)?;
            }
            self.ours(load, &comparisons);
        }
        Ok(())
    }

    /// Checks estimates by planting.
    fn plant(&mut self, comparisons: &[Comparison], later: f64) -> Result<(), Failure> {
        (self.told)(&Step {
            what: "planting small slowdowns",
            done: 0.0,
            left: later,
        });
        for (at, id) in self.ids.iter().enumerate() {
            let Some(within) = planted::budget(id) else {
                continue;
            };
            let of_case = comparisons.iter().filter(|c| c.case == at);
            let times = plants(self.settings.quick);
            let seed = self.rng.next_u64();
            let planted = planted::check(id, of_case, within, times, seed)?;
            self.found.planted.extend(planted);
        }
        Ok(())
    }

    /// Our half of a row of the comparison with criterion's rule.
    fn ours(&mut self, load: usize, comparisons: &[Comparison]) {
        let rate = self.found.calibration.rows.last().map(|row| row.rates[0]);
        if let (Some(against), Some(rate)) = (&mut self.found.criterion, rate) {
            debug_assert_eq!(rate.margin, DEFAULT_MARGIN);
            against.rows.push(AgainstRow {
                load,
                ours: rate.alarms,
                ours_seconds: comparisons.iter().map(|c| c.seconds).sum(),
                criterion: crate::measure::stats::Rate::of(0, 0),
                criterion_seconds: 0.0,
            });
        }
    }

    fn criterion(&mut self, load: usize, what: &str, later: f64) -> Result<(), Failure> {
        let planned = against_seconds(self.settings.quick);
        let seed = self.rng.next_u64();
        let processes = self.load(load)?;
        let told = &mut *self.told;
        let mut tell = |elapsed: f64| {
            told(&Step {
                what,
                done: (elapsed / planned).min(1.0),
                left: f64::max(0.0, planned - elapsed) + later,
            });
        };
        let time = Duration::from_secs_f64(planned);
        let (rate, seconds) = against::compare(&self.ids, time, seed, &mut tell)?;
        still_on(&processes)?;
        let rows = self.found.criterion.iter_mut().flat_map(|c| &mut c.rows);
        for row in rows.filter(|row| row.load == load) {
            (row.criterion, row.criterion_seconds) = (rate, seconds);
        }
        Ok(())
    }

    /// Words that make a program serve the cases.
    fn worker(&self) -> Vec<String> {
        let cases = self
            .ids
            .iter()
            .flat_map(|id| ["--case".to_owned(), id.to_string()]);
        std::iter::once("worker".to_owned()).chain(cases).collect()
    }

    /// Two copies of this program.
    fn copies(&self) -> [Source; 2] {
        let program = self.settings.program.to_string_lossy().into_owned();
        let command: Vec<String> = std::iter::once(program).chain(self.worker()).collect();
        ["one copy", "another copy"].map(|name| Source {
            name: name.to_owned(),
            layouts: vec![command.clone()],
        })
    }

    /// Two builds of the last commit. They are made once.
    fn builds(&mut self, what: &str) -> Result<[Source; 2], Failure> {
        let made = match self.builds.take() {
            Some(made) => made,
            None => self.build(what),
        };
        let (kept, given) = match made {
            Ok(sides) => (Ok(sides.clone()), Ok(sides)),
            Err(Failure { exit, message }) => {
                let message_again = message.clone();
                let again = Failure {
                    exit,
                    message: message_again,
                };
                (Err(again), Err(Failure { exit, message }))
            }
        };
        self.builds = Some(kept);
        given
    }

    fn build(&mut self, what: &str) -> Result<[Source; 2], Failure> {
        let tree = Tree::around(&self.settings.repository)?;
        let description = tree.description()?;
        if description.contains('+') {
            return Err(Failure::could_not_run(format!(
                "the work tree ({description}) differs from its last commit, so the two builds would differ; commit the changes, or put them aside"
            )));
        }
        let gate = Gate {
            tree: &tree,
            against: "HEAD",
            target: target_folder(&tree),
            link_orders: 2,
            arguments: self.worker(),
            judged_by: None,
            plan: Plan {
                rules: rules(DEFAULT_MARGIN),
                seed: self.rng.next_u64(),
                max_time: Duration::ZERO,
            },
            timeout: Duration::from_secs(60),
            allow_different_output: false,
            filters: Vec::new(),
        };
        let told = std::cell::RefCell::new(&mut *self.told);
        let stage = |step: &str| {
            (told.borrow_mut())(&Step {
                what: &format!("{what}: {step}"),
                done: 0.0,
                left: 0.0,
            });
        };
        let sides = gate.sides(&stage)?;
        Ok([sides.before, sides.after])
    }
}

/// A load that ended early was none.
fn still_on(load: &Busy) -> Result<(), Failure> {
    match load.is_on() {
        true => Ok(()),
        false => Err(Failure::could_not_run(
            "a process of the load ended before the comparisons did",
        )),
    }
}

impl Calibrated {
    /// 1 where the false alarms of a path are more than its rules allow, beyond the interval's
    /// doubt; else the gravest of what could not be had; 2 where nothing was compared.
    pub fn exit(&self) -> Exit {
        let wrong = |u: &Unavailable| u.exit == Exit::WrongAnswers as u8;
        if self.unavailable.iter().any(wrong) {
            Exit::WrongAnswers
        } else if self.cries_wolf() {
            Exit::Regressed
        } else if !self.unavailable.is_empty() || self.calibration.rows.is_empty() {
            Exit::CouldNotRun
        } else {
            Exit::Held
        }
    }

    /// Whether the default rules raise more false alarms here than they may.
    pub fn cries_wolf(&self) -> bool {
        let rates = self.calibration.rows.iter().flat_map(|row| &row.rates);
        rates
            .filter(|rate| rate.margin == DEFAULT_MARGIN)
            .any(|rate| rate.alarms.low > self.calibration.alpha)
    }
}
