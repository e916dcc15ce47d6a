//! The lines behind a plot, and the figures at their ends.

use super::RIGHT;
use super::axis::Scale;
use super::palette::Ink;
use super::picture::{Align, Picture, Type};
use crate::report::wording;

/// A line across the plot for each figure of `y`, which is named left of it. The plot begins at
/// `left`.
pub fn rows(p: &mut Picture, y: &Scale, left: f64) {
    for tick in y.ticks() {
        let at = y.at(tick);
        p.line(&[(left, at), (RIGHT, at)], 0.5, Ink::Grid);
        p.text(
            wording::round(tick),
            (left - 8.0, at),
            Type::Small,
            Align::Right,
            Ink::Muted,
        );
    }
}

/// A line down the plot for each figure of `x`, whose `name` stands below. The plot reaches from
/// `top` to `floor`.
pub fn columns(p: &mut Picture, x: &Scale, (top, floor): (f64, f64), name: impl Fn(f64) -> String) {
    for tick in x.ticks() {
        let at = x.at(tick);
        p.line(&[(at, top), (at, floor)], 0.5, Ink::Grid);
        p.text(
            name(tick),
            (at, floor + 12.0),
            Type::Small,
            Align::Middle,
            Ink::Muted,
        );
    }
}
