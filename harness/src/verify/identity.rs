//! The same bits from every kernel, on every number of threads, in pieces of every size.

use bitgauge_engine::Error;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;
use bitgauge_engine::ops;
use bitgauge_engine::session::{Session, Settings};
use bitgauge_engine::threads::{Pool, Scheduler};

use super::check::{Book, Check, Differences, guarded};

/// Threads that logits must not depend on.
pub const THREADS: [usize; 4] = [1, 2, 3, 8];

/// Sizes of the pieces in which a prompt is read: token by token, ragged, and around a batch.
const PIECES: [usize; 5] = [1, 3, 7, 31, 33];

/// Logits of every position, in one piece.
pub type Rows = Vec<Vec<f32>>;

/// Logits of all of `tokens`, read in pieces of `piece`; single tokens are decoded.
///
/// # Errors
/// As the session has them.
pub fn logits(
    model: &Model,
    scheduler: &dyn Scheduler,
    tokens: &[u32],
    piece: usize,
) -> Result<Rows, Error> {
    logits_with(model, scheduler, Settings::default(), tokens, piece)
}

/// As [`logits`], with these settings of the session.
///
/// # Errors
/// As the session has them.
pub fn logits_with(
    model: &Model,
    scheduler: &dyn Scheduler,
    settings: Settings<'_>,
    tokens: &[u32],
    piece: usize,
) -> Result<Rows, Error> {
    let mut session = Session::with_settings(model, scheduler, tokens.len(), settings)?;
    let mut rows = Rows::new();
    for piece in tokens.chunks(piece) {
        match piece {
            [token] => rows.push(session.decode(*token)?.to_vec()),
            piece => {
                session.prefill_each(piece, &mut |_, logits| rows.push(logits.to_vec()))?;
            }
        }
    }
    Ok(rows)
}

/// The token that follows each of `tokens`, by the quantised head.
fn greedy(model: &Model, scheduler: &dyn Scheduler, tokens: &[u32]) -> Result<Vec<u32>, Error> {
    let mut session = Session::new(model, scheduler, tokens.len())?;
    let next = |&token| Ok(session.decode_greedy(token)?.token);
    tokens.iter().map(next).collect()
}

/// Judges `model`, packed for `kernel`, against `reference`: the logits of `tokens` in one piece,
/// on one thread, by another kernel. Its quantised head, if it has one, must choose the largest.
pub fn judge(
    name: &str,
    model: &Model,
    kernel: Kernel,
    tokens: &[u32],
    reference: &Rows,
    schedulers: &[(&str, &dyn Scheduler)],
    book: &mut Book<'_>,
) {
    for (label, scheduler) in schedulers {
        let id = format!("identity/{name}/{label}");
        let check = compare(id, reference, || {
            logits(model, *scheduler, tokens, tokens.len())
        });
        book.record(check.kernel(kernel).threads(scheduler.threads()));

        let id = format!("greedy/{name}/{label}");
        let check = match guarded(|| greedy(model, *scheduler, tokens)) {
            Ok(Ok(got)) => {
                let largest = |row: &Vec<f32>| ops::argmax(row).map_or(u32::MAX, |n| n as u32);
                let want: Vec<u32> = reference.iter().map(largest).collect();
                let mut differences = Differences::default();
                differences.add(&got, &want, |i| format!("the token after position {i}"));
                differences.check(id)
            }
            Ok(Err(error)) => Check::broken(id, error),
            Err(panic) => Check::broken(id, panic),
        };
        book.record(check.kernel(kernel).threads(scheduler.threads()));
    }
    let one = match Pool::new(1) {
        Ok(one) => one,
        Err(error) => return book.record(Check::broken(format!("identity/{name}"), error)),
    };
    for piece in PIECES.into_iter().filter(|&piece| piece < tokens.len()) {
        let id = format!("pieces/{name}/{piece}");
        let check = compare(id, reference, || logits(model, &one, tokens, piece));
        book.record(check.kernel(kernel).threads(1));
    }
}

pub(super) fn compare(id: String, want: &Rows, got: impl FnOnce() -> Result<Rows, Error>) -> Check {
    let got = match guarded(got) {
        Ok(Ok(got)) => got,
        Ok(Err(error)) => return Check::broken(id, error),
        Err(panic) => return Check::broken(id, panic),
    };
    let bits = |rows: &Rows| -> Vec<u32> { rows.iter().flatten().map(|l| l.to_bits()).collect() };
    let (got, want, vocabulary) = (bits(&got), bits(want), want[0].len());
    let mut differences = Differences::default();
    differences.add(&got, &want, |i| {
        format!(
            "bits of logit {} at position {}",
            i % vocabulary,
            i / vocabulary
        )
    });
    differences.check(id)
}
