//! Which commit made a case slower: a search over the commits between two revisions, each duelled
//! against the older one.
//!
//! First GOOD and BAD are paired, as the gate pairs two builds. If BAD is slower, half of that
//! effect (on the logarithmic scale) is the margin of all duels that follow: each asks whether the
//! slowdown is there already. The j-th duel is held to `alpha / (j (j + 1))`, which sums to `alpha`
//! however many there are: the probability that any verdict of the search is wrong is at most
//! twice that, once for each kind of error. A commit that can't be judged is skipped.

pub mod builder;
pub mod search;

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;

use crate::compare::Plan;
use crate::compare::workers::{self, Pairing};
use crate::exit::{Exit, Failure};
use crate::gate::Tree;
use crate::gate::tree::git;
use crate::measure::Verdict;
use crate::measure::stats::Rules;
use crate::verdicts::CaseVerdict;
use builder::{Builder, Role, Trees};
use search::{Search, State};

/// What to search, and how.
pub struct Bisection<'a> {
    /// The repository.
    pub tree: &'a Tree,
    /// A revision that is fast.
    pub good: &'a str,
    /// A later one that is slow.
    pub bad: &'a str,
    /// The id of the case.
    pub case: &'a str,
    /// How a commit becomes a worker.
    pub builder: Builder,
    /// BAD must be slower by more than this fraction.
    pub margin: f64,
    /// The margin of the duels that follow; `None` for half of what was measured.
    pub duel_margin: Option<f64>,
    /// Bound on false alarms over all duels.
    pub alpha: f64,
    /// Draws every order and place.
    pub seed: u64,
    /// Time for a duel; one that stays unclear is repeated with three times as much.
    pub duel_time: Duration,
    /// Time that a worker has for each answer.
    pub timeout: Duration,
    /// Whether equal work may give different results.
    pub allow_different_output: bool,
}

/// How many times as much time a duel has that stayed unclear.
const MORE: u32 = 3;

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its hash.
    pub hash: String,
    /// The first line of its message.
    pub subject: String,
}

impl Commit {
    /// Shortened hash and subject.
    pub fn name(&self) -> String {
        let short = self.hash.get(..12).unwrap_or(&self.hash);
        format!("{short} {}", self.subject)
    }
}

/// Two commits that were paired.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duel {
    /// The older one.
    pub before: Commit,
    /// The later one.
    pub after: Commit,
    /// The margin.
    pub margin: f64,
    /// Bound on a false alarm in this duel.
    pub alpha: f64,
    /// What was found.
    pub verdict: CaseVerdict,
}

/// A commit that could not be judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Skipped {
    /// Which.
    pub commit: Commit,
    /// Why.
    pub why: String,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// One commit made the case slower.
    Found,
    /// One of several did; all but the last of them could not be judged.
    Range,
    /// BAD is not slower than GOOD.
    NoRegression,
    /// Whether BAD is slower than GOOD stayed unclear.
    Unclear,
    /// Ended from outside. The suspects so far are known.
    Stopped,
}

impl Outcome {
    /// What it amounts to.
    pub fn exit(self) -> Exit {
        match self {
            Self::Found | Self::Range => Exit::Regressed,
            Self::NoRegression => Exit::Held,
            Self::Unclear | Self::Stopped => Exit::Unclear,
        }
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bisected {
    /// How it ended.
    pub outcome: Outcome,
    /// Commits between the two revisions, BAD included.
    pub commits: usize,
    /// The commits of which one made the case slower, oldest first; all where the search never began.
    pub suspects: Vec<Commit>,
    /// GOOD against BAD.
    pub whole: Option<Duel>,
    /// The last good commit before the suspects against the last suspect.
    pub across: Option<Duel>,
    /// Commits that could not be judged, and why.
    pub skipped: Vec<Skipped>,
    /// All duels, in order.
    pub duels: Vec<Duel>,
    /// Commits that were built, as often as they were.
    pub builds: usize,
}

/// What became of a duel.
enum Fought {
    /// It was fought; the verdict may be unclear.
    Out(Box<Duel>),
    /// A side could not be had or failed.
    Not(Failure),
    /// Ended from outside.
    Stopped,
}

struct Searcher<'a> {
    bisection: &'a Bisection<'a>,
    trees: Trees<'a>,
    stage: &'a dyn Fn(&str),
    stop: &'a dyn Fn() -> bool,
    found: Bisected,
    /// Duels that were begun.
    begun: u64,
}

impl Bisection<'_> {
    /// Searches. `stage` is told what is done next, `stop` is asked whether to end.
    ///
    /// # Errors
    /// When there is nothing between the revisions, or one of the two can't be built or served.
    pub fn run(&self, stage: &dyn Fn(&str), stop: &dyn Fn() -> bool) -> Result<Bisected, Failure> {
        let (good, commits) = self.line()?;
        let bad = commits[commits.len() - 1].clone();
        let mut state = Searcher {
            bisection: self,
            trees: Trees::new(self.tree, &self.builder, self.seed)?,
            stage,
            stop,
            found: Bisected {
                outcome: Outcome::Stopped,
                commits: commits.len(),
                suspects: commits.clone(),
                whole: None,
                across: None,
                skipped: Vec::new(),
                duels: Vec::new(),
                builds: 0,
            },
            begun: 0,
        };
        stage(&format!("{} against {}", good.name(), bad.name()));
        let outcome = state.search(&good, &commits)?;
        state.found.outcome = outcome;
        state.found.builds = state.trees.builds();
        Ok(state.found)
    }

    /// GOOD, and the commits after it up to BAD, oldest first: along first parents, so that they
    /// are a line.
    fn line(&self) -> Result<(Commit, Vec<Commit>), Failure> {
        let [good, bad] = [self.good, self.bad].map(|name| self.tree.commit(name));
        let (good, bad) = (good.map_err(usage)?, bad.map_err(usage)?);
        let root = self.tree.root();
        let range = [good.as_str(), bad.as_str()].join("..");
        if git(root, ["merge-base", "--is-ancestor", &good, &bad]).is_err() {
            return Err(Failure::could_not_run(format!(
                "{} is no ancestor of {}: a search needs a revision that was fast and a later one that is slow",
                self.good, self.bad
            )));
        }
        let format = "--format=%H %s";
        let list = ["log", "--first-parent", "--reverse", format, &range, "--"];
        let commits: Vec<Commit> = git(root, list)?.lines().map(commit).collect();
        if commits.is_empty() {
            return Err(Failure::could_not_run(format!(
                "{}..{}: there is no commit between them",
                self.good, self.bad
            )));
        }
        let good = git(root, ["log", "-1", format, &good, "--"])?;
        Ok((commit(&good), commits))
    }
}

fn usage(failure: Failure) -> Failure {
    Failure::could_not_run(failure.message.replace("--against ", ""))
}

fn commit(line: &str) -> Commit {
    let (hash, subject) = line.split_once(' ').unwrap_or((line, ""));
    Commit {
        hash: hash.to_owned(),
        subject: subject.to_owned(),
    }
}

impl Searcher<'_> {
    fn search(&mut self, good: &Commit, commits: &[Commit]) -> Result<Outcome, Failure> {
        let bad = &commits[commits.len() - 1];
        let whole = match self.duel(good, bad, self.bisection.margin) {
            Fought::Out(duel) => *duel,
            Fought::Not(failure) => return Err(failure),
            Fought::Stopped => return Ok(Outcome::Stopped),
        };
        self.found.whole = Some(whole.clone());
        match whole.verdict.verdict {
            Verdict::Regressed => {}
            Verdict::Unclear => return Ok(Outcome::Unclear),
            Verdict::Improved | Verdict::Unchanged => {
                self.found.suspects.clear();
                return Ok(Outcome::NoRegression);
            }
        }
        let margin = match self.bisection.duel_margin {
            Some(margin) => margin,
            None => half(whole.verdict.speedup.unwrap_or(1.0)),
        };
        let mut search = Search::over(commits.len());
        while let Some(at) = search.next() {
            let left = search.left();
            let commit = &commits[at];
            (self.stage)(&format!(
                "{} of {} commits left, about {left} to judge: {}",
                search.suspects().count(),
                commits.len(),
                commit.name()
            ));
            let (state, why) = match self.duel(good, commit, margin) {
                Fought::Stopped => {
                    self.found.suspects = commits[search.suspects()].to_vec();
                    return Ok(Outcome::Stopped);
                }
                Fought::Not(failure) => (State::Skipped, Some(failure.message)),
                Fought::Out(duel) => match duel.verdict.verdict {
                    Verdict::Regressed => (State::Bad, None),
                    Verdict::Unchanged | Verdict::Improved => (State::Good, None),
                    Verdict::Unclear => {
                        let why = "its duel stayed unclear".to_owned();
                        (State::Skipped, Some(why))
                    }
                },
            };
            if let Some(why) = why {
                (self.stage)(&format!("skipped {}: {}", commit.name(), first_line(&why)));
                let commit = commit.clone();
                self.found.skipped.push(Skipped { commit, why });
            }
            search.tell(at, state);
        }
        let suspects = search.suspects();
        let before = match suspects.start().checked_sub(1) {
            Some(at) => &commits[at],
            None => good,
        };
        self.found.suspects = commits[suspects].to_vec();
        self.found.across = self.across(before, &self.found.suspects.clone(), margin);
        Ok(match self.found.suspects.len() {
            1 => Outcome::Found,
            _ => Outcome::Range,
        })
    }

    /// What lies between the last good commit and the last suspect: measured already, or now.
    fn across(&mut self, before: &Commit, suspects: &[Commit], margin: f64) -> Option<Duel> {
        let after = suspects.last()?;
        let measured = |duel: &&Duel| duel.before == *before && duel.after == *after;
        if let Some(duel) = self.found.duels.iter().rfind(measured) {
            return Some(duel.clone());
        }
        (self.stage)(&format!("{} against {}", before.name(), after.name()));
        match self.duel(before, after, margin) {
            Fought::Out(duel) => Some(*duel),
            Fought::Not(_) | Fought::Stopped => None,
        }
    }

    /// Builds both and pairs them; once more, with more time, where that stays unclear.
    fn duel(&mut self, before: &Commit, after: &Commit, margin: f64) -> Fought {
        let times = [1, MORE].map(|factor| self.bisection.duel_time * factor);
        let mut last = Fought::Stopped;
        for time in times {
            last = self.fight(before, after, margin, time);
            match &last {
                Fought::Out(duel) => {
                    self.found.duels.push((**duel).clone());
                    if duel.verdict.verdict != Verdict::Unclear {
                        return last;
                    }
                }
                Fought::Not(_) | Fought::Stopped => return last,
            }
        }
        last
    }

    fn fight(&mut self, before: &Commit, after: &Commit, margin: f64, time: Duration) -> Fought {
        let stop = self.stop;
        let mut sides = Vec::with_capacity(2);
        for (role, commit) in [(Role::Before, before), (Role::After, after)] {
            let source = self.trees.build(role, commit);
            // A signal ends a build too, which then looks like one that failed.
            if stop() {
                return Fought::Stopped;
            }
            match source {
                Ok(source) => sides.push(source),
                Err(failure) => return Fought::Not(failure),
            }
        }
        self.begun += 1;
        let b = self.bisection;
        let alpha = b.alpha / (self.begun * (self.begun + 1)) as f64;
        let rules = Rules::new(margin, alpha, 0.95).and_then(|r| r.with_equivalence(alpha));
        let rules = match rules {
            Ok(rules) => rules,
            Err(error) => return Fought::Not(error.into()),
        };
        let pairing = Pairing {
            plan: Plan {
                rules,
                seed: b.seed.wrapping_add(self.begun),
                max_time: time,
            },
            timeout: b.timeout,
            allow_different_output: b.allow_different_output,
            cases: Some(vec![b.case.to_owned()]),
            filters: Vec::new(),
            judged_by: None,
        };
        let paired = workers::run(&sides[0], &sides[1], &pairing, &mut |_| match stop() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        if stop() {
            return Fought::Stopped;
        }
        let mut outcome = match paired {
            Ok(paired) => paired.outcome,
            Err(error) => return Fought::Not(error.failure()),
        };
        if let Some(failed) = outcome.not_checked.pop() {
            let exit = match failed.exit {
                code if code == Exit::WrongAnswers as u8 => Exit::WrongAnswers,
                _ => Exit::CouldNotRun,
            };
            let message = failed.why;
            return Fought::Not(Failure { exit, message });
        }
        match outcome.cases.pop() {
            Some(verdict) => Fought::Out(Box::new(Duel {
                before: before.clone(),
                after: after.clone(),
                margin,
                alpha,
                verdict,
            })),
            None => Fought::Not(Failure::could_not_run("the case was not measured")),
        }
    }
}

/// The margin half way between no effect and this speedup, which is below 1.
fn half(speedup: f64) -> f64 {
    (1.0 / speedup).sqrt() - 1.0
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
