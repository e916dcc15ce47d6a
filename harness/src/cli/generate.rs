//! `bitgauge generate MODEL`: tokens, streamed.

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Best, Dispatch, Model};
use bitgauge_engine::sampler::{Sampler, Sampling};
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Pool;
use bitgauge_engine::{Error, Token};
use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::selection;
use crate::exit::{Exit, Failure};
use crate::model_source::ModelSource;

/// Arguments of `bitgauge generate`.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint folder, or the name of a synthetic shape
    model: String,
    /// Text to continue; needs a tokenizer.json beside the model
    #[arg(long, value_name = "TEXT", required_unless_present = "tokens")]
    prompt: Option<String>,
    /// Token ids to continue, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "prompt")]
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
    /// Run every product with this kernel
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
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
    /// `length`, `context` or `end token`.
    ended_by: &'static str,
}

/// What prompts are made of, and what tokens become.
trait Voice {
    fn encode(&self, arguments: &Arguments) -> Result<Vec<Token>, Failure>;
    /// The text that is complete once `token` is known.
    fn say(&mut self, token: Token) -> Result<String, Failure>;
    fn is_text(&self) -> bool;
}

/// Token ids as they are.
struct Ids;

impl Voice for Ids {
    fn encode(&self, arguments: &Arguments) -> Result<Vec<Token>, Failure> {
        Ok(arguments.tokens.clone().unwrap_or_default())
    }
    fn say(&mut self, token: Token) -> Result<String, Failure> {
        Ok(format!("{token} "))
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
    let dispatch: Box<dyn Dispatch> = match &arguments.kernel {
        Some(name) => Box::new(Kernel::by_name(name)?),
        None => Box::new(Best),
    };
    let mut sampler = Sampler::new(Sampling {
        temperature: arguments.temperature,
        top_k: arguments.top_k,
        top_p: arguments.top_p,
        seed: arguments.seed,
    })?;
    let source = ModelSource::open(&arguments.model)?;
    let mut voice = voice(arguments, &source)?;
    let prompt_tokens = voice.encode(arguments)?;
    let model = Model::load(source.source(), &*dispatch)?;
    selection::warn_of_fallbacks(&model);

    let config = model.config();
    let limit = config.max_position_embeddings;
    let capacity = (prompt_tokens.len() + arguments.max_tokens).clamp(1, limit);
    let pool = Pool::new(threads)?;
    let mut session = Session::new(&model, &pool, capacity)?;
    let mut next = sampler.next(session.prefill(&prompt_tokens)?)?;

    let (mut tokens, mut said) = (Vec::new(), String::new());
    let ended_by = loop {
        if tokens.len() == arguments.max_tokens {
            break "length";
        }
        if config.eos_token_ids.contains(&next) {
            break "end token";
        }
        tokens.push(next);
        let text = voice.say(next)?;
        output.text(&text)?;
        said += &text;
        if tokens.len() == arguments.max_tokens {
            break "length";
        }
        match session.decode(next) {
            Ok(logits) => next = sampler.next(logits)?,
            Err(Error::Context { .. }) => break "context",
            Err(error) => return Err(error.into()),
        }
    };
    output.line("")?;
    output.document(&Document {
        model: source.name(),
        threads,
        selection: selection::rows(&model),
        fallbacks: model.fallbacks(),
        prompt_tokens,
        tokens,
        text: voice.is_text().then_some(said),
        ended_by,
    })?;
    Ok(Exit::Held)
}

#[cfg(not(feature = "text"))]
fn voice(arguments: &Arguments, _source: &ModelSource) -> Result<Box<dyn Voice>, Failure> {
    match arguments.prompt {
        None => Ok(Box::new(Ids)),
        Some(_) => Err(Failure::could_not_run(
            "--prompt: this build reads token ids only; build it with `--features text`, or give --tokens ID,ID,...",
        )),
    }
}

#[cfg(feature = "text")]
fn voice(arguments: &Arguments, source: &ModelSource) -> Result<Box<dyn Voice>, Failure> {
    use bitgauge_engine::text::{TextStream, Tokenizer};

    struct Text {
        tokenizer: Tokenizer,
        stream: TextStream,
    }

    impl Voice for Text {
        fn encode(&self, arguments: &Arguments) -> Result<Vec<Token>, Failure> {
            Ok(self.tokenizer.encode(arguments.prompt.as_deref().unwrap_or_default())?)
        }
        fn say(&mut self, token: Token) -> Result<String, Failure> {
            Ok(self.stream.push(&self.tokenizer, token)?)
        }
        fn is_text(&self) -> bool {
            true
        }
    }

    match (&arguments.prompt, source) {
        (None, _) => Ok(Box::new(Ids)),
        (Some(_), ModelSource::Folder(_, path)) => {
            let tokenizer = Tokenizer::open(path)?;
            Ok(Box::new(Text { tokenizer, stream: TextStream::default() }))
        }
        (Some(_), ModelSource::Synthetic(_, name)) => Err(Failure::could_not_run(format!(
            "--prompt: the synthetic shape `{name}` has no tokenizer; give --tokens ID,ID,..."
        ))),
    }
}
