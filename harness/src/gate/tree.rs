//! The revision that a work tree is gated against, checked out beside it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exit::{Exit, Failure};

/// A Git work tree.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The work tree that `folder` is in.
    ///
    /// # Errors
    /// When Git is missing, or says that there is none.
    pub fn around(folder: &Path) -> Result<Self, Failure> {
        let top = git(folder, ["rev-parse", "--show-toplevel"])?;
        Ok(Self { root: top.into() })
    }

    /// Its top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The commit that `revision` names.
    ///
    /// # Errors
    /// When it names none; there is then no baseline to gate against.
    pub fn commit(&self, revision: &str) -> Result<String, Failure> {
        let name = format!("{revision}^{{commit}}");
        git(&self.root, ["rev-parse", "--verify", "--end-of-options", &name]).map_err(|failure| {
            Failure {
                exit: Exit::NoBaseline,
                message: format!(
                    "--against {revision}: {failure}; a branch, a tag or a commit of {} would do (a shallow clone lacks most: `git fetch --unshallow`)",
                    self.root.display()
                ),
            }
        })
    }

    /// What the work tree is: its commit, and `+changes` where files differ from it.
    ///
    /// # Errors
    /// When Git fails.
    pub fn description(&self) -> Result<String, Failure> {
        let commit = git(&self.root, ["rev-parse", "--short=12", "HEAD"])?;
        let changes = git(
            &self.root,
            ["status", "--porcelain", "--untracked-files=no"],
        )?;
        Ok(match changes.is_empty() {
            true => commit,
            false => format!("{commit}+changes"),
        })
    }

    /// Checks `commit` out into `folder`, as a work tree that is kept for the next time.
    ///
    /// # Errors
    /// When Git fails, or the folder holds something else.
    pub fn check_out(&self, commit: &str, folder: &Path) -> Result<(), Failure> {
        let path = folder.as_os_str();
        if folder.join(".git").exists() {
            let quiet = ["checkout", "--quiet", "--force", "--detach", commit];
            if git(folder, quiet).is_ok() {
                return Ok(());
            }
            // Left behind by another clone, or half made.
            let _ = git(
                &self.root,
                [
                    OsStr::new("worktree"),
                    "remove".as_ref(),
                    "--force".as_ref(),
                    path,
                ],
            );
        }
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(|e| {
                Failure::could_not_run(format!("{}: can't be emptied: {e}", folder.display()))
            })?;
        }
        git(&self.root, ["worktree", "prune"])?;
        let add = ["worktree", "add", "--quiet", "--force", "--detach"].map(OsStr::new);
        git(
            &self.root,
            add.into_iter().chain([path, OsStr::new(commit)]),
        )
        .map(drop)
    }
}

/// What Git writes, without the line end.
pub(crate) fn git<S: AsRef<OsStr>>(
    folder: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String, Failure> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments);
    // Set where this runs in a hook, and about that hook's repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let output = command
        .output()
        .map_err(|e| Failure::could_not_run(format!("git could not be started: {e}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::could_not_run(format!("git: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn repository() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| git(dir.path(), arguments).unwrap();
        run(&["init", "--quiet"]);
        run(&["config", "user.email", "a@example.org"]);
        run(&["config", "user.name", "a"]);
        for text in ["one", "two"] {
            fs::write(dir.path().join("file"), text).unwrap();
            run(&["add", "file"]);
            run(&["commit", "--quiet", "-m", text]);
        }
        let tree = Tree::around(dir.path()).unwrap();
        (dir, tree)
    }

    #[test]
    fn revisions_are_checked_out_beside_and_the_folder_is_used_again() {
        let (dir, tree) = repository();
        let side = dir.path().join("target/side");
        for (revision, text) in [("HEAD~1", "one"), ("HEAD", "two"), ("HEAD~1", "one")] {
            tree.check_out(&tree.commit(revision).unwrap(), &side)
                .unwrap();
            assert_eq!(fs::read_to_string(side.join("file")).unwrap(), text);
            fs::write(side.join("file"), "changed by hand").unwrap();
        }
        assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "two");
        // Something else in its place.
        fs::remove_dir_all(&side).unwrap();
        fs::create_dir_all(side.join("rubble")).unwrap();
        tree.check_out(&tree.commit("HEAD").unwrap(), &side)
            .unwrap();
        assert!(side.join("file").exists() && !side.join("rubble").exists());
    }

    #[test]
    fn a_revision_that_is_not_there_is_no_usable_baseline() {
        let (_dir, tree) = repository();
        for revision in ["nowhere", "HEAD~9", "--help"] {
            let failure = tree.commit(revision).unwrap_err();
            assert_eq!(failure.exit, Exit::NoBaseline);
            assert!(failure.message.contains(revision), "{failure}");
        }
    }

    #[test]
    fn changes_that_are_not_committed_are_told() {
        let (dir, tree) = repository();
        let clean = tree.description().unwrap();
        assert_eq!(clean.len(), 12);
        fs::write(dir.path().join("file"), "three").unwrap();
        assert_eq!(tree.description().unwrap(), format!("{clean}+changes"));
    }

    #[test]
    fn outside_of_any_repository_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Tree::around(dir.path()).err().expect("no repository");
        assert!(failure.message.contains("git"), "{failure}");
    }
}
