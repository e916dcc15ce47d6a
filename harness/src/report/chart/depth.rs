//! Error by depth of the model.

use super::axis::Scale;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit};
use super::{Chart, Key, LEFT, RIGHT, grid, heading, legend, legend_height};
use crate::report::wording::number;
use crate::run::DepthError;

const PLOT: f64 = 170.0;

/// Relative error of the median token and of the worst, layer by layer.
pub fn depth(depth: &[DepthError]) -> Option<Chart> {
    let points: Vec<(&str, [f64; 2])> = depth
        .iter()
        .map(|d| (d.at.as_str(), [100.0 * d.median, 100.0 * d.worst]))
        .filter(|(_, [median, _])| *median > 0.0)
        .collect();
    let all = || points.iter().flat_map(|p| p.1);
    let low = all().min_by(f64::total_cmp)?;
    let high = all().fold(low, f64::max);
    let keys = [
        (Key::Dot, Ink::After, "median token".to_owned()),
        (Key::Diamond, Ink::Series(1), "worst token".to_owned()),
    ];
    let first = 64.0 + legend_height(&keys);
    let floor = first + PLOT;
    let mut p = Picture::new(floor + 30.0);
    let title = "Distance from the oracle by depth".to_owned();
    heading(&mut p, &title, "relative L2 error, %, log scale");
    legend(&mut p, 58.0, &keys);
    let y = Scale::log(low * 0.9, high * 1.1, (floor, first));
    let left = LEFT + 52.0;
    grid::rows(&mut p, &y, left);
    let column = (RIGHT - left) / points.len() as f64;
    let x = |i: usize| left + column * (i as f64 + 0.5);
    for (of, ink) in [(0, Ink::After), (1, Ink::Series(1))] {
        let line: Vec<_> = points
            .iter()
            .enumerate()
            .map(|(i, (_, errors))| (x(i), y.at(errors[of])))
            .collect();
        p.line(&line, 2.0, ink);
        for &(x, y) in &line {
            match of {
                0 => p.dot(x, y, ink, true),
                _ => p.diamond(x, y, ink),
            }
        }
    }
    // Names of every layer of a deep model would cover each other.
    let every = points.len().div_ceil(8);
    let mut description = String::new();
    for (i, (at, [median, worst])) in points.iter().enumerate() {
        if i % every == 0 || i + 1 == points.len() {
            p.text(
                fit(at, column * every as f64 - 4.0, Type::Small),
                (x(i), floor + 13.0),
                Type::Small,
                Align::Middle,
                Ink::Muted,
            );
        }
        description += &format!(
            "{at}: median {} %, worst {} %. ",
            number(*median),
            number(*worst)
        );
    }
    Some(Chart {
        name: "depth",
        title,
        description,
        picture: p,
    })
}
