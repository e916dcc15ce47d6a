//! From what a race measured to a kernel: detection stays unless another kernel is surely faster.

use serde::{Deserialize, Serialize};

use crate::calibration::{DEFAULT_MARGIN, share};
use crate::run::Estimate;

/// A kernel in a race.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub kernel: String,
    /// Median microseconds a product. For information only.
    pub us: f64,
    /// Time of the detected kernel / time of this one, within rounds. `None` for the detected one.
    pub speedup: Option<Estimate>,
}

/// A race of one size and phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Race {
    /// The kernel that detection selects.
    pub detected: String,
    /// All that took part, in the order of the engine's table.
    pub candidates: Vec<Candidate>,
    /// The kernel that this phase would have.
    pub choice: String,
    /// Why.
    pub why: String,
}

impl Race {
    /// Chooses.
    pub fn decided(detected: String, candidates: Vec<Candidate>) -> Self {
        let (choice, why) = choose(&detected, &candidates);
        Self {
            detected,
            candidates,
            choice,
            why,
        }
    }

    /// How fast a kernel was against the detected one; `None` for that one itself, and for those
    /// that did not take part.
    pub fn speedup(&self, kernel: &str) -> Option<&Estimate> {
        let found = self.candidates.iter().find(|c| c.kernel == kernel)?;
        found.speedup.as_ref()
    }

    /// Whether it can have been measured, and the choice follows from the figures.
    ///
    /// # Errors
    /// What can't be.
    pub fn check(&self) -> Result<(), String> {
        let time = |us: f64| us.is_finite() && us > 0.0;
        let ordered = |e: &Estimate| {
            time(e.low) && time(e.high) && (e.low..=e.high).contains(&e.value) && e.level < 1.0
        };
        for c in &self.candidates {
            let possible = time(c.us) && c.speedup.as_ref().is_none_or(ordered);
            if !possible || c.speedup.is_none() != (c.kernel == self.detected) {
                return Err(format!("the figures of {} can't be", c.kernel));
            }
        }
        let took_part = |name: &str| self.candidates.iter().any(|c| c.kernel == name);
        if !took_part(&self.detected) {
            return Err(format!("{} was detected and did not race", self.detected));
        }
        match choose(&self.detected, &self.candidates).0 {
            choice if choice == self.choice => Ok(()),
            choice => Err(format!(
                "{} is chosen where the figures say {choice}",
                self.choice
            )),
        }
    }
}

/// The fastest of those whose interval says that they are faster than the detected kernel by more
/// than the default margin, which is what the luck of one placement may be worth.
fn choose(detected: &str, candidates: &[Candidate]) -> (String, String) {
    let others = || {
        let with = |c| Option::zip(Some(c), Candidate::speedup(c));
        candidates.iter().filter_map(with)
    };
    let fastest =
        |a: &(&Candidate, &Estimate), b: &(&Candidate, &Estimate)| a.1.value.total_cmp(&b.1.value);
    let surely = |(_, speedup): &(&Candidate, &Estimate)| speedup.low > 1.0 + DEFAULT_MARGIN;
    let margin = share(DEFAULT_MARGIN);
    if let Some((winner, speedup)) = others().filter(surely).max_by(fastest) {
        let why = format!(
            "faster than {detected} by more than {margin}: {}",
            told(speedup)
        );
        return (winner.kernel.clone(), why);
    }
    let why = match others().max_by(fastest) {
        None => "no other kernel raced".to_owned(),
        Some((best, speedup)) => format!(
            "no other is surely faster by {margin}; the next, {}: {}",
            best.kernel,
            told(speedup)
        ),
    };
    (detected.to_owned(), why)
}

/// `1.31x (1.25 to 1.36)`.
pub fn told(speedup: &Estimate) -> String {
    let Estimate {
        value, low, high, ..
    } = speedup;
    format!("{value:.2}x ({low:.2} to {high:.2})")
}

impl Candidate {
    fn speedup(&self) -> Option<&Estimate> {
        self.speedup.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn race(others: &[(&str, [f64; 3])]) -> Race {
        let mut candidates = vec![Candidate {
            kernel: "detected".to_owned(),
            us: 100.0,
            speedup: None,
        }];
        let other = |&(kernel, [low, value, high]): &(&str, [f64; 3])| Candidate {
            kernel: kernel.to_owned(),
            us: 100.0 / value,
            speedup: Some(Estimate {
                value,
                low,
                high,
                level: 0.99,
                blocks: 12,
            }),
        };
        candidates.extend(others.iter().map(other));
        Race::decided("detected".to_owned(), candidates)
    }

    #[test]
    fn the_fastest_of_the_surely_faster_wins() {
        let race = race(&[
            ("sure", [1.1, 1.2, 1.3]),
            ("faster", [1.3, 1.4, 1.5]),
            ("lucky", [0.9, 1.9, 3.0]),
        ]);
        assert_eq!(race.choice, "faster");
        assert!(race.why.contains("1.40x (1.30 to 1.50)"), "{}", race.why);
        assert!(race.why.contains("than detected"), "{}", race.why);
    }

    #[test]
    fn detection_stays_where_the_interval_reaches_the_margin() {
        for interval in [
            [0.5, 0.6, 0.7],
            [0.99, 1.01, 1.02],
            [1.0, 1.3, 1.6],
            [1.02, 1.3, 1.6],
        ] {
            let race = race(&[("other", interval)]);
            assert_eq!(race.choice, "detected", "{interval:?}");
            assert!(race.why.contains("the next, other"), "{}", race.why);
        }
        assert_eq!(race(&[("other", [1.021, 1.3, 1.6])]).choice, "other");
    }

    #[test]
    fn alone_it_says_so() {
        let race = race(&[]);
        assert_eq!(race.choice, "detected");
        assert_eq!(race.why, "no other kernel raced");
    }

    #[test]
    fn what_can_t_have_been_measured_is_not_believed() {
        let good = || race(&[("sure", [1.1, 1.2, 1.3]), ("slow", [0.1, 0.2, 0.3])]);
        assert_eq!(good().check(), Ok(()));
        let spoilt = |spoil: &dyn Fn(&mut Race)| {
            let mut race = good();
            spoil(&mut race);
            race.check().unwrap_err()
        };
        let told = spoilt(&|r| r.choice = "slow".into());
        assert!(told.contains("the figures say sure"), "{told}");
        spoilt(&|r| r.choice = "unheard-of".into());
        spoilt(&|r| r.detected = "elsewhere".into());
        spoilt(&|r| r.candidates.clear());
        spoilt(&|r| r.candidates[1].us = 0.0);
        spoilt(&|r| r.candidates[2].us = f64::NAN);
        spoilt(&|r| r.candidates[1].speedup = None);
        let estimate = |r: &mut Race, change: &dyn Fn(&mut Estimate)| {
            r.candidates[1].speedup.as_mut().map(change).unwrap();
        };
        spoilt(&|r| estimate(r, &|e| e.low = f64::NAN));
        spoilt(&|r| estimate(r, &|e| e.high = 1.15));
        spoilt(&|r| estimate(r, &|e| e.low = -1.0));
    }
}
