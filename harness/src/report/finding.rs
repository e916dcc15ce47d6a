//! What became of a claim, in words.

use super::wording::{
    claimed, error_off, fraction, limit, sureness, times, unavailable, with_unit, wrong,
};
use crate::run::{
    Comparison, Decision, Estimate, Ladder, Masking, Measured, Setting, StepFinding, Target,
    Verdict,
};

/// How a verdict is to be coloured and ticked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It holds.
    Held,
    /// It does not.
    Broken,
    /// It is not known.
    Unknown,
    /// There is nothing to hold.
    Plain,
}

impl Mark {
    /// The sign beside the word, so that colour is never the only carrier.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Held => "✓",
            Self::Broken => "✗",
            Self::Unknown => "?",
            Self::Plain => "·",
        }
    }

    /// Class name in the page.
    pub fn class(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
            Self::Plain => "plain",
        }
    }
}

/// What became of a claim: a word, the reason, and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How it went.
    pub mark: Mark,
    /// `confirmed`, `refuted`, ...
    pub word: &'static str,
    /// Why, or by how much; may be empty.
    pub reason: String,
    /// The figures that it rests on, with how sure they are: one an element.
    pub measured: Vec<String>,
}

impl Finding {
    /// The verdict without the figures: `refuted: 1.2x short of 2x`.
    pub fn verdict(&self) -> String {
        match self.reason.as_str() {
            "" => self.word.to_owned(),
            reason => format!("{}: {reason}", self.word),
        }
    }

    /// The verdict and the figures; that nothing could be decided is left to the mark.
    pub fn sentence(&self) -> String {
        let verdict = match self.mark {
            Mark::Unknown => self.reason.clone(),
            _ => self.verdict(),
        };
        let parts = std::iter::once(verdict).chain(self.measured.iter().cloned());
        let some: Vec<String> = parts.filter(|p| !p.is_empty()).collect();
        some.join("; ")
    }

    fn of_verdict(verdict: &Verdict, measured: Vec<String>) -> Self {
        let (mark, word, reason) = match verdict {
            Verdict::Confirmed => (Mark::Held, "confirmed", String::new()),
            Verdict::Refuted { by } => (Mark::Broken, "refuted", by.clone()),
            Verdict::NotMeasurable { why } => (Mark::Unknown, "not measurable", why.clone()),
            Verdict::NoClaim => (Mark::Plain, "no claim", String::new()),
        };
        Self {
            mark,
            word,
            reason,
            measured,
        }
    }

    /// What became of a step: both measurements, and the verdict of the one that decides.
    pub fn of_step(f: &StepFinding<'_>) -> Self {
        let range = f.step.claim.as_ref().map(claimed).unwrap_or_default();
        let (mark, word, mut reasons) = match &f.decision {
            Decision::Confirmed { exceeds: true } => (
                Mark::Held,
                "confirmed",
                vec![format!("exceeds the claimed {range}")],
            ),
            Decision::Confirmed { exceeds: false } => (Mark::Held, "confirmed", Vec::new()),
            Decision::Refuted { by } => (Mark::Broken, "refuted", vec![by.clone()]),
            Decision::ErrorAboveLimit => (Mark::Broken, "refuted", Vec::new()),
            Decision::WrongAnswers => (Mark::Broken, "wrong answers", Vec::new()),
            Decision::NotMeasurable { why } => (Mark::Unknown, "not measurable", vec![why.clone()]),
            Decision::NoClaim => (Mark::Plain, "no claim", Vec::new()),
        };
        if f.decided_in == Some(Setting::FullSet) {
            reasons.insert(0, "in the full set".into());
        }
        if let Some(bound) = &f.error {
            let limit = limit(bound.below);
            reasons.push(match (&bound.measured, bound.holds()) {
                (Measured::Is(error), Some(true)) => {
                    format!(
                        "relative error {}, below the claimed {limit}",
                        fraction(*error)
                    )
                }
                (Measured::Is(error), _) => {
                    format!(
                        "relative error {}, not below the claimed {limit}",
                        fraction(*error)
                    )
                }
                (Measured::Unavailable(why), _) => format!("relative error {}", unavailable(why)),
            });
        }
        let against = match f.against {
            Some(state) => format!("in its place, against {state}"),
            None => "in its place".into(),
        };
        let mut measured = vec![format!("{against}: {}", outcome(&f.step.comparison))];
        let full_set = f.full_set.map(outcome);
        measured.extend(full_set.map(|o| format!("in the full set: {o}")));
        Self {
            mark,
            word,
            reason: reasons.join("; "),
            measured,
        }
    }

    /// What became of a claim about the whole set.
    pub fn of_target(target: &Target) -> Self {
        let measured = match (&target.figure, &target.verdict) {
            (Measured::Is(e), _) => Some(format!(
                "{} ({})",
                with_unit(e.value, &target.unit),
                sureness(e)
            )),
            // The verdict already says why.
            (Measured::Unavailable(_), Verdict::NotMeasurable { .. }) => None,
            (Measured::Unavailable(why), _) => Some(unavailable(why)),
        };
        let measured = measured.into_iter().collect();
        Self::of_verdict(&target.verdict, measured)
    }

    /// Whether the feature gains what was claimed, with every fix in place.
    pub fn of_gain(m: &Masking) -> Self {
        let measured = vec![format!("with every fix: {}", outcome(&m.at_top))];
        match (&m.at_top, &m.claim) {
            (
                Comparison::Timed {
                    verdict, speedup, ..
                },
                Some(claim),
            ) => {
                let mut finding = Self::of_verdict(verdict, measured);
                if finding.mark == Mark::Held && speedup.low > claim.high {
                    finding.reason = format!("exceeds the claimed {}", claimed(claim));
                }
                finding
            }
            (Comparison::Mended { verdict, .. }, _) => Self::of_verdict(verdict, measured),
            (Comparison::Wrong { .. }, _) => Self {
                mark: Mark::Broken,
                word: "wrong answers",
                reason: String::new(),
                measured,
            },
            (Comparison::NotRun { why }, _) => {
                Self::of_verdict(&Verdict::NotMeasurable { why: why.clone() }, Vec::new())
            }
            (Comparison::Timed { .. } | Comparison::NoEffect, _) => {
                Self::of_verdict(&Verdict::NoClaim, measured)
            }
        }
    }

    /// Whether the defects hid that gain.
    pub fn of_masking(m: &Masking) -> Self {
        let measured = vec![
            format!("with every defect: {}", outcome(&m.at_bottom)),
            format!("with every fix: {}", outcome(&m.at_top)),
        ];
        Self::of_verdict(&m.verdict, measured)
    }
}

/// One claim of the ladder, with what became of it.
pub struct Judged {
    /// A short name.
    pub name: String,
    /// The claim in a sentence.
    pub text: String,
    /// The figure that was claimed, if anything was.
    pub claimed: Option<String>,
    /// What became of it.
    pub finding: Finding,
}

/// Every claim of the ladder; steps without one are among them.
pub fn judged(ladder: &Ladder) -> Vec<Judged> {
    let mut out: Vec<Judged> = ladder.findings().map(|f| of_step(&f)).collect();
    if let Measured::Is(m) = &ladder.masking {
        out.extend(of_masking(m));
    }
    out.extend(ladder.targets.iter().map(of_target));
    out
}

/// The claim of a step.
pub fn of_step(f: &StepFinding<'_>) -> Judged {
    let step = f.step;
    let text = match &step.claim {
        Some(c) => format!("{}: {}", step.title, c.text),
        None => step.title.clone(),
    };
    Judged {
        name: step.id.clone(),
        text,
        claimed: step.claim.as_ref().map(claimed),
        finding: Finding::of_step(f),
    }
}

/// The claims about the gain that may be hidden: that it is there, and that it was hidden.
pub fn of_masking(m: &Masking) -> Vec<Judged> {
    // What it was measured on follows after a comma.
    let short = m.feature.split(',').next().unwrap_or(&m.feature);
    let gain = m.claim.as_ref().map(|c| Judged {
        name: format!("{short} gain"),
        text: format!("{}: {}", m.feature, c.text),
        claimed: Some(claimed(c)),
        finding: Finding::of_gain(m),
    });
    let hidden = Judged {
        name: format!("{short} gain was hidden"),
        text: format!("The defects hid the gain of the {short}"),
        claimed: Some("a smaller gain with the defects".into()),
        finding: Finding::of_masking(m),
    };
    gain.into_iter().chain([hidden]).collect()
}

/// A claim about the whole set.
pub fn of_target(target: &Target) -> Judged {
    Judged {
        name: target.id.clone(),
        text: target.text.clone(),
        claimed: Some("target".into()),
        finding: Finding::of_target(target),
    }
}

/// A comparison in a few words: a speedup, or why there is none.
pub fn outcome(c: &Comparison) -> String {
    match c {
        Comparison::Timed { speedup, .. } => speed(speedup),
        Comparison::Mended { error_before, .. } => {
            format!("without it {}, so no speedup", error_off(error_before))
        }
        Comparison::Wrong { error } => format!("{}, no time", error_off(error)),
        other => no_time(other),
    }
}

fn speed(e: &Estimate) -> String {
    format!("{} ({})", times(e.value), sureness(e))
}

/// Why a comparison has no time; empty if it has.
pub fn no_time(c: &Comparison) -> String {
    match c {
        Comparison::Timed { .. } => String::new(),
        Comparison::Mended { error_before, .. } => {
            format!("before it: wrong answers, {}; no time", wrong(error_before))
        }
        Comparison::Wrong { error } => format!("wrong answers, {}; no time", wrong(error)),
        Comparison::NoEffect => "no effect: same kernel and scheduler".into(),
        Comparison::NotRun { why } => format!("not run: {why}"),
    }
}
