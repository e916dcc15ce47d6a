//! The work tree against another revision of itself: both built here, in the same profile, and
//! paired over the suite.

pub(crate) mod build;
pub(crate) mod tree;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::compare::workers::{self, Paired, Pairing, PairingError, Source};
use crate::compare::{Plan, Watch};
use crate::exit::{Exit, Failure};
use crate::measure::SplitMix64;
use build::{Build, Layouts};
pub use tree::Tree;

/// What to gate, and how.
pub struct Gate<'a> {
    /// The work tree.
    pub tree: &'a Tree,
    /// The revision that it is held against.
    pub against: &'a str,
    /// Cargo's target folder of the work tree.
    pub target: PathBuf,
    /// Link orders of each side beside the linker's own.
    pub link_orders: usize,
    /// Words after the program's name that make it a worker.
    pub arguments: Vec<String>,
    /// The word that makes it one whose answers are judged.
    pub judged_by: Option<&'static str>,
    /// The rules and the time.
    pub plan: Plan,
    /// Time that a worker has for each answer.
    pub timeout: Duration,
    /// Whether equal work may give different results.
    pub allow_different_output: bool,
    /// Keeps the cases whose id holds one of these texts; all when empty.
    pub filters: Vec<String>,
}

/// What was gated.
pub struct Gated {
    /// The verdicts.
    pub paired: Paired,
    /// What the reader should know beside them.
    pub notes: Vec<String>,
}

/// Both sides, built.
pub struct Sides {
    /// The revision.
    pub before: Source,
    /// The work tree.
    pub after: Source,
    /// The commit, and what the work tree is.
    pub revisions: [String; 2],
    /// What the reader should know of the builds.
    pub notes: Vec<String>,
}

/// Cargo's target folder of a work tree.
pub fn target_folder(tree: &Tree) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => tree.root().join("target"),
    }
}

/// Folder of the revision's checkout, its builds and both sides' programs, below the target
/// folder, so that `cargo clean` takes it away.
const FOLDER: &str = "gate";

impl Gate<'_> {
    /// Builds both sides and pairs them.
    ///
    /// # Errors
    /// When the revision is not there, can't be built, or has no worker, there is no usable
    /// baseline; when the work tree can't be built or served, it could not run.
    pub fn run(&self, stage: &dyn Fn(&str), watch: &mut Watch<'_>) -> Result<Gated, Failure> {
        let Sides {
            before,
            after,
            mut notes,
            revisions,
        } = self.sides(stage)?;
        stage("pairing");
        let pairing = Pairing {
            plan: self.plan,
            timeout: self.timeout,
            allow_different_output: self.allow_different_output,
            cases: None,
            filters: self.filters.clone(),
            judged_by: self.judged_by,
        };
        let mut paired =
            workers::run(&before, &after, &pairing, watch).map_err(|error| match &error {
                PairingError::Worker { side, .. } if *side == before.name => {
                    no_baseline(error.failure())
                }
                _ => error.failure(),
            })?;
        for (side, revision) in [&mut paired.before, &mut paired.after]
            .into_iter()
            .zip(revisions)
        {
            side.revision = Some(revision);
        }
        notes.extend(paired.one_sided.iter().map(|(case, side)| {
            format!("case {case} is only in {side}: nothing to compare it with")
        }));
        Ok(Gated { paired, notes })
    }

    /// Builds both sides.
    ///
    /// # Errors
    /// When the revision is not there or can't be built, there is no usable baseline; when the
    /// work tree can't be built, it could not run.
    pub fn sides(&self, stage: &dyn Fn(&str)) -> Result<Sides, Failure> {
        let commit = self.tree.commit(self.against)?;
        let folder = self.target.join(FOLDER);
        let checkout = folder.join("before");
        let mut rng = SplitMix64::new(self.plan.seed);
        stage(&format!("checking out {}", self.against));
        self.tree.check_out(&commit, &checkout)?;
        stage(&format!("building {} (before)", self.against));
        let (programs, target) = (folder.join("programs"), folder.join("before-target"));
        let before = self
            .build(&checkout, &target, &programs.join("before"), &mut rng)
            .map_err(no_baseline)?;
        stage("building the work tree (after)");
        let after = self.build(
            self.tree.root(),
            &self.target,
            &programs.join("after"),
            &mut rng,
        )?;
        let notes = before.note.iter().cloned().collect();
        let short = &commit[..commit.len().min(12)];
        let revisions = [commit.clone(), self.tree.description()?];
        Ok(Sides {
            before: self.source(format!("{} ({short})", self.against), before),
            after: self.source(format!("work tree ({})", revisions[1]), after),
            revisions,
            notes,
        })
    }

    fn build(
        &self,
        source: &Path,
        target: &Path,
        programs: &Path,
        rng: &mut SplitMix64,
    ) -> Result<Layouts, Failure> {
        let build = Build {
            source,
            target,
            programs,
        };
        build.layouts(self.link_orders, rng)
    }

    fn source(&self, name: String, layouts: Layouts) -> Source {
        let command = |program: PathBuf| {
            std::iter::once(program.to_string_lossy().into_owned())
                .chain(self.arguments.iter().cloned())
                .collect()
        };
        Source {
            name,
            layouts: layouts.programs.into_iter().map(command).collect(),
        }
    }
}

fn no_baseline(failure: Failure) -> Failure {
    Failure {
        exit: Exit::NoBaseline,
        message: format!("no usable baseline: {failure}"),
    }
}
