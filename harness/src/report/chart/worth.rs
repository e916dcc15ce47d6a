//! What each step is worth, apart from its place in the ladder, beside what was claimed for it.

use super::axis::Scale;
use super::bars::no_time;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit, text_width};
use super::{Chart, Key, LEFT, RIGHT, heading, legend, legend_height};
use crate::report::finding::{Finding, Mark};
use crate::report::wording::{self, error_off, times};
use crate::run::{Comparison, Estimate, Ladder};

/// Each step alone, and in the full set.
pub fn isolated(ladder: &Ladder) -> Option<Chart> {
    let alone = |id: &str| {
        let found = ladder.alone.iter().find(|i| i.step == id);
        found.map(|i| &i.comparison)
    };
    let rows: Vec<_> = ladder.findings().map(|f| (alone(&f.step.id), f)).collect();
    let speedups: Vec<Estimate> = rows
        .iter()
        .flat_map(|(alone, f)| [*alone, f.full_set])
        .flatten()
        .filter_map(|c| c.speedup().copied())
        .collect();
    if speedups.is_empty() {
        return None;
    }
    let low = speedups
        .iter()
        .map(|e| e.low)
        .filter(|&x| x > 0.0)
        .fold(1.0, f64::min);
    let claims = ladder.rungs.iter().filter_map(|s| s.claim.as_ref());
    let high = speedups
        .iter()
        .map(|e| e.high)
        .chain(claims.map(|c| c.high))
        .fold(1.0, f64::max);
    let scale = Scale::log(low * 0.8, high, (LEFT + 8.0, RIGHT - 70.0));

    const ROW: f64 = 60.0;
    let keys = [
        (Key::Dot, Ink::After, "alone, on the original".to_owned()),
        (
            Key::Diamond,
            Ink::Series(1),
            "in the full set: with it / without it".to_owned(),
        ),
        (Key::Tick, Ink::Claimed, "claimed".to_owned()),
    ];
    let first = 56.0 + legend_height(&keys);
    let floor = first + ROW * rows.len() as f64;
    let mut p = Picture::new(floor + 26.0);
    let title = "What each step is worth".to_owned();
    heading(
        &mut p,
        &title,
        "speedup, ×, logarithmic; whiskers: intervals",
    );
    legend(&mut p, 58.0, &keys);
    for tick in scale.ticks() {
        let x = scale.at(tick);
        let (width, ink) = if tick == 1.0 {
            (1.0, Ink::Muted)
        } else {
            (0.5, Ink::Grid)
        };
        p.line(&[(x, first), (x, floor)], width, ink);
        p.text(
            format!("{}×", wording::round(tick)),
            (x, floor + 12.0),
            Type::Small,
            Align::Middle,
            Ink::Muted,
        );
    }
    let mut description = String::new();
    for (i, (alone, finding)) in rows.iter().enumerate() {
        let step = finding.step;
        let verdict = Finding::of_step(finding);
        let (word, word_ink) = match verdict.mark {
            Mark::Held => (verdict.word, Ink::Series(1)),
            Mark::Broken => (verdict.word, Ink::Wrong),
            Mark::Unknown | Mark::Plain => (verdict.word, Ink::Muted),
        };
        let room = RIGHT - LEFT - text_width(word, Type::Small) * 1.12 - 8.0;

        let y = first + ROW * i as f64;
        p.rect(LEFT, y, RIGHT - LEFT, 20.0, Ink::Paper);
        p.text(
            fit(&format!("{}  {}", i + 1, step.title), room, Type::Label),
            (LEFT, y + 10.0),
            Type::Label,
            Align::Left,
            Ink::Text,
        );
        p.text(word, (RIGHT, y + 10.0), Type::Small, Align::Right, word_ink);
        description += &format!("{} ({word}): ", step.title);
        for (k, (c, name)) in [(*alone, "alone"), (finding.full_set, "in the full set")]
            .into_iter()
            .enumerate()
        {
            let y = y + 29.0 + 17.0 * k as f64;
            match c.and_then(Comparison::speedup) {
                Some(e) => {
                    if let Some(c) = &step.claim {
                        let (from, to) = (scale.at(c.low), scale.at(c.high));
                        p.rect(from, y - 8.0, to - from, 16.0, Ink::ClaimedRange);
                        p.rect(from - 1.0, y - 8.0, 2.0, 16.0, Ink::Claimed);
                        p.rect(to - 1.0, y - 8.0, 2.0, 16.0, Ink::Claimed);
                    }
                    p.whisker_h(scale.at(e.low), scale.at(e.high), y, Ink::Text);
                    if k == 0 {
                        p.dot(scale.at(e.value), y, Ink::After, true);
                    } else {
                        p.diamond(scale.at(e.value), y, Ink::Series(1));
                    }
                    let mut x = scale.at(e.high).max(scale.at(e.value) + 4.0) + 8.0;
                    // The figure must not hide the claim.
                    let label = text_width(&times(e.value), Type::Small) * 1.12;
                    if let Some(c) = &step.claim
                        && scale.at(c.high) > x - 8.0
                        && scale.at(c.low) < x + label
                    {
                        x = scale.at(c.high) + 8.0;
                    }
                    p.note(&times(e.value), x, y, Ink::Text);
                    description += &format!("{name} {}; ", times(e.value));
                }
                None => {
                    p.rect(LEFT, y - 9.0, RIGHT - LEFT, 18.0, Ink::Paper);
                    let (note, ink) = match c {
                        None => ("not run".to_owned(), Ink::Muted),
                        Some(Comparison::Mended { error_before, .. }) => (
                            format!("without it {}", error_off(error_before)),
                            Ink::Wrong,
                        ),
                        Some(other) => no_time(other),
                    };
                    let text = fit(&format!("{name}: {note}"), RIGHT - LEFT - 8.0, Type::Small);
                    p.note(&text, LEFT + 4.0, y, ink);
                    description += &format!("{text}; ");
                }
            }
        }
    }
    Some(Chart {
        name: "isolated",
        title,
        description,
        picture: p,
    })
}
