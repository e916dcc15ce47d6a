//! Single operations against the oracle's, where `units.json` is too forgiving to see a mistake.

use bitgauge_engine::checkpoint::{Floats, quantize_weights};
use bitgauge_engine::ops;

use super::check::{Book, Check, Differences, guarded};
use crate::oracle::ops as oracle;
use crate::oracle::weights::quantize_master;

/// Judges angles at far positions, and master weights on the boundary between two trits.
pub fn judge(book: &mut Book<'_>) {
    let mut record = |id: &str, judge: fn() -> Check| {
        book.record(guarded(judge).unwrap_or_else(|panic| Check::broken(id, panic)));
    };
    record(ANGLES, judge_angles);
    record(MASTER_WEIGHTS, judge_master_weights);
}

const ANGLES: &str = "operations/rope-angles";

/// The angle is rounded to float32 before its sine is taken, which is part of the model: an angle
/// kept in float64 is off by up to 2e-4 at position 4000. Sine and cosine are good to rounding.
fn judge_angles() -> Check {
    let mut worst = 0.0f64;
    for (head_dim, theta) in [(8, 10_000.0), (128, 500_000.0)] {
        let rope = ops::Rope::new(head_dim, theta as f32);
        let frequencies = oracle::inverse_frequencies(head_dim, theta);
        // Each that 2b4t takes, where there are few angles; and some beyond.
        let each = if head_dim == 8 { 4096 } else { 0 };
        let some = [0, 1, 31, 299, 1024, 2047, 4095, 4096, 65_537, 131_071];
        for position in (0..each).chain(some) {
            let mut got = vec![(f32::NAN, f32::NAN); head_dim / 2];
            rope.angles(position, &mut got);
            // A unit vector along the first of each pair turns into (cos, sin).
            let mut unit = vec![0.0; head_dim];
            unit[..head_dim / 2].fill(1.0);
            oracle::rope(&mut unit, position, &frequencies);
            let (cos, sin) = unit.split_at(head_dim / 2);
            for ((got, cos), sin) in got.iter().zip(cos).zip(sin) {
                for error in [f64::from(got.0) - cos, f64::from(got.1) - sin] {
                    if error.is_nan() || error.abs() > worst {
                        worst = error.abs();
                    }
                }
            }
        }
    }
    Check::at_most(ANGLES, worst, 1e-6)
}

const MASTER_WEIGHTS: &str = "operations/master-weights";

/// Half of the mean rounds to zero, since ties go to even, and one and a half of it is clamped.
fn judge_master_weights() -> Check {
    let mut differences = Differences::default();
    let ties = [0.5, -0.5, 1.5, -1.5, 1.0, -1.0, 0.5, 1.5];
    let above = f32::from_bits(0.5f32.to_bits() + 1);
    let cases = [
        ("ties", ties.to_vec()),
        ("ties of a mean of 2^-10", ties.map(|w| w / 1024.0).to_vec()),
        ("just above a tie", vec![above, -above, 1.5, 1.5, 1.0, 0.5]),
        ("below the least mean", vec![1e-6, -6e-6, 4e-6, 0.0]),
        ("zeros", vec![0.0, -0.0]),
        ("one value", vec![-3.0]),
    ];
    for (name, weights) in cases {
        let (trits, scale) = match quantize_master(&weights) {
            Ok(expected) => expected,
            Err(error) => {
                differences.expect(false, || format!("{name}: {error}"));
                continue;
            }
        };
        let (got, got_scale) = quantize_weights(&Floats::F32(weights.clone().into()));
        differences.add(&got, &trits, |i| format!("{name}: weight {}", weights[i]));
        differences.add(&[got_scale.to_bits()], &[scale.to_bits()], |_| {
            format!("{name}: scale bits")
        });
    }
    differences.check(MASTER_WEIGHTS)
}
