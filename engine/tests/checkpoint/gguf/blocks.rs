//! Blocks worked out by hand from the documented layouts.

use bitgauge_engine::checkpoint::{Linear, WeightScale};
use bitgauge_engine::model::Source;

use super::file::{F16, F32, File, I2_S, Q6_K, Q8_0, TQ1_0, TQ2_0, floats};
use super::{Stored, small};

/// A small model whose query projection starts with these bytes, before blocks of zeros.
fn with_q(kind: u32, first: &[u8], zeros: &[u8], blocks: usize, tail: &[u8]) -> File {
    let mut file = small();
    let q = file.tensor("blk.0.attn_q.weight");
    q.kind = kind;
    q.data = [first, &zeros.repeat(blocks), tail].concat();
    file
}

/// The scale and the trits that are not zero, by their places.
fn q(file: &File) -> (f32, Vec<(usize, i8)>) {
    let stored = Stored::new(&file.bytes());
    let (trits, scale) = stored.open().unwrap().linear(0, Linear::Q).unwrap();
    assert_eq!(trits.len(), 256 * 256);
    let WeightScale::Multiply(scale) = scale else {
        panic!("scales multiply");
    };
    let places = trits.into_iter().enumerate().filter(|&(_, trit)| trit != 0);
    (scale, places.collect())
}

#[test]
fn i2_s() {
    let mut first = [0x55; 64];
    first[3] = 0b10_01_00_10;
    first[32] = 0b00_01_01_01;
    let tail = [&0.75_f32.to_le_bytes()[..], &[0xee; 28]].concat();
    let file = with_q(I2_S, &first, &[0x55; 64], 255, &tail);
    let places = vec![(3, 1), (67, -1), (99, 1), (128, -1)];
    assert_eq!(q(&file), (0.75, places));
}

#[test]
fn tq2_0() {
    let mut first = [0x55; 66];
    first[0] = 0b10_01_00_10;
    first[37] = 0b01_01_10_00;
    first[64..].copy_from_slice(&[0x00, 0x3a]);
    let zeros = [&[0x55; 64][..], &[0, 0]].concat();
    let file = with_q(TQ2_0, &first, &zeros, 255, &[]);
    let places = vec![(0, 1), (32, -1), (96, 1), (133, -1), (165, 1)];
    assert_eq!(q(&file), (0.75, places));
}

#[test]
fn tq1_0() {
    // Digits 1 1 1 1 1 make 121, and 121 * 256 / 243 = 127.5; 1 1 1 1 0 make 120 and 126.4.
    let zeros = [&[128; 48][..], &[127; 4], &[0, 0]].concat();
    let mut first = zeros.clone();
    // 1 2 0 0 1: 81 + 54 + 1 = 136, and 136 * 256 / 243 = 143.3.
    first[0] = 144;
    // 0 1 2 1 0: 27 + 18 + 3 = 48, and 50.6.
    first[33] = 51;
    // 2 0 1 1 0: 162 + 9 + 3 = 174, and 183.3.
    first[50] = 184;
    first[52..].copy_from_slice(&[0x00, 0x3a]);
    let file = with_q(TQ1_0, &first, &zeros, 255, &[]);
    let places = vec![
        (32, 1),
        (64, -1),
        (96, -1),
        (161, -1),
        (193, 1),
        (225, -1),
        (242, 1),
        (246, -1),
    ];
    assert_eq!(q(&file), (0.75, places));
}

#[test]
fn ternary_floats() {
    let mut values = vec![0.0; 256 * 256];
    values[7] = -0.75;
    values[300] = 0.75;
    values[301] = -0.0;
    for kind in [F16, F32] {
        let file = with_q(kind, &floats(kind, &values), &[], 0, &[]);
        assert_eq!(q(&file), (0.75, vec![(7, -1), (300, 1)]));
    }
}

#[test]
fn a_matrix_of_zeros_needs_no_scale() {
    for (kind, zeros, tail) in [
        (TQ2_0, [&[0x55; 64][..], &[0, 0]].concat(), 0),
        (I2_S, vec![0x55; 64], 32),
        (F32, vec![0; 1024], 0),
    ] {
        let file = with_q(kind, &[], &zeros, 256, &vec![0; tail]);
        assert_eq!(q(&file), (1.0, Vec::new()));
    }
}

fn embedding(kind: u32, first: &[u8], rest: usize) -> Vec<f32> {
    let mut file = small();
    let tensor = file.tensor("token_embd.weight");
    tensor.kind = kind;
    tensor.data = [first, &vec![0; rest]].concat();
    let stored = Stored::new(&file.bytes());
    let values = stored.open().unwrap().embedding().unwrap().into_f32();
    assert_eq!(values.len(), 512);
    values
}

#[test]
fn q8_0() {
    let mut block = [0; 34];
    block[..2].copy_from_slice(&[0x00, 0x38]);
    block[2] = -128_i8 as u8;
    block[33] = 3;
    let values = embedding(Q8_0, &block, 15 * 34);
    assert_eq!(
        (values[0], values[1], values[31], values[32]),
        (-64.0, 0.0, 1.5, 0.0)
    );
}

#[test]
fn q6_k() {
    let mut block = [0; 210];
    // Low bits: 10 for value 0, 3 for value 64; 15 for value 133.
    block[0] = 0x3a;
    block[64 + 5] = 0x0f;
    // High bits: 0, 2, 1 and 3 for values 0, 32, 64 and 96; 3 for value 133.
    block[128] = 0b11_01_10_00;
    block[128 + 32 + 5] = 0b11;
    // Scales of values 0.., 64.., 96.. and 128..
    block[192] = 1;
    block[192 + 4] = -2_i8 as u8;
    block[192 + 6] = 3;
    block[192 + 8] = 127;
    block[208..].copy_from_slice(&[0x00, 0x40]);
    let values = embedding(Q6_K, &block, 210);
    let worked = [
        (0, -22.0),
        (32, 0.0),
        (64, -2.0 * -13.0),
        (96, 3.0 * 16.0),
        (133, 127.0 * 31.0),
    ];
    for (i, expected) in worked {
        assert_eq!(values[i], 2.0 * expected, "value {i}");
    }
    // Bits of zero are -32, times the scale of their sixteen.
    assert_eq!(
        (values[1], values[16], values[256]),
        (2.0 * -32.0, 0.0, 0.0)
    );
}
