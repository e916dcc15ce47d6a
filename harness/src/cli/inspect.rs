//! `bitgauge inspect MODEL`: shapes, sizes and compression.

use bitgauge_engine::checkpoint::{Config, Linear, Origin};
use bitgauge_engine::kernels::Kernel;
use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::{room, selection};
use crate::exit::{Exit, Failure};
use crate::loading::{self, Loading};
use crate::model_source::ModelSource;
use crate::report::wording::one_line;
use crate::run::Measured;

#[derive(Serialize)]
struct LinearRow {
    linear: &'static str,
    rows: usize,
    cols: usize,
    layers: usize,
    weights: u64,
}

#[derive(Serialize)]
struct KernelRow {
    kernel: &'static str,
    bits_per_weight: f64,
    ternary_bytes: u64,
    /// How many times smaller than the same matrices in bf16.
    against_bf16: f64,
    /// How many times smaller than the same matrices in f32.
    against_f32: f64,
}

#[derive(Serialize)]
struct PackedFrom {
    origin: Origin,
    kernels: Vec<String>,
}

#[derive(Serialize)]
struct Document {
    model: String,
    layers: usize,
    hidden_size: usize,
    intermediate_size: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocabulary: usize,
    context: usize,
    tied_head: bool,
    linears: Vec<LinearRow>,
    ternary_weights: u64,
    /// Embedding, and the head where it is not tied.
    other_weights: u64,
    kv_cache_bytes_per_position: u64,
    kernels: Vec<KernelRow>,
    files: Vec<(String, u64)>,
    extra_tensors: Vec<String>,
    /// What a packed file was made from, and for which kernels.
    #[serde(skip_serializing_if = "Option::is_none")]
    packed: Option<PackedFrom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loading: Option<Loading>,
}

/// Arguments of `bitgauge inspect`.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint folder, a GGUF file, a packed file, or the name of a synthetic shape
    model: String,
    /// Load it too, and say how long that takes beside reading the files, and how much memory
    #[arg(long)]
    load: bool,
}

/// Describes a model.
///
/// # Errors
/// When the model can't be opened or loaded, or the output can't be written.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    let model = ModelSource::open(&arguments.model)?;
    let mut document = describe(&model);
    if arguments.load {
        let chosen = selection::choose(None, false, threads)?;
        room::for_one(model.source().config())?;
        document.loading = Some(loading::measure(&model, &chosen)?);
    }
    print(&document, output)?;
    output.document(&document)?;
    Ok(Exit::Held)
}

fn describe(model: &ModelSource) -> Document {
    let c: &Config = model.source().config();
    let linears: Vec<_> = Linear::ALL
        .iter()
        .map(|&linear| {
            let (rows, cols) = linear.shape(c);
            let layers = c.num_hidden_layers;
            let weights = (rows * cols * layers) as u64;
            LinearRow {
                linear: linear.name(),
                rows,
                cols,
                layers,
                weights,
            }
        })
        .collect();
    let ternary_weights: u64 = linears.iter().map(|l| l.weights).sum();
    let heads = if c.tie_word_embeddings { 1 } else { 2 };
    let kernels = bitgauge_engine::kernels::TABLE
        .iter()
        .filter_map(|spec| Kernel::new(spec).ok())
        .map(|kernel| {
            let bits_per_weight = kernel.spec().bits_per_weight();
            KernelRow {
                kernel: kernel.spec().name(),
                bits_per_weight,
                ternary_bytes: (ternary_weights as f64 * bits_per_weight / 8.0) as u64,
                against_bf16: 16.0 / bits_per_weight,
                against_f32: 32.0 / bits_per_weight,
            }
        })
        .collect();
    let (files, extra_tensors) = match model {
        ModelSource::Folder(checkpoint, _) => (
            checkpoint
                .files()
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .collect(),
            checkpoint.extra_tensors().to_vec(),
        ),
        ModelSource::Gguf(gguf, _) => (vec![(model.name(), gguf.size())], Vec::new()),
        ModelSource::Packed(packed, _) => (vec![(model.name(), packed.size())], Vec::new()),
        ModelSource::Synthetic(..) => (Vec::new(), Vec::new()),
    };
    let packed = match model {
        ModelSource::Packed(packed, _) => Some(PackedFrom {
            origin: packed.origin().clone(),
            kernels: packed.kernels().into_iter().map(str::to_owned).collect(),
        }),
        _ => None,
    };
    Document {
        model: model.name(),
        layers: c.num_hidden_layers,
        hidden_size: c.hidden_size,
        intermediate_size: c.intermediate_size,
        heads: c.num_attention_heads,
        kv_heads: c.num_key_value_heads,
        head_dim: c.head_dim,
        vocabulary: c.vocab_size,
        context: c.max_position_embeddings,
        tied_head: c.tie_word_embeddings,
        linears,
        ternary_weights,
        other_weights: (heads * c.vocab_size * c.hidden_size) as u64,
        kv_cache_bytes_per_position: (c.num_hidden_layers
            * 2
            * c.num_key_value_heads
            * c.head_dim
            * 4) as u64,
        kernels,
        files,
        extra_tensors,
        packed,
        loading: None,
    }
}

fn print(d: &Document, output: Output) -> Result<(), Failure> {
    output.line(format!(
        "{}: {} layers, hidden {}, ffn {}, {} heads ({} for keys and values) of {}, vocabulary {}, context {}, {} head",
        d.model, d.layers, d.hidden_size, d.intermediate_size, d.heads, d.kv_heads, d.head_dim,
        d.vocabulary, d.context, if d.tied_head { "tied" } else { "own" },
    ))?;
    output.line("")?;
    output.line(format!(
        "{:10} {:>7} x {:<7} {:>7} {:>15}",
        "linear", "outputs", "inputs", "layers", "weights"
    ))?;
    for l in &d.linears {
        output.line(format!(
            "{:10} {:>7} x {:<7} {:>7} {:>15}",
            l.linear, l.rows, l.cols, l.layers, l.weights
        ))?;
    }
    output.line(format!(
        "ternary weights: {}; embedding and head: {}",
        d.ternary_weights, d.other_weights
    ))?;
    output.line(format!(
        "KV cache: {} bytes a position (float32)",
        d.kv_cache_bytes_per_position
    ))?;
    output.line("")?;
    output.line(format!(
        "{:14} {:>5} {:>15} {:>9} {:>8}",
        "packed for", "bpw", "bytes", "vs bf16", "vs f32"
    ))?;
    for k in &d.kernels {
        output.line(format!(
            "{:14} {:5.2} {:>15} {:8.2}x {:7.2}x",
            k.kernel, k.bits_per_weight, k.ternary_bytes, k.against_bf16, k.against_f32
        ))?;
    }
    for (file, bytes) in &d.files {
        output.line(format!("{}: {bytes} bytes", one_line(file)))?;
    }
    for tensor in &d.extra_tensors {
        output.line(format!(
            "ignored: tensor {}, which no part of the decoder reads",
            one_line(tensor)
        ))?;
    }
    if let Some(PackedFrom { origin, kernels }) = &d.packed {
        output.line(format!(
            "packed for {}, from {} with the digest {}",
            one_line(&kernels.join(", ")),
            one_line(&origin.name),
            one_line(&origin.digest)
        ))?;
    }
    if let Some(loading) = &d.loading {
        print_loading(loading, output)?;
    }
    Ok(())
}

fn print_loading(l: &Loading, output: Output) -> Result<(), Failure> {
    let seconds = |all: &[f64]| {
        let each: Vec<String> = all.iter().map(|s| format!("{s:.2}")).collect();
        each.join(", ")
    };
    let gb = |bytes: u64| bytes as f64 * 1e-9;
    output.line("")?;
    output.line(format!(
        "reading {:.2} GB: {} s; loading right after: {} s; {:.1} times as long",
        gb(l.file_bytes),
        seconds(&l.read_s),
        seconds(&l.load_s),
        l.ratio
    ))?;
    output.line(format!(
        "as much fresh memory as the weights take: {} s; loading takes {:.1} times as long as this and reading together",
        seconds(&l.fresh_s),
        l.ratio_to_floor
    ))?;
    let memory = format!(
        "weights {:.3} GB and a position's keys and values {:.3} MB",
        gb(l.weight_bytes),
        l.cache_bytes as f64 * 1e-6
    );
    output.line(match (&l.peak_resident_bytes, &l.excess()) {
        (Measured::Is(peak), Measured::Is(excess)) => format!(
            "{memory}; at most {:.3} GB were held at once, {:.1} % more",
            gb(*peak),
            100.0 * excess
        ),
        (Measured::Unavailable(why), _) | (_, Measured::Unavailable(why)) => {
            format!("{memory}; the most that was held at once is unavailable: {why}")
        }
    })?;
    Ok(())
}
