//! What runs in the one interleaved race of the limits, and what its rounds say of each case.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bitgauge_engine::model::Group;

use super::products::{self, SmallProduct};
use super::tokens::Cases;
use super::{Plan, YARDSTICK_SLICE};
use crate::exit::Failure;
use crate::ladder::race::estimate;
use crate::measure::round_robin::RoundRobin;
use crate::measure::{Entrant, Schedule, Timed, Verified};
use crate::run::{self, Estimate, Measured, Yardsticks};
use crate::scaling::{self, Team};
use crate::yardsticks::{self, Instruction, ReadBuffer, Unavailable, Yardstick};

/// A yardstick, or why this machine has none.
type Found = Result<Verified<Yardstick>, Unavailable>;

/// The machine's own limits, before they were measured.
pub struct MachineLimits {
    /// Read bandwidth, by threads.
    bandwidth: Vec<(usize, Found)>,
    /// Dot products on one thread.
    peaks: Vec<(Instruction, Found)>,
    /// Vector instructions, by bytes of a vector and threads.
    issue: Vec<(usize, usize, Found)>,
}

impl MachineLimits {
    /// Looks for the fastest way to read on each of `counts` threads; `step` is called once each.
    pub fn find(plan: &Plan<'_>, counts: &[usize], step: &dyn Fn()) -> Self {
        let buffer = ReadBuffer::for_machine(plan.machine);
        let mut bandwidth = Vec::new();
        for &threads in counts {
            let found = match &buffer {
                Ok(buffer) => yardsticks::best_read_bandwidth(&Arc::clone(buffer), threads),
                Err(unavailable) => Err(unavailable.clone()),
            };
            bandwidth.push((threads, found));
            step();
        }
        let peaks = Instruction::ALL
            .into_iter()
            .map(|i| (i, yardsticks::dot_peak(i, 1)))
            .collect();
        let layers = plan.model.layers().iter();
        let kernels = layers.flat_map(|layer| Group::ALL.map(|group| layer.projection(group)));
        let vectors: BTreeSet<usize> = kernels
            .filter_map(|projection| Some(projection.matrix().kernel().spec().mix()?.vector))
            .collect();
        let issue = vectors.iter().flat_map(|&vector| {
            counts
                .iter()
                .map(move |&threads| (vector, threads, yardsticks::issue_rate(vector, threads)))
        });
        Self {
            bandwidth,
            peaks,
            issue: issue.collect(),
        }
    }
}

/// All that runs in the race.
pub struct Contestants<'m> {
    /// Decoding a token.
    pub cases: Cases<'m>,
    machine: MachineLimits,
    naive: Verified<SmallProduct>,
    tables: Verified<SmallProduct>,
}

/// Where a case stands in the race, and what an iteration of it does.
#[derive(Clone, Copy)]
pub struct Place {
    /// Its position among the entrants.
    pub at: usize,
    work: f64,
}

impl Place {
    /// Work a second, round by round.
    pub fn rates(self, race: &RoundRobin) -> Vec<f64> {
        race.samples.rates(self.at, self.work)
    }

    fn rate(self, race: &RoundRobin) -> Measured<Estimate> {
        Measured::or(estimate(&self.rates(race)), "no round was measured")
    }
}

/// The place of each contestant.
pub struct Places {
    /// Tokens with all logits, one on each team.
    pub full: Vec<Place>,
    /// Greedy tokens, one on each of the engine's pools.
    pub greedy: Vec<Place>,
    bandwidth: Vec<Result<Place, Unavailable>>,
    peaks: Vec<Result<Place, Unavailable>>,
    issue: Vec<Result<Place, Unavailable>>,
    /// The small product of the naive kernel.
    pub naive: Place,
    /// The same by scalar tables.
    pub tables: Place,
}

/// Entrants as they come in.
#[derive(Default)]
struct Field<'a>(Vec<Entrant<'a>>);

impl<'a> Field<'a> {
    fn enter<C: Timed>(
        &mut self,
        name: impl Into<String>,
        work: f64,
        case: &'a mut Verified<C>,
    ) -> Place {
        self.0.push(Entrant::new(name, case));
        let at = self.0.len() - 1;
        Place { at, work }
    }

    fn enter_found(&mut self, found: &'a mut Found) -> Result<Place, Unavailable> {
        let yardstick = found.as_mut().map_err(|unavailable| unavailable.clone())?;
        let name = yardstick.case().name().to_owned();
        let work = yardstick.case().giga_work_per_iteration();
        Ok(self.enter(name, work, yardstick))
    }
}

impl<'m> Contestants<'m> {
    /// Joins what was found and judged with the small products.
    ///
    /// # Errors
    /// When a small product answers wrongly.
    pub fn new(plan: &Plan<'_>, machine: MachineLimits, cases: Cases<'m>) -> Result<Self, Failure> {
        Ok(Self {
            cases,
            machine,
            naive: products::small(plan, "naive")?,
            tables: products::small(plan, "tmac-scalar")?,
        })
    }

    /// Runs them all in turns. The teams' tokens with all logits come first, as
    /// [`scaling::Curve::new`] asks.
    ///
    /// # Errors
    /// When a case fails.
    pub fn race(
        &mut self,
        plan: &Plan<'_>,
        teams: &[Team],
        max_rounds: usize,
        step: &dyn Fn(),
    ) -> Result<(RoundRobin, Places), Failure> {
        const TOKEN: f64 = 1.0;
        let small = products::small_work(plan);
        let mut field = Field::default();
        let full = self.cases.full.iter_mut().zip(teams);
        let greedy = self.cases.greedy.iter_mut().zip(teams);
        let places = Places {
            full: full
                .map(|(case, team)| field.enter(team.name(), TOKEN, case))
                .collect(),
            greedy: greedy
                .map(|(case, team)| field.enter(format!("{}, greedy", team.name()), TOKEN, case))
                .collect(),
            bandwidth: (self.machine.bandwidth.iter_mut())
                .map(|(_, found)| field.enter_found(found))
                .collect(),
            peaks: (self.machine.peaks.iter_mut())
                .map(|(_, found)| field.enter_found(found))
                .collect(),
            issue: (self.machine.issue.iter_mut())
                .map(|(_, _, found)| field.enter_found(found))
                .collect(),
            naive: field.enter("naive", small, &mut self.naive),
            tables: field.enter("tmac-scalar", small, &mut self.tables),
        };
        let schedule = Schedule {
            seed: plan.seed,
            warmup_rounds: 1,
            max_rounds,
            max_time: Duration::from_secs(3600),
            min_slice: Some(YARDSTICK_SLICE),
        };
        let race = scaling::race(&mut field.0, &schedule, step)?;
        Ok((race, places))
    }

    /// What the race says of the machine.
    pub fn yardsticks(&self, race: &RoundRobin, places: &Places) -> Yardsticks {
        let rate = |place: &Result<Place, Unavailable>| match place {
            Err(unavailable) => Measured::unavailable(unavailable.why.clone()),
            Ok(place) => place.rate(race),
        };
        let bandwidth = self.machine.bandwidth.iter().zip(&places.bandwidth);
        let peaks = self.machine.peaks.iter().zip(&places.peaks);
        let issue = self.machine.issue.iter().zip(&places.issue);
        Yardsticks {
            read_bandwidth: bandwidth
                .map(|((threads, found), place)| run::Yardstick {
                    isa: (found.as_ref()).map_or("any".into(), |y| y.case().name().to_owned()),
                    threads: *threads,
                    value: rate(place),
                })
                .collect(),
            int8_peak: peaks
                .map(|((instruction, _), place)| run::Yardstick {
                    isa: instruction.name().to_owned(),
                    threads: 1,
                    value: rate(place),
                })
                .collect(),
            issue: issue
                .map(|((vector, threads, _), place)| run::Yardstick {
                    isa: run::vectors(*vector),
                    threads: *threads,
                    value: rate(place),
                })
                .collect(),
            naive: vec![run::Yardstick {
                isa: "portable".into(),
                threads: 1,
                value: places.naive.rate(race),
            }],
        }
    }
}
