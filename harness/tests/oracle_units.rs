//! Each operation of the oracle against `units.json`.

use bitgauge::fixtures::units::{Matvec, Online, Rope, Softmax, Units};
use bitgauge::fixtures::{self};
use bitgauge::oracle::float_formats::{bf16_to_f32, f16_to_f32};
use bitgauge::oracle::weights::{quantize_master, unpack};
use bitgauge::oracle::{OracleError, ScaleRule, ops};

fn units() -> Units {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures");
    let fixtures = fixtures::discover(folder).expect("the repository's fixtures");
    let [units] = &fixtures.units[..] else {
        panic!("one units.json");
    };
    units.content.clone()
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// The largest absolute difference; the lengths must be equal.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |m, (x, y)| {
        let d = (x - y).abs();
        if d.is_nan() || d > m { d } else { m }
    })
}

#[test]
fn packed_trits_and_the_bytes_that_are_none() {
    let packing = units().packing.unwrap();
    for case in &packing.cases {
        assert_eq!(case.packed_shape, [case.rows / 4, case.cols]);
        let trits = unpack(&case.packed, case.rows, case.cols);
        assert_eq!(trits.as_ref(), Ok(&case.trits));
    }
    let invalid: Vec<u8> = (0..=255u8)
        .filter(|&b| unpack(&[b], 4, 1).is_err())
        .collect();
    assert_eq!(invalid, packing.invalid_bytes);
    assert_eq!(256 - invalid.len(), packing.valid_bytes);
}

#[test]
fn the_activation_quantiser_to_the_bit() {
    let quantiser = units().quantiser.unwrap();
    for case in &quantiser.cases {
        let found = ops::quantize(&case.x).unwrap();
        assert_eq!(found.scale.to_bits(), case.scale.to_bits(), "{}", case.name);
        assert_eq!(found.values, case.q, "{}", case.name);
    }
    assert!(!quantiser.reject.is_empty());
    for case in &quantiser.reject {
        let found = ops::quantize(&case.x);
        assert!(
            matches!(found, Err(OracleError::NotFinite { .. })),
            "{}: {found:?}",
            case.name
        );
    }
}

#[test]
fn rmsnorm() {
    for case in units().rmsnorm.unwrap().cases {
        let found = ops::rmsnorm(&widen(&case.x), &case.weight, case.eps);
        // The file has nine digits, a far smaller limit than its own.
        let largest = case.y.iter().fold(0.0f64, |m, y| m.max(y.abs()));
        let error = distance(&found, &case.y);
        assert!(error <= 5e-9 * largest, "{}: {error:e}", case.name);
    }
}

#[test]
fn rope_with_its_frequencies_to_the_bit() {
    for case in units().rope.unwrap().cases {
        let frequencies = ops::inverse_frequencies(case.head_dim, case.theta);
        for (found, expected) in frequencies.iter().zip(&case.inverse_frequencies) {
            let ulps = found.to_bits().abs_diff(expected.to_bits());
            assert!(ulps <= Rope::FREQUENCY_ULPS, "{found} {expected}");
        }
        assert_eq!(
            frequencies, case.inverse_frequencies,
            "theta {}",
            case.theta
        );
        let mut found = widen(&case.x);
        ops::rope(&mut found, case.position, &frequencies);
        let error = distance(&found, &case.y);
        assert!(
            error <= case.limit() / 300.0,
            "{}: {error:e}",
            case.position
        );
    }
}

#[test]
fn softmax() {
    for case in units().softmax.unwrap().cases {
        let found = ops::softmax(&case.masked_scores());
        let error = distance(&found, &case.p);
        assert!(error <= Softmax::LIMIT / 1000.0, "{}: {error:e}", case.name);
    }
}

#[test]
fn ternary_products_and_both_ways_to_rescale_them() {
    for case in units().matvec.unwrap().cases {
        let trits = unpack(&case.packed, case.rows, case.cols).unwrap();
        let found = ops::dot_rows(&trits, case.rows, case.cols, &case.q);
        assert_eq!(found, case.accumulators);
        for (rule, expected) in [
            (ScaleRule::Multiply, &case.y_multiply),
            (ScaleRule::Divide, &case.y_divide),
        ] {
            assert_eq!(expected.len(), found.len());
            for (&a, &y) in found.iter().zip(expected) {
                let got = ops::rescale(a, case.activation_scale, case.weight_scale, rule);
                let limit = Matvec::RELATIVE_LIMIT / 100.0 * y.abs();
                assert!((got - y).abs() <= limit, "{rule:?}: {got} {y}");
            }
        }
    }
}

#[test]
fn master_weights_become_trits() {
    for case in units().online.unwrap().cases {
        let (trits, scale) = quantize_master(&case.weights).unwrap();
        assert_eq!(trits.len(), case.rows * case.cols);
        assert_eq!(trits, case.trits);
        let error = (f64::from(scale) - case.value).abs();
        assert!(error <= Online::RELATIVE_LIMIT * case.value, "{scale}");
        assert_eq!(f64::from(scale), case.value, "the file has all digits");
    }
}

#[test]
fn widening_relu2_and_argmax() {
    let misc = units().misc.unwrap();
    for (bits, value) in misc.bf16_to_f32 {
        assert_eq!(bf16_to_f32(bits).to_bits(), value.to_bits(), "{bits:04x}");
    }
    for (bits, value) in misc.f16_to_f32 {
        assert_eq!(f16_to_f32(bits).to_bits(), value.to_bits(), "{bits:04x}");
    }
    for (x, y) in misc.relu2 {
        let found = ops::relu2(f64::from(x)) as f32;
        assert_eq!(found.to_bits(), y.to_bits(), "{x}");
    }
    for (values, index) in misc.argmax {
        assert_eq!(ops::argmax(&values), Some(index));
    }
    assert_eq!(ops::argmax(&[1.0, f64::NAN]), None);
    assert_eq!(ops::argmax(&[]), None);
}
