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
mod search;
#[cfg(test)]
mod tests;

use std::array;
use std::ops::Range;

use rayon::prelude::*;

use crate::aligned;
use crate::buffer::Buffer;
use crate::float_matrix::FloatMatrix;
use crate::ops;
use crate::prefetch;
use crate::streams::{Block, STREAMS};
use crate::threads::{Scheduler, Work};

use dot::ABREAST;
use input::Input;
pub(crate) use parts::{PARTS, Room};
use plane::{Plane, Rest};
pub use search::Search;
use search::{Best, GROUP, Group, Likeliest, WIDTH};

/// Bits a weight of each plane. Four, read for every row, exclude most rows; two more are enough for
/// most of the others, and the last two keep rows that all look alike from being computed exactly.
const BITS: [usize; 3] = [4, 2, 2];

/// Bytes of its stream before its turn that a line is asked for, at least.
const AHEAD: usize = 2048;

/// How many rows before its turn one is asked for, of those that do not follow each other.
const NEXT: usize = 2 * ABREAST;

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

impl QuantizedHead {
    /// Quantises `head`. Where there is no memory for it the process ends, as with `Vec`.
    pub fn new(head: &FloatMatrix) -> Self {
        Self::try_new(head).unwrap_or_else(|bytes| aligned::no_memory(bytes))
    }

    /// As [`QuantizedHead::new`], or the bytes that there is no memory for.
    pub(crate) fn try_new(head: &FloatMatrix) -> Result<Self, usize> {
        let (rows, cols) = (head.rows(), head.cols());
        let Room {
            mut planes,
            mut norms,
        } = Room::of(rows, cols)?;
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
        Ok(Self::of(planes, norms))
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
        let all = self.norms.len();
        let row_bytes = head.bytes() / head.rows();
        let mut effort = Effort::default();
        search.input.set(x);
        if search.input.stays_finite(self.largest) {
            let mut floor = f32::NEG_INFINITY;
            for (i, (plane, read)) in self.planes.iter().zip(&mut effort.read).enumerate() {
                *read = if i == 0 { all } else { search.rows.len() };
                effort.bytes += (plane.bytes() + size_of_val(&self.norms[..])) / all * *read;
                let likeliest = match i {
                    0 => self.estimate_all(scheduler, search),
                    _ => self.estimate(plane, scheduler, search),
                };
                let mut logit = [0.0];
                head.dot_rows(likeliest..likeliest + 1, x, &mut logit);
                effort.exact += 1;
                floor = floor.max(logit[0]);
                match i {
                    0 => search.keep_of_all(floor),
                    _ => search.keep(floor),
                }
                if search.rows.len() == 1 {
                    break;
                }
            }
        } else {
            search.rows.clear();
            search.rows.extend(0..all as u32);
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

    /// What the first plane says of all rows; the likeliest.
    ///
    /// Rows are read in streams. Until a group is complete, its sums lie where estimates will.
    fn estimate_all(&self, scheduler: &dyn Scheduler, search: &mut Search) -> usize {
        let Search { input, bounds, .. } = search;
        let plane = &self.planes[0];
        let ahead = AHEAD.next_multiple_of(plane.width());
        let count = self.norms.len();
        self.spread(plane, count, bounds, scheduler, |range, groups, best| {
            let blocks = || Block::all(range.len(), plane.width());
            if let Some(block) = blocks().next() {
                block.begin(plane.codes(range.start).as_ptr(), ahead);
            }
            let mut done = 0;
            for block in blocks() {
                for i in 0..block.longest() {
                    let places = block.abreast(i);
                    // The last stream is a longest one.
                    let Some(last) = places[STREAMS - 1] else {
                        continue;
                    };
                    let places = places.map(|place| place.unwrap_or(last));
                    let rows = places.map(|place| range.start + place.tile);
                    let next = array::from_fn(|k| {
                        let codes = plane.codes(rows[k]).as_ptr();
                        codes.wrapping_add(places[k].beyond(0, ahead))
                    });
                    let sums = plane.sums(rows, input, next);
                    for (place, sum) in places.into_iter().zip(sums) {
                        let [waiting, _] = &mut groups[place.tile / GROUP];
                        waiting[place.tile % GROUP] = f32::from_bits(sum as u32);
                    }
                }
                let end = block.tiles().end;
                let whole = match end == range.len() {
                    true => end.div_ceil(GROUP),
                    false => end / GROUP,
                };
                for (g, group) in (done..).zip(&mut groups[done..whole]) {
                    let first = range.start + g * GROUP;
                    let rows = array::from_fn(|i| (first + i).min(range.end - 1));
                    let sums = group[0].map(|waiting| waiting.to_bits() as i32);
                    *group = self.bounds(plane, input, &rows, &sums, &[0.0; GROUP]);
                    let known = (range.end - first).min(GROUP);
                    best.see(group, &rows[..known]);
                    group[1][known..].fill(f32::NEG_INFINITY);
                }
                done = whole;
            }
        })
    }

    /// What `plane` adds to what is known of the rows that are left; the likeliest.
    fn estimate(&self, plane: &Plane, scheduler: &dyn Scheduler, search: &mut Search) -> usize {
        let Search {
            input,
            rows,
            estimates,
            bounds,
            ..
        } = search;
        let row = |i: usize| rows[i.min(rows.len() - 1)] as usize;
        self.spread(
            plane,
            rows.len(),
            bounds,
            scheduler,
            |range, groups, best| {
                for (first, group) in range.clone().step_by(GROUP).zip(groups) {
                    for i in first + GROUP..first + 2 * GROUP {
                        prefetch::ahead::<_, 0>(&plane.rows()[row(i)]);
                        prefetch::ahead::<_, 0>(&self.norms[row(i)]);
                    }
                    let four = |i: usize| array::from_fn(|k| row(i + k));
                    let mut sums = [0; GROUP];
                    for (i, sums) in (first..)
                        .step_by(ABREAST)
                        .zip(sums.chunks_exact_mut(ABREAST))
                    {
                        let next = four(i + NEXT).map(|n| plane.codes(n).as_ptr());
                        sums.copy_from_slice(&plane.sums(four(i), input, next));
                    }
                    let rows = array::from_fn(|i| row(first + i));
                    let before =
                        array::from_fn(|i| estimates[(first + i).min(estimates.len() - 1)]);
                    *group = self.bounds(plane, input, &rows, &sums, &before);
                    best.see(group, &rows[..(range.end - first).min(GROUP)]);
                }
            },
        )
    }

    /// Lets threads write the bounds of `count` rows, in groups, and see which row is likeliest.
    fn spread(
        &self,
        plane: &Plane,
        count: usize,
        bounds: &mut Buffer<f32>,
        scheduler: &dyn Scheduler,
        task: impl Fn(Range<usize>, &mut [Group], &mut Likeliest) + Sync,
    ) -> usize {
        bounds.resize(count.div_ceil(GROUP) * WIDTH);
        let work = Work {
            out: bounds,
            width: WIDTH,
            grain: 1,
            bytes: GROUP * (plane.bytes() / self.norms.len()),
        };
        let best = Best::default();
        scheduler.run(work, &|groups, out| {
            let mut likeliest = Likeliest::default();
            let rows = groups.start * GROUP..count.min(groups.end * GROUP);
            task(rows, bytemuck::cast_slice_mut(out), &mut likeliest);
            best.take(likeliest);
        });
        best.row()
    }

    /// The bounds of a group.
    fn bounds(
        &self,
        plane: &Plane,
        input: &Input,
        rows: &[usize; GROUP],
        sums: &[i32; GROUP],
        before: &[f32; GROUP],
    ) -> Group {
        let known = rows.map(|n| plane.rows()[n]);
        let norms = rows.map(|n| self.norms[n]);
        search::bounds(sums, before, &known, &norms, plane.less(input), input)
    }
}
