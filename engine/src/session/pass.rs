//! The path of a batch of tokens through a layer.

use std::ops::Range;

use super::{Observer, Part};
use crate::attention::{self, Attend, Batch, LayerCache};
use crate::buffer::Buffer;
use crate::checkpoint::{Norm, WeightScale};
use crate::float;
use crate::float_matrix::FloatMatrix;
use crate::input::Input;
use crate::matrix::Scaling;
use crate::model::{Group, Layer, Model, Projection};
use crate::ops;
use crate::threads::{Scheduler, Task, Work};
use crate::tiled::Tiled;
use crate::{Error, Token};

/// What is made on the way, kept between tokens.
#[derive(Default)]
pub(super) struct Scratch {
    /// Residual stream, `[T, H]`.
    pub x: Buffer<f32>,
    /// Normalised input of a product, `[T, H]` or `[T, I]`.
    pub normed: Buffer<f32>,
    product: Tiled,
    /// Rotated queries, `[T, A, d]`.
    queries: Buffer<f32>,
    /// Keys and values, `[T, 2, G, d]`.
    keys_values: Buffer<f32>,
    /// Attention output, `[T, A, d]`.
    attended: Buffer<f32>,
    attention: attention::Scratch,
    /// Squared ReLU times up, `[T, I]`.
    activated: Buffer<f32>,
    /// Cosines and sines, `[T, d/2]`.
    pub angles: Vec<(f32, f32)>,
    /// What turns integer sums into floats, `[part, T]`.
    factors: Vec<f32>,
    input: Input,
}

impl Scratch {
    pub fn embed(&mut self, tokens: &[Token], embedding: &FloatMatrix, hidden: usize) {
        self.x.resize(tokens.len() * hidden);
        for (x, &token) in self.x.chunks_exact_mut(hidden).zip(tokens) {
            embedding.read(token as usize, x);
        }
    }
}

/// One batch in one layer.
pub(super) struct Pass<'a> {
    pub model: &'a Model,
    pub scheduler: &'a dyn Scheduler,
    pub attend: &'a dyn Attend,
    pub scratch: &'a mut Scratch,
    pub observer: &'a mut dyn Observer,
    pub layer: &'a Layer,
    pub index: usize,
}

impl Pass<'_> {
    /// `x += o(norm(attention(rope(qkv(norm(x))))))`
    pub fn attention(&mut self, cache: &mut LayerCache, start: usize) -> Result<(), Error> {
        let config = self.model.config();
        let (hidden, d) = (config.hidden_size, config.head_dim);

        self.norm(Norm::Input, hidden);
        self.project(Group::Qkv)?;

        let s = &mut *self.scratch;
        let kv = config.num_key_value_heads * d;
        let tokens = s.angles.len() / (d / 2);
        s.queries.resize(tokens * hidden);
        let product = &s.product;
        let angles = |t: usize| &s.angles[t * d / 2..][..d / 2];
        some_tokens(self.scheduler, &mut s.queries, hidden, &|range, queries| {
            product.gather(range.clone(), 0..hidden, hidden, queries);
            for (t, query) in range.zip(queries.chunks_exact_mut(hidden)) {
                for head in query.chunks_exact_mut(d) {
                    ops::rotate(head, angles(t));
                }
            }
        });
        s.keys_values.resize(tokens * 2 * kv);
        let key_value = hidden..hidden + 2 * kv;
        some_tokens(
            self.scheduler,
            &mut s.keys_values,
            2 * kv,
            &|range, rows| {
                product.gather(range.clone(), key_value.clone(), 2 * kv, rows);
                for (t, row) in range.zip(rows.chunks_exact_mut(2 * kv)) {
                    for head in row[..kv].chunks_exact_mut(d) {
                        ops::rotate(head, angles(t));
                    }
                }
            },
        );
        for (t, row) in s.keys_values.chunks_exact(2 * kv).enumerate() {
            let (key, value) = row.split_at(kv);
            cache.store(start + t, key, value);
        }
        self.observer.done(Part::Cache);

        s.attended.resize(s.queries.len());
        let batch = Batch {
            cache,
            queries: &s.queries,
            heads: config.num_attention_heads,
            start,
        };
        self.attend
            .attend(batch, &mut s.attended, &mut s.attention, self.scheduler);
        self.observer.done(Part::Attention);

        self.norm(Norm::AttnSub, hidden);
        self.project(Group::O)?;
        self.residual();
        Ok(())
    }

    /// `x += down(norm(relu2(gate(norm(x))) * up(norm(x))))`
    pub fn feed_forward(&mut self) -> Result<(), Error> {
        let config = self.model.config();
        let (hidden, ffn) = (config.hidden_size, config.intermediate_size);

        self.norm(Norm::PostAttention, hidden);
        self.project(Group::GateUp)?;

        let s = &mut *self.scratch;
        let product = &s.product;
        s.activated.resize(s.normed.len() / hidden * ffn);
        some_tokens(self.scheduler, &mut s.activated, ffn, &|range, out| {
            activate(product, range, ffn, out);
        });
        self.observer.done(Part::Activation);

        self.norm(Norm::FfnSub, ffn);
        self.project(Group::Down)?;
        self.residual();
        Ok(())
    }

    /// Normalises each token of what `norm` reads into `scratch.normed`.
    fn norm(&mut self, norm: Norm, width: usize) {
        let s = &mut *self.scratch;
        let (from, weight) = match norm {
            Norm::Input => (&s.x, &self.layer.input_norm),
            Norm::AttnSub => (&s.attended, &self.layer.attn_sub_norm),
            Norm::PostAttention => (&s.x, &self.layer.post_attention_norm),
            Norm::FfnSub => (&s.activated, &self.layer.ffn_sub_norm),
        };
        let eps = self.model.config().rms_norm_eps as f32;
        s.normed.resize(from.len());
        each_token(self.scheduler, &mut s.normed, width, &|t, y| {
            ops::rms_norm(&from[t * width..][..width], weight, eps, y);
        });
        self.observer.done(Part::Norm);
    }

    /// Multiplies `scratch.normed` by the weights of `group`, into `scratch.product`.
    fn project(&mut self, group: Group) -> Result<(), Error> {
        let projection = self.layer.projection(group);
        let matrix = projection.matrix();
        let s = &mut *self.scratch;
        s.input
            .quantize_on(&s.normed, matrix.cols(), self.scheduler)
            .map_err(|source| {
                let linear = group.linears()[0];
                Error::NonFinite {
                    layer: self.index,
                    linear,
                    source,
                }
            })?;
        s.input.prepare_on(matrix.kernel(), self.scheduler);
        self.observer.done(Part::Quantize);

        let tokens = s.input.quantized().tokens();
        projection.multiply(&s.input, self.scheduler, &mut s.factors, &mut s.product);
        self.observer.done(Part::Product(group));
        if tokens == 1
            && let Some(next) = self.after(group)
        {
            next.matrix().announce(self.scheduler);
        }
        Ok(())
    }

    /// What a token meets after the projection of `group`; `None` after the last.
    fn after(&self, group: Group) -> Option<&Projection> {
        let layers = self.model.layers();
        match Group::ALL.get(group as usize + 1) {
            Some(&next) => Some(self.layer.projection(next)),
            None => Some(layers.get(self.index + 1)?.projection(Group::ALL[0])),
        }
    }

    fn residual(&mut self) {
        let s = &mut *self.scratch;
        let hidden = self.model.config().hidden_size;
        if s.x.len() == hidden {
            let product = s.product.in_order().expect("the product of one token");
            float::add(&mut s.x, product);
        } else {
            // Not in place: a scheduler may give a task memory that holds anything.
            let (x, product) = (&s.x, &s.product);
            s.normed.resize(x.len());
            some_tokens(self.scheduler, &mut s.normed, hidden, &|range, sums| {
                product.gather(range.clone(), 0..hidden, hidden, sums);
                float::add(sums, &x[range.start * hidden..range.end * hidden]);
            });
            std::mem::swap(&mut s.x, &mut s.normed);
        }
        self.observer.done(Part::Residual);
    }
}

impl Projection {
    /// `sum / s_t * ws`, or `sum / (s_t * ws)` for a dividing scale.
    ///
    /// `factors` is scratch; `input` must be prepared for the matrix's kernel.
    pub fn multiply(
        &self,
        input: &Input,
        scheduler: &dyn Scheduler,
        factors: &mut Vec<f32>,
        product: &mut Tiled,
    ) {
        let scales = input.quantized().scales();
        factors.clear();
        for &(_, weight_scale) in self.parts() {
            factors.extend(scales.iter().map(|&s| match weight_scale {
                WeightScale::Multiply(ws) => ws / s,
                WeightScale::Divide(ws) => 1.0 / (s * ws),
            }));
        }
        let (parts, factors) = (self.parts(), &factors[..]);
        let scaling = Scaling { parts, factors };
        self.matrix().product(input, scheduler, product, scaling);
    }
}

/// Squared ReLU times up, of some tokens of the product of both.
fn activate(product: &Tiled, tokens: Range<usize>, ffn: usize, out: &mut [f32]) {
    /// Numbers of up that are brought together at once: of so many tokens, so many rows.
    const TOKENS: usize = 32;
    const ROWS: usize = 64;
    if let Some(numbers) = product.in_order() {
        let (gate, up) = numbers.split_at(ffn);
        out.copy_from_slice(gate);
        return float::relu2(out, up);
    }
    let mut room = [[0.0; ROWS]; TOKENS];
    let starts = tokens.clone().step_by(TOKENS);
    for (t, out) in starts.zip(out.chunks_mut(TOKENS * ffn)) {
        let some = t..tokens.end.min(t + TOKENS);
        for row in (0..ffn).step_by(ROWS) {
            let end = ffn.min(row + ROWS);
            product.gather(some.clone(), row..end, ffn, &mut out[row..]);
            let up = room.as_flattened_mut();
            product.gather(some.clone(), ffn + row..ffn + end, ROWS, up);
            for (gate, up) in out.chunks_exact_mut(ffn).zip(&room) {
                float::relu2(&mut gate[row..end], &up[..end - row]);
            }
        }
    }
}

/// Writes `width` numbers of each token, spread over the threads where there are several tokens.
fn each_token(
    scheduler: &dyn Scheduler,
    out: &mut [f32],
    width: usize,
    token: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    some_tokens(scheduler, out, width, &|range, out| {
        for (t, out) in range.zip(out.chunks_exact_mut(width)) {
            token(t, out);
        }
    });
}

/// As [`each_token`], of ranges of tokens.
fn some_tokens(scheduler: &dyn Scheduler, out: &mut [f32], width: usize, task: &Task<'_>) {
    if out.len() == width {
        return task(0..1, out);
    }
    let work = Work {
        out,
        width,
        grain: 1,
        bytes: 2 * width * size_of::<f32>(),
    };
    scheduler.run(work, task);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::Best;
    use crate::session::Session;
    use crate::synthetic;

    /// Announcements: address and length of the weights, items and grain.
    #[derive(Default)]
    struct Heard(Mutex<Vec<[usize; 4]>>);

    impl Heard {
        fn take(&self) -> Vec<[usize; 4]> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Scheduler for Heard {
        fn name(&self) -> &'static str {
            "heard"
        }

        fn threads(&self) -> usize {
            1
        }

        fn run(&self, work: Work<'_>, task: &Task<'_>) {
            task(0..work.items(), work.out);
        }

        fn announce(&self, weights: &[u8], items: usize, grain: usize) {
            let weights = weights.as_ptr_range();
            let [first, end] = [weights.start, weights.end].map(|p| p as usize);
            let mut heard = self.0.lock().unwrap();
            heard.push([first, end - first, items, grain]);
        }
    }

    /// How many announcements had been made when each product was done.
    struct Count<'a>(&'a Heard, Vec<usize>);

    impl Observer for Count<'_> {
        fn done(&mut self, part: Part) {
            if let Part::Product(_) = part {
                self.1.push(self.0.0.lock().unwrap().len());
            }
        }
    }

    #[test]
    fn each_product_of_a_token_is_announced_after_the_one_before() {
        let source = synthetic::model(synthetic::shape("tiny").unwrap(), 1);
        let model = Model::load(&source, &Best).unwrap();
        let heard = Heard::default();
        for layer in model.layers() {
            for group in Group::ALL {
                let matrix = layer.projection(group).matrix();
                matrix.announce(&heard);
                let [.., bytes, items, _] = *heard.0.lock().unwrap().last().unwrap();
                assert_eq!((bytes, items), (matrix.bytes(), matrix.rows()));
            }
        }
        let products = heard.take();
        let mut session = Session::new(&model, &heard, 8).unwrap();
        session.prefill(&[1, 2, 3]).unwrap();
        assert_eq!(heard.take(), [[0; 4]; 0], "batches announce nothing");
        let mut count = Count(&heard, Vec::new());
        session.decode_observed(4, &mut count).unwrap();
        assert!(count.1.into_iter().eq(0..products.len()));
        assert_eq!(heard.take(), products[1..]);
    }
}
