//! Builds of one tree: the program, and the same program linked in other orders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exit::Failure;
use crate::measure::SplitMix64;

/// The package and the program in it that serves the cases.
pub const PROGRAM: &str = "bitgauge";

/// A tree to be built.
pub struct Build<'a> {
    /// Where the tree is.
    pub source: &'a Path,
    /// Cargo's target folder, kept for the next time.
    pub target: &'a Path,
    /// Where the programs go.
    pub programs: &'a Path,
}

/// Programs that differ in where their code lies, and in nothing else.
pub struct Layouts {
    /// At least one.
    pub programs: Vec<PathBuf>,
    /// Why there are fewer than were asked for.
    pub note: Option<String>,
}

impl Build<'_> {
    /// Builds the program in the release profile, in the linker's own order, and again in
    /// `others` random orders.
    ///
    /// # Errors
    /// When it can't be built: what Cargo says, shortened to its end.
    pub fn layouts(&self, others: usize, rng: &mut SplitMix64) -> Result<Layouts, Failure> {
        fs::create_dir_all(self.programs)
            .map_err(|e| Failure::could_not_run(format!("{}: {e}", self.programs.display())))?;
        self.cargo(&["build", "--release", "--package", PROGRAM, "--bin", PROGRAM])?;
        let mut layouts = Layouts {
            programs: vec![self.keep(0)?],
            note: None,
        };
        for number in 1..=others {
            // Known to LLD, which is what Rust links with on x86-64 Linux.
            let order = format!("link-arg=-Wl,--shuffle-sections=*={}", rng.below(1 << 31));
            let link = [
                "rustc",
                "--release",
                "--package",
                PROGRAM,
                "--bin",
                PROGRAM,
                "--",
                "-C",
                &order,
            ];
            if let Err(failure) = self.cargo(&link) {
                let reason = failure
                    .message
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .to_owned();
                layouts.note = Some(format!("the linker takes no order of sections: {reason}"));
                break;
            }
            layouts.programs.push(self.keep(number)?);
        }
        if others > 0 {
            // What the next user of the target folder expects there.
            self.cargo(&["build", "--release", "--package", PROGRAM, "--bin", PROGRAM])?;
        }
        Ok(layouts)
    }

    /// Copies the program to a name of its own.
    fn keep(&self, number: usize) -> Result<PathBuf, Failure> {
        let built = self.target.join("release").join(PROGRAM);
        let kept = self.programs.join(format!("{PROGRAM}-{number}"));
        // A program that is running can be replaced, but not written to.
        let _ = fs::remove_file(&kept);
        fs::copy(&built, &kept).map_err(|e| {
            Failure::could_not_run(format!("{} to {}: {e}", built.display(), kept.display()))
        })?;
        Ok(kept)
    }

    fn cargo(&self, arguments: &[&str]) -> Result<(), Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(arguments)
            .current_dir(self.source)
            .env("CARGO_TARGET_DIR", self.target)
            .env("CARGO_TERM_COLOR", "never")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Failure::could_not_run(format!("cargo could not be started: {e}")))?;
        if output.status.success() {
            return Ok(());
        }
        const SHOWN: usize = 30;
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let end = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        Err(Failure::could_not_run(format!(
            "{} could not be built: cargo {}\n{end}",
            self.source.display(),
            arguments[0]
        )))
    }
}
