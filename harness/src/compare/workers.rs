//! Two workers that take turns, restarted for every placement: each pair of processes is held to
//! one processor, and the processor, the order in which they start, the layout of each program
//! and the place of its stack are drawn anew.
//!
//! Two processes left to the scheduler each keep a core of their own, and cores differ: that
//! would be an effect of the side for as long as both live. On one core they share everything
//! but their memory. Cases that run on several threads can't be held to one core; their pair is
//! started beside, free to use all.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Field, Open, Outcome, Plan, Watch};
use crate::case_filter::{chosen, idle};
use crate::exit::{Exit, Failure};
use crate::machine::{allowed_cpus, with_current_thread_on};
use crate::measure::{Entrant, Pace, SplitMix64, Trial};
use crate::verdicts::Side;
use crate::worker::{Hello, Launch, Worker, WorkerError, verified_pair};

/// Stacks move by up to this much: a page, and some cache lines more.
const MOST_PADDING: usize = 4096 + 64;

/// One side: a program in one or more layouts.
#[derive(Debug, Clone)]
pub struct Source {
    /// What verdicts call it.
    pub name: String,
    /// Command lines that start the same program, such as builds that differ in link order.
    /// At least one.
    pub layouts: Vec<Vec<String>>,
}

/// How two workers are compared, beside what every comparison is held to.
#[derive(Debug, Clone)]
pub struct Pairing {
    /// The rules and the time.
    pub plan: Plan,
    /// Time that a worker has for each answer.
    pub timeout: Duration,
    /// Whether equal work may give different digests.
    pub allow_different_output: bool,
    /// The cases to compare; `None` for all that both sides have.
    pub cases: Option<Vec<String>>,
    /// Of these, keeps the cases whose id holds one of these texts; all when empty.
    pub filters: Vec<String>,
    /// A word with which a worker of "after" has its answers judged, where it can: each case is then
    /// run so once, before anything is timed.
    pub judged_by: Option<&'static str>,
}

/// What was found, and who was compared.
#[derive(Debug)]
pub struct Paired {
    /// The verdicts.
    pub outcome: Outcome,
    /// What "before" said of itself.
    pub before: Side,
    /// What "after" said of itself.
    pub after: Side,
    /// Cases that only one side has, which were left out: `(case, side)`.
    pub one_sided: Vec<(String, String)>,
}

/// Why two workers could not be compared at all.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// A worker could not be started or did not introduce itself.
    #[error("{side}: {error}")]
    Worker {
        /// The side.
        side: String,
        /// What happened.
        error: Box<WorkerError>,
    },
    /// There is nothing that both can do.
    #[error(
        "nothing to compare: {before} has {before_cases} and {after} has {after_cases}, none in common"
    )]
    NothingInCommon {
        /// One side.
        before: String,
        /// Its cases, shortened.
        before_cases: String,
        /// The other side.
        after: String,
        /// Its cases, shortened.
        after_cases: String,
    },
    /// Filters that no case passes.
    #[error("no case that both sides have holds {filters}; they have {known}")]
    NothingLeft {
        /// The filters.
        filters: String,
        /// The cases, shortened.
        known: String,
    },
    /// Cases that were asked for and that a side does not have.
    #[error("{side} has no case {missing}; it has {known}")]
    NoSuchCase {
        /// The side.
        side: String,
        /// The cases that are missing.
        missing: String,
        /// The cases that it has, shortened.
        known: String,
    },
}

impl PairingError {
    /// How a command ends that meets it.
    pub fn failure(&self) -> Failure {
        let exit = match self {
            Self::Worker { error, .. } => error.exit(),
            _ => Exit::CouldNotRun,
        };
        let message = self.to_string();
        Failure { exit, message }
    }
}

/// Compares two workers, case by case.
///
/// # Errors
/// [`PairingError`], where not even one pair of processes could be had. What fails later is kept
/// with its case in the outcome.
pub fn run(
    before: &Source,
    after: &Source,
    pairing: &Pairing,
    watch: &mut Watch<'_>,
) -> Result<Paired, PairingError> {
    let mut fleet = Fleet {
        sources: [before, after],
        timeout: pairing.timeout,
        rng: SplitMix64::new(pairing.plan.seed),
        cpus: allowed_cpus().unwrap_or_default(),
    };
    let hellos = fleet.introduce()?;
    let (mut cases, mut one_sided) = common(&hellos, [before, after], pairing.cases.as_deref())?;
    let filters = &pairing.filters;
    if !filters.is_empty() {
        let known = shortened(cases.iter().map(|(id, _)| id.as_str()));
        let one_sided_names = one_sided.iter().map(|(id, _)| id.as_str());
        let names: Vec<&str> = (cases.iter().map(|(id, _)| id.as_str()))
            .chain(one_sided_names)
            .collect();
        if let Some(filter) = idle(filters, &names) {
            let filters = filter.to_owned();
            return Err(PairingError::NothingLeft { filters, known });
        }
        cases.retain(|(id, _)| chosen(id, filters));
        one_sided.retain(|(id, _)| chosen(id, filters));
        if cases.is_empty() {
            let filters = filters.join(" or ");
            return Err(PairingError::NothingLeft { filters, known });
        }
    }
    let rules = super::single(&pairing.plan.rules, cases.len());
    let mut threads = Vec::new();
    let mut open = Vec::new();
    for (case, needs) in cases {
        let trial = Trial::new(rules, Pace::WORKERS, fleet.rng.next_u64());
        open.push(Open::new(case, trial));
        threads.push(needs);
    }
    let mut field = Field::new(open, pairing.plan.max_time);
    let mut go_on = ControlFlow::Continue(());
    if let Some(word) = pairing.judged_by {
        go_on = fleet.judge(&mut field, word, watch);
        // Judging is no measuring.
        field.begin = Instant::now();
    }
    while go_on.is_continue() && field.open.iter().any(Open::is_open) {
        let (one, many): (Vec<usize>, Vec<usize>) = field
            .doubtful()
            .into_iter()
            .partition(|&at| threads[at] == 1);
        for (turn, pinned) in [(one, true), (many, false)] {
            if go_on.is_continue() {
                go_on = fleet.restart(&mut field, turn, pinned, pairing, watch);
            }
        }
    }
    let [before, after] = [(before, &hellos[0]), (after, &hellos[1])].map(|(source, hello)| Side {
        name: source.name.clone(),
        revision: hello.revision.clone(),
        isa: hello.isa.clone(),
    });
    Ok(Paired {
        outcome: field.outcome(),
        before,
        after,
        one_sided,
    })
}

struct Fleet<'a> {
    sources: [&'a Source; 2],
    timeout: Duration,
    rng: SplitMix64,
    cpus: Vec<usize>,
}

impl Fleet<'_> {
    /// Has each layout of both sides say hello once.
    fn introduce(&mut self) -> Result<[Hello; 2], PairingError> {
        let mut hellos = Vec::with_capacity(2);
        for source in self.sources {
            let mut hello = None;
            for layout in &source.layouts {
                let launch = self.launch(layout.clone(), None);
                let worker = Worker::start(&launch).map_err(|error| PairingError::Worker {
                    side: source.name.clone(),
                    error: Box::new(error),
                })?;
                hello = Some(worker.hello().clone());
                worker.bye();
            }
            hellos.extend(hello);
        }
        match <[Hello; 2]>::try_from(hellos) {
            Ok(hellos) => Ok(hellos),
            Err(_) => unreachable!("a source has at least one layout"),
        }
    }

    fn launch(&mut self, command: Vec<String>, cpu: Option<usize>) -> Launch {
        Launch {
            cpu,
            padding: 1 + self.rng.below(MOST_PADDING),
            timeout: self.timeout,
            ..Launch::new(command)
        }
    }

    /// Has "after" judge each case. A worker that breaks is started again for the cases that are left.
    fn judge(&mut self, field: &mut Field, word: &str, watch: &mut Watch<'_>) -> ControlFlow<()> {
        let source = self.sources[1];
        let command = source.layouts[0].iter().cloned().chain([word.to_owned()]);
        let launch = self.launch(command.collect(), None);
        let mut judge: Option<Worker> = None;
        for at in 0..field.open.len() {
            field.go_on(&field.open[at].case, watch)?;
            let open = &mut field.open[at];
            let judged = match judge.take() {
                Some(worker) => Ok(worker),
                None => Worker::start(&launch),
            };
            let judged = judged.and_then(|worker| {
                let answer = judge.insert(worker).run(&open.case, 1)?;
                Ok(answer.check)
            });
            match judged {
                Ok(check) => {
                    open.check = Some(check);
                    open.judged = true;
                }
                Err(error) => {
                    open.fail(error.exit(), format!("{}: {error}", source.name));
                    judge = None;
                }
            }
        }
        judge.into_iter().for_each(Worker::bye);
        ControlFlow::Continue(())
    }

    /// Starts both sides, in an order drawn at random, each in a layout drawn at random.
    fn start(&mut self, cpu: Option<usize>) -> Result<[Worker; 2], (usize, Box<WorkerError>)> {
        let mut sides: [Option<Worker>; 2] = [None, None];
        let first = self.rng.below(2);
        for side in [first, 1 - first] {
            let layouts = &self.sources[side].layouts;
            let command = layouts[self.rng.below(layouts.len())].clone();
            let launch = self.launch(command, cpu);
            sides[side] = Some(Worker::start(&launch).map_err(|error| (side, Box::new(error)))?);
        }
        match sides {
            [Some(before), Some(after)] => Ok([before, after]),
            _ => unreachable!("both sides were started"),
        }
    }

    /// One placement of each case in `turn`. A pair that breaks is started again for the cases
    /// that are left.
    fn restart(
        &mut self,
        field: &mut Field,
        turn: Vec<usize>,
        pinned: bool,
        pairing: &Pairing,
        watch: &mut Watch<'_>,
    ) -> ControlFlow<()> {
        let cpu = match self.cpus.len() {
            n if pinned && n > 0 => Some(self.cpus[self.rng.below(n)]),
            _ => None,
        };
        let mut left = turn.into_iter().peekable();
        while let Some(&next) = left.peek() {
            field.go_on(&field.open[next].case, watch)?;
            let begin = Instant::now();
            let mut workers = match self.start(cpu) {
                Ok(workers) => workers,
                Err((side, error)) => {
                    let why = format!("{}: {error}", self.sources[side].name);
                    let open = &mut field.open[next];
                    open.fail(error.exit(), why);
                    left.next();
                    continue;
                }
            };
            field.open[next].trial.spend(begin.elapsed());
            let broken = with_current_thread_on(cpu.as_slice(), || {
                for at in left.by_ref() {
                    field.go_on(&field.open[at].case, watch)?;
                    if !self.place(&mut field.open[at], &mut workers, pairing) {
                        return ControlFlow::Continue(());
                    }
                }
                ControlFlow::Continue(())
            });
            workers.into_iter().for_each(Worker::bye);
            broken?;
        }
        ControlFlow::Continue(())
    }

    /// One placement of one case; false where a worker is of no more use.
    fn place(&mut self, open: &mut Open, workers: &mut [Worker; 2], pairing: &Pairing) -> bool {
        let begin = Instant::now();
        let [before, after] = workers;
        let after_first = self.rng.below(2) == 1;
        let different = pairing.allow_different_output;
        let pair = verified_pair(before, after, &open.case, after_first, different);
        let (mut before, mut after) = match pair {
            Ok(pair) => pair,
            Err(error) => {
                open.fail(error.exit(), error.to_string());
                return false;
            }
        };
        let check = before.case().check().to_owned();
        match &open.check {
            Some(first) if *first != check && !pairing.allow_different_output => {
                let told = match open.judged {
                    true => "the answer that was judged is",
                    false => "they answered",
                };
                let why = format!(
                    "both sides answer {check}, where {told} {first} before: equal work must give equal results"
                );
                open.fail(Exit::WrongAnswers, why);
                return true;
            }
            _ => open.check = Some(check),
        }
        open.trial.spend(begin.elapsed());
        let result = open.trial.place(
            Entrant::new(self.sources[0].name.as_str(), &mut before),
            Entrant::new(self.sources[1].name.as_str(), &mut after),
        );
        match result {
            Ok(_) => true,
            Err(failed) => {
                let fault = before.case().fault().or(after.case().fault());
                let exit = fault.map_or(Exit::CouldNotRun, WorkerError::exit);
                open.fail(exit, failed.to_string());
                false
            }
        }
    }
}

/// Cases that both have, with their threads, in the order of "after"; and those of one side only.
type Common = (Vec<(String, usize)>, Vec<(String, String)>);

fn common(
    hellos: &[Hello; 2],
    sources: [&Source; 2],
    wanted: Option<&[String]>,
) -> Result<Common, PairingError> {
    let has = |side: usize, id: &str| hellos[side].cases.iter().find(|c| c.id == id);
    let known = |side: usize| shortened(hellos[side].cases.iter().map(|c| c.id.as_str()));
    if let Some(wanted) = wanted {
        let mut cases = Vec::new();
        for side in [0, 1] {
            let missing: Vec<&str> = wanted
                .iter()
                .map(String::as_str)
                .filter(|id| has(side, id).is_none())
                .collect();
            if !missing.is_empty() {
                return Err(PairingError::NoSuchCase {
                    side: sources[side].name.clone(),
                    missing: missing.join(", "),
                    known: known(side),
                });
            }
        }
        for id in wanted {
            let threads = [0, 1].map(|side| has(side, id).map_or(1, |c| c.threads));
            cases.push((id.clone(), threads[0].max(threads[1])));
        }
        return Ok((cases, Vec::new()));
    }
    let mut cases = Vec::new();
    let mut one_sided = Vec::new();
    for case in &hellos[1].cases {
        match has(0, &case.id) {
            Some(other) => cases.push((case.id.clone(), case.threads.max(other.threads))),
            None => one_sided.push((case.id.clone(), sources[1].name.clone())),
        }
    }
    for case in hellos[0].cases.iter().filter(|c| has(1, &c.id).is_none()) {
        one_sided.push((case.id.clone(), sources[0].name.clone()));
    }
    if cases.is_empty() {
        return Err(PairingError::NothingInCommon {
            before: sources[0].name.clone(),
            before_cases: known(0),
            after: sources[1].name.clone(),
            after_cases: known(1),
        });
    }
    Ok((cases, one_sided))
}

/// The first few of a list of names.
fn shortened<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let names: Vec<&str> = names.collect();
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
