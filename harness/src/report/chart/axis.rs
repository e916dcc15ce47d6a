//! Scales and ticks, in arithmetic that is the same on every machine.
//!
//! Any figures have an axis: those beyond [`LARGEST`], and on a logarithmic one those below
//! [`SMALLEST`], stand at its end.

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

/// Axes end here, far enough from the ends of float64 that no step of their arithmetic overflows.
const LARGEST: f64 = 1e300;
const SMALLEST: f64 = 1e-300;

/// `x` between `low` and `high`; `low` for what is no number.
fn within(x: f64, low: f64, high: f64) -> f64 {
    x.max(low).min(high)
}

impl Scale {
    /// From zero to a round figure at or above `top`.
    pub fn from_zero(top: f64, range: (f64, f64)) -> Self {
        let top = if top > SMALLEST {
            top.min(LARGEST)
        } else {
            1.0
        };
        let step = nice_step(top);
        Self {
            step: Some(step),
            domain: (0.0, step * (top / step - 1e-9).ceil()),
            range,
        }
    }

    /// Between round figures that enclose `low` and `high`, zero or not.
    pub fn between(low: f64, high: f64, range: (f64, f64)) -> Self {
        let [low, high] = [low, high].map(|x| within(x, -LARGEST, LARGEST));
        let size = low.abs().max(high.abs());
        let width = if high > low {
            // Finer ticks would be one figure in float64.
            (high - low).max(1e-9 * size).max(SMALLEST)
        } else {
            size.max(1.0)
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
        let [low, high] = [low, high].map(|x| within(x, SMALLEST, LARGEST));
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
        let x = within(x, low, high);
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
        let decades: Vec<f64> = (exponent(low)..=exponent(high) + 1).map(ten_to).collect();
        let of_decade = |decade: &f64| [1.0, 2.0, 5.0].map(|m| m * decade);
        let all: Vec<f64> = decades.iter().flat_map(of_decade).filter(inside).collect();
        if all.len() <= 8 {
            return all;
        }
        let decades: Vec<f64> = decades.into_iter().filter(inside).collect();
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

/// The largest power of ten not above `x`, which is above zero.
fn power_of_ten(x: f64) -> f64 {
    ten_to(exponent(x))
}

/// Its exponent.
fn exponent(x: f64) -> i32 {
    let text = format!("{x:e}");
    let exponent = text.split_once('e').and_then(|(_, e)| e.parse().ok());
    exponent.unwrap_or(0)
}

/// A power of ten: parsing is exact, powi may not be.
fn ten_to(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().unwrap_or(1.0)
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

    #[test]
    fn any_figures_have_an_axis_of_few_ticks() {
        let largest = f64::MAX;
        let figures = [
            0.0,
            -0.0,
            5e-324,
            1e-310,
            f64::MIN_POSITIVE,
            1.0,
            1.0 + f64::EPSILON,
            1e15,
            1e15 + 0.125,
            1e300,
            1.7e308,
            largest,
            -5e-324,
            -1.0,
            -largest,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        for low in figures {
            for high in figures {
                let range = (10.0, 110.0);
                for scale in [
                    Scale::from_zero(high, range),
                    Scale::between(low, high, range),
                    Scale::log(low, high, range),
                ] {
                    let (first, last) = scale.domain;
                    let told = format!("{low:e} {high:e}: {scale:?}");
                    assert!(first.is_finite() && last.is_finite(), "{told}");
                    assert!(first < last, "{told}");
                    let ticks = scale.ticks();
                    assert!((1..=12).contains(&ticks.len()), "{told}: {ticks:?}");
                    for x in ticks.into_iter().chain(figures) {
                        let at = scale.at(x);
                        assert!((10.0..=110.0).contains(&at), "{told}: {x:e} is at {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_logarithmic_axis_has_round_ticks() {
        let ticks = Scale::log(1e-100, 1e200, (0.0, 1.0)).ticks();
        assert_eq!(ticks, [1e-100, 1e-57, 1e-14, 1e29, 1e72, 1e115, 1e158]);
    }
}
