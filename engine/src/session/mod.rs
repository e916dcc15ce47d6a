//! One sequence being decoded: its KV cache, and the way of tokens through the model.

mod pass;

use pass::{Pass, Scratch};

use crate::attention::{Attend, CacheFormat, Chunked, LayerCache};
use crate::head::{Effort, Search};
use crate::model::{Group, Model};
use crate::ops;
use crate::threads::{Scheduler, Work};
use crate::{Error, Token};

/// Tokens that prefill takes through a layer at once where nobody says otherwise.
pub const BATCH: usize = 64;

/// A part of the work on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Reading the embedding.
    Embed,
    /// RMSNorm.
    Norm,
    /// Quantising activations, and the tables made of them.
    Quantize,
    /// A ternary product.
    Product(Group),
    /// Rotating queries and keys, storing keys and values.
    Cache,
    /// Scores, softmax and weighted values.
    Attention,
    /// Squared ReLU times up.
    Activation,
    /// Adding to the residual stream.
    Residual,
    /// The output head.
    Head,
}

/// Is told when a part is done; whoever wants times takes them there.
pub trait Observer: Send {
    /// `part` has just ended; what follows belongs to another.
    fn done(&mut self, part: Part);
}

/// Observes nothing.
impl Observer for () {
    fn done(&mut self, _part: Part) {}
}

/// One sequence on one model.
///
/// The caches are made when the session begins; other buffers grow as larger batches and longer
/// contexts come, so that a token allocates nothing once one of its context length has been seen.
pub struct Session<'m> {
    model: &'m Model,
    scheduler: &'m dyn Scheduler,
    capacity: usize,
    position: usize,
    caches: Vec<LayerCache>,
    attend: &'m dyn Attend,
    batch: usize,
    scratch: Scratch,
    logits: Vec<f32>,
    search: Search,
}

/// What a session may have otherwise than usual.
#[derive(Clone, Copy)]
pub struct Settings<'m> {
    /// How keys and values are stored.
    pub cache: CacheFormat,
    /// Who computes attention.
    pub attend: &'m dyn Attend,
    /// Tokens that prefill takes through a layer at once, 1 at least. More share each read of the
    /// weights, fewer keep what lies between the products in the cache. No bit depends on it.
    pub batch: usize,
}

impl Default for Settings<'_> {
    /// A cache in float32, the engine's own attention, batches of [`BATCH`].
    fn default() -> Self {
        Self {
            cache: CacheFormat::default(),
            attend: const { &Chunked::new() },
            batch: BATCH,
        }
    }
}

/// A token chosen for having the largest logit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greedy {
    /// The lowest of those with the largest logit.
    pub token: Token,
    /// What finding it took; `None` when all logits were computed for it.
    pub effort: Option<Effort>,
}

impl<'m> Session<'m> {
    /// A session with room for `capacity` positions.
    ///
    /// # Errors
    /// When `capacity` is 0 or above the model's `max_position_embeddings`, or there is no memory
    /// for so many positions.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        capacity: usize,
    ) -> Result<Self, Error> {
        Self::with_settings(model, scheduler, capacity, Settings::default())
    }

    /// As [`Session::new`], with a cache and an attention of the caller's choice.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with_settings(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        capacity: usize,
        settings: Settings<'m>,
    ) -> Result<Self, Error> {
        let config = model.config();
        let limit = config.max_position_embeddings;
        if capacity == 0 || capacity > limit {
            let what = "the model's max_position_embeddings";
            return Err(Error::Context {
                wanted: capacity,
                limit,
                what,
            });
        }
        let (kv_heads, d) = (config.num_key_value_heads, config.head_dim);
        let cache = || LayerCache::new(kv_heads, d, capacity, settings.cache);
        Ok(Self {
            model,
            scheduler,
            capacity,
            position: 0,
            caches: model
                .layers()
                .iter()
                .map(|_| cache())
                .collect::<Result<_, _>>()?,
            attend: settings.attend,
            batch: settings.batch.max(1),
            scratch: Scratch::default(),
            logits: vec![0.0; config.vocab_size],
            search: Search::default(),
        })
    }

    /// Positions filled so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Positions that it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that a position takes in the caches of all layers.
    pub fn cache_bytes_per_position(&self) -> usize {
        self.caches.iter().map(LayerCache::bytes_per_position).sum()
    }

    /// Forgets every position from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.position = self.position.min(len);
    }

    /// Reads `tokens`, batch by batch; the logits of the last.
    ///
    /// # Errors
    /// When there is no token, an id is outside of the vocabulary, the context is full, or an
    /// activation is not finite. The positions of batches done before stay.
    pub fn prefill(&mut self, tokens: &[Token]) -> Result<&[f32], Error> {
        self.prefill_observed(tokens, &mut ())
    }

    /// As [`Session::prefill`], telling `observer` of each part of each batch.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn prefill_observed(
        &mut self,
        tokens: &[Token],
        observer: &mut dyn Observer,
    ) -> Result<&[f32], Error> {
        self.check(tokens)?;
        let size = self.batch;
        let (rest, last) = tokens.split_at((tokens.len() - 1) / size * size);
        for batch in rest.chunks(size) {
            self.step(batch, batch.len(), &mut |_, _| {}, observer)?;
        }
        self.step(last, last.len() - 1, &mut |_, _| {}, observer)?;
        Ok(&self.logits)
    }

    /// As [`Session::prefill`], giving `(position, logits)` of every token to `each`.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn prefill_each(
        &mut self,
        tokens: &[Token],
        each: &mut (dyn FnMut(usize, &[f32]) + Send),
    ) -> Result<(), Error> {
        self.check(tokens)?;
        for batch in tokens.chunks(self.batch) {
            self.step(batch, 0, each, &mut ())?;
        }
        Ok(())
    }

    /// Reads one token; the logits of the next.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn decode(&mut self, token: Token) -> Result<&[f32], Error> {
        self.decode_observed(token, &mut ())
    }

    /// As [`Session::decode`], telling `observer` of each part.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn decode_observed(
        &mut self,
        token: Token,
        observer: &mut dyn Observer,
    ) -> Result<&[f32], Error> {
        self.check(&[token])?;
        self.step(&[token], 0, &mut |_, _| {}, observer)?;
        Ok(&self.logits)
    }

    /// Reads one token and chooses the next, the one whose logit [`Session::decode`] would find the
    /// largest, by the model's quantised head where it has one ([`Vocabulary::quantized_head`]).
    ///
    /// [`Vocabulary::quantized_head`]: crate::model::Vocabulary::quantized_head
    ///
    /// # Errors
    /// As [`Session::prefill`], and when a logit is NaN.
    pub fn decode_greedy(&mut self, token: Token) -> Result<Greedy, Error> {
        self.decode_greedy_observed(token, &mut ())
    }

    /// As [`Session::decode_greedy`], telling `observer` of each part.
    ///
    /// # Errors
    /// As [`Session::decode_greedy`].
    pub fn decode_greedy_observed(
        &mut self,
        token: Token,
        observer: &mut dyn Observer,
    ) -> Result<Greedy, Error> {
        let model = self.model;
        let Some(head) = model.vocabulary.quantized_head() else {
            let token = ops::argmax(self.decode_observed(token, observer)?);
            let token = token.ok_or(Error::NanLogits)? as Token;
            return Ok(Greedy {
                token,
                effort: None,
            });
        };
        self.check(&[token])?;
        let mut found = Ok(None);
        let scheduler = self.scheduler;
        scheduler.enter(&mut || {
            found = self.forward(&[token], observer).map(|()| {
                self.final_norm(0, observer);
                let (x, search) = (&self.scratch.normed, &mut self.search);
                let found = head.argmax(model.vocabulary.head(), x, scheduler, search);
                observer.done(Part::Head);
                found
            });
        });
        let found = found?;
        self.position += 1;
        let (row, effort) = found.ok_or(Error::NanLogits)?;
        Ok(Greedy {
            token: row as Token,
            effort: Some(effort),
        })
    }

    fn check(&self, tokens: &[Token]) -> Result<(), Error> {
        let vocabulary = self.model.config().vocab_size;
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if let Some(index) = tokens.iter().position(|&t| t as usize >= vocabulary) {
            return Err(Error::TokenId {
                index,
                token: tokens[index],
                vocabulary,
            });
        }
        let wanted = self.position + tokens.len();
        if wanted > self.capacity {
            let limit = self.capacity;
            let what = match limit == self.model.config().max_position_embeddings {
                true => "the model's max_position_embeddings",
                false => "the room that this session was given",
            };
            return Err(Error::Context {
                wanted,
                limit,
                what,
            });
        }
        Ok(())
    }

    /// Takes one batch through the model; the logits of its tokens from `asked` on go to `each`, in
    /// order.
    fn step(
        &mut self,
        tokens: &[Token],
        asked: usize,
        each: &mut (dyn FnMut(usize, &[f32]) + Send),
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let mut result = Ok(());
        let scheduler = self.scheduler;
        scheduler.enter(&mut || {
            result = self.forward(tokens, observer);
            if result.is_ok() {
                for t in asked..tokens.len() {
                    self.head(t, observer);
                    each(self.position + t, &self.logits);
                }
            }
        });
        if result.is_ok() {
            self.position += tokens.len();
        }
        result
    }

    /// From token ids to the residual stream after the last layer.
    fn forward(&mut self, tokens: &[Token], observer: &mut dyn Observer) -> Result<(), Error> {
        let Self {
            model,
            scheduler,
            attend,
            scratch,
            position,
            ..
        } = self;
        let config = model.config();
        scratch.embed(tokens, &model.vocabulary.embedding, config.hidden_size);
        scratch
            .angles
            .resize(tokens.len() * config.head_dim / 2, (0.0, 0.0));
        for (t, angles) in scratch
            .angles
            .chunks_exact_mut(config.head_dim / 2)
            .enumerate()
        {
            model.rope.angles(*position + t, angles);
        }
        observer.done(Part::Embed);
        for (index, (layer, cache)) in model.layers().iter().zip(&mut self.caches).enumerate() {
            let mut pass = Pass {
                model,
                scheduler: *scheduler,
                attend: *attend,
                scratch,
                observer,
                layer,
                index,
            };
            pass.attention(cache, *position)?;
            pass.feed_forward()?;
        }
        Ok(())
    }

    /// What the head reads of the batch's token `t`, into `scratch.normed`.
    fn final_norm(&mut self, t: usize, observer: &mut dyn Observer) {
        let Self { model, scratch, .. } = self;
        let hidden = model.config().hidden_size;
        let eps = model.config().rms_norm_eps as f32;
        scratch.normed.resize(hidden);
        ops::rms_norm(
            &scratch.x[t * hidden..][..hidden],
            &model.final_norm,
            eps,
            &mut scratch.normed,
        );
        observer.done(Part::Norm);
    }

    /// Logits of the batch's token `t`.
    fn head(&mut self, t: usize, observer: &mut dyn Observer) {
        self.final_norm(t, observer);
        let Self {
            model,
            scheduler,
            scratch,
            logits,
            ..
        } = self;
        let (x, head) = (&scratch.normed, model.vocabulary.head());
        let bytes = head.bytes() / logits.len();
        let work = Work {
            out: logits,
            width: 1,
            grain: 1,
            bytes,
        };
        scheduler.run(work, &|rows, out| head.dot_rows(rows, x, out));
        observer.done(Part::Head);
    }
}
