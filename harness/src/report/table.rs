//! A table, once: the page, the Markdown and the CSV show the same cells.

use super::finding::Mark;
use super::markdown;
use super::wording;
use crate::run::{Estimate, Measured};

/// What a column holds. It decides alignment, sorting and how many CSV columns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text,
    /// A number.
    Number,
    /// A number with an interval: CSV gets value, low, high, level and blocks.
    Estimate,
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name in the CSV, with the unit.
    pub key: &'static str,
    /// Heading for people, with the unit.
    pub head: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// One cell.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Words.
    Text(String),
    /// Facts, one a line where there is room for lines.
    Lines(Vec<String>),
    /// A name of something in code.
    Code(String),
    /// A number, in the column's unit.
    Number(f64),
    /// A whole number.
    Count(u64),
    /// A number with its interval, in the column's unit.
    Estimate(Estimate),
    /// A number from a fitted law, with its ends: value, low, high.
    Projected(f64, f64, f64),
    /// There is no value: why.
    Missing(String),
    /// What stands where a value would, where none can be.
    Instead(String),
    /// A verdict: how it went, and the words.
    Verdict(Mark, String),
}

impl Cell {
    /// A number or why there is none.
    pub fn number(value: &Measured<f64>) -> Self {
        match value {
            Measured::Is(x) => Self::Number(*x),
            Measured::Unavailable(why) => Self::Missing(why.clone()),
        }
    }

    /// An estimate or why there is none.
    pub fn estimate(value: &Measured<Estimate>) -> Self {
        match value {
            Measured::Is(e) => Self::Estimate(*e),
            Measured::Unavailable(why) => Self::Missing(why.clone()),
        }
    }

    /// What the cell is sorted by, if it is a number.
    pub fn sort_key(&self) -> Option<f64> {
        match self {
            Self::Number(x) => Some(*x),
            Self::Count(n) => Some(*n as f64),
            Self::Estimate(e) => Some(e.value),
            Self::Projected(value, ..) => Some(*value),
            _ => None,
        }
    }

    /// The cell in one line.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Code(text) | Self::Instead(text) => text.clone(),
            Self::Lines(facts) => facts.join("; "),
            Self::Number(x) => wording::number(*x),
            Self::Count(n) => n.to_string(),
            Self::Estimate(e) => format!("{} {}", wording::number(e.value), interval(e)),
            Self::Projected(value, low, high) => format!(
                "{} [{}, {}]",
                wording::number(*value),
                wording::number(*low),
                wording::number(*high)
            ),
            Self::Missing(why) => wording::unavailable(why),
            Self::Verdict(mark, words) => format!("{} {words}", mark.sign()),
        }
    }
}

/// `[5.71, 5.93]`.
pub fn interval(e: &Estimate) -> String {
    format!("[{}, {}]", wording::number(e.low), wording::number(e.high))
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name of the CSV file and of the anchor in the page.
    pub id: &'static str,
    /// What it shows, with how sure the intervals are.
    pub caption: String,
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows, each as wide as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(
        id: &'static str,
        caption: impl Into<String>,
        columns: &[(&'static str, &'static str, Kind)],
    ) -> Self {
        let columns = columns
            .iter()
            .map(|&(key, head, kind)| Column { key, head, kind })
            .collect();
        Self {
            id,
            caption: caption.into(),
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len(), "row of table {}", self.id);
        self.rows.push(row);
    }

    /// The table as CSV, RFC 4180 with `\n`, numbers in full precision.
    pub fn csv(&self) -> Vec<u8> {
        let mut lines = csv_lines();
        let mut header = Vec::new();
        for c in &self.columns {
            header.push(c.key.to_owned());
            if c.kind == Kind::Estimate {
                header.extend(
                    ["low", "high", "level", "blocks"].map(|end| format!("{}_{end}", c.key)),
                );
            }
        }
        write(&mut lines, &header);
        for row in &self.rows {
            let mut fields = Vec::new();
            for (column, cell) in self.columns.iter().zip(row) {
                let field = match cell {
                    Cell::Number(x) => x.to_string(),
                    Cell::Estimate(e) => e.value.to_string(),
                    Cell::Projected(value, ..) => value.to_string(),
                    other => other.text(),
                };
                fields.push(field);
                if column.kind == Kind::Estimate {
                    match cell {
                        Cell::Estimate(e) => fields.extend([
                            e.low.to_string(),
                            e.high.to_string(),
                            e.level.to_string(),
                            e.blocks.to_string(),
                        ]),
                        Cell::Projected(_, low, high) => fields.extend([
                            low.to_string(),
                            high.to_string(),
                            String::new(),
                            String::new(),
                        ]),
                        _ => fields.extend(std::iter::repeat_n(String::new(), 4)),
                    }
                }
            }
            write(&mut lines, &fields);
        }
        finish(lines)
    }

    /// The table in Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::from("|");
        for c in &self.columns {
            out += &format!(" {} |", markdown::line(c.head));
        }
        out += "\n|";
        for c in &self.columns {
            out += if c.kind == Kind::Text {
                " --- |"
            } else {
                " ---: |"
            };
        }
        out += "\n";
        for row in &self.rows {
            out += "|";
            for cell in row {
                out += &format!(" {} |", markdown::line(&cell.text()));
            }
            out += "\n";
        }
        out
    }
}

fn csv_lines() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new()
        .flexible(true)
        .from_writer(Vec::new())
}

fn write(lines: &mut csv::Writer<Vec<u8>>, fields: &[String]) {
    lines
        .write_record(fields)
        .expect("a Vec takes every record of any width");
}

fn finish(lines: csv::Writer<Vec<u8>>) -> Vec<u8> {
    lines.into_inner().expect("a Vec takes every flush")
}

/// Rows of plain fields as CSV.
pub fn csv_rows(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut lines = csv_lines();
    write(
        &mut lines,
        &header.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>(),
    );
    for row in rows {
        write(&mut lines, &row);
    }
    finish(lines)
}
