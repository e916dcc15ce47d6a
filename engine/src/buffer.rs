//! Numbers that begin on a cache line.

use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;

use crate::aligned::Aligned;

/// A slice of numbers that owns its memory, 64-byte aligned; long ones lie on large pages where the
/// system grants them. What a vector loads from it straddles no two lines, so its speed does not
/// depend on where the allocator happened to put it.
#[derive(Clone)]
pub struct Buffer<T> {
    bytes: Aligned,
    len: usize,
    numbers: PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        Self {
            bytes: Aligned::zeroed(len * size_of::<T>()),
            len,
            numbers: PhantomData,
        }
    }

    /// `len` zeros, or `None` where there is no room for so many.
    pub fn try_zeroed(len: usize) -> Option<Self> {
        Some(Self {
            bytes: Aligned::try_zeroed(len.checked_mul(size_of::<T>())?)?,
            len,
            numbers: PhantomData,
        })
    }

    /// `len` zeros for what fills slowly; see [`Aligned::sparse`]. `None` where there can't be so
    /// many.
    pub fn sparse(len: usize) -> Option<Self> {
        Some(Self {
            bytes: Aligned::sparse(len.checked_mul(size_of::<T>())?)?,
            len,
            numbers: PhantomData,
        })
    }

    /// Makes it `len` long. What it holds then is any numbers. Allocates only when it was never so
    /// long.
    pub fn resize(&mut self, len: usize) {
        self.bytes.reserve(len * size_of::<T>());
        self.len = len;
    }
}

impl<T: Pod + PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T: Pod + Debug> Debug for Buffer<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

impl<T: Pod> From<Vec<T>> for Buffer<T> {
    fn from(values: Vec<T>) -> Self {
        Self::from(&values[..])
    }
}

impl<T: Pod> Default for Buffer<T> {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl<T: Pod> From<&[T]> for Buffer<T> {
    fn from(values: &[T]) -> Self {
        let mut buffer = Self::zeroed(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.bytes.as_slice()[..self.len]
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.bytes.as_mut_slice()[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_its_numbers_on_a_line_of_their_own() {
        for len in [0, 1, 15, 1000, 300_000] {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let mut buffer = Buffer::from(&values[..]);
            assert_eq!(buffer[..], values[..]);
            assert!((buffer.as_ptr() as usize).is_multiple_of(64));
            buffer.fill(7.0);
            let copy = buffer.clone();
            assert!(len == 0 || copy.as_ptr() != buffer.as_ptr());
            assert!(copy.len() == len && copy.iter().all(|&v| v == 7.0));
        }
    }
}
