//! Keys and values of the positions so far, and how their numbers are stored.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::Error;
use crate::buffer::Buffer;
use crate::float;

/// How the numbers of a KV cache are stored. What is stored is rounded when its token comes, so that
/// the token itself already attends to what later ones will read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheFormat {
    /// float32, as computed.
    #[default]
    F32,
    /// The upper half of a float32, rounded to the nearest, ties to even.
    Bf16,
    /// int8 by the activation quantiser ([`float::quantize`]), one scale `s` for each head and
    /// position: `q` means `q * fl(1 / s)`.
    Int8,
}

impl CacheFormat {
    /// All, widest first.
    pub const ALL: [CacheFormat; 3] = [CacheFormat::F32, CacheFormat::Bf16, CacheFormat::Int8];

    /// The name used on command lines.
    pub fn name(self) -> &'static str {
        match self {
            CacheFormat::F32 => "f32",
            CacheFormat::Bf16 => "bf16",
            CacheFormat::Int8 => "int8",
        }
    }

    /// Bytes of `len` numbers that share a head and a position.
    pub fn bytes(self, len: usize) -> usize {
        match self {
            CacheFormat::F32 => len * size_of::<f32>(),
            CacheFormat::Bf16 => len * size_of::<u16>(),
            CacheFormat::Int8 => len + size_of::<f32>(),
        }
    }
}

impl fmt::Display for CacheFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A format's name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format of a KV cache; known: f32, bf16, int8")]
pub struct UnknownFormat(String);

impl FromStr for CacheFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let named = Self::ALL.into_iter().find(|format| format.name() == name);
        named.ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// Keys (rotated) and values of one layer: `[kv head][position][d]`.
#[derive(Clone)]
pub struct LayerCache {
    keys: Store,
    values: Store,
    format: CacheFormat,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
}

impl LayerCache {
    /// Room for `capacity` positions of `kv_heads` heads. The memory is touched as it fills.
    ///
    /// # Errors
    /// When there can't be so much.
    pub fn new(
        kv_heads: usize,
        head_dim: usize,
        capacity: usize,
        format: CacheFormat,
    ) -> Result<Self, Error> {
        let store = || Store::new(kv_heads.checked_mul(capacity)?, head_dim, format);
        match (store(), store()) {
            (Some(keys), Some(values)) => Ok(Self {
                keys,
                values,
                format,
                kv_heads,
                head_dim,
                capacity,
            }),
            _ => Err(Error::CacheMemory {
                positions: capacity,
            }),
        }
    }

    /// Stores one position: `key` is `[kv head][d]`, rotated already, and so is `value`.
    pub fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let d = self.head_dim;
        for (head, (k, v)) in key.chunks_exact(d).zip(value.chunks_exact(d)).enumerate() {
            let row = head * self.capacity + position;
            self.keys.put(row, k);
            self.values.put(row, v);
        }
    }

    /// Key/value heads.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Numbers of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// How numbers are stored.
    pub fn format(&self) -> CacheFormat {
        self.format
    }

    /// Bytes that a position takes.
    pub fn bytes_per_position(&self) -> usize {
        2 * self.kv_heads * self.format.bytes(self.head_dim)
    }

    pub(super) fn keys(&self, head: usize, positions: Range<usize>) -> Rows<'_> {
        self.keys.rows(self.span(head, positions), self.head_dim)
    }

    pub(super) fn values(&self, head: usize, positions: Range<usize>) -> Rows<'_> {
        self.values.rows(self.span(head, positions), self.head_dim)
    }

    fn span(&self, head: usize, positions: Range<usize>) -> Range<usize> {
        let first = head * self.capacity;
        first + positions.start..first + positions.end
    }
}

/// Rows of `d` numbers.
#[derive(Clone)]
enum Store {
    F32(Buffer<f32>),
    Bf16(Buffer<u16>),
    Int8 {
        numbers: Buffer<i8>,
        /// What 1 stands for, by row.
        steps: Buffer<f32>,
    },
}

/// Some rows of a cache, one after another.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
    Int8 { numbers: &'a [i8], steps: &'a [f32] },
}

impl Store {
    /// `None` where there can't be so many.
    fn new(rows: usize, d: usize, format: CacheFormat) -> Option<Self> {
        let len = rows.checked_mul(d)?;
        Some(match format {
            CacheFormat::F32 => Self::F32(Buffer::sparse(len)?),
            CacheFormat::Bf16 => Self::Bf16(Buffer::sparse(len)?),
            CacheFormat::Int8 => Self::Int8 {
                numbers: Buffer::sparse(len)?,
                steps: Buffer::sparse(rows)?,
            },
        })
    }

    fn put(&mut self, row: usize, x: &[f32]) {
        let here = row * x.len()..(row + 1) * x.len();
        match self {
            Self::F32(numbers) => numbers[here].copy_from_slice(x),
            Self::Bf16(numbers) => float::narrow(x, &mut numbers[here]),
            // What is not finite makes the row NaN, which the next quantiser reports.
            Self::Int8 { numbers, steps } => {
                let scale = float::quantize(x, &mut numbers[here]);
                steps[row] = scale.map_or(f32::NAN, |scale| 1.0 / scale);
            }
        }
    }

    fn rows(&self, rows: Range<usize>, d: usize) -> Rows<'_> {
        let here = rows.start * d..rows.end * d;
        match self {
            Self::F32(numbers) => Rows::F32(&numbers[here]),
            Self::Bf16(numbers) => Rows::Bf16(&numbers[here]),
            Self::Int8 { numbers, steps } => Rows::Int8 {
                numbers: &numbers[here],
                steps: &steps[rows],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::products;
    use super::*;

    /// The value of one position of one head of four numbers, as attention to it alone has it.
    fn read(format: CacheFormat, x: [f32; 4]) -> [f32; 4] {
        let mut cache = LayerCache::new(1, 4, 1, format).unwrap();
        cache.store(0, &[0.0; 4], &x);
        let mut value = [f32::NAN; 4];
        products::weigh(cache.values(0, 0..1), &mut [1.0], 4, 4, &mut value);
        value
    }

    #[test]
    fn each_format_keeps_what_it_can() {
        let x = [1.0 + 1.0 / 256.0, -1.0 - 3.0 / 256.0, 127.0, 0.25];
        assert_eq!(read(CacheFormat::F32, x), x);
        // Both in the middle of two neighbours, of which one is even.
        let bf16 = [1.0, -1.0 - 4.0 / 256.0, 127.0, 0.25];
        assert_eq!(read(CacheFormat::Bf16, x), bf16);
        assert_eq!(read(CacheFormat::Int8, x), [1.0, -1.0, 127.0, 0.0]);
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for format in CacheFormat::ALL {
            for bad in [f32::NAN, f32::INFINITY, -f32::from_bits(0x7fff_ffff)] {
                let value = read(format, [1.0, bad, 1.0, 1.0]);
                assert!(!value[1].is_finite(), "{format}: {bad} became {}", value[1]);
            }
        }
    }

    #[test]
    fn bytes_are_those_of_numbers_and_scales() {
        for (format, bytes) in CacheFormat::ALL.into_iter().zip([5120, 2560, 1320]) {
            let cache = LayerCache::new(5, 128, 3, format).unwrap();
            assert_eq!(cache.bytes_per_position(), bytes, "{format}");
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert!("f16".parse::<CacheFormat>().is_err());
    }
}
