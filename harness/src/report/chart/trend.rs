//! A history: a row a case, its ratio over the runs, and where its level changed.

use super::palette::Ink;
use super::picture::{Align, Picture, Type, text_width};
use super::{Chart, Key, LEFT, RIGHT, forest, heading, legend, legend_height};
use crate::history::trend::{CaseTrend, Class};
use crate::report::wording::plural;
use crate::run::Measured;

/// Rows that are drawn; the page's table has all.
const ROWS: usize = 100;
/// Name and drift, and below them the curve.
const ROW: f64 = 62.0;
/// Where in a row the curve's strip begins, and how high it is.
const STRIP: (f64, f64) = (18.0, 38.0);
/// Where runs begin and end.
const PLOT: (f64, f64) = (LEFT + 4.0, RIGHT - 4.0);
/// A strip shows at least so many percent up and down, so that noise does not look like a change.
const LEAST_REACH: f64 = 2.0;
/// More runs than this are a line without dots.
const DOTS: usize = 40;

/// The chart; `None` without a case.
pub fn trends(class: &Class) -> Option<Chart> {
    if class.cases.is_empty() {
        return None;
    }
    let rows = &class.cases[..class.cases.len().min(ROWS)];
    let keys = [
        (Key::Dot, Ink::After, "a run and its interval".to_owned()),
        (Key::Tick, Ink::Wrong, "changed to slower".to_owned()),
        (Key::Tick, Ink::Series(1), "changed to faster".to_owned()),
        (
            Key::Box,
            Ink::Grid,
            format!("{LEAST_REACH} % about the first level"),
        ),
    ];
    let top = 58.0 + legend_height(&keys);
    let floor = top + ROW * rows.len() as f64;
    let mut p = Picture::new(floor + 22.0);
    let title = "Ratios over the runs".to_owned();
    heading(
        &mut p,
        &title,
        "% of the first level, up: slower; each row to its own scale",
    );
    legend(&mut p, 58.0, &keys);
    let mut description = format!("{} on {}. ", plural(class.runs.len(), "run"), class.machine);
    for (i, case) in rows.iter().enumerate() {
        row(&mut p, case, class.runs.len(), top + ROW * i as f64);
        description += &words(case);
    }
    if rows.len() < class.cases.len() {
        let hidden = plural(class.cases.len() - rows.len(), "case");
        description += &format!("{hidden} more are in the table.");
    }
    for (at, align, run) in [
        (PLOT.0, Align::Left, class.runs.first()),
        (PLOT.1, Align::Right, class.runs.last()),
    ] {
        let day = run.map_or("", |run| run.date.get(..10).unwrap_or(&run.date));
        p.text(day, (at, floor + 10.0), Type::Small, align, Ink::Muted);
    }
    Some(Chart {
        name: "trend",
        title,
        description,
        picture: p,
    })
}

fn words(case: &CaseTrend) -> String {
    let drift = match &case.drift {
        Measured::Is(drift) => format!("{drift}"),
        Measured::Unavailable(why) => why.clone(),
    };
    let changes = case
        .changes
        .iter()
        .map(|change| format!("; {} at {}", change.size, change.revision));
    let changes: String = changes.collect();
    format!(
        "{}: {}, {drift}{changes}. ",
        case.case,
        plural(case.points.len(), "run")
    )
}

fn row(p: &mut Picture, case: &CaseTrend, runs: usize, y: f64) {
    let percent = |ratio: f64| 100.0 * (ratio / case.first - 1.0);
    let changed = !case.changes.is_empty();
    let ink = if changed { Ink::Text } else { Ink::Muted };
    let figure = match &case.drift {
        Measured::Is(drift) => drift.short(),
        Measured::Unavailable(_) => "?".to_owned(),
    };
    let room = RIGHT - LEFT - text_width(&figure, Type::Small) * 1.12 - 10.0;
    let name = forest::shortened(&case.case, room);
    p.text(name, (LEFT, y + 9.0), Type::Small, Align::Left, ink);
    p.text(figure, (RIGHT, y + 9.0), Type::Small, Align::Right, ink);

    let reach = case
        .points
        .iter()
        .map(|point| percent(point.ratio.median).abs())
        .filter(|x| x.is_finite())
        .fold(LEAST_REACH, f64::max)
        * 1.1;
    let (strip, height) = (y + STRIP.0, STRIP.1);
    let at_y = |x: f64| strip + 0.5 * height * (1.0 - (x / reach).clamp(-1.0, 1.0));
    let step = (PLOT.1 - PLOT.0) / (runs.max(2) - 1) as f64;
    let at_x = |run: usize| PLOT.0 + step * run as f64;
    let band = (at_y(LEAST_REACH), at_y(-LEAST_REACH));
    p.rect(PLOT.0, band.0, PLOT.1 - PLOT.0, band.1 - band.0, Ink::Grid);
    for change in &case.changes {
        let slower = change.size.percent > 0.0;
        let ink = if slower { Ink::Wrong } else { Ink::Series(1) };
        let (before, after) = (&case.points[change.at - 1], &case.points[change.at]);
        let x = 0.5 * (at_x(before.run) + at_x(after.run));
        p.rect(x - 1.0, strip, 2.0, height, ink);
    }
    let few = case.points.len() <= DOTS;
    let mut line = Vec::with_capacity(case.points.len());
    for point in &case.points {
        let (x, y) = (at_x(point.run), at_y(percent(point.ratio.median)));
        if few {
            let ends = [point.ratio.low, point.ratio.high].map(|end| at_y(percent(end)));
            p.line(&[(x, ends[0]), (x, ends[1])], 1.0, Ink::Before);
        }
        line.push((x, y));
    }
    p.line(&line, 1.0, Ink::After);
    if few {
        line.iter()
            .for_each(|&(x, y)| p.rect(x - 1.5, y - 1.5, 3.0, 3.0, Ink::After));
    }
}
