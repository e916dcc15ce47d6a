//! Numbers and verdicts as text, the same in every page.
//!
//! Nothing here depends on the machine: no locale, no clock, no libm.

use crate::run::{Claim, Estimate, Measured, WrongAnswer};

/// A no-break space, between a number and its unit.
pub const NBSP: char = '\u{a0}';

/// `x` with `digits` significant digits; digits before the point are never rounded away.
pub fn significant(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return "not finite".into();
    }
    if x == 0.0 {
        return "0".into();
    }
    // The formatted exponent is the one after rounding: 9.996 has exponent 1 at 3 digits.
    let scientific = format!("{:.*e}", digits - 1, x);
    let exponent: i32 = scientific
        .split_once('e')
        .and_then(|(_, e)| e.parse().ok())
        .unwrap_or_default();
    if !(-5..=9).contains(&exponent) {
        return scientific;
    }
    let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    format!("{x:.decimals$}")
}

/// `x` with `decimals` digits after the point, where that says something: what has more than fifteen
/// digits before it, as only a made-up figure has, in scientific form.
pub fn fixed(x: f64, decimals: usize) -> String {
    match x.abs() < 1e15 || !x.is_finite() {
        true => format!("{x:.decimals$}"),
        false => format!("{x:.decimals$e}"),
    }
}

/// Three significant digits.
pub fn number(x: f64) -> String {
    significant(x, 3)
}

/// `5.82×`.
pub fn times(x: f64) -> String {
    format!("{}×", number(x))
}

/// A per cent figure, 0 to 100, as `84.2 %`.
pub fn percent(x: f64) -> String {
    format!("{}{NBSP}%", number(x))
}

/// A fraction as per cent: 3.13 as `313 %`.
pub fn fraction(x: f64) -> String {
    percent(x * 100.0)
}

/// `5.82 GB/s`.
pub fn with_unit(x: f64, unit: &str) -> String {
    match unit {
        "" => number(x),
        "×" => times(x),
        _ => format!("{}{NBSP}{unit}", number(x)),
    }
}

/// A number of bytes with a decimal prefix, as GB/s has it.
pub fn bytes(n: u64) -> String {
    scaled(n, &["B", "kB", "MB", "GB", "TB"])
}

/// A count with a decimal prefix: `2.41 G`.
pub fn count(n: u64) -> String {
    scaled(n, &["", "k", "M", "G", "T"])
        .trim_end_matches(NBSP)
        .to_owned()
}

fn scaled(n: u64, units: &[&str]) -> String {
    let mut x = n as f64;
    let mut at = 0;
    while x >= 999.5 && at + 1 < units.len() {
        x /= 1000.0;
        at += 1;
    }
    format!(
        "{}{NBSP}{}",
        if at == 0 { n.to_string() } else { number(x) },
        units[at]
    )
}

/// `1 check`, `2 checks`.
pub fn plural(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// How sure an estimate is: `95 % interval 5.71 to 5.93, 240 blocks`.
pub fn sureness(e: &Estimate) -> String {
    if e.blocks <= 1 && e.low == e.high {
        return "one observation, no interval".into();
    }
    // Three digits and more are kept for high levels: 99.9 % is not 100 %.
    let level = significant(e.level * 100.0, 5);
    let level = level.trim_end_matches('0').trim_end_matches('.');
    format!(
        "{level}{NBSP}% interval {} to {}, {}",
        number(e.low),
        number(e.high),
        plural(e.blocks as usize, "block")
    )
}

/// `x` without trailing zeros, for what people wrote rather than measured.
pub fn round(x: f64) -> String {
    let text = number(x);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// What was claimed: `4× to 6×`, or `2×`.
pub fn claimed(claim: &Claim) -> String {
    if claim.low == claim.high {
        format!("{}×", round(claim.low))
    } else {
        format!("{}× to {}×", round(claim.low), round(claim.high))
    }
}

/// A limit that people wrote, as a fraction: 0.001 as `0.1 %`.
pub fn limit(x: f64) -> String {
    format!("{}{NBSP}%", round(100.0 * x))
}

/// `unavailable: why`.
pub fn unavailable(why: &str) -> String {
    format!("unavailable: {why}")
}

/// A value as `show` writes it, or why there is none.
pub fn or_why<T>(value: &Measured<T>, show: impl FnOnce(&T) -> String) -> String {
    match value {
        Measured::Is(v) => show(v),
        Measured::Unavailable(why) => unavailable(why),
    }
}

/// Control characters as the replacement character: XML has no way to write them.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Text that stays on its line, whatever it holds.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// `relative error 313 % on gaussian K=2560`.
pub fn wrong(error: &WrongAnswer) -> String {
    format!(
        "relative error of {} on {}",
        fraction(error.relative_error),
        error.seen_on
    )
}

/// `wrong answers, 313 % error`.
pub fn error_off(error: &WrongAnswer) -> String {
    format!("wrong answers, {} error", fraction(error.relative_error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count_and_integers_stay_whole() {
        for (x, text) in [
            (0.0, "0"),
            (0.42, "0.420"),
            (9.996, "10.0"),
            (12.345, "12.3"),
            (123_456.7, "123457"),
            (-0.001_234_5, "-0.00123"),
            (1e-9, "1.00e-9"),
            (2.5e12, "2.50e12"),
            (f64::NAN, "not finite"),
        ] {
            assert_eq!(number(x), text);
        }
    }

    #[test]
    fn decimals_are_those_asked_for_and_never_hundreds_of_digits() {
        for (x, text) in [
            (0.99996, "1.0000"),
            (-0.0, "-0.0000"),
            (123_456_789.0, "123456789.0000"),
            (1e-300, "0.0000"),
            (-1e300, "-1.0000e300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(fixed(x, 4), text);
        }
    }

    #[test]
    fn decimal_prefixes_turn_over_at_a_thousand() {
        assert_eq!(bytes(999), "999\u{a0}B");
        assert_eq!(bytes(999_499), "999\u{a0}kB");
        assert_eq!(bytes(999_950), "1.00\u{a0}MB");
        assert_eq!(count(2_412_820_480), "2.41\u{a0}G");
        assert_eq!(count(7), "7");
    }

    #[test]
    fn a_level_is_not_rounded_to_certainty() {
        let e = |level| Estimate {
            value: 2.0,
            low: 1.0,
            high: 3.0,
            level,
            blocks: 1,
        };
        assert_eq!(
            sureness(&e(0.95)),
            "95\u{a0}% interval 1.00 to 3.00, 1 block"
        );
        assert_eq!(
            sureness(&e(0.999)),
            "99.9\u{a0}% interval 1.00 to 3.00, 1 block"
        );
    }
}
