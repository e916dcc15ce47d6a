//! `bitgauge repack MODEL --out FILE`: a model as it lies in memory, in a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitgauge_engine::checkpoint::{Origin, Packed};
use bitgauge_engine::model::{Model, Vocabulary};
use clap::{ArgGroup, Args};
use serde::Serialize;

use super::output::Output;
use super::{room, selection, stop};
use crate::exit::{Exit, Failure};
use crate::model_source::ModelSource;
use crate::report::wording::one_line;
use crate::run::Selected;
use crate::whole_file;

/// Arguments of `bitgauge repack`.
#[derive(Args)]
#[command(group(ArgGroup::new("file").required(true).args(["out", "check"])))]
pub struct Arguments {
    /// A checkpoint folder, a GGUF file, a packed file, or the name of a synthetic shape
    model: String,
    /// The file to write; whatever is there is replaced once the new one is whole
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write nothing, and fail unless FILE was made from this very model
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "no_tune"])]
    check: Option<PathBuf>,
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
    /// Empty where nothing was packed.
    selection: Vec<Selected>,
}

/// Loads, packs and writes; or compares a file with its model.
///
/// # Errors
/// When the model or the kernel can't be had, the file can't be written, or it is of another model.
pub fn run(arguments: &Arguments, threads: usize, output: Output) -> Result<Exit, Failure> {
    let source = ModelSource::open(&arguments.model)?;
    let out = match (&arguments.out, &arguments.check) {
        (_, Some(file)) => return check(&source, file, output),
        (Some(out), None) => out,
        (None, None) => return Err(Failure::could_not_run("give --out FILE or --check FILE")),
    };
    let chosen = selection::choose(arguments.kernel.as_deref(), arguments.no_tune, threads)?;
    whole_file::may_write(out).map_err(|e| refused(out, &e))?;
    room::for_one(source.source().config())?;
    let origin = source.origin()?;
    let vocabulary = Vocabulary::load_quantized(source.source())?;
    let model = Model::with_vocabulary(source.source(), &chosen, Arc::new(vocabulary))?;
    let bytes = write(&model, origin.clone(), out).map_err(|e| refused(out, &e))?;
    output.line(selection::told(&model, &chosen))?;
    output.line(format!(
        "{}: {:.3} GB, from {} with the digest {}",
        out.display(),
        bytes as f64 * 1e-9,
        one_line(&origin.name),
        one_line(&origin.digest)
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

fn refused(out: &Path, error: &io::Error) -> Failure {
    Failure::could_not_run(format!("{}: {error}", out.display()))
}

/// Fails unless `file` was made from `source`.
fn check(source: &ModelSource, file: &Path, output: Output) -> Result<Exit, Failure> {
    let packed = Packed::open(file)?;
    let (made_from, is) = (packed.origin(), source.origin()?);
    if made_from.digest != is.digest {
        return Err(Failure::could_not_run(format!(
            "{}: made from {} with the digest {}, and {} has another digest, {}; `bitgauge repack` writes a new one",
            file.display(),
            one_line(&made_from.name),
            one_line(&made_from.digest),
            source.name(),
            one_line(&is.digest)
        )));
    }
    output.line(format!(
        "{}: made from {} with the digest {}",
        file.display(),
        one_line(&is.name),
        one_line(&is.digest)
    ))?;
    output.document(&Document {
        command: "repack",
        model: source.name(),
        origin: is,
        file: file.to_owned(),
        bytes: packed.size(),
        selection: Vec::new(),
    })?;
    Ok(Exit::Held)
}

/// Writes the whole file or leaves what was there, also when a signal ends it; its bytes.
fn write(model: &Model, origin: Origin, path: &Path) -> Result<u64, io::Error> {
    let stop = stop::asked_for();
    whole_file::replace(path, |file| {
        let mut out = BufWriter::new(Interruptible { file, stop: &stop });
        Packed::write(model, origin, &mut out).map_err(io::Error::other)?;
        out.flush()?;
        drop(out);
        // What is asked for during this is heard after it.
        file.sync_all()?;
        go_on(&stop)?;
        Ok(file.metadata()?.len())
    })
}

/// A file that is written until a signal comes.
struct Interruptible<'a> {
    file: &'a mut File,
    stop: &'a AtomicBool,
}

/// Bytes between two looks for a signal.
const PIECE: usize = 1 << 20;

impl Write for Interruptible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        go_on(self.stop)?;
        self.file.write(&bytes[..bytes.len().min(PIECE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn go_on(stop: &AtomicBool) -> io::Result<()> {
    match stop.load(Ordering::Relaxed) {
        true => Err(io::Error::other("stopped by a signal; nothing was written")),
        false => Ok(()),
    }
}
