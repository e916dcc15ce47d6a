//! The tensor types of GGUF that a BitNet model has: numbers, block sizes, bytes.

use std::fmt;

/// How the values of a tensor are stored. The numbers are those of `ggml_type`; `I2_S` is an
/// addition of bitnet.cpp, in whose place llama.cpp has nothing, and those from 134 on are additions
/// of ik_llama.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q6K,
    Tq1_0,
    Tq2_0,
    I2S,
    Iq1Bn,
    Iq2Bn,
    /// Four rows interleaved.
    Iq2BnR4,
}

/// All of them, for messages.
pub(super) const KNOWN: &str = "F32 (0), F16 (1), Q8_0 (8), Q6_K (14), BF16 (30), TQ1_0 (34), TQ2_0 (35), I2_S (36), \
     IQ1_BN (134), IQ2_BN (135) or IQ2_BN_R4 (335)";

/// Bytes behind the trits of an I2_S tensor: its scale as float32, and filling.
const I2S_TAIL: usize = 32;

impl Kind {
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            8 => Self::Q8_0,
            14 => Self::Q6K,
            30 => Self::Bf16,
            34 => Self::Tq1_0,
            35 => Self::Tq2_0,
            36 => Self::I2S,
            134 => Self::Iq1Bn,
            135 => Self::Iq2Bn,
            335 => Self::Iq2BnR4,
            _ => return None,
        })
    }

    /// Values and bytes of a block. A row is whole blocks.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q6K => (256, 210),
            Self::Tq1_0 => (256, 54),
            Self::Tq2_0 => (256, 66),
            Self::I2S => (128, 32),
            Self::Iq1Bn => (64, 13),
            Self::Iq2Bn | Self::Iq2BnR4 => (64, 16),
        }
    }

    /// Bytes in front of the blocks of each row: its scale. Where rows are interleaved, the scales of
    /// those that are together stand in front of all their blocks.
    pub fn row_head(self) -> usize {
        match self {
            Self::Iq1Bn => 2,
            Self::Iq2Bn | Self::Iq2BnR4 => 4,
            _ => 0,
        }
    }

    /// Rows that are interleaved: a matrix has a multiple of them.
    pub fn rows_together(self) -> usize {
        match self {
            Self::Iq2BnR4 => 4,
            _ => 1,
        }
    }

    /// Bytes of `rows` rows of `cols` values, or `None` if there are too many to be counted.
    pub fn bytes(self, rows: usize, cols: usize) -> Option<usize> {
        let (values, bytes) = self.block();
        let row = (cols / values).checked_mul(bytes)?;
        let all = row.checked_add(self.row_head())?.checked_mul(rows)?;
        match self {
            Self::I2S => all.checked_add(I2S_TAIL),
            _ => Some(all),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q6K => "Q6_K",
            Self::Tq1_0 => "TQ1_0",
            Self::Tq2_0 => "TQ2_0",
            Self::I2S => "I2_S",
            Self::Iq1Bn => "IQ1_BN",
            Self::Iq2Bn => "IQ2_BN",
            Self::Iq2BnR4 => "IQ2_BN_R4",
        })
    }
}
