//! What the trained model answers by every kernel, held against the oracle: texts, numbers that are
//! none, likelihood, and error by depth.

mod depth;
mod likelihood;
mod texts;

use std::path::Path;
use std::sync::Arc;

use bitgauge_engine::checkpoint::Checkpoint;
use bitgauge_engine::kernels::{self, Kernel};
use bitgauge_engine::model::{Model, Vocabulary};
use bitgauge_engine::threads::Pool;

use crate::exit::Failure;
use crate::fixtures::Document;
use crate::fixtures::golden::Golden;
use crate::run::{Agreement, Measured};
use crate::verify::check::Check;

/// Measures the model whose golden file stands in `folder`, by every kernel that can run here.
///
/// # Errors
/// When the model, its golden file or its text can't be read, or the oracle can't answer.
pub fn measure(folder: &Path) -> Result<Agreement, Failure> {
    of_kernels(folder, &kernels::available().collect::<Vec<_>>())
}

/// As [`measure`], by `kernels`: the first is what the others are compared with.
///
/// # Errors
/// As [`measure`].
pub fn of_kernels(folder: &Path, kernels: &[Kernel]) -> Result<Agreement, Failure> {
    let golden = Golden::read(&folder.join("golden.json"))?;
    let checkpoint = Checkpoint::open(&golden.model_folder())?;
    let vocabulary = Arc::new(Vocabulary::load(&checkpoint)?.with_quantized_head());
    let models: Vec<(Kernel, Model)> = kernels
        .iter()
        .map(|kernel| {
            let model = Model::with_vocabulary(&checkpoint, kernel, Arc::clone(&vocabulary))?;
            Ok((*kernel, model))
        })
        .collect::<Result<_, Failure>>()?;
    let one = Pool::new(1)?;
    let depth = depth::measure(&golden, &checkpoint, &models, &one)?;
    Ok(Agreement {
        texts: texts::write(&golden, &models, &one)?,
        scans: depth.scans,
        likelihood: likelihood(&golden, &models)?,
        depth: depth.errors,
    })
}

/// By the last of `models`: the fastest.
fn likelihood(
    golden: &Document<Golden>,
    models: &[(Kernel, Model)],
) -> Result<Measured<crate::run::Likelihood>, Failure> {
    match (&golden.content.perplexity, models.last()) {
        (Some(stated), Some((kernel, model))) => {
            let text = golden.evaluation_text()?;
            likelihood::measure(stated, &text, *kernel, model)
        }
        _ => Ok(Measured::unavailable("the golden file has no text")),
    }
}

/// What must hold of it, as checks beside the others.
pub fn checks(agreement: &Agreement) -> Vec<Check> {
    let mut out = Vec::new();
    for t in &agreement.texts {
        let about = |check: Check| check.kernel_name(&t.kernel).threads(1);
        let id = "agreement/texts/as-naive";
        out.push(about(Check::none_wrong(id, t.unlike_naive, t.tokens)));
        let id = "agreement/texts/strict-prefix";
        out.push(about(Check::none_wrong(id, t.strict_missed, t.strict)));
    }
    for scan in &agreement.scans {
        for (what, wrong) in [("finite", scan.not_finite), ("as-naive", scan.unlike_naive)] {
            let id = format!("agreement/{}/{what}", scan.what.replace(' ', "-"));
            let check = Check::none_wrong(id, wrong as usize, scan.numbers as usize);
            out.push(check.note(format!("{} kernels", scan.kernels)));
        }
    }
    if let Measured::Is(l) = &agreement.likelihood {
        let apart = (l.bits_a_byte - l.oracle_bits_a_byte).abs();
        let check = Check::at_most("agreement/bits-a-byte", apart, l.tolerance);
        out.push(check.kernel_name(&l.kernel).note("bits a byte"));
    }
    out
}
