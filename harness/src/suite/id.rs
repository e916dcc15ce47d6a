//! The names of the cases, stable across revisions: what is worked on, and how.

use std::fmt;
use std::str::FromStr;

use bitgauge_engine::attention::CacheFormat;
use bitgauge_engine::kernels::{Kernel, KernelError, Spec, TABLE};
use bitgauge_engine::synthetic;
use bitgauge_engine::threads::MAX_THREADS;
use serde::{Deserialize, Serialize};

/// A case of the engine.
///
/// | id | one iteration |
/// | --- | --- |
/// | `decode/SHAPE/KERNEL/Nt` | one product for one token, activations in, sums out |
/// | `prefill/SHAPE/KERNEL/Nt` | the same for 32 tokens at once |
/// | `prefill-T/SHAPE/KERNEL/Nt` | for T of them, 2 to 1024 |
/// | `op/OPERATION/AxB/Nt` | an operation beside the products, see [`Operation`] |
/// | `token/MODEL/KERNEL/Nt` | decoding one token after two others |
/// | `prompt/MODEL/KERNEL/Nt` | reading 32 tokens |
/// | `loop/lcg/STEPS/1t` | so many dependent multiplications: what no change of the engine can alter |
/// | `memory/walk/NMiB/1t` | reading the next 1.25 MiB of a buffer of this size |
///
/// SHAPE is one of [`SHAPES`] or `ROWSxCOLS`, KERNEL a row of the engine's table or `best`, the
/// fastest that the machine can run, MODEL one of [`MODELS`], and `Nt` the number of threads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaseId {
    work: Work,
    threads: usize,
}

/// What a case does; see [`CaseId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// `decode/..`, `prefill/..`, `prefill-T/..`
    Product {
        /// How many at once.
        tokens: u16,
        /// The matrix.
        shape: Shape,
        /// Who multiplies.
        kernel: KernelName,
    },
    /// `op/..`
    Operation {
        /// Which one.
        operation: Operation,
        /// `A` and `B` of its size.
        size: [usize; 2],
    },
    /// `token/..`, `prompt/..`
    Decoder {
        /// One token or many.
        phase: Phase,
        /// One of [`MODELS`].
        model: &'static str,
        /// Who multiplies.
        kernel: KernelName,
    },
    /// `loop/lcg/..`
    Lcg {
        /// Steps of an iteration.
        steps: u64,
    },
    /// `memory/walk/..`
    Walk {
        /// Size of the buffer.
        mebibytes: usize,
    },
}

/// How many tokens take part.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// One token at a time
    Decode,
    /// 32 tokens at once
    Prefill,
}

impl Phase {
    /// Tokens at once.
    pub fn tokens(self) -> usize {
        match self {
            Self::Decode => 1,
            Self::Prefill => PREFILL,
        }
    }
}

/// The products of BitNet b1.58 2B4T, fused as the engine fuses them: name, outputs N, inputs K.
pub const SHAPES: [(&str, usize, usize); 4] = [
    ("qkv", 3840, 2560),
    ("o", 2560, 2560),
    ("gate_up", 13824, 2560),
    ("down", 2560, 6912),
];

/// A matrix, by its name in [`SHAPES`] or by its size. Both names of one size are the same work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    name: Option<&'static str>,
    /// Outputs, N.
    pub rows: usize,
    /// Inputs, K.
    pub cols: usize,
}

/// Tokens of `prefill/..`.
pub const PREFILL: usize = 32;
/// The most tokens of a product.
const MAX_TOKENS: usize = 1024;
const _: () = assert!(MAX_TOKENS <= u16::MAX as usize);
/// The widest matrix of a case: an exact sum of so many activations fits a float32, in which the
/// engine writes its products.
const MAX_COLS: usize = 1 << 16;
/// The largest matrix, in weights, and the largest product, in sums.
const MAX_WEIGHTS: usize = 1 << 30;
/// The largest operation, in numbers.
const MAX_NUMBERS: usize = 1 << 26;
/// The longest loop.
const MAX_STEPS: usize = 1_000_000_000;
/// Sizes of a buffer to be walked through, in MiB.
const WALKS: std::ops::RangeInclusive<usize> = 2..=65_536;

/// The name of the cut of 2b4t: one of its 30 layers at a quarter of the width, and 4096 of its
/// 128256 tokens. It is made whenever a worker starts.
pub const CUT: &str = "2b4t-quarter";

/// Models by name: the cut, and the engine's synthetic shapes.
pub const MODELS: [&str; 1 + synthetic::NAMES.len()] = {
    let mut models = [CUT; 1 + synthetic::NAMES.len()];
    let mut i = 0;
    while i < synthetic::NAMES.len() {
        models[i + 1] = synthetic::NAMES[i];
        i += 1;
    }
    models
};

/// A row of the engine's table, or `best`. The machine need not be able to run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelName(&'static str);

/// The name that stands for the fastest kernel of the machine.
const BEST: &str = "best";

impl KernelName {
    /// The name.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// The row of the table, which for `best` depends on the machine.
    pub fn spec(self) -> &'static Spec {
        let named = TABLE.iter().find(|spec| spec.name() == self.0);
        named.unwrap_or_else(|| Kernel::best().spec())
    }

    /// The kernel.
    ///
    /// # Errors
    /// When it can't run here.
    pub fn resolve(self) -> Result<Kernel, KernelError> {
        match self.0 {
            BEST => Ok(Kernel::best()),
            name => Kernel::by_name(name),
        }
    }
}

/// An operation beside the products; `AxB` says on how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `rms_norm`: A tokens of B values.
    RmsNorm,
    /// `quantize`: A tokens of B values.
    Quantize,
    /// `relu2`: squared ReLU times up, A tokens of B values.
    Relu2,
    /// `softmax`: A rows of B scores.
    Softmax,
    /// `rotate`: A heads of B values.
    Rotate,
    /// `head`: an output head of A tokens in bf16, times B values.
    Head,
    /// `greedy`: the largest of the same, found by its quantised copy.
    Greedy,
    /// `attention`: the last A of B tokens, with the heads of 2b4t. `attention_bf16` and
    /// `attention_int8` read a cache of that format.
    Attention(CacheFormat),
    /// `pack`: a matrix of A rows and B columns, for the fastest kernel of the machine.
    Pack,
    /// `sample`: A tokens of a vocabulary of B, by chance.
    Sample,
}

impl Operation {
    /// All, by name.
    pub const ALL: [(&str, Self); 12] = [
        ("rms_norm", Self::RmsNorm),
        ("quantize", Self::Quantize),
        ("relu2", Self::Relu2),
        ("softmax", Self::Softmax),
        ("rotate", Self::Rotate),
        ("head", Self::Head),
        ("greedy", Self::Greedy),
        ("attention", Self::Attention(CacheFormat::F32)),
        ("attention_bf16", Self::Attention(CacheFormat::Bf16)),
        ("attention_int8", Self::Attention(CacheFormat::Int8)),
        ("pack", Self::Pack),
        ("sample", Self::Sample),
    ];

    fn name(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(_, o)| *o == self);
        found.map_or("", |(name, _)| name)
    }

    /// Whether the engine spreads it over threads.
    fn is_spread(self) -> bool {
        matches!(self, Self::Head | Self::Greedy | Self::Attention(_))
    }
}

/// Text that names no case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{id}` is no case: {problem}")]
pub struct IdError {
    /// What was given.
    pub id: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl CaseId {
    /// What it does.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Threads that it runs on.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Who multiplies; `None` where nothing is.
    pub fn kernel(&self) -> Option<KernelName> {
        match self.work {
            Work::Product { kernel, .. } | Work::Decoder { kernel, .. } => Some(kernel),
            _ => None,
        }
    }

    fn parse(id: &str) -> Result<Self, String> {
        let parts: Vec<&str> = id.split('/').collect();
        let form = match parts[0] {
            "decode" | "prefill" => "SHAPE/KERNEL/Nt",
            group if group.starts_with("prefill-") => "SHAPE/KERNEL/Nt",
            "op" => "OPERATION/AxB/Nt",
            "token" | "prompt" => "MODEL/KERNEL/Nt",
            "loop" => "lcg/STEPS/1t",
            "memory" => "walk/NMiB/1t",
            group => {
                return Err(format!(
                    "it begins with `{group}`; cases begin with decode, prefill, op, token, prompt, loop or memory"
                ));
            }
        };
        let [group, what, how, threads] = parts[..] else {
            return Err(format!("it should read `{}/{form}`", parts[0]));
        };
        let threads = parse_threads(threads)?;
        let phase = match group {
            "decode" | "token" => Phase::Decode,
            _ => Phase::Prefill,
        };
        let (work, alone) = match group {
            "decode" | "prefill" => (parse_product(phase.tokens(), what, how)?, false),
            group if group.starts_with("prefill-") => {
                (parse_product(parse_tokens(group)?, what, how)?, false)
            }
            "op" => {
                let known = Operation::ALL;
                let operation = known.iter().find(|(name, _)| *name == what);
                let &(_, operation) = operation.ok_or_else(|| {
                    format!(
                        "there is no operation `{what}`; known: {}",
                        list(known.map(|(name, _)| name))
                    )
                })?;
                let size = parse_size(how, MAX_NUMBERS)?;
                check_size(operation, size)?;
                (Work::Operation { operation, size }, !operation.is_spread())
            }
            "token" | "prompt" => {
                let model = MODELS.into_iter().find(|m| *m == what);
                let model = model.ok_or_else(|| {
                    format!("there is no model `{what}`; known: {}", list(MODELS))
                })?;
                let kernel = parse_kernel(how)?;
                let work = Work::Decoder {
                    phase,
                    model,
                    kernel,
                };
                (work, false)
            }
            "loop" => {
                only("lcg", what)?;
                let steps = parse_number(how)
                    .filter(|n| (1..=MAX_STEPS).contains(n))
                    .ok_or_else(|| {
                        format!("`{how}` is no number of steps; 1 to {MAX_STEPS} can be made")
                    })?;
                let steps = steps as u64;
                (Work::Lcg { steps }, true)
            }
            _ => {
                only("walk", what)?;
                let mebibytes = how
                    .strip_suffix("MiB")
                    .and_then(parse_number)
                    .filter(|n| WALKS.contains(n))
                    .ok_or_else(|| {
                        format!(
                            "`{how}` is no size of a buffer; {}MiB to {}MiB can be walked through",
                            WALKS.start(),
                            WALKS.end()
                        )
                    })?;
                (Work::Walk { mebibytes }, true)
            }
        };
        if alone && threads > 1 {
            return Err(format!("`{group}/{what}` runs on one thread, `1t`"));
        }
        Ok(Self { work, threads })
    }
}

fn list<const N: usize>(names: [&str; N]) -> String {
    names.join(", ")
}

fn only(known: &str, given: &str) -> Result<(), String> {
    match given == known {
        true => Ok(()),
        false => Err(format!("there is no `{given}` here; only `{known}`")),
    }
}

/// A number as it is printed: an id has one spelling.
fn parse_number(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn parse_threads(text: &str) -> Result<usize, String> {
    text.strip_suffix('t')
        .and_then(parse_number)
        .filter(|n| (1..=MAX_THREADS).contains(n))
        .ok_or_else(|| {
            format!("`{text}` is no number of threads; `1t` to `{MAX_THREADS}t` can be had")
        })
}

fn parse_size(text: &str, most: usize) -> Result<[usize; 2], String> {
    let sides = text.split_once('x');
    let numbers = sides.and_then(|(a, b)| Some([parse_number(a)?, parse_number(b)?]));
    let product = |[a, b]: [usize; 2]| a.checked_mul(b);
    numbers
        .filter(|&size| product(size).is_some_and(|n| (1..=most).contains(&n)))
        .ok_or_else(|| {
            format!("`{text}` is no size; `AxB` with A and B from 1 and A times B up to {most}")
        })
}

fn check_size(operation: Operation, [a, b]: [usize; 2]) -> Result<(), String> {
    match operation {
        Operation::Rotate if !b.is_multiple_of(2) => {
            Err(format!("a head of {b} values has no pairs; B must be even"))
        }
        Operation::Pack if b > MAX_COLS => Err(format!("{b} columns; B can be up to {MAX_COLS}")),
        Operation::Attention(_) if a > b => Err(format!(
            "the last {a} of {b} tokens can't be had; A must not exceed B"
        )),
        // Keys and values of 2b4t take 1280 numbers a token.
        Operation::Attention(_) if b > MAX_NUMBERS / 1280 => Err(format!(
            "a context of {b} tokens; B can be up to {}",
            MAX_NUMBERS / 1280
        )),
        _ => Ok(()),
    }
}

fn parse_product(tokens: usize, shape: &str, kernel: &str) -> Result<Work, String> {
    let (shape, kernel) = (parse_shape(shape)?, parse_kernel(kernel)?);
    if shape.rows * tokens > MAX_WEIGHTS {
        return Err(format!(
            "{} outputs of {tokens} tokens; {MAX_WEIGHTS} sums can be had",
            shape.rows
        ));
    }
    Ok(Work::Product {
        tokens: tokens as u16,
        shape,
        kernel,
    })
}

/// `prefill-T`, where T tokens have no shorter name.
fn parse_tokens(group: &str) -> Result<usize, String> {
    let tokens = group.strip_prefix("prefill-").and_then(parse_number);
    match tokens {
        Some(1) => Err("one token is `decode`".into()),
        Some(PREFILL) => Err(format!("{PREFILL} tokens are `prefill`")),
        Some(tokens) if (2..=MAX_TOKENS).contains(&tokens) => Ok(tokens),
        _ => Err(format!(
            "`{group}` is no number of tokens; `prefill-2` to `prefill-{MAX_TOKENS}` can be had"
        )),
    }
}

fn parse_shape(text: &str) -> Result<Shape, String> {
    if let Some((name, rows, cols)) = SHAPES.into_iter().find(|(name, ..)| *name == text) {
        let name = Some(name);
        return Ok(Shape { name, rows, cols });
    }
    match parse_size(text, MAX_WEIGHTS) {
        Ok([rows, cols]) if cols <= MAX_COLS => Ok(Shape {
            name: None,
            rows,
            cols,
        }),
        _ => Err(format!(
            "`{text}` is no shape; known: {}, or ROWSxCOLS with up to {MAX_COLS} columns and {MAX_WEIGHTS} weights",
            list(SHAPES.map(|(name, ..)| name))
        )),
    }
}

fn parse_kernel(text: &str) -> Result<KernelName, String> {
    let names = || TABLE.iter().map(|spec| spec.name()).chain([BEST]);
    names()
        .find(|name| *name == text)
        .map(KernelName)
        .ok_or_else(|| {
            let known: Vec<_> = names().collect();
            format!("there is no kernel `{text}`; known: {}", known.join(", "))
        })
}

impl FromStr for CaseId {
    type Err = IdError;

    fn from_str(id: &str) -> Result<Self, IdError> {
        Self::parse(id).map_err(|problem| IdError {
            id: id.to_owned(),
            problem,
        })
    }
}

impl TryFrom<String> for CaseId {
    type Error = IdError;

    fn try_from(id: String) -> Result<Self, IdError> {
        id.parse()
    }
}

impl From<CaseId> for String {
    fn from(id: CaseId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choose = |phase: Phase, one, many| match phase {
            Phase::Decode => one,
            Phase::Prefill => many,
        };
        match &self.work {
            Work::Product {
                tokens,
                shape,
                kernel,
            } => {
                match usize::from(*tokens) {
                    1 => f.write_str("decode"),
                    PREFILL => f.write_str("prefill"),
                    tokens => write!(f, "prefill-{tokens}"),
                }?;
                write!(f, "/{shape}/{}", kernel.0)
            }
            Work::Operation {
                operation,
                size: [a, b],
            } => write!(f, "op/{}/{a}x{b}", operation.name()),
            Work::Decoder {
                phase,
                model,
                kernel,
            } => {
                let group = choose(*phase, "token", "prompt");
                write!(f, "{group}/{model}/{}", kernel.0)
            }
            Work::Lcg { steps } => write!(f, "loop/lcg/{steps}"),
            Work::Walk { mebibytes } => write!(f, "memory/walk/{mebibytes}MiB"),
        }?;
        write!(f, "/{}t", self.threads)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}x{}", self.rows, self.cols),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(id: &str) -> Result<CaseId, IdError> {
        id.parse()
    }

    #[test]
    fn ids_print_as_they_were_read() {
        for id in [
            "decode/gate_up/vbmi-avx512/1t",
            "prefill/320x256/naive/16t",
            "prefill-64/o/best/1t",
            "decode/1x1/best/1024t",
            "op/rms_norm/64x2560/1t",
            "op/head/1000x2560/2t",
            "op/attention/32x256/2t",
            "op/attention_int8/1x640/2t",
            "op/pack/128x2560/1t",
            "op/sample/1x4096/1t",
            "token/tiny/best/1t",
            "prompt/2b4t-quarter/tmac-scalar/2t",
            "loop/lcg/20000/1t",
            "memory/walk/256MiB/1t",
        ] {
            let parsed = parse(id).unwrap();
            assert_eq!(parsed.to_string(), id);
            let json = serde_json::to_string(&parsed).unwrap();
            assert_eq!(json, format!("\"{id}\""));
            assert_eq!(serde_json::from_str::<CaseId>(&json).unwrap(), parsed);
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_what_exists_is_listed() {
        for (id, says) in [
            ("", "cases begin with decode, prefill, op"),
            ("decoder/o/naive/1t", "begins with `decoder`"),
            ("decode/o/naive", "should read `decode/SHAPE/KERNEL/Nt`"),
            ("decode/o/naive/1t/", "should read `decode/SHAPE/KERNEL/Nt`"),
            ("op/softmax/4x4", "should read `op/OPERATION/AxB/Nt`"),
            (
                "decode/kv/naive/1t",
                "known: qkv, o, gate_up, down, or ROWSxCOLS",
            ),
            ("prefill-1/o/naive/1t", "one token is `decode`"),
            ("prefill-32/o/naive/1t", "32 tokens are `prefill`"),
            ("prefill-064/o/naive/1t", "`prefill-064` is no number"),
            ("prefill-1025/o/naive/1t", "`prefill-2` to `prefill-1024`"),
            ("prefill-64/o/naive", "should read `prefill-64/SHAPE/KERNEL"),
            (
                "prefill/1073741824x1/naive/1t",
                "1073741824 sums can be had",
            ),
            ("decode/0x8/naive/1t", "`0x8` is no shape"),
            ("decode/8x65537/naive/1t", "up to 65536 columns"),
            ("decode/99999999999x99999999999/naive/1t", "is no shape"),
            ("decode/08x8/naive/1t", "`08x8` is no shape"),
            (
                "decode/o/fast/1t",
                "no kernel `fast`; known: naive, tmac-scalar",
            ),
            ("decode/o/naive/0t", "`1t` to `1024t`"),
            ("decode/o/naive/1", "`1` is no number of threads"),
            ("decode/o/naive/+1t", "`+1t` is no number of threads"),
            ("op/silu/4x4/1t", "known: rms_norm, quantize"),
            ("op/softmax/4/1t", "`4` is no size"),
            ("op/softmax/4x4/2t", "`op/softmax` runs on one thread"),
            ("op/rotate/4x5/1t", "B must be even"),
            ("op/pack/4x65537/1t", "B can be up to 65536"),
            ("op/pack/4x4/2t", "`op/pack` runs on one thread"),
            ("op/attention/5x4/1t", "A must not exceed B"),
            ("op/attention/1x60000/1t", "B can be up to"),
            ("token/2b5t/best/1t", "known: 2b4t-quarter, tiny"),
            ("loop/xorshift/5/1t", "only `lcg`"),
            ("loop/lcg/0/1t", "1 to 1000000000"),
            ("memory/walk/1MiB/1t", "2MiB to"),
            ("memory/walk/256/1t", "`256` is no size of a buffer"),
            ("memory/walk/256MiB/2t", "runs on one thread"),
        ] {
            let error = parse(id).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{id}` is no case: ")),
                "{error}"
            );
            assert!(error.contains(says), "{id}: {error}");
        }
    }

    #[test]
    fn threads_sort_as_numbers() {
        let mut ids = ["decode/o/naive/10t", "decode/o/naive/2t"].map(|id| parse(id).unwrap());
        ids.sort();
        assert_eq!(ids[0].threads(), 2);
    }
}
