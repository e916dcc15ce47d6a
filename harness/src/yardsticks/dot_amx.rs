//! A loop of `tdpbusd`, the int8 multiply-add of AMX tiles, for x86-64.
//!
//! Two tiles hold the operands and the other six sums: one instruction begins every 16 cycles and
//! takes 52, so that four would do.

use super::dot_x86::{Work, left, right, sum_of_i32};
use std::arch::asm;

/// Rows of a tile, and int32 lanes of a row.
const SIDE: usize = 16;
const SUMS: usize = 6;

/// About as long as an iteration of vectors. An instruction adds the 64 products of a row and a
/// column to each lane.
pub(super) const WORK: Work = Work {
    sums: SUMS,
    depth: 1 << 12,
    lanes: SIDE * SIDE,
    groups: SIDE,
};

#[repr(C, align(64))]
struct Tile([[i32; SIDE]; SIDE]);

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_a_row: [u16; 16],
    rows: [u8; 16],
}

/// The sum of all lanes.
///
/// # Safety
/// The processor must have int8 tiles, and the system must have granted them to this process.
pub(super) unsafe fn tiles(iterations: u64) -> u64 {
    let mut shapes = Shapes {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        bytes_of_a_row: [0; 16],
        rows: [0; 16],
    };
    shapes.bytes_of_a_row[..8].fill(size_of::<[i32; SIDE]>() as u16);
    shapes.rows[..8].fill(SIDE as u8);
    let operands = [left(), right()].map(|four| Tile([[four; SIDE]; SIDE]));
    let mut sums: [Tile; SUMS] = std::array::from_fn(|s| Tile([[s as i32; SIDE]; SIDE]));
    // SAFETY: the caller vouches for AMX; every tile read or written is one of the arrays'. The
    // tiles are released before any other code could meet them.
    unsafe {
        asm!(
            "ldtilecfg [{shapes}]",
            "tileloadd tmm6, [{operands} + {row}*1]",
            "tileloadd tmm7, [{operands} + {row}*1 + 1024]",
            "tileloadd tmm0, [{sums} + {row}*1]",
            "tileloadd tmm1, [{sums} + {row}*1 + 1024]",
            "tileloadd tmm2, [{sums} + {row}*1 + 2048]",
            "tileloadd tmm3, [{sums} + {row}*1 + 3072]",
            "tileloadd tmm4, [{sums} + {row}*1 + 4096]",
            "tileloadd tmm5, [{sums} + {row}*1 + 5120]",
            "test {times}, {times}",
            "jz 3f",
            "2:",
            "tdpbusd tmm0, tmm6, tmm7",
            "tdpbusd tmm1, tmm6, tmm7",
            "tdpbusd tmm2, tmm6, tmm7",
            "tdpbusd tmm3, tmm6, tmm7",
            "tdpbusd tmm4, tmm6, tmm7",
            "tdpbusd tmm5, tmm6, tmm7",
            "dec {times}",
            "jnz 2b",
            "3:",
            "tilestored [{sums} + {row}*1], tmm0",
            "tilestored [{sums} + {row}*1 + 1024], tmm1",
            "tilestored [{sums} + {row}*1 + 2048], tmm2",
            "tilestored [{sums} + {row}*1 + 3072], tmm3",
            "tilestored [{sums} + {row}*1 + 4096], tmm4",
            "tilestored [{sums} + {row}*1 + 5120], tmm5",
            "tilerelease",
            shapes = in(reg) &shapes,
            operands = in(reg) operands.as_ptr(),
            sums = in(reg) sums.as_mut_ptr(),
            row = in(reg) size_of::<[i32; SIDE]>(),
            times = inout(reg) iterations * WORK.depth as u64 => _,
            options(nostack),
        );
    }
    sum_of_i32(sums.into_iter().flat_map(|tile| tile.0).flatten())
}
