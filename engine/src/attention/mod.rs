//! Grouped-query attention over a KV cache.

mod cache;
mod products;

use std::ops::Range;

pub use cache::{CacheFormat, LayerCache, UnknownFormat};

use crate::buffer::Buffer;
use crate::float::{self, Peak};
use crate::threads::{Scheduler, Work};
use products::QUERIES;

/// Positions are taken in chunks of so many, each with a softmax of its own. Which thread takes a
/// chunk does not matter; where one ends is part of the result's bits.
pub const CHUNK: usize = 256;

/// Results of chunks, by token, that are held at once.
const HELD: usize = 64;

/// What a batch of tokens asks of a layer's cache.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// Holds the batch's own positions too.
    pub cache: &'a LayerCache,
    /// `[token][head][d]`, rotated.
    pub queries: &'a [f32],
    /// Query heads; head `h` reads key/value head `h / (heads / kv_heads)`.
    pub heads: usize,
    /// Position of the first token.
    pub start: usize,
}

impl Batch<'_> {
    /// Tokens of the batch.
    pub fn tokens(&self) -> usize {
        self.queries.len() / (self.heads * self.cache.head_dim())
    }

    /// Query heads that share a key/value head.
    pub fn group(&self) -> usize {
        self.heads / self.cache.kv_heads()
    }

    /// Positions that `token` of the batch attends to, from 0.
    pub fn seen(&self, token: usize) -> usize {
        self.start + token + 1
    }

    /// The factor of a score, `d^-1/2`.
    pub fn scale(&self) -> f32 {
        (1.0 / (self.cache.head_dim() as f64).sqrt()) as f32
    }
}

/// Memory that attention keeps between calls.
#[derive(Default)]
pub struct Scratch {
    partial: Buffer<f32>,
    folded: Buffer<f32>,
}

/// Computes attention: `softmax(q . k * d^-1/2) . v` over the positions up to each token's own.
pub trait Attend: Send + Sync {
    /// Stable name for reports.
    fn name(&self) -> &'static str;

    /// Writes `[token][head][d]` to `out`, every number of it.
    fn attend(
        &self,
        batch: Batch<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
        scheduler: &dyn Scheduler,
    );
}

/// The engine's attention: spread over tokens, heads and [`CHUNK`]s of positions.
///
/// The chunks of a head are folded into one another in their order. So bits depend neither on the
/// threads nor on the batch.
#[derive(Clone, Copy)]
pub struct Chunked {
    softmax: fn(&mut [f32]) -> Peak,
}

impl Chunked {
    /// With the engine's own softmax.
    pub const fn new() -> Self {
        Self::with_softmax(float::softmax)
    }

    /// With another softmax, which turns scores into probabilities in place.
    pub const fn with_softmax(softmax: fn(&mut [f32]) -> Peak) -> Self {
        Self { softmax }
    }

    /// Attention of heads `heads`, which share a key/value head, over `positions` alone. `out` is
    /// `[head][width]`: `d` numbers, and the peak where there is room.
    fn over(
        &self,
        batch: &Batch<'_>,
        token: usize,
        heads: Range<usize>,
        positions: Range<usize>,
        out: &mut [f32],
    ) {
        let (d, len) = (batch.cache.head_dim(), positions.len());
        let width = out.len() / heads.len();
        let kv_head = heads.start / batch.group();
        let queries =
            (token * batch.heads + heads.start) * d..(token * batch.heads + heads.end) * d;
        let mut scores = [0f32; QUERIES * CHUNK];
        let scores = &mut scores[..heads.len() * len];
        let keys = batch.cache.keys(kv_head, positions.clone());
        products::scores(keys, &batch.queries[queries], d, batch.scale(), scores);
        for (scores, out) in scores
            .chunks_exact_mut(len)
            .zip(out.chunks_exact_mut(width))
        {
            let peak = (self.softmax)(scores);
            if let [max, sum] = &mut out[d..] {
                (*max, *sum) = (peak.max, peak.sum);
            }
        }
        let values = batch.cache.values(kv_head, positions);
        products::weigh(values, scores, d, width, out);
    }

    /// Chunks from `first` on, each by itself: items are (chunk, token, head).
    fn chunks(
        &self,
        batch: &Batch<'_>,
        first: usize,
        out: &mut [f32],
        width: usize,
        scheduler: &dyn Scheduler,
    ) {
        let (heads, tokens, group) = (batch.heads, batch.tokens(), batch.group());
        let longest = batch.seen(tokens - 1).min(CHUNK);
        let work = Work {
            grain: grain(out.len() / width, group, scheduler.threads()),
            bytes: 2 * longest * batch.cache.format().bytes(batch.cache.head_dim()),
            width,
            out,
        };
        scheduler.run(work, &|items, mut out| {
            let mut item = items.start;
            while item < items.end {
                let head = item % heads;
                let (token, chunk) = (item / heads % tokens, first + item / heads / tokens);
                let together = (group - head % group).min(items.end - item).min(QUERIES);
                let here = out.split_off_mut(..together * width).unwrap_or_default();
                let positions = chunk * CHUNK..batch.seen(token).min((chunk + 1) * CHUNK);
                if !positions.is_empty() {
                    self.over(batch, token, head..head + together, positions, here);
                }
                item += together;
            }
        });
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Attend for Chunked {
    fn name(&self) -> &'static str {
        "chunked"
    }

    fn attend(
        &self,
        batch: Batch<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
        scheduler: &dyn Scheduler,
    ) {
        let (tokens, d) = (batch.tokens(), batch.cache.head_dim());
        let chunks = batch.seen(tokens - 1).div_ceil(CHUNK);
        if chunks == 1 {
            return self.chunks(&batch, 0, out, d, scheduler);
        }
        // One slot holds a result for each token and head. The first is for all chunks before.
        let (width, held) = (d + 2, (HELD / tokens).clamp(1, chunks));
        let slot = tokens * batch.heads * width;
        scratch.partial.resize((1 + held) * slot);
        scratch.folded.resize(slot);
        let Scratch { partial, folded } = scratch;
        for first in (0..chunks).step_by(held) {
            let here = held.min(chunks - first);
            self.chunks(
                &batch,
                first,
                &mut partial[slot..][..here * slot],
                width,
                scheduler,
            );
            let known = usize::from(first == 0)..1 + here;
            let work = Work {
                bytes: known.len() * width * size_of::<f32>(),
                out: &mut folded[..],
                width,
                grain: 1,
            };
            let partial_of =
                |index: usize, item: usize| &partial[index * slot + item * width..][..width];
            scheduler.run(work, &|items, out| {
                for (item, out) in items.zip(out.chunks_exact_mut(width)) {
                    let seen = batch.seen(item / batch.heads);
                    // Slot `i` is chunk `first + i - 1`; beyond what a token sees it holds nothing.
                    let known = known.start
                        ..known
                            .end
                            .min(1 + seen.div_ceil(CHUNK).saturating_sub(first));
                    out.copy_from_slice(partial_of(known.start, item));
                    for index in known.skip(1) {
                        fold_in(out, partial_of(index, item));
                    }
                }
            });
            if first + here < chunks {
                partial[..slot].copy_from_slice(folded);
            }
        }
        for (out, folded) in out.chunks_exact_mut(d).zip(folded.chunks_exact(width)) {
            out.copy_from_slice(&folded[..d]);
        }
    }
}

/// Heads that should stay together: all that share a key/value head, unless that leaves threads
/// without work.
fn grain(items: usize, group: usize, threads: usize) -> usize {
    const EACH: usize = 4;
    let fits = |grain: &usize| group.is_multiple_of(*grain) && items / grain >= EACH * threads;
    (1..=group.min(QUERIES)).rev().find(fits).unwrap_or(1)
}

/// Takes the attention `[d]` over more positions, and their peak, into that over the ones before:
/// the mean of both, weighted by the sums of exponentials on one scale.
fn fold_in(all: &mut [f32], more: &[f32]) {
    let d = all.len() - 2;
    let (max, sum) = (all[d], all[d + 1]);
    let (more_max, more_sum) = (more[d], more[d + 1]);
    let top = if more_max > max { more_max } else { max };
    let weight = sum * float::exp_of_non_positive(max - top);
    let more_weight = more_sum * float::exp_of_non_positive(more_max - top);
    let total = weight + more_weight;
    float::mix(
        &mut all[..d],
        weight / total,
        &more[..d],
        more_weight / total,
    );
    (all[d], all[d + 1]) = (top, total);
}
