//! Every kernel of the table on every shape, in both phases. See README.md for the names.

mod common;

use std::cell::LazyCell;
use std::hint::black_box;

use bitgauge_engine::kernels::available;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

use common::products::{Operands, PHASES, SHAPES};
use common::settings;

/// Samples of each phase.
const SAMPLES: [usize; PHASES.len()] = [20, 10];

fn products(c: &mut Criterion) {
    for (shape, rows, cols) in SHAPES {
        let operands = LazyCell::new(|| Operands::new(rows, cols));
        for kernel in available() {
            let spec = kernel.spec();
            let matrix = LazyCell::new(|| operands.pack(kernel));
            let mut group = c.benchmark_group(format!("kernel/{}/{shape}", spec.name()));
            group.sampling_mode(SamplingMode::Flat);
            for (phase, (name, tokens)) in PHASES.into_iter().enumerate() {
                let ready = LazyCell::new(|| operands.judged(&matrix, phase));
                let bytes = (rows * cols) as f64 * spec.bits_per_weight() / 8.0;
                group.sample_size(SAMPLES[phase]);
                group.throughput(Throughput::ElementsAndBytes {
                    elements: (rows * cols * tokens) as u64,
                    bytes: bytes as u64,
                });
                group.bench_function(name, |b| {
                    let mut sums = vec![0; rows * tokens];
                    let (matrix, input) = (&*matrix, &*ready);
                    b.iter(|| matrix.sums(black_box(input), 0..rows, black_box(&mut sums)));
                });
            }
        }
    }
}

fn preparation(c: &mut Criterion) {
    let mut widths = SHAPES.map(|(_, _, cols)| cols).to_vec();
    widths.sort_unstable();
    widths.dedup();
    for cols in widths {
        let operands = LazyCell::new(|| Operands::new(8, cols));
        for kernel in available() {
            let mut group = c.benchmark_group(format!("prepare/{}/{cols}", kernel.spec().name()));
            for (name, tokens) in PHASES {
                group.throughput(Throughput::ElementsAndBytes {
                    elements: (tokens * cols) as u64,
                    bytes: (tokens * cols) as u64,
                });
                group.bench_function(name, |b| {
                    let mut input = operands.input(tokens);
                    let q = operands.activations(tokens);
                    b.iter(|| {
                        input.set(black_box(q), cols);
                        input.prepare(kernel);
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = kernels;
    config = settings();
    targets = products, preparation
}
criterion_main!(kernels);
