//! Texts that every kernel writes by itself, token by token.

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::Model;
use bitgauge_engine::session::Session;
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::{Error, ops};

use crate::exit::Failure;
use crate::fixtures::Document;
use crate::fixtures::golden::{Case, Golden};
use crate::run::KernelTexts;

/// Continues every golden prompt as far as the oracle did, greedily, each token from the ones that
/// the kernel itself chose.
///
/// # Errors
/// As the session has them.
pub fn write(
    golden: &Document<Golden>,
    models: &[(Kernel, Model)],
    scheduler: &dyn Scheduler,
) -> Result<Vec<KernelTexts>, Failure> {
    let cases = &golden.content.cases;
    let mut naive: Option<Vec<Vec<u32>>> = None;
    let mut out = Vec::new();
    for (kernel, model) in models {
        let texts = cases
            .iter()
            .map(|case| continued(case, model, scheduler))
            .collect::<Result<Vec<_>, _>>()?;
        let first = naive.get_or_insert_with(|| texts.clone());
        let unlike =
            |(a, b): (&Vec<u32>, &Vec<u32>)| a.iter().zip(b).filter(|(a, b)| a != b).count();
        let shared = |(own, case): (&Vec<u32>, &Case)| {
            let pairs = own.iter().zip(&case.continuation);
            pairs.take_while(|(a, b)| a == b).count()
        };
        let strict: usize = cases.iter().map(|case| case.strict_prefix).sum();
        let kept = |(own, case)| shared((own, case)).min(case.strict_prefix);
        out.push(KernelTexts {
            kernel: kernel.spec().name().into(),
            isa: kernel.spec().isa().name().into(),
            texts: texts.len(),
            tokens: texts.iter().map(Vec::len).sum(),
            unlike_naive: texts.iter().zip(&*first).map(unlike).sum(),
            as_oracle: texts.iter().zip(cases).map(shared).sum(),
            strict,
            strict_missed: strict - texts.iter().zip(cases).map(kept).sum::<usize>(),
        });
    }
    Ok(out)
}

fn continued(case: &Case, model: &Model, scheduler: &dyn Scheduler) -> Result<Vec<u32>, Error> {
    let tokens = case.continuation.len();
    let mut session = Session::new(model, scheduler, case.prompt.len() + tokens)?;
    let likeliest = ops::argmax(session.prefill(&case.prompt)?);
    let mut text = vec![likeliest.ok_or(Error::NanLogits)? as u32];
    while text.len() < tokens {
        text.push(session.decode_greedy(text[text.len() - 1])?.token);
    }
    text.truncate(tokens);
    Ok(text)
}
