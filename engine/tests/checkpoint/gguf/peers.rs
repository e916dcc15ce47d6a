//! Files that ik_llama.cpp wrote: `data/tiny-*.gguf`, by its `llama-quantize` of revision 8337e4cd
//! with `--output-tensor-type f16` and the type in each one's name, from a float32 file of this rule
//! that Python's `gguf` wrote. They hold no other weights than these.

use std::path::Path;

use bitgauge_engine::checkpoint::{Gguf, Linear, Norm, WeightScale};
use bitgauge_engine::model::Source;

/// The trit at a place of the linear that is the `of`-th of its layer.
fn trit(of: usize, row: usize, col: usize) -> i8 {
    if row % 11 == 10 {
        return 0;
    }
    ((7 * row + 3 * col + of * of + row * col % 5) % 3) as i8 - 1
}

#[test]
fn files_of_ik_llama_cpp_hold_what_they_were_made_from() {
    for kind in ["IQ1_BN", "IQ2_BN", "IQ2_BN_R4"] {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoint/gguf/data");
        let gguf = Gguf::open(&data.join(format!("tiny-{kind}.gguf"))).unwrap();
        assert_eq!(gguf.config().rope_theta, 10_000.0);
        for (of, linear) in Linear::ALL.into_iter().enumerate() {
            let (rows, cols) = linear.shape(gguf.config());
            let places = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
            let expected: Vec<_> = places.map(|(row, col)| trit(of, row, col)).collect();
            let scale = WeightScale::Multiply(0.5_f32.powi(of as i32 + 1));
            let found = gguf.linear(0, linear).unwrap();
            assert_eq!(found, (expected, scale), "{kind} {linear:?}");
        }
        let embedding = gguf.embedding().unwrap().into_f32();
        let expected = (0..8 * 64).map(|i| (i % 16 - 8) as f32 / 8.0);
        assert!(embedding.into_iter().eq(expected), "{kind}");
        assert_eq!(gguf.norm(0, Norm::FfnSub).unwrap(), [1.0; 128]);
    }
}
