//! What a kernel makes of the activations, once for all rows.

use std::ops::Range;

use super::Kernel;
use crate::aligned::Aligned;
use crate::input::Quantized;
use crate::threads::{Task, Work};

/// How a kernel makes it.
///
/// Precondition of its functions: the machine has the instructions of the kernel.
pub(super) enum Preparation {
    /// All at once, by one thread.
    Whole(unsafe fn(&Quantized, &mut Aligned)),
    /// A share for each token, one after the other, by as many threads as there are.
    Shares {
        /// Ranges of tokens begin at multiples of this.
        grain: usize,
        /// How many shares there are for so many tokens.
        shares: fn(usize) -> usize,
        /// Bytes of a share for so many columns, a multiple of four.
        bytes: fn(usize) -> usize,
        /// Writes those of a range of tokens.
        write: unsafe fn(&Quantized, Range<usize>, &mut [u8]),
    },
}

impl Kernel {
    /// Lets `spread` give tokens to threads, where the kernel can do with it.
    pub(crate) fn prepare(
        self,
        quantized: &Quantized,
        tables: &mut Aligned,
        spread: impl FnOnce(Work<'_>, &Task<'_>),
    ) {
        match self.0.prepare {
            // SAFETY: the one precondition is the instruction set, which a `Kernel` proves.
            Preparation::Whole(prepare) => unsafe { prepare(quantized, tables) },
            Preparation::Shares {
                grain,
                shares,
                bytes,
                write,
            } => {
                let (shares, bytes) = (shares(quantized.tokens()), bytes(quantized.cols()));
                if shares == 0 {
                    return;
                }
                tables.reserve(shares * bytes);
                let width = bytes / size_of::<f32>();
                let work = Work {
                    out: &mut tables.as_mut_slice()[..shares * width],
                    width,
                    grain,
                    bytes: quantized.cols() + bytes,
                };
                spread(work, &|range, out| {
                    // SAFETY: as above.
                    unsafe { write(quantized, range, bytemuck::cast_slice_mut(out)) }
                });
            }
        }
    }
}
