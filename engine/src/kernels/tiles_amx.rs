//! Direct product in AMX tiles, for several tokens; one goes the way of `vbmi-avx512`, whose
//! packed weights these are.
//!
//! A tile register holds 16 rows of 64 bytes. `tdpbsud` takes 16 tokens x 64 columns of
//! activations, as they lie in memory, and 16 rows x 64 columns of unpacked codes, four columns of
//! each row in a line of the tile: just what a field of a packed line unpacks to. It adds to
//! 16 tokens x 16 rows of int32 sums in 16 cycles, eight times the pace of `vpdpbusd`.
//!
//! Two tiles of rows meet two tiles of tokens: four products for four loads. Codes are unpacked
//! between the products, three steps of 64 columns ahead: near enough for few of them to lie in the
//! first-level cache, through which activations stream, and far enough for stores to have got there.
//! Every line has its place in unrolled code. Finished sums are written out among the products of
//! the next rows.

use std::ops::Range;

use super::lanes_avx512::{self as lanes, ROWS};
use super::prepare::Preparation;
use super::vbmi_avx512::{FIELDS, LAYOUT, MIX};
use super::{Packing, Spec};
use crate::input::Quantized;
use crate::isa::Isa;

pub(super) const SPEC: Spec = Spec {
    name: "tiles-amx",
    idea: "5 trits a byte, unpacked to int8 AMX tiles that serve 32 tokens; one token as vbmi-avx512",
    isa: Isa::AmxInt8,
    bits_per_weight: 1.6,
    tile: ROWS,
    rows_of_a_call: |_| 0,
    scales: true,
    mix: Some(MIX),
    prepare: Preparation::Shares {
        grain: TOKENS,
        shares: |tokens| tokens,
        bytes: |cols| steps(cols) * WIDTH,
        write: prepare,
    },
    rows,
    packing: Packing::LaidOut(LAYOUT),
};

/// Columns of a tile register.
const WIDTH: usize = 64;

/// Tokens that meet the weights at once: two tiles.
const TOKENS: usize = 32;

/// Columns of activations that tiles take: whole registers.
fn steps(cols: usize) -> usize {
    (lanes::lines::<FIELDS>(cols) * FIELDS * 4).div_ceil(WIDTH)
}

/// For tiles: `[group of 32 tokens][step][token][column of the step]`, written from end to end. One
/// token's is its row, as `vbmi-avx512` has it.
fn prepare(quantized: &Quantized, tokens: Range<usize>, table: &mut [u8]) {
    let steps = steps(quantized.cols());
    let (table, _) = bytemuck::cast_slice_mut::<u8, i8>(table).as_chunks_mut::<WIDTH>();
    let groups = tokens.step_by(TOKENS).zip(table.chunks_mut(steps * TOKENS));
    for (first, to) in groups {
        let group = to.len() / steps;
        for (step, to) in to.chunks_exact_mut(group).enumerate() {
            for (t, to) in to.iter_mut().enumerate() {
                *to = quantized.padded(first + t).as_chunks().0[step];
            }
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
    use std::mem;
    use std::ops::Range;

    use super::super::Operands;
    use super::super::sums_avx512::Sums;
    use super::super::vbmi_avx512::FiveTrits;
    use super::lanes::{LINE, Unpack};
    use super::*;
    use crate::prefetch;

    /// Rows of a tile register: tokens, or quads of columns.
    const HEIGHT: usize = 16;
    /// Lines of a block: they unpack to whole tile registers.
    const LINES: usize = HEIGHT;
    /// Products that a block of a tile of rows takes part in.
    const STEPS: usize = LINES * FIELDS * 4 / WIDTH;
    /// Tiles of rows that are multiplied at once.
    const PAIR: usize = 2;

    /// Packed lines of a block of a tile of rows.
    type Block = [[u8; LINE]; LINES];

    /// Room for blocks that are not whole, on a line as the packed ones.
    #[repr(align(64))]
    struct Room([Block; PAIR]);

    /// Unpacked codes of a block of two tiles of rows: `[step][tile][quad][row]`.
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Codes([[[[u8; LINE]; HEIGHT]; PAIR]; STEPS]);

    // Whole registers are loaded and stored: they fault where these do not begin on a line.
    const _: () = assert!(align_of::<Room>() >= LINE && align_of::<Codes>() >= LINE);

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
    /// The weights must begin on a cache line.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) unsafe fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
        let tokens = op.quantized.tokens();
        // SAFETY: this function's own features.
        unsafe {
            if tokens == 1 {
                return lanes::rows::<FiveTrits, FIELDS>(op, range, out);
            }
            // Tiles have one shape for all whole groups of tokens, and another for the rest.
            let whole = tokens / TOKENS * TOKENS;
            for some in [0..whole, whole..tokens] {
                if !some.is_empty() {
                    sweep(op, range.clone(), some, out);
                }
            }
        }
    }

    /// The sums of some tokens: whole groups, or less than one.
    ///
    /// Tile registers keep their values from one `asm` to the next: no other code has any use for
    /// them.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn sweep(op: &Operands<'_>, range: Range<usize>, some: Range<usize>, out: &mut [i32]) {
        let tokens = op.quantized.tokens();
        let steps = steps(op.cols);
        let blocks = steps.div_ceil(STEPS);
        let (activations, _) = op.tables.as_slice::<i8>().as_chunks::<WIDTH>();
        let activations = &activations[..steps * tokens];
        let group = some.len().min(TOKENS);
        let rows_of_tiles = [group.min(HEIGHT), group.saturating_sub(HEIGHT)];
        // A second half without tokens repeats the first.
        let second = if rows_of_tiles[1] > 0 { HEIGHT } else { 0 };

        let weights = Weights {
            lines: op.weights.as_chunks().0,
            lines_of_a_tile: lanes::lines::<FIELDS>(op.cols),
            tiles: op.rows.div_ceil(ROWS),
        };
        let mut room = Room([[[0; LINE]; LINES]; PAIR]);
        let mut codes = Codes([[[[0; LINE]; HEIGHT]; PAIR]; STEPS]);
        let mut sums = [Sums::zero(), Sums::zero()];
        let [sums, free] = &mut sums;
        let (mut sums, mut free) = (sums, free);
        let mut finished: Option<Finished> = None;
        // SAFETY: the caller vouches for the features. Tiles of tokens have no more rows than
        // there are tokens, so that `activations` (checked above) holds what they load.
        unsafe {
            let unpack = FiveTrits::new();
            configure(rows_of_tiles);
            // The rows that are multiplied next.
            let far = PAIR * weights.lines_of_a_tile * LINE;
            let mut packed = weights.block(range.start, 0, &mut room);
            fill::<0>(unpack, packed, far, &mut codes);
            fill::<1>(unpack, packed, far, &mut codes);
            fill::<2>(unpack, packed, far, &mut codes);
            for first in range.clone().step_by(PAIR * ROWS) {
                // What these rows will write is asked for a little at each block.
                let written = (first - range.start) * tokens;
                let end = out.len().min(written + PAIR * ROWS * tokens);
                let share = (end - written).div_ceil(blocks * some.len().div_ceil(group));
                let mut unasked = (written..end).step_by(share);
                for start in some.clone().step_by(group) {
                    asm!(
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "tilezero tmm2",
                        "tilezero tmm3"
                    );
                    let activations = activations[start * steps..].as_ptr();
                    for block in 0..blocks {
                        let left = steps - block * STEPS;
                        let a = activations.add(block * STEPS * group);
                        macro_rules! step {
                            ($step:literal, $ahead:literal) => {
                                if $step < left {
                                    let a = a.add($step * group);
                                    multiply([a, a.wrapping_add(second)], &codes.0[$step]);
                                }
                                fill::<$ahead>(unpack, packed, far, &mut codes);
                            };
                        }
                        step!(0, 3);
                        step!(1, 4);
                        let (row, follows) = match block + 1 {
                            follows if follows < blocks => (first, follows),
                            _ if start + group < some.end => (first, 0),
                            _ => (first + PAIR * ROWS, 0),
                        };
                        packed = weights.block(row, follows, &mut room);
                        if let Some(at) = unasked.next() {
                            prefetch::to_write(&out[at..end.min(at + share)]);
                        }
                        step!(2, 0);
                        step!(3, 1);
                        step!(4, 2);
                        if let Some(finished) = &mut finished {
                            finished.write_tile(sums, op, out);
                        }
                    }
                    if let Some(finished) = &mut finished {
                        while finished.write_tile(sums, op, out) {}
                    }
                    mem::swap(&mut sums, &mut free);
                    store(sums);
                    finished = Some(Finished {
                        row: first,
                        start: range.start,
                        some: start..start + group,
                        tile: 0,
                    });
                }
            }
            asm!("tilerelease");
            if let Some(finished) = &mut finished {
                while finished.write_tile(sums, op, out) {}
            }
        }
    }

    /// Sums that are written out, a tile at a time, among the products of those that follow.
    struct Finished {
        /// The first row.
        row: usize,
        /// The first row of the output.
        start: usize,
        some: Range<usize>,
        /// Tiles written.
        tile: usize,
    }

    impl Finished {
        /// Writes a tile; whether more are left.
        #[inline(always)]
        unsafe fn write_tile(
            &mut self,
            sums: &Sums<TOKENS, PAIR>,
            op: &Operands<'_>,
            out: &mut [i32],
        ) -> bool {
            let (half, height) = (self.tile % 2, self.tile / 2);
            let tokens = op.quantized.tokens();
            let row = self.row + half * ROWS;
            if height * HEIGHT >= self.some.len() {
                return false;
            }
            self.tile += 1;
            let (place, rows) = (row - self.start, out.len() / tokens);
            if place < rows {
                let out = &mut out[place * tokens..rows.min(place + ROWS) * tokens];
                let factors = op.factors(row);
                // SAFETY: the caller vouches for the features.
                unsafe { sums.write_tile([height, half], op, factors, self.some.clone(), out) };
            }
            true
        }
    }

    /// The packed matrix, block by block.
    struct Weights<'a> {
        lines: &'a [[u8; LINE]],
        lines_of_a_tile: usize,
        tiles: usize,
    }

    impl<'a> Weights<'a> {
        /// Block `block` of the two tiles from row `row` on. Lines that a last block lacks are
        /// whatever `room` holds: no step takes their codes, or these meet the zeros beyond the
        /// columns. The last tile stands in for those beyond the matrix.
        #[inline(always)]
        fn block<'b>(&self, row: usize, block: usize, room: &'b mut Room) -> [&'b Block; PAIR]
        where
            'a: 'b,
        {
            let mut tile = row / ROWS;
            room.0.each_mut().map(|room| {
                let lines = &self.lines[tile.min(self.tiles - 1) * self.lines_of_a_tile..];
                let lines = &lines[block * LINES..self.lines_of_a_tile];
                tile += 1;
                lines.first_chunk().unwrap_or_else(|| {
                    room[..lines.len()].copy_from_slice(lines);
                    room
                })
            })
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

    /// Unpacks the lines of which step `S` is the last to take codes.
    #[inline(always)]
    unsafe fn fill<const S: usize>(
        unpack: FiveTrits,
        packed: [&Block; PAIR],
        far: usize,
        codes: &mut Codes,
    ) {
        for line in S * LINES / STEPS..(S + 1) * LINES / STEPS {
            for (tile, packed) in packed.into_iter().enumerate() {
                prefetch::far_beyond(packed[line].as_ptr(), far);
                prefetch::beyond(packed[line].as_ptr(), prefetch::NEAR);
                // SAFETY: the caller vouches for the features; a line and a quad of codes are as
                // long as a register. They are aligned like one, too: `Codes` and `Room` by their
                // types, weights as `Spec::rows` asks.
                unsafe {
                    let plain = unpack.plain(_mm512_load_si512(packed[line].as_ptr().cast()));
                    for (field, plain) in plain.into_iter().enumerate() {
                        let quad = line * FIELDS + field;
                        let place = &mut codes.0[quad / HEIGHT][tile][quad % HEIGHT];
                        _mm512_store_si512(place.as_mut_ptr().cast(), plain);
                    }
                }
            }
        }
    }

    /// Adds the products of 64 columns: four tiles of sums.
    #[inline(always)]
    unsafe fn multiply(tokens: [*const [i8; WIDTH]; 2], codes: &[[[u8; LINE]; HEIGHT]; PAIR]) {
        // SAFETY: the caller vouches for AMX and for `tokens`; codes of a step fill two tiles.
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
                first = in(reg) &codes[0],
                second = in(reg) &codes[1],
                line = in(reg) LINE,
                options(nostack, readonly, preserves_flags),
            );
        }
    }

    /// Takes the sums out of the tiles.
    #[inline(always)]
    unsafe fn store(sums: &mut Sums<TOKENS, PAIR>) {
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
