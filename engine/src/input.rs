//! The input of a ternary product: int8 activations, one scale a token.

use crate::aligned::Aligned;
use crate::float;
use crate::kernels::Kernel;

/// Zero bytes that follow each token's activations at least, so that kernels may read whole tiles.
pub const PADDING: usize = 64;

/// Quantised activations: `tokens` rows of `cols` int8 values, each row zero-padded to `stride`.
#[derive(Default)]
pub struct Quantized {
    tokens: usize,
    cols: usize,
    stride: usize,
    values: Aligned,
    sums: Vec<i32>,
    scales: Vec<f32>,
}

/// A value that can't be quantised.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "activation {index} of token {token} in the batch is {value}; only finite values can be quantised"
)]
pub struct NonFinite {
    /// Token, counted within the batch.
    pub token: usize,
    /// Index within the token's activations.
    pub index: usize,
    /// The value.
    pub value: f32,
}

impl Quantized {
    /// Number of tokens, T.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Activations a token, K.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes from one token's row to the next: K rounded up to 256, plus [`PADDING`].
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Token `t`'s K activations.
    pub fn row(&self, t: usize) -> &[i8] {
        &self.padded(t)[..self.cols]
    }

    /// Token `t`'s activations with the zeros that follow them; 64-byte aligned.
    pub fn padded(&self, t: usize) -> &[i8] {
        &self.values.as_slice::<i8>()[t * self.stride..][..self.stride]
    }

    /// Sum of each token's activations: what a kernel with unsigned weight codes subtracts.
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// The scale of each token: `x = q / scale`.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Gives each token's padded row to `fill`, which writes K values and returns the scale.
    fn refill<E>(
        &mut self,
        tokens: usize,
        cols: usize,
        mut fill: impl FnMut(usize, &mut [i8]) -> Result<f32, E>,
    ) -> Result<(), E> {
        let stride = cols.next_multiple_of(256) + PADDING;
        self.values.reserve(tokens * stride);
        (self.tokens, self.cols, self.stride) = (tokens, cols, stride);
        self.sums.clear();
        self.scales.clear();
        let rows = self.values.as_mut_slice::<i8>().chunks_exact_mut(stride);
        for (t, row) in rows.take(tokens).enumerate() {
            let (values, padding) = row.split_at_mut(cols);
            padding.fill(0);
            self.scales.push(fill(t, values)?);
            self.sums.push(float::sum_i8(values));
        }
        Ok(())
    }
}

/// Activations together with what a kernel has prepared from them.
///
/// Buffers grow to the largest input seen and are then reused.
#[derive(Default)]
pub struct Input {
    quantized: Quantized,
    tables: Aligned,
    prepared_for: Option<Kernel>,
}

impl Input {
    /// Quantises `x`, `tokens` rows of `cols` floats: per token `s = fl(fl(1/m) * 127)` with
    /// `m = max(max |x|, 1e-5)`, then `q = round-half-even(fl(x * s))`, clamped to int8
    /// (BitNet b1.58's activation quantiser as `transformers` has it).
    ///
    /// # Errors
    /// At the first value that is NaN or infinite.
    ///
    /// # Panics
    /// When `x` is not `tokens * cols` long.
    pub fn quantize(&mut self, x: &[f32], cols: usize) -> Result<(), NonFinite> {
        assert!(
            cols > 0 && x.len().is_multiple_of(cols),
            "whole tokens only"
        );
        self.prepared_for = None;
        self.quantized.refill(x.len() / cols, cols, |token, q| {
            let x = &x[token * cols..][..cols];
            float::quantize(x, q).map_err(|index| NonFinite {
                token,
                index,
                value: x[index],
            })
        })
    }

    /// Takes `q` as it is, `tokens` rows of `cols` values, with scale 1.
    pub fn set(&mut self, q: &[i8], cols: usize) {
        assert!(
            cols > 0 && q.len().is_multiple_of(cols),
            "whole tokens only"
        );
        self.prepared_for = None;
        let Ok(()) = self.quantized.refill::<std::convert::Infallible>(
            q.len() / cols,
            cols,
            |token, row| {
                row.copy_from_slice(&q[token * cols..][..cols]);
                Ok(1.0)
            },
        );
    }

    /// Lets `kernel` prepare its tables, unless they are there already.
    pub fn prepare(&mut self, kernel: Kernel) {
        if self.prepared_for != Some(kernel) {
            kernel.prepare(&self.quantized, &mut self.tables);
            self.prepared_for = Some(kernel);
        }
    }

    /// The activations.
    pub fn quantized(&self) -> &Quantized {
        &self.quantized
    }

    /// The tables of `kernel`, if it was the last to prepare this input.
    pub(crate) fn tables(&self, kernel: Kernel) -> Option<&Aligned> {
        (self.prepared_for == Some(kernel)).then_some(&self.tables)
    }
}
