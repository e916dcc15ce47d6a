//! Made-up answers of the trained model.

use bitgauge::run::{Agreement, DepthError, Estimate, KernelTexts, Likelihood, Measured, Scan};

/// Made up, and as it should be.
pub fn agreement() -> Agreement {
    let texts = |kernel: &str, isa: &str| KernelTexts {
        kernel: kernel.into(),
        isa: isa.into(),
        texts: 3,
        tokens: 141,
        unlike_naive: 0,
        as_oracle: 97,
        strict: 31,
        strict_missed: 0,
    };
    let scan = |what: &str, numbers| Scan {
        what: what.into(),
        kernels: 2,
        numbers,
        not_finite: 0,
        unlike_naive: 0,
    };
    let depth = |at: &str, median: f64| DepthError {
        at: at.into(),
        tokens: 83,
        median,
        p90: median * 3.3,
        worst: median * 47.0,
    };
    Agreement {
        texts: vec![texts("naive", "any"), texts("made-up-wide", "avx2")],
        scans: vec![scan("residual streams", 717), scan("logits", 171)],
        likelihood: Measured::Is(Likelihood {
            kernel: "made-up-wide".into(),
            predicted: 1717,
            bits_a_byte: 1.7171,
            oracle_bits_a_byte: 1.7177,
            perplexity: 3.287,
            oracle_perplexity: 3.289,
            difference: Measured::Is(Estimate {
                value: -0.000_313,
                low: -0.000_717,
                high: 0.000_119,
                level: 0.9577,
                blocks: 13,
            }),
            tolerance: 0.000_777,
        }),
        depth: Measured::Is(vec![
            depth("layer 0", 1.3e-6),
            depth("layer 1", 3.1e-5),
            depth("output head", 7.1e-4),
        ]),
    }
}
