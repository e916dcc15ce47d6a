//! The input of a ternary product: int8 activations, one scale a token.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::aligned::Aligned;
use crate::float;
use crate::kernels::Kernel;
use crate::threads::{Scheduler, Task, Work};

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
    /// Of each token, from whoever wrote its row: the bits of the scale above those of the sum.
    notes: Vec<AtomicU64>,
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

    /// Gives each token's row to `fill`, which writes K values and returns the scale.
    fn refill(
        &mut self,
        tokens: usize,
        cols: usize,
        spread: impl FnOnce(Work<'_>, &Task<'_>),
        fill: impl Fn(usize, &mut [i8]) -> f32 + Sync,
    ) {
        let stride = cols.next_multiple_of(256) + PADDING;
        self.values.reserve(tokens * stride);
        (self.tokens, self.cols, self.stride) = (tokens, cols, stride);
        self.notes.resize_with(tokens, AtomicU64::default);
        let notes = &self.notes;
        let width = stride / size_of::<f32>();
        let work = Work {
            out: &mut self.values.as_mut_slice()[..tokens * width],
            width,
            grain: 1,
            bytes: cols * size_of::<f32>() + stride,
        };
        spread(work, &|range, out| {
            let rows: &mut [i8] = bytemuck::cast_slice_mut(out);
            for (note, (t, row)) in notes[range.clone()]
                .iter()
                .zip(range.zip(rows.chunks_exact_mut(stride)))
            {
                let (values, padding) = row.split_at_mut(cols);
                padding.fill(0);
                let scale = u64::from(fill(t, values).to_bits());
                let sum = u64::from(float::sum_i8(values) as u32);
                note.store(scale << 32 | sum, Ordering::Relaxed);
            }
        });
        self.sums.clear();
        self.scales.clear();
        for note in &mut self.notes {
            let note = *note.get_mut();
            self.sums.push(note as u32 as i32);
            self.scales.push(f32::from_bits((note >> 32) as u32));
        }
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
        self.quantize_by(x, cols, alone)
    }

    /// As [`Input::quantize`], each token by whichever thread of `scheduler` is free.
    ///
    /// # Errors
    /// As [`Input::quantize`].
    ///
    /// # Panics
    /// As [`Input::quantize`].
    pub fn quantize_on(
        &mut self,
        x: &[f32],
        cols: usize,
        scheduler: &dyn Scheduler,
    ) -> Result<(), NonFinite> {
        self.quantize_by(x, cols, |work, task| scheduler.run(work, task))
    }

    fn quantize_by(
        &mut self,
        x: &[f32],
        cols: usize,
        spread: impl FnOnce(Work<'_>, &Task<'_>),
    ) -> Result<(), NonFinite> {
        assert!(
            cols > 0 && x.len().is_multiple_of(cols),
            "whole tokens only"
        );
        self.prepared_for = None;
        let token = |t: usize| &x[t * cols..][..cols];
        self.quantized.refill(x.len() / cols, cols, spread, |t, q| {
            float::quantize(token(t), q).unwrap_or(f32::NAN)
        });
        let Some(bad) = self.quantized.scales.iter().position(|s| s.is_nan()) else {
            return Ok(());
        };
        let finite = token(bad).iter().position(|x| !x.is_finite());
        let index = finite.expect("only what is not finite has no scale");
        Err(NonFinite {
            token: bad,
            index,
            value: token(bad)[index],
        })
    }

    /// Takes `q` as it is, `tokens` rows of `cols` values, with scale 1.
    pub fn set(&mut self, q: &[i8], cols: usize) {
        assert!(
            cols > 0 && q.len().is_multiple_of(cols),
            "whole tokens only"
        );
        self.prepared_for = None;
        self.quantized
            .refill(q.len() / cols, cols, alone, |t, row| {
                row.copy_from_slice(&q[t * cols..][..cols]);
                1.0
            });
    }

    /// Lets `kernel` prepare its tables, unless they are there already.
    pub fn prepare(&mut self, kernel: Kernel) {
        self.prepare_by(kernel, alone);
    }

    /// As [`Input::prepare`], some tokens by whichever thread of `scheduler` is free.
    pub fn prepare_on(&mut self, kernel: Kernel, scheduler: &dyn Scheduler) {
        self.prepare_by(kernel, |work, task| scheduler.run(work, task));
    }

    fn prepare_by(&mut self, kernel: Kernel, spread: impl FnOnce(Work<'_>, &Task<'_>)) {
        if self.prepared_for != Some(kernel) {
            kernel.prepare(&self.quantized, &mut self.tables, spread);
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

/// All of the work at once, by the thread that has it.
fn alone(work: Work<'_>, task: &Task<'_>) {
    task(0..work.items(), work.out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::Pool;

    #[test]
    fn threads_quantise_as_one_does() {
        let pool = Pool::with_min_piece(3, 0).unwrap();
        let (mut one, mut many) = (Input::default(), Input::default());
        for (tokens, cols) in [(33, 700), (1, 5), (7, 256), (33, 700)] {
            let x: Vec<f32> = (0..tokens * cols)
                .map(|i| ((i * i) % 977) as f32 - 300.0)
                .collect();
            one.quantize(&x, cols).unwrap();
            many.quantize_on(&x, cols, &pool).unwrap();
            let (one, many) = (one.quantized(), many.quantized());
            assert_eq!(one.sums(), many.sums());
            assert_eq!(one.scales(), many.scales());
            for (t, x) in x.chunks(cols).enumerate() {
                assert_eq!(one.padded(t), many.padded(t), "token {t}");
                let sum: i32 = many.row(t).iter().map(|&q| i32::from(q)).sum();
                assert_eq!(many.sums()[t], sum, "token {t}");
                let largest = x.iter().fold(0f32, |m, x| m.max(x.abs()));
                assert_eq!(many.scales()[t], 1.0 / largest * 127.0, "token {t}");
                assert!(many.padded(t)[cols..].iter().all(|&q| q == 0));
            }
        }
    }

    #[test]
    fn threads_prepare_as_one_does() {
        let pool = Pool::with_min_piece(3, 0).unwrap();
        let mut prepared = 0;
        for kernel in crate::kernels::available() {
            for (tokens, cols) in [(1, 5), (7, 256), (33, 700), (101, 300)] {
                let q: Vec<i8> = (0..tokens * cols).map(|i| (i * i % 251) as i8).collect();
                let [mut one, mut many] = [Input::default(), Input::default()];
                one.set(&q, cols);
                many.set(&q, cols);
                one.prepare(kernel);
                many.prepare_on(kernel, &pool);
                let [one, many] = [one, many].map(|input| input.tables.as_slice::<u8>().to_vec());
                assert!(one == many, "{kernel:?}, {tokens} tokens, {cols} columns");
                prepared += one.len();
            }
        }
        assert!(prepared > 0);
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let pool = Pool::with_min_piece(3, 0).unwrap();
        let (tokens, cols) = (20, 64);
        let mut x = vec![1.0; tokens * cols];
        for at in [19 * cols + 3, 7 * cols + 63, 7 * cols + 60] {
            x[at] = f32::NEG_INFINITY;
            let refused = Input::default().quantize_on(&x, cols, &pool);
            let (token, index, value) = (at / cols, at % cols, x[at]);
            let want = NonFinite {
                token,
                index,
                value,
            };
            assert_eq!(refused, Err(want));
        }
    }
}
