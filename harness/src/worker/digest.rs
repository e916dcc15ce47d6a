//! Digests of results.

use crate::measure::Digest;

/// A result that two workers can be compared by.
///
/// Numbers are their bytes, least significant first; floats are their bits, so that two results
/// are the same only where they are bit for bit. Strings are UTF-8. Sequences and strings are
/// preceded by their length as a `u64`; the parts of a tuple stand one after another. `()` is no
/// result: a case that answers nothing can't be checked.
pub trait Checkable {
    /// Appends the bytes that stand for this result.
    fn write(&self, out: &mut Vec<u8>);
}

/// XXH3 (64 bits) of the bytes that stand for `result`, as 16 hexadecimal digits. The function is
/// the same on every machine, and there are libraries for it in most languages.
pub fn digest(result: &(impl Checkable + ?Sized)) -> String {
    let mut bytes = Vec::new();
    result.write(&mut bytes);
    Digest::of_bytes(&bytes).to_string()
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Checkable for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64);

impl Checkable for usize {
    fn write(&self, out: &mut Vec<u8>) {
        (*self as u64).write(out);
    }
}

impl Checkable for bool {
    fn write(&self, out: &mut Vec<u8>) {
        u8::from(*self).write(out);
    }
}

impl Checkable for str {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }
}

impl Checkable for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
}

impl<T: Checkable> Checkable for [T] {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        for item in self {
            item.write(out);
        }
    }
}

impl<T: Checkable, const N: usize> Checkable for [T; N] {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<T: Checkable> Checkable for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<T: Checkable + ?Sized> Checkable for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl<A: Checkable, B: Checkable> Checkable for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // XXH3_64bits of nothing, seed 0, from the reference implementation.
        assert_eq!(Digest::of_bytes(b"").to_string(), "2d06800538d394c2");
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let bytes = |result: &dyn Checkable| {
            let mut out = Vec::new();
            result.write(&mut out);
            out
        };
        assert_eq!(bytes(&0x0102_u16), [2, 1]);
        assert_eq!(bytes(&-0.0_f32), [0, 0, 0, 0x80]);
        assert_eq!(bytes(&vec![7_u8]), [1, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(bytes(&(true, "a")), [1, 1, 0, 0, 0, 0, 0, 0, 0, b'a']);
    }

    #[test]
    fn results_that_differ_in_a_bit_or_in_their_parts_differ() {
        assert_ne!(digest(&0.0_f32), digest(&-0.0_f32));
        assert_ne!(digest(&[1_u8, 2, 3]), digest(&[1_u8, 3, 2]));
        let (a, b): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
            (vec![vec![1], vec![2, 3]], vec![vec![1, 2], vec![3]]);
        assert_ne!(digest(&a), digest(&b));
    }
}
