//! What an x86-64 processor says it has, and what of it the operating system saves.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

use super::Withheld;

/// What a processor and its operating system say, as far as the levels need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processor {
    /// EBX, ECX and EDX of CPUID leaf 7, subleaf 0; 0 where the processor has no such leaf.
    features: [u32; 3],
    /// XCR0: the registers that the system saves; 0 where it saves none beyond SSE's.
    saved: u64,
    /// Whether the system lets this process use tiles.
    tiles: bool,
}

/// Registers of [`Processor::features`].
const EBX: usize = 0;
const ECX: usize = 1;
const EDX: usize = 2;

/// Bits of XCR0 (Intel SDM volume 1, section 13.3).
const VECTORS_256: u64 = 0b110;
const VECTORS_512: u64 = 0b1110_0000 | VECTORS_256;
const TILES: u64 = 1 << 17 | 1 << 18;

impl Processor {
    /// This one, asked once.
    pub fn this() -> &'static Self {
        static THIS: OnceLock<Processor> = OnceLock::new();
        THIS.get_or_init(|| {
            let mut this = Self::ask();
            // Nothing is asked of the system that it could not grant.
            this.tiles = this.has("amx-tile") && this.saved & TILES == TILES && permitted();
            this
        })
    }

    fn ask() -> Self {
        const OSXSAVE: u32 = 1 << 27;
        #[target_feature(enable = "xsave")]
        fn saved() -> u64 {
            // SAFETY: register 0 exists wherever the instruction does.
            unsafe { _xgetbv(0) }
        }
        // SAFETY: every x86-64 has `cpuid`, and `xgetbv` where OSXSAVE is set.
        // (Newer compilers than the oldest supported one call `cpuid` safe by itself.)
        #[allow(unused_unsafe)]
        unsafe {
            let features = match __cpuid(0).eax >= 7 {
                true => {
                    let leaf = __cpuid_count(7, 0);
                    [leaf.ebx, leaf.ecx, leaf.edx]
                }
                false => [0; 3],
            };
            let saves = __cpuid(1).ecx & OSXSAVE != 0;
            Self {
                features,
                saved: if saves { saved() } else { 0 },
                tiles: false,
            }
        }
    }

    /// Whether the processor has the feature, granted or not.
    pub fn has(&self, feature: &str) -> bool {
        // Intel SDM volume 2A, CPUID, leaf 7.
        let (register, bit) = match feature {
            "avx2" => (EBX, 5),
            "avx512f" => (EBX, 16),
            "avx512bw" => (EBX, 30),
            "avx512vl" => (EBX, 31),
            "avx512vbmi" => (ECX, 1),
            "avx512vnni" => (ECX, 11),
            "amx-tile" => (EDX, 24),
            "amx-int8" => (EDX, 25),
            _ => return false,
        };
        self.features[register] & 1 << bit != 0
    }

    /// Why the system withholds a feature; `None` where it grants it.
    pub fn withheld(&self, feature: &str) -> Option<Withheld> {
        let (registers, needed) = match feature {
            f if f.starts_with("amx") => (Withheld::Tiles, TILES),
            f if f.starts_with("avx512") => (Withheld::Vectors512, VECTORS_512),
            _ => (Withheld::Vectors256, VECTORS_256),
        };
        if self.saved & needed != needed {
            return Some(registers);
        }
        (registers == Withheld::Tiles && !self.tiles).then_some(Withheld::TilePermission)
    }
}

/// What the processor calls itself (leaves 0x80000002 to 0x80000004), where it does.
pub(super) fn brand() -> Option<String> {
    const FIRST: u32 = 0x8000_0002;
    const LAST: u32 = 0x8000_0004;
    let mut bytes = Vec::new();
    // SAFETY: every x86-64 has `cpuid`; see `Processor::ask` for the attribute.
    #[allow(unused_unsafe)]
    unsafe {
        if __cpuid(0x8000_0000).eax < LAST {
            return None;
        }
        for leaf in FIRST..=LAST {
            let words = __cpuid(leaf);
            for word in [words.eax, words.ebx, words.ecx, words.edx] {
                bytes.extend(word.to_le_bytes());
            }
        }
    }
    bytes.retain(|&byte| byte != 0);
    let brand = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!brand.is_empty()).then_some(brand)
}

/// Asks the system, once for the whole process, for the state that tiles need.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: `arch_prctl` touches no memory of this process with these arguments.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// No other system is known to ask first or to grant unasked.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Standing};
    use super::*;

    /// Sapphire Rapids: bits of leaf 7 for every feature of the levels.
    const ALL: [u32; 3] = [
        1 << 5 | 1 << 16 | 1 << 30 | 1 << 31,
        1 << 1 | 1 << 11,
        1 << 24 | 1 << 25,
    ];

    fn levels(processor: Processor) -> Vec<Standing> {
        let of = |isa| Standing::of(isa, &|f| processor.has(f), &|f| processor.withheld(f), None);
        Isa::ALL.into_iter().map(of).collect()
    }

    fn usable(processor: Processor) -> Vec<Isa> {
        let usable = levels(processor).into_iter().filter(Standing::usable);
        usable.map(|s| s.isa).collect()
    }

    #[test]
    fn a_processor_whose_system_saves_all_registers_may_use_all() {
        let all = Processor {
            features: ALL,
            saved: TILES | VECTORS_512,
            tiles: true,
        };
        assert_eq!(usable(all), Isa::ALL);
    }

    #[test]
    fn registers_that_are_not_saved_withhold_what_the_processor_has() {
        let of = |saved, tiles| Processor {
            features: ALL,
            saved,
            tiles,
        };
        assert_eq!(usable(of(0, false)), [Isa::Portable]);
        assert_eq!(usable(of(0b111, false)), [Isa::Portable, Isa::Avx2]);
        assert_eq!(usable(of(0xe7, false)), Isa::ALL[..5]);
        let withheld = |processor| levels(processor).pop().unwrap().withheld;
        assert!(withheld(of(0xe7, false)).contains(&("amx-int8", Withheld::Tiles)));
        let refused = [
            ("amx-tile", Withheld::TilePermission),
            ("amx-int8", Withheld::TilePermission),
        ];
        assert_eq!(withheld(of(TILES | 0xe7, false)), refused);
    }

    /// Haswell has AVX2; Skylake-X has no VNNI; Ice Lake has no tiles; Nehalem has none of it.
    #[test]
    fn older_processors() {
        let of = |features| Processor {
            features,
            saved: 0xe7,
            tiles: false,
        };
        assert_eq!(usable(of([0, 0, 0])), [Isa::Portable]);
        assert_eq!(usable(of([1 << 5, 0, 0])), Isa::ALL[..2]);
        assert_eq!(usable(of([ALL[EBX], 0, 0])), Isa::ALL[..3]);
        assert_eq!(usable(of([ALL[EBX], 1 << 11, 0])), Isa::ALL[..4]);
        assert_eq!(usable(of([ALL[EBX], ALL[ECX], 0])), Isa::ALL[..5]);
        let avx512 = levels(of([1 << 5, 0, 0])).swap_remove(2);
        assert_eq!(avx512.lacking, ["avx512f", "avx512bw", "avx512vl"]);
        assert!(avx512.withheld.is_empty());
    }

    /// The standard library asks the processor on its own.
    #[test]
    fn the_standard_library_says_the_same() {
        let this = Processor::this();
        macro_rules! same {
            ($($feature:tt),+) => {$(
                let ours = this.has($feature) && this.withheld($feature).is_none();
                assert_eq!(ours, is_x86_feature_detected!($feature), $feature);
            )+};
        }
        same!(
            "avx2",
            "avx512f",
            "avx512bw",
            "avx512vl",
            "avx512vnni",
            "avx512vbmi"
        );
    }
}
