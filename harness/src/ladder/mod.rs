//! Ladders: fixes applied one at a time, each judged before it is timed.
//!
//! `definition` is the data, `setup` what a state comes down to, the decoder's judge says whether it
//! answers right, `race` times those that do, `verdict` holds the claims against the times. This module
//! runs them in that order and writes down what came out.

mod contest;
pub mod definition;
mod masking;
mod models;
mod portion;
pub mod race;
mod setup;
pub mod verdict;

use std::path::Path;
use std::time::Duration;

use bitgauge_engine::model::Source;

use crate::decoder::cases::Decode;
use crate::decoder::judge::{Judge, Right};
use crate::exit::Failure;
use crate::measure::Verified;
use crate::run::{
    self, Comparison, Estimate, Figures, Isolated, Ladder, Measured, Step, Verdict, WrongAnswer,
};
use crate::yardsticks::Yardstick;
use contest::{Contest, Contestant, Runner};
use definition::{Definition, State};
use models::Models;
use portion::Portions;
use race::{Budget, Race};
use setup::{Schedulers, Setup};

/// Why there is no figure of the last state.
const TOP_IS_WRONG: &str = "the last state answers wrongly";

/// What a ladder is run on.
pub struct Plan<'a> {
    /// The ladder.
    pub definition: &'a Definition,
    /// The weights that are timed.
    pub source: &'a dyn Source,
    /// Layers of the whole shape; more than the source has when it was cut.
    pub layers_in_shape: usize,
    /// Folder of the trained model that every rung must answer right.
    pub trained: &'a Path,
    /// Threads of both schedulers.
    pub threads: usize,
    /// Whether the short form was asked for.
    pub quick: bool,
    /// Seed of the orders.
    pub seed: u64,
    /// Bytes of memory that can be taken, where that is known.
    pub available_memory: Option<u64>,
    /// Bytes of the last-level cache: what fits into it is not read from memory.
    pub last_level_cache: Option<u64>,
}

/// What came out, and what was seen on the way.
pub struct Outcome {
    /// The ladder itself.
    pub ladder: Ladder,
    /// Where a token's time goes, in each setup that answers right.
    pub profiles: Vec<run::Profile>,
    /// Bytes that one token reads at the top; `None` where that answers wrongly.
    pub bytes_per_token: Option<u64>,
    /// Which kernel each linear ran at the top.
    pub selection: Measured<run::Selection>,
}

/// Runs a ladder, all but its [`masking`], beside the read `bandwidth`, or without it for this reason. `stage(title, steps)` and
/// `step()` tell of progress.
///
/// # Errors
/// When a kernel, a model or a thread can't be had, or a case fails while it is timed.
pub fn run(
    plan: &Plan<'_>,
    bandwidth: Result<&mut Verified<Yardstick>, String>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Outcome, Failure> {
    let definition = plan.definition;
    let steps = definition.steps.len();
    let schedulers = Schedulers::start(plan.threads)?;
    let mut named: Vec<(String, State)> = vec![("original".into(), definition.original.clone())];
    // A setup is named after the first state that comes down to it: a rung, where there is one.
    for (i, s) in definition.steps.iter().enumerate() {
        named.push((s.id.clone(), definition.state_after(i + 1)));
    }
    for (i, s) in definition.steps.iter().enumerate() {
        named.push((format!("{} alone", s.id), definition.alone(i)));
        named.push((format!("all but {}", s.id), definition.without(i)));
    }
    let setups = contest::setups(&named)?;

    stage(
        "ladder: judging every setup on the trained model",
        setups.len(),
    );
    let judge = Judge::open(plan.trained)?;
    let mut judged: Vec<(String, Setup, Result<Right, WrongAnswer>)> = Vec::new();
    for (name, setup) in setups {
        let scheduler = schedulers.get(setup.scheduler);
        let right = judge.with_settings(setup.kernel, scheduler, setup.settings())?;
        judged.push((name, setup, right));
        step();
    }

    let right = judged.iter().filter(|(_, _, right)| right.is_ok());
    let right: Vec<&Setup> = right.map(|(_, setup, _)| setup).collect();
    let packing = |models| stage("ladder: packing the timed model for each kernel", models);
    let models = Models::load(
        plan.source,
        &right,
        plan.available_memory,
        plan.quick,
        &packing,
        step,
    )?;

    stage(
        "ladder: judging the timed model, and where its time goes",
        judged.len(),
    );
    let (mut contestants, mut contest) = (Vec::new(), Contest::default());
    for (name, setup, right) in judged {
        let outcome = match (right, models.get(&setup)) {
            (Err(wrong), _) => Err(wrong),
            (Ok(_), None) => Err(WrongAnswer {
                relative_error: f64::INFINITY,
                seen_on: "no model was packed for it".into(),
            }),
            (Ok(right), Some(model)) => {
                let scheduler = schedulers.get(setup.scheduler);
                contest.enter(
                    &setup,
                    right,
                    model,
                    plan.source,
                    scheduler,
                    definition.context,
                )?
            }
        };
        contestants.push(Contestant {
            setup,
            name,
            outcome,
        });
        step();
    }
    let Contest {
        mut cases, seconds, ..
    } = contest;

    let budget = Budget {
        race: Duration::from_secs(if plan.quick { 8 } else { 40 }),
        duel: Duration::from_secs(if plan.quick { 2 } else { 5 }),
        seed: plan.seed,
    };
    let staged = std::cell::Cell::new(false);
    let no_bandwidth = bandwidth.as_ref().err().cloned();
    let bandwidth = bandwidth.ok();
    let race = race::race(&mut cases, &seconds, bandwidth, budget, &|done, of| {
        if !staged.replace(true) {
            stage("ladder: the race of all setups", of);
        }
        if done > 0 {
            step();
        }
    })?;

    stage("ladder: duels", 3 * steps);
    let mut scribe = Scribe {
        plan,
        portions: Portions::new(&models, &schedulers, definition.context),
        contestants: &contestants,
        race: &race,
        no_bandwidth,
        cases: &mut cases,
        budget,
    };
    let mut rungs = Vec::new();
    for i in 0..steps {
        rungs.push(scribe.rung(i)?);
        step();
    }
    let mut alone = Vec::new();
    for (i, s) in definition.steps.iter().enumerate() {
        let comparison = scribe.compare(&definition.original, &definition.alone(i), i)?;
        alone.push(Isolated {
            step: s.id.clone(),
            comparison,
        });
        step();
    }
    let top = definition.state_after(steps);
    let mut left_out = Vec::new();
    for (i, s) in definition.steps.iter().enumerate() {
        let comparison = scribe.compare(&definition.without(i), &top, i)?;
        left_out.push(Isolated {
            step: s.id.clone(),
            comparison,
        });
        step();
    }
    let targets = definition
        .targets
        .iter()
        .map(|t| scribe.target(t, &top))
        .collect::<Result<_, _>>()?;

    let profiles = contestants.iter().filter_map(|c| {
        let runner = c.outcome.as_ref().ok()?;
        Some(run::Profile {
            state: c.name.clone(),
            parts: runner.profile.parts.clone(),
        })
    });
    let profiles = profiles.collect();
    let top_setup = Setup::of(&top)?;
    let model = models.get(&top_setup);
    let origin = match (top.dispatch, top.kernel.as_str()) {
        (definition::Dispatch::Detect, "best") => run::Origin::Detected,
        _ => run::Origin::Named,
    };
    let selection = model.map(|m| run::Selection {
        rows: crate::cli::selection::rows(m, &|_, _| origin),
        fallbacks: m.fallbacks(),
    });
    let selection = Measured::or(selection, TOP_IS_WRONG);
    let bytes_per_token = model.map(|m| (m.ternary_bytes() + m.head_bytes()) as u64);
    let masking = Measured::unavailable(match &definition.masking {
        None => "the ladder names no feature that could be masked",
        Some(_) => Ladder::MASKING_FOLLOWS,
    });
    let ladder = Ladder {
        name: definition.name.clone(),
        targets,
        rungs,
        alone,
        left_out,
        masking,
    };
    Ok(Outcome {
        ladder,
        profiles,
        bytes_per_token,
        selection,
    })
}

/// What a ladder names as hidden by its defects, at its bottom and its top; `None` where it names
/// nothing. It takes minutes and needs nothing of [`run()`], so that it is recorded by itself.
///
/// # Errors
/// When a model or a thread can't be had, or a case fails while it is timed.
pub fn masking(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Option<run::Masking>, Failure> {
    let Some(masking) = &plan.definition.masking else {
        return Ok(None);
    };
    let (judge, schedulers) = (Judge::open(plan.trained)?, Schedulers::start(plan.threads)?);
    masking::run(plan, masking, &judge, &schedulers, stage, step).map(Some)
}

/// Refuses more tokens than the models take, which would else show after minutes of measuring.
///
/// # Errors
/// How many they take.
pub fn takes(plan: &Plan<'_>) -> Result<(), Failure> {
    let positions = plan.source.config().max_position_embeddings;
    let context = plan.definition.context;
    if context >= positions {
        return Err(Failure::could_not_run(format!(
            "context = {context}: the model takes {positions} tokens, the timed one included"
        )));
    }
    plan.definition
        .masking
        .as_ref()
        .map_or(Ok(()), masking::takes)
}

/// Writes down comparisons of states.
struct Scribe<'a, 'p, 'm> {
    plan: &'a Plan<'p>,
    portions: Portions<'a>,
    contestants: &'a [Contestant],
    race: &'a Race,
    /// Why it ran without the read bandwidth.
    no_bandwidth: Option<String>,
    cases: &'a mut [Verified<Decode<'m>>],
    budget: Budget,
}

impl<'a> Scribe<'a, '_, '_> {
    fn contestant(&self, state: &State) -> Result<&'a Contestant, Failure> {
        let setup = Setup::of(state)?;
        self.contestants
            .iter()
            .find(|c| c.setup == setup)
            .ok_or_else(|| Failure::could_not_run(format!("no setup was made for {state:?}")))
    }

    /// Step `i` on top of those before it, against the last state before it that answers right.
    fn rung(&mut self, i: usize) -> Result<Step, Failure> {
        let definition = self.plan.definition;
        let step = &definition.steps[i];
        let mut before = i;
        while before > 0
            && self
                .contestant(&definition.state_after(before))?
                .outcome
                .is_err()
        {
            before -= 1;
        }
        let compared_with = match before {
            0 => "original".to_owned(),
            n => definition.steps[n - 1].id.clone(),
        };
        let (from, to) = (
            definition.state_after(before),
            definition.state_after(i + 1),
        );
        let mut comparison = self.compare(&from, &to, i)?;
        if before < i
            && step.claim.is_some()
            && let Comparison::Timed {
                verdict, speedup, ..
            } = &mut comparison
        {
            let why = format!(
                "the state before it answers wrongly and so has no time; {:.2}x is the gain of {} steps together, since `{compared_with}`",
                speedup.value,
                i - before + 1
            );
            *verdict = Verdict::NotMeasurable { why };
        }
        Ok(Step {
            id: step.id.clone(),
            title: step.title.clone(),
            change: step.change.clone(),
            why: step.why.clone(),
            claim: step.claim.as_ref().map(run_claim),
            prediction: step.prediction.clone(),
            knobs: step.set.knobs(),
            compared_with,
            comparison,
        })
    }

    /// Two states, `after` having step `i` and `before` not.
    fn compare(&mut self, before: &State, after: &State, i: usize) -> Result<Comparison, Failure> {
        let claim = self.plan.definition.steps[i].claim.as_ref();
        let (from, to) = (self.contestant(before)?, self.contestant(after)?);
        if from.setup == to.setup {
            return Ok(Comparison::NoEffect);
        }
        match (&from.outcome, &to.outcome) {
            (_, Err(error)) => Ok(Comparison::Wrong {
                error: error.clone(),
            }),
            (Err(error), Ok(runner)) => {
                let verdict = match claim {
                    None => Verdict::NoClaim,
                    Some(_) => Verdict::NotMeasurable {
                        why: "without it the answers are wrong, and wrong answers have no time"
                            .into(),
                    },
                };
                let after = self.figures(runner)?;
                Ok(Comparison::Mended {
                    error_before: error.clone(),
                    after,
                    verdict,
                })
            }
            (Ok(before_runner), Ok(after_runner)) => {
                let (before, after) = (self.figures(before_runner)?, self.figures(after_runner)?);
                let portion = claim.and_then(|claim| claim.of);
                let (speedup, samples) = match portion {
                    Some(portion) => self.portions.duel(
                        portion,
                        (&from.setup, before_runner),
                        (&to.setup, after_runner),
                        self.budget,
                    )?,
                    None => {
                        let places = (before_runner.place, after_runner.place);
                        self.race
                            .compare(self.cases, places.0, places.1, self.budget)?
                    }
                };
                let verdict = verdict::of_speedup(claim, &speedup, 0.0, self.plan.threads);
                Ok(Comparison::Timed {
                    before,
                    after,
                    part: portion.map(|portion| portion.name().to_owned()),
                    speedup,
                    samples,
                    verdict,
                })
            }
        }
    }

    fn figures(&self, runner: &Runner) -> Result<Figures, Failure> {
        let none = || Failure::could_not_run("the race ended without a round");
        let token_s = self.race.token_s(runner.place).ok_or_else(none)?;
        let percent_of_bandwidth = match self.plan.last_level_cache {
            Some(cache) if runner.bytes < 2 * cache => Measured::unavailable(format!(
                "a token reads {} MB, of which a cache of {} MB can keep a part",
                runner.bytes / 1_000_000,
                cache / 1_000_000
            )),
            _ => {
                let percent = self.race.percent_of_bandwidth(runner.place, runner.bytes);
                let why = self.no_bandwidth.as_deref();
                Measured::or(percent, why.unwrap_or("no round beside the read bandwidth"))
            }
        };
        Ok(Figures {
            token_s,
            ms_token: self.race.ms_token(runner.place).ok_or_else(none)?,
            gb_s: Measured::Is(runner.bytes as f64 * 1e-9 * token_s.value),
            percent_of_bandwidth,
            product_share: Measured::Is(runner.profile.product_share),
            utilisation: runner.profile.utilisation.clone(),
            relative_error: Measured::Is(0.0),
            tokens: 1,
            threads: self.plan.threads,
        })
    }

    fn target(&self, target: &definition::Target, top: &State) -> Result<run::Target, Failure> {
        let (id, text) = (target.id.clone(), target.text.clone());
        let (unit, figure) = match &self.contestant(top)?.outcome {
            Err(_) => ("", Measured::unavailable(TOP_IS_WRONG)),
            Ok(runner) => self.target_figure(target.figure, runner)?,
        };
        let cut = self.plan.source.config().num_hidden_layers < self.plan.layers_in_shape;
        let verdict = match (&figure, target.figure) {
            (Measured::Unavailable(why), _) => Verdict::NotMeasurable { why: why.clone() },
            (_, definition::Figure::TokenS | definition::Figure::MsToken) if cut => {
                Verdict::NotMeasurable {
                    why: "only a part of the model's layers was run".into(),
                }
            }
            (Measured::Is(figure), _) => {
                verdict::of_target(target.at_least, target.at_most, figure)
            }
        };
        Ok(run::Target {
            id,
            text,
            unit: unit.into(),
            figure,
            verdict,
        })
    }

    fn target_figure(
        &self,
        figure: definition::Figure,
        runner: &Runner,
    ) -> Result<(&'static str, Measured<Estimate>), Failure> {
        let figures = self.figures(runner)?;
        Ok(match figure {
            definition::Figure::TokenS => ("token/s", Measured::Is(figures.token_s)),
            definition::Figure::MsToken => ("ms", Measured::Is(figures.ms_token)),
            definition::Figure::LeastUtilisation => {
                let least = figures.utilisation.map(|workers| {
                    let value = workers.into_iter().fold(f64::INFINITY, f64::min);
                    // One long observation: its interval is the value.
                    Estimate {
                        value,
                        low: value,
                        high: value,
                        level: race::LEVEL,
                        blocks: 1,
                    }
                });
                ("%", least)
            }
        })
    }
}

fn run_claim(claim: &definition::Claim) -> run::Claim {
    run::Claim {
        text: claim.text.clone(),
        low: claim.low,
        high: claim.high,
        error_below: claim.error_below,
    }
}
