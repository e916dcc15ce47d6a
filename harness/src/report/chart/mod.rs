//! The charts of a run.

mod axis;
mod bars;
pub mod beside;
mod cache;
mod curves;
mod depth;
pub mod forest;
mod grid;
mod latency;
mod limits;
mod palette;
mod parts;
mod picture;
mod staircase;
pub mod trend;
mod worth;

pub use curves::scaling;
pub use palette::dark_rules;

use super::ReportError;
use super::summary::cut;
use crate::run::{Measured, Run};
use picture::{Align, Picture, Type, WIDTH};

/// A chart, ready to be written.
pub struct Chart {
    /// Name of its files and its anchor.
    pub name: &'static str,
    /// Its title.
    pub title: String,
    /// What it shows, for whoever can't see it.
    pub description: String,
    picture: Picture,
}

impl Chart {
    /// The chart as an SVG document.
    ///
    /// # Errors
    /// The drawing library's.
    pub fn svg(&self) -> Result<String, ReportError> {
        self.picture.svg(self.name, &self.title, &self.description)
    }

    /// The chart as a PNG file.
    ///
    /// # Errors
    /// The drawing library's.
    pub fn png(&self) -> Result<Vec<u8>, ReportError> {
        self.picture.png(self.name)
    }
}

/// Names of all charts that this build can draw.
pub const NAMES: [&str; 11] = [
    "before_after",
    "cumulative",
    "isolated",
    "parts",
    "roofline",
    "scaling",
    "latency",
    "cache",
    "depth",
    "prefetch",
    "staircase",
];

/// Every chart that the run has data for, in the order of the page.
pub fn all(run: &Run) -> Vec<Chart> {
    let ladder = run.ladder.get();
    let yardsticks = run.yardsticks.get();
    // A cut model's token/s must not be taken for the whole one's.
    let on = cut(run).map_or_else(String::new, |cut| format!(" on {cut}"));
    [
        ladder.and_then(|l| bars::before_after(l, &on)),
        ladder.and_then(|l| curves::cumulative(l, &on)),
        ladder.and_then(worth::isolated),
        run.profiles
            .get()
            .and_then(|p| parts::parts(p, ladder, &on)),
        match (&run.products, yardsticks) {
            (Measured::Is(p), Some(y)) => limits::roofline(p, y),
            _ => None,
        },
        run.scaling.get().and_then(|s| curves::scaling(s)),
        run.latency.get().and_then(latency::latency),
        run.generation.get().and_then(cache::cache),
        run.agreement
            .get()
            .and_then(|a| a.depth.get())
            .and_then(|d| depth::depth(d)),
        run.cache
            .get()
            .and_then(|c| c.prefetch.get())
            .and_then(staircase::prefetch),
        run.cache
            .get()
            .and_then(|c| staircase::staircase(c, &run.products)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Left and right edge of what is drawn.
const LEFT: f64 = 10.0;
const RIGHT: f64 = WIDTH - 10.0;

/// Title and, below it, unit and reading.
fn heading(p: &mut Picture, title: &str, unit: &str) {
    let width = RIGHT - LEFT;
    p.text(
        picture::fit(title, width, Type::Title),
        (LEFT, 16.0),
        Type::Title,
        Align::Left,
        palette::Ink::Text,
    );
    p.text(
        picture::fit(unit, width, Type::Small),
        (LEFT, 36.0),
        Type::Small,
        Align::Left,
        palette::Ink::Muted,
    );
}

/// How a legend's entry looks.
#[derive(Clone, Copy)]
enum Key {
    Box,
    Dot,
    Diamond,
    Dashes,
    Tick,
}

/// A legend that wraps; returns where it ends.
fn legend(p: &mut Picture, y: f64, entries: &[(Key, palette::Ink, String)]) -> f64 {
    let (mut x, mut y) = (LEFT, y);
    for (key, ink, text) in entries {
        let text = picture::fit(text, RIGHT - LEFT - 20.0, Type::Small);
        // Room for a browser's own, wider font.
        let width = 18.0 + picture::text_width(&text, Type::Small) * 1.12 + 12.0;
        if x > LEFT && x + width - 12.0 > RIGHT {
            x = LEFT;
            y += 18.0;
        }
        match key {
            Key::Box => p.rect(x, y - 5.0, 10.0, 10.0, *ink),
            Key::Dot => p.dot(x + 5.0, y, *ink, true),
            Key::Diamond => p.diamond(x + 5.0, y, *ink),
            Key::Dashes => p.dashes(&[(x - 2.0, y), (x + 13.0, y)], 2.0, *ink),
            Key::Tick => p.rect(x + 4.0, y - 6.0, 2.0, 12.0, *ink),
        }
        p.text(
            text,
            (x + 18.0, y),
            Type::Small,
            Align::Left,
            palette::Ink::Muted,
        );
        x += width;
    }
    y + 18.0
}

/// Height of a legend of these entries.
fn legend_height(entries: &[(Key, palette::Ink, String)]) -> f64 {
    legend(&mut Picture::new(0.0), 0.0, entries)
}
