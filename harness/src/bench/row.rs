//! One test's result under llama-bench's names, and the forms that it is written in.

use bitgauge_engine::checkpoint::{Config, Linear};
use bitgauge_engine::model::Model;
use clap::ValueEnum;
use serde::Serialize;

use super::{Test, Work};
use crate::exit::Failure;

/// A form of the results, as llama-bench names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table in Markdown
    Md,
    /// One list
    Json,
    /// An object a line
    Jsonl,
    /// A header, and a line a test; without samples
    Csv,
}

/// What all tests of a run have in common.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// Revision of the sources, where it is known.
    pub build_commit: Option<String>,
    /// The processor, where the system names it.
    pub cpu_info: Option<String>,
    /// `bitgauge KERNEL`.
    pub backends: String,
    /// The model as it was named.
    pub model_filename: String,
    /// `bitnet 2.41 B`, by the parameters.
    pub model_type: String,
    /// Bytes that the weights take in memory: matrices as packed, embedding and head, and the small
    /// copy of the head where there is one.
    pub model_size: u64,
    /// Weights, those of the norms included.
    pub model_n_params: u64,
    /// Threads.
    pub n_threads: usize,
    /// Tokens that go through a layer at once.
    pub n_batch: usize,
}

impl About {
    /// What is known of `model` itself.
    pub fn of(model: &Model, name: &str, kernel: &str, threads: usize) -> Self {
        let config = model.config();
        let vocabulary = model.vocabulary();
        let embedding = match config.tie_word_embeddings {
            true => 0,
            false => model.head_bytes(),
        };
        let copy = vocabulary.quantized_head().map_or(0, |head| head.bytes());
        let parameters = parameters(config);
        Self {
            build_commit: None,
            cpu_info: None,
            backends: format!("bitgauge {kernel}"),
            model_filename: name.to_owned(),
            model_type: format!("bitnet {}", shortened(parameters)),
            model_size: (model.ternary_bytes() + model.head_bytes() + embedding + copy) as u64,
            model_n_params: parameters,
            n_threads: threads,
            n_batch: bitgauge_engine::session::BATCH,
        }
    }
}

/// `2.41 B`, `3.56 M`.
fn shortened(parameters: u64) -> String {
    match parameters as f64 {
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n => format!("{:.2} M", n / 1e6),
    }
}

/// All weights of a model of this shape.
fn parameters(config: &Config) -> u64 {
    let linears = Linear::ALL.iter().map(|l| l.shape(config));
    let linears: usize = linears.map(|(rows, cols)| rows * cols).sum();
    let hidden = config.hidden_size;
    let attended = config.num_attention_heads * config.head_dim;
    let norms = 2 * hidden + attended + config.intermediate_size;
    let vocabularies = if config.tie_word_embeddings { 1 } else { 2 };
    let layers = config.num_hidden_layers * (linears + norms);
    (layers + hidden + vocabularies * config.vocab_size * hidden) as u64
}

/// One test's result. Fields have llama-bench's names and meanings, besides `head`.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    #[serde(flatten)]
    figures: Figures,
    /// Nanoseconds of each repetition.
    samples_ns: Vec<u64>,
    /// Tokens a second of each.
    samples_ts: Vec<f64>,
}

/// What a line of CSV holds.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    build_commit: Option<String>,
    cpu_info: Option<String>,
    backends: String,
    model_filename: String,
    model_type: String,
    model_size: u64,
    model_n_params: u64,
    n_batch: usize,
    n_threads: usize,
    /// What logits come from: `exact` or `quantized`.
    head: &'static str,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    /// When the test began, as RFC 3339 in UTC.
    test_time: String,
    /// Mean over the repetitions, to the nanosecond.
    avg_ns: u64,
    /// Sample standard deviation; unknown after one repetition, where llama-bench says 0.
    stddev_ns: Option<u64>,
    avg_ts: f64,
    stddev_ts: Option<f64>,
}

impl Row {
    /// The result of a test that took these times, in nanoseconds, at least one and none 0.
    pub fn new(
        about: &About,
        test: &Test,
        head: &'static str,
        test_time: String,
        samples_ns: Vec<u64>,
    ) -> Self {
        let tokens = test.tokens() as f64;
        let ns: Vec<f64> = samples_ns.iter().map(|ns| *ns as f64).collect();
        let samples_ts: Vec<f64> = ns.iter().map(|ns| tokens * 1e9 / ns).collect();
        let about = about.clone();
        let (n_prompt, n_gen) = match test.work {
            Work::Prompt(n) => (n, 0),
            Work::Generate(n) => (0, n),
        };
        let figures = Figures {
            build_commit: about.build_commit,
            cpu_info: about.cpu_info,
            backends: about.backends,
            model_filename: about.model_filename,
            model_type: about.model_type,
            model_size: about.model_size,
            model_n_params: about.model_n_params,
            n_batch: about.n_batch,
            n_threads: about.n_threads,
            head,
            n_prompt,
            n_gen,
            n_depth: test.depth,
            test_time,
            avg_ns: mean(&ns).round() as u64,
            stddev_ns: deviation(&ns).map(|ns| ns.round() as u64),
            avg_ts: mean(&samples_ts),
            stddev_ts: deviation(&samples_ts),
        };
        Self {
            figures,
            samples_ns,
            samples_ts,
        }
    }

    fn markdown(&self, test: &Test) -> String {
        let f = &self.figures;
        let spread = f.stddev_ts.map_or(String::new(), |s| format!(" ± {s:.2}"));
        format!(
            "| {} | {:.2} MiB | {} | {} | {} | {} | {} | {:.2}{spread} |\n",
            f.model_type.replace('|', "\\|"),
            f.model_size as f64 / f64::from(1 << 20),
            shortened(f.model_n_params),
            f.backends,
            f.n_threads,
            f.head,
            test.name(),
            f.avg_ts,
        )
    }
}

/// The heading of the table.
const HEADING: &str = "| model | size | params | backend | threads | head | test | t/s |
| --- | ---: | ---: | --- | ---: | --- | ---: | ---: |
";

impl Format {
    /// What is written once `row` is known, the `index`th; nothing for a list, which is written
    /// whole.
    ///
    /// # Errors
    /// When a row can't be encoded, which none is known to be.
    pub fn line(self, test: &Test, row: &Row, index: usize) -> Result<String, Failure> {
        Ok(match self {
            Self::Json => String::new(),
            Self::Jsonl => serde_json::to_string(row)? + "\n",
            Self::Md if index == 0 => HEADING.to_owned() + &row.markdown(test),
            Self::Md => row.markdown(test),
            Self::Csv => {
                let headers = index == 0;
                let mut writer = csv::WriterBuilder::new()
                    .has_headers(headers)
                    .from_writer(Vec::new());
                writer.serialize(&row.figures)?;
                String::from_utf8(writer.into_inner()?)?
            }
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample standard deviation; `None` of fewer than two.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitgauge_engine::kernels::Kernel;
    use bitgauge_engine::synthetic;

    fn row(samples_ns: Vec<u64>) -> (Test, Row) {
        let source = synthetic::model(synthetic::shape("tiny").unwrap(), 1);
        let model = Model::load(&source, &Kernel::best()).unwrap();
        let about = About::of(&model, "a,b", "naive", 2);
        let test = Test::all(&[0], &[10], &[3])[0];
        let row = Row::new(&about, &test, "exact", "then".into(), samples_ns);
        (test, row)
    }

    #[test]
    fn speeds_are_tokens_by_seconds() {
        // 10 tokens in 1 s, 2 s and 5 s: 10, 5 and 2 a second; deviations by hand.
        let (test, row) = row(vec![1_000_000_000, 2_000_000_000, 5_000_000_000]);
        assert_eq!(row.samples_ts, [10.0, 5.0, 2.0]);
        let f = &row.figures;
        assert!((f.avg_ts - 17.0 / 3.0).abs() < 1e-12);
        assert!((f.stddev_ts.unwrap() - (49.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        // 8/3 s, and the root of 13/3 s².
        assert_eq!(
            (f.avg_ns, f.stddev_ns),
            (2_666_666_667, Some(2_081_665_999))
        );
        assert_eq!((f.n_prompt, f.n_gen, f.n_depth), (0, 10, 3));
        let line = Format::Md.line(&test, &row, 1).unwrap();
        assert!(
            line.ends_with("| exact | tg10 @ d3 | 5.67 ± 4.04 |\n"),
            "{line}"
        );
    }

    #[test]
    fn one_repetition_has_no_deviation() {
        let (test, row) = row(vec![1_000_000_000]);
        assert_eq!(row.figures.stddev_ts, None);
        let line = Format::Md.line(&test, &row, 1).unwrap();
        assert!(line.ends_with("| 10.00 |\n"), "{line}");
    }

    #[test]
    fn weights_of_the_published_model_are_counted() {
        // BitNet b1.58 2B4T as its model card has it: 2 412 820 480 parameters.
        let config = synthetic::shape("2b4t").unwrap();
        assert_eq!(parameters(&config), 2_412_820_480);
        assert_eq!(shortened(2_412_820_480), "2.41 B");
    }
}
