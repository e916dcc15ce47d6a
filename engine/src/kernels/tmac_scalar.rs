//! T-MAC without vectors: tables of partial sums of activations, indexed by groups of trits.

use std::ops::Range;

use super::layout::{self, Layout, Place};
use super::{Operands, Packing, Spec};
use crate::aligned::Aligned;
use crate::input::Quantized;
use crate::prefetch;
use crate::trits::Trits;

pub(super) const SPEC: Spec = Spec::scalar(
    "tmac-scalar",
    "five trits a byte index a table of the 243 sums of five activations",
    8.0 / GROUP as f64,
    1,
    Packing::LaidOut(Layout {
        bytes: |rows, cols| rows * words(cols) * WORD,
        pack,
        code,
        sound: |bytes| layout::all(bytes, |index| index < 243),
    }),
    prepare,
    rows,
);

/// Trits of one index: 3^5 = 243 fit in a byte.
const GROUP: usize = 5;
/// Indices read at once.
const WORD: usize = 8;
/// Words of one row that are summed before the next row's: their tables stay in L1 (24 KiB), and
/// the sums of their 48 groups in int16 (51 at most: a table entry reaches 5 * 128).
const BLOCK: usize = 6;

/// How far ahead of its use the weights are asked for, in bytes.
const AHEAD: usize = 2048;
/// Tokens of a batch, side by side in each entry of its tables.
const BATCH: usize = 8;

type Word = [u8; WORD];
/// One token: sums by index. Filled up to 256, so that no index needs a check.
type Table = [[i16; 1]; 256];
/// A batch: sums by the low three trits of an index, and by the other two from [`HIGH`] on. All
/// tables of a batch are read again every few rows, so 48 entries serve better than 256.
type BatchTable = [[i16; BATCH]; 48];
/// Where the sums of an index' last two trits begin.
const HIGH: usize = 32;
/// Places in a [`BatchTable`] of the two parts of an index.
static PARTS: [[u8; 2]; 256] = {
    let mut parts = [[0; 2]; 256];
    let mut i = 0;
    while i < 243 {
        parts[i] = [(i % 27) as u8, (i / 27) as u8];
        i += 1;
    }
    parts
};

fn words(cols: usize) -> usize {
    cols.div_ceil(GROUP * WORD)
}

/// Blocks of [`BLOCK`] words (the last may be shorter), in each the words of all rows.
fn pack(trits: &Trits, packed: &mut [u8]) {
    let rows = trits.rows();
    let blocks = bytemuck::cast_slice_mut::<u8, Word>(packed)
        .chunks_mut(rows * BLOCK)
        .enumerate();
    for (b, block) in blocks {
        let width = block.len() / rows;
        for (n, row) in block.chunks_exact_mut(width).enumerate() {
            let row = row.as_flattened_mut();
            let trits = &trits.row(n)[b * BLOCK * WORD * GROUP..];
            for (index, group) in row.iter_mut().zip(trits.chunks(GROUP)) {
                *index = group.iter().rev().fold(0, |i, &w| 3 * i + (w + 1) as u8);
            }
        }
    }
}

/// The reverse of [`pack`].
fn code(weights: &[u8], at: Place) -> u8 {
    let (words, group) = (words(at.cols), at.k / GROUP);
    let block = group / (BLOCK * WORD) * BLOCK;
    let width = BLOCK.min(words - block);
    let index = (at.rows * block + at.n * width) * WORD + group - block * WORD;
    layout::digit(weights[index], at.k % GROUP)
}

fn prepare(quantized: &Quantized, tables: &mut Aligned) {
    let groups = words(quantized.cols()) * WORD;
    let tokens = quantized.tokens();
    if tokens == 1 {
        tables.reserve(groups * size_of::<Table>());
        for (g, table) in (0..groups).zip(tables.as_mut_slice::<[i16; 1]>().chunks_exact_mut(256)) {
            fill(&group(quantized, 0, g), table);
        }
        return;
    }
    let batches = tokens.div_ceil(BATCH);
    tables.reserve(batches * groups * size_of::<BatchTable>());
    let (tables, _) = tables.as_mut_slice::<[i16; BATCH]>().as_chunks_mut::<48>();
    for (b, tables) in (0..batches).zip(tables.chunks_exact_mut(groups)) {
        for (g, table) in tables.iter_mut().enumerate() {
            let group = group(quantized, b * BATCH, g);
            let (low, high) = table.split_at_mut(HIGH);
            fill(&group[..3], low);
            fill(&group[3..], high);
        }
    }
}

/// Activations of group `g`, of `T` tokens from `first` on; zero where there are none.
fn group<const T: usize>(quantized: &Quantized, first: usize, g: usize) -> [[i16; T]; GROUP] {
    let mut group = [[0; T]; GROUP];
    for t in first..quantized.tokens().min(first + T) {
        for (q, &value) in group
            .iter_mut()
            .zip(quantized.row(t).iter().skip(g * GROUP))
        {
            q[t - first] = i16::from(value);
        }
    }
    group
}

/// `table[i]` is the sum over j of `(digit j of i in base 3, minus 1) * q[j]`, for each token.
fn fill<const T: usize>(q: &[[i16; T]], table: &mut [[i16; T]]) {
    table[0] = [0; T];
    for q in q {
        table[0] = std::array::from_fn(|t| table[0][t] - q[t]);
    }
    let mut known = 1;
    for q in q {
        let (low, rest) = table.split_at_mut(known);
        let (middle, high) = rest.split_at_mut(known);
        for ((low, middle), high) in low.iter().zip(middle).zip(high) {
            for t in 0..T {
                middle[t] = low[t] + q[t];
                high[t] = low[t] + 2 * q[t];
            }
        }
        known *= 3;
    }
}

fn rows(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    let words = words(op.cols);
    let groups = words * WORD;
    let tokens = op.quantized.tokens();
    let (weights, _) = op.weights[..op.rows * groups].as_chunks::<WORD>();
    out.fill(0);
    for (b, block) in weights.chunks(op.rows * BLOCK).enumerate() {
        let width = block.len() / op.rows;
        let rows = block[range.start * width..range.end * width].chunks_exact(width);
        let (at, count) = (b * BLOCK * WORD, width * WORD);
        if tokens == 1 {
            let (tables, _) = op.tables.as_slice::<[i16; 1]>().as_chunks::<256>();
            let tables = &tables[at..][..count];
            for (sum, row) in out.iter_mut().zip(rows) {
                prefetch::ahead::<_, AHEAD>(&row[0]);
                *sum += i32::from(look_up(row, tables));
            }
            continue;
        }
        let (tables, _) = op.tables.as_slice::<[i16; BATCH]>().as_chunks::<48>();
        for first in (0..tokens).step_by(BATCH) {
            let tables = &tables[first / BATCH * groups + at..][..count];
            let batch = first..tokens.min(first + BATCH);
            for (out, row) in out.chunks_exact_mut(tokens).zip(rows.clone()) {
                let sums = look_up_batch(row, tables);
                for (out, sum) in out[batch.clone()].iter_mut().zip(sums) {
                    *out += i32::from(sum);
                }
            }
        }
    }
}

fn look_up(words: &[Word], tables: &[Table]) -> i16 {
    let mut sum = 0;
    for (word, tables) in words.iter().zip(tables.as_chunks::<WORD>().0) {
        // One tree of additions a word: of separate running sums the compiler would make a vector,
        // and fill it element by element.
        let word = u64::from_le_bytes(*word);
        let entry = |j: usize| tables[j][usize::from((word >> (8 * j)) as u8)][0];
        let low = (entry(0) + entry(1)) + (entry(2) + entry(3));
        let high = (entry(4) + entry(5)) + (entry(6) + entry(7));
        sum += low + high;
    }
    sum
}

fn look_up_batch(words: &[Word], tables: &[BatchTable]) -> [i16; BATCH] {
    let mut sums = [0; BATCH];
    for (&index, table) in words.as_flattened().iter().zip(tables) {
        let [low, high] = PARTS[usize::from(index)].map(usize::from);
        let (low, high) = (&table[low % HIGH], &table[HIGH + high % 16]);
        for t in 0..BATCH {
            sums[t] += low[t] + high[t];
        }
    }
    sums
}
