//! int8 multiply-add peak of one instruction: its throughput from registers, on any number of
//! threads.

#[cfg(target_arch = "x86_64")]
use super::dot_x86::Kernel;
use super::{Unavailable, Yardstick};
use crate::measure::Verified;
use bitgauge_engine::isa::Isa;
use serde::{Deserialize, Serialize};

/// The instructions that int8 products are made of, by instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instruction {
    /// SSE2 and other machines have no int8 product that counts as a peak.
    Portable,
    /// AVX2 `vpmaddubsw` into 16 bits and `vpaddw`.
    Avx2Maddubs,
    /// `vpdpbusd` on 256 bits, of AVX-512 VNNI with VL, or of AVX-VNNI.
    Vnni256,
    /// `vpdpbusd` on 512 bits, of AVX-512 VNNI.
    Vnni512,
    /// `tdpbusd` on tiles, of AMX.
    AmxInt8,
}

impl Instruction {
    /// All of them, whether or not they can run here.
    pub const ALL: [Self; 5] = [
        Self::Portable,
        Self::Avx2Maddubs,
        Self::Vnni256,
        Self::Vnni512,
        Self::AmxInt8,
    ];

    /// The one that does most at once of those that code of this level may use; `None` where the
    /// level has none.
    pub fn of(isa: Isa) -> Option<Self> {
        match isa {
            Isa::Portable => None,
            Isa::Avx2 | Isa::Avx512 => Some(Self::Avx2Maddubs),
            Isa::Avx512Vnni | Isa::Avx512Vbmi => Some(Self::Vnni512),
            Isa::AmxInt8 => Some(Self::AmxInt8),
        }
    }

    /// Name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2Maddubs => "avx2-maddubs",
            Self::Vnni256 => "vnni-256",
            Self::Vnni512 => "vnni-512",
            Self::AmxInt8 => "amx-int8",
        }
    }
}

/// Peak of an instruction on `threads` threads that start together, in operations (a multiply-add
/// is two). The sums are compared with the expected ones after every slice, so the work can't
/// have been optimised away.
///
/// # Errors
/// When this processor lacks the instruction, the threads can't be started, or a sum is wrong.
pub fn dot_peak(
    instruction: Instruction,
    threads: usize,
) -> Result<Verified<Yardstick>, Unavailable> {
    let name = format!("dot-{}-{threads}t", instruction.name());
    #[cfg(target_arch = "x86_64")]
    {
        let Some(kernel) = Kernel::detect(instruction) else {
            return Err(Unavailable::new(
                name,
                "this processor does not have it, or its system does not grant it",
            ));
        };
        Yardstick::of_copies(name, kernel.ops_per_iteration(), kernel, threads)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        Err(Unavailable::new(name, "not an x86-64 processor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_has_not_is_unavailable_by_name() {
        let refused = dot_peak(Instruction::Portable, 1).unwrap_err();
        assert_eq!(refused.what, "dot-portable-1t");
        assert!(refused.to_string().contains("unavailable"));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn what_a_machine_has_can_be_timed() {
        let isa = crate::machine::IsaFeatures::detect();
        for (instruction, has) in [
            (Instruction::Avx2Maddubs, isa.has("avx2")),
            (
                Instruction::Vnni256,
                (isa.has("avx512vnni") && isa.has("avx512vl")) || isa.has("avxvnni"),
            ),
            (Instruction::Vnni512, isa.has("avx512vnni")),
            (Instruction::AmxInt8, Isa::AmxInt8.check().is_ok()),
        ] {
            for threads in [1, 2] {
                assert_eq!(
                    dot_peak(instruction, threads).is_ok(),
                    has,
                    "{instruction:?}"
                );
            }
        }
    }
}
