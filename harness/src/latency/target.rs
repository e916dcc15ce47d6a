//! The latencies that were aimed at, held against a run.

use crate::run::{LatencyTarget, Measured, TimedModel, TokenTimes, Verdict};

/// As stated in the notes that the ladder starts from. The first two name no percentile: they are
/// held against the median token.
const STATED: [(&str, u32, f64); 3] = [
    ("a token below 500 ms", 50, 500.0),
    ("a token below 150 ms", 50, 150.0),
    ("99 % of all tokens below 50 ms", 99, 50.0),
];

/// Holds each target against the percentile that it is about.
pub fn stated(model: &TimedModel, times: &TokenTimes) -> Vec<LatencyTarget> {
    let target = |(text, percent, below_ms): (&str, u32, f64)| LatencyTarget {
        text: text.into(),
        percent,
        below_ms,
        measured_ms: Measured::or(
            times.percentile(percent).map(|p| p.value),
            "no token was timed",
        ),
        verdict: verdict(model, times, percent, below_ms),
    };
    STATED.map(target).to_vec()
}

/// Held where the interval lies below the target, missed where it lies above. A percentile whose
/// interval needs more tokens is taken as it is in this sample.
fn verdict(model: &TimedModel, times: &TokenTimes, percent: u32, below_ms: f64) -> Verdict {
    if let Some(cut) = model.cut() {
        return Verdict::NotMeasurable {
            why: format!("it speaks of the whole model, and {cut} ran"),
        };
    }
    let Some(p) = times.percentile(percent) else {
        return Verdict::NotMeasurable {
            why: "no token was timed".into(),
        };
    };
    let (low, high) = p.interval.map_or((p.value, p.value), |i| (i.low, i.high));
    if high < below_ms {
        Verdict::Confirmed
    } else if low >= below_ms {
        Verdict::Refuted {
            by: format!("{:.1} ms", p.value),
        }
    } else {
        Verdict::NotMeasurable {
            why: format!("{low:.1} to {high:.1} ms straddles {below_ms} ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::stats::{Between, Percentile};

    fn model(layers_run: usize) -> TimedModel {
        TimedModel {
            name: "imaginary".into(),
            layers_run,
            layers_in_shape: 30,
            kernel: "made-up".into(),
            threads: 2,
        }
    }

    fn times(p50: (f64, f64, f64), p99: f64) -> TokenTimes {
        let (value, low, high) = p50;
        let interval = Some(Between {
            low,
            high,
            coverage: 0.96,
        });
        let percentiles = [(50, value, interval), (99, p99, None)];
        TokenTimes {
            choice: "greedy".into(),
            ns: Vec::new(),
            percentiles: percentiles
                .map(|(percent, value, interval)| Percentile {
                    percent,
                    value,
                    interval,
                })
                .to_vec(),
            max_ms: p99,
        }
    }

    fn marks(targets: &[LatencyTarget]) -> Vec<&'static str> {
        let mark = |t: &LatencyTarget| match t.verdict {
            Verdict::Confirmed => "held",
            Verdict::Refuted { .. } => "missed",
            Verdict::NotMeasurable { .. } => "open",
            Verdict::NoClaim => "none",
        };
        targets.iter().map(mark).collect()
    }

    #[test]
    fn a_target_is_held_only_where_the_whole_interval_is_below_it() {
        for (p50, p99, want) in [
            ((20.0, 19.0, 21.0), 49.9, ["held", "held", "held"]),
            ((20.0, 19.0, 21.0), 50.0, ["held", "held", "missed"]),
            ((149.0, 148.0, 150.5), 160.0, ["held", "open", "missed"]),
            ((600.0, 550.0, 700.0), 900.0, ["missed", "missed", "missed"]),
        ] {
            let targets = stated(&model(30), &times(p50, p99));
            assert_eq!(marks(&targets), want, "{p50:?} {p99}");
        }
    }

    #[test]
    fn a_cut_model_holds_and_misses_nothing() {
        let targets = stated(&model(3), &times((600.0, 1.0, 700.0), 1.0));
        assert_eq!(marks(&targets), ["open"; 3]);
        assert_eq!(targets[0].measured_ms, Measured::Is(600.0));
        let Verdict::NotMeasurable { why } = &targets[0].verdict else {
            panic!()
        };
        assert!(why.contains("3 of 30 layers"), "{why}");
    }
}
