//! Instruction set extensions, found at run time.

use serde::{Deserialize, Serialize};

/// Extensions that matter to low-bit inference, and whether this processor has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsaFeatures {
    /// Architecture, as the compiler names it.
    pub arch: String,
    /// Extensions found, in a fixed order.
    pub detected: Vec<String>,
}

macro_rules! detect {
    ($detected:ident, $($feature:tt),+) => {
        [$(($feature, std::arch::$detected!($feature))),+]
            .into_iter()
            .filter_map(|(name, found)| found.then(|| name.to_owned()))
            .collect()
    };
}

impl IsaFeatures {
    /// Asks the processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        let detected = detect!(
            is_x86_feature_detected,
            "sse2",
            "ssse3",
            "sse4.1",
            "popcnt",
            "avx",
            "avx2",
            "fma",
            "f16c",
            "bmi2",
            "avxvnni",
            "avx512f",
            "avx512bw",
            "avx512vl",
            "avx512dq",
            "avx512vbmi",
            "avx512vnni",
            "avx512bf16",
            "avx512fp16",
            "gfni"
        );
        #[cfg(target_arch = "aarch64")]
        let detected = detect!(
            is_aarch64_feature_detected,
            "neon",
            "fp16",
            "dotprod",
            "i8mm",
            "bf16",
            "sve",
            "sve2"
        );
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let detected = Vec::new();
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            detected,
        }
    }

    /// Whether an extension was found.
    pub fn has(&self, feature: &str) -> bool {
        self.detected.iter().any(|f| f == feature)
    }

    /// The best extension for int8 products, else the architecture's name. Part of the machine
    /// class: a baseline made with it says nothing about a machine without.
    pub fn level(&self) -> &str {
        let x86 = ["avx512vnni", "avx512bw", "avxvnni", "avx2", "ssse3"];
        let arm = ["sve2", "i8mm", "dotprod", "neon"];
        x86.into_iter()
            .chain(arm)
            .find(|f| self.has(f))
            .unwrap_or(&self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(detected: &[&str]) -> IsaFeatures {
        IsaFeatures {
            arch: "x86_64".into(),
            detected: detected.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    #[test]
    fn the_level_is_the_best_extension_found() {
        assert_eq!(with(&["sse2", "avx2", "avx512bw"]).level(), "avx512bw");
        assert_eq!(with(&["avx2", "avxvnni"]).level(), "avxvnni");
        assert_eq!(with(&["sse2"]).level(), "x86_64");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_x86_64_has_sse2() {
        assert!(IsaFeatures::detect().has("sse2"));
    }
}
