//! A quantised head as bytes, to be kept and taken up again.

use xxhash_rust::xxh3::Xxh3Default;

use super::plane::Plane;
use super::{BITS, QuantizedHead};
use crate::checkpoint::Floats;
use crate::float_matrix::FloatMatrix;
use crate::synthetic::split_mix;

/// Codes and rows of each plane, and the norms.
pub(crate) const PARTS: usize = 2 * BITS.len() + 1;

impl QuantizedHead {
    /// Bytes of each part of a head of `rows` x `cols`.
    pub(crate) fn part_bytes(rows: usize, cols: usize) -> [usize; PARTS] {
        let planes = BITS.map(|bits| Plane::part_bytes(bits, rows, cols));
        let mut parts = planes.iter().flatten().copied();
        std::array::from_fn(|_| {
            parts
                .next()
                .unwrap_or(rows.saturating_mul(size_of::<f32>()))
        })
    }

    /// Its parts.
    pub(crate) fn parts(&self) -> [&[u8]; PARTS] {
        let mut parts = self.planes.iter().flat_map(Plane::parts);
        std::array::from_fn(|_| parts.next().unwrap_or(bytemuck::cast_slice(&self.norms)))
    }

    /// A head of `rows` x `cols` whose parts `read` writes, told which; `None` when a norm or a step
    /// is less than zero, or no number.
    pub(crate) fn from_parts<E>(
        rows: usize,
        cols: usize,
        mut read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<Option<Self>, E> {
        let mut planes = BITS.map(|bits| Plane::new(bits, rows, cols));
        let mut norms = vec![0_f32; rows];
        let parts = planes.iter_mut().flat_map(Plane::parts_mut);
        let parts = parts.chain([bytemuck::cast_slice_mut(&mut norms)]);
        for (i, part) in parts.enumerate() {
            read(i, part)?;
        }
        let can_be = planes.iter().all(Plane::can_be) && norms.iter().all(|&norm| norm >= 0.0);
        Ok(can_be.then(|| Self::of(planes, norms)))
    }

    /// Sixteen hexadecimal digits of what becomes of a head: where it is quantised or laid out in
    /// another way, others.
    pub(crate) fn fingerprint() -> String {
        // No multiple of any line.
        let (rows, cols) = (9, 333);
        let mut state = 1;
        let value = |_| (split_mix(&mut state) as i32 as f32) / 1e9;
        let values: Vec<f32> = (0..rows * cols).map(value).collect();
        let head = Self::new(&FloatMatrix::new(Floats::F32(values.into()), cols));
        let mut digest = Xxh3Default::new();
        for part in head.parts() {
            digest.update(part);
        }
        format!("{:016x}", digest.digest())
    }
}
