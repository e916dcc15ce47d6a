//! Outputs and columns that no code reaches.

use std::ops::Range;

use bitgauge_engine::kernels::{Operands, Spec};

use super::bytes;

/// Columns and rows that the tailless kernels take at once.
const TILE: usize = 32;

/// A kernel whose only code was for another architecture: it returns, and the output holds
/// whatever was there before.
pub static EMPTY_BODY: Spec =
    bytes::spec("defect-empty-body", "compiled to nothing", write_nothing);

/// Whole tiles of 32 columns only: the rest of K is left out.
pub static DROPPED_COLUMNS: Spec = bytes::spec(
    "defect-dropped-columns",
    "whole tiles of 32 columns, no tail",
    without_last_columns,
);

/// Whole tiles of 32 rows only: the rest of a range is not written.
pub static DROPPED_ROWS: Spec = bytes::spec(
    "defect-dropped-rows",
    "whole tiles of 32 rows, no tail",
    without_last_rows,
);

fn write_nothing(_: &Operands<'_>, _: Range<usize>, _: &mut [i32]) {}

fn without_last_columns(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    multiply(op, range, out, op.cols / TILE * TILE);
}

fn without_last_rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    let rows = range.len() / TILE * TILE;
    let written = &mut out[..rows * op.quantized.tokens()];
    multiply(op, range.start..range.start + rows, written, op.cols);
}

fn multiply(op: &Operands<'_>, range: Range<usize>, out: &mut [i32], cols: usize) {
    bytes::each_sum(op, range, out, |_, products| {
        products
            .take(cols)
            .map(|(w, q)| i32::from(w) * i32::from(q))
            .sum()
    });
}
