//! Ratios made anew, held against the stored ones.
//!
//! Nothing can be interleaved with the past, so an effect is the difference of two medians of
//! log-ratios from two runs, and its interval is put together as if both were as wrong as they
//! can be: `low = new.low - stored.high`, `high = new.high - stored.low`. The stored end is an
//! order statistic of a number of placements that was set beforehand, the new one belongs to a
//! confidence sequence that may be looked at after every placement. Each of the two is missed with
//! probability at most a quarter of the case's share of `alpha`, so that any false alarm, of
//! either kind and in any case, has probability at most `alpha` (Bonferroni's inequality), as far
//! as the placements of both runs are draws of one distribution. What differs from run to run and
//! is not taken out by the yardstick is not in these intervals: that is what the margin is for.
//! Efficiencies over threads are outside of this bound (`efficiency.rs`), and a note says so.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::efficiency::Efficiencies;
use super::file::{Baseline, StoredCase};
use super::measure::{Effort, NotPlaced, Subject};
use super::yardstick::Bench;
use crate::case_filter::{chosen, idle};
use crate::compare::{CaseSamples, Outcome, Plan, Standing, Watch};
use crate::exit::{Exit, Failure};
use crate::machine::Machine;
use crate::measure::stats::{
    FixedInterval, Interval, MedianSequence, Rules, fixed_blocks_interval,
};
use crate::measure::{SplitMix64, Verdict};
use crate::suite::{CaseId, Work};
use crate::verdicts::{CaseVerdict, NotChecked};

/// Fraction of a ratio within which a case counts as unchanged, where nothing else was asked for.
///
/// A yardstick follows the clock, the memory and the neighbours of its own kind of work. It does
/// not follow how caches are shared, where pages lie, or what another revision of the compiler
/// made of the yardstick itself. Runs on two days differ by some percent for such reasons.
pub const MARGIN: f64 = 0.10;

/// What to hold against a baseline.
pub struct Gate<'a> {
    /// The baseline.
    pub baseline: &'a Baseline,
    /// This machine.
    pub machine: &'a Machine,
    /// The rules and the time.
    pub plan: Plan,
    /// Whether the baseline is of another class of machine, and only what travels counts.
    pub foreign: bool,
    /// Keeps the cases whose id holds one of these texts; all when empty.
    pub filters: Vec<String>,
}

/// What was found.
pub struct Gated {
    /// The verdicts.
    pub outcome: Outcome,
    /// What the baseline holds and was not gated, and why: of another class of machine only.
    pub not_gated: Vec<(String, String)>,
    /// What a reader should know beside them.
    pub notes: Vec<String>,
}

/// Error probabilities of the ends of intervals.
#[derive(Debug, Clone, Copy)]
struct Levels {
    margin: f64,
    /// One side of one run, for what lies outside of the margin.
    alarm: f64,
    /// The same for what lies within.
    equivalence: f64,
    /// Level of the interval that is told.
    told: f64,
}

impl Levels {
    fn new(rules: &Rules, cases: usize) -> Self {
        Self {
            margin: rules.log_margin(),
            // Either kind of alarm, and either run.
            alarm: rules.alpha() / cases.max(1) as f64 / 4.0,
            // Both sides must reject, so that they share nothing; two runs do.
            equivalence: rules.equivalence() / 2.0,
            told: rules.level(),
        }
    }
}

/// The interval whose sides are missed with this probability each, from placements whose number
/// was set beforehand.
fn stored_interval(ln_ratios: &[f64], side: f64) -> Option<FixedInterval> {
    fixed_blocks_interval(ln_ratios, 1.0 - 2.0 * side)
}

/// Fewest placements that can bound a median with this probability of a miss on each side.
fn fewest(side: f64) -> usize {
    (-side.log2()).ceil() as usize
}

/// `ln(new ratio) - ln(stored ratio)`, each end as far out as both runs allow.
fn effect(stored: &[f64], new: &MedianSequence, side: f64) -> Interval {
    let of_new = new.interval(1.0 - 2.0 * side);
    let of_stored = stored_interval(stored, side);
    let apart = |new: Option<f64>, stored: Option<f64>| Some(new? - stored?);
    Interval {
        low: apart(of_new.low, of_stored.map(|i| i.high)),
        high: apart(of_new.high, of_stored.map(|i| i.low)),
    }
}

/// The verdict on a ratio that is a time: above is slower.
fn judge(stored: &[f64], new: &MedianSequence, levels: &Levels) -> Verdict {
    let far = effect(stored, new, levels.alarm);
    let near = effect(stored, new, levels.equivalence);
    let above = |end: Option<f64>, than: f64| end.is_some_and(|end| end > than);
    let below = |end: Option<f64>, than: f64| end.is_some_and(|end| end < than);
    if above(far.low, levels.margin) {
        Verdict::Regressed
    } else if below(far.high, -levels.margin) {
        Verdict::Improved
    } else if above(near.low, -levels.margin) && below(near.high, levels.margin) {
        Verdict::Unchanged
    } else {
        Verdict::Unclear
    }
}

/// A case on its way to a verdict.
struct Open<'a> {
    stored: &'a StoredCase,
    stored_ln: Vec<f64>,
    subject: Subject,
    new: MedianSequence,
    verdict: Verdict,
    failed: Option<NotPlaced>,
}

impl Open<'_> {
    fn is_open(&self) -> bool {
        self.failed.is_none() && self.verdict == Verdict::Unclear
    }

    /// How much slower it looks.
    fn slower(&self) -> f64 {
        let stored = self.stored_ln.iter().copied().collect::<MedianSequence>();
        match (self.new.median(), stored.median()) {
            (Some(new), Some(stored)) => new - stored,
            // Nothing is known yet.
            _ => f64::INFINITY,
        }
    }

    fn told(&self, level: f64) -> CaseVerdict {
        let interval = effect(&self.stored_ln, &self.new, (1.0 - level) / 4.0);
        let trial = self.subject.trial();
        CaseVerdict {
            case: self.stored.id.clone(),
            verdict: self.verdict,
            speedup: Some((-self.slower()).exp()),
            low: interval.high.map(|x| (-x).exp()),
            high: interval.low.map(|x| (-x).exp()),
            blocks: trial.blocks_run(),
            placements: trial.placements().len() as u64,
            seconds: trial.measuring().as_secs_f64(),
            before_ns: Some(self.stored.ns),
            after_ns: trial.ns().map(|[_, case]| case),
            check: Some(self.subject.digest().to_string()),
            judged: true,
        }
    }
}

/// Why a stored case is not measured.
enum Left {
    /// On a foreign machine: it does not travel.
    Behind(String),
    /// It should have been.
    NotChecked(NotPlaced),
}

impl Left {
    fn not_checked(why: impl Into<String>) -> Self {
        Self::NotChecked(NotPlaced {
            exit: Exit::CouldNotRun,
            why: why.into(),
        })
    }
}

impl Gate<'_> {
    /// Measures what the baseline holds, and holds it against it. `stage` and `step` tell of the
    /// efficiencies, `watch` of the cases.
    ///
    /// # Errors
    /// When the filters leave nothing, nothing of a foreign baseline travels, or it has too few
    /// placements for `alpha`.
    pub fn run(
        &self,
        stage: &dyn Fn(&str, usize),
        step: &dyn Fn(),
        watch: &mut Watch<'_>,
    ) -> Result<Gated, Failure> {
        let asked: Vec<&StoredCase> = self
            .baseline
            .cases
            .iter()
            .filter(|case| chosen(&case.id, &self.filters))
            .collect();
        let points = self.points();
        self.filters_hold()?;
        if asked.is_empty() && points.points.is_empty() {
            return Err(Failure::could_not_run(format!(
                "--case {}: the baseline holds no such case",
                self.filters.join(" --case ")
            )));
        }
        let mut gated = Gated {
            outcome: Outcome::default(),
            not_gated: Vec::new(),
            notes: self.holes(),
        };
        let levels = Levels::new(&self.plan.rules, asked.len());
        self.supports(&asked, &levels)?;

        let mut rng = SplitMix64::new(self.plan.seed);
        let mut bench = Bench::new(self.machine.clone());
        let mut open = Vec::new();
        stage("gate: making and judging the cases", asked.len());
        for stored in asked {
            match self.enter(stored, &mut bench, &mut rng, &mut gated.notes) {
                Ok(entered) => open.push(entered),
                Err(Left::Behind(why)) => gated.not_gated.push((stored.id.clone(), why)),
                Err(Left::NotChecked(failed)) => {
                    let failed = not_checked(&stored.id, failed);
                    gated.outcome.not_checked.push(failed);
                }
            }
            step();
        }
        self.place_all(&mut open, &mut bench, &levels, &mut rng, watch);
        for open in open {
            let unplaced = open.subject.trial().placements().is_empty();
            if !unplaced {
                gated.outcome.samples.push(CaseSamples {
                    case: open.stored.id.clone(),
                    iterations: open.subject.trial().iterations(),
                    placements: open.subject.trial().placements().to_vec(),
                });
                gated.outcome.cases.push(open.told(levels.told));
            }
            let spent = || NotPlaced {
                exit: Exit::CouldNotRun,
                why: "it ended before the first placement of this case".to_owned(),
            };
            if let Some(failed) = open.failed.or_else(|| unplaced.then(spent)) {
                let failed = not_checked(&open.stored.id, failed);
                gated.outcome.not_checked.push(failed);
            }
        }
        super::efficiency::hold(self, &points, &mut gated, stage, step);
        let nothing = gated.outcome.cases.is_empty() && gated.outcome.not_checked.is_empty();
        if nothing {
            return Err(Failure {
                exit: Exit::NoBaseline,
                message: format!(
                    "no usable baseline: nothing of machine class `{}` travels to this one, `{}`: {}",
                    self.baseline.machine,
                    self.machine.class(),
                    reasons(&gated.not_gated)
                ),
            });
        }
        Ok(gated)
    }

    /// Refuses a filter that holds for nothing, here or in today's suite.
    fn filters_hold(&self) -> Result<(), Failure> {
        let stored = self.baseline.cases.iter().map(|case| case.id.clone());
        let scaling = self.baseline.scaling.iter().flat_map(|s| &s.points);
        let names: Vec<String> = stored
            .chain(scaling.map(|point| Efficiencies::name(&point.phase)))
            .chain(self.today().map(|id| id.to_string()))
            .collect();
        match idle(&self.filters, &names) {
            None => Ok(()),
            Some(text) => Err(Failure::could_not_run(format!(
                "--case {text}: the baseline holds no such case, nor does the suite; `bitgauge baseline show` names those there are"
            ))),
        }
    }

    /// The cases of the suite as it is now.
    fn today(&self) -> impl Iterator<Item = CaseId> {
        crate::suite::default_suite(self.machine.usable.threads).into_iter()
    }

    /// The efficiencies that are asked for.
    fn points(&self) -> crate::scaling::Stored {
        let mut stored = self.baseline.scaling.clone().unwrap_or_default();
        let asked = |phase: &str| chosen(&Efficiencies::name(phase), &self.filters);
        stored.points.retain(|point| asked(&point.phase));
        stored
    }

    /// Cases of today's suite that the baseline lacks.
    fn holes(&self) -> Vec<String> {
        let lacking: Vec<String> = self
            .today()
            .map(|id| id.to_string())
            .filter(|id| chosen(id, &self.filters))
            .filter(|id| self.baseline.cases.iter().all(|case| case.id != *id))
            .collect();
        match lacking.len() {
            0 => Vec::new(),
            n => vec![format!(
                "{n} cases of the suite are not in the baseline and not gated, such as {}; `bitgauge baseline check` names all",
                lacking[0]
            )],
        }
    }

    /// Refuses a baseline whose placements can't bound a median as `alpha` asks.
    fn supports(&self, asked: &[&StoredCase], levels: &Levels) -> Result<(), Failure> {
        let side = levels.alarm;
        let weak = asked
            .iter()
            .find(|case| stored_interval(&case.ln_ratios(), side).is_none());
        match weak {
            None => Ok(()),
            Some(case) => Err(Failure {
                exit: Exit::NoBaseline,
                message: format!(
                    "no usable baseline: {} has {} placements; with {} cases and an alpha of {} at least {} are needed. Gate fewer cases with --case, allow more false alarms with --alpha, or save a baseline without --quick",
                    case.id,
                    case.placements.len(),
                    asked.len(),
                    self.plan.rules.alpha(),
                    fewest(side)
                ),
            }),
        }
    }

    /// Makes and judges a stored case, beside the yardstick that it was stored with.
    fn enter<'b>(
        &self,
        stored: &'b StoredCase,
        bench: &mut Bench,
        rng: &mut SplitMix64,
        notes: &mut Vec<String>,
    ) -> Result<Open<'b>, Left> {
        let id: CaseId = stored
            .id
            .parse()
            .map_err(|e| Left::not_checked(format!("this revision has no such case: {e}")))?;
        let usable = self.machine.usable.threads;
        if id.threads() > usable {
            return Err(self.left(format!(
                "it takes {} threads, and {usable} can be had",
                id.threads()
            )));
        }
        let name = &stored.yardstick.name;
        bench.open(name).map_err(|e| self.left(e.to_string()))?;
        let kernel = match id.kernel().map(|kernel| kernel.resolve()) {
            None => None,
            Some(Ok(kernel)) => Some(kernel.spec().name().to_owned()),
            Some(Err(missing)) => return Err(self.left(missing.to_string())),
        };
        if kernel != stored.kernel {
            let name = |kernel: &Option<String>| kernel.clone().unwrap_or_else(|| "none".into());
            let (then, now) = (name(&stored.kernel), name(&kernel));
            if self.foreign {
                return Err(Left::Behind(format!(
                    "it ran kernel {then} there and runs {now} here"
                )));
            }
            notes.push(format!(
                "{id} runs kernel {now}; in the baseline it ran {then}"
            ));
        }
        let isa = self.machine.isa.level();
        if self.foreign && has_other_code(&id) && isa != self.baseline.isa {
            return Err(Left::Behind(format!(
                "its float arithmetic was compiled for {} there and for {isa} here",
                self.baseline.isa
            )));
        }
        let yardstick = bench.stored(name);
        let subject = Subject::new(&id, yardstick, Effort::FULL.pace, rng.next_u64())
            .map_err(Left::NotChecked)?;
        if subject.digest().to_string() != stored.digest {
            notes.push(format!(
                "{id} gives other bits than in the baseline ({} then, {} now): the arithmetic changed, and the oracle agrees with it",
                stored.digest,
                subject.digest()
            ));
        }
        Ok(Open {
            stored,
            stored_ln: stored.ln_ratios(),
            subject,
            new: MedianSequence::new(),
            verdict: Verdict::Unclear,
            failed: None,
        })
    }

    /// What this machine lacks: nothing to gate where it is another, a hole where it is the same.
    fn left(&self, why: String) -> Left {
        match self.foreign {
            true => Left::Behind(why),
            false => Left::not_checked(why),
        }
    }

    /// Adds placements until each case is settled or the time is spent: those first that look
    /// most like a regression.
    fn place_all(
        &self,
        open: &mut [Open<'_>],
        bench: &mut Bench,
        levels: &Levels,
        rng: &mut SplitMix64,
        watch: &mut Watch<'_>,
    ) {
        let begin = Instant::now();
        let cases = open.len();
        loop {
            let mut doubtful: Vec<usize> = (0..cases).filter(|&at| open[at].is_open()).collect();
            if doubtful.is_empty() {
                return;
            }
            doubtful.sort_by(|&a, &b| open[b].slower().total_cmp(&open[a].slower()));
            for at in doubtful {
                let standing = Standing {
                    settled: open.iter().filter(|o| !o.is_open()).count(),
                    cases,
                    case: &open[at].stored.id,
                    elapsed: begin.elapsed(),
                };
                if standing.elapsed >= self.plan.max_time
                    || watch(&standing) == ControlFlow::Break(())
                {
                    return;
                }
                let case = &mut open[at];
                match case.subject.place(bench, rng) {
                    Ok(ln_ratio) => {
                        case.new.push(ln_ratio);
                        case.verdict = judge(&case.stored_ln, &case.new, levels);
                    }
                    Err(failed) => case.failed = Some(failed),
                }
            }
        }
    }

    /// Time for the efficiencies.
    pub(super) fn scaling_budget(&self) -> Duration {
        super::efficiency::BUDGET.min(self.plan.max_time / 4)
    }
}

/// Whether it runs code beside its kernel that is compiled for several instruction sets.
fn has_other_code(id: &CaseId) -> bool {
    match id.work() {
        Work::Operation { .. } | Work::Decoder { .. } => true,
        Work::Product { .. } | Work::Lcg { .. } | Work::Walk { .. } => false,
    }
}

pub(super) fn not_checked(case: &str, NotPlaced { exit, why }: NotPlaced) -> NotChecked {
    NotChecked {
        case: case.to_owned(),
        why,
        exit: exit as u8,
    }
}

/// The first few reasons.
fn reasons(not_gated: &[(String, String)]) -> String {
    let few: Vec<String> = not_gated
        .iter()
        .take(3)
        .map(|(case, why)| format!("{case}: {why}"))
        .collect();
    few.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the generator gives, as a log-ratio: heavy tails, by the quantiles of a Cauchy
    /// distribution of this scale.
    fn noise(rng: &mut SplitMix64, scale: f64) -> f64 {
        let uniform = (rng.below(1 << 30) as f64 + 0.5) / (1_u64 << 30) as f64;
        scale * (std::f64::consts::PI * (uniform - 0.5)).tan()
    }

    fn levels(margin: f64, alpha: f64) -> Levels {
        Levels::new(&Rules::new(margin, alpha, 0.95).unwrap(), 1)
    }

    /// The verdict of a gate that looks after every placement, `most` at most.
    fn gate(
        levels: &Levels,
        stored: &[f64],
        most: usize,
        draw: &mut dyn FnMut() -> f64,
    ) -> Verdict {
        let mut new = MedianSequence::new();
        for _ in 0..most {
            new.push(draw());
            match judge(stored, &new, levels) {
                Verdict::Unclear => {}
                decided => return decided,
            }
        }
        Verdict::Unclear
    }

    #[test]
    fn a_change_beyond_the_margin_is_found_and_one_within_it_is_none() {
        let levels = levels(0.10, 0.01);
        let stored: Vec<f64> = (0..20).map(|i| 0.0005 * f64::from(i)).collect();
        for (shift, want) in [
            (3.0_f64.ln(), Verdict::Regressed),
            (0.13, Verdict::Regressed),
            (0.05, Verdict::Unchanged),
            (0.0, Verdict::Unchanged),
            (-0.05, Verdict::Unchanged),
            (-0.13, Verdict::Improved),
            // ln 1.1 = 0.0953: on the margin itself nothing can be said.
            (0.0953, Verdict::Unclear),
        ] {
            let mut i = 0;
            let verdict = gate(&levels, &stored, 60, &mut || {
                i += 1;
                shift + 0.0005 * f64::from(i % 20)
            });
            assert_eq!(verdict, want, "{shift}");
        }
    }

    #[test]
    fn what_was_not_known_well_then_accuses_nobody_now() {
        let levels = levels(0.10, 0.01);
        let stored: Vec<f64> = (0..20).map(|i| 0.03 * f64::from(i)).collect();
        // 0.15 above the stored median, and below the highest that was stored.
        let verdict = gate(&levels, &stored, 200, &mut || 0.435);
        assert_eq!(verdict, Verdict::Unclear);
    }

    /// Both runs are draws of one distribution, the margin is 0, and the gate looks after each
    /// placement: 500 chances to be wrong.
    #[test]
    fn false_alarms_stay_below_alpha_with_a_look_after_every_placement() {
        let levels = levels(0.0, 0.1);
        let mut rng = SplitMix64::new(7);
        let runs = 1000;
        let mut alarms = 0;
        for _ in 0..runs {
            let stored: Vec<f64> = (0..20).map(|_| noise(&mut rng, 0.02)).collect();
            let verdict = gate(&levels, &stored, 500, &mut || noise(&mut rng, 0.02));
            alarms += usize::from(verdict != Verdict::Unclear);
        }
        assert!(alarms <= runs / 10, "{alarms} of {runs}");
    }

    #[test]
    fn a_baseline_of_a_few_placements_can_t_bound_what_alpha_asks() {
        // 2^-15 < 0.01 / 61 / 4 < 2^-14
        let side = Levels::new(&Rules::new(0.1, 0.01, 0.95).unwrap(), 61).alarm;
        assert_eq!(fewest(side), 15);
        let placements: Vec<f64> = (0..15).map(f64::from).collect();
        assert!(stored_interval(&placements, side).is_some());
        assert!(stored_interval(&placements[1..], side).is_none());
    }

    #[test]
    fn a_wrong_answer_is_never_only_a_case_that_was_not_checked() {
        let wrong = NotPlaced {
            exit: Exit::WrongAnswers,
            why: "other bits".to_owned(),
        };
        assert_eq!(not_checked("a", wrong).exit, Exit::WrongAnswers as u8);
    }
}
