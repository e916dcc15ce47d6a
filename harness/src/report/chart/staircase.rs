//! The staircase of the machine's memory, and where its products stand on it; prefetch distances.

use super::axis::{Scale, log2};
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit};
use super::{Chart, Key, LEFT, RIGHT, grid, heading, legend, legend_height};
use crate::report::cache::{set, size};
use crate::report::wording::{self, number, times};
use crate::run::{CacheStudy, Estimate, Measured, Prefetch, Product, Stair};

const PLOT: f64 = 170.0;
/// Room for a second axis's figures below the first plot.
const GAP: f64 = 34.0;

/// Read bandwidth above, load latency below, by working set; products of one thread among the
/// bandwidths, at their bytes.
pub fn staircase(study: &CacheStudy, products: &Measured<Vec<Product>>) -> Option<Chart> {
    let of = |value: fn(&Stair) -> &Measured<Estimate>| -> Vec<(u64, Estimate)> {
        let stairs = study.stairs.iter();
        let points = stairs.filter_map(|s| Some((s.bytes, *value(s).get()?)));
        points
            .filter(|(bytes, e)| *bytes > 0 && e.low > 0.0)
            .collect()
    };
    let (read, load) = (of(|s| &s.read_gb_s), of(|s| &s.load_ns));
    let products: Vec<(&Product, f64, f64)> = products
        .get()
        .into_iter()
        .flatten()
        .filter(|p| p.threads == 1)
        .filter_map(|p| {
            let bytes = (p.n * p.k) as f64 * p.bits_per_weight / 8.0;
            let gb_s = *p.gb_s.get()?;
            (bytes > 0.0 && gb_s > 0.0).then_some((p, bytes, gb_s))
        })
        .collect();
    let least = read.iter().chain(&load).map(|s| s.0).min()? as f64;
    let most = read.iter().chain(&load).map(|s| s.0).max()? as f64;
    let most = products.iter().map(|p| p.1).fold(most, f64::max);

    let mut keys = vec![
        (Key::Dot, Ink::After, "read bandwidth, GB/s".to_owned()),
        (Key::Dot, Ink::Before, "load latency, ns".to_owned()),
    ];
    if !products.is_empty() {
        let text = "products on one thread: a token's other weights lie between two of one";
        keys.push((Key::Diamond, Ink::Series(2), text.to_owned()));
    }
    let levels = study.levels.get().map_or(&[][..], Vec::as_slice);
    if !levels.is_empty() {
        let text = "size of a cache".to_owned();
        keys.push((Key::Dashes, Ink::Claimed, text));
    }
    let first = 64.0 + legend_height(&keys);
    let floor = first + 2.0 * PLOT + GAP;
    let mut p = Picture::new(floor + 40.0);
    let title = "The staircase of this machine's memory".to_owned();
    heading(
        &mut p,
        &title,
        "one thread, by working set; log scales; whiskers: intervals",
    );
    legend(&mut p, 58.0, &keys);
    let left = LEFT + 40.0;
    let x = |bytes: f64| {
        let (from, to) = (log2(least), log2(most));
        let part = match to > from {
            true => (log2(bytes.clamp(least, most)) - from) / (to - from),
            false => 0.5,
        };
        left + 12.0 + (RIGHT - 18.0 - left - 12.0) * part
    };
    let mut description = String::new();
    let also: Vec<f64> = products.iter().map(|p| p.2).collect();
    let plots = [
        (&read, also, Ink::After, "GB/s", first),
        (&load, Vec::new(), Ink::Before, "ns", first + PLOT + GAP),
    ];
    for (points, also, ink, unit, top) in plots {
        let ends = points.iter().flat_map(|q| [q.1.low, q.1.high]).chain(also);
        let Some(low) = ends.clone().min_by(f64::total_cmp) else {
            p.note(
                &format!("no {unit} was measured"),
                left,
                top + 12.0,
                Ink::Muted,
            );
            continue;
        };
        let high = ends.fold(low, f64::max);
        let y = Scale::log(low * 0.9, high * 1.1, (top + PLOT, top));
        grid::rows(&mut p, &y, left);
        for cache in levels {
            let at = cache.bytes as f64;
            if (least..=most).contains(&at) {
                p.dashes(&[(x(at), top), (x(at), top + PLOT)], 1.0, Ink::Claimed);
            }
        }
        let line: Vec<_> = points
            .iter()
            .map(|q| (x(q.0 as f64), y.at(q.1.value)))
            .collect();
        p.line(&line, 2.0, ink);
        for (bytes, e) in points {
            let at = x(*bytes as f64);
            p.whisker_v(at, y.at(e.low), y.at(e.high), Ink::Text);
            p.dot(at, y.at(e.value), ink, true);
            description += &format!("{}: {} {unit}. ", size(*bytes), number(e.value));
        }
        if unit == "GB/s" {
            for (product, bytes, gb_s) in &products {
                p.diamond(x(*bytes), y.at(*gb_s), Ink::Series(2));
                description += &format!(
                    "{}, {}: {} GB/s. ",
                    product.name,
                    size(*bytes as u64),
                    number(*gb_s)
                );
            }
        }
    }
    for cache in levels {
        let at = cache.bytes as f64;
        if (least..=most).contains(&at) {
            let place = (x(at), first + PLOT + GAP / 2.0);
            let name = format!("L{}", cache.level);
            p.text(name, place, Type::Small, Align::Middle, Ink::Muted);
            description += &format!("L{} holds {}. ", cache.level, size(cache.bytes));
        }
    }
    let every = study.stairs.len().div_ceil(5).max(1);
    // Counted from the largest: it is always named.
    for s in study.stairs.iter().rev().step_by(every) {
        p.text(
            size(s.bytes),
            (x(s.bytes as f64), floor + 13.0),
            Type::Small,
            Align::Middle,
            Ink::Muted,
        );
    }
    p.text(
        "working set",
        ((left + RIGHT) / 2.0, floor + 29.0),
        Type::Small,
        Align::Middle,
        Ink::Muted,
    );
    Some(Chart {
        name: "staircase",
        title,
        description,
        picture: p,
    })
}

/// Time without software prefetch / time with, by distance, a row for each working set.
pub fn prefetch(found: &Prefetch) -> Option<Chart> {
    let rows: Vec<(String, Vec<(&str, Estimate)>)> = found
        .sets
        .iter()
        .map(|s| {
            let others = s.distances.iter().skip(1);
            let bars = others.filter_map(|d| Some((d.name.as_str(), *d.speedup.get()?)));
            (set(s), bars.collect())
        })
        .filter(|(_, bars): &(String, Vec<_>)| !bars.is_empty())
        .collect();
    let all = || rows.iter().flat_map(|(_, bars)| bars).map(|(_, e)| e);
    let top = all().map(|e| e.high).max_by(f64::total_cmp)?;
    let names_width = 62.0;
    let range = (LEFT + names_width, RIGHT - 58.0);
    let scale = Scale::from_zero(top.max(found.claim.low), range);
    let keys = [
        (Key::Box, Ink::After, "to no software prefetch".to_owned()),
        (Key::Tick, Ink::Claimed, "claimed from memory".to_owned()),
    ];
    const BAR: f64 = 15.0;
    const NAME: f64 = 24.0;
    let first = 58.0 + legend_height(&keys);
    let bars: usize = rows.iter().map(|(_, bars)| bars.len()).sum();
    let floor = first + NAME * rows.len() as f64 + BAR * bars as f64 + 4.0;
    let mut p = Picture::new(floor + 26.0);
    let title = "What software prefetch is worth".to_owned();
    let unit = format!(
        "{}, one thread, by bytes ahead; whiskers: intervals",
        found.kernel
    );
    heading(&mut p, &title, &unit);
    legend(&mut p, 58.0, &keys);
    grid::columns(&mut p, &scale, (first, floor), wording::round);
    let mut y = first;
    let mut description = String::new();
    let last = rows.len() - 1;
    for (i, (name, bars)) in rows.iter().enumerate() {
        p.rect(LEFT, y, RIGHT - LEFT, NAME - 4.0, Ink::Paper);
        p.text(
            fit(name, RIGHT - LEFT, Type::Label),
            (LEFT, y + NAME / 2.0),
            Type::Label,
            Align::Left,
            Ink::Text,
        );
        y += NAME;
        description += &format!("{name}: ");
        if i == last {
            let claimed = scale.at(found.claim.low) - 1.0;
            p.rect(claimed, y, 2.0, BAR * bars.len() as f64, Ink::Claimed);
        }
        for (distance, e) in bars {
            let middle = y + BAR / 2.0;
            p.text(
                *distance,
                (range.0 - 6.0, middle),
                Type::Small,
                Align::Right,
                Ink::Muted,
            );
            p.rect(
                range.0,
                y + 2.0,
                scale.at(e.value) - range.0,
                BAR - 4.0,
                Ink::After,
            );
            p.whisker_h(scale.at(e.low), scale.at(e.high), middle, Ink::Text);
            p.note(&times(e.value), scale.at(e.high) + 6.0, middle, Ink::Text);
            description += &format!("{distance} {}; ", times(e.value));
            y += BAR;
        }
    }
    Some(Chart {
        name: "prefetch",
        title,
        description,
        picture: p,
    })
}
