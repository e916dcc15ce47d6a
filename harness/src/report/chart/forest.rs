//! Verdicts as a forest plot: a row a case, its speedup and interval, and the margin as a band.

use super::axis::log2;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit, text_width};
use super::{Chart, Key, LEFT, RIGHT, heading, legend, legend_height};
use crate::export::with;
use crate::measure::Verdict;
use crate::report::wording::{plural, round};
use crate::verdicts::{CaseVerdict, Verdicts};

/// Rows that are drawn; the page's tables have all.
const ROWS: usize = 200;
/// Name and figure, and below them the interval: names of cases are long, and a phone is narrow.
const ROW: f64 = 28.0;
/// Where in a row the interval's strip begins.
const STRIP: f64 = 16.0;
/// Where the axis begins and ends.
const PLOT: (f64, f64) = (LEFT + 6.0, RIGHT - 6.0);

/// Positions of speedups, equal distances for equal factors.
struct Window {
    low: f64,
    high: f64,
}

impl Window {
    /// Holds the margin and every speedup. An interval may be far wider than all speedups; it then
    /// ends at the edge, so that the others can still be told apart.
    fn of(v: &Verdicts) -> Option<Self> {
        let real = |x: &f64| x.is_finite() && *x > 0.0;
        let band = 1.0 + v.margin.max(0.0);
        let points = v.cases.iter().filter_map(|c| c.speedup).filter(real);
        let (low, high) = points.fold((1.0 / band, band), |(l, h), x| (l.min(x), h.max(x)));
        let reach = high / low;
        let ends = v.cases.iter().flat_map(|c| [c.low, c.high]);
        let (widest_low, widest_high) = ends
            .flatten()
            .filter(real)
            .fold((low, high), |(l, h), x| (l.min(x), h.max(x)));
        let low = widest_low.max(low / reach);
        let high = widest_high.min(high * reach);
        let window = Self {
            low: low / (high / low).powf(0.02),
            high: high * (high / low).powf(0.02),
        };
        (window.low > 0.0 && window.high.is_finite() && window.high > window.low).then_some(window)
    }

    fn at(&self, x: f64) -> f64 {
        let part = (log2(x.clamp(self.low, self.high)) - log2(self.low))
            / (log2(self.high) - log2(self.low));
        PLOT.0 + (PLOT.1 - PLOT.0) * part
    }

    /// Round speedups within the window, about half a dozen, 1 among them.
    fn ticks(&self) -> Vec<f64> {
        const STEPS: [f64; 11] = [
            0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
        ];
        let inside = |x: &f64| *x >= self.low && *x <= self.high;
        if self.high / self.low < 3.0 {
            for step in STEPS {
                let (from, to) = ((self.low - 1.0) / step, (self.high - 1.0) / step);
                let (from, to) = (from.ceil() as i64, to.floor() as i64);
                if to - from < 5 {
                    return (from..=to).map(|k| 1.0 + k as f64 * step).collect();
                }
            }
        }
        let mut ticks: Vec<f64> = Vec::new();
        let mut decade = 1e-6;
        while decade < 1e7 {
            ticks.extend(
                [1.0, 2.0, 5.0]
                    .map(|m| m * decade)
                    .iter()
                    .filter(|x| inside(x)),
            );
            decade *= 10.0;
        }
        let every = ticks.len().div_ceil(6).max(1);
        ticks.into_iter().step_by(every).collect()
    }
}

/// The chart; `None` without a case.
pub fn verdicts(v: &Verdicts) -> Option<Chart> {
    let window = Window::of(v)?;
    let order = [
        Verdict::Regressed,
        Verdict::Improved,
        Verdict::Unclear,
        Verdict::Unchanged,
    ];
    let mut rows: Vec<&CaseVerdict> = order.into_iter().flat_map(|o| with(v, o)).collect();
    if rows.is_empty() {
        return None;
    }
    let hidden = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);

    let keys = [
        (Key::Dot, Ink::Wrong, "regressed".to_owned()),
        (Key::Dot, Ink::Series(1), "improved".to_owned()),
        (Key::Dot, Ink::Claimed, "unclear".to_owned()),
        (Key::Dot, Ink::Before, "unchanged".to_owned()),
        (Key::Box, Ink::Grid, "margin".to_owned()),
    ];
    let first = 58.0 + legend_height(&keys);
    let floor = first + ROW * rows.len() as f64 + 4.0;
    let mut p = Picture::new(floor + 24.0);
    let title = "After against before".to_owned();
    heading(
        &mut p,
        &title,
        "speedup, ×; right of 1: faster; whiskers: intervals",
    );
    legend(&mut p, 58.0, &keys);

    for tick in window.ticks() {
        p.text(
            format!("{}×", round(tick)),
            (window.at(tick), floor + 12.0),
            Type::Small,
            Align::Middle,
            Ink::Muted,
        );
    }
    let mut description = String::new();
    if !v.not_checked.is_empty() {
        description += &format!("{} not checked. ", plural(v.not_checked.len(), "case"));
    }
    for (i, c) in rows.iter().enumerate() {
        let y = first + ROW * i as f64;
        strip(&mut p, &window, v.margin, y + STRIP);
        row(&mut p, &window, c, y);
        let speedup = c.speedup.map_or_else(|| "no speedup".into(), four_digits);
        description += &format!("{}: {} {speedup}. ", c.case, c.verdict);
    }
    if hidden > 0 {
        description += &format!("{} more are in the table.", plural(hidden, "case"));
    }
    Some(Chart {
        name: "verdicts",
        title,
        description,
        picture: p,
    })
}

/// Margin and grid of one row, from `y` down: drawn through, they would cross the names.
fn strip(p: &mut Picture, window: &Window, margin: f64, y: f64) {
    let band = 1.0 + margin.max(0.0);
    let (from, to) = (window.at(1.0 / band), window.at(band));
    let height = ROW - STRIP;
    p.rect(from, y, to - from, height, Ink::Grid);
    for tick in window.ticks() {
        let x = window.at(tick);
        let ink = if tick == 1.0 { Ink::Muted } else { Ink::Grid };
        p.line(&[(x, y), (x, y + height)], 0.5, ink);
    }
}

fn row(p: &mut Picture, window: &Window, c: &CaseVerdict, y: f64) {
    let ink = match c.verdict {
        Verdict::Regressed => Ink::Wrong,
        Verdict::Improved => Ink::Series(1),
        Verdict::Unclear => Ink::Claimed,
        Verdict::Unchanged => Ink::Before,
    };
    let name_ink = if c.verdict == Verdict::Unchanged {
        Ink::Muted
    } else {
        Ink::Text
    };
    let figure = c.speedup.map_or_else(|| "no speedup".into(), four_digits);
    let room = RIGHT - LEFT - text_width(&figure, Type::Small) * 1.12 - 10.0;
    let name = shortened(&c.case, room);
    let middle = y + 9.0;
    p.text(name, (LEFT, middle), Type::Small, Align::Left, name_ink);
    p.text(figure, (RIGHT, middle), Type::Small, Align::Right, name_ink);
    let y = y + STRIP + (ROW - STRIP) / 2.0;
    // Two verdicts in one ink would be told apart by nothing in print: decided ones are filled.
    let filled = c.verdict != Verdict::Unclear;
    let real = |x: Option<f64>| x.filter(|x| x.is_finite() && *x > 0.0);
    let (low, high) = (real(c.low), real(c.high));
    let Some(speedup) = real(c.speedup) else {
        return;
    };
    let (x0, x1) = (
        low.map_or(PLOT.0, |x| window.at(x)),
        high.map_or(PLOT.1, |x| window.at(x)),
    );
    p.line(&[(x0, y), (x1, y)], 1.0, Ink::Text);
    // A cap is where the interval ends; where it goes on beyond the edge there is none.
    for (end, x) in [(low, x0), (high, x1)] {
        if end.is_some_and(|e| e >= window.low && e <= window.high) {
            p.line(&[(x, y - 3.0), (x, y + 3.0)], 1.0, Ink::Text);
        }
    }
    p.dot(window.at(speedup), y, ink, filled);
}

/// `1.0213×`; beyond 10, three significant digits.
fn four_digits(x: f64) -> String {
    if (0.1..10.0).contains(&x) {
        format!("{x:.4}×")
    } else {
        super::super::wording::times(x)
    }
}

/// A name cut in its middle: cases differ at their ends.
pub fn shortened(name: &str, width: f64) -> String {
    let whole = fit(name, f64::INFINITY, Type::Small);
    if fit(&whole, width, Type::Small) == whole {
        return whole;
    }
    let chars: Vec<char> = whole.chars().collect();
    let wide = |head: usize, tail: usize| {
        let text: String = chars[..head]
            .iter()
            .chain(['…'].iter())
            .chain(&chars[chars.len() - tail..])
            .collect();
        (text_width(&text, Type::Small) * 1.12 <= width).then_some(text)
    };
    // Far fewer characters than this fit, and a hostile name may have millions.
    let most = chars.len().min(120);
    (1..most)
        .rev()
        .find_map(|n| wide(n / 2, n - n / 2))
        .unwrap_or_else(|| "…".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(low: f64, high: f64) -> Window {
        Window { low, high }
    }

    #[test]
    fn ticks_are_round_and_few_in_narrow_and_wide_windows() {
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near(&window(0.97, 1.03).ticks(), &[0.98, 1.0, 1.02]));
        assert!(near(&window(0.4, 6.0).ticks(), &[0.5, 1.0, 2.0, 5.0]));
        for (low, high) in [(0.999, 1.001), (0.5, 1.4), (0.01, 300.0), (0.9, 1.0005)] {
            let ticks = window(low, high).ticks();
            assert!((1..=7).contains(&ticks.len()), "{low} {high}: {ticks:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_both_ends() {
        let name = format!("begin{}end", "x".repeat(100_000));
        let short = shortened(&name, 150.0);
        assert!(
            short.starts_with("begin") && short.ends_with("end"),
            "{short}"
        );
        assert!(short.contains('…') && short.chars().count() < 60);
        assert_eq!(shortened("short", 150.0), "short");
    }
}
