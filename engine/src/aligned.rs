//! Byte buffers that begin on a cache line, so that vector loads never straddle two.

use bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A zeroed, 64-byte aligned buffer, readable as any plain number type.
#[derive(Clone, Default)]
pub struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self {
            lines: bytemuck::allocation::zeroed_vec(len.div_ceil(64)),
            len,
        }
    }

    /// Grows to at least `len` bytes; what was there is not kept. Allocates only when it grows.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeroed(len);
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it as numbers of type `T`; bytes beyond the last whole number are left out.
    pub fn as_slice<T: Pod>(&self) -> &[T] {
        let bytes = &bytemuck::cast_slice::<Line, u8>(&self.lines)[..self.len];
        let size = size_of::<T>();
        bytemuck::cast_slice(&bytes[..bytes.len() / size * size])
    }

    /// All of it as writable numbers of type `T`.
    pub fn as_mut_slice<T: Pod>(&mut self) -> &mut [T] {
        let bytes = &mut bytemuck::cast_slice_mut::<Line, u8>(&mut self.lines)[..self.len];
        let whole = bytes.len() / size_of::<T>() * size_of::<T>();
        bytemuck::cast_slice_mut(&mut bytes[..whole])
    }
}
