//! Byte buffers that begin on a cache line, so that vector loads never straddle two.

use std::alloc::{Layout, handle_alloc_error};

use bytemuck::{Pod, Zeroable};
use memmap2::MmapMut;

/// Bytes of a cache line.
pub const LINE: usize = 64;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Buffers from this size on ask the system for large pages: a stream of weights on small ones
/// spends a part of its time on page walks.
const LARGE: usize = 1 << 20;

/// A zeroed, 64-byte aligned buffer, readable as any plain number type.
///
/// A clone is memory of its own, on large pages where the original asked for them.
pub struct Aligned {
    storage: Storage,
    len: usize,
}

enum Storage {
    Lines(Vec<Line>),
    Pages { map: MmapMut, start: usize },
}

impl Default for Aligned {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        Self::from(self.as_slice())
    }
}

impl From<&[u8]> for Aligned {
    fn from(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy.as_mut_slice::<u8>().copy_from_slice(bytes);
        copy
    }
}

impl Aligned {
    /// `len` zero bytes. Where there is no room for so many the process ends, as with `Vec`.
    pub fn zeroed(len: usize) -> Self {
        Self::try_zeroed(len).unwrap_or_else(|| no_memory(len))
    }

    /// `len` zero bytes, or `None` where there is no room for so many.
    pub fn try_zeroed(len: usize) -> Option<Self> {
        let lines = || {
            let lines = bytemuck::allocation::try_zeroed_vec(len.div_ceil(LINE));
            lines.ok().map(Storage::Lines)
        };
        let storage = if len < LARGE {
            lines()
        } else {
            pages(len).or_else(lines)
        };
        Some(Self {
            storage: storage?,
            len,
        })
    }

    /// `len` zero bytes for what fills slowly: a page takes memory when it is first written to. `None`
    /// where there can't be so much.
    pub fn sparse(len: usize) -> Option<Self> {
        let map = MmapMut::map_anon(len.max(1)).ok()?;
        let storage = Storage::Pages { map, start: 0 };
        Some(Self { storage, len })
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
        let bytes = match &self.storage {
            Storage::Lines(lines) => bytemuck::cast_slice::<Line, u8>(lines),
            Storage::Pages { map, start } => &map[*start..],
        };
        bytemuck::cast_slice(&bytes[..self.len / size_of::<T>() * size_of::<T>()])
    }

    /// All of it as writable numbers of type `T`.
    pub fn as_mut_slice<T: Pod>(&mut self) -> &mut [T] {
        let bytes = match &mut self.storage {
            Storage::Lines(lines) => bytemuck::cast_slice_mut::<Line, u8>(lines),
            Storage::Pages { map, start } => &mut map[*start..],
        };
        bytemuck::cast_slice_mut(&mut bytes[..self.len / size_of::<T>() * size_of::<T>()])
    }
}

/// Ends the process as the standard library does where memory is missing and nobody can be told.
pub(crate) fn no_memory(bytes: usize) -> ! {
    let bytes = bytes.min(isize::MAX as usize / LINE * LINE);
    handle_alloc_error(Layout::array::<u8>(bytes).expect("a length that a layout can have"))
}

/// A large page of most systems.
const PAGE: usize = 2 << 20;

/// What lies beyond the end on a last large page is at most this part of the buffer; else the end lies
/// on small ones. A model has a buffer for each layer, and unused ends would add up.
const WASTE: usize = 16;

/// Zeroed pages, large ones where the system grants them; `None` where it has no memory to map.
///
/// A mapping begins at any small page, and large ones are aligned: hence one more is mapped than
/// is touched.
fn pages(len: usize) -> Option<Storage> {
    let whole = len.next_multiple_of(PAGE);
    let map = MmapMut::map_anon(whole + PAGE).ok()?;
    let start = map.as_ptr().align_offset(PAGE);
    #[cfg(target_os = "linux")]
    {
        let fits = len < PAGE || (whole - len) * WASTE <= len;
        let large = if fits { whole } else { whole - PAGE };
        // Refused, pages are of the system's choice, which is right too.
        let _ = map.advise_range(memmap2::Advice::HugePage, start, large);
        let _ = map.advise_range(memmap2::Advice::NoHugePage, start + large, whole - large);
    }
    Some(Storage::Pages { map, start })
}
