//! Boxes about the trained model's answers by every kernel.

use super::Line;
use crate::report::agreement;
use crate::report::finding::Mark;
use crate::run::{Measured, Run};

/// Texts, numbers and perplexity; a figure that nothing is held against gets no box.
pub fn lines(run: &Run) -> Vec<Line> {
    match &run.agreement {
        Measured::Unavailable(why) => {
            vec![Line::unknown("Every kernel writes the same text", why)]
        }
        Measured::Is(a) => agreement::lines(a)
            .into_iter()
            .filter(|line| line.mark != Mark::Plain)
            .map(|line| Line {
                mark: line.mark,
                text: line.what.into(),
                evidence: line.words,
            })
            .collect(),
    }
}
