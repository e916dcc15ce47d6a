//! Which rows may still hold the largest logit.

use std::sync::atomic::{AtomicU64, Ordering};

use super::input::Input;
use super::plane::{Row, up};
use crate::buffer::Buffer;
use crate::float::versions;
use crate::prefetch;

/// Rows whose bounds lie together.
pub(super) const GROUP: usize = 16;

/// Of a group of rows, the estimate of each and the upper bound of each.
pub(super) type Group = [[f32; GROUP]; 2];

/// Numbers of a [`Group`].
pub(super) const WIDTH: usize = 2 * GROUP;

versions! {
    /// What the sums of a group say: `before` is what the planes before do, `less` as [`Row::product`]
    /// has it.
    pub(super) fn bounds(
        sums: &[i32; GROUP],
        before: &[f32; GROUP],
        rows: &[Row; GROUP],
        norms: &[f32; GROUP],
        less: f64,
        input: &Input
    ) -> Group = bounds_body
}

#[inline(always)]
fn bounds_body(
    sums: &[i32; GROUP],
    before: &[f32; GROUP],
    rows: &[Row; GROUP],
    norms: &[f32; GROUP],
    less: f64,
    input: &Input,
) -> Group {
    let [mut estimates, mut bounds] = [[0.0; GROUP]; 2];
    for i in 0..GROUP {
        let estimate = f64::from(before[i]) + rows[i].product(sums[i], less, input);
        estimates[i] = estimate as f32;
        bounds[i] = up(estimate + input.radius(norms[i], rows[i].rest));
    }
    [estimates, bounds]
}

/// Buffers of a search, kept between tokens.
#[derive(Default)]
pub struct Search {
    pub(super) input: Input,
    /// Rows that may hold the largest logit, ascending.
    pub(super) rows: Vec<u32>,
    /// Their logits, so far as the planes before could tell.
    pub(super) estimates: Vec<f32>,
    /// What the last plane said, in groups, of the rows that were left before it, or of all.
    pub(super) bounds: Buffer<f32>,
    pub(super) logits: Vec<f32>,
}

impl Search {
    /// Keeps, of all rows, those whose upper bounds reach `floor`.
    pub(super) fn keep_of_all(&mut self, floor: f32) {
        let Self {
            rows, estimates, ..
        } = self;
        rows.clear();
        estimates.clear();
        let groups: &[Group] = bytemuck::cast_slice(&self.bounds);
        for (first, group) in (0..).step_by(GROUP).zip(groups) {
            prefetch::ahead::<_, 4096>(group);
            let [values, bounds] = group;
            let mut kept = 0_u32;
            for (i, &bound) in bounds.iter().enumerate() {
                kept |= u32::from(bound >= floor) << i;
            }
            while kept > 0 {
                let i = kept.trailing_zeros();
                rows.push(first + i);
                estimates.push(values[i as usize]);
                kept &= kept - 1;
            }
        }
    }

    /// Keeps, of the rows that are left, those whose upper bounds reach `floor`.
    pub(super) fn keep(&mut self, floor: f32) {
        let groups: &[Group] = bytemuck::cast_slice(&self.bounds);
        let mut kept = 0;
        for i in 0..self.rows.len() {
            let [estimates, bounds] = &groups[i / GROUP];
            if bounds[i % GROUP] >= floor {
                self.rows[kept] = self.rows[i];
                self.estimates[kept] = estimates[i % GROUP];
                kept += 1;
            }
        }
        self.rows.truncate(kept);
        self.estimates.truncate(kept);
    }
}

/// The row with the largest estimate, the first of equals.
#[derive(Clone, Copy)]
pub(super) struct Likeliest {
    estimate: f32,
    row: usize,
}

impl Default for Likeliest {
    /// Of no row.
    fn default() -> Self {
        Self {
            estimate: f32::NEG_INFINITY,
            row: 0,
        }
    }
}

impl Likeliest {
    /// Takes the rows of a group into account; groups come in the order of their rows.
    pub fn see(&mut self, [estimates, _]: &Group, rows: &[usize]) {
        for (&estimate, &row) in estimates.iter().zip(rows) {
            if estimate > self.estimate {
                *self = Self { estimate, row };
            }
        }
    }
}

/// The likeliest of what several threads saw.
#[derive(Default)]
pub(super) struct Best(AtomicU64);

impl Best {
    /// Takes what a thread saw into account.
    pub fn take(&self, seen: Likeliest) {
        // As integers, floats are in order but for the sign, and negative ones the other way round. Both
        // zeros become one.
        let bits = seen.estimate.to_bits();
        let ordered = match seen.estimate < 0.0 {
            true => !bits,
            false => bits | 1 << 31,
        };
        let key = (u64::from(ordered) << 32) | u64::from(!(seen.row as u32));
        self.0.fetch_max(key, Ordering::Relaxed);
    }

    /// The row.
    pub fn row(self) -> usize {
        !(self.0.into_inner() as u32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_is_the_first_of_the_largest_estimates() {
        for (estimates, want) in [
            (vec![1.5, -2.0, 3.0, 3.0], 2),
            (vec![-7.0, -1.0, -1.0, -2.0], 1),
            (vec![-1.0, -0.0, 0.0, -3.0], 1),
            (vec![f32::NEG_INFINITY, -f32::MAX, -1e-45, -1.0], 2),
        ] {
            // However the rows are shared out, and whoever is done first.
            for cut in 0..=estimates.len() {
                for order in [[0, 1], [1, 0]] {
                    let best = Best::default();
                    let pieces = [0..cut, cut..estimates.len()];
                    for piece in order.map(|i| pieces[i].clone()) {
                        let mut group = [[f32::NEG_INFINITY; GROUP]; 2];
                        group[0][..piece.len()].copy_from_slice(&estimates[piece.clone()]);
                        let mut likeliest = Likeliest::default();
                        likeliest.see(&group, &piece.collect::<Vec<_>>());
                        best.take(likeliest);
                    }
                    assert_eq!(best.row(), want, "{estimates:?} cut at {cut}");
                }
            }
        }
    }
}
