//! What the machine can do, and how far from it products and tokens are.

use bitgauge::run::{Measured, Origin, Product, Run, WholeToken, Yardstick, Yardsticks};

use super::around;

pub(super) fn add(run: &mut Run) {
    let yard = |isa: &str, threads, value| Yardstick {
        isa: isa.into(),
        threads,
        value: Measured::Is(around(value)),
    };
    run.yardsticks = Measured::Is(Yardsticks {
        read_bandwidth: vec![yard("avx2", 1, 9.09), yard("avx2", 2, 17.7)],
        int8_peak: vec![
            yard("avx2", 1, 212.0),
            Yardstick {
                isa: "amx".into(),
                threads: 1,
                value: Measured::unavailable("no such instructions"),
            },
        ],
        issue: vec![yard("256 bits", 1, 5.5)],
        naive: vec![yard("any", 1, 2.22)],
    });
    run.products = Measured::Is(products());
    run.tokens = Measured::Is(tokens());
}

fn products() -> Vec<Product> {
    [
        ("q_proj", 2560, 2560),
        ("k_proj", 640, 2560),
        ("gate_proj", 6912, 2560),
        ("down_proj", 2560, 6912),
    ]
    .into_iter()
    .enumerate()
    .flat_map(|(i, (name, n, k))| {
        [
            ("made-up-wide", 2.0, 1),
            ("made-up-wide", 2.0, 2),
            ("naive", 8.0, 1),
        ]
        .map(move |(kernel, bits_per_weight, threads)| {
            let gb_s = if kernel == "naive" {
                0.37
            } else {
                5.1 + i as f64
            } * threads as f64
                * 0.9;
            Product {
                name: name.into(),
                n,
                k,
                kernel: kernel.into(),
                origin: (threads == 2).then_some(Origin::Tuned),
                threads,
                us: Measured::Is(around(n as f64 * k as f64 / gb_s / 4000.0)),
                gb_s: Measured::Is(gb_s),
                gweights_s: Measured::Is(gb_s * 4.0),
                percent_of_bandwidth: Measured::Is(gb_s * 5.5),
                issue_gb_s: match kernel {
                    "naive" => Measured::unavailable("no vectors"),
                    _ => Measured::Is(around(11.25 * threads as f64)),
                },
                gops: Measured::Is(gb_s * 8.0),
                bits_per_weight,
            }
        })
    })
    .collect()
}

fn tokens() -> Vec<WholeToken> {
    let token = |choice: &str, threads, token_s: f64, head_bytes, parts| WholeToken {
        choice: choice.into(),
        threads,
        token_s: Measured::Is(around(token_s)),
        bytes: 417_000_000 + head_bytes,
        head_bytes,
        gb_s: Measured::Is(token_s * 0.61),
        percent_of_bandwidth: Measured::Is(token_s * 3.33),
        parts_percent: Measured::Is(parts),
    };
    vec![
        token("all logits", 1, 9.7, 656_000_000, 99.1),
        token("greedy, quantised head", 1, 14.9, 171_000_000, 98.3),
        token("all logits", 2, 17.3, 656_000_000, 97.6),
    ]
}
