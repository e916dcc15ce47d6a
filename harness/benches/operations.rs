//! The operations between the products. See README.md for the names.

mod common;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

use common::operations::{self as judged, HEAD_DIM, HEAD_ROWS, HEADS, KV_HEADS, WIDTHS};
use common::settings;

/// `make` judges the operation; it is called when the benchmark runs, once.
fn bench<F: FnMut()>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: usize,
    (elements, bytes): (usize, usize),
    make: impl Fn() -> F,
) {
    group.throughput(Throughput::ElementsAndBytes {
        elements: elements as u64,
        bytes: bytes as u64,
    });
    let mut ready = None;
    group.bench_function(name.to_string(), |b| {
        b.iter(ready.get_or_insert_with(&make));
    });
}

fn row(elements: usize) -> (usize, usize) {
    (elements, 4 * elements)
}

fn attention(c: &mut Criterion) {
    for (phase, tokens, contexts) in [
        ("decode", 1, &[128, 1024, 4096][..]),
        ("prefill", 32, &[1024]),
    ] {
        let mut group = c.benchmark_group(format!("attention/2b4t/{phase}"));
        for &context in contexts {
            // Token t of the batch sees all but the tokens after it.
            let seen: usize = (0..tokens).map(|t| context - t).sum();
            let work = (
                seen * HEADS * HEAD_DIM * 2,
                seen * KV_HEADS * HEAD_DIM * 2 * size_of::<f32>(),
            );
            let make = || judged::attention(context, tokens);
            bench(&mut group, context, work, make);
        }
    }
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("softmax");
    for n in [128, 1024, 4096] {
        bench(&mut group, n, row(n), || judged::softmax(n));
    }
    group.finish();
    let mut group = c.benchmark_group("norm");
    for n in WIDTHS {
        bench(&mut group, n, row(n), || judged::norm(n));
    }
    group.finish();
    let mut group = c.benchmark_group("quantize");
    for n in WIDTHS {
        bench(&mut group, n, row(n), || judged::quantize(n));
    }
    group.finish();
    let n = WIDTHS[1];
    let mut group = c.benchmark_group("relu2");
    bench(&mut group, n, row(2 * n), || judged::relu2(n));
}

fn rope(c: &mut Criterion) {
    let work = (HEAD_DIM / 2, 4 * HEAD_DIM);
    let mut group = c.benchmark_group("rope/angles");
    bench(&mut group, HEAD_DIM, work, judged::rope_angles);
    group.finish();
    let mut group = c.benchmark_group("rope/rotate");
    bench(&mut group, HEAD_DIM, work, judged::rope_rotate);
}

fn head(c: &mut Criterion) {
    let n = WIDTHS[0];
    let mut group = c.benchmark_group("head");
    let work = (HEAD_ROWS * n, 2 * HEAD_ROWS * n);
    bench(&mut group, n, work, || judged::head(n));
}

criterion_group! {
    name = operations;
    config = settings();
    targets = attention, rows, rope, head
}
criterion_main!(operations);
