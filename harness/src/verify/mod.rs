//! Is every answer right? Every kernel against the oracle, and the decoder against golden files.
//!
//! [`run`] makes all checks and lists them. The checks are plain functions of what they judge, so
//! the [zoo](crate::defects::zoo) runs the very same ones on wrong kernels.

pub mod cache;
pub mod check;
pub mod dispatch;
pub mod golden;
pub mod identity;
pub mod kernels;
mod made;
pub mod operations;
pub mod perplexity;
pub mod planned;
pub(crate) mod random;
pub mod reject;
pub mod units;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitgauge_engine::checkpoint::Checkpoint;
use bitgauge_engine::kernels::{Kernel, KernelError, Spec, TABLE};
use bitgauge_engine::model::{Best, Model, Vocabulary};
use bitgauge_engine::threads::{Pool, PoolError, Scheduler};
use serde::{Deserialize, Serialize};

pub use check::{Book, Check, Status, Totals};

use crate::defects::Contended;
use crate::fixtures::{self, Document, FixtureError, Fixtures, Golden};
use identity::{Rows, THREADS};
use kernels::KernelCases;
use perplexity::Share;
use planned::PlannedModels;

/// Tokens that are enough to show a dependence on threads or pieces: two batches of prefill.
const IDENTITY_TOKENS: usize = 2 * bitgauge_engine::session::BATCH;

/// What to verify.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folders of golden files; none means [`default_fixtures`].
    pub fixtures: Vec<PathBuf>,
    /// Only this kernel, by the name that the table has for it.
    pub kernel: Option<String>,
}

/// All checks of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// How many ended how.
    pub totals: Totals,
    /// What the fixture folders hold and no check reads.
    pub unread: Vec<String>,
}

impl Verification {
    /// Whether no answer was wrong.
    pub fn all_right(&self) -> bool {
        self.totals.failed == 0
    }

    /// The wrong answers.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|c| c.status == Status::Fail)
    }
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The kernel asked for can't be had.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Golden files could not be read.
    #[error(transparent)]
    Fixtures(#[from] FixtureError),
    /// A model that golden files are about could not be loaded.
    #[error("golden model {}: {source}", .folder.display())]
    Model {
        /// Its folder.
        folder: PathBuf,
        /// What the engine says.
        source: Box<bitgauge_engine::Error>,
    },
    /// Threads could not be had.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No golden files were named and none were found.
    #[error(
        "no folder `fixtures` with golden files in {} or above it, nor in the sources of this program; name one with --fixtures",
        .start.display()
    )]
    NoFixtures {
        /// Where the search began.
        start: PathBuf,
    },
    /// No kernel that can run here, or no fixtures: nothing of what was asked for was checked.
    #[error("nothing was checked: {what}")]
    NothingChecked {
        /// What there was none of.
        what: &'static str,
    },
}

/// The repository's golden files: the first folder `fixtures` that holds some, in the current
/// folder and upwards, else in the sources that this program was built from.
///
/// # Errors
/// [`VerifyError::NoFixtures`].
pub fn default_fixtures() -> Result<PathBuf, VerifyError> {
    let start = std::env::current_dir().unwrap_or_default();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    start
        .ancestors()
        .chain([source.as_path()])
        .map(|folder| folder.join("fixtures"))
        .find(|folder| folder.join("units.json").is_file())
        .ok_or(VerifyError::NoFixtures {
            start: start.clone(),
        })
}

/// Makes all checks, calling `progress` with each as it ends.
///
/// # Errors
/// When something could not be run at all: see [`VerifyError`]. A wrong answer is no error, but a
/// failed check in the result.
pub fn run(
    options: &Options,
    progress: &mut dyn FnMut(&Check),
) -> Result<Verification, VerifyError> {
    let table: Vec<&'static Spec> = match &options.kernel {
        Some(name) => vec![Kernel::by_name(name)?.spec()],
        None => TABLE.iter().collect(),
    };
    let folders = match &options.fixtures[..] {
        [] => vec![default_fixtures()?],
        given => given.to_vec(),
    };
    let mut all = Fixtures::default();
    for folder in folders {
        let found = fixtures::discover(folder)?;
        all.goldens.extend(found.goldens);
        all.units.extend(found.units);
        all.rejects.extend(found.rejects);
        all.unread.extend(found.unread);
    }
    judge(&table, &all, progress)
}

/// Makes all checks on the rows of `table` and on `fixtures`.
///
/// # Errors
/// As [`run`].
pub fn judge(
    table: &[&'static Spec],
    fixtures: &Fixtures,
    progress: &mut dyn FnMut(&Check),
) -> Result<Verification, VerifyError> {
    let kernels: Vec<Kernel> = table.iter().filter_map(|s| Kernel::new(s).ok()).collect();
    let nothing = |what| Err(VerifyError::NothingChecked { what });
    if kernels.is_empty() {
        return nothing("no kernel of the table can run here");
    }
    if fixtures.goldens.is_empty() && fixtures.units.is_empty() && fixtures.rejects.is_empty() {
        return nothing("there are no golden files, units or recipes");
    }
    let mut book = Book::new(progress);
    dispatch::judge_detection(&dispatch::engine_detection, &mut book);
    dispatch::judge_dispatch(&Best, &mut book);
    dispatch::judge_report(&mut book);
    operations::judge(&mut book);
    cache::judge(&mut book);
    KernelCases::new().judge_table(table, &mut book);
    for units in &fixtures.units {
        units::judge(&units.content, &kernels, &mut book);
    }
    let planned = PlannedModels::new();
    for &kernel in &kernels {
        planned.judge(kernel, &mut book);
    }
    for golden in &fixtures.goldens {
        judge_golden(golden, &kernels, &mut book)?;
    }
    for reject in &fixtures.rejects {
        // What a loader refuses does not depend on the kernel.
        if let Some(&kernel) = kernels.last() {
            reject::judge(reject, &fixtures.goldens, kernel, &mut book)?;
        }
    }
    let checks = book.into_checks();
    let totals = check::totals(&checks);
    Ok(Verification {
        checks,
        totals,
        unread: fixtures.unread.clone(),
    })
}

/// Everything about one golden file, with each of `kernels`.
///
/// # Errors
/// When its model can't be loaded, or its text not be read.
pub fn judge_golden(
    golden: &Document<Golden>,
    kernels: &[Kernel],
    book: &mut Book<'_>,
) -> Result<(), VerifyError> {
    let folder = golden.model_folder();
    let failed = |source: bitgauge_engine::Error| VerifyError::Model {
        folder: folder.clone(),
        source: Box::new(source),
    };
    let checkpoint = Checkpoint::open(&folder).map_err(|e| failed(e.into()))?;
    let vocabulary = Vocabulary::load(&checkpoint).map_err(failed)?;
    let vocabulary = Arc::new(vocabulary.with_quantized_head());
    let load = |kernel: Kernel| {
        Model::with_vocabulary(&checkpoint, &kernel, vocabulary.clone()).map_err(failed)
    };
    let pools = THREADS
        .into_iter()
        .map(|threads| Pool::with_min_piece(threads, 0))
        .collect::<Result<Vec<_>, _>>()?;
    let contended = Contended::new(2)?;
    let mut schedulers: Vec<(&str, &dyn Scheduler)> =
        pools.iter().map(|pool| ("pool", pool as _)).collect();
    schedulers.push(("contended", &contended));

    let content = &golden.content;
    // Another kernel than the one judged, so that one row alone is compared with something too.
    let reference = Kernel::by_name("naive")?;
    let longest = content
        .cases
        .iter()
        .map(|case| [&case.prompt[..], &case.continuation].concat())
        .max_by_key(Vec::len)
        .map(|mut tokens| {
            // The last token of a continuation is never fed in, and may not fit.
            let positions = checkpoint.config().max_position_embeddings;
            tokens.truncate(positions.min(IDENTITY_TOKENS));
            tokens
        });
    let mut expected: Option<Rows> = None;
    if let Some(tokens) = &longest {
        let model = load(reference)?;
        let rows = check::guarded(|| identity::logits(&model, &pools[0], tokens, tokens.len()));
        match rows {
            Ok(Ok(rows)) => expected = Some(rows),
            Ok(Err(source)) => return Err(failed(source)),
            Err(panic) => {
                let id = format!("identity/{}", content.name);
                book.record(Check::broken(id, panic).kernel(reference));
            }
        }
    }
    for &kernel in kernels {
        let model = load(kernel)?;
        if let Some(taps) = &content.taps {
            golden::judge_taps(content, taps, &checkpoint, kernel, book);
        }
        for case in &content.cases {
            let id = golden::case_id(content, case);
            golden::judge_case(&id, case, &model, kernel, &pools[0], book);
        }
        if let (Some(tokens), Some(expected)) = (&longest, &expected) {
            let name = &content.name;
            identity::judge(name, &model, kernel, tokens, expected, &schedulers, book);
        }
    }
    if let Some(perplexity) = &content.perplexity {
        let text = golden.evaluation_text()?;
        let mut text = perplexity::Text::new(&content.name, perplexity, &text);
        // The table begins with the slowest kernel, twenty times slower than the others.
        for (i, &kernel) in kernels.iter().enumerate().rev() {
            let share = if i == 0 { Share::Sample } else { Share::Whole };
            text.judge(&load(kernel)?, kernel, share, book);
        }
        let with_kernel = |&kernel| Ok((kernel, load(kernel)?));
        let models: Vec<_> = kernels
            .iter()
            .map(with_kernel)
            .collect::<Result<_, VerifyError>>()?;
        cache::judge_models(&content.name, &models, text.tokens(), &schedulers, book);
        if let Some((kernel, fastest)) = models.last() {
            cache::judge_cases(golden, fastest, *kernel, &pools[0], book);
            text.judge_caches(fastest, book);
        }
    }
    Ok(())
}
