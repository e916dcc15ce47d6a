//! Tables of the trained model's answers by every kernel.

use super::super::finding::Mark;
use super::super::table::Kind::{Estimate, Number, Text};
use super::super::table::{Cell, Table};
use crate::run::{Agreement, DepthError, Likelihood};

/// Each line of it with its verdict.
pub fn agreement(a: &Agreement) -> Table {
    let mut t = Table::new(
        "agreement",
        "The trained model's answers by every kernel that runs here, against naive and the oracle",
        &[
            ("what", "What", Text),
            ("verdict", "Verdict", Text),
            ("measured", "Measured", Text),
        ],
    );
    for line in super::super::agreement::lines(a) {
        let word = match line.mark {
            Mark::Held => "yes",
            Mark::Broken => "no",
            Mark::Unknown => "not known",
            Mark::Plain => "measured",
        };
        t.push(vec![
            Cell::Text(line.what.into()),
            Cell::Verdict(line.mark, word.into()),
            Cell::Text(line.words),
        ]);
    }
    t
}

/// The texts, a row a kernel.
pub fn texts(a: &Agreement) -> Table {
    let mut t = Table::new(
        "texts",
        "Greedy texts of the trained model, each kernel continuing its own tokens. A text parts from \
         the oracle's where two logits are nearly equal; the strict prefixes end before that",
        &[
            ("kernel", "Kernel", Text),
            ("isa", "ISA", Text),
            ("tokens", "Tokens", Number),
            ("unlike_naive", "Unlike naive's", Number),
            ("as_oracle", "Before parting from the oracle's", Number),
            ("strict", "Strict", Number),
            ("strict_missed", "Strict, missed", Number),
        ],
    );
    for k in &a.texts {
        t.push(vec![
            Cell::Code(k.kernel.clone()),
            Cell::Text(k.isa.clone()),
            Cell::Count(k.tokens as u64),
            Cell::Count(k.unlike_naive as u64),
            Cell::Count(k.as_oracle as u64),
            Cell::Count(k.strict as u64),
            Cell::Count(k.strict_missed as u64),
        ]);
    }
    t
}

/// How well the evaluation text is predicted.
pub fn likelihood(l: &Likelihood) -> Table {
    let mut t = Table::new(
        "likelihood",
        "The evaluation text, predicted by the engine and by the oracle. The interval is that of \
         the median window, between order statistics; blocks are windows",
        &[
            ("kernel", "Kernel", Text),
            ("bytes", "Bytes", Number),
            ("bits_a_byte", "Bits a byte", Number),
            ("oracle_bits_a_byte", "The oracle's", Number),
            ("perplexity", "Perplexity", Number),
            ("oracle_perplexity", "The oracle's", Number),
            (
                "difference",
                "Difference of the median window, bits a byte",
                Estimate,
            ),
            ("tolerance", "Allowed for the whole text", Number),
        ],
    );
    t.push(vec![
        Cell::Code(l.kernel.clone()),
        Cell::Count(l.predicted as u64),
        Cell::Number(l.bits_a_byte),
        Cell::Number(l.oracle_bits_a_byte),
        Cell::Number(l.perplexity),
        Cell::Number(l.oracle_perplexity),
        Cell::estimate(&l.difference),
        Cell::Number(l.tolerance),
    ]);
    t
}

/// Error by depth.
pub fn depth(depth: &[DepthError]) -> Table {
    let mut t = Table::new(
        "depth",
        "Distance from the oracle in float64 by depth: the residual stream after each layer, scaled \
         by RMSNorm, and the logits; relative L2 error of a token",
        &[
            ("at", "After", Text),
            ("tokens", "Tokens", Number),
            ("median_percent", "Median, %", Number),
            ("p90_percent", "90 %, %", Number),
            ("worst_percent", "Worst, %", Number),
        ],
    );
    for d in depth {
        t.push(vec![
            Cell::Text(d.at.clone()),
            Cell::Count(d.tokens as u64),
            Cell::Number(100.0 * d.median),
            Cell::Number(100.0 * d.p90),
            Cell::Number(100.0 * d.worst),
        ]);
    }
    t
}
