//! Scales and ticks, in arithmetic that is the same on every machine.

/// Maps figures to positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Distance of ticks; `None` where the scale is logarithmic.
    step: Option<f64>,
    /// First and last figure of the axis.
    pub domain: (f64, f64),
    /// Their positions.
    range: (f64, f64),
}

impl Scale {
    /// From zero to a round figure at or above `top`.
    pub fn from_zero(top: f64, range: (f64, f64)) -> Self {
        let top = if top > 0.0 { top } else { 1.0 };
        let step = nice_step(top);
        Self {
            step: Some(step),
            domain: (0.0, step * (top / step - 1e-9).ceil()),
            range,
        }
    }

    /// Between round figures that enclose `low` and `high`, zero or not.
    pub fn between(low: f64, high: f64, range: (f64, f64)) -> Self {
        let width = if high > low {
            high - low
        } else {
            high.abs().max(1.0)
        };
        let step = nice_step(width);
        let below = step * (low / step + 1e-9).floor();
        let above = step * (high / step - 1e-9).ceil();
        Self {
            step: Some(step),
            domain: (below, above.max(below + step)),
            range,
        }
    }

    /// Logarithmic, between round figures that enclose `low` and `high`, both above zero.
    pub fn log(low: f64, high: f64, range: (f64, f64)) -> Self {
        let below = *ladder(low)
            .iter()
            .rev()
            .find(|&&t| t <= low * (1.0 + 1e-9))
            .unwrap_or(&low);
        let above = *ladder(high)
            .iter()
            .find(|&&t| t >= high * (1.0 - 1e-9))
            .unwrap_or(&high);
        let above = if above > below { above } else { below * 2.0 };
        Self {
            step: None,
            domain: (below, above),
            range,
        }
    }

    /// Position of `x`; figures outside of the axis stop at its end.
    pub fn at(&self, x: f64) -> f64 {
        let (low, high) = self.domain;
        let x = x.clamp(low, high);
        let part = if self.step.is_none() {
            (log2(x) - log2(low)) / (log2(high) - log2(low))
        } else {
            (x - low) / (high - low)
        };
        self.range.0 + (self.range.1 - self.range.0) * part
    }

    /// Round figures within the axis, about half a dozen.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.domain;
        if let Some(step) = self.step {
            let [first, last] = [low / step, high / step].map(|x| (x + 1e-9).floor() as i64);
            return (first..=last).map(|i| i as f64 * step).collect();
        }
        let inside = |t: &f64| *t >= low * (1.0 - 1e-9) && *t <= high * (1.0 + 1e-9);
        let mut all: Vec<f64> = Vec::new();
        let mut decade = power_of_ten(low);
        while decade <= high * 10.0 {
            all.extend([1.0, 2.0, 5.0].map(|m| m * decade));
            decade *= 10.0;
        }
        let all: Vec<f64> = all.into_iter().filter(inside).collect();
        if all.len() <= 8 {
            return all;
        }
        let decades: Vec<f64> = all
            .into_iter()
            .filter(|t| (t / power_of_ten(*t) - 1.0).abs() < 1e-6)
            .collect();
        let every = decades.len().div_ceil(7).max(1);
        decades.into_iter().step_by(every).collect()
    }
}

/// 1, 2 or 5 times a power of ten, so that `top` is 2 to 6 steps.
fn nice_step(top: f64) -> f64 {
    let rough = top / 5.0;
    let power = power_of_ten(rough);
    let m = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|m| m * power >= rough * 0.9);
    m.unwrap_or(10.0) * power
}

/// 1, 2, 5 in the decades about `x`.
fn ladder(x: f64) -> Vec<f64> {
    let p = power_of_ten(x);
    [0.5, 1.0, 2.0, 5.0, 10.0].iter().map(|m| m * p).collect()
}

/// The largest power of ten not above `x`; 1 where `x` is not above zero.
fn power_of_ten(x: f64) -> f64 {
    let exponent = format!("{x:e}")
        .split_once('e')
        .and_then(|(_, e)| e.parse::<i32>().ok());
    match exponent {
        // Parsing is exact, powi may not be.
        Some(e) if x > 0.0 => format!("1e{e}").parse().unwrap_or(1.0),
        _ => 1.0,
    }
}

/// log2 of a positive number from its bits and a series: libm differs between systems in the
/// last place, and a chart must not.
pub fn log2(x: f64) -> f64 {
    if !(x.is_normal() && x > 0.0) {
        return 0.0;
    }
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7FF) as i64 - 1023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    // ln m = 2 atanh((m - 1) / (m + 1)); the argument is at most 1/3, so 20 terms are plenty.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let mut power = s;
    let mut sum = 0.0;
    for k in 0..20 {
        sum += power / f64::from(2 * k + 1);
        power *= s * s;
    }
    exponent as f64 + 2.0 * sum / std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log2_is_the_logarithm() {
        for x in [1.0, 2.0, 0.5, 10.0, 0.42, 1e-9, 7.3e12, 1.999_999_9] {
            assert!((log2(x) - f64::log2(x)).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn axes_end_on_round_figures_that_enclose_the_data() {
        let s = Scale::from_zero(87.0, (0.0, 100.0));
        assert_eq!(s.domain, (0.0, 100.0));
        assert_eq!(s.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(s.at(50.0), 50.0);
        let s = Scale::from_zero(105.0, (0.0, 1.0));
        assert_eq!(s.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0]);
        let s = Scale::between(19.2, 23.7, (0.0, 100.0));
        assert_eq!(s.domain, (19.0, 24.0));
        assert_eq!(s.ticks(), [19.0, 20.0, 21.0, 22.0, 23.0, 24.0]);
        assert_eq!(s.at(21.5), 50.0);
        let s = Scale::log(0.42, 12.3, (0.0, 100.0));
        assert_eq!(s.domain, (0.2, 20.0));
        assert_eq!(s.ticks(), [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        assert!((s.at(2.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn degenerate_data_still_has_an_axis() {
        assert_eq!(Scale::from_zero(0.0, (0.0, 1.0)).domain, (0.0, 1.0));
        assert_eq!(Scale::between(3.0, 3.0, (0.0, 1.0)).domain, (3.0, 4.0));
        let s = Scale::log(1.0, 1.0, (0.0, 1.0));
        assert_eq!(s.domain, (1.0, 2.0));
        assert!(Scale::log(1e-6, 1e9, (0.0, 1.0)).ticks().len() <= 8);
    }
}
