//! Grouped-query attention and the KV cache that it reads.

use std::cell::RefCell;
use std::ops::Range;

use crate::Error;
use crate::buffer::Buffer;
use crate::float;
use crate::ops;
use crate::threads::{Scheduler, Work};

/// Keys (rotated) and values of one layer, float32: `[kv head][position][d]`.
#[derive(Clone)]
pub struct LayerCache {
    keys: Buffer<f32>,
    values: Buffer<f32>,
    capacity: usize,
    head_dim: usize,
}

impl LayerCache {
    /// Room for `capacity` positions of `kv_heads` heads. The memory is touched as it fills.
    ///
    /// # Errors
    /// When there can't be so much.
    pub fn new(kv_heads: usize, head_dim: usize, capacity: usize) -> Result<Self, Error> {
        let zeroed = || {
            let len = kv_heads.checked_mul(head_dim)?.checked_mul(capacity)?;
            Buffer::sparse(len)
        };
        match (zeroed(), zeroed()) {
            (Some(keys), Some(values)) => Ok(Self {
                keys,
                values,
                capacity,
                head_dim,
            }),
            _ => Err(Error::CacheMemory {
                positions: capacity,
            }),
        }
    }

    /// Stores one position: `key` is `[kv head][d]`, rotated here, and so is `value`, kept as it is.
    pub fn store(&mut self, position: usize, key: &[f32], value: &[f32], angles: &[(f32, f32)]) {
        let d = self.head_dim;
        for (head, (k, v)) in key.chunks_exact(d).zip(value.chunks_exact(d)).enumerate() {
            let at = (head * self.capacity + position) * d;
            let slot = &mut self.keys[at..at + d];
            slot.copy_from_slice(k);
            ops::rotate(slot, angles);
            self.values[at..at + d].copy_from_slice(v);
        }
    }

    fn span(&self, head: usize, positions: usize) -> Range<usize> {
        let start = head * self.capacity * self.head_dim;
        start..start + positions * self.head_dim
    }
}

/// Attention of a batch of tokens that begin at position `start`, all of which are cached.
///
/// `queries` and `out` are `[token][head][d]`; `queries` are rotated already. Query head `h` of
/// `heads` reads key/value head `h / (heads / kv_heads)`. Items are (token, head) pairs.
pub fn attend(
    cache: &LayerCache,
    queries: &[f32],
    out: &mut [f32],
    heads: usize,
    kv_heads: usize,
    start: usize,
    scheduler: &dyn Scheduler,
) {
    thread_local! {
        static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    let d = cache.head_dim;
    let scale = (1.0 / (d as f64).sqrt()) as f32;
    let tokens = queries.len() / (heads * d);
    let bytes = 2 * (start + tokens) * d * size_of::<f32>();
    scheduler.run(
        Work {
            out,
            width: d,
            grain: 1,
            bytes,
        },
        &|items, out| {
            SCORES.with_borrow_mut(|scores| {
                for (item, out) in items.zip(out.chunks_exact_mut(d)) {
                    let (token, head) = (item / heads, item % heads);
                    let query = &queries[item * d..][..d];
                    let span = cache.span(head / (heads / kv_heads), start + token + 1);
                    let keys = cache.keys[span.clone()].chunks_exact(d);
                    scores.clear();
                    scores.extend(keys.map(|key| float::dot(key, query) * scale));
                    float::softmax(scores);
                    out.fill(0.0);
                    for (&p, value) in scores.iter().zip(cache.values[span].chunks_exact(d)) {
                        float::add_scaled(out, p, value);
                    }
                }
            });
        },
    );
}
