//! Bars: before and after, each fix on its own, a token's parts.

use super::axis::Scale;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit, text_width};
use super::{Chart, Key, LEFT, RIGHT, heading, legend, legend_height};
use crate::report::wording::{self, fraction, number, percent, times};
use crate::run::{Comparison, Estimate, Isolated, Ladder, Profile};

/// Beyond this ratio of largest to smallest, a linear axis hides the small ones.
const LOG_BEYOND: f64 = 20.0;

/// Token/s before and after each step.
pub fn before_after(ladder: &Ladder) -> Option<Chart> {
    let figures: Vec<&Estimate> = ladder
        .rungs
        .iter()
        .flat_map(|s| [s.comparison.before(), s.comparison.after()])
        .flatten()
        .map(|f| &f.token_s)
        .collect();
    let top = figures.iter().map(|e| e.high).fold(0.0, f64::max);
    let bottom = figures
        .iter()
        .map(|e| e.low)
        .filter(|&x| x > 0.0)
        .fold(top, f64::min);
    if figures.is_empty() || top <= 0.0 {
        return None;
    }
    let value_room = 92.0;
    let range = (LEFT, RIGHT - value_room);
    let log = top / bottom > LOG_BEYOND;
    let scale = if log {
        Scale::log(bottom * 0.7, top, range)
    } else {
        Scale::from_zero(top, range)
    };

    const ROW: f64 = 58.0;
    let keys = [
        (Key::Box, Ink::Before, "before the step".to_owned()),
        (Key::Box, Ink::After, "after the step".to_owned()),
    ];
    let first = 56.0 + legend_height(&keys);
    let height = first + ROW * ladder.rungs.len() as f64 + 26.0;
    let mut p = Picture::new(height);
    let title = "Before and after each step".to_owned();
    let unit = if log {
        "token/s, logarithmic; whiskers: intervals"
    } else {
        "token/s; whiskers: intervals"
    };
    heading(&mut p, &title, unit);
    legend(&mut p, 58.0, &keys);

    let floor = first + ROW * ladder.rungs.len() as f64;
    for tick in scale.ticks() {
        let x = scale.at(tick);
        p.line(&[(x, first), (x, floor)], 0.5, Ink::Grid);
        p.text(
            wording::round(tick),
            (x, floor + 12.0),
            Type::Small,
            Align::Middle,
            Ink::Muted,
        );
    }
    let mut description = String::new();
    for (i, step) in ladder.rungs.iter().enumerate() {
        let y = first + ROW * i as f64;
        let label = format!("{}  {}", i + 1, step.title);
        p.rect(LEFT, y, RIGHT - LEFT, 20.0, Ink::Paper);
        p.text(
            fit(&label, RIGHT - LEFT, Type::Label),
            (LEFT, y + 10.0),
            Type::Label,
            Align::Left,
            Ink::Text,
        );
        description += &format!("{}: ", step.title);
        let sides = [
            (step.comparison.before(), Ink::Before, "from "),
            (step.comparison.after(), Ink::After, "to "),
        ];
        let (note, note_ink) = no_time(&step.comparison);
        if !note.is_empty() {
            let note = fit(&note, RIGHT - LEFT - 4.0, Type::Small);
            p.note(&note, LEFT + 2.0, y + 28.0, note_ink);
            description += &format!("{note}. ");
        }
        for (k, (side, ink, word)) in sides.into_iter().enumerate() {
            let y = y + 28.0 + 14.0 * k as f64;
            let Some(f) = side else { continue };
            let e = &f.token_s;
            p.rect(LEFT, y - 6.0, scale.at(e.value) - LEFT, 12.0, ink);
            p.whisker_h(scale.at(e.low), scale.at(e.high), y, Ink::Text);
            let text = format!("{} token/s", number(e.value));
            p.note(&text, scale.at(e.high) + 8.0, y, Ink::Text);
            description += &format!("{word}{text}. ");
        }
    }
    Some(Chart {
        name: "before_after",
        title,
        description,
        picture: p,
    })
}

/// What stands in place of both bars, or of the upper one.
fn no_time(c: &Comparison) -> (String, Ink) {
    match c {
        Comparison::Timed { .. } => (String::new(), Ink::Muted),
        Comparison::Mended {
            error_before: error,
            ..
        }
        | Comparison::Wrong { error } => {
            let error = fraction(error.relative_error);
            (format!("wrong answer, {error} error: no time"), Ink::Wrong)
        }
        Comparison::NotRun { why } => (format!("not run: {why}"), Ink::Muted),
    }
}

/// Each step alone, and in the full set.
pub fn isolated(ladder: &Ladder) -> Option<Chart> {
    let find = |list: &'_ [Isolated], id: &str| {
        list.iter()
            .find(|i| i.step == id)
            .map(|i| i.comparison.clone())
    };
    let rows: Vec<_> = ladder
        .rungs
        .iter()
        .map(|s| (s, find(&ladder.alone, &s.id), find(&ladder.left_out, &s.id)))
        .collect();
    let speedups: Vec<Estimate> = rows
        .iter()
        .flat_map(|(_, a, l)| [a, l])
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
    let high = speedups.iter().map(|e| e.high).fold(1.0, f64::max);
    let scale = Scale::log(low * 0.8, high, (LEFT + 8.0, RIGHT - 70.0));

    const ROW: f64 = 60.0;
    let keys = [
        (Key::Dot, Ink::After, "alone, on the original".to_owned()),
        (
            Key::Diamond,
            Ink::Claimed,
            "in the full set: with it / without it".to_owned(),
        ),
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
    for (i, (step, alone, left_out)) in rows.iter().enumerate() {
        let y = first + ROW * i as f64;
        p.rect(LEFT, y, RIGHT - LEFT, 20.0, Ink::Paper);
        p.text(
            fit(
                &format!("{}  {}", i + 1, step.title),
                RIGHT - LEFT,
                Type::Label,
            ),
            (LEFT, y + 10.0),
            Type::Label,
            Align::Left,
            Ink::Text,
        );
        description += &format!("{}: ", step.title);
        for (k, (c, name)) in [(alone, "alone"), (left_out, "in the full set")]
            .into_iter()
            .enumerate()
        {
            let y = y + 29.0 + 17.0 * k as f64;
            match c.as_ref().and_then(Comparison::speedup) {
                Some(e) => {
                    p.whisker_h(scale.at(e.low), scale.at(e.high), y, Ink::Text);
                    if k == 0 {
                        p.dot(scale.at(e.value), y, Ink::After, true);
                    } else {
                        p.diamond(scale.at(e.value), y, Ink::Claimed);
                    }
                    let x = scale.at(e.high).max(scale.at(e.value) + 4.0) + 8.0;
                    p.text(times(e.value), (x, y), Type::Small, Align::Left, Ink::Text);
                    description += &format!("{name} {}; ", times(e.value));
                }
                None => {
                    let (note, ink) = match c {
                        None => ("not run".to_owned(), Ink::Muted),
                        Some(Comparison::Wrong { error }) => (
                            format!("wrong answer, {} error", fraction(error.relative_error)),
                            Ink::Wrong,
                        ),
                        Some(Comparison::Mended { error_before, .. }) => (
                            format!(
                                "wrong without it, {} error",
                                fraction(error_before.relative_error)
                            ),
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

/// A token's time by part, one stacked bar a state.
pub fn parts(profiles: &[Profile]) -> Option<Chart> {
    let mut names: Vec<&str> = Vec::new();
    for part in profiles.iter().flat_map(|p| &p.parts) {
        if !names.contains(&part.part.as_str()) {
            names.push(&part.part);
        }
    }
    if names.is_empty() {
        return None;
    }
    const SERIES: usize = 8;
    let ink = |name: &str| {
        let i = names.iter().position(|n| *n == name).unwrap_or(SERIES);
        Ink::Series(i.min(SERIES - 1))
    };
    let mut keys: Vec<_> = names
        .iter()
        .take(if names.len() > SERIES {
            SERIES - 1
        } else {
            SERIES
        })
        .map(|n| (Key::Box, ink(n), (*n).to_owned()))
        .collect();
    if names.len() > SERIES {
        keys.push((Key::Box, Ink::Series(SERIES - 1), "the rest".to_owned()));
    }
    const ROW: f64 = 56.0;
    let first = 56.0;
    let floor = first + ROW * profiles.len() as f64;
    let mut p = Picture::new(floor + 14.0 + legend_height(&keys));
    let title = "Where a token's time goes".to_owned();
    heading(&mut p, &title, "% of one token's time");
    let scale = Scale::from_zero(100.0, (LEFT, RIGHT));
    let mut description = String::new();
    for (i, profile) in profiles.iter().enumerate() {
        let y = first + ROW * i as f64;
        let total: f64 = profile.parts.iter().map(|p| p.us).sum();
        let time = format!("{} ms/token", number(total / 1000.0));
        let room = RIGHT - LEFT - text_width(&time, Type::Label) * 1.12 - 8.0;
        p.text(
            fit(&profile.state, room, Type::Label),
            (LEFT, y + 10.0),
            Type::Label,
            Align::Left,
            Ink::Text,
        );
        p.text(
            &time,
            (RIGHT, y + 10.0),
            Type::Label,
            Align::Right,
            Ink::Text,
        );
        description += &format!("{}, {time}: ", profile.state);
        let mut from = 0.0;
        for part in &profile.parts {
            let (x0, x1) = (scale.at(from), scale.at(from + part.share));
            p.rect(
                x0,
                y + 20.0,
                (x1 - x0 - 1.0).max(0.5),
                24.0,
                ink(&part.part),
            );
            let label = format!("{}%", wording::significant(part.share, 2));
            if text_width(&label, Type::Small) * 1.12 + 8.0 < x1 - x0 {
                p.text(
                    label,
                    ((x0 + x1) / 2.0, y + 32.0),
                    Type::Small,
                    Align::Middle,
                    Ink::Paper,
                );
            }
            description += &format!("{} {}; ", part.part, percent(part.share));
            from += part.share;
        }
    }
    legend(&mut p, floor + 8.0, &keys);
    Some(Chart {
        name: "parts",
        title,
        description,
        picture: p,
    })
}
