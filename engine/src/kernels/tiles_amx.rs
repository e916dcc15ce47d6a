//! Direct product in AMX tiles, for several tokens; one goes the way of `vbmi-avx512`, whose
//! packed weights these are.
//!
//! A tile register holds 16 rows of 64 bytes. `tdpbsud` takes 16 tokens x 64 columns of
//! activations, as they lie in memory, and 16 rows x 64 columns of unpacked codes, four columns of
//! each row in a line of the tile: just what a field of a packed line unpacks to. It adds to
//! 16 tokens x 16 rows of int32 sums in 16 cycles, eight times the pace of `vpdpbusd`.
//!
//! Two tiles of rows meet two tiles of tokens: four products for four loads. Codes of the next
//! 320 columns, or of the next rows, are unpacked between the products of those before.

use super::Spec;
use super::lanes_avx512::{self as lanes, ROWS};
use super::vbmi_avx512::{FIELDS, LAYOUT, bytes};
use crate::aligned::Aligned;
use crate::input::Quantized;
use crate::isa::Isa;

pub(super) const SPEC: Spec = Spec {
    name: "tiles-amx",
    idea: "5 trits a byte, unpacked to int8 AMX tiles that serve 32 tokens; one token as vbmi-avx512",
    isa: Isa::AmxInt8,
    bits_per_weight: 1.6,
    tile: ROWS,
    rows_of_a_call: |_| 0,
    pack: |trits| lanes::pack(trits, bytes),
    prepare,
    rows,
    layout: Some(LAYOUT),
};

/// Columns of a tile register.
const WIDTH: usize = 64;

/// Columns of activations that tiles take: whole registers.
fn steps(cols: usize) -> usize {
    (lanes::lines::<FIELDS>(cols) * FIELDS * 4).div_ceil(WIDTH)
}

/// For tiles: `[step][token][column of the step]`.
fn prepare(quantized: &Quantized, tables: &mut Aligned) {
    let tokens = quantized.tokens();
    if tokens == 1 {
        return lanes::prepare::<FIELDS>(quantized, tables);
    }
    let steps = steps(quantized.cols());
    tables.reserve(steps * tokens * WIDTH);
    let (table, _) = tables.as_mut_slice::<i8>().as_chunks_mut::<WIDTH>();
    for t in 0..tokens {
        let (columns, _) = quantized.padded(t).as_chunks::<WIDTH>();
        for (to, from) in table[t..].iter_mut().step_by(tokens).zip(&columns[..steps]) {
            *to = *from;
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
use super::absent::rows;
#[cfg(target_arch = "x86_64")]
use x86::rows;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::ops::Range;

    use super::super::Operands;
    use super::super::sums_avx512::{Sums, TOKENS};
    use super::super::vbmi_avx512::FiveTrits;
    use super::lanes::{LINE, Unpack};
    use super::*;
    use crate::prefetch;

    /// Rows of a tile register: tokens, or quads of columns.
    const HEIGHT: usize = 16;
    /// Lines of a block: they unpack to whole tile registers.
    const LINES: usize = HEIGHT;
    /// Columns of a block.
    const COLS: usize = LINES * FIELDS * 4;
    /// Products that a block of a tile of rows takes part in.
    const STEPS: usize = COLS / WIDTH;

    /// Unpacked codes of a block of two tiles of rows: `[tile][quad][row]`.
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Codes([[[u8; LINE]; LINES * FIELDS]; 2]);

    /// What `ldtilecfg` reads.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        bytes_of_a_row: [u16; 16],
        rows: [u8; 16],
    }

    /// # Safety
    /// The CPU must have the features of [`Isa::AmxInt8`].
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) unsafe fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
        let tokens = op.quantized.tokens();
        // SAFETY: this function's own features.
        unsafe {
            if tokens == 1 {
                return lanes::rows::<FiveTrits, FIELDS>(op, range, out);
            }
            for first in (0..tokens).step_by(TOKENS) {
                let some = first..tokens.min(first + TOKENS);
                batch(op, range.clone(), some, out);
            }
        }
    }

    /// The sums of some tokens, at most [`TOKENS`].
    ///
    /// Tile registers keep their values from one `asm` to the next: no other code has any use for
    /// them.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn batch(op: &Operands<'_>, range: Range<usize>, some: Range<usize>, out: &mut [i32]) {
        let tokens = op.quantized.tokens();
        let lines = lanes::lines::<FIELDS>(op.cols);
        let steps = steps(op.cols);
        let blocks = steps.div_ceil(STEPS);
        let (activations, _) = op.tables.as_slice::<i8>().as_chunks::<WIDTH>();
        let activations = &activations[..steps * tokens];
        let rows_of_tiles = [some.len().min(HEIGHT), some.len().saturating_sub(HEIGHT)];
        // A second half without tokens repeats the first.
        let second = if rows_of_tiles[1] > 0 { HEIGHT } else { 0 };

        let (weights, _) = op.weights.as_chunks::<LINE>();
        let tiles = op.rows.div_ceil(ROWS);
        let none = Codes([[[0; LINE]; LINES * FIELDS]; 2]);
        let mut codes = (none, none);
        let pair = |row: usize| {
            let tile = row / ROWS;
            [tile, tile + 1].map(|tile| &weights[tile.min(tiles - 1) * lines..][..lines])
        };
        let mut sums = Sums::zero();
        // SAFETY: the caller vouches for the features. Tiles of tokens have no more rows than
        // there are tokens, so that `activations` (checked above) holds what they load.
        unsafe {
            let unpack = FiveTrits::new();
            configure(rows_of_tiles);
            let mut codes = [&mut codes.0, &mut codes.1];
            for share in 0..STEPS {
                fill(unpack, pair(range.start), 0, share, codes[1]);
            }
            for (first, out) in range
                .step_by(2 * ROWS)
                .zip(out.chunks_mut(2 * ROWS * tokens))
            {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3"
                );
                for block in 0..blocks {
                    codes.swap(0, 1);
                    let [now, next] = &mut codes;
                    let (tiles, follows) = match block + 1 {
                        follows if follows < blocks => (pair(first), follows),
                        _ => (pair(first + 2 * ROWS), 0),
                    };
                    for share in 0..STEPS {
                        let step = block * STEPS + share;
                        // Lines that a last block lacks leave codes behind that no step takes,
                        // or that meet the zeros beyond the columns.
                        if step < steps {
                            let a = &activations[step * tokens + some.start];
                            let b = &activations[step * tokens + some.start + second];
                            multiply([a, b], now, share);
                        }
                        fill(unpack, tiles, follows, share, next);
                    }
                }
                store(&mut sums);
                let halves = out.chunks_mut(ROWS * tokens).enumerate();
                for (half, out) in halves {
                    sums.write(half, op.quantized.sums(), some.clone(), out);
                }
            }
            asm!("tilerelease");
        }
    }

    /// Shapes of the tiles: 0 to 3 hold sums (of the first tokens and the first rows, the first
    /// and the second; of the second tokens), 4 and 5 tokens, 6 and 7 codes.
    #[inline(always)]
    unsafe fn configure(tokens: [usize; 2]) {
        let [a, b] = tokens.map(|n| n.max(1) as u8);
        let mut shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes_of_a_row: [0; 16],
            rows: [0; 16],
        };
        shapes.bytes_of_a_row[..8].fill(WIDTH as u16);
        let height = HEIGHT as u8;
        shapes.rows[..8].copy_from_slice(&[a, a, b, b, a, b, height, height]);
        // SAFETY: the caller vouches for AMX; the shapes are those of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack, readonly)) }
    }

    /// Unpacks a share of a block's lines; those beyond the last are left out.
    #[inline(always)]
    unsafe fn fill(
        unpack: FiveTrits,
        tiles: [&[[u8; LINE]]; 2],
        block: usize,
        share: usize,
        codes: &mut Codes,
    ) {
        let lines = share * LINES / STEPS..(share + 1) * LINES / STEPS;
        for (tile, codes) in tiles.into_iter().zip(&mut codes.0) {
            for i in lines.clone() {
                let Some(line) = tile.get(block * LINES + i) else {
                    break;
                };
                let quads = &mut codes[i * FIELDS..][..FIELDS];
                prefetch::in_two_steps(line.as_ptr());
                // SAFETY: the caller vouches for the features; a line and a quad of codes are as
                // long as a register.
                unsafe {
                    let plain = unpack.plain(_mm512_load_si512(line.as_ptr().cast()));
                    for (quad, plain) in quads.iter_mut().zip(plain) {
                        _mm512_store_si512(quad.as_mut_ptr().cast(), plain);
                    }
                }
            }
        }
    }

    /// Adds the products of 64 columns: four tiles of sums.
    #[inline(always)]
    unsafe fn multiply(tokens: [*const [i8; WIDTH]; 2], codes: &Codes, share: usize) {
        let [first, second] = codes.0.each_ref().map(|codes| &codes[share * HEIGHT]);
        // SAFETY: the caller vouches for AMX and for `tokens`; codes of a share fill a tile.
        unsafe {
            asm!(
                "tileloadd tmm4, [{a} + {line}*1]",
                "tileloadd tmm6, [{first} + {line}*1]",
                "tdpbsud tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{second} + {line}*1]",
                "tdpbsud tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{b} + {line}*1]",
                "tdpbsud tmm2, tmm5, tmm6",
                "tdpbsud tmm3, tmm5, tmm7",
                a = in(reg) tokens[0],
                b = in(reg) tokens[1],
                first = in(reg) first,
                second = in(reg) second,
                line = in(reg) LINE,
                options(nostack, readonly, preserves_flags),
            );
        }
    }

    /// Takes the sums out of the tiles.
    #[inline(always)]
    unsafe fn store(sums: &mut Sums) {
        let to = sums.0.as_mut_ptr();
        // SAFETY: the caller vouches for AMX; four tiles fill the sums.
        unsafe {
            asm!(
                "tilestored [{a} + {stride}*1], tmm0",
                "tilestored [{a} + {stride}*1 + 64], tmm1",
                "tilestored [{b} + {stride}*1], tmm2",
                "tilestored [{b} + {stride}*1 + 64], tmm3",
                a = in(reg) to,
                b = in(reg) to.add(HEIGHT),
                stride = in(reg) size_of::<[i32; 2 * ROWS]>(),
                options(nostack, preserves_flags),
            );
        }
    }
}
