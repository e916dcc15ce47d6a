//! Curves: speed along the ladder against the claim, efficiency by threads.

use super::axis::{Scale, log2};
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit};
use super::{Chart, Key, LEFT, RIGHT, grid, heading, legend, legend_height};
use crate::report::finding::no_time;
use crate::report::wording::{self, error_off, number, percent};
use crate::run::{Comparison, Estimate, Knob, Ladder, Scaled, ScalingPoint};

const PLOT: f64 = 190.0;

/// Token/s along the ladder, with the claimed curve from the same start; `on` says what was cut
/// from the model.
pub fn cumulative(ladder: &Ladder, on: &str) -> Option<Chart> {
    let start = ladder.original()?.token_s;
    if start.value <= 0.0 {
        return None;
    }
    let measured: Vec<Option<Estimate>> = std::iter::once(Some(start))
        .chain(
            ladder
                .rungs
                .iter()
                .map(|s| s.comparison.after().map(|f| f.token_s)),
        )
        .collect();
    let claimed = claimed_along(ladder, start.value);
    let ends = measured
        .iter()
        .flatten()
        .flat_map(|e| [e.low, e.high])
        .chain(claimed.iter().flat_map(|c| [c.0, c.1]))
        .filter(|x| *x > 0.0);
    let (low, high) = ends.fold((start.value, start.value), |(l, h), x| (l.min(x), h.max(x)));

    let keys = [
        (Key::Dot, Ink::After, "measured here".to_owned()),
        (
            Key::Dashes,
            Ink::Claimed,
            "claimed, from the same start".to_owned(),
        ),
    ];
    let first = 64.0 + legend_height(&keys);
    let floor = first + PLOT;
    let mut p = Picture::new(floor + 42.0);
    let title = "Speed along the ladder".to_owned();
    let unit = format!("token/s{on}, log scale; band: claimed");
    heading(&mut p, &title, &unit);
    legend(&mut p, 58.0, &keys);
    let y = Scale::log(low * 0.9, high * 1.15, (floor, first));
    let plot_left = LEFT + 34.0;
    for tick in y.ticks() {
        let at = y.at(tick);
        p.text(
            wording::round(tick),
            (plot_left - 8.0, at),
            Type::Small,
            Align::Right,
            Ink::Muted,
        );
    }
    let column = (RIGHT - plot_left) / measured.len() as f64;
    let x = |i: usize| plot_left + column * (i as f64 + 0.5);
    let edge = claimed.iter().enumerate();
    let band: Vec<_> = edge
        .clone()
        .map(|(i, c)| (x(i), y.at(c.1)))
        .chain(edge.clone().rev().map(|(i, c)| (x(i), y.at(c.0))))
        .collect();
    p.area(band, Ink::ClaimedRange);
    for tick in y.ticks() {
        p.line(
            &[(plot_left, y.at(tick)), (RIGHT, y.at(tick))],
            0.5,
            Ink::Grid,
        );
    }
    let middle: Vec<_> = edge
        .map(|(i, c)| (x(i), y.at((c.0 * c.1).sqrt())))
        .collect();
    p.dashes(&middle, 1.5, Ink::Claimed);

    let mut run: Vec<(f64, f64)> = Vec::new();
    for (i, e) in measured.iter().enumerate() {
        match e {
            Some(e) => run.push((x(i), y.at(e.value))),
            None => {
                p.line(&run, 2.0, Ink::After);
                run.clear();
            }
        }
    }
    p.line(&run, 2.0, Ink::After);

    let mut description = String::new();
    for (i, e) in measured.iter().enumerate() {
        let name = if i == 0 {
            "original"
        } else {
            ladder.rungs[i - 1].id.as_str()
        };
        p.text(
            if i == 0 {
                "start".to_owned()
            } else {
                format!("+ {i}")
            },
            (x(i), floor + 13.0),
            Type::Small,
            Align::Middle,
            Ink::Text,
        );
        p.text(
            fit(name, column - 4.0, Type::Small),
            (x(i), floor + 29.0),
            Type::Small,
            Align::Middle,
            Ink::Muted,
        );
        match e {
            Some(e) => {
                p.whisker_v(x(i), y.at(e.low), y.at(e.high), Ink::Text);
                p.dot(x(i), y.at(e.value), Ink::After, true);
                let text = number(e.value);
                let (lowest, highest) = claimed[i];
                if i == 0 {
                    let at = (x(i) + 9.0, y.at(e.value) + 4.0);
                    p.text(&text, at, Type::Label, Align::Left, Ink::Text);
                } else {
                    // Away from the claimed line.
                    let above = e.value * e.value >= lowest * highest;
                    let at = if above {
                        y.at(e.high) - 13.0
                    } else {
                        y.at(e.low) + 14.0
                    };
                    let at = (x(i), at.min(floor - 8.0));
                    p.text(&text, at, Type::Label, Align::Middle, Ink::Text);
                }
                description += &format!("{name}: {text} token/s. ");
            }
            None => {
                let (short, note) = match &ladder.rungs[i - 1].comparison {
                    Comparison::Wrong { error } => ("wrong", error_off(error)),
                    Comparison::NoEffect => ("no effect", no_time(&Comparison::NoEffect)),
                    other => ("not run", no_time(other)),
                };
                p.text(
                    short,
                    (x(i), floor - 12.0),
                    Type::Small,
                    Align::Middle,
                    Ink::Wrong,
                );
                description += &format!("{name}: {note}. ");
            }
        }
    }
    if let Some((low, high)) = claimed.last() {
        description += &format!(
            "Claimed at the end: {} to {} token/s.",
            number(*low),
            number(*high)
        );
    }
    Some(Chart {
        name: "cumulative",
        title,
        description,
        picture: p,
    })
}

/// The claimed token/s, lowest and highest, before any step and after each.
///
/// Two steps that turn the same knobs are two goes at one gain: the later claim takes the place of
/// the earlier and does not come on top of it.
fn claimed_along(ladder: &Ladder, start: f64) -> Vec<(f64, f64)> {
    let mut factors: Vec<(&[Knob], (f64, f64))> = Vec::new();
    let mut out = vec![(start, start)];
    for step in &ladder.rungs {
        if let Some(c) = &step.claim {
            if !step.knobs.is_empty() {
                factors.retain(|(knobs, _)| *knobs != step.knobs.as_slice());
            }
            factors.push((&step.knobs, (c.low, c.high)));
        }
        let product = |of: fn(&(f64, f64)) -> f64| {
            factors.iter().map(|(_, range)| of(range)).product::<f64>()
        };
        out.push((start * product(|r| r.0), start * product(|r| r.1)));
    }
    out
}

/// Efficiency by threads: measured, claimed and projected.
pub fn scaling(points: &[ScalingPoint]) -> Option<Chart> {
    let mut series: Vec<(&str, &str)> = Vec::new();
    for p in points {
        if !series.contains(&(&p.phase, &p.scheduler)) {
            series.push((&p.phase, &p.scheduler));
        }
    }
    let mut threads: Vec<usize> = points
        .iter()
        .map(|p| p.threads)
        .filter(|&t| t > 0)
        .collect();
    threads.sort_unstable();
    threads.dedup();
    if threads.is_empty() || points.iter().all(|p| p.speedup.interval().is_none()) {
        return None;
    }
    let projected = points
        .iter()
        .any(|p| matches!(p.speedup, Scaled::Projected { .. }));
    let claimed: Vec<(usize, f64)> = {
        let mut all: Vec<_> = points
            .iter()
            .filter_map(|p| p.claimed_efficiency.map(|c| (p.threads, c)))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        all.dedup();
        all
    };
    let mut keys: Vec<_> = series
        .iter()
        .enumerate()
        .map(|(i, (phase, scheduler))| (Key::Dot, Ink::Series(i), format!("{phase}, {scheduler}")))
        .collect();
    if !claimed.is_empty() {
        keys.push((Key::Diamond, Ink::Claimed, "claimed".to_owned()));
    }
    if projected {
        keys.push((
            Key::Dashes,
            Ink::Muted,
            "projected, not measured".to_owned(),
        ));
    }
    let first = 64.0 + legend_height(&keys);
    let floor = first + PLOT;
    let mut p = Picture::new(floor + 40.0);
    let title = "Thread scaling".to_owned();
    heading(
        &mut p,
        &title,
        "efficiency, % = speedup / threads; whiskers: intervals",
    );
    legend(&mut p, 58.0, &keys);
    let top = points
        .iter()
        .filter_map(|p| {
            p.speedup
                .interval()
                .map(|(_, _, high)| high * 100.0 / p.threads as f64)
        })
        .fold(100.0, f64::max);
    let y = Scale::from_zero(top, (floor, first));
    let plot_left = LEFT + 34.0;
    grid::rows(&mut p, &y, plot_left);
    let (least, most) = (
        log2(threads[0] as f64),
        log2(threads[threads.len() - 1] as f64),
    );
    let x = |t: usize| {
        let part = if most > least {
            (log2(t as f64) - least) / (most - least)
        } else {
            0.5
        };
        plot_left + 16.0 + (RIGHT - 16.0 - plot_left - 16.0) * part
    };
    let mut last_label = f64::NEG_INFINITY;
    for &t in &threads {
        // Counts such as 7 and 8 are too close for two labels.
        if x(t) - last_label >= 18.0 {
            p.text(
                t.to_string(),
                (x(t), floor + 13.0),
                Type::Small,
                Align::Middle,
                Ink::Muted,
            );
            last_label = x(t);
        }
    }
    p.text(
        "threads",
        ((plot_left + RIGHT) / 2.0, floor + 29.0),
        Type::Small,
        Align::Middle,
        Ink::Muted,
    );
    p.line(
        &[(plot_left, y.at(100.0)), (RIGHT, y.at(100.0))],
        1.0,
        Ink::Muted,
    );
    p.text(
        "ideal",
        (RIGHT, y.at(100.0) - 8.0),
        Type::Small,
        Align::Right,
        Ink::Muted,
    );
    // Side by side, so that no interval hides another's.
    let beside = |i: usize| 6.0 * (i as f64 - (series.len() as f64 - 1.0) / 2.0);
    for &(t, c) in &claimed {
        p.diamond(x(t), y.at(100.0 * c), Ink::Claimed);
    }
    let mut description = String::new();
    for (i, &(phase, scheduler)) in series.iter().enumerate() {
        let ink = Ink::Series(i);
        let mut own: Vec<&ScalingPoint> = points
            .iter()
            .filter(|p| p.phase == phase && p.scheduler == scheduler && p.threads > 0)
            .collect();
        own.sort_by_key(|p| p.threads);
        description += &format!("{phase}, {scheduler}: ");
        let mut previous: Option<(f64, f64)> = None;
        for point in own {
            let Some((value, low, high)) = point.speedup.interval() else {
                previous = None;
                description += &format!("{} threads unavailable; ", point.threads);
                continue;
            };
            let percent_of = |s: f64| 100.0 * s / point.threads as f64;
            let here = (x(point.threads) + beside(i), y.at(percent_of(value)));
            let measured = matches!(point.speedup, Scaled::Measured { .. });
            if let Some(from) = previous {
                if measured {
                    p.line(&[from, here], 2.0, ink);
                } else {
                    p.dashes(&[from, here], 1.5, ink);
                }
            }
            p.whisker_v(here.0, y.at(percent_of(low)), y.at(percent_of(high)), ink);
            p.dot(here.0, here.1, ink, measured);
            description += &format!(
                "{} threads {}{}; ",
                point.threads,
                percent(percent_of(value)),
                if measured { "" } else { " (projected)" }
            );
            previous = Some(here);
        }
    }
    for (t, c) in claimed {
        description += &format!("Claimed with {t} threads: {}. ", percent(100.0 * c));
    }
    Some(Chart {
        name: "scaling",
        title,
        description,
        picture: p,
    })
}
