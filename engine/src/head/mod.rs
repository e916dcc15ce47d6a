//! The token with the largest logit, from a small copy of the output head: exactly the one that
//! all logits would give.
//!
//! The head is kept in two planes of four bits a weight beside the original. The first is read
//! whole and gives an estimate of each logit and a bound of its error. Rows that could still hold
//! the largest are estimated better with the second plane, and what is left is computed from the
//! original weights in the order of [`crate::float::dot`], so that the winner, and the lowest index
//! of equals, is that of the full head. Bad cases are slower, never wrong.
//!
//! # The bound
//!
//! For a row `w` and the input `x` let `w = s1 c1 + s2 c2 + r2`, where `c1` and `c2` are the levels
//! of the planes, and `r1 = s2 c2 + r2` what the first plane leaves. Let `x = t q + d` with whole
//! numbers `q`. With `c . q` exact, the estimates `A1 = t s1 (c1 . q)` and
//! `A2 = A1 + t s2 (c2 . q)` are off by
//!
//! ```text
//! w . x - Aj = rj . x + (w - rj) . d
//! |w . x - Aj| <= |rj| |x| + (|w| + |rj|) |d|            (Cauchy-Schwarz)
//! ```
//!
//! The logit is not `w . x` but its float32 sum: a product goes through at most `n = ceil(H / 32) +
//! 6` roundings (itself, the additions of its lane, those of the 32 lanes), each of relative size
//! `u = 2^-24`, so that it differs by at most `g |w| |x|` with `g = n u / (1 - n u)` (Higham,
//! "Accuracy and Stability of Numerical Algorithms", 2nd ed., 3.1), and by `2^-150` for each product
//! that underflows. Together
//!
//! ```text
//! |logit - Aj| <= |rj| (|x| + |d|) + |w| (|d| + g |x| + e (|x| + |d|)) + (H + 2) 2^-149
//! ```
//!
//! where `e = 2^-20` has room for what computes this: norms and sums in f64 (relative errors below
//! `H 2^-52`), and `A1` kept as float32 (`2^-24 |A1|`, and `|A1| <= 2 |w| (|x| + |d|)`, as a plane
//! never leaves more than it finds). Norms are stored rounded up, and so is `Aj` plus the bound.
//! Where a sum might overflow, or a number is not finite, no bound holds, and every row is computed.

mod dot;
mod input;
mod parts;
mod plane;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::float_matrix::FloatMatrix;
use crate::ops;
use crate::threads::{Scheduler, Work};

use input::Input;
pub(crate) use parts::PARTS;
use plane::{Plane, Rest, up};

/// Bits a weight of each plane. Four, read for every row, exclude most rows; two more are enough for
/// most of the others, and the last two keep rows that all look alike from being computed exactly.
const BITS: [usize; 3] = [4, 2, 2];

/// How many rows before its turn a row is asked for.
const AHEAD: usize = 4;

/// An output head in eight bits a weight, of which most are never read.
#[derive(Clone)]
pub struct QuantizedHead {
    planes: [Plane; BITS.len()],
    /// At least the norm of each row.
    norms: Vec<f32>,
    /// The largest of them; infinite when a weight is not finite.
    largest: f32,
}

/// What finding the largest logit took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Rows read from each plane: all from the first, and what the one before did not exclude.
    pub read: [usize; BITS.len()],
    /// Logits computed from the original weights.
    pub exact: usize,
    /// Bytes of weights that were read.
    pub bytes: usize,
}

/// Buffers of a search, kept between tokens.
#[derive(Default)]
pub struct Search {
    input: Input,
    /// Rows that may hold the largest logit, ascending.
    rows: Vec<u32>,
    /// Their logits, so far as the planes before could tell.
    estimates: Vec<f32>,
    /// Estimate and upper bound of each.
    bounds: Vec<f32>,
    logits: Vec<f32>,
}

impl QuantizedHead {
    /// Quantises `head`.
    pub fn new(head: &FloatMatrix) -> Self {
        let (rows, cols) = (head.rows(), head.cols());
        let mut planes = BITS.map(|bits| Plane::new(bits, rows, cols));
        let mut norms = vec![0f32; rows];
        let [first, second, third] = &mut planes;
        (first.slots(), second.slots(), third.slots(), &mut norms)
            .into_par_iter()
            .enumerate()
            .for_each_init(
                || (vec![0f32; cols], Rest::default()),
                |(row, rest), (n, (first, second, third, norm))| {
                    head.read(n, row);
                    *norm = rest.begin(row);
                    first.take(rest);
                    second.take(rest);
                    third.take(rest);
                },
            );
        Self::of(planes, norms)
    }

    fn of(planes: [Plane; BITS.len()], norms: Vec<f32>) -> Self {
        let finite = norms.iter().all(|norm| norm.is_finite());
        let largest = norms.iter().copied().fold(0.0, f32::max);
        Self {
            planes,
            norms,
            largest: if finite { largest } else { f32::INFINITY },
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let planes = self.planes.iter().map(Plane::bytes);
        planes.sum::<usize>() + size_of_val(&self.norms[..])
    }

    /// The row of `head`, of which this was made, whose product with `x` is the largest, the lowest
    /// of equals; `None` when one is NaN.
    pub fn argmax(
        &self,
        head: &FloatMatrix,
        x: &[f32],
        scheduler: &dyn Scheduler,
        search: &mut Search,
    ) -> Option<(usize, Effort)> {
        let rows = self.norms.len();
        search.input.set(x);
        search.rows.clear();
        search.rows.extend(0..rows as u32);
        let row_bytes = head.bytes() / head.rows();
        let mut effort = Effort::default();
        if search.input.stays_finite(self.largest) {
            search.estimates.clear();
            search.estimates.resize(rows, 0.0);
            let mut floor = f32::NEG_INFINITY;
            for (plane, read) in self.planes.iter().zip(&mut effort.read) {
                *read = search.rows.len();
                effort.bytes += (plane.bytes() + size_of_val(&self.norms[..])) / rows * *read;
                self.estimate(plane, scheduler, search);
                let mut logit = [0.0];
                let likeliest = search.likeliest();
                head.dot_rows(likeliest..likeliest + 1, x, &mut logit);
                effort.exact += 1;
                floor = floor.max(logit[0]);
                search.exclude_below(floor);
                if search.rows.len() == 1 {
                    break;
                }
            }
        }
        effort.exact += search.rows.len();
        effort.bytes += row_bytes * effort.exact;
        let Search { rows, logits, .. } = search;
        logits.resize(rows.len(), 0.0);
        let work = Work {
            out: logits,
            width: 1,
            grain: 1,
            bytes: row_bytes,
        };
        scheduler.run(work, &|range, out| {
            for (&n, out) in rows[range].iter().zip(out.chunks_exact_mut(1)) {
                head.dot_rows(n as usize..n as usize + 1, x, out);
            }
        });
        let best = ops::argmax(logits)?;
        Some((rows[best] as usize, effort))
    }

    /// Adds what `plane` knows to the estimates, with their upper bounds.
    fn estimate(&self, plane: &Plane, scheduler: &dyn Scheduler, search: &mut Search) {
        let Search {
            input,
            rows,
            estimates,
            bounds,
            ..
        } = search;
        bounds.resize(2 * rows.len(), 0.0);
        let work = Work {
            out: bounds,
            width: 2,
            grain: 1,
            bytes: plane.bytes() / self.norms.len(),
        };
        scheduler.run(work, &|range, out| {
            let rows = &rows[range.clone()];
            let before = rows.iter().zip(&estimates[range]).enumerate();
            for ((i, (&n, &before)), out) in before.zip(out.chunks_exact_mut(2)) {
                if let Some(&ahead) = rows.get(i + AHEAD) {
                    plane.prefetch(ahead as usize);
                }
                let n = n as usize;
                let estimate = f64::from(before) + plane.dot(n, input);
                let radius = input.radius(self.norms[n], plane.rest(n));
                out[0] = estimate as f32;
                out[1] = up(estimate + radius);
            }
        });
    }
}

impl Search {
    /// The row with the largest estimate.
    fn likeliest(&self) -> usize {
        let mut best = (f32::NEG_INFINITY, 0);
        for (bounds, &row) in self.bounds.chunks_exact(2).zip(&self.rows) {
            if bounds[0] > best.0 {
                best = (bounds[0], row);
            }
        }
        best.1 as usize
    }

    /// Forgets the rows whose upper bounds lie below `floor`.
    fn exclude_below(&mut self, floor: f32) {
        let mut kept = 0;
        for (i, bounds) in self.bounds.chunks_exact(2).enumerate() {
            if bounds[1] >= floor {
                self.rows[kept] = self.rows[i];
                self.estimates[kept] = bounds[0];
                kept += 1;
            }
        }
        self.rows.truncate(kept);
        self.estimates.truncate(kept);
    }
}
