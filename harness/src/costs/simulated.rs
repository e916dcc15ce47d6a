//! Decoding under Valgrind's Cachegrind: this program, generating with the trained model.
//!
//! Two generations of different length are simulated, and what the longer did more is what its
//! additional tokens cost: loading and packing are in both.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cachegrind::{self, Profile};
use crate::process::{Ended, Group};
use crate::run::{Costs, Measured, PartCosts};

/// Tokens of the two generations.
const TOKENS: [u64; 2] = [4, 20];
/// What one simulation may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Parts of a token, by what a function's path contains; the first that fits has it.
const PARTS: [(&str, &[&str]); 4] = [
    ("ternary products", &["bitgauge_engine::kernels::"]),
    ("output head", &["bitgauge_engine::head::"]),
    ("attention", &["bitgauge_engine::attention::"]),
    (
        "norms, activations, quantising",
        &[
            "bitgauge_engine::float::",
            "bitgauge_engine::ops::",
            "bitgauge_engine::input::",
        ],
    ),
];
const REST: &str = "everything else";

/// Simulates both generations; why not, where it can't be done.
pub fn run(trained: &Path) -> Measured<Costs> {
    match attempt(trained) {
        Ok(costs) => Measured::Is(costs),
        Err(why) => Measured::Unavailable(why),
    }
}

fn attempt(trained: &Path) -> Result<Costs, String> {
    let version = Command::new("valgrind")
        .arg("--version")
        .output()
        .map_err(|e| format!("cache simulation takes Valgrind, which can't be started ({e})"))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    let folder = tempfile::tempdir().map_err(|e| format!("a folder for it: {e}"))?;
    let mut profiles = Vec::new();
    for tokens in TOKENS {
        let out = folder.path().join(tokens.to_string());
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=cachegrind", "--cache-sim=yes", "--branch-sim=yes"])
            .arg(format!("--cachegrind-out-file={}", out.display()))
            .arg(&program)
            .arg("generate")
            .arg(trained)
            .args(["--tokens", "65,66,67", "--threads", "1", "--max-tokens"])
            .arg(tokens.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut group = Group::start(&mut command).map_err(|e| format!("{version}: {e}"))?;
        match group.wait(PATIENCE) {
            Ended::Exited(status) if status.success() => {}
            Ended::Exited(status) => return Err(format!("{version} ended with {status}")),
            Ended::TimedOut => {
                return Err(format!(
                    "{version} took longer than {} s over {tokens} tokens",
                    PATIENCE.as_secs()
                ));
            }
        }
        let text = std::fs::read_to_string(&out)
            .map_err(|e| format!("{version} wrote nothing that can be read: {e}"))?;
        profiles.push(cachegrind::parse(&text).map_err(|e| format!("{version}: {e}"))?);
    }
    let [short, long] = [&profiles[0], &profiles[1]];
    Ok(Costs {
        source: format!(
            "simulated by {version} (Cachegrind), not measured: {}; no prefetcher, no second level \
             of three. Valgrind hides AVX-512, so the instructions are those of the AVX2 path",
            long.caches.join("; ")
        ),
        on: "the trained model of the fixtures, greedy, 1 thread; it fits into caches".into(),
        tokens: TOKENS[1] - TOKENS[0],
        parts: parts(short, long)?,
    })
}

fn part_of(function: &str) -> &'static str {
    let found = PARTS
        .iter()
        .find(|(_, paths)| paths.iter().any(|p| function.contains(p)));
    found.map_or(REST, |(part, _)| part)
}

/// What the longer run did more, by part, the whole first.
fn parts(short: &Profile, long: &Profile) -> Result<Vec<PartCosts>, String> {
    let names = ["whole token"]
        .into_iter()
        .chain(PARTS.map(|(part, _)| part))
        .chain([REST]);
    let of = |profile: &Profile, name: &str| {
        let mut sums: cachegrind::Costs = Default::default();
        for (function, costs) in &profile.functions {
            if name == "whole token" || part_of(function) == name {
                sums.iter_mut()
                    .zip(costs)
                    .for_each(|(sum, cost)| *sum += cost);
            }
        }
        sums
    };
    names
        .map(|name| {
            let mut more = of(long, name);
            for (more, less) in more.iter_mut().zip(of(short, name)) {
                // A handful of misses depend on where memory lies.
                *more = more.saturating_sub(less);
            }
            match more[0] {
                0 if name == "whole token" => {
                    Err("the longer generation did no more than the shorter".to_owned())
                }
                _ => Ok(part(name, more)),
            }
        })
        .collect()
}

fn part(name: &str, costs: cachegrind::Costs) -> PartCosts {
    let [ir, dr, dw, d1mr, d1mw, dlmr, dlmw, bc, bcm, bi, bim] = costs.map(|n| n as f64);
    let share = |some: f64, all: f64, what: &str| match all > 0.0 {
        true => Measured::Is(100.0 * (some / all).min(1.0)),
        false => Measured::unavailable(format!("no {what} was simulated in this part")),
    };
    let hits = |missed, all, what| share(missed, all, what).map(|missed| 100.0 - missed);
    let no = |what: &str| Measured::unavailable(format!("a simulation has no {what}"));
    PartCosts {
        part: name.into(),
        instructions: match ir > 0.0 {
            true => Measured::Is(ir / (TOKENS[1] - TOKENS[0]) as f64),
            false => Measured::unavailable("no instruction was simulated in this part"),
        },
        cpi: no("cycles"),
        branch_miss_percent: share(bcm + bim, bc + bi, "branch"),
        l1_hit_percent: hits(d1mr + d1mw, dr + dw, "access"),
        l2_hit_percent: Measured::unavailable("Cachegrind simulates the first level and the last"),
        llc_hit_percent: hits(dlmr + dlmw, d1mr + d1mw, "access beyond the first level"),
        gb_s: no("time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(of: &[(&str, cachegrind::Costs)]) -> Profile {
        Profile {
            caches: Vec::new(),
            functions: of.iter().map(|&(f, c)| (f.to_owned(), c)).collect(),
        }
    }

    const LOAD: (&str, cachegrind::Costs) = (
        "bitgauge_engine::checkpoint::read",
        [900, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
    );

    #[test]
    fn what_both_generations_do_cancels_out() {
        let kernel = "bitgauge_engine::kernels::maddubs_avx2::rows";
        let short = profile(&[LOAD, (kernel, [400, 80, 20, 8, 2, 1, 0, 40, 1, 0, 0])]);
        let long = profile(&[LOAD, (kernel, [2000, 480, 120, 48, 12, 6, 0, 140, 3, 0, 0])]);
        let parts = parts(&short, &long).unwrap();
        let names: Vec<&str> = parts.iter().map(|p| p.part.as_str()).collect();
        assert_eq!(names[..2], ["whole token", "ternary products"]);
        for part in &parts[..2] {
            assert_eq!(part.instructions, Measured::Is(100.0), "{part:?}");
            assert_eq!(part.branch_miss_percent, Measured::Is(2.0));
            assert_eq!(part.l1_hit_percent, Measured::Is(90.0));
            assert_eq!(part.llc_hit_percent, Measured::Is(90.0));
        }
        // What a part did not do is no rate of zero.
        let rest = parts.last().unwrap();
        assert_eq!(rest.part, REST);
        assert!(rest.l1_hit_percent.why().is_some() && rest.instructions.why().is_some());
        assert!(
            parts
                .iter()
                .all(|p| p.cpi.why().is_some() && p.gb_s.why().is_some())
        );
    }

    #[test]
    fn a_generation_that_did_no_more_is_refused() {
        assert!(parts(&profile(&[LOAD]), &profile(&[LOAD])).is_err());
    }

    #[test]
    fn functions_belong_to_the_part_that_their_path_names() {
        assert_eq!(
            part_of("bitgauge_engine::head::dot::x86::dot_avx2"),
            "output head"
        );
        assert_eq!(
            part_of(
                "<bitgauge_engine::attention::Chunks as bitgauge_engine::attention::Attend>::f"
            ),
            "attention"
        );
        assert_eq!(part_of("__memset_avx2_unaligned_erms"), REST);
    }
}
