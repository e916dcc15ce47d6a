//! Tables over 32 tokens with AVX-512, on the packed weights of `vbmi-avx512`: fewer tokens, and what
//! is left of more, go its way.

use super::lanes_avx512::{self as lanes, ROWS};
use super::vbmi_avx512::{FIELDS, LAYOUT, MIX};
use super::{Packing, Spec};
use crate::isa::Isa;

pub(super) const SPEC: Spec = Spec {
    name: "tables-avx512",
    idea: "tables of the sums of 4 trits for 32 tokens, shared by all rows; few tokens as vbmi-avx512",
    isa: Isa::Avx512Vbmi,
    bits_per_weight: 1.6,
    tile: ROWS,
    rows_of_a_call,
    scales: true,
    mix: Some(MIX),
    prepare: lanes::preparation::<FIELDS>(),
    rows,
    packing: Packing::LaidOut(LAYOUT),
};

#[cfg(not(target_arch = "x86_64"))]
fn rows_of_a_call(_: usize) -> usize {
    0
}
#[cfg(not(target_arch = "x86_64"))]
use super::absent::rows;
#[cfg(target_arch = "x86_64")]
use x86::{rows, rows_of_a_call};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::ops::Range;

    use super::super::lanes_avx512::Unpack;
    use super::super::vbmi_avx512::FiveTrits;
    use super::super::{Operands, several_avx512 as several, token_tables_avx512 as token_tables};
    use super::*;

    pub(super) fn rows_of_a_call(tokens: usize) -> usize {
        match token_tables::tokens_served(tokens) {
            0 => 0,
            _ => token_tables::MIN_ROWS,
        }
    }

    /// # Safety
    /// The CPU must have the features of [`Isa::Avx512Vbmi`].
    /// The weights must begin on a cache line.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) unsafe fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
        let tokens = op.quantized.tokens();
        let served = match range.len() {
            few if few < token_tables::MIN_ROWS => 0,
            _ => token_tables::tokens_served(tokens),
        };
        // SAFETY: this function's own features.
        unsafe {
            if tokens == 1 {
                return lanes::rows::<FiveTrits, FIELDS>(op, range, out);
            }
            if served > 0 {
                token_tables::rows(op, served, range.clone(), out);
            }
            several::rows(FiveTrits::new(), op, served, range, out);
        }
    }
}
