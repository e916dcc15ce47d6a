//! Which kernel each linear runs, for people and for documents.

use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;

use crate::run::Selected;

/// The kernel of each linear; equal layers in a row are one entry.
pub fn rows(model: &Model) -> Vec<Selected> {
    let mut rows: Vec<Selected> = Vec::new();
    for (layer, linear, kernel) in model.kernels() {
        let (linear, kernel_name) = (linear.name(), kernel.spec().name());
        let open = rows
            .iter_mut()
            .find(|r| r.linear == linear && r.kernel == kernel_name && r.last_layer + 1 == layer);
        match open {
            Some(row) => row.last_layer = layer,
            None => rows.push(Selected {
                first_layer: layer,
                last_layer: layer,
                linear: linear.to_owned(),
                kernel: kernel_name.to_owned(),
                fallback: is_fallback(kernel),
            }),
        }
    }
    rows
}

fn is_fallback(kernel: Kernel) -> bool {
    kernel.spec().isa() == Isa::Portable && Isa::highest() > Isa::Portable
}

/// Says loudly that linears run portable code on a machine that has better.
pub fn warn_of_fallbacks(model: &Model) {
    let fallbacks = model.fallbacks();
    if fallbacks > 0 {
        let all = model.kernels().count();
        let highest = Isa::highest();
        eprintln!(
            "WARNING: {fallbacks} of {all} linears run portable code although this machine has {highest}"
        );
    }
}
