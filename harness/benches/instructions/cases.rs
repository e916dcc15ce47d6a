//! What is counted: the cases of the other suites, each one iteration, on slices that Valgrind
//! can walk in seconds.

use std::hint::black_box;

use bitgauge_engine::kernels::{Kernel, KernelError, Spec, TABLE};

use crate::common::operations::{self, WIDTHS};
use crate::common::products::{Operands, PHASES, SHAPES};

/// Most rows of a matrix. A kernel does the same for each tile of rows, so a slice tells all; and
/// shapes that differ in rows alone would be the same case.
const ROWS: usize = 128;

/// Shapes that are counted: one a width.
const COUNTED: [&str; 3] = ["o", "down", "small"];

/// A case that was judged, ready to do one iteration.
pub type Ready = Box<dyn FnMut()>;

/// One case, by its name in README.md.
pub struct Case {
    pub name: String,
    /// The kernel that it needs; `None` for operations, which use the best instructions there are.
    pub kernel: Option<&'static Spec>,
    /// Holds it against the oracle; ends the process if it is wrong.
    pub make: Box<dyn FnOnce() -> Result<Ready, KernelError>>,
}

/// Every case, those included that can't run here.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for spec in TABLE {
        cases.extend(of_kernel(spec));
    }
    cases.extend(operations());
    cases
}

fn of_kernel(spec: &'static Spec) -> impl Iterator<Item = Case> {
    let shapes = SHAPES
        .into_iter()
        .filter(|(shape, _, _)| COUNTED.contains(shape));
    let kernel = move |name: String, make: Box<dyn FnOnce(Kernel) -> Ready>| Case {
        name,
        kernel: Some(spec),
        make: Box::new(move || Kernel::new(spec).map(make)),
    };
    shapes.flat_map(move |(shape, rows, cols)| {
        let rows = rows.min(ROWS);
        let phases = PHASES.into_iter().enumerate();
        phases.flat_map(move |(phase, (name, _))| {
            let product = kernel(
                format!("kernel/{}/{shape}/{name}", spec.name()),
                Box::new(move |kernel| product(kernel, rows, cols, phase)),
            );
            let prepare = kernel(
                format!("prepare/{}/{cols}/{name}", spec.name()),
                Box::new(move |kernel| preparation(kernel, cols, phase)),
            );
            [product, prepare]
        })
    })
}

fn product(kernel: Kernel, rows: usize, cols: usize, phase: usize) -> Ready {
    let operands = Operands::new(rows, cols);
    let matrix = operands.pack(kernel);
    let input = operands.judged(&matrix, phase);
    let mut sums = vec![0; rows * PHASES[phase].1];
    Box::new(move || matrix.sums(black_box(&input), 0..rows, black_box(&mut sums)))
}

/// Judged by the sums of a product that reads what was prepared.
fn preparation(kernel: Kernel, cols: usize, phase: usize) -> Ready {
    let operands = Operands::new(8, cols);
    let mut input = operands.judged(&operands.pack(kernel), phase);
    let tokens = PHASES[phase].1;
    Box::new(move || {
        input.set(black_box(operands.activations(tokens)), cols);
        input.prepare(kernel);
    })
}

fn operations() -> Vec<Case> {
    fn case<F: FnMut() + 'static>(name: String, make: impl FnOnce() -> F + 'static) -> Case {
        Case {
            name,
            kernel: None,
            make: Box::new(move || Ok(Box::new(make()))),
        }
    }
    let mut cases = Vec::new();
    for (phase, tokens, context) in [
        ("decode", 1, 128),
        ("decode", 1, 1024),
        ("prefill", 32, 128),
    ] {
        cases.push(case(
            format!("attention/2b4t/{phase}/{context}"),
            move || operations::attention(context, tokens),
        ));
    }
    for n in [128, 1024, 4096] {
        cases.push(case(format!("softmax/{n}"), move || operations::softmax(n)));
    }
    for n in WIDTHS {
        cases.push(case(format!("norm/{n}"), move || operations::norm(n)));
        cases.push(case(format!("quantize/{n}"), move || {
            operations::quantize(n)
        }));
    }
    let [hidden, ffn] = WIDTHS;
    cases.push(case(format!("relu2/{ffn}"), move || operations::relu2(ffn)));
    cases.push(case("rope/angles/128".into(), operations::rope_angles));
    cases.push(case("rope/rotate/128".into(), operations::rope_rotate));
    cases.push(case(format!("head/{hidden}"), move || {
        operations::head(hidden)
    }));
    cases
}
