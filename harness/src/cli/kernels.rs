//! `bitgauge kernels`: the table, and which of it can run here.

use bitgauge_engine::kernels::{Kernel, TABLE};
use serde::Serialize;

use super::output::Output;
use crate::exit::{Exit, Failure};

#[derive(Serialize)]
struct Row {
    name: &'static str,
    idea: &'static str,
    isa: &'static str,
    bits_per_weight: f64,
    available: bool,
    /// Why it can't run here.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
    default: bool,
}

#[derive(Serialize)]
struct Document {
    kernels: Vec<Row>,
}

/// Lists the kernels.
///
/// # Errors
/// When the output can't be written.
pub fn run(output: Output) -> Result<Exit, Failure> {
    let best = Kernel::best();
    let row = |spec: &'static bitgauge_engine::kernels::Spec| {
        let kernel = Kernel::new(spec);
        Row {
            name: spec.name(),
            idea: spec.idea(),
            isa: spec.isa().name(),
            bits_per_weight: spec.bits_per_weight(),
            available: kernel.is_ok(),
            default: kernel.as_ref().is_ok_and(|k| *k == best),
            why_not: kernel.err().map(|e| e.to_string()),
        }
    };
    let kernels: Vec<Row> = TABLE.iter().map(row).collect();
    let width = kernels.iter().map(|k| k.name.len()).max().unwrap_or(0);
    output.line(format!(
        "  {:width$}  {:12} {:>5}  idea",
        "kernel", "isa", "bpw"
    ))?;
    for k in &kernels {
        let mark = if k.default { '*' } else { ' ' };
        output.line(format!(
            "{mark} {:width$}  {:12} {:5.2}  {}",
            k.name, k.isa, k.bits_per_weight, k.idea
        ))?;
        if let Some(why) = &k.why_not {
            output.line(format!("  {:width$}  can't run here: {why}", ""))?;
        }
    }
    output.line("* is selected where none is named.")?;
    output.document(&Document { kernels })?;
    Ok(Exit::Held)
}
