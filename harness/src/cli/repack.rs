//! `bitgauge repack MODEL --out FILE`: a model as it lies in memory, in a file.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitgauge_engine::checkpoint::{Origin, Packed};
use bitgauge_engine::model::{Model, Vocabulary};
use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::selection;
use crate::exit::{Exit, Failure};
use crate::model_source::ModelSource;
use crate::run::Selected;

/// Arguments of `bitgauge repack`.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint folder, a GGUF file, a packed file, or the name of a synthetic shape
    model: String,
    /// The file to write; whatever is there is replaced once the new one is whole
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Pack every matrix for this kernel [default: what `tune` found on as many threads, or the best
    /// that this machine runs]
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Leave out what `tune` found
    #[arg(long)]
    no_tune: bool,
}

#[derive(Serialize)]
struct Document {
    command: &'static str,
    model: String,
    origin: Origin,
    file: PathBuf,
    bytes: u64,
    selection: Vec<Selected>,
}

/// Loads, packs and writes.
///
/// # Errors
/// When the model or the kernel can't be had, or the file can't be written.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    let source = ModelSource::open(&arguments.model)?;
    let chosen = selection::choose(arguments.kernel.as_deref(), arguments.no_tune, threads)?;
    let origin = source.origin()?;
    let vocabulary = Vocabulary::load_quantized(source.source())?;
    let model = Model::with_vocabulary(source.source(), &chosen, Arc::new(vocabulary))?;
    let out = &arguments.out;
    let bytes = write(&model, origin.clone(), out)
        .map_err(|e| Failure::could_not_run(format!("{}: {e}", out.display())))?;
    output.line(selection::told(&model, &chosen))?;
    output.line(format!(
        "{}: {:.3} GB, from {} with the digest {}",
        out.display(),
        bytes as f64 * 1e-9,
        origin.name,
        origin.digest
    ))?;
    output.document(&Document {
        command: "repack",
        model: source.name(),
        origin,
        file: out.clone(),
        bytes,
        selection: selection::rows(&model, &|n, k| chosen.origin(n, k)),
    })?;
    Ok(Exit::Held)
}

/// Writes the whole file or leaves what was there; its bytes.
fn write(model: &Model, origin: Origin, path: &Path) -> Result<u64, io::Error> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    let mut out = BufWriter::new(&mut beside);
    Packed::write(model, origin, &mut out).map_err(io::Error::other)?;
    out.flush()?;
    drop(out);
    beside.as_file().sync_all()?;
    let bytes = beside.as_file().metadata()?.len();
    beside.persist(path).map_err(|e| e.error)?;
    Ok(bytes)
}
