//! Bars: token/s before and after each step.

use super::axis::Scale;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit};
use super::{Chart, Key, LEFT, RIGHT, grid, heading, legend, legend_height};
use crate::report::finding;
use crate::report::wording::{self, error_off, number};
use crate::run::{Comparison, Estimate, Ladder};

/// Beyond this ratio of largest to smallest, a linear axis hides the small ones.
const LOG_BEYOND: f64 = 20.0;

/// Token/s before and after each step; `on` says what was cut from the model.
pub fn before_after(ladder: &Ladder, on: &str) -> Option<Chart> {
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
    let scaled = if log { ", log scale" } else { "" };
    let unit = format!("token/s{on}{scaled}; whiskers: intervals");
    heading(&mut p, &title, &unit);
    legend(&mut p, 58.0, &keys);

    let floor = first + ROW * ladder.rungs.len() as f64;
    grid::columns(&mut p, &scale, (first, floor), wording::round);
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

/// What stands in place of both bars, or of the upper one, and in which ink.
pub fn no_time(c: &Comparison) -> (String, Ink) {
    match c {
        Comparison::Timed { .. } => (String::new(), Ink::Muted),
        Comparison::Mended {
            error_before: error,
            ..
        }
        | Comparison::Wrong { error } => (format!("{}: no time", error_off(error)), Ink::Wrong),
        other => (finding::no_time(other), Ink::Muted),
    }
}
