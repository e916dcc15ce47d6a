//! A quantised head as bytes, to be kept and taken up again.

use bytemuck::allocation::try_zeroed_vec;
use xxhash_rust::xxh3::Xxh3Default;

use super::plane::Plane;
use super::{BITS, QuantizedHead};
use crate::checkpoint::Floats;
use crate::float_matrix::FloatMatrix;
use crate::synthetic::split_mix;

/// Codes and rows of each plane, and the norms.
pub(crate) const PARTS: usize = 2 * BITS.len() + 1;

/// Memory of a head, to be filled.
pub(crate) struct Room {
    pub(super) planes: [Plane; BITS.len()],
    pub(super) norms: Vec<f32>,
}

impl Room {
    /// For a head of `rows` x `cols`, or the bytes that there is no memory for.
    pub fn of(rows: usize, cols: usize) -> Result<Self, usize> {
        let zeroed = || {
            let [a, b, c] = BITS.map(|bits| Plane::try_zeroed(bits, rows, cols));
            let norms = try_zeroed_vec(rows).ok()?;
            let planes = [a?, b?, c?];
            Some(Self { planes, norms })
        };
        let parts = QuantizedHead::part_bytes(rows, cols);
        zeroed().ok_or_else(|| parts.into_iter().fold(0, usize::saturating_add))
    }
}

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

    /// A head whose parts `read` writes, told which; `None` when a norm or a step is less than zero, or
    /// no number.
    pub(crate) fn from_parts<E>(
        room: Room,
        mut read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<Option<Self>, E> {
        let Room {
            mut planes,
            mut norms,
        } = room;
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
