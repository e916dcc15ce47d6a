//! Cases beside their yardsticks: one placement after the other, each some A B B A blocks.
//!
//! A round places every case once, in random order, so that the placements of a case are spread
//! over the whole time: what the machine did in one bad second is in one of them.

use std::time::{Duration, Instant};

use super::Kind;
use super::file::{
    Baseline, KIND, Ratio, SCHEMA, Settings, Slices, StoredCase, StoredYardstick, ln_ratio,
};
use super::yardstick::Bench;
use crate::exit::{Exit, Failure};
use crate::machine::Machine;
use crate::measure::stats::Rules;
use crate::measure::{Digest, Entrant, Pace, SplitMix64, Trial};
use crate::run::rfc3339;
use crate::suite::{Blueprint, CaseId, Placement, SuiteError};

/// How much a case is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Times that each case is placed.
    pub placements: usize,
    /// Slices of a placement.
    pub pace: Pace,
}

impl Effort {
    /// For keeps: an interval at the level of a gate over a hundred cases leaves out the fastest
    /// and the slowest placement.
    pub const FULL: Self = Self {
        placements: 20,
        pace: Pace {
            placement: Duration::from_millis(6),
            blocks: 6,
            ..Pace::FUNCTIONS
        },
    };

    /// The short form. It can't have fewer placements: nothing could be gated against it.
    pub const QUICK: Self = Self {
        placements: 16,
        pace: Pace {
            placement: Duration::from_millis(2),
            blocks: 3,
            ..Pace::FUNCTIONS
        },
    };
}

/// A case that could not be placed beside its yardstick.
#[derive(Debug)]
pub struct NotPlaced {
    /// What that amounts to.
    pub exit: Exit,
    /// Why.
    pub why: String,
}

impl From<SuiteError> for NotPlaced {
    fn from(error: SuiteError) -> Self {
        Self {
            exit: error.exit(),
            why: error.to_string(),
        }
    }
}

impl From<NotPlaced> for Failure {
    fn from(NotPlaced { exit, why }: NotPlaced) -> Self {
        Self { exit, message: why }
    }
}

/// A case and its yardstick.
pub struct Subject {
    blueprint: Blueprint,
    digest: Digest,
    yardstick: StoredYardstick,
    trial: Trial,
}

impl Subject {
    /// Judges a case; `yardstick` was made by the bench.
    ///
    /// # Errors
    /// When the case can't be made, or answers wrongly.
    pub fn new(
        id: &CaseId,
        yardstick: StoredYardstick,
        pace: Pace,
        seed: u64,
    ) -> Result<Self, NotPlaced> {
        let blueprint = Blueprint::new(id)?;
        let digest = blueprint.judge()?;
        Ok(Self {
            blueprint,
            digest,
            yardstick,
            // The rules of a trial are about two sides of equal work, which these are not.
            trial: Trial::new(Rules::default(), pace, seed).steady(),
        })
    }

    /// Makes both sides anew and times them.
    ///
    /// # Errors
    /// When one fails, or answers otherwise than it was judged.
    pub(super) fn place(
        &mut self,
        bench: &mut Bench,
        rng: &mut SplitMix64,
    ) -> Result<f64, NotPlaced> {
        let begin = Instant::now();
        let name = self.yardstick.name.as_str();
        let first = match rng.below(2) {
            0 => Some(bench.fresh(name, rng)?),
            _ => None,
        };
        let mut case = self
            .blueprint
            .verified(&mut Placement::new(rng.next_u64()))?;
        let mut yardstick = match first {
            Some(first) => first,
            None => bench.fresh(name, rng)?,
        };
        self.trial.spend(begin.elapsed());
        self.trial
            .place(
                bench.entrant(name, &mut yardstick),
                Entrant::new(self.blueprint.id().to_string(), &mut case),
            )
            .map_err(|failed| NotPlaced {
                exit: Exit::CouldNotRun,
                why: failed.to_string(),
            })?;
        Ok(self.ln_ratio_of(self.trial.placements().len() - 1))
    }

    fn ln_ratio_of(&self, placement: usize) -> f64 {
        let blocks = &self.trial.placements()[placement].blocks;
        let iterations = self.trial.iterations().unwrap_or([1, 1]);
        ln_ratio(blocks, iterations, self.yardstick.per_iteration)
    }

    /// What was measured.
    pub fn trial(&self) -> &Trial {
        &self.trial
    }

    /// Digest of the case's results.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The kernel that runs and its instruction set; `None` where nothing is multiplied.
    pub fn kernel(&self) -> Option<(String, String)> {
        let kernel = self.blueprint.id().kernel()?.resolve().ok()?;
        let spec = kernel.spec();
        Some((spec.name().to_owned(), spec.isa().to_string()))
    }

    /// What a baseline keeps; `None` before there are enough placements for an interval.
    fn store(&self) -> Option<StoredCase> {
        let placements = self.trial.placements();
        let ln_ratios: Vec<f64> = (0..placements.len()).map(|i| self.ln_ratio_of(i)).collect();
        let (kernel, isa) = self.kernel().unzip();
        let [_, ns] = self.trial.ns()?;
        Some(StoredCase {
            id: self.blueprint.id().to_string(),
            kernel,
            isa,
            yardstick: self.yardstick.clone(),
            ratio: Ratio::of(&ln_ratios)?,
            ns,
            digest: self.digest.to_string(),
            iterations: self.trial.iterations()?,
            placements: placements.iter().map(|p| Slices::of(&p.blocks)).collect(),
        })
    }
}

/// The best yardstick for a case, or the naive kernel where this machine has none of its kind;
/// the second is then why.
///
/// # Errors
/// When there is no naive kernel either.
pub fn yardstick_for(
    id: &CaseId,
    bench: &mut Bench,
) -> Result<(StoredYardstick, Option<String>), Failure> {
    let kind = Kind::of(id);
    let (name, note) = match bench.best(kind) {
        Ok(name) => (name, None),
        Err(unavailable) => (bench.best(Kind::Naive)?, Some(unavailable.to_string())),
    };
    Ok((bench.stored(&name), note))
}

/// What to measure for a baseline.
pub struct Plan<'a> {
    /// The cases.
    pub ids: &'a [CaseId],
    /// How much.
    pub effort: Effort,
    /// What was asked for.
    pub settings: Settings,
    /// Revision of the sources.
    pub revision: Option<String>,
}

/// Measures the cases of a baseline; efficiencies are added by the caller. `stage` is told of
/// each stage and its steps, `step` of each step. Beside the baseline: what a reader should know.
///
/// # Errors
/// When any case fails or answers wrongly: a baseline with holes would be gated as if it were
/// whole.
pub fn run(
    plan: &Plan<'_>,
    machine: Machine,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<(Baseline, Vec<String>), Failure> {
    let date = rfc3339(std::time::SystemTime::now());
    let mut rng = SplitMix64::new(plan.settings.seed);
    let mut bench = Bench::new(machine.clone());
    let mut notes: Vec<String> = Vec::new();
    let mut subjects = Vec::new();
    stage("baseline: making and judging the cases", plan.ids.len());
    for id in plan.ids {
        let (yardstick, note) = yardstick_for(id, &mut bench)?;
        if let Some(why) = note {
            let note = format!(
                "{why}: cases that it was meant for are held against {}",
                yardstick.name
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        let subject = Subject::new(id, yardstick, plan.effort.pace, rng.next_u64())?;
        subjects.push(subject);
        step();
    }
    stage(
        "baseline: cases beside their yardsticks",
        plan.effort.placements * subjects.len(),
    );
    for _ in 0..plan.effort.placements {
        rng.shuffle(&mut subjects);
        for subject in &mut subjects {
            subject.place(&mut bench, &mut rng)?;
            step();
        }
    }
    subjects.sort_by(|a, b| a.blueprint.id().cmp(b.blueprint.id()));
    let cases = subjects.iter().map(|subject| {
        subject.store().ok_or_else(|| {
            Failure::could_not_run(format!(
                "{}: too few placements for an interval",
                subject.blueprint.id()
            ))
        })
    });
    let baseline = Baseline {
        kind: KIND.to_owned(),
        schema: SCHEMA,
        machine: machine.class(),
        date,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: plan.revision.clone(),
        isa: machine.isa.level().to_owned(),
        settings: plan.settings.clone(),
        cases: cases.collect::<Result<_, _>>()?,
        scaling: None,
        described: machine,
    };
    Ok((baseline, notes))
}
