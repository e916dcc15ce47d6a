//! Every case over the runs of one class of machine: how far it drifted, and where it changed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::line::{Case, Line};
use crate::baseline::file::{Ratio, Unit};
use crate::measure::stats::{ChangePoint, MedianSequence, Shift, change_points};
use crate::report::wording::fixed;
use crate::run::Measured;

/// Draws the orders that changes are held against: the same history gives the same page.
const SEED: u64 = 20_260_101;

/// All trends of a history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trends {
    /// Bound on the probability that any case without a change is said to have one.
    pub alpha: f64,
    /// One entry a class of machine, which are never mixed.
    pub classes: Vec<Class>,
}

/// The runs of one class of machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Class {
    /// The class.
    pub machine: String,
    /// Its runs, by time.
    pub runs: Vec<Run>,
    /// Its cases: those with a change first, the largest drift before smaller ones.
    pub cases: Vec<CaseTrend>,
}

/// When and of what a run was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// When it began.
    pub date: String,
    /// The revision, with `+` when files differed; `unknown` outside of a work tree.
    pub revision: String,
    /// Version of bitgauge.
    pub version: String,
}

/// One case beside one yardstick.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseTrend {
    /// Its id.
    pub case: String,
    /// Its yardstick.
    pub yardstick: String,
    /// The yardstick's unit.
    pub unit: Unit,
    /// What was measured, by time.
    pub points: Vec<Point>,
    /// Median ratio of the first part: up to the first change, or the first half without one.
    pub first: f64,
    /// Median ratio of the last part: from the last change on, or the second half without one.
    pub last: f64,
    /// From the first part to the last; above 0 the case became slower.
    pub drift: Measured<Percent>,
    /// Where its level changed.
    pub changes: Vec<Change>,
}

/// A case in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Position in [`Class::runs`].
    pub run: usize,
    /// Its ratio to the yardstick.
    pub ratio: Ratio,
    /// Nanoseconds an iteration, for information.
    pub ns: f64,
}

/// By how many percent of the time something changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Percent {
    /// The estimate; above 0 is slower.
    pub percent: f64,
    /// Its 95 % interval, `[low, high]`. Where parts end at changes, the data chose the parts, and
    /// the interval is a little too narrow.
    pub interval: Measured<[f64; 2]>,
}

/// A change of level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Position in [`CaseTrend::points`] of the first run of the new level.
    pub at: usize,
    /// Revision of the last run before it.
    pub before: String,
    /// Revision of the first run after it: it lies between the two.
    pub revision: String,
    /// When that run was.
    pub date: String,
    /// Its size.
    pub size: Percent,
    /// p-value, corrected for all cases: at most the `alpha` of the trends.
    pub p: f64,
}

impl Trends {
    /// Of the lines of a history; `alpha` in (0, 1) bounds false alarms over all its cases.
    pub fn of(lines: &[Line], alpha: f64) -> Self {
        let mut classes: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            classes.entry(&line.machine).or_default().push(line);
        }
        let drafts: Vec<Draft> = classes
            .into_iter()
            .map(|(machine, mut lines)| {
                lines.sort_by(|a, b| a.date.cmp(&b.date));
                Draft::of(machine, &lines)
            })
            .collect();
        // One family: the bound holds for the whole page.
        let logs: Vec<Vec<f64>> = drafts
            .iter()
            .flat_map(|d| &d.series)
            .map(Series::logs)
            .collect();
        let logs: Vec<&[f64]> = logs.iter().map(Vec::as_slice).collect();
        let mut changes = change_points(&logs, alpha, SEED).into_iter();
        let classes = drafts
            .into_iter()
            .map(|draft| draft.finish(&mut changes))
            .collect();
        Self { alpha, classes }
    }
}

struct Series {
    case: String,
    yardstick: String,
    unit: Unit,
    points: Vec<Point>,
}

impl Series {
    fn logs(&self) -> Vec<f64> {
        self.points.iter().map(|p| p.ratio.median.ln()).collect()
    }
}

/// A class before its changes are known.
struct Draft {
    machine: String,
    runs: Vec<Run>,
    series: Vec<Series>,
}

impl Draft {
    fn of(machine: &str, lines: &[&Line]) -> Self {
        let mut series: BTreeMap<(&str, &str), Series> = BTreeMap::new();
        for (run, line) in lines.iter().enumerate() {
            for case in &line.cases {
                let Case {
                    id,
                    yardstick,
                    unit,
                    ratio,
                    ns,
                    ..
                } = case;
                let of_case = || Series {
                    case: id.clone(),
                    yardstick: yardstick.clone(),
                    unit: *unit,
                    points: Vec::new(),
                };
                let series = series.entry((id, yardstick)).or_insert_with(of_case);
                let (ratio, ns) = (*ratio, *ns);
                series.points.push(Point { run, ratio, ns });
            }
        }
        let run = |line: &&Line| Run {
            date: line.date.clone(),
            revision: line.revision(),
            version: line.version.clone(),
        };
        Self {
            machine: machine.to_owned(),
            runs: lines.iter().map(run).collect(),
            series: series.into_values().collect(),
        }
    }

    /// Takes the changes of its cases from `changes`.
    fn finish(self, changes: &mut impl Iterator<Item = Vec<ChangePoint>>) -> Class {
        let Self {
            machine,
            runs,
            series,
        } = self;
        let cases = series.into_iter().zip(changes.by_ref());
        let mut cases: Vec<CaseTrend> = cases
            .map(|(series, changes)| trend(series, &changes, &runs))
            .collect();
        let size = |c: &CaseTrend| c.drift.get().map_or(0.0, |d| d.percent.abs());
        cases.sort_by(|a, b| {
            let changed = |c: &CaseTrend| !c.changes.is_empty();
            changed(b)
                .cmp(&changed(a))
                .then(size(b).total_cmp(&size(a)))
        });
        Class {
            machine,
            runs,
            cases,
        }
    }
}

fn trend(series: Series, changes: &[ChangePoint], runs: &[Run]) -> CaseTrend {
    let logs = series.logs();
    let (first, last) = match changes {
        [] => logs.split_at(logs.len() / 2),
        [first, ..] => (&logs[..first.at], &logs[changes[changes.len() - 1].at..]),
    };
    let drift = Measured::or(Shift::between(first, last), "one run shows no drift");
    let median = |part: &[f64]| part.iter().copied().collect::<MedianSequence>().median();
    let last_level = median(last).unwrap_or(f64::NAN);
    let change = |change: &ChangePoint| {
        let run = |at: usize| &runs[series.points[at].run];
        Change {
            at: change.at,
            before: run(change.at - 1).revision.clone(),
            revision: run(change.at).revision.clone(),
            date: run(change.at).date.clone(),
            size: Percent::of(&change.shift),
            p: change.p,
        }
    };
    CaseTrend {
        changes: changes.iter().map(change).collect(),
        first: median(first).unwrap_or(last_level).exp(),
        last: last_level.exp(),
        drift: drift.map(|shift| Percent::of(&shift)),
        case: series.case,
        yardstick: series.yardstick,
        unit: series.unit,
        points: series.points,
    }
}

impl Percent {
    fn of(shift: &Shift) -> Self {
        let percent = |ln: f64| 100.0 * ln.exp_m1();
        let interval = shift
            .interval
            .map(|(low, high)| [percent(low), percent(high)]);
        Self {
            percent: percent(shift.estimate),
            interval: Measured::or(interval, "too few runs for one of 95 %"),
        }
    }

    /// The estimate alone, to a tenth of a per cent.
    pub fn short(&self) -> String {
        format!("{} %", signed(self.percent, 1))
    }
}

fn signed(x: f64, decimals: usize) -> String {
    let plus = if x.is_sign_negative() { "" } else { "+" };
    format!("{plus}{}", fixed(x, decimals))
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", signed(self.percent, 2))?;
        match &self.interval {
            Measured::Is([low, high]) => {
                write!(f, " ({} to {})", signed(*low, 2), signed(*high, 2))
            }
            Measured::Unavailable(_) => Ok(()),
        }
    }
}
