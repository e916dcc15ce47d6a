//! Efficiencies over threads, on the model that `bitgauge scaling` takes by default, so that both
//! commands can be held against one baseline.

use std::time::{Duration, Instant};

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;
use bitgauge_engine::synthetic;

use super::held::{Gate, Gated, not_checked};
use super::measure::NotPlaced;
use crate::case_filter::chosen;
use crate::decoder::judge::Judge;
use crate::exit::{Exit, Failure};
use crate::model_source::{ModelSource, tenth};
use crate::scaling::{self, Phase, Plan, Stored, StoredPoint};
use crate::verdicts::CaseVerdict;
use crate::verify;

/// The shape that is cut to a tenth.
const SHAPE: &str = "2b4t";

/// Time for timing all phases.
pub const BUDGET: Duration = Duration::from_secs(10);

/// What a reader of the verdicts must know: intervals of efficiencies are those of single runs.
const ALONE: &str = "efficiencies over threads (scaling/...) are judged by 95 % intervals, each for itself: the bound on false alarms of all cases together leaves them out";

/// Phases whose efficiency a baseline holds.
const PHASES: [Phase; 2] = [Phase::Decode, Phase::Product];

/// What to measure of efficiencies.
pub struct Efficiencies {
    /// The kernel of every product.
    pub kernel: Kernel,
    /// Which phases.
    pub phases: Vec<Phase>,
    /// The most threads.
    pub threads: usize,
    /// Time for the rounds of all phases together; each has six at least.
    pub budget: Duration,
    /// Seed of the orders.
    pub seed: u64,
}

impl Efficiencies {
    /// The name by which a filter asks for a phase: `scaling/decode`.
    pub fn name(phase: &str) -> String {
        format!("scaling/{phase}")
    }

    /// The phases of a baseline that a filter asks for; all without one.
    pub fn phases(filters: &[String]) -> Vec<Phase> {
        let mut phases = PHASES.to_vec();
        phases.retain(|phase| chosen(&Self::name(phase.name()), filters));
        phases
    }

    /// Measures the engine's pool on every number of threads.
    ///
    /// # Errors
    /// When the golden files that the kernel is judged by are not there, or it answers wrongly.
    pub fn measure(&self, stage: &dyn Fn(&str, usize), step: &dyn Fn()) -> Result<Stored, Failure> {
        let whole = ModelSource::open(SHAPE)?;
        let source = synthetic::model(tenth(whole.source().config()), 1);
        stage(&format!("scaling: packing a tenth of {SHAPE}"), 0);
        let model = Model::load(&source, &self.kernel)?;
        let judge = Judge::open(&verify::default_fixtures()?.join("trained"))?;
        let plan = Plan {
            model: &model,
            source: &source,
            judge: &judge,
            phases: &self.phases,
            threads: self.threads,
            rival: None,
            budget: self.budget,
            seed: self.seed,
        };
        let curves = scaling::run(&plan, stage, step)?;
        let name = format!("{SHAPE}-tenth");
        Ok(scaling::to_store(&curves, self.kernel, &name))
    }
}

/// Measures the efficiencies that a baseline holds, and adds their verdicts to those of the cases.
pub(super) fn hold(
    gate: &Gate<'_>,
    stored: &Stored,
    gated: &mut Gated,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) {
    let Some(first) = stored.points.first() else {
        return;
    };
    let begin = Instant::now();
    let measured = Kernel::by_name(&first.kernel)
        .map_err(Failure::from)
        .and_then(|kernel| {
            let mut phases = PHASES.to_vec();
            phases.retain(|p| stored.points.iter().any(|point| point.phase == p.name()));
            let efficiencies = Efficiencies {
                kernel,
                phases,
                threads: gate.machine.usable.threads,
                budget: gate.scaling_budget(),
                seed: gate.plan.seed,
            };
            efficiencies.measure(stage, step)
        });
    let measured = match measured {
        Ok(measured) => measured,
        Err(failure) => {
            let names = stored.points.iter().map(name_of);
            return names.for_each(|name| gated.leave(gate.foreign, name, &failure));
        }
    };
    let checked = scaling::check(&measured, stored, gate.plan.rules.margin());
    if !checked.points.is_empty() {
        gated.notes.push(ALONE.to_owned());
    }
    let each = begin.elapsed().as_secs_f64() / checked.points.len().max(1) as f64;
    let outcome = &mut gated.outcome;
    outcome.cases.extend(checked.points.iter().map(|held| {
        let m = &held.measured;
        CaseVerdict {
            case: name_of(m),
            verdict: held.verdict,
            speedup: Some(m.efficiency / held.stored),
            low: Some(m.low / held.stored),
            high: Some(m.high / held.stored),
            blocks: m.blocks,
            placements: 1,
            seconds: each,
            before_ns: None,
            after_ns: None,
            check: None,
            judged: false,
        }
    }));
    for missed in checked.not_checked {
        let failure = Failure::could_not_run(missed.why);
        let name = format!("scaling: {}", missed.point);
        gated.leave(gate.foreign, name, &failure);
    }
}

/// The id of an efficiency: `scaling/decode/pool/2t`.
fn name_of(point: &StoredPoint) -> String {
    let phase = Efficiencies::name(&point.phase);
    format!("{phase}/{}/{}t", point.scheduler, point.threads)
}

impl Gated {
    /// What could not be measured: no matter where it need not travel, else a hole.
    fn leave(&mut self, foreign: bool, name: String, failure: &Failure) {
        let is_hole = !foreign || failure.exit == Exit::WrongAnswers;
        if is_hole {
            let (exit, why) = (failure.exit, failure.message.clone());
            let failed = not_checked(&name, NotPlaced { exit, why });
            self.outcome.not_checked.push(failed);
        } else {
            self.not_gated.push((name, failure.message.clone()));
        }
    }
}
