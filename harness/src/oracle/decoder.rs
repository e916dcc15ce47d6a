//! One token through the model, from top to bottom.

use super::cache::CacheRounding;
use super::error::OracleError;
use super::model::{Layer, LinearName, Model};
use super::ops::{self, Quantized};

/// What one linear layer saw and computed for one token.
#[derive(Debug, Clone, Copy)]
pub struct Tap<'a> {
    /// Decoder layer, from 0.
    pub layer: usize,
    /// Which of the seven linear layers.
    pub linear: LinearName,
    /// Absolute position of the token, from 0.
    pub position: usize,
    /// Input of the activation quantiser, `[K]`.
    pub input: &'a [f32],
    /// The quantiser's result: scale, and `[K]` 8-bit values.
    pub quantized: &'a Quantized,
    /// Exact integer products, `[N]`.
    pub accumulators: &'a [i32],
}

/// A sequence being decoded: a model, and keys and values of the tokens so far.
#[derive(Debug, Clone)]
pub struct Decoder<'m> {
    model: &'m Model,
    inverse_frequencies: Vec<f32>,
    caches: Vec<Cache>,
    rounding: CacheRounding,
    cache_gap: f64,
    position: usize,
}

/// Keys (after RoPE) and values of one layer, `[tokens, G * d]`.
#[derive(Debug, Clone, Default)]
struct Cache {
    keys: Vec<f64>,
    values: Vec<f64>,
}

/// The outcome of [`Decoder::greedy`].
#[derive(Debug, Clone)]
pub struct Greedy {
    /// The chosen tokens.
    pub tokens: Vec<u32>,
    /// For each chosen token the logits `[V]` that chose it.
    pub logits: Vec<Vec<f64>>,
}

impl<'m> Decoder<'m> {
    /// Starts an empty sequence.
    pub fn new(model: &'m Model) -> Self {
        Self::with_cache(model, CacheRounding::Exact)
    }

    /// Starts an empty sequence that rounds keys (after RoPE) and values, a
    /// head at a time, before anything reads them.
    pub fn with_cache(model: &'m Model, rounding: CacheRounding) -> Self {
        let shape = model.shape();
        Decoder {
            model,
            inverse_frequencies: ops::inverse_frequencies(shape.head_dim(), shape.rope_theta),
            caches: vec![Cache::default(); model.layers().len()],
            rounding,
            cache_gap: f64::INFINITY,
            position: 0,
        }
    }

    /// Tokens taken so far, which is the position of the next one.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The least [`CacheRounding::gap`] of all heads so far.
    pub fn cache_gap(&self) -> f64 {
        self.cache_gap
    }

    /// Takes one token and gives the logits `[V]` for the next.
    ///
    /// # Errors
    /// [`OracleError::UnknownToken`], [`OracleError::ContextFull`], and
    /// [`OracleError::NotFinite`] where an activation overflows `f32`. After
    /// an error of the last kind the sequence can't be continued.
    pub fn step(&mut self, token: u32) -> Result<Vec<f64>, OracleError> {
        self.step_with(token, &mut |_| {})
    }

    /// As [`step`](Self::step), showing `observer` every linear layer's work.
    ///
    /// # Errors
    /// As `step`.
    pub fn step_with(
        &mut self,
        token: u32,
        observer: &mut dyn FnMut(Tap<'_>),
    ) -> Result<Vec<f64>, OracleError> {
        let x = self.forward(token, observer, &mut |_| {})?;
        Ok(self.logits(&x))
    }

    /// As [`step`](Self::step), with the residual stream after each layer,
    /// `[L][H]`, scaled to a root mean square of one as RMSNorm does.
    ///
    /// # Errors
    /// As `step`.
    pub fn step_with_streams(
        &mut self,
        token: u32,
    ) -> Result<(Vec<Vec<f64>>, Vec<f64>), OracleError> {
        let shape = self.model.shape();
        let (ones, eps) = (vec![1.0; shape.hidden], shape.rms_norm_eps);
        let mut streams = Vec::new();
        let x = self.forward(token, &mut |_| {}, &mut |x| {
            streams.push(ops::rmsnorm(x, &ones, eps));
        })?;
        Ok((streams, self.logits(&x)))
    }

    /// Takes one token without asking for logits, which saves the head.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn push(&mut self, token: u32) -> Result<(), OracleError> {
        self.forward(token, &mut |_| {}, &mut |_| {}).map(drop)
    }

    /// Takes `prompt`, then chooses the likeliest token `steps` times. An
    /// end-of-sequence token does not stop it.
    ///
    /// # Errors
    /// [`OracleError::EmptyPrompt`], and as [`step`](Self::step).
    pub fn greedy(&mut self, prompt: &[u32], steps: usize) -> Result<Greedy, OracleError> {
        let (&last, before) = prompt.split_last().ok_or(OracleError::EmptyPrompt)?;
        for &token in before {
            self.push(token)?;
        }
        let mut chosen = Greedy {
            tokens: Vec::new(),
            logits: Vec::new(),
        };
        let mut token = last;
        for _ in 0..steps {
            let logits = self.step(token)?;
            token = ops::argmax(&logits).ok_or_else(|| OracleError::NotFinite {
                place: "logits".into(),
                index: logits.iter().position(|l| l.is_nan()).unwrap_or(0),
                value: f64::NAN,
            })? as u32;
            chosen.tokens.push(token);
            chosen.logits.push(logits);
        }
        Ok(chosen)
    }

    fn forward(
        &mut self,
        token: u32,
        observer: &mut dyn FnMut(Tap<'_>),
        after_layer: &mut dyn FnMut(&[f64]),
    ) -> Result<Vec<f64>, OracleError> {
        let shape = self.model.shape();
        if token as usize >= shape.vocabulary {
            return Err(OracleError::UnknownToken {
                token,
                vocabulary: shape.vocabulary,
            });
        }
        if self.position >= shape.max_positions {
            return Err(OracleError::ContextFull {
                position: self.position,
                max_positions: shape.max_positions,
            });
        }
        let mut x = widen(self.model.embedding(token as usize));
        for (l, layer) in self.model.layers().iter().enumerate() {
            let mut bench = Bench {
                layer,
                index: l,
                position: self.position,
                observer,
            };
            let y = self.attention_block(&mut bench, &x)?;
            add(&mut x, &y);
            let y = self.feed_forward_block(&mut bench, &x)?;
            add(&mut x, &y);
            after_layer(&x);
        }
        self.position += 1;
        Ok(x)
    }

    fn attention_block(
        &mut self,
        bench: &mut Bench<'_, '_>,
        x: &[f64],
    ) -> Result<Vec<f64>, OracleError> {
        let shape = self.model.shape();
        let (d, eps) = (shape.head_dim(), shape.rms_norm_eps);
        let n = ops::rmsnorm(x, &bench.layer.input_norm, eps);
        let [mut q, mut k, v] = bench.linears([LinearName::Q, LinearName::K, LinearName::V], &n)?;
        for head in q.chunks_exact_mut(d).chain(k.chunks_exact_mut(d)) {
            ops::rope(head, self.position, &self.inverse_frequencies);
        }
        let cache = &mut self.caches[bench.index];
        for (kept, new) in [(&mut cache.keys, k), (&mut cache.values, v)] {
            for head in new.chunks_exact(d) {
                kept.extend(self.rounding.round(head)?);
                self.cache_gap = self.cache_gap.min(self.rounding.gap(head));
            }
        }
        let o = self.attention(&self.caches[bench.index], &q);
        let o = ops::rmsnorm(&o, &bench.layer.attn_sub_norm, eps);
        let [y] = bench.linears([LinearName::O], &o)?;
        Ok(y)
    }

    /// Grouped-query attention of one token over all cached ones: `q` and the
    /// result are `[A * d]`.
    fn attention(&self, cache: &Cache, q: &[f64]) -> Vec<f64> {
        let shape = self.model.shape();
        let (d, width) = (shape.head_dim(), shape.key_value_width());
        let heads_per_group = shape.heads / shape.key_value_heads;
        let mut output = vec![0.0; q.len()];
        for h in 0..shape.heads {
            let group = h / heads_per_group * d..(h / heads_per_group + 1) * d;
            let head = h * d..(h + 1) * d;
            let scores: Vec<f64> = cache
                .keys
                .chunks_exact(width)
                .map(|key| ops::dot(&q[head.clone()], &key[group.clone()]) / (d as f64).sqrt())
                .collect();
            let probabilities = ops::softmax(&scores);
            for (p, value) in probabilities.iter().zip(cache.values.chunks_exact(width)) {
                for (out, v) in output[head.clone()].iter_mut().zip(&value[group.clone()]) {
                    *out += p * v;
                }
            }
        }
        output
    }

    fn feed_forward_block(
        &self,
        bench: &mut Bench<'_, '_>,
        x: &[f64],
    ) -> Result<Vec<f64>, OracleError> {
        let eps = self.model.shape().rms_norm_eps;
        let m = ops::rmsnorm(x, &bench.layer.post_attention_norm, eps);
        let [gate, up] = bench.linears([LinearName::Gate, LinearName::Up], &m)?;
        let product: Vec<f64> = gate
            .iter()
            .zip(&up)
            .map(|(&g, u)| ops::relu2(g) * u)
            .collect();
        let product = ops::rmsnorm(&product, &bench.layer.ffn_sub_norm, eps);
        let [y] = bench.linears([LinearName::Down], &product)?;
        Ok(y)
    }

    fn logits(&self, x: &[f64]) -> Vec<f64> {
        let shape = self.model.shape();
        let x = ops::rmsnorm(x, self.model.final_norm(), shape.rms_norm_eps);
        (0..shape.vocabulary)
            .map(|token| {
                let row = self.model.head(token);
                row.iter().zip(&x).map(|(&w, v)| f64::from(w) * v).sum()
            })
            .collect()
    }
}

/// One layer at work on one token, with somebody watching.
struct Bench<'a, 'o> {
    layer: &'a Layer,
    index: usize,
    position: usize,
    observer: &'a mut (dyn FnMut(Tap<'_>) + 'o),
}

impl Bench<'_, '_> {
    /// Quantises `x` once and runs it through each of the named linear layers.
    fn linears<const M: usize>(
        &mut self,
        names: [LinearName; M],
        x: &[f64],
    ) -> Result<[Vec<f64>; M], OracleError> {
        let input: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let quantized = ops::quantize(&input).map_err(|error| self.locate(error, names[0]))?;
        Ok(names.map(|linear| {
            let product = self.layer.linear(linear).apply(&quantized);
            (self.observer)(Tap {
                layer: self.index,
                linear,
                position: self.position,
                input: &input,
                quantized: &quantized,
                accumulators: &product.accumulators,
            });
            product.output
        }))
    }

    fn locate(&self, error: OracleError, linear: LinearName) -> OracleError {
        match error {
            OracleError::NotFinite {
                place,
                index,
                value,
            } => OracleError::NotFinite {
                place: format!(
                    "{place} of layer {} {} at position {}",
                    self.index,
                    linear.as_str(),
                    self.position
                ),
                index,
                value,
            },
            other => other,
        }
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn add(x: &mut [f64], y: &[f64]) {
    for (a, b) in x.iter_mut().zip(y) {
        *a += b;
    }
}
