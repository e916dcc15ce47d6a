//! Efficiencies that were stored, and whether those measured now fell below them.
//!
//! The question has one side: an efficiency that rose is no regression, whatever the margin. A
//! point regressed where its whole interval lies below what was stored less the margin.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, BaselineError};
use crate::exit::{Exit, Failure};
use crate::measure::Verdict;

/// Efficiencies as a baseline holds them. They are ratios within one run, so they travel between
/// runs on one class of machine, which times do not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Stored {
    /// One a thread count, phase and scheduler.
    pub points: Vec<StoredPoint>,
}

/// The efficiency with some number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredPoint {
    /// `decode`, `prefill` or `product`.
    pub phase: String,
    /// Scheduler of the rows.
    pub scheduler: String,
    /// Kernel.
    pub kernel: String,
    /// Model, by name.
    pub model: String,
    /// Threads.
    pub threads: usize,
    /// Speedup over the pool of one thread / threads, as a fraction: 0.95.
    pub efficiency: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Rounds that it rests on.
    pub blocks: u64,
}

impl StoredPoint {
    /// What two points must share to be compared.
    fn key(&self) -> [&str; 4] {
        [&self.phase, &self.scheduler, &self.kernel, &self.model]
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.key() == other.key() && self.threads == other.threads
    }

    /// `decode, pool, 2 threads`.
    fn name(&self) -> String {
        let of = match self.threads {
            1 => "thread",
            _ => "threads",
        };
        format!("{}, {}, {} {of}", self.phase, self.scheduler, self.threads)
    }
}

/// One point held against the baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// What was measured now.
    pub measured: StoredPoint,
    /// The efficiency that was stored.
    pub stored: f64,
    /// The least that counts as not fallen: stored, less the margin.
    pub least: f64,
    /// Regressed where the interval lies below `least`, unclear where it holds it, improved where
    /// it lies above stored plus the margin, else unchanged.
    pub verdict: Verdict,
}

/// A stored point that nothing was held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotChecked {
    /// Phase, scheduler, threads.
    pub point: String,
    /// Why, as a phrase.
    pub why: String,
}

/// Every point of a run held against a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// Those that both have.
    pub points: Vec<Held>,
    /// Those that the baseline alone has.
    pub not_checked: Vec<NotChecked>,
    /// Those that the run alone has: phase, scheduler, threads.
    pub not_stored: Vec<String>,
}

impl Checked {
    /// The exit status: nothing compared could not run, then a regression, then what is unclear.
    pub fn exit(&self) -> Exit {
        let any = |verdict| self.points.iter().any(|p| p.verdict == verdict);
        if self.points.is_empty() {
            Exit::CouldNotRun
        } else if any(Verdict::Regressed) {
            Exit::Regressed
        } else if any(Verdict::Unclear) {
            Exit::Unclear
        } else {
            Exit::Held
        }
    }
}

/// Holds each measured point against the stored one of the same phase, scheduler, kernel, model
/// and number of threads. `margin` is a fraction of the stored efficiency: 0.05 is 5 %.
pub fn check(measured: &Stored, stored: &Stored, margin: f64) -> Checked {
    let mut points = Vec::new();
    let mut not_stored = Vec::new();
    for m in &measured.points {
        match stored.points.iter().find(|s| s.is_same_as(m)) {
            Some(s) => points.push(Held {
                measured: m.clone(),
                stored: s.efficiency,
                least: s.efficiency * (1.0 - margin),
                verdict: verdict(m, s.efficiency, margin),
            }),
            None => not_stored.push(m.name()),
        }
    }
    let missed = stored
        .points
        .iter()
        .filter(|s| measured.points.iter().all(|m| !m.is_same_as(s)));
    let not_checked = missed
        .map(|s| NotChecked {
            point: s.name(),
            why: why_not(s, measured),
        })
        .collect();
    Checked {
        points,
        not_checked,
        not_stored,
    }
}

fn verdict(measured: &StoredPoint, stored: f64, margin: f64) -> Verdict {
    let least = stored * (1.0 - margin);
    // What is no number is below nothing, and so never passes.
    let (low, high) = (measured.low, measured.high);
    if high < least {
        Verdict::Regressed
    } else if low > stored * (1.0 + margin) {
        Verdict::Improved
    } else if low >= least {
        Verdict::Unchanged
    } else {
        Verdict::Unclear
    }
}

/// The first thing that no measured point has in common with a stored one.
fn why_not(stored: &StoredPoint, measured: &Stored) -> String {
    let names = ["phase", "scheduler", "kernel", "model"];
    for (i, (name, wanted)) in names.into_iter().zip(stored.key()).enumerate() {
        let alike = |m: &&StoredPoint| m.key()[..=i] == stored.key()[..=i];
        if !measured.points.iter().any(|m| alike(&m)) {
            return format!("{name} `{wanted}` was not measured");
        }
    }
    format!("{} threads were not measured", stored.threads)
}

/// The efficiencies of the baseline file at `path`, which must be of this `class` of machine.
///
/// # Errors
/// [`Exit::NoBaseline`]: a file that [`Baseline::read_of`] refuses, or one without efficiencies.
pub fn read(path: &Path, class: &str) -> Result<Stored, Failure> {
    let baseline = Baseline::read_of(path, class).map_err(BaselineError::failure)?;
    baseline.scaling.ok_or_else(|| Failure {
        exit: Exit::NoBaseline,
        message: format!(
            "{}: `scaling` is null: the baseline holds no efficiencies",
            path.display()
        ),
    })
}

/// Refuses what no run gives, such as a file that was edited or cut.
pub(crate) fn sound(stored: &Stored) -> Result<(), String> {
    if stored.points.is_empty() {
        return Err("`scaling` has no points: there is nothing to hold against".into());
    }
    for (i, p) in stored.points.iter().enumerate() {
        let name = p.name();
        if p.threads == 0 {
            return Err(format!("{name}: at least one thread is needed"));
        }
        if !(p.efficiency > 0.0 && p.low <= p.efficiency && p.efficiency <= p.high) {
            return Err(format!(
                "{name}: efficiency {} must be above 0 and within its interval {} to {}",
                p.efficiency, p.low, p.high
            ));
        }
        if stored.points[..i].iter().any(|q| q.is_same_as(p)) {
            return Err(format!("{name} stands there twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn point(threads: usize, low: f64, efficiency: f64, high: f64) -> StoredPoint {
        StoredPoint {
            phase: "decode".into(),
            scheduler: "pool".into(),
            kernel: "naive".into(),
            model: "tiny".into(),
            threads,
            efficiency,
            low,
            high,
            blocks: 20,
        }
    }

    fn stored(points: &[StoredPoint]) -> Stored {
        Stored {
            points: points.to_vec(),
        }
    }

    /// Stored 0.8 and a margin of 5 %: 0.76 is the least that has not fallen, 0.84 the most that
    /// has not risen.
    #[test]
    fn the_whole_interval_decides() {
        let baseline = stored(&[point(2, 0.79, 0.8, 0.81)]);
        for (low, high, verdict, exit) in [
            (0.70, 0.75, Verdict::Regressed, Exit::Regressed),
            (0.70, 0.77, Verdict::Unclear, Exit::Unclear),
            (0.70, 0.90, Verdict::Unclear, Exit::Unclear),
            (0.77, 0.79, Verdict::Unchanged, Exit::Held),
            (0.77, 0.90, Verdict::Unchanged, Exit::Held),
            (0.85, 0.90, Verdict::Improved, Exit::Held),
            (f64::NAN, f64::NAN, Verdict::Unclear, Exit::Unclear),
        ] {
            let now = stored(&[point(2, low, 0.5 * (low + high), high)]);
            let checked = check(&now, &baseline, 0.05);
            assert_eq!(checked.points[0].verdict, verdict, "{low} to {high}");
            assert_eq!(checked.exit(), exit);
            assert!((checked.points[0].least - 0.76).abs() < 1e-12);
        }
    }

    #[test]
    fn the_gravest_point_decides_the_exit_status() {
        let baseline = stored(&[
            point(2, 0.8, 0.8, 0.8),
            point(4, 0.8, 0.8, 0.8),
            point(8, 0.8, 0.8, 0.8),
        ]);
        let (good, unclear) = (point(2, 0.8, 0.8, 0.8), point(4, 0.7, 0.8, 0.9));
        let bad = point(8, 0.4, 0.5, 0.6);
        let exit = |points: &[StoredPoint]| check(&stored(points), &baseline, 0.05).exit();
        assert_eq!(exit(&[good.clone(), unclear.clone(), bad]), Exit::Regressed);
        assert_eq!(exit(&[good, unclear]), Exit::Unclear);
    }

    #[test]
    fn what_only_one_side_has_is_told_and_nothing_in_common_is_a_failure() {
        let baseline = stored(&[point(2, 0.8, 0.8, 0.8), point(16, 0.8, 0.8, 0.8)]);
        let now = stored(&[point(2, 0.8, 0.8, 0.8), point(4, 0.8, 0.8, 0.8)]);
        let checked = check(&now, &baseline, 0.05);
        assert_eq!(checked.exit(), Exit::Held);
        assert_eq!(checked.points.len(), 1);
        assert_eq!(checked.not_stored, ["decode, pool, 4 threads"]);
        let told = &checked.not_checked[0];
        assert_eq!(told.point, "decode, pool, 16 threads");
        assert_eq!(told.why, "16 threads were not measured");

        let mut other = point(2, 0.8, 0.8, 0.8);
        other.kernel = "tmac-scalar".into();
        let nothing = check(&now, &stored(&[other]), 0.05);
        assert_eq!(nothing.exit(), Exit::CouldNotRun);
        let why = &nothing.not_checked[0].why;
        assert_eq!(why, "kernel `tmac-scalar` was not measured");
        assert_eq!(
            check(&Stored::default(), &baseline, 0.05).exit(),
            Exit::CouldNotRun
        );
    }

    fn written(scaling: Option<Stored>, machine: &str) -> (tempfile::TempDir, PathBuf) {
        let mut baseline = crate::baseline::tests::sample();
        baseline.machine = machine.to_owned();
        let mut json = serde_json::to_value(&baseline).unwrap();
        json["scaling"] = serde_json::to_value(&scaling).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("baseline.json");
        std::fs::write(&path, json.to_string()).unwrap();
        (dir, path)
    }

    fn refused(scaling: Option<&[StoredPoint]>, machine: &str) -> String {
        let (_dir, path) = written(scaling.map(stored), machine);
        let failure = read(&path, "here").unwrap_err();
        assert_eq!(failure.exit, Exit::NoBaseline, "{}", failure.message);
        assert!(failure.message.contains("baseline.json"));
        failure.message
    }

    #[test]
    fn baselines_that_can_t_be_used_are_refused_with_the_reason() {
        let good = point(2, 0.7, 0.8, 0.9);
        assert!(refused(None, "here").contains("no efficiencies"));
        assert!(refused(Some(std::slice::from_ref(&good)), "there").contains("`there`"));
        for (points, reason) in [
            (&[][..], "no points"),
            (&[point(0, 0.8, 0.8, 0.8)], "one thread"),
            (&[point(2, -0.8, -0.8, 0.8)], "above 0"),
            (&[point(2, 0.9, 0.8, 1.0)], "within its interval"),
            (&[good.clone(), good.clone()], "twice"),
        ] {
            let message = refused(Some(points), "here");
            assert!(message.contains(reason), "{reason}: {message}");
        }
        let missing = read(Path::new("no-such-file"), "here").unwrap_err();
        assert_eq!(missing.exit, Exit::NoBaseline);
    }

    #[test]
    fn a_sound_baseline_gives_its_efficiencies() {
        let want = stored(&[point(2, 0.7, 0.8, 0.9)]);
        let (_dir, path) = written(Some(want.clone()), "here");
        assert_eq!(read(&path, "here").unwrap(), want);
    }
}
