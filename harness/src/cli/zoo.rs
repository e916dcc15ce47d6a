//! `bitgauge verify --zoo`: the defects that kernels really had, and what catches each.

use serde::Serialize;

use super::output::Output;
use super::progress::Progress;
use crate::defects::error::{self, Formula, Spread};
use crate::defects::zoo::{self, Bench, Outcome};
use crate::exit::{Exit, Failure};
use crate::fixtures::{self, Document as FixtureDocument, Fixtures, Golden};
use crate::run::{Defect, DefectError, DefectOutcome, Measured, Range};
use crate::verify;

type GoldenFile = FixtureDocument<Golden>;

/// Tokens over which an error on random data is averaged.
const TOKENS: usize = 16;

#[derive(Serialize)]
struct Row {
    id: &'static str,
    what: &'static str,
    seen_in: &'static str,
    caught_by: &'static str,
    outcome: Outcome,
}

#[derive(Serialize)]
struct ErrorRow {
    formula: Formula,
    /// `(columns, relative error)` on gaussian activations.
    gaussian: Vec<(usize, f64)>,
    /// Over the linears of the trained model.
    trained: Spread,
}

#[derive(Serialize)]
struct Document {
    defects: Vec<Row>,
    /// Relative L2 errors of the wrong tables, as fractions.
    errors: Vec<ErrorRow>,
    /// What was claimed for the sign-indexed table.
    claimed: (f64, f64),
}

/// Shows each defect caught.
///
/// # Errors
/// When the fixtures can't be read.
pub fn run(output: Output) -> Result<Exit, Failure> {
    let document = document()?;
    let mut missed = 0;
    for row in &document.defects {
        let status = match row.outcome.caught {
            Some(true) => "caught",
            Some(false) => "MISSED",
            None => "no run",
        };
        missed += usize::from(row.outcome.caught == Some(false));
        let by = row.outcome.first().map_or("", |check| &check.id);
        output.line(format!("{status}  {:34} {}", row.id, row.what))?;
        output.line(format!(
            "        first check to fail: {by}; seen in {}",
            row.seen_in
        ))?;
        if !row.outcome.note.is_empty() {
            output.line(format!("        {}", row.outcome.note))?;
        }
    }
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    let (low, high) = document.claimed;
    output.line("")?;
    output.line(format!(
        "Relative L2 error of the wrong tables; claimed: {:.0}-{:.0} %",
        100.0 * low,
        100.0 * high
    ))?;
    for row in &document.errors {
        let gaussian = row
            .gaussian
            .iter()
            .map(|(k, e)| format!("K={k}: {}", percent(*e)));
        let t = &row.trained;
        output.line(format!(
            "{:22} gaussian {}; trained model {} (median {}) {}",
            row.formula.name(),
            gaussian.collect::<Vec<_>>().join(", "),
            percent(t.min),
            percent(t.median),
            percent(t.max)
        ))?;
    }
    output.document(&document)?;
    Ok(if missed == 0 {
        Exit::Held
    } else {
        Exit::WrongAnswers
    })
}

fn document() -> Result<Document, Failure> {
    let folder = verify::default_fixtures()?;
    let bench = Bench::new(fixtures::discover(&folder)?);
    let rows = zoo::zoo();
    let progress = Progress::new();
    progress.stage("re-enacting defects", rows.len());
    let defects = rows
        .into_iter()
        .map(|exhibit| {
            progress.detail(exhibit.id);
            let outcome = (exhibit.run)(&bench);
            progress.step();
            let zoo::Exhibit {
                id,
                what,
                seen_in,
                caught_by,
                ..
            } = exhibit;
            Row {
                id,
                what,
                seen_in,
                caught_by,
                outcome,
            }
        })
        .collect();
    progress.finish();
    let (_, spreads) = on_trained()?;
    let errors = spreads
        .into_iter()
        .map(|(formula, trained)| {
            let gaussian = |k: usize| (k, error::on_gaussian(formula, k, TOKENS));
            ErrorRow {
                formula,
                gaussian: error::WIDTHS.map(gaussian).to_vec(),
                trained,
            }
        })
        .collect();
    Ok(Document {
        defects,
        errors,
        claimed: error::CLAIMED,
    })
}

/// The zoo as a section of a run. Golden files are left to the run's own checks.
///
/// # Errors
/// When the trained model can't be read.
pub fn defects() -> Result<Vec<Defect>, Failure> {
    let bench = Bench::new(Fixtures::default());
    let (golden, spreads) = on_trained()?;
    let defect = |exhibit: zoo::Exhibit| {
        let outcome = (exhibit.run)(&bench);
        let formula = formula_of(exhibit.id);
        let outcome = match (outcome.caught, outcome.first()) {
            (Some(true), Some(check)) => DefectOutcome::Caught {
                by: check.id.clone(),
            },
            (Some(_), _) => DefectOutcome::Missed,
            (None, _) => DefectOutcome::NotRun {
                why: "no check could run on it here".into(),
            },
        };
        Defect {
            id: exhibit.id.into(),
            what: exhibit.what.into(),
            seen_in: exhibit.seen_in.into(),
            outcome,
            errors: formula.map_or(Vec::new(), |f| errors(f, &spreads, &golden)),
            claimed: formula.filter(|f| *f != Formula::OneValue).map(|_| Range {
                low: error::CLAIMED.0,
                high: error::CLAIMED.1,
            }),
        }
    };
    Ok(zoo::zoo().into_iter().map(defect).collect())
}

/// The errors of the wrong tables on the trained model's own activations, and its golden file.
fn on_trained() -> Result<(GoldenFile, Vec<(Formula, Spread)>), Failure> {
    let trained = verify::default_fixtures()?.join("trained");
    let golden = Golden::read(&trained.join("golden.json"))?;
    let prompt = golden.content.cases.first().map_or(&[][..], |c| &c.prompt);
    let spreads = error::on_model(&golden.model_folder(), prompt)?;
    Ok((golden, spreads))
}

/// The wrong table that a row of the zoo re-enacts.
fn formula_of(id: &str) -> Option<Formula> {
    match id {
        "sign-table/weights" => Some(Formula::SignsOfWeights),
        "sign-table/activations" => Some(Formula::SignsOfActivations),
        "sign-table/both" => Some(Formula::SignsOfBoth),
        "one-value-table" => Some(Formula::OneValue),
        _ => None,
    }
}

fn errors(
    formula: Formula,
    spreads: &[(Formula, Spread)],
    golden: &GoldenFile,
) -> Vec<DefectError> {
    let gaussian = error::WIDTHS.into_iter().map(|k| DefectError {
        data: "gaussian".into(),
        k,
        relative_error: Measured::Is(error::on_gaussian(formula, k, TOKENS)),
    });
    let widths = golden
        .content
        .taps
        .as_ref()
        .and_then(|t| t.linears.values().map(|l| l.quantized.len()).max());
    let spread = spreads.iter().find(|(f, _)| *f == formula).map(|(_, s)| s);
    let trained = spread.zip(widths).map(|(s, k)| {
        let row = |data: &str, error| DefectError {
            data: data.into(),
            k,
            relative_error: Measured::Is(error),
        };
        vec![
            row("trained model, least of its linears", s.min),
            row("trained model, median", s.median),
            row("trained model, largest", s.max),
        ]
    });
    gaussian.chain(trained.into_iter().flatten()).collect()
}
