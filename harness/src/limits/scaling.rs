//! Speedup over threads, against the claims of the reports.

use super::{DecodeRace, Team};
use crate::ladder::race::LEVEL;
use crate::measure::pair::Stop;
use crate::measure::stats::Rules;
use crate::run::{Estimate, Scaled, ScalingPoint};

/// Efficiencies that the reports claim, by threads.
const CLAIMED: [(usize, f64); 4] = [(2, 0.95), (4, 0.93), (8, 0.89), (16, 0.84)];

/// One point a team, against the engine's pool of one thread, which is the race's first case; and
/// one for each claim about more threads than there are.
pub fn points(race: &DecodeRace, teams: &[Team], counts: &[usize]) -> Vec<ScalingPoint> {
    let claimed = |threads| CLAIMED.iter().find(|(n, _)| *n == threads).map(|(_, e)| *e);
    let mut points: Vec<ScalingPoint> = teams
        .iter()
        .enumerate()
        .map(|(i, team)| {
            let threads = team.scheduler.threads();
            let scheduler = team.scheduler.name();
            ScalingPoint {
                phase: "decode".into(),
                scheduler: scheduler.into(),
                threads,
                speedup: speedup(race, team, i),
                claimed_efficiency: claimed(threads).filter(|_| scheduler == "pool"),
            }
        })
        .collect();
    let most = counts.iter().copied().max().unwrap_or(1);
    for (threads, efficiency) in CLAIMED.into_iter().filter(|(n, _)| *n > most) {
        points.push(ScalingPoint {
            phase: "decode".into(),
            scheduler: "pool".into(),
            threads,
            speedup: Scaled::Unavailable {
                why: format!("this run used {most} threads at most"),
            },
            claimed_efficiency: Some(efficiency),
        });
    }
    points
}

fn speedup(race: &DecodeRace, team: &Team, case: usize) -> Scaled {
    let utilisation = team.utilisation.clone();
    if case == 0 {
        let blocks = race.samples.rounds().len() as u64;
        let speedup = Estimate {
            value: 1.0,
            low: 1.0,
            high: 1.0,
            level: LEVEL,
            blocks,
        };
        return Scaled::Measured {
            speedup,
            utilisation,
        };
    }
    let found = race.estimate(0, case, &Rules::default(), Stop::AfterBlocks);
    match (found.speedup, found.low, found.high) {
        (Some(value), Some(low), Some(high)) => Scaled::Measured {
            speedup: Estimate {
                value,
                low,
                high,
                level: LEVEL,
                blocks: found.blocks,
            },
            utilisation,
        },
        _ => Scaled::Unavailable {
            why: format!("{} blocks give no interval", found.blocks),
        },
    }
}
