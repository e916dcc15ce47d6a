//! A histogram of single tokens, one row for each way to choose the next.

use super::axis::Scale;
use super::palette::Ink;
use super::picture::{Align, Picture, Type, fit};
use super::{Chart, Key, LEFT, RIGHT, grid, heading, legend, legend_height};
use crate::report::latency::{percentiles, sample};
use crate::report::wording::{self, number, plural};
use crate::run::{Latency, TokenTimes};

const PLOT: f64 = 96.0;
const BINS: usize = 60;

/// How many tokens took how long. The axis ends at 99 % of the slower choice; what took longer
/// stands in its last bin.
pub fn latency(l: &Latency) -> Option<Chart> {
    let ms = |c: &TokenTimes| -> Vec<f64> { c.ns.iter().map(|&ns| ns as f64 * 1e-6).collect() };
    let all = l.choices.iter().flat_map(ms);
    let low = all.min_by(f64::total_cmp)?;
    let ends = l.choices.iter().filter_map(|c| c.percentile(99));
    let high = ends.map(|p| p.value).fold(low, f64::max);
    let keys = [
        (Key::Box, Ink::After, "tokens".to_owned()),
        (Key::Tick, Ink::Claimed, "50, 90 and 99 %".to_owned()),
    ];
    let first = 58.0 + legend_height(&keys);
    let row = PLOT + 34.0;
    let floor = first + row * l.choices.len() as f64;
    let mut p = Picture::new(floor + 26.0);
    let title = "How long single tokens take".to_owned();
    let on = l
        .model
        .cut()
        .map_or_else(String::new, |c| format!(" on {c}"));
    heading(&mut p, &title, &format!("ms a token{on}; height: tokens"));
    legend(&mut p, 58.0, &keys);
    let x = Scale::between(low, high, (LEFT, RIGHT));
    grid::columns(&mut p, &x, (first + 20.0, floor), wording::round);
    let mut description = format!("Single tokens, {}. ", sample(l));
    for (i, choice) in l.choices.iter().enumerate() {
        let top = first + row * i as f64;
        let base = top + row - 8.0;
        let (bins, beyond) = bins(&ms(choice), x.domain);
        let most = bins.iter().copied().max().unwrap_or(1).max(1);
        let width = (RIGHT - LEFT) / BINS as f64;
        for (k, &count) in bins.iter().enumerate().filter(|(_, n)| **n > 0) {
            let height = PLOT * count as f64 / most as f64;
            let left = LEFT + width * k as f64;
            p.rect(left, base - height, width - 0.5, height, Ink::After);
        }
        p.line(&[(LEFT, base), (RIGHT, base)], 0.5, Ink::Muted);
        for percentile in &choice.percentiles {
            p.rect(
                x.at(percentile.value) - 1.0,
                base - 4.0,
                2.0,
                12.0,
                Ink::Claimed,
            );
        }
        let name = format!(
            "{}: {}, slowest {} ms",
            choice.choice,
            plural(choice.ns.len(), "token"),
            number(choice.max_ms)
        );
        let name = fit(&name, RIGHT - LEFT, Type::Label);
        p.rect(LEFT, top, RIGHT - LEFT, 18.0, Ink::Paper);
        let at = (LEFT, top + 9.0);
        p.text(name, at, Type::Label, Align::Left, Ink::Text);
        let more = match beyond {
            0 => String::new(),
            n => format!("; {n} beyond the axis"),
        };
        description += &format!("{}: {}{more}. ", choice.choice, percentiles(choice));
    }
    Some(Chart {
        name: "latency",
        title,
        description,
        picture: p,
    })
}

/// Tokens in each of [`BINS`] equal parts of `domain`, and those beyond its end, which are in the
/// last one too.
fn bins(ms: &[f64], (low, high): (f64, f64)) -> (Vec<usize>, usize) {
    let mut bins = vec![0; BINS];
    for x in ms {
        let at = (x - low) / (high - low) * BINS as f64;
        bins[(at.max(0.0) as usize).min(BINS - 1)] += 1;
    }
    (bins, ms.iter().filter(|x| **x > high).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_stands_in_a_bin() {
        let (bins, beyond) = bins(&[10.0, 10.1, 15.0, 20.0, 31.0], (10.0, 20.0));
        assert_eq!(bins.iter().sum::<usize>(), 5);
        assert_eq!(
            (bins[0], bins[BINS / 2], bins[BINS - 1], beyond),
            (2, 1, 2, 1)
        );
    }
}
