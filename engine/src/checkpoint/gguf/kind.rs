//! The tensor types of GGUF that a BitNet model has: numbers, block sizes, bytes.

use std::fmt;

/// How the values of a tensor are stored. The numbers are those of `ggml_type`; `I2_S` is an
/// addition of bitnet.cpp, in whose place llama.cpp has nothing.
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
}

/// All of them, for messages.
pub(super) const KNOWN: &str =
    "F32 (0), F16 (1), Q8_0 (8), Q6_K (14), BF16 (30), TQ1_0 (34), TQ2_0 (35) or I2_S (36)";

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
        }
    }

    /// Bytes of `count` values, or `None` if there are too many to be counted.
    pub fn bytes(self, count: usize) -> Option<usize> {
        let (values, bytes) = self.block();
        let blocks = (count / values).checked_mul(bytes)?;
        match self {
            Self::I2S => blocks.checked_add(I2S_TAIL),
            _ => Some(blocks),
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
        })
    }
}
