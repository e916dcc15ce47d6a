//! The table of the reports' numbers.

use super::super::reported;
use super::super::table::Kind::Text;
use super::super::table::{Cell, Table};
use crate::run::{Measured, Run};

/// Every number of the reports beside this run's.
pub fn reported(run: &Run) -> Table {
    let mut t = Table::new(
        "reported",
        "The reports' numbers, beside what this run measured on this machine",
        &[
            ("what", "What", Text),
            ("theirs", "The reports", Text),
            ("ours", "This run", Text),
            ("verdict", "What became of it", Text),
        ],
    );
    for row in reported::all(run) {
        let (mark, words) = row.verdict;
        let ours = match row.ours {
            Measured::Is(words) => Cell::Text(words),
            Measured::Unavailable(why) => Cell::Missing(why),
        };
        t.push(vec![
            Cell::Text(row.what.into()),
            Cell::Text(row.theirs.into()),
            ours,
            Cell::Verdict(mark, words),
        ]);
    }
    t
}
