//! The KV cache in each of its formats: attention against the oracle, which rounds as the format
//! does, and the same bits however the work is cut.

use bitgauge_engine::Error;
use bitgauge_engine::attention::{Attend, Batch, CHUNK, CacheFormat, Chunked, LayerCache, Scratch};
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;
use bitgauge_engine::session::{Session, Settings};
use bitgauge_engine::threads::{Pool, Scheduler};

use super::check::{Book, Check, Differences, guarded};
use super::golden;
use super::identity::{self, THREADS};
use super::random::Random;
use crate::fixtures::Document;
use crate::fixtures::golden::{Case, Golden};
use crate::oracle::{self, CacheRounding, OracleError, ops};

/// The largest difference from the oracle, over its largest number.
const LIMIT: f64 = 1e-5;

/// Tokens of a text that are read with each format: two chunks of positions.
pub const TOKENS: usize = CHUNK + 44;

/// Sizes of the pieces in which they are read.
const PIECES: [usize; 2] = [1, 33];

/// Tokens that every kernel reads.
const EACH_KERNEL: usize = 40;

/// What the oracle does in the place of `format`.
pub fn rounding(format: CacheFormat) -> CacheRounding {
    match format {
        CacheFormat::F32 => CacheRounding::Exact,
        CacheFormat::Bf16 => CacheRounding::Bf16,
        CacheFormat::Int8 => CacheRounding::Int8,
    }
}

/// Settings with a cache of `format`.
pub fn settings(format: CacheFormat) -> Settings<'static> {
    Settings {
        cache: format,
        ..Settings::default()
    }
}

/// Query heads, key/value heads, numbers a head, positions, and how many of them ask.
const SHAPES: [[usize; 5]; 6] = [
    [6, 2, 40, 2 * CHUNK + 37, 35],
    [7, 1, 8, CHUNK + 1, 2],
    [4, 4, 64, CHUNK, 3],
    [2, 1, 34, 5, 5],
    [2, 1, 8, 6 * CHUNK + 9, 20],
    [1, 1, 4, 65 * CHUNK + 3, 1],
];

/// Judges attention over caches of random numbers: over one chunk and several, more of them than are
/// held at once, a whole group of heads and parts of one, and heads that fill no vector.
pub fn judge(book: &mut Book<'_>) {
    for format in CacheFormat::ALL {
        let id = format!("cache/{format}/attention");
        let check = match guarded(|| worst_error(format)) {
            Ok(Ok(worst)) => Check::at_most(id, worst, LIMIT).note("over the largest number"),
            Ok(Err(why)) | Err(why) => Check::broken(id, why),
        };
        book.record(check);
        let id = format!("cache/{format}/same-bits");
        let check = match guarded(|| differences(format)) {
            Ok(Ok(differences)) => differences.check(id),
            Ok(Err(why)) => Check::broken(id, why),
            Err(panic) => Check::broken(id, panic),
        };
        book.record(check);
    }
}

/// A filled cache, and who asks.
struct Filled {
    cache: LayerCache,
    /// `[position][kv head][d]`
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[token][head][d]`
    queries: Vec<f32>,
    heads: usize,
    start: usize,
}

impl Filled {
    fn new(
        [heads, kv_heads, d, positions, asking]: [usize; 5],
        format: CacheFormat,
    ) -> Result<Self, Error> {
        let mut random = Random::new(positions as u64);
        let width = kv_heads * d;
        let [keys, values] = [(); 2].map(|()| random.normals(positions * width));
        let mut cache = LayerCache::new(kv_heads, d, positions, format)?;
        let pairs = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (position, (key, value)) in pairs.enumerate() {
            cache.store(position, key, value);
        }
        // Scores of some size: few positions get most of the weight.
        let queries = random
            .normals(asking * heads * d)
            .iter()
            .map(|q| q * 3.0)
            .collect();
        Ok(Self {
            cache,
            keys,
            values,
            queries,
            heads,
            start: positions - asking,
        })
    }

    /// Attention of tokens `from` on.
    fn attend(&self, from: usize, tokens: usize, scheduler: &dyn Scheduler) -> Vec<f32> {
        let token = self.heads * self.cache.head_dim();
        let mut out = vec![f32::NAN; tokens * token];
        let batch = Batch {
            cache: &self.cache,
            queries: &self.queries[from * token..][..tokens * token],
            heads: self.heads,
            start: self.start + from,
        };
        Chunked::new().attend(batch, &mut out, &mut Scratch::default(), scheduler);
        out
    }

    fn tokens(&self) -> usize {
        self.queries.len() / (self.heads * self.cache.head_dim())
    }

    fn expected(&self) -> Result<Vec<f64>, OracleError> {
        let (d, kv_heads) = (self.cache.head_dim(), self.cache.kv_heads());
        let rounding = rounding(self.cache.format());
        let rounded = |cached: &[f32]| -> Result<Vec<Vec<f64>>, OracleError> {
            cached
                .chunks_exact(d)
                .map(|x| rounding.round(&wide(x)))
                .collect()
        };
        let (keys, values) = (rounded(&self.keys)?, rounded(&self.values)?);
        let mut want = Vec::with_capacity(self.queries.len());
        for (i, query) in self.queries.chunks_exact(d).enumerate() {
            let (token, head) = (i / self.heads, i % self.heads * kv_heads / self.heads);
            let seen = self.start + token + 1;
            let query = wide(query);
            let keys = keys.iter().skip(head).step_by(kv_heads).take(seen);
            let scores: Vec<f64> = keys
                .map(|k| ops::dot(&query, k) / (d as f64).sqrt())
                .collect();
            let mut out = vec![0.0; d];
            let values = values.iter().skip(head).step_by(kv_heads);
            for (p, value) in ops::softmax(&scores).into_iter().zip(values) {
                out.iter_mut().zip(value).for_each(|(o, v)| *o += p * v);
            }
            want.extend(out);
        }
        Ok(want)
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

fn worst_error(format: CacheFormat) -> Result<f64, String> {
    let pool = Pool::new(1).map_err(|e| e.to_string())?;
    let mut worst = 0.0f64;
    for shape in SHAPES {
        let filled = Filled::new(shape, format).map_err(|e| e.to_string())?;
        let want = filled.expected().map_err(|e| e.to_string())?;
        let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (got, want) in filled.attend(0, filled.tokens(), &pool).iter().zip(want) {
            let error = (f64::from(*got) - want).abs() / largest;
            if error.is_nan() || error > worst {
                worst = error;
            }
        }
    }
    Ok(worst)
}

/// All tokens at once on any number of threads, and each alone.
fn differences(format: CacheFormat) -> Result<Differences, Error> {
    let bits = |out: Vec<f32>| -> Vec<u32> { out.iter().map(|x| x.to_bits()).collect() };
    let mut differences = Differences::default();
    let one = Pool::new(1)?;
    for shape in SHAPES {
        let filled = Filled::new(shape, format)?;
        let tokens = filled.tokens();
        let want = bits(filled.attend(0, tokens, &one));
        for threads in THREADS {
            let pool = Pool::with_min_piece(threads, 0)?;
            let got = bits(filled.attend(0, tokens, &pool));
            differences.add(&got, &want, |i| {
                format!("{shape:?}, {threads} threads: bits of {i}")
            });
            let alone = (0..tokens).map(|token| filled.attend(token, 1, &pool));
            let got = bits(alone.flatten().collect());
            differences.add(&got, &want, |i| {
                format!("{shape:?}, token by token: bits of {i}")
            });
        }
    }
    Ok(differences)
}

/// Judges models, one a kernel, on the first [`TOKENS`] of `tokens` with each format but the usual:
/// logits must not depend on the pieces read, the threads or the kernel.
pub fn judge_models(
    name: &str,
    models: &[(Kernel, Model)],
    tokens: &[u32],
    schedulers: &[(&str, &dyn Scheduler)],
    book: &mut Book<'_>,
) {
    let Some(((fastest, model), others)) = models.split_last() else {
        return;
    };
    let positions = model.config().max_position_embeddings;
    let tokens = &tokens[..tokens.len().min(TOKENS).min(positions)];
    let (_, one) = schedulers[0];
    for format in CacheFormat::ALL {
        let id = format!("cache/{format}/{name}/read-again");
        let check = match guarded(|| read_again(model, one, format, tokens)) {
            Ok(Ok(differences)) => differences.check(id),
            Ok(Err(error)) => Check::broken(id, error),
            Err(panic) => Check::broken(id, panic),
        };
        book.record(check.kernel(*fastest).threads(one.threads()));
    }
    for format in [CacheFormat::Bf16, CacheFormat::Int8] {
        let id = |what: &str| format!("cache/{format}/{name}/{what}");
        let settings = settings(format);
        let read = |model, scheduler, tokens, piece| {
            identity::logits_with(model, scheduler, settings, tokens, piece)
        };
        let want = match guarded(|| read(model, one, tokens, tokens.len())) {
            Ok(Ok(want)) => want,
            Ok(Err(error)) => {
                book.record(Check::broken(id("logits"), error).kernel(*fastest));
                continue;
            }
            Err(panic) => {
                book.record(Check::broken(id("logits"), panic).kernel(*fastest));
                continue;
            }
        };
        for &(label, scheduler) in schedulers {
            let check = identity::compare(id(label), &want, || {
                read(model, scheduler, tokens, tokens.len())
            });
            book.record(check.kernel(*fastest).threads(scheduler.threads()));
        }
        for piece in PIECES {
            let check = identity::compare(id(&format!("pieces-{piece}")), &want, || {
                read(model, one, tokens, piece)
            });
            book.record(check.kernel(*fastest).threads(one.threads()));
        }
        let few = tokens.len().min(EACH_KERNEL);
        for (kernel, model) in others {
            let want = want[..few].to_vec();
            let check = identity::compare(id("kernels"), &want, || {
                read(model, one, &tokens[..few], few)
            });
            book.record(check.kernel(*kernel).threads(one.threads()));
        }
    }
}

/// What a session forgot must not show: the same tokens in a new session, in one that has read others
/// and forgotten all of them, and after it has forgotten a part of what it read since.
fn read_again(
    model: &Model,
    scheduler: &dyn Scheduler,
    format: CacheFormat,
    tokens: &[u32],
) -> Result<Differences, Error> {
    let tokens = &tokens[..tokens.len().min(EACH_KERNEL)];
    let session = || Session::with_settings(model, scheduler, tokens.len(), settings(format));
    let bits = |logits: &[f32]| -> Vec<u32> { logits.iter().map(|l| l.to_bits()).collect() };
    let want = bits(session()?.prefill(tokens)?);
    let mut differences = Differences::default();
    let mut used = session()?;
    let others: Vec<u32> = tokens.iter().rev().copied().collect();
    used.prefill(&others)?;
    for kept in [0, tokens.len() / 2, tokens.len() - 1] {
        used.truncate(kept);
        let got = bits(used.prefill(&tokens[kept..])?);
        differences.add(&got, &want, |i| format!("bits of logit {i}, {kept} kept"));
    }
    Ok(differences)
}

/// Judges `model` on the cases of `golden` with each rounding format, within the tolerances that the
/// cases have: not against the golden logits, which no cache rounded, but against those of the
/// oracle with the same rounding and the same tokens.
pub fn judge_cases(
    golden: &Document<Golden>,
    model: &Model,
    kernel: Kernel,
    scheduler: &dyn Scheduler,
    book: &mut Book<'_>,
) {
    let oracle = match oracle::Model::open(golden.model_folder()) {
        Ok(oracle) => oracle,
        Err(why) => {
            let id = format!("cache/{}", golden.content.name);
            return book.record(Check::broken(id, why));
        }
    };
    for format in [CacheFormat::Bf16, CacheFormat::Int8] {
        for case in &golden.content.cases {
            let id = format!("cache/{format}/{}/{}", golden.content.name, case.id);
            match rounded_case(case, &oracle, rounding(format)) {
                Ok(case) => {
                    let settings = settings(format);
                    golden::judge_case_with(&id, &case, model, kernel, scheduler, settings, book);
                }
                Err(why) => book.record(Check::broken(id, why).kernel(kernel)),
            }
        }
    }
}

/// `case` with the logits of an oracle that rounds, and no greedy choices to be met.
fn rounded_case(
    case: &Case,
    oracle: &oracle::Model,
    rounding: CacheRounding,
) -> Result<Case, OracleError> {
    let mut decoder = oracle::Decoder::with_cache(oracle, rounding);
    let fed = case.continuation.len().saturating_sub(1);
    let tokens = case.prompt.iter().chain(&case.continuation[..fed]);
    let narrow = |row: Vec<f64>| -> Vec<f32> { row.iter().map(|&l| l as f32).collect() };
    let rows = tokens
        .map(|&token| decoder.step(token).map(narrow))
        .collect::<Result<Vec<_>, _>>()?;
    let asked = case.positions.iter().map(|&position| &rows[position][..]);
    Ok(Case {
        logits: asked.collect::<Vec<_>>().concat(),
        continuation_logits: match case.continuation.is_empty() {
            true => Vec::new(),
            false => rows[case.prompt.len() - 1..].concat(),
        },
        strict_prefix: 0,
        ..case.clone()
    })
}
