//! Times of several tools as bars on one axis.

use super::axis::Scale;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit, text_width};
use super::{Chart, Key, LEFT, RIGHT, grid, heading, legend, legend_height};
use crate::report::wording::significant;

/// One time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What was timed.
    pub case: String,
    /// Index of the source in the chart's list.
    pub source: usize,
    /// Nanoseconds; finite and above zero.
    pub ns: f64,
    /// Its interval, where there is one.
    pub ends: Option<(f64, f64)>,
}

/// Bars that are drawn.
const ROWS: usize = 120;

/// Times on one logarithmic axis; bars of one name stand together, those of several sources first.
/// `None` without a bar.
pub fn beside(sources: &[String], bars: &[Bar]) -> Option<Chart> {
    let real = |x: f64| x.is_finite() && x > 0.0;
    let bars: Vec<&Bar> = bars.iter().filter(|b| real(b.ns)).collect();
    let mut names: Vec<&str> = Vec::new();
    for bar in &bars {
        if !names.contains(&bar.case.as_str()) {
            names.push(&bar.case);
        }
    }
    let shared = |name: &str| {
        let mut of = bars.iter().filter(|b| b.case == name).map(|b| b.source);
        let first = of.next();
        of.any(|source| Some(source) != first)
    };
    names.sort_by_key(|name| !shared(name));
    let low = bars.iter().map(|b| b.ns).min_by(f64::total_cmp)?;
    let high = bars.iter().map(|b| b.ns).fold(low, f64::max);
    let scale = Scale::log(low * 0.5, high, (LEFT, RIGHT - 78.0));

    const BAR: f64 = 14.0;
    const NAME: f64 = 18.0;
    let keys: Vec<_> = sources
        .iter()
        .enumerate()
        .map(|(i, name)| (Key::Box, Ink::Series(i), name.clone()))
        .collect();
    let mut drawn = Vec::new();
    let mut hidden = 0;
    let mut height = 0.0;
    for name in &names {
        let of: Vec<_> = bars.iter().filter(|b| b.case == *name).collect();
        if drawn.len() + of.len() > ROWS {
            hidden += of.len();
            continue;
        }
        for (k, bar) in of.into_iter().enumerate() {
            height += if k == 0 { NAME + 4.0 } else { 0.0 };
            drawn.push((height, k == 0, *bar));
            height += BAR;
        }
    }
    let first = 58.0 + legend_height(&keys);
    let floor = first + height + 4.0;
    let mut p = Picture::new(floor + 24.0);
    let title = "Times side by side".to_owned();
    let more = match hidden {
        0 => String::new(),
        n => format!("; {n} more are not drawn"),
    };
    let unit = format!("time, logarithmic; whiskers: intervals; measured apart{more}");
    heading(&mut p, &title, &unit);
    legend(&mut p, 58.0, &keys);
    grid::columns(&mut p, &scale, (first, floor), |tick| time(tick, 1));
    let mut description = String::new();
    for (y, is_first, bar) in drawn {
        let y = first + y;
        if is_first {
            let name = fit(&bar.case, RIGHT - LEFT, Type::Small);
            p.rect(
                LEFT,
                y - NAME,
                text_width(&name, Type::Small) * 1.12,
                NAME - 2.0,
                Ink::Paper,
            );
            p.text(
                name,
                (LEFT, y - NAME / 2.0),
                Type::Small,
                Align::Left,
                Ink::Text,
            );
        }
        p.rect(
            LEFT,
            y + 1.0,
            scale.at(bar.ns) - LEFT,
            BAR - 3.0,
            Ink::Series(bar.source),
        );
        let middle = y + BAR / 2.0;
        let mut end = scale.at(bar.ns);
        if let Some((low, high)) = bar.ends.filter(|(l, h)| real(*l) && real(*h)) {
            p.whisker_h(scale.at(low), scale.at(high), middle, Ink::Text);
            end = end.max(scale.at(high));
        }
        p.note(&time(bar.ns, 3), end + 6.0, middle, Ink::Text);
        let source = sources.get(bar.source).map_or("", String::as_str);
        description += &format!("{}, {source}: {}. ", bar.case, time(bar.ns, 3));
    }
    Some(Chart {
        name: "beside",
        title,
        description,
        picture: p,
    })
}

fn time(ns: f64, digits: usize) -> String {
    let (value, unit) = match ns {
        x if x < 1e3 => (x, "ns"),
        x if x < 1e6 => (x / 1e3, "µs"),
        x if x < 1e9 => (x / 1e6, "ms"),
        x => (x / 1e9, "s"),
    };
    format!("{} {unit}", significant(value, digits))
}
