//! What stands for a kernel's functions on architectures that lack its instructions: the table
//! still lists the kernel, as unavailable.

use std::ops::Range;

use super::Operands;
use crate::input::Quantized;

const REFUSED: &str = "`Isa::check` refuses a kernel without its instructions";

/// # Safety
/// None; it has the type of what writes a kernel's shares.
pub(super) unsafe fn prepare(_: &Quantized, _: Range<usize>, _: &mut [u8]) {
    unreachable!("{REFUSED}")
}

/// # Safety
/// None; it has the type of a kernel's `rows`.
pub(super) unsafe fn rows(_: &Operands<'_>, _: Range<usize>, _: &mut [i32]) {
    unreachable!("{REFUSED}")
}
