//! The colours, by what they mean.
//!
//! Every colour of the light theme is used for one meaning only: the page recolours its inlined
//! charts for the dark theme by these very values.

use plotters::style::RGBColor;

/// What a shape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Titles and values.
    Text,
    /// Units, axes, notes.
    Muted,
    /// Grid lines.
    Grid,
    /// Background.
    Paper,
    /// The state before, or the lesser of two series.
    Before,
    /// The state after, or the main series.
    After,
    /// What was claimed.
    Claimed,
    /// The claimed range.
    ClaimedRange,
    /// Something wrong.
    Wrong,
    /// A series or part, by number.
    Series(usize),
}

/// Series colours that differ also for readers who can't tell red from green.
const SERIES: [(u32, u32); 8] = [
    (0x2A_6F_DB, 0x73_AB_FF),
    (0x13_8A_72, 0x45_C9_AB),
    (0x8E_5B_C9, 0xBC_95_EE),
    (0xC2_5A_1C, 0xF0_96_5E),
    (0x5C_88_A8, 0x8F_B9_D6),
    (0xA8_8A_1D, 0xD8_BE_5B),
    (0xB8_4A_86, 0xE8_8B_BD),
    (0x7C_84_8E, 0xA2_AA_B5),
];

impl Ink {
    const FIXED: [Self; 9] = [
        Self::Text,
        Self::Muted,
        Self::Grid,
        Self::Paper,
        Self::Before,
        Self::After,
        Self::Claimed,
        Self::ClaimedRange,
        Self::Wrong,
    ];

    /// The colour as 0xRRGGBB in the light theme and in the dark one.
    pub fn hex(self) -> (u32, u32) {
        match self {
            Self::Text => (0x1B_20_26, 0xE8_EC_F1),
            Self::Muted => (0x5B_65_71, 0x9D_A8_B5),
            Self::Grid => (0xE2_E6_EB, 0x2E_36_40),
            Self::Paper => (0xFF_FF_FF, 0x17_1B_21),
            Self::Before => (0xA3_AD_B9, 0x6B_77_85),
            Self::After => (0x1F_63_CE, 0x6C_A6_FB),
            Self::Claimed => (0xB3_6B_00, 0xE6_A8_3C),
            Self::ClaimedRange => (0xF6_E7_CF, 0x3A_2F_1C),
            Self::Wrong => (0xBE_2F_26, 0xFF_80_75),
            Self::Series(i) => SERIES[i % SERIES.len()],
        }
    }

    /// The colour for plotters: the light theme's.
    pub fn rgb(self) -> RGBColor {
        let [_, r, g, b] = self.hex().0.to_be_bytes();
        RGBColor(r, g, b)
    }

    fn all() -> impl Iterator<Item = Self> {
        Self::FIXED
            .into_iter()
            .chain((0..SERIES.len()).map(Self::Series))
    }
}

/// CSS rules that give inlined charts the dark theme's colours.
pub fn dark_rules() -> String {
    Ink::all()
        .map(|ink| {
            let (light, dark) = ink.hex();
            format!(
                ".chart [fill=\"#{light:06X}\"]{{fill:#{dark:06x}}}\
                 .chart [stroke=\"#{light:06X}\"]{{stroke:#{dark:06x}}}\n"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_colour_means_one_thing() {
        let all: Vec<u32> = Ink::all().map(|i| i.hex().0).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    /// WCAG 2.2, contrast: 4.5 for text, 3 for what carries a figure.
    #[test]
    fn text_and_lines_stand_out_in_both_themes() {
        let channel = |c: u32| {
            let c = f64::from(c & 255) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        let luminance =
            |h: u32| 0.2126 * channel(h >> 16) + 0.7152 * channel(h >> 8) + 0.0722 * channel(h);
        let contrast = |a: u32, b: u32| {
            let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
            (a / b).max(b / a)
        };
        let paper = Ink::Paper.hex();
        let text = [Ink::Text, Ink::Muted, Ink::Wrong];
        let lines = [Ink::After, Ink::Claimed]
            .into_iter()
            .chain((0..8).map(Ink::Series));
        for (ink, least) in text
            .into_iter()
            .map(|i| (i, 4.5))
            .chain(lines.map(|i| (i, 3.0)))
        {
            let (light, dark) = ink.hex();
            for (theme, c) in [
                ("light", contrast(light, paper.0)),
                ("dark", contrast(dark, paper.1)),
            ] {
                assert!(
                    c >= least,
                    "{ink:?} {theme}: contrast {c:.2} is below {least}"
                );
            }
        }
    }
}
