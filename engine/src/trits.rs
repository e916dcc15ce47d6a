//! Ternary matrices before packing.

use crate::float::versions;

/// A dense ternary matrix: `rows` outputs by `cols` inputs, row-major, each value -1, 0 or +1.
///
/// It lives only between a weight source and [`Matrix::pack`](crate::matrix::Matrix::pack).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trits {
    rows: usize,
    cols: usize,
    values: Vec<i8>,
}

/// Values that are no ternary matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TritsError {
    /// The number of values is not rows x cols, or a side is zero.
    #[error(
        "a {rows} x {cols} ternary matrix was given {got} values; it needs rows x cols of them, and neither side may be 0"
    )]
    Shape {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Values given.
        got: usize,
    },
    /// A value is not a trit.
    #[error(
        "row {row}, column {col} of a ternary matrix holds {value}; only -1, 0 and +1 are trits"
    )]
    Value {
        /// Row of the value.
        row: usize,
        /// Column of the value.
        col: usize,
        /// The value.
        value: i8,
    },
}

/// Values that are checked together.
const CHUNK: usize = 4096;

impl Trits {
    /// Takes `values`, row-major.
    ///
    /// # Errors
    /// When the number of values is not `rows * cols`, a side is zero, or a value is not a trit.
    pub fn new(rows: usize, cols: usize, values: Vec<i8>) -> Result<Self, TritsError> {
        check(rows, cols, &values)?;
        Ok(Self { rows, cols, values })
    }

    /// Takes `values` that [`check`] has found to be right, in one piece or in several; there may be
    /// more behind them.
    pub(crate) fn checked(rows: usize, cols: usize, values: Vec<i8>) -> Self {
        assert!(values.len() >= rows * cols, "pieces that were checked");
        Self { rows, cols, values }
    }

    /// The values, for whoever goes on to use their memory.
    pub(crate) fn into_values(self) -> Vec<i8> {
        self.values
    }

    /// Number of outputs, N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs, K.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `n`: the K weights of output `n`.
    pub fn row(&self, n: usize) -> &[i8] {
        &self.values[n * self.cols..][..self.cols]
    }
}

fn wrong(value: &i8) -> bool {
    !(-1..=1).contains(value)
}

versions! {
    /// Whether a value is no trit.
    fn any_wrong(values: &[i8]) -> bool = any_wrong_body
}

#[inline(always)]
fn any_wrong_body(values: &[i8]) -> bool {
    values.iter().fold(false, |any, value| any | wrong(value))
}

/// Whether `values` are a matrix of `rows` x `cols` trits.
///
/// # Errors
/// As [`Trits::new`].
pub(crate) fn check(rows: usize, cols: usize, values: &[i8]) -> Result<(), TritsError> {
    if rows == 0 || cols == 0 || rows.checked_mul(cols) != Some(values.len()) {
        return Err(TritsError::Shape {
            rows,
            cols,
            got: values.len(),
        });
    }
    // A search that may stop anywhere looks at one value at a time; whole chunks are looked at
    // in vectors.
    let chunk = values.chunks(CHUNK).position(any_wrong);
    let first = chunk.map_or(values.len(), |c| c * CHUNK);
    if let Some(at) = values[first..].iter().position(wrong) {
        let at = first + at;
        return Err(TritsError::Value {
            row: at / cols,
            col: at % cols,
            value: values[at],
        });
    }
    Ok(())
}
