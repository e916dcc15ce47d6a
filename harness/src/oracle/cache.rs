//! How keys and values are rounded before they are kept.

use super::error::OracleError;
use super::ops;

/// A format of the KV cache, as the rounding that it is. What is rounded was first an `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheRounding {
    /// None: `f64` as computed.
    Exact,
    /// To the nearest bfloat16, ties to even.
    Bf16,
    /// To 8 bits by the activation quantiser, with one scale for each head: q / scale, the
    /// reciprocal of the scale being an `f32`.
    Int8,
}

impl CacheRounding {
    /// One head `[d]` of one position, rounded.
    ///
    /// # Errors
    /// [`OracleError::NotFinite`] where 8 bits can't hold it.
    pub fn round(self, head: &[f64]) -> Result<Vec<f64>, OracleError> {
        Ok(match self {
            Self::Exact => head.to_vec(),
            Self::Bf16 => head.iter().map(|&x| bf16(x)).collect(),
            Self::Int8 => {
                let quantized = ops::quantize(&narrow(head))?;
                let step = f64::from(1.0f32 / quantized.scale);
                let values = quantized.values.iter();
                values.map(|&q| f64::from(q) * step).collect()
            }
        })
    }

    /// How near a number of `head` comes to the boundary between two results: the least
    /// `|x - boundary| / (|x| + 8/127 absmax)`.
    pub fn gap(self, head: &[f64]) -> f64 {
        let absmax = head.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let distance = |x: f64| match self {
            Self::Exact => f64::INFINITY,
            Self::Bf16 => {
                // Halfway between the neighbours that differ in the last bit kept.
                let below = f32::from_bits((x as f32).to_bits() & 0xffff_0000);
                let above = f32::from_bits(below.to_bits() + 0x1_0000);
                (x - (f64::from(below) + f64::from(above)) / 2.0).abs()
            }
            Self::Int8 => {
                let step = absmax.max(1e-5) / 127.0;
                let y = x / step;
                (y - y.floor() - 0.5).abs() * step
            }
        };
        let relative = |&x: &f64| distance(x) / (x.abs() + absmax * 8.0 / 127.0);
        head.iter().map(relative).fold(f64::INFINITY, f64::min)
    }
}

fn narrow(head: &[f64]) -> Vec<f32> {
    head.iter().map(|&x| x as f32).collect()
}

/// Of the two bfloat16 around `x` the nearer; at the same distance the one whose last bit is 0.
fn bf16(x: f64) -> f64 {
    let x = x as f32;
    let below = f32::from_bits(x.to_bits() & 0xffff_0000);
    let above = f32::from_bits(below.to_bits().wrapping_add(0x1_0000));
    let [to_below, to_above] = [below, above].map(|b| (f64::from(x) - f64::from(b)).abs());
    let even = below.to_bits() & 0x1_0000 == 0;
    let nearest = if to_below < to_above || to_below == to_above && even {
        below
    } else {
        above
    };
    f64::from(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 bits of significand: between 1 and 2 the numbers are 2^-7 apart.
    #[test]
    fn bf16_goes_to_the_nearest_and_ties_to_even() {
        let unit = 2f64.powi(-7);
        for (x, want) in [
            (1.0, 1.0),
            (1.0 + 0.49 * unit, 1.0),
            (1.0 + 0.5 * unit, 1.0),
            (1.0 + 0.51 * unit, 1.0 + unit),
            (1.0 + 1.5 * unit, 1.0 + 2.0 * unit),
            (-1.0 - 1.5 * unit, -1.0 - 2.0 * unit),
            (2.0 - 0.5 * unit, 2.0),
            (0.0, 0.0),
        ] {
            assert_eq!(CacheRounding::Bf16.round(&[x]).unwrap(), [want], "{x}");
        }
        let gap = CacheRounding::Bf16.gap(&[1.0 + 0.25 * unit]);
        assert!((gap - 0.25 * unit / (1.0 + 0.25 * unit) / (1.0 + 8.0 / 127.0)).abs() < 1e-12);
    }

    #[test]
    fn int8_has_127_steps_to_the_largest() {
        let rounded = CacheRounding::Int8.round(&[2.0, -1.0, 0.0]).unwrap();
        for (got, want) in rounded.iter().zip([2.0, -64.0 * 2.0 / 127.0, 0.0]) {
            assert!((got - want).abs() < 1e-6, "{rounded:?}");
        }
        assert!(CacheRounding::Int8.round(&[f64::NAN]).is_err());
        // -63.5 is on the boundary.
        assert!(CacheRounding::Int8.gap(&[2.0, -1.0]) < 1e-12);
    }
}
