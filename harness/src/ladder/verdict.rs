//! Holding a claim against what was measured.

use super::definition::Claim;
use crate::run::{self, Estimate, Verdict};

/// What becomes of a claimed speedup of `claim.low` at least, given the measured one, the relative
/// error of the answers, and the threads that this machine could use.
pub fn of_speedup(
    claim: Option<&Claim>,
    speedup: &Estimate,
    error: f64,
    threads: usize,
) -> Verdict {
    let Some(claim) = claim else {
        return Verdict::NoClaim;
    };
    if let Some(limit) = claim
        .error_below
        .filter(|limit| error.is_nan() || error >= *limit)
    {
        let by = format!(
            "the relative error is {:.2} %, not below {:.2} %",
            error * 100.0,
            limit * 100.0
        );
        return Verdict::Refuted { by };
    }
    let measured = format!(
        "{:.2}x ({:.2}-{:.2})",
        speedup.value, speedup.low, speedup.high
    );
    if speedup.low >= claim.low {
        return Verdict::Confirmed;
    }
    if let Some(claimed) = claim.at_threads.filter(|claimed| *claimed > threads) {
        let why = format!(
            "it was claimed for {claimed} threads and this run used {threads}, which gave {measured}"
        );
        return Verdict::NotMeasurable { why };
    }
    if speedup.high < claim.low {
        let short = claim.low / speedup.value;
        return Verdict::Refuted {
            by: format!("{measured} is {short:.2}x short of {}x", claim.low),
        };
    }
    let why = format!(
        "{measured} straddles {}x after {} blocks",
        claim.low, speedup.blocks
    );
    Verdict::NotMeasurable { why }
}

/// What becomes of a claim that a speedup is above `claim.low`; `from` is told after the figure.
pub fn above(claim: &run::Claim, speedup: &Estimate, from: &str) -> Verdict {
    let measured = format!(
        "{:.2}x ({:.2}-{:.2}){from}",
        speedup.value, speedup.low, speedup.high
    );
    if speedup.low > claim.low {
        Verdict::Confirmed
    } else if speedup.high <= claim.low {
        Verdict::Refuted {
            by: format!("{measured} is not above {}x", claim.low),
        }
    } else {
        Verdict::NotMeasurable {
            why: format!("{measured} straddles {}x", claim.low),
        }
    }
}

/// What becomes of a bound on a figure, given the figure with its interval.
pub fn of_target(at_least: Option<f64>, at_most: Option<f64>, figure: &Estimate) -> Verdict {
    let measured = format!("{:.2} ({:.2}-{:.2})", figure.value, figure.low, figure.high);
    let (holds, fails, bound) = match (at_least, at_most) {
        (Some(bound), _) => (figure.low >= bound, figure.high < bound, bound),
        (None, Some(bound)) => (figure.high <= bound, figure.low > bound, bound),
        (None, None) => return Verdict::NoClaim,
    };
    match (holds, fails) {
        (true, _) => Verdict::Confirmed,
        (_, true) => Verdict::Refuted {
            by: format!("{measured} against {bound}"),
        },
        _ => Verdict::NotMeasurable {
            why: format!("{measured} straddles {bound}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64, low: f64, high: f64) -> Estimate {
        Estimate {
            value,
            low,
            high,
            level: 0.95,
            blocks: 9,
        }
    }

    fn claim(error_below: Option<f64>, at_threads: Option<usize>) -> Claim {
        Claim {
            text: "2-3x".into(),
            low: 2.0,
            high: 3.0,
            error_below,
            at_threads,
            of: None,
        }
    }

    #[test]
    fn a_claim_holds_when_the_whole_interval_reaches_it() {
        let c = claim(None, None);
        assert_eq!(
            of_speedup(Some(&c), &measured(2.5, 2.1, 2.9), 0.0, 2),
            Verdict::Confirmed
        );
        assert_eq!(
            of_speedup(Some(&c), &measured(9.0, 8.0, 10.0), 0.0, 2),
            Verdict::Confirmed
        );
    }

    #[test]
    fn a_claim_falls_when_the_whole_interval_is_below_it() {
        let c = claim(None, None);
        let Verdict::Refuted { by } = of_speedup(Some(&c), &measured(1.0, 0.9, 1.1), 0.0, 2) else {
            panic!("not refuted")
        };
        assert_eq!(by, "1.00x (0.90-1.10) is 2.00x short of 2x");
    }

    #[test]
    fn an_interval_that_straddles_decides_nothing() {
        let c = claim(None, None);
        let verdict = of_speedup(Some(&c), &measured(2.0, 1.9, 2.2), 0.0, 2);
        assert!(
            matches!(verdict, Verdict::NotMeasurable { .. }),
            "{verdict:?}"
        );
    }

    #[test]
    fn wrong_enough_answers_refute_whatever_the_speed() {
        let c = claim(Some(0.001), None);
        let fast = measured(9.0, 8.0, 10.0);
        assert!(matches!(
            of_speedup(Some(&c), &fast, 0.01, 2),
            Verdict::Refuted { .. }
        ));
        assert!(matches!(
            of_speedup(Some(&c), &fast, f64::NAN, 2),
            Verdict::Refuted { .. }
        ));
        assert_eq!(of_speedup(Some(&c), &fast, 0.0, 2), Verdict::Confirmed);
    }

    #[test]
    fn a_claim_for_more_threads_than_there_are_is_not_refuted() {
        let c = claim(None, Some(8));
        let slow = measured(1.1, 1.0, 1.2);
        assert!(matches!(
            of_speedup(Some(&c), &slow, 0.0, 2),
            Verdict::NotMeasurable { .. }
        ));
        assert!(matches!(
            of_speedup(Some(&c), &slow, 0.0, 8),
            Verdict::Refuted { .. }
        ));
    }

    #[test]
    fn a_target_is_held_by_the_whole_interval() {
        let figure = measured(10.5, 10.0, 11.0);
        assert_eq!(of_target(Some(10.0), None, &figure), Verdict::Confirmed);
        assert!(matches!(
            of_target(Some(10.7), None, &figure),
            Verdict::NotMeasurable { .. }
        ));
        assert!(matches!(
            of_target(Some(12.0), None, &figure),
            Verdict::Refuted { .. }
        ));
    }
}
