//! The whole decoder against golden files: taps of single linears, logits, continuations.

use bitgauge_engine::checkpoint::{Checkpoint, Linear};
use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::model::Model;
use bitgauge_engine::ops;
use bitgauge_engine::session::{Session, Settings};
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::trits::Trits;

use super::check::{Book, Check, Differences, guarded};
use crate::fixtures::Drift;
use crate::fixtures::golden::{Case, Golden, Taps};

/// The engine's quantiser and `kernel` on the inputs that a golden file tapped: scale bits, int8
/// values and sums, all exact.
pub fn judge_taps(
    golden: &Golden,
    taps: &Taps,
    checkpoint: &Checkpoint,
    kernel: Kernel,
    book: &mut Book<'_>,
) {
    let id = format!("taps/{}", golden.name);
    let mut differences = Differences::default();
    let outcome = guarded(|| {
        for (name, tap) in &taps.linears {
            let linear = Linear::ALL.into_iter().find(|l| l.name() == name);
            let Some(linear) = linear else {
                return Err(format!("{name} is no linear"));
            };
            let (rows, cols) = linear.shape(checkpoint.config());
            let (trits, _) = checkpoint
                .linear(taps.layer, linear)
                .map_err(|e| e.to_string())?;
            let trits = Trits::new(rows, cols, trits).map_err(|e| e.to_string())?;
            let mut input = Input::default();
            let quantised = input.quantize(&tap.input, cols);
            quantised.map_err(|e| format!("{name}: {e}"))?;
            input.prepare(kernel);
            let quantized = input.quantized();
            let scale = quantized.scales()[0].to_bits();
            differences.add(&[scale], &[tap.scale.to_bits()], |_| {
                format!("{name}: scale bits")
            });
            differences.add(quantized.row(0), &tap.quantized, |k| {
                format!("{name}: q[{k}]")
            });
            let mut sums = vec![i32::MIN; rows];
            Matrix::pack(kernel, &trits).sums(&input, 0..rows, &mut sums);
            differences.add(&sums, &tap.accumulators, |n| format!("{name}: sum {n}"));
        }
        Ok(())
    });
    let check = match outcome {
        Ok(Ok(())) => differences.check(id),
        Ok(Err(why)) | Err(why) => Check::broken(id, why),
    };
    book.record(check.kernel(kernel));
}

/// One golden case: three measures of drift, the strict prefix of greedy tokens, finite logits.
pub fn judge_case(
    id: &str,
    case: &Case,
    model: &Model,
    kernel: Kernel,
    scheduler: &dyn Scheduler,
    book: &mut Book<'_>,
) {
    judge_case_with(
        id,
        case,
        model,
        kernel,
        scheduler,
        Settings::default(),
        book,
    );
}

/// As [`judge_case`], with these settings of the session.
pub fn judge_case_with(
    id: &str,
    case: &Case,
    model: &Model,
    kernel: Kernel,
    scheduler: &dyn Scheduler,
    settings: Settings<'_>,
    book: &mut Book<'_>,
) {
    let mut record = |check: Check| book.record(check.kernel(kernel).threads(scheduler.threads()));
    let answers = match guarded(|| Answers::compute(case, model, scheduler, settings)) {
        Ok(Ok(answers)) => answers,
        Ok(Err(why)) | Err(why) => return record(Check::broken(id, why)),
    };
    let rows = answers.rows;
    let values = rows.iter().flatten();
    let infinite = values.clone().filter(|l| !l.is_finite()).count();
    let finite = Check::none_wrong(format!("{id}/finite"), infinite, values.count());
    record(finite.note("NaN or infinite logits"));

    let golden = case.rows();
    if rows.iter().map(Vec::len).sum::<usize>() != golden.len() {
        return record(Check::broken(
            id,
            format!(
                "{} logits, the golden file has {}",
                rows.concat().len(),
                golden.len()
            ),
        ));
    }
    let drift = Drift::measure(&golden, &rows);
    let limits = &case.tolerance;
    for (what, figure, limit) in [
        ("logit_abs", drift.logit_abs, limits.logit_abs),
        ("logit_rel_l2", drift.logit_rel_l2, limits.logit_rel_l2),
        (
            "logit_rel_l2_median",
            drift.logit_rel_l2_median,
            limits.logit_rel_l2_median,
        ),
    ] {
        record(Check::at_most(format!("{id}/{what}"), figure, limit));
    }

    if case.strict_prefix > 0 {
        // Golden tokens are fed in, and up to the first mismatch they are the engine's own.
        let mut prefix = Differences::default();
        let own: Vec<u32> = rows[case.positions.len()..]
            .iter()
            .map(|row| ops::argmax(row).map_or(u32::MAX, |best| best as u32))
            .collect();
        let strict = case.strict_prefix;
        prefix.add(&own[..strict], &case.continuation[..strict], |i| {
            format!("step {i}")
        });
        record(prefix.check(format!("{id}/strict_prefix")));
    }
}

/// The engine's rows in the order of the golden file's.
struct Answers {
    rows: Vec<Vec<f32>>,
}

impl Answers {
    fn compute(
        case: &Case,
        model: &Model,
        scheduler: &dyn Scheduler,
        settings: Settings<'_>,
    ) -> Result<Self, String> {
        let capacity = case.prompt.len() + case.continuation.len().max(1) - 1;
        let mut session = Session::with_settings(model, scheduler, capacity, settings)
            .map_err(|e| e.to_string())?;
        let mut by_position: Vec<Vec<f32>> = Vec::new();
        session
            .prefill_each(&case.prompt, &mut |_, logits| {
                by_position.push(logits.to_vec())
            })
            .map_err(|e| e.to_string())?;
        let at = |position: &usize| by_position.get(*position).cloned();
        let rows: Option<Vec<_>> = case.positions.iter().map(at).collect();
        let mut rows = rows.ok_or("prefill gave fewer logits than it was given tokens")?;
        // Row i chose continuation[i], so the last token of the continuation is never fed in.
        if !case.continuation.is_empty() {
            rows.extend(by_position.pop());
        }
        for &token in case.continuation.iter().rev().skip(1).rev() {
            rows.push(session.decode(token).map_err(|e| e.to_string())?.to_vec());
        }
        Ok(Self { rows })
    }
}

/// `golden/NAME/CASE`.
pub fn case_id(golden: &Golden, case: &Case) -> String {
    format!("golden/{}/{}", golden.name, case.id)
}
