//! Which kernel each linear runs and what selected it, for people and for documents.

use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Group, Model};

use super::output::tell;
use crate::exit::Failure;
use crate::model_source::ModelSource;
use crate::run::{Origin, Selected};
use crate::tuning::{self, Chosen, Tuned};
use crate::user_cache::CacheError;

/// What selects kernels: the one that was named; else what was measured here on so many threads,
/// unless that is to be left out; else detection. A store that can't be used is told on stderr.
///
/// # Errors
/// When the kernel that was named can't be had.
pub fn choose(named: Option<&str>, no_tune: bool, threads: usize) -> Result<Chosen, Failure> {
    if let Some(name) = named {
        return Ok(Chosen::Named(Kernel::by_name(name)?));
    }
    if no_tune {
        return Ok(Chosen::Detected);
    }
    let unused = |why: String| {
        tell(format!(
            "WARNING: {why}; kernels are those that detection selects"
        ));
        Chosen::Detected
    };
    Ok(match tuning::stored() {
        Ok(tuning) => match Tuned::new(&tuning, threads) {
            Ok(tuned) if tuned.is_empty() => Chosen::Detected,
            Ok(tuned) => Chosen::Tuned(tuned),
            Err(error) => unused(error.to_string()),
        },
        // Nobody can have tuned.
        Err(CacheError::NoFolder) => Chosen::Detected,
        Err(error) => unused(error.to_string()),
    })
}

/// `kernel: tiles-amx (detected)`, or the kernel of each product where they differ.
pub fn told(model: &Model, chosen: &Chosen) -> String {
    let layer = &model.layers()[0];
    let products = Group::ALL.map(|group| {
        let matrix = layer.projection(group).matrix();
        let origin = chosen.origin(matrix.rows(), matrix.cols());
        let how = match (origin, chosen) {
            (Origin::Tuned, Chosen::Tuned(tuned)) => {
                let date = tuned.measured().and_then(|at| at.split('T').next());
                format!("tuned {}", date.unwrap_or("here"))
            }
            _ => origin.name().to_owned(),
        };
        let kernel = matrix.kernel().spec().name();
        (group.name(), format!("{kernel} ({how})"))
    });
    let (_, first) = &products[0];
    match products.iter().all(|(_, how)| how == first) {
        true => format!("kernel: {first}"),
        false => {
            let each = products.map(|(name, how)| format!("{name} {how}"));
            format!("kernels: {}", each.join(", "))
        }
    }
}

/// The kernel of each linear; equal layers in a row are one entry. `origin` says what selected the
/// kernel of a matrix of so many rows and columns.
pub fn rows(model: &Model, origin: &dyn Fn(usize, usize) -> Origin) -> Vec<Selected> {
    let mut rows: Vec<Selected> = Vec::new();
    for (at, layer) in model.layers().iter().enumerate() {
        for group in Group::ALL {
            let matrix = layer.projection(group).matrix();
            let kernel = matrix.kernel();
            for linear in group.linears() {
                let next = Selected {
                    first_layer: at,
                    last_layer: at,
                    linear: linear.name().to_owned(),
                    kernel: kernel.spec().name().to_owned(),
                    fallback: is_fallback(kernel),
                    origin: Some(origin(matrix.rows(), matrix.cols())),
                };
                let goes_on = |r: &&mut Selected| {
                    (&r.linear, &r.kernel) == (&next.linear, &next.kernel) && r.last_layer + 1 == at
                };
                match rows.iter_mut().find(goes_on) {
                    Some(row) => row.last_layer = at,
                    None => rows.push(next),
                }
            }
        }
    }
    rows
}

fn is_fallback(kernel: Kernel) -> bool {
    kernel.spec().isa() == Isa::Portable && Isa::highest() > Isa::Portable
}

/// Says that a packed file was packed for other kernels than are chosen, so that loading it takes
/// longer than it need.
pub fn warn_of_packing(source: &ModelSource, chosen: &Chosen) {
    let ModelSource::Packed(packed, path) = source else {
        return;
    };
    if !packed.suits(chosen) {
        let kernels: Vec<_> = packed.kernels().into_iter().collect();
        tell(format!(
            "WARNING: {} is packed for {}, and other kernels run: it is unpacked and packed again; `bitgauge repack` writes one for them",
            path.display(),
            kernels.join(", ")
        ));
    }
}

/// Says loudly that linears run portable code on a machine that has better.
pub fn warn_of_fallbacks(model: &Model) {
    let fallbacks = model.fallbacks();
    if fallbacks > 0 {
        let all = model.kernels().count();
        let highest = Isa::highest();
        tell(format!(
            "WARNING: {fallbacks} of {all} linears run portable code although this machine has {highest}"
        ));
    }
}
