//! Where a token's time goes.

use super::axis::Scale;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit, text_width};
use super::{Chart, Key, LEFT, RIGHT, heading, legend, legend_height};
use crate::report::wording::{self, number, percent};
use crate::run::{Ladder, Profile};

/// What the parts too small for a colour of their own are called together.
const REST: &str = "the rest";

/// The states that tell the story, with a name for people.
fn shown<'a>(profiles: &'a [Profile], ladder: Option<&Ladder>) -> Vec<(String, &'a Profile)> {
    let named = |state: &str| profiles.iter().find(|p| p.state == state);
    let rungs = ladder.map_or(&[][..], |l| l.rungs.as_slice());
    let right = |at: &usize| rungs[*at].comparison.after().is_some();
    let ends = [
        (0..rungs.len()).find(right),
        rungs.len().checked_sub(1).filter(right),
    ];
    let mut out: Vec<(String, &Profile)> = Vec::new();
    out.extend(named("original").map(|p| ("original".to_owned(), p)));
    for at in ends.into_iter().flatten() {
        if let Some(p) = named(&rungs[at].id)
            && out.iter().all(|(_, other)| other.state != p.state)
        {
            out.push((format!("after step {}: {}", at + 1, rungs[at].title), p));
        }
    }
    // States under names of their own.
    if out.len() < 2 {
        let few = profiles
            .iter()
            .take(2)
            .chain(profiles.iter().skip(2).last());
        out = few.map(|p| (p.state.clone(), p)).collect();
    }
    out
}

/// A token's time by part, one stacked bar a state: where it began, the first state after it that
/// answers right, and the end. The table has all others.
pub fn parts(profiles: &[Profile], ladder: Option<&Ladder>, on: &str) -> Option<Chart> {
    let shown = shown(profiles, ladder);
    let mut names: Vec<&str> = Vec::new();
    for part in shown.iter().flat_map(|(_, p)| &p.parts) {
        if !names.contains(&part.part.as_str()) {
            names.push(&part.part);
        }
    }
    if names.is_empty() {
        return None;
    }
    let largest = |name: &str| {
        let all = shown.iter().flat_map(|(_, p)| &p.parts);
        all.filter(|p| p.part == name)
            .map(|p| p.share)
            .fold(0.0, f64::max)
    };
    // Colours are few: the largest parts have one each, the small ones share the last.
    const SERIES: usize = 8;
    let mut own = names.clone();
    if own.len() > SERIES {
        own.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
        own.truncate(SERIES - 1);
    }
    let others: Vec<&str> = names.iter().filter(|n| !own.contains(n)).copied().collect();
    own = names.into_iter().filter(|n| own.contains(n)).collect();
    let mut keys: Vec<_> = own
        .iter()
        .enumerate()
        .map(|(i, n)| (Key::Box, Ink::Series(i), (*n).to_owned()))
        .collect();
    if !others.is_empty() {
        keys.push((Key::Box, Ink::Series(SERIES - 1), REST.to_owned()));
    }
    const ROW: f64 = 56.0;
    let first = 56.0;
    let floor = first + ROW * shown.len() as f64;
    let mut p = Picture::new(floor + 14.0 + legend_height(&keys));
    let title = "Where a token's time goes".to_owned();
    heading(&mut p, &title, &format!("% of one token's time{on}"));
    let scale = Scale::from_zero(100.0, (LEFT, RIGHT));
    let mut description = String::new();
    for (i, (name, profile)) in shown.iter().enumerate() {
        let y = first + ROW * i as f64;
        let total: f64 = profile.parts.iter().map(|p| p.us).sum();
        let time = format!("{} ms/token", number(total / 1000.0));
        let room = RIGHT - LEFT - text_width(&time, Type::Label) * 1.12 - 8.0;
        p.text(
            fit(name, room, Type::Label),
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
        description += &format!("{name}, {time}: ");
        let mut from = 0.0;
        let of = |name: &str| {
            let parts = profile.parts.iter().filter(|p| p.part == name);
            parts.map(|p| p.share).sum::<f64>()
        };
        let mut segments: Vec<(Ink, &str, f64)> = own
            .iter()
            .enumerate()
            .map(|(i, name)| (Ink::Series(i), *name, of(name)))
            .collect();
        if !others.is_empty() {
            let share = others.iter().map(|n| of(n)).sum();
            segments.push((Ink::Series(SERIES - 1), REST, share));
        }
        for (ink, part, share) in segments {
            let (x0, x1) = (scale.at(from), scale.at(from + share));
            p.rect(x0, y + 20.0, (x1 - x0 - 1.0).max(0.5), 24.0, ink);
            let label = format!("{}%", wording::significant(share, 2));
            if text_width(&label, Type::Small) * 1.12 + 8.0 < x1 - x0 {
                p.text(
                    label,
                    ((x0 + x1) / 2.0, y + 32.0),
                    Type::Small,
                    Align::Middle,
                    Ink::Paper,
                );
            }
            description += &format!("{part} {}; ", percent(share));
            from += share;
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
