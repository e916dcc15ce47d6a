//! The roofline picture of a decoder: each product against the read bandwidth, and against what its
//! instructions allow.
//!
//! Every ternary product has about the same operations a byte, so the usual two axes would put
//! all points on one vertical line. One axis, GB/s, keeps the roof and spreads the points.

use super::axis::Scale;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit};
use super::{Chart, Key, LEFT, RIGHT, grid, heading, legend, legend_height};
use crate::report::wording::{self, number, or_why, percent};
use crate::run::{Estimate, Product, Yardsticks};

const BANDWIDTH: Ink = Ink::Claimed;
const ISSUE: Ink = Ink::Before;

/// The roof of instructions is drawn where it is below so many times the read bandwidth: further up it
/// is far from everything else.
const NEAR: f64 = 1.5;

/// The limits of a product's speed that are known, GB/s, and how each is drawn.
fn roofs(product: &Product, yardsticks: &Yardsticks) -> Vec<(Estimate, Ink)> {
    let bandwidth = yardsticks.bandwidth(product.threads);
    let near = |issue: &&Estimate| bandwidth.is_none_or(|b| issue.value < NEAR * b.value);
    let issue = product.issue_gb_s.get().filter(near);
    let known = [(bandwidth, BANDWIDTH), (issue, ISSUE)];
    known
        .into_iter()
        .filter_map(|(roof, ink)| Some((*roof?, ink)))
        .collect()
}

/// Weight traffic of each product, with the roofs of as many threads.
pub fn roofline(products: &[Product], yardsticks: &Yardsticks) -> Option<Chart> {
    let traffic = products.iter().filter_map(|p| p.gb_s.get().copied());
    let each = products.iter().map(|product| roofs(product, yardsticks));
    let each: Vec<Vec<(Estimate, Ink)>> = each.collect();
    let highest = each.iter().flatten().map(|(roof, _)| roof.high);
    let top = traffic.clone().chain(highest).fold(0.0, f64::max);
    if traffic.count() == 0 || top <= 0.0 {
        return None;
    }
    let scale = Scale::from_zero(top, (LEFT, RIGHT));
    let mut keys = vec![
        (Key::Box, Ink::After, "weights read".to_owned()),
        (
            Key::Tick,
            BANDWIDTH,
            "read bandwidth, as many threads".to_owned(),
        ),
    ];
    if each.iter().flatten().any(|&(_, ink)| ink == ISSUE) {
        let allowed = "what its instructions allow, memory apart";
        keys.push((Key::Tick, ISSUE, allowed.to_owned()));
    }
    const ROW: f64 = 44.0;
    let first = 58.0 + legend_height(&keys);
    let floor = first + ROW * products.len() as f64;
    let mut p = Picture::new(floor + 26.0);
    let title = "Products against the roof".to_owned();
    heading(
        &mut p,
        &title,
        "GB/s of weights; the roofs were measured in this run",
    );
    legend(&mut p, 58.0, &keys);
    grid::columns(&mut p, &scale, (first, floor), wording::round);
    let mut description = String::new();
    for (i, (product, roofs)) in products.iter().zip(each).enumerate() {
        let y = first + ROW * i as f64;
        let name = format!(
            "{} · {} · {} thr.",
            product.name, product.kernel, product.threads
        );
        let figure = or_why(&product.gb_s, |&x| {
            let share = product
                .percent_of_bandwidth
                .get()
                .map_or(String::new(), |&s| format!(" · {}", percent(s)));
            format!("{} GB/s{share}", number(x))
        });
        let room = super::picture::text_width(&figure, Type::Small) * 1.12 + 10.0;
        p.rect(LEFT, y, RIGHT - LEFT, 20.0, Ink::Paper);
        p.text(
            fit(&name, RIGHT - LEFT - room, Type::Small),
            (LEFT, y + 10.0),
            Type::Small,
            Align::Left,
            Ink::Text,
        );
        p.text(
            fit(&figure, RIGHT - LEFT, Type::Small),
            (RIGHT, y + 10.0),
            Type::Small,
            Align::Right,
            Ink::Text,
        );
        if let Some(&x) = product.gb_s.get() {
            p.rect(LEFT, y + 22.0, scale.at(x) - LEFT, 12.0, Ink::After);
        }
        for (roof, ink) in roofs {
            let y = y + 28.0;
            p.whisker_h(scale.at(roof.low), scale.at(roof.high), y, ink);
            p.rect(scale.at(roof.value) - 1.0, y - 9.0, 2.0, 18.0, ink);
        }
        description += &format!("{name}: {figure}. ");
    }
    Some(Chart {
        name: "roofline",
        title,
        description,
        picture: p,
    })
}
