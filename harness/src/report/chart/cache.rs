//! What the KV cache is worth, by positions of context.

use super::axis::{Scale, log2};
use super::palette::Ink;
use super::picture::{Align, Picture, Type};
use super::{Chart, Key, LEFT, RIGHT, grid, heading, legend, legend_height};
use crate::report::wording::{number, times};
use crate::run::{Estimate, Generation};

const PLOT: f64 = 190.0;

/// Milliseconds a token with the cache and without.
pub fn cache(g: &Generation) -> Option<Chart> {
    let points: Vec<(usize, Estimate, Estimate, Option<f64>)> = g
        .contexts
        .iter()
        .filter(|c| c.positions > 0)
        .filter_map(|c| {
            let gain = c.speedup.get().map(|e| e.value);
            Some((c.positions, *c.without_ms.get()?, *c.with_ms.get()?, gain))
        })
        .filter(|(_, without, with, _)| without.low > 0.0 && with.low > 0.0)
        .collect();
    let least = points.iter().map(|p| p.0).min()?;
    let most = points.iter().map(|p| p.0).max()?;
    let ends = || points.iter().flat_map(|p| [p.1, p.2]);
    let low = ends().map(|e| e.low).min_by(f64::total_cmp)?;
    let high = ends().map(|e| e.high).fold(low, f64::max);
    let keys = [
        (
            Key::Dot,
            Ink::Before,
            "the whole text for every token".to_owned(),
        ),
        (Key::Dot, Ink::After, "with the KV cache".to_owned()),
    ];
    let first = 64.0 + legend_height(&keys);
    let floor = first + PLOT;
    let mut p = Picture::new(floor + 40.0);
    let title = "What the KV cache is worth".to_owned();
    let on = g
        .model
        .cut()
        .map_or_else(String::new, |c| format!(" on {c}"));
    heading(
        &mut p,
        &title,
        &format!("ms a token{on}, log scale; ×: gain; whiskers: intervals"),
    );
    legend(&mut p, 58.0, &keys);
    let y = Scale::log(low * 0.9, high * 1.3, (floor, first));
    let left = LEFT + 40.0;
    grid::rows(&mut p, &y, left);
    let x = |positions: usize| {
        let (from, to) = (log2(least as f64), log2(most as f64));
        let part = match to > from {
            true => (log2(positions as f64) - from) / (to - from),
            false => 0.5,
        };
        left + 20.0 + (RIGHT - 24.0 - left - 20.0) * part
    };
    let mut description = String::new();
    for (ink, of) in [
        (
            Ink::Before,
            (|p| p.1) as fn(&(usize, Estimate, Estimate, Option<f64>)) -> Estimate,
        ),
        (Ink::After, |p| p.2),
    ] {
        let line: Vec<_> = points.iter().map(|q| (x(q.0), y.at(of(q).value))).collect();
        p.line(&line, 2.0, ink);
        for q in &points {
            let e = of(q);
            p.whisker_v(x(q.0), y.at(e.low), y.at(e.high), Ink::Text);
            p.dot(x(q.0), y.at(e.value), ink, true);
        }
    }
    for (positions, without, with, gain) in &points {
        let at = x(*positions);
        p.text(
            positions.to_string(),
            (at, floor + 13.0),
            Type::Small,
            Align::Middle,
            Ink::Muted,
        );
        let worth = gain.map_or_else(String::new, times);
        let above = y.at(without.high.max(with.high)) - 13.0;
        p.text(&worth, (at, above), Type::Label, Align::Middle, Ink::Text);
        description += &format!(
            "{positions} positions: {} ms without, {} ms with, {worth}. ",
            number(without.value),
            number(with.value)
        );
    }
    p.text(
        "positions of context",
        ((left + RIGHT) / 2.0, floor + 29.0),
        Type::Small,
        Align::Middle,
        Ink::Muted,
    );
    Some(Chart {
        name: "cache",
        title,
        description,
        picture: p,
    })
}
