//! Ladders as data: the TOML that describes one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bitgauge_engine::attention::CacheFormat;
use bitgauge_engine::model::Group;
use bitgauge_engine::session::{BATCH, Part};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::decoder::cases::CONTEXT;
use crate::run::Knob;

/// The built-in ladder: the three fixes of the reports.
const THREE_FIXES: &str = include_str!("../../ladders/three-fixes.toml");

/// Ladders that are told by name.
const NAMED: [(&str, &str); 3] = [
    ("three-fixes", THREE_FIXES),
    ("limit", include_str!("../../ladders/limit.toml")),
    (
        "tables-or-dots",
        include_str!("../../ladders/tables-or-dots.toml"),
    ),
];

/// More tokens than any model takes.
const MOST_TOKENS: u64 = 1 << 20;

/// The names of the built-in ladders.
pub fn names() -> String {
    NAMED.map(|(name, _)| name).join(", ")
}

/// A ladder, as its file describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Tokens in front of the one that is timed: 2 where it says nothing.
    #[serde(default = "short_context")]
    pub context: usize,
    /// The state before any step; sets every knob, or leaves it as the engine has it.
    pub original: State,
    /// The steps, in the order in which they are applied.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// A gain that the defects may hide, measured at the bottom and at the top.
    pub masking: Option<Masking>,
    /// Claims about the whole set.
    #[serde(default, rename = "target")]
    pub targets: Vec<Target>,
}

/// A state of the engine.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// How a kernel is selected.
    pub dispatch: Dispatch,
    /// What a working dispatch selects.
    pub kernel: String,
    /// How rows are spread over threads.
    pub scheduler: Scheduler,
    /// Whether keys and values of earlier tokens are kept.
    pub cache: bool,
    /// Who computes attention.
    #[serde(default)]
    pub attention: Attention,
    /// In what keys and values are kept: `f32`, `bf16` or `int8`.
    #[serde(default, deserialize_with = "format")]
    pub kv: CacheFormat,
    /// How the next token is chosen.
    #[serde(default)]
    pub head: Head,
    /// On what pages the weights lie.
    #[serde(default)]
    pub pages: Pages,
    /// Tokens of a prompt that go through a layer at once.
    #[serde(default = "batch")]
    pub batch: usize,
}

fn short_context() -> usize {
    CONTEXT
}

fn batch() -> usize {
    BATCH
}

fn format<'de, D: Deserializer<'de>>(text: D) -> Result<CacheFormat, D::Error> {
    let name = String::deserialize(text)?;
    name.parse().map_err(D::Error::custom)
}

fn some_format<'de, D: Deserializer<'de>>(text: D) -> Result<Option<CacheFormat>, D::Error> {
    format(text).map(Some)
}

/// Who computes attention.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// All heads on one thread, and a softmax that takes one score at a time.
    SerialScalar,
    /// Heads spread over threads, and that softmax.
    Scalar,
    /// The engine's own: over heads and chunks of positions, the softmax in vectors.
    #[default]
    Chunked,
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// From all logits.
    #[default]
    Exact,
    /// By the quantised head, which proves that all logits would give the same.
    Quantized,
}

/// On what pages the weights lie.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Pages {
    /// Large ones where the system grants them.
    #[default]
    Large,
    /// Small ones only.
    Small,
}

/// How a kernel is selected.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// The SIMD flag is never set.
    NeverSimd,
    /// By what the CPU has.
    Detect,
}

/// How rows are spread over threads.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduler {
    /// The defect: a shared queue, a locked buffer pool and a lock around each write.
    Contended,
    /// rayon: halves ranges, an idle thread steals.
    Rayon,
    /// The engine's own.
    Pool,
}

/// One step: what it changes, and what was said of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Stable name.
    pub id: String,
    /// A few words.
    pub title: String,
    /// What is changed.
    pub change: String,
    /// Why it should help.
    pub why: String,
    /// What is expected before measuring.
    pub prediction: String,
    /// The knobs that it turns.
    pub set: Change,
    /// What was claimed for it.
    pub claim: Option<Claim>,
}

/// Knobs that a step turns; the others stay.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    dispatch: Option<Dispatch>,
    kernel: Option<String>,
    scheduler: Option<Scheduler>,
    cache: Option<bool>,
    attention: Option<Attention>,
    #[serde(default, deserialize_with = "some_format")]
    kv: Option<CacheFormat>,
    head: Option<Head>,
    pages: Option<Pages>,
    batch: Option<usize>,
}

impl Change {
    /// `state` with these knobs turned.
    pub fn apply(&self, state: &State) -> State {
        State {
            dispatch: self.dispatch.unwrap_or(state.dispatch),
            kernel: self.kernel.clone().unwrap_or_else(|| state.kernel.clone()),
            scheduler: self.scheduler.unwrap_or(state.scheduler),
            cache: self.cache.unwrap_or(state.cache),
            attention: self.attention.unwrap_or(state.attention),
            kv: self.kv.unwrap_or(state.kv),
            head: self.head.unwrap_or(state.head),
            pages: self.pages.unwrap_or(state.pages),
            batch: self.batch.unwrap_or(state.batch),
        }
    }

    /// The knobs that are turned.
    pub fn knobs(&self) -> Vec<Knob> {
        let Self {
            dispatch,
            kernel,
            scheduler,
            cache,
            attention,
            kv,
            head,
            pages,
            batch,
        } = self;
        let turned = [
            (Knob::Dispatch, dispatch.is_some()),
            (Knob::Kernel, kernel.is_some()),
            (Knob::Scheduler, scheduler.is_some()),
            (Knob::Cache, cache.is_some()),
            (Knob::Attention, attention.is_some()),
            (Knob::Kv, kv.is_some()),
            (Knob::Head, head.is_some()),
            (Knob::Pages, pages.is_some()),
            (Knob::Batch, batch.is_some()),
        ];
        turned
            .into_iter()
            .filter_map(|(knob, turned)| turned.then_some(knob))
            .collect()
    }
}

/// What was claimed for a step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The sentence.
    pub text: String,
    /// Lowest speedup that makes it true.
    pub low: f64,
    /// Highest speedup that it names.
    pub high: f64,
    /// Largest relative error that makes it true, as a fraction.
    pub error_below: Option<f64>,
    /// Threads that it was claimed for: fewer here can confirm it, but not refute it.
    pub at_threads: Option<usize>,
    /// The part of the work that it speaks of; the whole token where it says nothing.
    pub of: Option<Portion>,
}

/// A part of the work that a claim can speak of.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Portion {
    /// Scores, softmax and weighted values of a token.
    Attention,
    /// The feed-forward products of a prompt and what lies between them.
    PromptFeedForward,
}

impl Portion {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention of a token",
            Self::PromptFeedForward => "feed-forward part of a prompt",
        }
    }

    /// The parts that make it up.
    pub fn parts(self) -> &'static [Part] {
        match self {
            Self::Attention => &[Part::Attention],
            Self::PromptFeedForward => &[
                Part::Product(Group::GateUp),
                Part::Activation,
                Part::Product(Group::Down),
            ],
        }
    }
}

/// A gain that the defects may hide.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masking {
    /// What is switched; only the KV cache can be.
    pub feature: Feature,
    /// Tokens of a generation, as the claim has it.
    pub tokens: u64,
    /// What was claimed for it.
    pub claim: Option<Claim>,
}

/// What a masking matrix can switch.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Feature {
    /// Keys and values of earlier tokens.
    #[serde(rename = "KV cache")]
    KvCache,
}

/// A claim about the whole set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Stable name.
    pub id: String,
    /// The sentence.
    pub text: String,
    /// Which figure of the last state it speaks of.
    pub figure: Figure,
    /// Smallest value that holds it.
    pub at_least: Option<f64>,
    /// Largest value that holds it.
    pub at_most: Option<f64>,
}

/// A figure that a target can speak of.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Token/s.
    TokenS,
    /// Milliseconds a token.
    MsToken,
    /// The least busy worker's share of the wall time, per cent.
    LeastUtilisation,
}

/// A ladder's file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// There is no such file, and no built-in ladder of that name.
    #[error("{}: no such file; a ladder is a TOML file, or a built-in one: {}", path.display(), names())]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is no ladder.
    #[error("{from}: {reason}")]
    Invalid {
        /// The file, or `built-in`.
        from: String,
        /// What is wrong, with line and column where the parser knows them.
        reason: String,
    },
}

impl Definition {
    /// The three fixes of the reports.
    ///
    /// # Errors
    /// Never in a released build: a test reads it.
    pub fn three_fixes() -> Result<Self, DefinitionError> {
        Self::parse(THREE_FIXES, "built-in")
    }

    /// Reads a ladder from a TOML file, or takes the built-in one of that name where there is no
    /// such file.
    ///
    /// # Errors
    /// When the file can't be read, or what it says is no ladder.
    pub fn read(path: &Path) -> Result<Self, DefinitionError> {
        let named = NAMED.iter().find(|(name, _)| path.as_os_str() == *name);
        let path = path.to_owned();
        if path
            .symlink_metadata()
            .is_err_and(|e| e.kind() == ErrorKind::NotFound)
        {
            return match named {
                Some((name, text)) => Self::parse(text, name),
                None => Err(DefinitionError::Missing { path }),
            };
        }
        let text = match crate::text_file::read(&path) {
            Ok(text) => text,
            Err(source) => return Err(DefinitionError::Read { path, source }),
        };
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, from: &str) -> Result<Self, DefinitionError> {
        let invalid = |reason: String| DefinitionError::Invalid {
            from: from.to_owned(),
            reason,
        };
        let ladder: Self = toml::from_str(text).map_err(|e| invalid(e.to_string()))?;
        ladder.check().map_err(invalid)?;
        Ok(ladder)
    }

    fn check(&self) -> Result<(), String> {
        if self.steps.is_empty() {
            return Err("a ladder needs at least one [[step]]".into());
        }
        for (i, step) in self.steps.iter().enumerate() {
            let id = &step.id;
            if id == "original" || self.steps[..i].iter().any(|s| s.id == *id) {
                return Err(format!(
                    "step {id:?}: each step needs an id of its own, and not \"original\""
                ));
            }
            if step.set.knobs().is_empty() {
                return Err(format!(
                    "step {id:?}: `set` turns no knob; a step changes something"
                ));
            }
        }
        let batches = self.steps.iter().filter_map(|s| s.set.batch);
        if batches.chain([self.original.batch]).any(|batch| batch == 0) {
            return Err("batch = 0: a prompt goes through a layer by one token at least".into());
        }
        if !(1..=MOST_TOKENS).contains(&(self.context as u64)) {
            return Err(format!(
                "context = {}: a token is timed after 1 to {MOST_TOKENS} others",
                self.context
            ));
        }
        if let Some(Masking { tokens, .. }) = self.masking
            && !(1..=MOST_TOKENS).contains(&tokens)
        {
            return Err(format!(
                "masking: tokens = {tokens}: a generation has 1 to {MOST_TOKENS}"
            ));
        }
        let claims = self.steps.iter().filter_map(|s| s.claim.as_ref());
        let masking = self.masking.iter().filter_map(|m| m.claim.as_ref());
        for claim in claims.chain(masking) {
            if !(claim.low > 0.0 && claim.low <= claim.high && claim.high.is_finite()) {
                return Err(format!("claim {:?}: 0 < low <= high is needed", claim.text));
            }
            if claim
                .error_below
                .is_some_and(|e| !(e > 0.0 && e.is_finite()))
            {
                return Err(format!(
                    "claim {:?}: `error_below` is a fraction above 0, such as 0.01",
                    claim.text
                ));
            }
            if claim.at_threads == Some(0) {
                return Err(format!(
                    "claim {:?}: at_threads = 0: one thread at least does the work",
                    claim.text
                ));
            }
        }
        for target in &self.targets {
            if target.at_least.is_none() == target.at_most.is_none() {
                return Err(format!(
                    "target {:?}: either `at_least` or `at_most` is needed",
                    target.id
                ));
            }
            for (name, bound) in [("at_least", target.at_least), ("at_most", target.at_most)] {
                if bound.is_some_and(|bound| !bound.is_finite()) {
                    return Err(format!("target {:?}: `{name}` must be finite", target.id));
                }
            }
        }
        Ok(())
    }

    /// The state after the first `steps` steps.
    pub fn state_after(&self, steps: usize) -> State {
        self.steps[..steps]
            .iter()
            .fold(self.original.clone(), |s, step| step.set.apply(&s))
    }

    /// The original with step `step` alone.
    pub fn alone(&self, step: usize) -> State {
        self.steps[step].set.apply(&self.original)
    }

    /// All steps but step `step`.
    pub fn without(&self, step: usize) -> State {
        let others = self.steps.iter().enumerate().filter(|(i, _)| *i != step);
        others.fold(self.original.clone(), |s, (_, step)| step.set.apply(&s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladders_of_the_repository_are_ladders() {
        for (name, _) in NAMED {
            let ladder = Definition::read(Path::new(name)).unwrap();
            assert_eq!(ladder.name, name);
        }
        let ladder = Definition::three_fixes().unwrap();
        assert_eq!(ladder.state_after(0).dispatch, Dispatch::NeverSimd);
        let top = ladder.state_after(ladder.steps.len());
        assert_eq!(top.dispatch, Dispatch::Detect);
        assert_eq!(top.scheduler, Scheduler::Pool);
    }

    #[test]
    fn a_name_that_is_neither_a_file_nor_built_in_is_told_what_is() {
        let missing = tempfile::tempdir().unwrap().path().join("nope");
        let error = Definition::read(&missing).unwrap_err().to_string();
        for (name, _) in NAMED {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_step_left_out_leaves_the_knob_as_the_others_set_it() {
        let ladder = Definition::three_fixes().unwrap();
        let last = ladder.steps.len() - 1;
        assert_eq!(ladder.without(last), ladder.state_after(last));
        assert_eq!(ladder.without(0).dispatch, Dispatch::NeverSimd);
        assert_eq!(
            ladder.without(0).kernel,
            ladder.state_after(last + 1).kernel
        );
        assert_eq!(ladder.alone(0), ladder.state_after(1));
    }

    #[test]
    fn what_is_no_ladder_is_refused_with_the_reason() {
        let refuse = |from: &str, to: &str, reason: &str| {
            let text = THREE_FIXES.replacen(from, to, 1);
            assert_ne!(text, THREE_FIXES, "{from:?} is not in the file");
            let error = Definition::parse(&text, "x.toml").unwrap_err().to_string();
            assert!(
                error.starts_with("x.toml: ") && error.contains(reason),
                "{error}"
            );
        };
        refuse(
            "scheduler = \"contended\"",
            "scheduler = \"fair\"",
            "unknown variant `fair`",
        );
        refuse(
            "cache = true",
            "cache = true\nturbo = 1",
            "unknown field `turbo`",
        );
        refuse(
            "id = \"published-repair\"",
            "id = \"simd-dispatch\"",
            "an id of its own",
        );
        refuse(
            "set = { dispatch = \"detect\" }",
            "set = {}",
            "turns no knob",
        );
        refuse(
            "low = 4.0, high = 6.0",
            "low = 6.0, high = 4.0",
            "0 < low <= high",
        );
        let masked = "low = 2.5, high = 2.0";
        refuse("low = 1.5, high = 2.0", masked, "0 < low <= high");
        let original = "id = \"original\"";
        refuse("id = \"simd-dispatch\"", original, "an id of its own");
        refuse("at_least = 10.0", "", "either `at_least` or `at_most`");
        let both = "at_least = 10.0\nat_most = 20.0";
        refuse("at_least = 10.0", both, "either `at_least` or `at_most`");
        refuse("cache = true", "cache = true\nbatch = 0", "batch = 0");
        refuse("cache = true", "cache = true\nkv = \"f16\"", "f16");
        refuse("[original]", "context = 0\n[original]", "context = 0");
        let beyond = "context = 1048577\n[original]";
        refuse("[original]", beyond, "context = 1048577");
        let step = "set = { dispatch = \"detect\"";
        refuse(step, &format!("{step}, batch = 0"), "batch = 0");
        refuse("tokens = 50", "tokens = 0", "tokens = 0");
        refuse("tokens = 50", "tokens = 1048577", "tokens = 1048577");
        refuse("at_threads = 8", "at_threads = 0", "at_threads = 0");
        for x in ["nan", "inf", "0.0", "-0.1"] {
            let error_below = format!("error_below = {x}");
            refuse("error_below = 0.01", &error_below, "`error_below`");
        }
        for x in ["nan", "inf", "-inf"] {
            refuse("at_least = 10.0", &format!("at_least = {x}"), "`at_least`");
            refuse("at_least = 10.0", &format!("at_most = {x}"), "`at_most`");
        }
        for (low, high) in [
            ("nan", "6.0"),
            ("0.0", "6.0"),
            ("4.0", "inf"),
            ("4.0", "nan"),
        ] {
            let bounds = format!("low = {low}, high = {high}");
            refuse("low = 4.0, high = 6.0", &bounds, "0 < low <= high");
        }
    }
}
