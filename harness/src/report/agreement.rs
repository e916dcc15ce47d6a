//! What the trained model answers by every kernel, in lines.

use super::finding::Mark;
use super::wording::{NBSP, number, or_why, plural, significant, sureness};
use crate::run::{Agreement, DepthError, KernelTexts, Likelihood};

/// One line: what it is about, how it went, and the figures.
pub struct Line {
    /// What it is about.
    pub what: &'static str,
    /// How it went.
    pub mark: Mark,
    /// The figures, in a sentence.
    pub words: String,
}

/// Texts, numbers, likelihood, depth.
pub fn lines(a: &Agreement) -> Vec<Line> {
    let (mark, words) = texts(a);
    let mut out = vec![Line {
        what: "Same text from every kernel: SIMD = scalar = naive",
        mark,
        words,
    }];
    let (mark, words) = scans(a);
    out.push(Line {
        what: "No NaN and no infinity",
        mark,
        words,
    });
    out.push(Line {
        what: "Perplexity as the oracle's",
        mark: a.likelihood.get().map_or(Mark::Unknown, perplexity_mark),
        words: or_why(&a.likelihood, perplexity),
    });
    out.push(Line {
        what: "Error by depth",
        mark: a.depth.get().map_or(Mark::Unknown, |_| Mark::Plain),
        words: or_why(&a.depth, |d| depth(d)),
    });
    out
}

fn texts(a: &Agreement) -> (Mark, String) {
    let Some(first) = a.texts.first() else {
        return (Mark::Unknown, "no kernel wrote a text".into());
    };
    let wrong = |t: &&KernelTexts| t.unlike_naive > 0 || t.strict_missed > 0;
    let names: Vec<&str> = a.texts.iter().map(|t| t.kernel.as_str()).collect();
    let off: Vec<String> = a
        .texts
        .iter()
        .filter(wrong)
        .map(|t| {
            format!(
                "{}: {} unlike {}'s, {} of the oracle's strict prefixes missed",
                t.kernel,
                plural(t.unlike_naive, "token"),
                first.kernel,
                t.strict_missed
            )
        })
        .collect();
    if !off.is_empty() {
        return (Mark::Broken, off.join("; "));
    }
    let oracle = if first.as_oracle == first.tokens {
        "the oracle's too".to_owned()
    } else {
        format!(
            "{} of them before a text parts from the oracle's, among these all {} that every \
             right decoder must choose",
            first.as_oracle, first.strict
        )
    };
    let words = format!(
        "{} wrote the same {} of {}, {oracle} ({})",
        plural(names.len(), "kernel"),
        plural(first.tokens, "token"),
        plural(first.texts, "text"),
        names.join(", "),
    );
    match names.len() {
        1 => (Mark::Unknown, format!("only {} runs here", names[0])),
        _ if first.tokens == 0 => (Mark::Unknown, "no token was written".into()),
        _ => (Mark::Held, words),
    }
}

fn scans(a: &Agreement) -> (Mark, String) {
    let numbers: u64 = a.scans.iter().map(|s| s.numbers).sum();
    let wrong: u64 = a.scans.iter().map(|s| s.not_finite).sum();
    let unlike: u64 = a.scans.iter().map(|s| s.unlike_naive).sum();
    let each = a
        .scans
        .iter()
        .map(|s| format!("{} of {}", s.numbers, s.what));
    let words = format!(
        "{numbers} numbers looked at ({}): {wrong} NaN or infinite, {unlike} with other bits than naive's",
        each.collect::<Vec<_>>().join(", ")
    );
    let mark = match (numbers, wrong + unlike) {
        (0, _) => Mark::Unknown,
        (_, 0) => Mark::Held,
        _ => Mark::Broken,
    };
    (mark, words)
}

fn perplexity_mark(l: &Likelihood) -> Mark {
    if (l.bits_a_byte - l.oracle_bits_a_byte).abs() <= l.tolerance {
        Mark::Held
    } else {
        Mark::Broken
    }
}

fn perplexity(l: &Likelihood) -> String {
    let five = |x| significant(x, 5);
    format!(
        "{}, the oracle's {}; {} bits a byte over {} bytes, the oracle's {}, allowed to differ by \
         {}; median window's difference {}",
        five(l.perplexity),
        five(l.oracle_perplexity),
        five(l.bits_a_byte),
        l.predicted,
        five(l.oracle_bits_a_byte),
        number(l.tolerance),
        or_why(&l.difference, |e| format!(
            "{} ({})",
            number(e.value),
            sureness(e).replace("block", "window")
        ))
    )
}

fn depth(depth: &[DepthError]) -> String {
    let each = depth.iter().map(|d| {
        let [median, worst] = [d.median, d.worst].map(|x| number(100.0 * x));
        format!("{} {median}{NBSP}% and {worst}{NBSP}%", d.at)
    });
    format!(
        "relative L2 error of the median token and the worst: {}",
        each.collect::<Vec<_>>().join(", ")
    )
}
