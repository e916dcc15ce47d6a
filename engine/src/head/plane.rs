//! A few bits of every weight of a matrix, and how much of it they leave.

use bytemuck::allocation::try_zeroed_vec;
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;

use super::dot::{ABREAST, LINE, dot};
use super::input::Input;
use crate::aligned::Aligned;
use crate::float::versions;

/// Where few values are as large as the largest, a shorter step than the one that reaches it leaves
/// less: it is shortened by this factor for as long as that helps.
const SHORTER: f64 = 0.85;
/// A step is chosen from this many values of each [`EVERY`] times as many.
const SAMPLED: usize = 32;
const EVERY: usize = 8;

/// Each weight as a level times the step of its row. Levels are the `2^bits` numbers with fraction
/// one half around 0, such as `-1.5, -0.5, 0.5, 1.5`; a code is its level's place.
#[derive(Clone)]
pub(super) struct Plane {
    /// Bits a code: 4 or 2.
    bits: usize,
    /// Bytes of a row.
    width: usize,
    /// Row-major. Field `f` of byte `i`, from bit `f * bits` on, is column `f * width + i`.
    codes: Aligned,
    rows: Vec<Row>,
}

/// What is known of a row's codes.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Row {
    pub step: f32,
    /// At least the norm of what is left of the row.
    pub rest: f32,
}

impl Row {
    /// What a sum of code times integer stands for, exact but for the rounding of f64: `less` is the
    /// plane's offset times the sum of the input's integers.
    #[inline(always)]
    pub fn product(&self, sum: i32, less: f64, input: &Input) -> f64 {
        f64::from(self.step) * input.step() * (f64::from(sum) - less)
    }
}

/// Columns of a row of codes of `bits`, with its padding.
pub(super) fn padded(cols: usize, bits: usize) -> usize {
    cols.next_multiple_of(8 / bits * LINE)
}

/// Where the codes of a row go.
pub(super) struct Slot<'a> {
    bits: usize,
    codes: &'a mut [u8],
    row: &'a mut Row,
}

impl Plane {
    /// A plane whose rows are to be taken from the weights, all through [`Plane::slots`]; `None` where
    /// there is no memory for it.
    pub fn try_zeroed(bits: usize, rows: usize, cols: usize) -> Option<Self> {
        let width = padded(cols, bits) * bits / 8;
        Some(Self {
            bits,
            width,
            codes: Aligned::try_zeroed(rows.checked_mul(width)?)?,
            rows: try_zeroed_vec(rows).ok()?,
        })
    }

    /// Bytes of codes, and of what is known of rows.
    pub fn part_bytes(bits: usize, rows: usize, cols: usize) -> [usize; 2] {
        let codes = rows.saturating_mul(padded(cols, bits) * bits / 8);
        [codes, rows.saturating_mul(size_of::<Row>())]
    }

    /// Codes, and what is known of rows.
    pub fn parts(&self) -> [&[u8]; 2] {
        [self.codes.as_slice(), bytemuck::cast_slice(&self.rows)]
    }

    /// As [`Plane::parts`], to be written.
    pub fn parts_mut(&mut self) -> [&mut [u8]; 2] {
        let rows = bytemuck::cast_slice_mut(&mut self.rows);
        [self.codes.as_mut_slice(), rows]
    }

    /// Whether steps and norms are what they can be.
    pub fn can_be(&self) -> bool {
        self.rows
            .iter()
            .all(|row| row.step >= 0.0 && row.rest >= 0.0)
    }

    /// A slot for each row.
    pub fn slots(&mut self) -> impl IndexedParallelIterator<Item = Slot<'_>> {
        let bits = self.bits;
        let codes = self.codes.as_mut_slice();
        let rows = codes.par_chunks_exact_mut(self.width).zip(&mut self.rows);
        rows.map(move |(codes, row)| Slot { bits, codes, row })
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.codes.len() + size_of_val(&self.rows[..])
    }

    /// Bytes of a row of codes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The codes of row `n`.
    pub fn codes(&self, n: usize) -> &[u8] {
        &self.codes.as_slice()[n * self.width..][..self.width]
    }

    /// What is known of each row.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What is to be taken from every sum: codes are as much too large as the middle one is.
    pub fn less(&self, input: &Input) -> f64 {
        f64::from((1 << self.bits) - 1) / 2.0 * input.sum()
    }

    /// The sums of code times integer of `input` of some rows; those at `next` are asked for meanwhile.
    pub fn sums(
        &self,
        rows: [usize; ABREAST],
        input: &Input,
        next: [*const u8; ABREAST],
    ) -> [i32; ABREAST] {
        let codes = rows.map(|n| self.codes(n));
        match self.bits {
            4 => dot::<2>(codes, input.values(), next),
            _ => dot::<4>(codes, input.values(), next),
        }
    }
}

/// Buffers of whoever fills slots, one row after the other.
#[derive(Default)]
pub(super) struct Rest {
    /// What is left of the row.
    pub values: Vec<f64>,
    /// The sum of their squares.
    squares: f64,
    next: Vec<f64>,
    sample: Vec<f64>,
}

impl Rest {
    /// All of a row: nothing was taken yet. At least its norm.
    pub fn begin(&mut self, row: &[f32]) -> f32 {
        self.values.clear();
        self.values.extend(row.iter().map(|&w| f64::from(w)));
        self.squares = squares_left(&self.values, 0.0, 1.0);
        up(self.squares.sqrt())
    }
}

impl Slot<'_> {
    /// Takes a few bits of what is left of a row.
    pub fn take(mut self, rest: &mut Rest) {
        rest.sample.clear();
        for values in rest.values.chunks(SAMPLED).step_by(EVERY) {
            rest.sample.extend_from_slice(values);
        }
        let mut step = self.step(&rest.sample);
        let mut left = self.encode(step, rest);
        // A sample may mislead; all values can't. What is not a number goes either way.
        if left > rest.squares {
            step = self.step(&rest.values);
            left = self.encode(step, rest);
        }
        std::mem::swap(&mut rest.values, &mut rest.next);
        rest.squares = left;
        *self.row = Row {
            step,
            rest: up(left.sqrt()),
        };
    }

    /// Levels lie within this many steps.
    fn reach(&self) -> f64 {
        f64::from(1 << (self.bits - 1))
    }

    /// The step whose levels leave little of `values`, or 0, which leaves all.
    fn step(&self, values: &[f64]) -> f32 {
        let reach = self.reach();
        let largest = largest(values);
        let (mut best, mut least) = (0f32, squares_left(values, 0.0, reach));
        let (mut step, mut before) = (largest / reach, f64::INFINITY);
        loop {
            let left = squares_left(values, f64::from(step as f32), reach);
            if left < least {
                (best, least) = (step as f32, left);
            }
            let shrinks = left < before;
            if !shrinks {
                break;
            }
            (step, before) = (step * SHORTER, left);
        }
        best
    }

    /// Writes the codes of `rest.values`, and what they leave to `rest.next`; the sum of its squares.
    fn encode(&mut self, step: f32, rest: &mut Rest) -> f64 {
        let (reach, width) = (self.reach(), self.codes.len());
        self.codes.fill(0);
        rest.next.resize(rest.values.len(), 0.0);
        let columns = rest.values.chunks(width).zip(rest.next.chunks_mut(width));
        columns
            .enumerate()
            .fold(0.0, |sum, (field, (values, next))| {
                let shift = (self.bits * field) as u32;
                sum + encode(values, f64::from(step), reach, shift, self.codes, next)
            })
    }
}

/// A float32 above `value`, also above one of which this is an f64 rounding.
pub(super) fn up(value: f64) -> f32 {
    (value as f32).next_up()
}

fn inverse(step: f64) -> f64 {
    if step == 0.0 { 0.0 } else { step.recip() }
}

/// Sums with it have no bits left for a fraction, and their last bits are a whole number's.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// [`MAGIC`] plus the whole number below the level nearest to `value`, of those up to `reach - 0.5`
/// steps.
#[inline(always)]
fn below(value: f64, inverse: f64, reach: f64) -> f64 {
    (value * inverse - 0.5).clamp(-reach, reach - 1.0) + MAGIC
}

/// What the level nearest to `value` leaves of it.
#[inline(always)]
fn left(value: f64, below: f64, step: f64) -> f64 {
    value - ((below - MAGIC) + 0.5) * step
}

/// Sums that are kept side by side.
const LANES: usize = 16;

versions! {
    /// The largest magnitude of `values`.
    fn largest(values: &[f64]) -> f64 = largest_body
}

#[inline(always)]
fn largest_body(values: &[f64]) -> f64 {
    let larger = |m: f64, v: &f64| if v.abs() > m { v.abs() } else { m };
    let mut lanes = [0f64; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, v);
        }
    }
    lanes.iter().chain(tail).fold(0.0, larger)
}

versions! {
    /// The sum of squares of what levels of a step leave of `values`.
    fn squares_left(values: &[f64], step: f64, reach: f64) -> f64 = squares_left_body
}

#[inline(always)]
fn squares_left_body(values: &[f64], step: f64, reach: f64) -> f64 {
    let inverse = inverse(step);
    let square = |v: f64| {
        let left = left(v, below(v, inverse, reach), step);
        left * left
    };
    let mut lanes = [0f64; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += square(v);
        }
    }
    let tail = tail.iter().map(|&v| square(v)).sum::<f64>();
    lanes.iter().sum::<f64>() + tail
}

versions! {
    /// Adds the codes of `values` to `codes`, shifted left, and writes what they leave to `next`; the
    /// sum of its squares.
    fn encode(
        values: &[f64],
        step: f64,
        reach: f64,
        shift: u32,
        codes: &mut [u8],
        next: &mut [f64]
    ) -> f64 = encode_body
}

#[inline(always)]
fn encode_body(
    values: &[f64],
    step: f64,
    reach: f64,
    shift: u32,
    codes: &mut [u8],
    next: &mut [f64],
) -> f64 {
    let inverse = inverse(step);
    let one = |v: f64, code: &mut u8, next: &mut f64| {
        let below = below(v, inverse, reach);
        *code |= (below.to_bits() as u8).wrapping_add(reach as u8) << shift;
        *next = left(v, below, step);
        *next * *next
    };
    let mut lanes = [0f64; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    let (whole_codes, tail_codes) = codes[..values.len()].as_chunks_mut::<LANES>();
    let (whole_next, tail_next) = next.as_chunks_mut::<LANES>();
    for ((values, codes), next) in chunks.iter().zip(whole_codes).zip(whole_next) {
        for i in 0..LANES {
            lanes[i] += one(values[i], &mut codes[i], &mut next[i]);
        }
    }
    let mut sum = lanes.iter().sum::<f64>();
    for ((&v, code), next) in tail.iter().zip(tail_codes).zip(tail_next) {
        sum += one(v, code, next);
    }
    sum
}
