//! Instruction sets: what this machine has, as the operating system grants it.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// An instruction-set level: a kernel needs exactly one, and each level names every feature it needs.
///
/// "AVX-512" is not one bit: a level is available only when all its features are, and the
/// detection includes whether the operating system saves the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Rust only; runs on any architecture.
    Portable,
    /// 256-bit integer vectors.
    Avx2,
    /// 512-bit vectors with byte and word operations.
    Avx512,
    /// [`Isa::Avx512`] with `vpdpbusd`.
    Avx512Vnni,
    /// [`Isa::Avx512Vnni`] with byte permutations.
    Avx512Vbmi,
    /// [`Isa::Avx512Vbmi`] with int8 tiles (AMX), which the operating system has to grant.
    AmxInt8,
}

impl Isa {
    /// Every level, lowest first.
    pub const ALL: [Isa; 6] = [
        Isa::Portable,
        Isa::Avx2,
        Isa::Avx512,
        Isa::Avx512Vnni,
        Isa::Avx512Vbmi,
        Isa::AmxInt8,
    ];

    /// The name used on the command line and in `BITGAUGE_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Vnni => "avx512-vnni",
            Isa::Avx512Vbmi => "avx512-vbmi",
            Isa::AmxInt8 => "amx-int8",
        }
    }

    /// The CPU features of this level, as `rustc` spells them.
    pub fn features(self) -> &'static [&'static str] {
        match self {
            Isa::Portable => &[],
            Isa::Avx2 => &["avx2"],
            Isa::Avx512 => &["avx2", "avx512f", "avx512bw", "avx512vl"],
            Isa::Avx512Vnni => &["avx2", "avx512f", "avx512bw", "avx512vl", "avx512vnni"],
            Isa::Avx512Vbmi => &[
                "avx2",
                "avx512f",
                "avx512bw",
                "avx512vl",
                "avx512vnni",
                "avx512vbmi",
            ],
            Isa::AmxInt8 => &[
                "avx2",
                "avx512f",
                "avx512bw",
                "avx512vl",
                "avx512vnni",
                "avx512vbmi",
                "amx-tile",
                "amx-int8",
            ],
        }
    }

    /// Whether code of this level may run here.
    ///
    /// # Errors
    /// The features that are missing, or the cap in `BITGAUGE_ISA` that forbids the level.
    pub fn check(self) -> Result<(), Missing> {
        self.check_on(detected)?;
        match cap() {
            Ok(Some(cap)) if self > *cap => Err(Missing::Capped(*cap)),
            Ok(_) => Ok(()),
            Err(_) if self == Isa::Portable => Ok(()),
            Err(unknown) => Err(Missing::UnknownCap(unknown.clone())),
        }
    }

    /// Whether code of this level may run on a machine that `has` the features it is asked for:
    /// every one of [`Isa::features`], not just the one that names the level.
    ///
    /// # Errors
    /// The features that are missing.
    pub fn check_on(self, has: impl Fn(&str) -> bool) -> Result<(), Missing> {
        let needed = self.features().iter().copied();
        let missing: Vec<_> = needed.filter(|feature| !has(feature)).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Missing::Features(missing)),
        }
    }

    /// How the level stands here: everything that [`Isa::check`] weighs, each for itself.
    pub fn standing(self) -> Standing {
        let capped = cap().ok().flatten().copied().filter(|&cap| self > cap);
        #[cfg(target_arch = "x86_64")]
        {
            let this = x86::Processor::this();
            Standing::of(self, &|f| this.has(f), &|f| this.withheld(f), capped)
        }
        #[cfg(not(target_arch = "x86_64"))]
        Standing::of(self, &|_| false, &|_| None, capped)
    }

    /// The highest level that may run here.
    pub fn highest() -> Isa {
        static HIGHEST: OnceLock<Isa> = OnceLock::new();
        *HIGHEST.get_or_init(|| {
            Isa::ALL
                .into_iter()
                .rev()
                .find(|isa| isa.check().is_ok())
                .unwrap_or(Isa::Portable)
        })
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A level's name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no instruction-set level; known: portable, avx2, avx512, avx512-vnni, avx512-vbmi, amx-int8"
)]
pub struct UnknownIsa(String);

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Self, UnknownIsa> {
        Isa::ALL
            .into_iter()
            .find(|i| i.name() == name)
            .ok_or_else(|| UnknownIsa(name.to_owned()))
    }
}

/// Why a level can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The CPU or the operating system does not offer these features.
    #[error("this CPU or its operating system lacks {}", .0.join(", "))]
    Features(Vec<&'static str>),
    /// `BITGAUGE_ISA` caps the levels that may be used.
    #[error("BITGAUGE_ISA caps this process at {0}")]
    Capped(Isa),
    /// `BITGAUGE_ISA` holds no level's name.
    #[error("BITGAUGE_ISA: {0}")]
    UnknownCap(UnknownIsa),
}

/// The cap in `BITGAUGE_ISA`: no level above it is used. Read once.
///
/// # Errors
/// When the variable holds no level's name.
pub fn cap() -> Result<Option<&'static Isa>, &'static UnknownIsa> {
    static CAP: OnceLock<Option<Result<Isa, UnknownIsa>>> = OnceLock::new();
    let cap = CAP.get_or_init(|| {
        let value = std::env::var_os("BITGAUGE_ISA")?;
        Some(value.to_string_lossy().parse())
    });
    cap.as_ref().map(Result::as_ref).transpose()
}

/// How a level stands on this machine, in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The level.
    pub isa: Isa,
    /// Whether this build holds code of the level.
    pub compiled: bool,
    /// Its features that the processor lacks.
    pub lacking: Vec<&'static str>,
    /// Its features that the processor has and the operating system withholds.
    pub withheld: Vec<(&'static str, Withheld)>,
    /// The cap in `BITGAUGE_ISA`, where it is below the level.
    pub capped: Option<Isa>,
}

impl Standing {
    fn of(
        isa: Isa,
        has: &dyn Fn(&str) -> bool,
        withheld: &dyn Fn(&str) -> Option<Withheld>,
        capped: Option<Isa>,
    ) -> Self {
        let features = isa.features().iter().copied();
        let (had, lacking): (Vec<_>, Vec<_>) = features.partition(|feature| has(feature));
        Self {
            isa,
            compiled: isa == Isa::Portable || cfg!(target_arch = "x86_64"),
            lacking,
            withheld: had
                .into_iter()
                .filter_map(|feature| Some((feature, withheld(feature)?)))
                .collect(),
            capped,
        }
    }

    /// Whether the processor has all features of the level.
    pub fn detected(&self) -> bool {
        self.lacking.is_empty()
    }

    /// Whether nothing stands in its way.
    pub fn usable(&self) -> bool {
        self.compiled && self.detected() && self.withheld.is_empty() && self.capped.is_none()
    }
}

/// Why a feature that the processor has may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// The system does not save 256-bit registers.
    #[error("the operating system does not save 256-bit registers")]
    Vectors256,
    /// The system does not save 512-bit registers.
    #[error("the operating system does not save 512-bit registers")]
    Vectors512,
    /// The system does not save tile registers.
    #[error("the operating system does not save tile registers")]
    Tiles,
    /// The system saves tile registers, and does not let this process use them.
    #[error("the operating system did not permit tiles to this process")]
    TilePermission,
}

/// What the processor calls itself, asked of it and not of the system: an emulator that hides features
/// from a program may leave the system's files as they are.
pub fn processor_name() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    {
        x86::brand()
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Features that this whole build takes for granted (`-C target-cpu`, `-C target-feature`), beyond
/// those of every x86-64: on a processor without them it stops at an illegal instruction, and
/// detecting them says yes unasked.
pub fn required_by_build() -> Vec<&'static str> {
    macro_rules! required {
        ($($feature:tt),+) => {
            [$(($feature, cfg!(target_feature = $feature))),+]
        };
    }
    let known = required!(
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512vnni",
        "avx512vbmi"
    );
    let required = known.into_iter().filter(|(_, required)| *required);
    required.map(|(feature, _)| feature).collect()
}

#[cfg(target_arch = "x86_64")]
fn detected(feature: &str) -> bool {
    match feature {
        "avx2" => is_x86_feature_detected!("avx2"),
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        "avx512vnni" => is_x86_feature_detected!("avx512vnni"),
        "avx512vbmi" => is_x86_feature_detected!("avx512vbmi"),
        "amx-tile" | "amx-int8" => {
            let this = x86::Processor::this();
            this.has(feature) && this.withheld(feature).is_none()
        }
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected(_feature: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_stands_clear_is_one_that_may_run() {
        for isa in Isa::ALL {
            let standing = isa.standing();
            assert_eq!(standing.usable(), isa.check().is_ok(), "{standing:?}");
        }
    }

    #[test]
    fn a_cap_alone_makes_a_level_unusable() {
        let of = |cap| Standing::of(Isa::Portable, &|_| true, &|_| None, cap);
        assert!(of(None).usable());
        assert!(!of(Some(Isa::Portable)).usable());
    }
}
