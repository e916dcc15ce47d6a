//! `bitgauge generate MODEL`: tokens, streamed.

use std::sync::Arc;

use bitgauge_engine::attention::CacheFormat;
use bitgauge_engine::head::Effort;
use bitgauge_engine::isa::Isa;
use bitgauge_engine::model::{Model, Vocabulary};
use bitgauge_engine::sampler::{Sampler, Sampling};
use bitgauge_engine::session::{Session, Settings};
use bitgauge_engine::threads::Pool;
use bitgauge_engine::{Error, Token};
use clap::{ArgGroup, Args, ValueEnum};
use serde::Serialize;

use super::output::{Output, tell};
use super::{room, selection};
use crate::exit::{Exit, Failure};
use crate::model_source::ModelSource;

/// Arguments of `bitgauge generate`.
#[derive(Args)]
#[command(group(ArgGroup::new("beginning").required(true).args(["tokens", "prompt"])))]
pub struct Arguments {
    /// A checkpoint folder, a GGUF file, a packed file, or the name of a synthetic shape
    model: String,
    /// Text to continue, in builds with `--features text`; needs a tokenizer.json beside the model
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Token ids to continue, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    tokens: Option<Vec<Token>>,
    /// Tokens to generate at most; a model's own end token ends earlier
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_tokens: usize,
    /// 0 is greedy
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,
    /// Candidates: only the K most likely (0: all)
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Candidates: only the most likely that reach probability P together
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Seed of the random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run every product with this kernel [default: what `tune` found on as many threads, or the
    /// best that this machine runs]
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Leave out what `tune` found
    #[arg(long)]
    no_tune: bool,
    /// How the likeliest token is found; the tokens are the same [default: quantized; exact where
    /// only portable code can run, since it is faster there]
    #[arg(long, value_enum)]
    head: Option<Head>,
    /// How keys and values are stored: f32, bf16 or int8. The last two round, which changes logits
    #[arg(long, value_name = "FORMAT", default_value_t)]
    kv: CacheFormat,
}

/// The KV cache.
#[derive(Serialize)]
struct CacheUse {
    format: &'static str,
    bytes_per_position: usize,
}

/// What greedy tokens are chosen from.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Head {
    /// A copy of the output head in a few bits a weight, and the rows that it leaves in question
    Quantized,
    /// All logits
    Exact,
}

impl Head {
    /// Portable code sums small codes more slowly than it reads large numbers.
    fn faster_here() -> Self {
        match Isa::highest() {
            Isa::Portable => Self::Exact,
            _ => Self::Quantized,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quantized => "quantized",
            Self::Exact => "exact",
        }
    }
}

/// What the quantised head read, a token on average.
#[derive(Serialize)]
struct HeadUse {
    tokens: usize,
    bits_per_weight: f64,
    /// Rows read from each plane, four bits a weight first.
    rows_read: Vec<f64>,
    /// Logits computed from the original weights.
    logits: f64,
}

impl HeadUse {
    fn of(efforts: &[Effort], weights: usize) -> Option<Self> {
        let mean = |of: &dyn Fn(&Effort) -> usize| {
            efforts.iter().map(|e| of(e) as f64).sum::<f64>() / efforts.len() as f64
        };
        let planes = efforts.first()?.read.len();
        Some(Self {
            tokens: efforts.len(),
            bits_per_weight: 8.0 * mean(&|e| e.bytes) / weights as f64,
            rows_read: (0..planes).map(|plane| mean(&|e| e.read[plane])).collect(),
            logits: mean(&|e| e.exact),
        })
    }
}

#[derive(Serialize)]
struct Document {
    model: String,
    threads: usize,
    selection: Vec<crate::run::Selected>,
    fallbacks: usize,
    prompt_tokens: Vec<Token>,
    tokens: Vec<Token>,
    text: Option<String>,
    /// `None` when no token was chosen by a quantised head.
    head: Option<HeadUse>,
    cache: CacheUse,
    /// `length`, `context` or `end token`.
    ended_by: &'static str,
}

/// How tokens are shown.
trait Voice {
    /// What can be shown once `token` is known.
    fn say(&mut self, token: Token) -> Result<String, Failure>;
    /// What was held back until the end.
    fn end(&mut self) -> Result<String, Failure>;
    /// Whether it speaks text, not token ids.
    fn is_text(&self) -> bool;
}

/// Token ids as they are.
struct Ids;

impl Voice for Ids {
    fn say(&mut self, token: Token) -> Result<String, Failure> {
        Ok(format!("{token} "))
    }
    fn end(&mut self) -> Result<String, Failure> {
        Ok(String::new())
    }
    fn is_text(&self) -> bool {
        false
    }
}

/// Generates.
///
/// # Errors
/// When the model, the kernel, the prompt or the parameters can't be used.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    let source = ModelSource::open(&arguments.model)?;
    let job = Job {
        arguments,
        source: &source,
        threads,
        output,
    };
    match (&arguments.prompt, &arguments.tokens) {
        (Some(text), _) => text::run(&job, text),
        (None, Some(tokens)) => job.run(tokens, &mut Ids),
        (None, None) => Err(Failure::could_not_run(
            "give --prompt TEXT or --tokens ID,ID,...",
        )),
    }
}

struct Job<'a> {
    arguments: &'a Arguments,
    source: &'a ModelSource,
    threads: usize,
    output: Output,
}

impl Job<'_> {
    fn run(&self, prompt: &[Token], voice: &mut dyn Voice) -> Result<Exit, Failure> {
        let Self {
            arguments,
            source,
            threads,
            output,
        } = *self;
        let chosen = selection::choose(arguments.kernel.as_deref(), arguments.no_tune, threads)?;
        let mut sampler = Sampler::new(Sampling {
            temperature: arguments.temperature,
            top_k: arguments.top_k,
            top_p: arguments.top_p,
            seed: arguments.seed,
        })?;
        let limit = source.source().config().max_position_embeddings;
        room::for_one(source.source().config())?;
        let pool = Pool::new(threads)?;
        let greedy = arguments.temperature == 0.0;
        let quantized =
            greedy && arguments.head.unwrap_or_else(Head::faster_here) == Head::Quantized;
        let vocabulary = match quantized {
            true => Vocabulary::load_quantized(source.source())?,
            false => Vocabulary::load(source.source())?,
        };
        selection::warn_of_packing(source, &chosen);
        let model = Model::with_vocabulary(source.source(), &chosen, Arc::new(vocabulary))?;
        let capacity = prompt
            .len()
            .saturating_add(arguments.max_tokens)
            .clamp(1, limit);
        let settings = Settings {
            cache: arguments.kv,
            ..Settings::default()
        };
        let mut session = Session::with_settings(&model, &pool, capacity, settings)?;
        let cache = CacheUse {
            format: arguments.kv.name(),
            bytes_per_position: session.cache_bytes_per_position(),
        };

        let mut next = sampler.next(session.prefill(prompt)?)?;
        tell(selection::told(&model, &chosen));
        selection::warn_of_fallbacks(&model);
        let (mut tokens, mut said) = (Vec::new(), String::new());
        let mut efforts = Vec::new();
        let mut follow = |token| -> Result<Token, Error> {
            if !greedy {
                return sampler.next(session.decode(token)?);
            }
            let next = session.decode_greedy(token)?;
            efforts.extend(next.effort);
            Ok(next.token)
        };
        let ended_by = loop {
            if tokens.len() == arguments.max_tokens {
                break "length";
            }
            if model.config().eos_token_ids.contains(&next) {
                break "end token";
            }
            tokens.push(next);
            let piece = voice.say(next)?;
            output.raw(&piece)?;
            said += &piece;
            if prompt.len() + tokens.len() > limit {
                break "context";
            }
            if tokens.len() < arguments.max_tokens {
                next = follow(next)?;
            }
        };
        let rest = voice.end()?;
        output.raw(&format!("{rest}\n"))?;
        said += &rest;
        output.document(&Document {
            model: source.name(),
            threads,
            selection: selection::rows(&model, &|n, k| chosen.origin(n, k)),
            fallbacks: model.fallbacks(),
            prompt_tokens: prompt.to_vec(),
            tokens,
            text: voice.is_text().then_some(said),
            head: HeadUse::of(
                &efforts,
                model.config().vocab_size * model.config().hidden_size,
            ),
            cache,
            ended_by,
        })?;
        Ok(Exit::Held)
    }
}

#[cfg(not(feature = "text"))]
mod text {
    use super::{Exit, Failure, Job};

    pub(super) fn run(_: &Job<'_>, _: &str) -> Result<Exit, Failure> {
        Err(Failure::could_not_run(
            "--prompt: this build reads token ids only; build it with `--features text`, or give --tokens ID,ID,...",
        ))
    }
}

#[cfg(feature = "text")]
mod text {
    use bitgauge_engine::Token;
    use bitgauge_engine::text::{TextStream, Tokenizer};

    use super::{Exit, Failure, Job, Voice};
    use crate::model_source::ModelSource;

    struct Text<'a>(Option<TextStream<'a>>);

    impl Voice for Text<'_> {
        fn say(&mut self, token: Token) -> Result<String, Failure> {
            Ok(self
                .0
                .as_mut()
                .map(|s| s.push(token))
                .transpose()?
                .unwrap_or_default())
        }
        fn end(&mut self) -> Result<String, Failure> {
            Ok(self
                .0
                .take()
                .map(TextStream::finish)
                .transpose()?
                .unwrap_or_default())
        }
        fn is_text(&self) -> bool {
            true
        }
    }

    pub(super) fn run(job: &Job<'_>, prompt: &str) -> Result<Exit, Failure> {
        let folder = match job.source {
            ModelSource::Folder(_, path) => path,
            ModelSource::Gguf(_, path) | ModelSource::Packed(_, path) => {
                path.parent().unwrap_or(path)
            }
            ModelSource::Synthetic(_, name) => {
                return Err(Failure::could_not_run(format!(
                    "--prompt: the synthetic shape `{name}` has no tokenizer; give --tokens ID,ID,..."
                )));
            }
        };
        let tokenizer = Tokenizer::open(folder)?;
        let prompt = tokenizer.encode(prompt)?;
        job.run(&prompt, &mut Text(Some(tokenizer.stream())))
    }
}
