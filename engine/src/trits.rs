//! Ternary matrices before packing.

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
        if rows == 0 || cols == 0 || rows.checked_mul(cols) != Some(values.len()) {
            return Err(TritsError::Shape {
                rows,
                cols,
                got: values.len(),
            });
        }
        let wrong = |v: &i8| !(-1..=1).contains(v);
        // A search that may stop anywhere looks at one value at a time; whole chunks are looked at
        // in vectors.
        let chunk = values
            .chunks(CHUNK)
            .position(|c| c.iter().fold(false, |any, v| any | wrong(v)));
        let first = chunk.map_or(values.len(), |c| c * CHUNK);
        if let Some(at) = values[first..].iter().position(wrong) {
            let at = first + at;
            return Err(TritsError::Value {
                row: at / cols,
                col: at % cols,
                value: values[at],
            });
        }
        Ok(Self { rows, cols, values })
    }

    /// Stacks matrices of equal width on top of each other, so that one product serves them all.
    ///
    /// # Panics
    /// When `parts` is empty or the widths differ: the caller fuses linears that share an input.
    pub fn stack(parts: Vec<Trits>) -> Self {
        let cols = parts.first().expect("at least one matrix to stack").cols;
        assert!(
            parts.iter().all(|p| p.cols == cols),
            "stacked matrices must have one width"
        );
        let rows = parts.iter().map(|p| p.rows).sum();
        let mut parts = parts.into_iter();
        let mut values = parts.next().expect("checked above").values;
        for part in parts {
            values.extend_from_slice(&part.values);
        }
        Self { rows, cols, values }
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
