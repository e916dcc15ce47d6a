//! Every number of the performance reports that the ladder retells, with its measured neighbour or
//! the reason why there is none.

use super::finding::{self, Finding, Mark};
use super::latency;
use super::wording::{NBSP, fraction, number, percent, plural, sureness, times};
use crate::run::{
    ClaimedEfficiency, Estimate, Figures, Knob, Ladder, Measured, Run, Scaled, ScalingPoint,
    Verdict,
};

/// One number of the reports.
pub struct Reported {
    /// What it is about.
    pub what: &'static str,
    /// What they say.
    pub theirs: &'static str,
    /// What this run measured, or why it has nothing.
    pub ours: Measured<String>,
    /// What became of it, or why the two can't be held against each other.
    pub verdict: (Mark, String),
}

/// All of them, in the order of the story.
pub fn all(run: &Run) -> Vec<Reported> {
    let ladder = run.ladder.as_ref();
    let mut out = vec![
        plain(
            "Speed as found",
            "0.42 token/s",
            state(&ladder, Ladder::original, speed),
        ),
        plain(
            "Share of the read bandwidth as found",
            "2.4 %",
            state(&ladder, Ladder::original, bandwidth),
        ),
        plain(
            "Share of the time in matrix products as found",
            "95 %",
            state(&ladder, Ladder::original, products),
        ),
        step(
            &ladder,
            Knob::Dispatch,
            "SIMD is selected",
            "0.42 -> 2.5 token/s, 6x (4-6x)",
        ),
        error_of_the_table(run),
        step(
            &ladder,
            Knob::Kernel,
            "The T-MAC table is mended",
            "2.5 -> 5.0 token/s, 2x",
        ),
    ];
    for (theirs, limit) in [("< 1 %", 0.01), ("later < 0.1 %", 0.001)] {
        out.push(error_after(&ladder, theirs, limit));
    }
    out.push(contended(run));
    out.push(step(
        &ladder,
        Knob::Scheduler,
        "Threads no longer contend",
        "5 -> 10+ token/s, 2x",
    ));
    out.push(eight_threads(run));
    out.push(cache(&ladder));
    out.push(fifty_tokens(run));
    out.push(judged(
        "Speed with every fix",
        "10-12 token/s",
        state(&ladder, Ladder::top, speed),
        target(&ladder, "token/s"),
    ));
    for (theirs, below_ms) in [
        ("< 500 ms a token", 500.0),
        ("< 150 ms a token", 150.0),
        ("99 % of all tokens < 50 ms", 50.0),
    ] {
        out.push(single_token(run, theirs, below_ms));
    }
    out.push(judged(
        "Busy cores with every fix",
        "> 80 % each",
        state(&ladder, Ladder::top, busy),
        target(&ladder, "%"),
    ));
    for (theirs, threads) in [
        ("95 % on 2 threads", 2),
        ("93 % on 4 threads", 4),
        ("89 % on 8 threads", 8),
        ("84 % on 16 threads", 16),
    ] {
        out.push(efficiency(run, theirs, threads));
    }
    let cut = super::summary::cut(run);
    if let Some(cut) = cut {
        // Speed in token/s is the cut model's; ratios and shares speak for themselves.
        for row in &mut out {
            if row.theirs.contains("token/s")
                && let Measured::Is(words) = &mut row.ours
            {
                *words += &format!(", on {cut}");
            }
        }
    }
    out
}

/// A figure that nothing was promised about.
fn plain(what: &'static str, theirs: &'static str, ours: Measured<String>) -> Reported {
    let why = match &ours {
        Measured::Is(_) => "not a claim: it describes their engine on their machine".into(),
        Measured::Unavailable(why) => why.clone(),
    };
    let mark = ours.get().map_or(Mark::Unknown, |_| Mark::Plain);
    Reported {
        what,
        theirs,
        ours,
        verdict: (mark, why),
    }
}

/// A promise and what became of it.
fn judged(
    what: &'static str,
    theirs: &'static str,
    ours: Measured<String>,
    verdict: Measured<(Mark, String)>,
) -> Reported {
    let verdict = match (verdict, &ours) {
        (Measured::Is(verdict), _) => verdict,
        (Measured::Unavailable(_), Measured::Unavailable(why)) => (Mark::Unknown, why.clone()),
        (Measured::Unavailable(why), Measured::Is(_)) => (Mark::Unknown, why),
    };
    Reported {
        what,
        theirs,
        ours,
        verdict,
    }
}

/// A figure of one end of the ladder.
fn state(
    ladder: &Measured<&Ladder>,
    end: fn(&Ladder) -> Option<&Figures>,
    figure: fn(&Figures) -> Measured<String>,
) -> Measured<String> {
    match ladder {
        Measured::Unavailable(why) => Measured::Unavailable(why.clone()),
        Measured::Is(ladder) => match end(ladder) {
            Some(figures) => figure(figures),
            None => Measured::unavailable("that state answers wrongly, so it has no time"),
        },
    }
}

fn speed(f: &Figures) -> Measured<String> {
    Measured::Is(format!(
        "{}{NBSP}token/s ({})",
        number(f.token_s.value),
        sureness(&f.token_s)
    ))
}

fn bandwidth(f: &Figures) -> Measured<String> {
    f.percent_of_bandwidth.clone().map(percent)
}

fn products(f: &Figures) -> Measured<String> {
    f.product_share.clone().map(percent)
}

fn busy(f: &Figures) -> Measured<String> {
    let each = |u: Vec<f64>| {
        let words: Vec<String> = u.iter().map(|&x| percent(x)).collect();
        words.join(", ")
    };
    f.utilisation.clone().map(each)
}

/// The last step with a claim that turns `knob`: a repair that is wrong has no time, and one that is
/// right follows it.
fn step(
    ladder: &Measured<&Ladder>,
    knob: Knob,
    what: &'static str,
    theirs: &'static str,
) -> Reported {
    let ladder = match ladder {
        Measured::Is(ladder) => ladder,
        Measured::Unavailable(why) => return plain(what, theirs, Measured::unavailable(why)),
    };
    let steps: Vec<_> = ladder
        .findings()
        .filter(|f| f.step.knobs.first() == Some(&knob) && f.step.claim.is_some())
        .collect();
    let Some(last) = steps.last() else {
        let why = "no step of this ladder is about it";
        return plain(what, theirs, Measured::unavailable(why));
    };
    let finding = Finding::of_step(last);
    let ours = Measured::Is(format!("{}: {}", last.step.id, finding.measured.join("; ")));
    let verdict = Measured::Is((finding.mark, finding.verdict()));
    judged(what, theirs, ours, verdict)
}

fn error_of_the_table(run: &Run) -> Reported {
    let (what, theirs) = ("Error of the wrong table", "291-430 %");
    let defects = match &run.defects {
        Measured::Is(defects) => defects,
        Measured::Unavailable(why) => return plain(what, theirs, Measured::unavailable(why)),
    };
    let claimed = defects.iter().filter(|d| d.claimed.is_some());
    let (mut words, mut count, mut all) = (Vec::new(), 0, 0);
    for defect in claimed {
        let errors = defect.errors.iter();
        let mut errors: Vec<f64> = errors
            .filter_map(|e| e.relative_error.get().copied())
            .collect();
        errors.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (errors.first(), errors.last()) else {
            continue;
        };
        let [least, most] = [*least, *most].map(fraction);
        words.push(match errors.len() {
            1 => format!("{}: {least}", defect.id),
            n => format!("{}: {least} to {most} on {n} kinds of data", defect.id),
        });
        let range = defect.claimed;
        let within = |x: &&f64| range.is_some_and(|r| (r.low..=r.high).contains(*x));
        count += errors.iter().filter(within).count();
        all += errors.len();
    }
    if all == 0 {
        let why = "no error of a wrong table was measured";
        return plain(what, theirs, Measured::unavailable(why));
    }
    let verdict = (
        if count > 0 { Mark::Held } else { Mark::Broken },
        format!("{count} of {all} lie within their range"),
    );
    judged(
        what,
        theirs,
        Measured::Is(words.join("; ")),
        Measured::Is(verdict),
    )
}

fn error_after(ladder: &Measured<&Ladder>, theirs: &'static str, limit: f64) -> Reported {
    let error = match ladder {
        Measured::Unavailable(why) => Measured::Unavailable(why.clone()),
        Measured::Is(ladder) => match ladder.top() {
            Some(top) => top.relative_error.clone(),
            None => Measured::unavailable("the last step answers wrongly or has no time"),
        },
    };
    let verdict = error.clone().map(|e| match e < limit {
        true => (Mark::Held, "confirmed".to_owned()),
        false => (Mark::Broken, "refuted".to_owned()),
    });
    judged(
        "Relative error with every fix",
        theirs,
        error.map(fraction),
        verdict,
    )
}

/// Efficiency in words, and whether the point was measured.
fn efficiency_words(p: &ScalingPoint) -> Measured<String> {
    let Some((value, low, high)) = p.efficiency() else {
        let why = match &p.speedup {
            Scaled::Unavailable { why } => why.as_str(),
            _ => "no figure",
        };
        return Measured::unavailable(why);
    };
    let source = match &p.speedup {
        Scaled::Projected { model, .. } => format!("projected, {model}"),
        _ => "measured".into(),
    };
    Measured::Is(format!(
        "{}, {} to {} ({source}; {}, {}, {})",
        fraction(value),
        fraction(low),
        fraction(high),
        p.phase,
        p.scheduler,
        plural(p.threads, "thread")
    ))
}

fn contended(run: &Run) -> Reported {
    let (what, theirs) = ("Efficiency of contending threads", "about 25 %");
    let ours = match &run.scaling {
        Measured::Unavailable(why) => Measured::unavailable(why),
        Measured::Is(points) => {
            let of = points.iter().filter(|p| p.scheduler == "contended");
            match of.max_by_key(|p| p.threads) {
                Some(p) => efficiency_words(p),
                None => Measured::unavailable("the contended scheduler was not timed"),
            }
        }
    };
    plain(what, theirs, ours)
}

/// The engine's own decoding on `threads`.
fn own(points: &[ScalingPoint], threads: usize) -> Option<&ScalingPoint> {
    let decoding = |p: &&ScalingPoint| p.phase == "decode" && p.scheduler != "contended";
    points
        .iter()
        .filter(decoding)
        .find(|p| p.threads == threads)
}

fn eight_threads(run: &Run) -> Reported {
    let (what, theirs) = ("Efficiency after the fix", "> 85 % (7.8x on 8)");
    let points = match &run.scaling {
        Measured::Is(points) => points,
        Measured::Unavailable(why) => return plain(what, theirs, Measured::unavailable(why)),
    };
    let Some(p) = own(points, 8) else {
        let why = "decoding on 8 threads was neither timed nor projected";
        return plain(what, theirs, Measured::unavailable(why));
    };
    let ours = match p.speedup.interval() {
        Some((value, ..)) => efficiency_words(p).map(|e| format!("{}; {e}", times(value))),
        None => efficiency_words(p),
    };
    let claim = ScalingPoint {
        claimed_efficiency: Some(0.85),
        ..p.clone()
    };
    judged(what, theirs, ours, claim_verdict(&claim))
}

fn efficiency(run: &Run, theirs: &'static str, threads: usize) -> Reported {
    let what = "Thread scaling, efficiency";
    let points = match &run.scaling {
        Measured::Is(points) => points,
        Measured::Unavailable(why) => return plain(what, theirs, Measured::unavailable(why)),
    };
    match own(points, threads) {
        Some(p) => judged(what, theirs, efficiency_words(p), claim_verdict(p)),
        None => {
            let why = format!("{threads} threads were neither timed nor projected");
            plain(what, theirs, Measured::unavailable(why))
        }
    }
}

/// What became of a point's claim, as a tick and a phrase.
pub fn claim_verdict(p: &ScalingPoint) -> Measured<(Mark, String)> {
    let verdict = p.claim().map(|claim| match claim {
        ClaimedEfficiency::Held => (Mark::Held, "held".to_owned()),
        ClaimedEfficiency::Missed => (Mark::Broken, "missed".to_owned()),
        ClaimedEfficiency::Undecided => (
            Mark::Unknown,
            "undecided: the claim lies within the interval".to_owned(),
        ),
        ClaimedEfficiency::NotMeasured(why) => (Mark::Unknown, format!("not measured: {why}")),
    });
    Measured::or(verdict, "nothing was claimed for it")
}

fn cache(ladder: &Measured<&Ladder>) -> Reported {
    let (what, theirs) = ("KV cache, hidden by the defects", "1.5-2x");
    let masking = match ladder {
        Measured::Unavailable(why) => Measured::Unavailable(why.clone()),
        Measured::Is(ladder) => ladder.masking.clone(),
    };
    match masking {
        Measured::Unavailable(why) => plain(what, theirs, Measured::unavailable(why)),
        Measured::Is(m) => {
            let finding = Finding::of_gain(&m);
            let ours = format!(
                "with every fix: {}; with every defect: {}",
                finding::outcome(&m.at_top),
                finding::outcome(&m.at_bottom)
            );
            let verdict = (finding.mark, finding.verdict());
            judged(what, theirs, Measured::Is(ours), Measured::Is(verdict))
        }
    }
}

fn fifty_tokens(run: &Run) -> Reported {
    let (what, theirs) = ("KV cache on 50 tokens", "> 2x");
    let generation = match &run.generation {
        Measured::Is(generation) => generation,
        Measured::Unavailable(why) => return plain(what, theirs, Measured::unavailable(why)),
    };
    match &generation.gain {
        Measured::Unavailable(why) => plain(what, theirs, Measured::unavailable(why)),
        Measured::Is(gain) => {
            let words = |e: &Estimate| format!("{} ({})", times(e.value), sureness(e));
            let on = generation.model.cut();
            let on = on.map_or_else(String::new, |cut| format!(", on {cut}"));
            let ours = format!(
                "{} on {}{on}",
                words(&gain.speedup),
                plural(generation.tokens, "token")
            );
            let verdict = (
                latency::mark_of(&gain.verdict),
                latency::claim(&gain.verdict),
            );
            judged(what, theirs, Measured::Is(ours), Measured::Is(verdict))
        }
    }
}

fn single_token(run: &Run, theirs: &'static str, below_ms: f64) -> Reported {
    let what = "Single tokens";
    let l = match &run.latency {
        Measured::Is(l) => l,
        Measured::Unavailable(why) => return plain(what, theirs, Measured::unavailable(why)),
    };
    match l.targets.iter().find(|t| t.below_ms == below_ms) {
        None => plain(
            what,
            theirs,
            Measured::unavailable("this run held no token against it"),
        ),
        Some(t) => {
            let sample = latency::sample(l);
            let ours = t.measured_ms.clone().map(|ms| {
                let percentile = format!("{}{NBSP}% of tokens", t.percent);
                format!("{percentile} within {}{NBSP}ms {sample}", number(ms))
            });
            let verdict = (latency::mark_of(&t.verdict), latency::target(&t.verdict));
            judged(what, theirs, ours, Measured::Is(verdict))
        }
    }
}

/// What became of the ladder's target in this unit.
fn target(ladder: &Measured<&Ladder>, unit: &str) -> Measured<(Mark, String)> {
    let ladder = match ladder {
        Measured::Is(ladder) => ladder,
        Measured::Unavailable(why) => return Measured::Unavailable(why.clone()),
    };
    let found = ladder.targets.iter().find(|t| t.unit == unit);
    let verdict = found.map(|t| match &t.verdict {
        Verdict::NoClaim => (Mark::Plain, "no claim".to_owned()),
        verdict => (latency::mark_of(verdict), latency::target(verdict)),
    });
    Measured::or(verdict, "this ladder has no such target")
}
