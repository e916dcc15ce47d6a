//! How a commit becomes a worker: checked out beside the user's work tree, built, and removed again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Commit;
use crate::compare::workers::Source;
use crate::exit::Failure;
use crate::gate::Tree;
use crate::gate::build::Build;
use crate::gate::tree::git;
use crate::measure::SplitMix64;

/// What makes a worker of a checked out commit.
#[derive(Debug, Clone)]
pub enum Builder {
    /// Cargo builds this package, in several link orders.
    Cargo {
        /// Link orders beside the linker's own.
        link_orders: usize,
        /// Words after the program's name that make it a worker.
        arguments: Vec<String>,
        /// Where all trees and builds go until the end.
        beside: PathBuf,
    },
    /// Commands that run in the checked out tree.
    Commands {
        /// For a shell; none where there is nothing to build.
        build: Option<String>,
        /// The words of the worker's command line.
        worker: Vec<String>,
    },
}

/// Which side of a duel a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The older one.
    Before,
    /// The later one.
    After,
}

/// The checked out trees of a search. Dropping it removes them.
pub struct Trees<'a> {
    tree: &'a Tree,
    builder: &'a Builder,
    folder: tempfile::TempDir,
    rng: SplitMix64,
    /// What was built last for each role.
    built: [Option<(Commit, Source)>; 2],
    builds: usize,
}

impl<'a> Trees<'a> {
    /// No tree yet.
    ///
    /// # Errors
    /// When there is no place for them.
    pub fn new(tree: &'a Tree, builder: &'a Builder, seed: u64) -> Result<Self, Failure> {
        let mut name = tempfile::Builder::new();
        let name = name.prefix("bitgauge-bisect-");
        let folder = match builder {
            Builder::Cargo { beside, .. } => {
                std::fs::create_dir_all(beside).and_then(|()| name.tempdir_in(beside))
            }
            Builder::Commands { .. } => name.tempdir(),
        };
        let folder = folder.map_err(|e| {
            Failure::could_not_run(format!("no place for trees to be built in: {e}"))
        })?;
        Ok(Self {
            tree,
            builder,
            folder,
            rng: SplitMix64::new(seed),
            built: [None, None],
            builds: 0,
        })
    }

    /// How often something was built.
    pub fn builds(&self) -> usize {
        self.builds
    }

    /// The worker of a commit, built unless that was done last for this role.
    ///
    /// # Errors
    /// When it can't be checked out or built.
    pub fn build(&mut self, role: Role, commit: &Commit) -> Result<Source, Failure> {
        let slot = role as usize;
        if let Some((_, source)) = self.built[slot].as_ref().filter(|(of, _)| of == commit) {
            return Ok(source.clone());
        }
        self.built[slot] = None;
        self.builds += 1;
        let source = self.make(role, commit)?;
        self.built[slot] = Some((commit.clone(), source.clone()));
        Ok(source)
    }

    fn make(&mut self, role: Role, commit: &Commit) -> Result<Source, Failure> {
        let own = match role {
            Role::Before => "before",
            Role::After => "after",
        };
        let folder = self.folder.path();
        let (checkout, layouts) = match self.builder {
            // Programs are copied out of the tree: one tree, and builds that share what is alike.
            Builder::Cargo { .. } => (folder.join("tree"), Vec::new()),
            Builder::Commands { worker, .. } => {
                let checkout = folder.join(own);
                (checkout.clone(), vec![within(&checkout, worker)])
            }
        };
        self.tree.check_out(&commit.hash, &checkout)?;
        let layouts = match self.builder {
            Builder::Commands { build, .. } => {
                build.as_deref().map_or(Ok(()), |b| shell(b, &checkout))?;
                layouts
            }
            Builder::Cargo {
                link_orders,
                arguments,
                ..
            } => {
                let build = Build {
                    source: &checkout,
                    target: &folder.join("target"),
                    programs: &folder.join("programs").join(own),
                };
                let built = build.layouts(*link_orders, &mut self.rng)?;
                let command = |program: PathBuf| {
                    let program = program.display().to_string();
                    let arguments = arguments.iter().cloned();
                    std::iter::once(program).chain(arguments).collect()
                };
                built.programs.into_iter().map(command).collect()
            }
        };
        Ok(Source {
            name: commit.name(),
            layouts,
        })
    }
}

impl Drop for Trees<'_> {
    fn drop(&mut self) {
        // The folder goes in any case; what Git remembers of the trees is pruned with the first
        // call that succeeds.
        let _ = std::fs::remove_dir_all(self.folder.path());
        let _ = git(self.tree.root(), ["worktree", "prune"]);
    }
}

/// A command line that runs in `folder`.
fn within(folder: &Path, words: &[String]) -> Vec<String> {
    let shell = ["sh", "-c", "cd \"$0\" && exec \"$@\""].map(str::to_owned);
    let folder = folder.display().to_string();
    let words = words.iter().cloned();
    shell.into_iter().chain([folder]).chain(words).collect()
}

/// Runs a command line in `folder`.
fn shell(line: &str, folder: &Path) -> Result<(), Failure> {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Failure::could_not_run(format!("no shell for `{line}`: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    const SHOWN: usize = 10;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    Err(Failure::could_not_run(format!(
        "it could not be built: `{line}` failed with {}: {end}",
        output.status
    )))
}
