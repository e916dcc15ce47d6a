//! Checkpoints and prompts that must be refused, and those that must not.

use std::path::Path;
use std::time::{Duration, Instant};

use bitgauge_engine::checkpoint::Checkpoint;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Pool;

use super::check::{Book, Check, Differences, Status, collect, guarded};
use super::golden;
use crate::fixtures::golden::Golden;
use crate::fixtures::{Document, FixtureError, Reject};

/// A refusal that takes longer has read or allocated what it should not have.
const PATIENCE: Duration = Duration::from_secs(1);

/// Judges all recipes; `goldens` are searched for the answers of the unchanged checkpoint.
///
/// # Errors
/// When a recipe can't be carried out.
pub fn judge(
    reject: &Document<Reject>,
    goldens: &[Document<Golden>],
    kernel: Kernel,
    book: &mut Book<'_>,
) -> Result<(), FixtureError> {
    let mut refused = Differences::default();
    for recipe in &reject.content.load {
        let folder = reject.materialise(recipe)?;
        let start = Instant::now();
        let outcome = guarded(|| load(folder.path(), kernel).map(drop));
        let seconds = start.elapsed();
        let name = &recipe.name;
        refused.expect(matches!(outcome, Ok(Err(_))), || match outcome {
            Err(panic) => format!("{name}: {panic}"),
            _ => format!("{name}: was loaded"),
        });
        refused.expect(seconds < PATIENCE, || format!("{name}: took {seconds:?}"));
    }
    if !reject.content.load.is_empty() {
        book.record(refused.check("reject/load").kernel(kernel));
    }

    let base = reject.base_folder();
    let mut failing = Differences::default();
    for recipe in &reject.content.run {
        let outcome = guarded(|| run(&base, kernel, &recipe.prompt));
        let name = &recipe.name;
        failing.expect(matches!(outcome, Ok(Ok(Err(_)))), || match outcome {
            Err(panic) => format!("{name}: {panic}"),
            Ok(Err(load)) => format!("the base was refused: {load}"),
            _ => format!("{name}: was answered"),
        });
    }
    if !reject.content.run.is_empty() {
        book.record(failing.check("reject/run").kernel(kernel));
    }

    let answers: Vec<_> = goldens
        .iter()
        .filter(|golden| same(&golden.model_folder(), &base))
        .collect();
    let mut accepted = Differences::default();
    for recipe in &reject.content.accept {
        let folder = reject.materialise(recipe)?;
        let name = &recipe.name;
        let checks = collect(|book| match guarded(|| load(folder.path(), kernel)) {
            Ok(Ok(model)) => judge_answers(&answers, &model, kernel, book),
            Ok(Err(why)) | Err(why) => book.record(Check::broken("load", why)),
        });
        accepted.expect(!checks.is_empty(), || format!("{name}: no golden answers"));
        for check in checks {
            accepted.expect(check.status == Status::Pass, || {
                format!("{name}: {}: {}", check.id, check.note)
            });
        }
    }
    if !reject.content.accept.is_empty() {
        book.record(accepted.check("reject/accept").kernel(kernel));
    }
    Ok(())
}

fn load(folder: &Path, kernel: Kernel) -> Result<Model, String> {
    let checkpoint = Checkpoint::open(folder).map_err(|e| e.to_string())?;
    Model::load(&checkpoint, &kernel).map_err(|e| e.to_string())
}

/// Loading must work, and then the prompt must fail.
fn run(folder: &Path, kernel: Kernel, prompt: &[u32]) -> Result<Result<(), String>, String> {
    let model = load(folder, kernel)?;
    let pool = Pool::new(1).map_err(|e| e.to_string())?;
    let room = model.config().max_position_embeddings;
    let mut session = Session::new(&model, &pool, room).map_err(|e| e.to_string())?;
    Ok(session.prefill(prompt).map(drop).map_err(|e| e.to_string()))
}

fn judge_answers(
    answers: &[&Document<Golden>],
    model: &Model,
    kernel: Kernel,
    book: &mut Book<'_>,
) {
    let pool = match Pool::new(1) {
        Ok(pool) => pool,
        Err(error) => return book.record(Check::broken("threads", error)),
    };
    for golden in answers {
        for case in &golden.content.cases {
            let id = golden::case_id(&golden.content, case);
            golden::judge_case(&id, case, model, kernel, &pool, book);
        }
    }
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
