//! Whole tokens: decode and prefill, on each kernel. See README.md for the names.

mod common;

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Arc;

use bitgauge_engine::Token;
use bitgauge_engine::checkpoint::Config;
use bitgauge_engine::kernels::{Kernel, available};
use bitgauge_engine::model::{Model, Vocabulary};
use bitgauge_engine::session::Session;
use bitgauge_engine::synthetic::{self, Synthetic};
use bitgauge_engine::threads::Pool;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

use common::settings;

/// Tokens that decode finds in the cache.
const POSITION: usize = 64;
/// Tokens of a prefill.
const BATCH: usize = 32;

fn shape(name: &str) -> Config {
    synthetic::shape(name).expect("a known shape")
}

/// Names and shapes; one layer repeats what the next does, so two are enough for a large one.
fn shapes() -> [(&'static str, Config); 2] {
    let cut = Config {
        num_hidden_layers: 2,
        vocab_size: 3200,
        ..shape("700m")
    };
    [("tiny", shape("tiny")), ("700m-2l", cut)]
}

/// Any ids do.
fn prompt(config: &Config, len: usize) -> Vec<Token> {
    let id = |i: usize| (i * 37 % config.vocab_size) as Token;
    (0..len).map(id).collect()
}

/// Bytes of the weights that a token reads: the ternary ones, and the bf16 head.
fn bytes(config: &Config, kernel: Kernel) -> u64 {
    let layer: usize = config.linears().iter().map(|(_, (n, k))| n * k).sum();
    let ternary = (layer * config.num_hidden_layers) as f64 * kernel.spec().bits_per_weight();
    (ternary / 8.0) as u64 + (config.vocab_size * config.hidden_size * 2) as u64
}

/// A shape's weights, and the logits that every kernel must give, to the bit.
struct Weights {
    source: Synthetic,
    vocabulary: Arc<Vocabulary>,
    expected: Vec<u32>,
}

impl Weights {
    fn new(config: &Config, pool: &Pool) -> Self {
        let source = synthetic::model(config.clone(), 1);
        let vocabulary = Arc::new(Vocabulary::load(&source).expect("a synthetic vocabulary"));
        let mut weights = Self {
            source,
            vocabulary,
            expected: Vec::new(),
        };
        let naive = Kernel::by_name("naive").expect("the portable kernel");
        weights.expected = bits(&weights.load(naive), pool);
        weights
    }

    fn load(&self, kernel: Kernel) -> Model {
        Model::with_vocabulary(&self.source, &kernel, self.vocabulary.clone())
            .expect("a synthetic model")
    }

    /// The model packed for `kernel`; ends the suite if its answers are others.
    fn judged(&self, kernel: Kernel, pool: &Pool) -> Model {
        let model = self.load(kernel);
        let name = kernel.spec().name();
        assert!(
            bits(&model, pool) == self.expected,
            "kernel `{name}` gives other logits than `naive`; what is wrong is not timed"
        );
        model
    }
}

/// Logits after a batch and a decoded token.
fn bits(model: &Model, pool: &Pool) -> Vec<u32> {
    let tokens = prompt(model.config(), POSITION + 1);
    let mut session = session(model, pool);
    session.prefill(&tokens[..POSITION]).expect("a prefill");
    let logits = session.decode(tokens[POSITION]).expect("a token");
    assert!(logits.iter().all(|l| l.is_finite()), "logits are finite");
    logits.iter().map(|l| l.to_bits()).collect()
}

fn session<'m>(model: &'m Model, pool: &'m Pool) -> Session<'m> {
    Session::new(model, pool, POSITION + 1).expect("a session")
}

fn decoder(c: &mut Criterion) {
    let pool = Pool::new(1).expect("one thread");
    for (name, config) in shapes() {
        let weights = LazyCell::new(|| Weights::new(&config, &pool));
        for kernel in available() {
            let model = LazyCell::new(|| weights.judged(kernel, &pool));
            let bytes = bytes(&config, kernel);
            let kernel = kernel.spec().name();

            let mut group = c.benchmark_group(format!("decode/{name}"));
            group.sampling_mode(SamplingMode::Flat);
            let elements = 1;
            group.throughput(Throughput::ElementsAndBytes { elements, bytes });
            group.bench_function(kernel, |b| {
                let mut session = session(&model, &pool);
                let prompt = prompt(&config, POSITION);
                session.prefill(&prompt).expect("a prefill");
                b.iter(|| {
                    session.truncate(POSITION);
                    session.decode(black_box(1)).expect("a token")[0]
                });
            });
            group.finish();

            let mut group = c.benchmark_group(format!("prefill/{name}"));
            group.sampling_mode(SamplingMode::Flat).sample_size(10);
            let elements = BATCH as u64;
            group.throughput(Throughput::ElementsAndBytes { elements, bytes });
            group.bench_function(kernel, |b| {
                let mut session = session(&model, &pool);
                let prompt = prompt(&config, BATCH);
                b.iter(|| {
                    session.truncate(0);
                    session.prefill(black_box(&prompt)).expect("a prefill")[0]
                });
            });
        }
    }
}

criterion_group! {
    name = suite;
    config = settings();
    targets = decoder
}
criterion_main!(suite);
