//! Single operations of the engine against `units.json`.

use bitgauge_engine::checkpoint::{Checkpoint, Floats, quantize_weights, unpack_trits};
use bitgauge_engine::float;
use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Group, Model};
use bitgauge_engine::ops;
use bitgauge_engine::threads::Pool;
use bitgauge_engine::tiled::Tiled;

use super::check::{Book, Check, Differences, guarded};
use super::made::{self, Real, Tensor};
use crate::fixtures::units::{self, Units};

/// Judges every section that `units` has; what needs a product is done by each of `kernels`.
pub fn judge(units: &Units, kernels: &[Kernel], book: &mut Book<'_>) {
    let mut section = |id: &str, body: &mut dyn FnMut() -> Check| {
        let check = guarded(body).unwrap_or_else(|panic| Check::broken(id, panic));
        book.record(check);
    };
    if let Some(packing) = &units.packing {
        section("units/packing", &mut || judge_packing(packing));
    }
    if let Some(quantiser) = &units.quantiser {
        section("units/quantiser", &mut || judge_quantiser(quantiser));
    }
    if let Some(rmsnorm) = &units.rmsnorm {
        section("units/rmsnorm", &mut || judge_rmsnorm(&rmsnorm.cases));
    }
    if let Some(rope) = &units.rope {
        section("units/rope-frequencies", &mut || {
            judge_frequencies(&rope.cases)
        });
        section("units/rope", &mut || judge_rope(&rope.cases));
    }
    if let Some(softmax) = &units.softmax {
        section("units/softmax", &mut || judge_softmax(&softmax.cases));
    }
    if let Some(matvec) = &units.matvec {
        for &kernel in kernels {
            section("units/matvec-sums", &mut || {
                judge_sums(&matvec.cases, kernel).kernel(kernel)
            });
            for (id, class) in [
                ("units/matvec-multiply", "autobitlinear"),
                ("units/matvec-divide", "bitlinear"),
            ] {
                section(id, &mut || {
                    let figure = scaled_products(&matvec.cases, kernel, class);
                    let limit = units::Matvec::RELATIVE_LIMIT;
                    at_most(id, figure, limit).kernel(kernel).threads(1)
                });
            }
        }
    }
    if let Some(online) = &units.online {
        section("units/online", &mut || judge_online(&online.cases));
    }
    if let Some(misc) = &units.misc {
        section("units/misc", &mut || judge_misc(misc));
    }
}

/// A check of an error figure that may have no value.
fn at_most(id: &str, figure: Result<f64, String>, limit: f64) -> Check {
    match figure {
        Ok(figure) => Check::at_most(id, figure, limit),
        Err(why) => Check::broken(id, why),
    }
}

/// The largest of several figures, NaN if one is NaN.
fn worst(figures: impl IntoIterator<Item = f64>) -> f64 {
    let larger = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
    figures.into_iter().fold(0.0, larger)
}

fn judge_packing(packing: &units::Packing) -> Check {
    let mut differences = Differences::default();
    for case in &packing.cases {
        let got = unpack_trits(&case.packed).unwrap_or_default();
        let cols = case.cols;
        differences.add(&got, &case.trits, |i| {
            format!(
                "{} x {cols}, row {} column {}",
                case.rows,
                i / cols,
                i % cols
            )
        });
    }
    let invalid = |byte: &u8| unpack_trits(&[*byte]).is_err();
    let refused: Vec<u8> = (0..=255).filter(invalid).collect();
    differences.add(&refused, &packing.invalid_bytes, |i| {
        format!("refused byte {i}")
    });
    differences.add(&[256 - refused.len()], &[packing.valid_bytes], |_| {
        "number of valid bytes".into()
    });
    differences.check("units/packing")
}

fn judge_quantiser(quantiser: &units::Quantiser) -> Check {
    let mut differences = Differences::default();
    let mut input = Input::default();
    for case in &quantiser.cases {
        let name = &case.name;
        if let Err(error) = input.quantize(&case.x, case.x.len()) {
            differences.expect(false, || format!("{name}: {error}"));
            continue;
        }
        let quantized = input.quantized();
        let scale = quantized.scales()[0].to_bits();
        differences.add(&[scale], &[case.scale.to_bits()], |_| {
            format!("{name}: scale bits")
        });
        differences.add(quantized.row(0), &case.q, |i| format!("{name}: q[{i}]"));
        let sum = case.q.iter().map(|&q| i32::from(q)).sum();
        differences.add(quantized.sums(), &[sum], |_| format!("{name}: sum"));
    }
    for case in &quantiser.reject {
        let refused = input.quantize(&case.x, case.x.len()).is_err();
        differences.expect(refused, || format!("{} was quantised", case.name));
    }
    differences.check("units/quantiser")
}

/// Figures are fractions of each case's own limit.
fn judge_rmsnorm(cases: &[units::RmsNorm]) -> Check {
    let figures = cases.iter().map(|case| {
        let mut y = vec![f32::NAN; case.x.len()];
        ops::rms_norm(&case.x, &case.weight, case.eps as f32, &mut y);
        worst(errors(&y, &case.y)) / case.limit()
    });
    Check::at_most("units/rmsnorm", worst(figures), 1.0).note("in units of each case's limit")
}

/// Absolute errors; a missing value is one.
fn errors<'a>(got: &'a [f32], want: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let pairs = got.iter().zip(want);
    pairs
        .map(|(&got, want)| (f64::from(got) - want).abs())
        .chain(missing(got, want))
}

/// An error figure for values that have no counterpart.
fn missing(got: &[f32], want: &[f64]) -> Option<f64> {
    (got.len() != want.len()).then_some(f64::NAN)
}

fn judge_frequencies(cases: &[units::Rope]) -> Check {
    let figures = cases.iter().flat_map(|case| {
        let rope = ops::Rope::new(case.head_dim, case.theta as f32);
        let got = rope.inverse_frequencies().to_vec();
        assert_eq!(got.len(), case.inverse_frequencies.len(), "frequencies");
        let pairs = got.into_iter().zip(&case.inverse_frequencies);
        // Frequencies are positive, so their bits are ordered as they are.
        pairs
            .map(|(got, want)| f64::from(got.to_bits().abs_diff(want.to_bits())))
            .collect::<Vec<_>>()
    });
    let limit = f64::from(units::Rope::FREQUENCY_ULPS);
    Check::at_most("units/rope-frequencies", worst(figures), limit).note("in ulp")
}

fn judge_rope(cases: &[units::Rope]) -> Check {
    let figures = cases.iter().map(|case| {
        let rope = ops::Rope::new(case.head_dim, case.theta as f32);
        let mut angles = vec![(0.0, 0.0); case.head_dim / 2];
        rope.angles(case.position, &mut angles);
        let mut head = case.x.clone();
        ops::rotate(&mut head, &angles);
        worst(errors(&head, &case.y)) / case.limit()
    });
    Check::at_most("units/rope", worst(figures), 1.0).note("in units of each case's limit")
}

fn judge_softmax(cases: &[units::Softmax]) -> Check {
    let figures = cases.iter().map(|case| {
        let mut p: Vec<f32> = case.masked_scores().iter().map(|&s| s as f32).collect();
        float::softmax(&mut p);
        worst(errors(&p, &case.p))
    });
    Check::at_most("units/softmax", worst(figures), units::Softmax::LIMIT)
}

/// The integer products, from the packed bytes.
fn judge_sums(cases: &[units::Matvec], kernel: Kernel) -> Check {
    let mut differences = Differences::default();
    for case in cases {
        let name = format!("{} x {}", case.rows, case.cols);
        match sums(case, kernel) {
            Ok(sums) => differences.add(&sums, &case.accumulators, |n| format!("{name}: row {n}")),
            Err(error) => differences.expect(false, || format!("{name}: {error}")),
        }
    }
    differences.check("units/matvec-sums")
}

fn sums(case: &units::Matvec, kernel: Kernel) -> Result<Vec<i32>, String> {
    use bitgauge_engine::{matrix::Matrix, trits::Trits};
    let trits = unpack_trits(&case.packed).map_err(|e| e.to_string())?;
    let trits = Trits::new(case.rows, case.cols, trits).map_err(|e| e.to_string())?;
    let mut input = Input::default();
    input.set(&case.q, case.cols);
    input.prepare(kernel);
    let mut sums = vec![i32::MIN; case.rows];
    Matrix::pack(kernel, &trits).sums(&input, 0..case.rows, &mut sums);
    Ok(sums)
}

/// The worst relative error of a checkpoint's product in either linear class: the case's matrix is
/// written as a `down_proj`, loaded, packed and multiplied.
///
/// Inputs set as integers have scale 1, so the expected values are taken times the case's scale.
fn scaled_products(cases: &[units::Matvec], kernel: Kernel, class: &str) -> Result<f64, String> {
    let pool = Pool::new(1).map_err(|e| e.to_string())?;
    let mut figures = Vec::new();
    for case in cases {
        let shape = made::Shape {
            hidden: case.rows,
            intermediate: case.cols.next_multiple_of(4),
            ..made::Shape::SMALLEST
        };
        // The loader wants gate and up rows in fours, so K is padded with zero weights.
        let mut packed = Vec::new();
        for row in case.packed.chunks_exact(case.cols) {
            packed.extend_from_slice(row);
            packed.resize(packed.len() + shape.intermediate - case.cols, 0b0101_0101);
        }
        let down = "model.layers.0.mlp.down_proj.weight";
        let mut tensors = made::blank(&shape, Real::F32);
        made::replace(
            &mut tensors,
            Tensor::bytes(down, &[case.rows / 4, shape.intermediate], packed),
        );
        made::replace(
            &mut tensors,
            Tensor::reals(
                &format!("{down}_scale"),
                &[1],
                Real::F32,
                &[case.weight_scale],
            ),
        );
        let folder = made::write(&shape.config(class, "offline", true), &tensors)
            .map_err(|e| e.to_string())?;
        let checkpoint = Checkpoint::open(folder.path()).map_err(|e| e.to_string())?;
        let model = Model::load(&checkpoint, &kernel).map_err(|e| e.to_string())?;
        let mut q = case.q.clone();
        q.resize(shape.intermediate, 0);
        let mut input = Input::default();
        input.set(&q, shape.intermediate);
        input.prepare(kernel);
        let mut product = Tiled::default();
        let projection = model.layers()[0].projection(Group::Down);
        projection.multiply(&input, &pool, &mut Vec::new(), &mut product);
        let y = product.in_order().ok_or("not the product of one token")?;
        let want = match class {
            "bitlinear" => &case.y_divide,
            _ => &case.y_multiply,
        };
        let scale = f64::from(case.activation_scale);
        let relative = |(&got, want): (&f32, &f64)| {
            let want = want * scale;
            let error = (f64::from(got) - want).abs();
            if error == 0.0 {
                0.0
            } else {
                error / want.abs()
            }
        };
        let errors = y.iter().zip(want).map(relative);
        figures.push(worst(errors.chain(missing(y, want))));
    }
    Ok(worst(figures))
}

fn judge_online(cases: &[units::Online]) -> Check {
    let mut differences = Differences::default();
    let mut scale_errors = Vec::new();
    for case in cases {
        let name = format!("{} x {}", case.rows, case.cols);
        let (trits, scale) = quantize_weights(&Floats::F32(case.weights.clone().into()));
        differences.add(&trits, &case.trits, |i| format!("{name}: weight {i}"));
        let error = (f64::from(scale) - case.value).abs() / case.value;
        scale_errors.push(error);
    }
    let limit = units::Online::RELATIVE_LIMIT;
    let worst = worst(scale_errors);
    differences.expect(worst <= limit, || {
        format!("a scale is off by {worst:.2e}, limit {limit:.1e}")
    });
    differences.check("units/online")
}

fn judge_misc(misc: &units::Misc) -> Check {
    let mut differences = Differences::default();
    let halves = [
        (Real::Bf16, &misc.bf16_to_f32),
        (Real::F16, &misc.f16_to_f32),
    ];
    for (real, pairs) in halves {
        let (bits, want): (Vec<u16>, Vec<f32>) = pairs.iter().copied().unzip();
        let got = match widened(real, &bits) {
            Ok(got) => got,
            Err(error) => {
                differences.expect(false, || format!("{real:?}: {error}"));
                continue;
            }
        };
        let got: Vec<u32> = got.iter().map(|v| v.to_bits()).collect();
        let want: Vec<u32> = want.iter().map(|v| v.to_bits()).collect();
        differences.add(&got, &want, |i| format!("{real:?} {:#06x}", bits[i]));
    }
    for &(x, want) in &misc.relu2 {
        let mut gate = [x];
        float::relu2(&mut gate, &[1.0]);
        differences.add(&gate, &[want], |_| format!("relu2({x})"));
    }
    for (values, want) in &misc.argmax {
        let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        let got = ops::argmax(&values);
        differences.expect(got == Some(*want), || {
            format!("argmax of {values:?} is {got:?}")
        });
    }
    differences.check("units/misc")
}

/// 16-bit values as the loader widens them: written as the final norm of a checkpoint.
fn widened(real: Real, bits: &[u16]) -> Result<Vec<f32>, String> {
    let padded = bits.len().next_multiple_of(4);
    let shape = made::Shape {
        hidden: padded,
        ..made::Shape::SMALLEST
    };
    let mut bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
    bytes.resize(2 * padded, 0);
    let mut tensors = made::blank(&shape, Real::F32);
    made::replace(
        &mut tensors,
        Tensor {
            name: "model.norm.weight".into(),
            dtype: real.name(),
            shape: vec![padded],
            bytes,
        },
    );
    let config = shape.config("autobitlinear", "offline", true);
    let folder = made::write(&config, &tensors).map_err(|e| e.to_string())?;
    let checkpoint = Checkpoint::open(folder.path()).map_err(|e| e.to_string())?;
    let mut norm = checkpoint.final_norm().map_err(|e| e.to_string())?;
    norm.truncate(bits.len());
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_missing_from_the_fixture_is_an_error() {
        let mut case = units::Matvec {
            rows: 4,
            cols: 4,
            packed: vec![0b0101_0110, 0b0101_0101, 0b0101_0101, 0b0101_0101],
            q: vec![3, 0, 0, 0],
            accumulators: vec![3, 0, 0, 0],
            activation_scale: 2.0,
            weight_scale: 0.5,
            y_multiply: vec![0.75, 0.0, 0.0, 0.0],
            y_divide: Vec::new(),
        };
        let figure = |case: &units::Matvec| {
            let case = std::slice::from_ref(case);
            scaled_products(case, Kernel::by_name("naive").unwrap(), "autobitlinear").unwrap()
        };
        assert_eq!(figure(&case), 0.0);
        case.y_multiply.truncate(1);
        assert!(figure(&case).is_nan());
        case.y_multiply.clear();
        assert!(figure(&case).is_nan());
    }
}
