//! `bitgauge worker`: the engine's cases for a comparison of builds.

use std::process::ExitCode;
use std::time::Duration;

use bitgauge_engine::isa::Isa;
use clap::Args;

use super::judging::fraction;
use crate::exit::{Exit, Failure};
use crate::selftest::misbehaviour::{Misbehaving, Misbehaviour};
use crate::suite::{CaseId, Options, Suite, SuiteError, default_suite};
use crate::worker::{CaseInfo, Identity, Refusal, Serve, serve};

/// Arguments of `bitgauge worker`.
#[derive(Args)]
pub struct Arguments {
    /// Serve this case, such as decode/o/best/1t; may be given more than once [default: the suite
    /// that `gate` runs]
    #[arg(long, value_name = "ID")]
    case: Vec<CaseId>,
    /// Judge each case against the oracle before it is timed
    #[arg(long)]
    judged: bool,
    /// Plant extra work in a case, such as ID=1%: a slowdown of known size, to see it found; may
    /// be given more than once
    #[arg(long, value_name = "ID=PERCENT", value_parser = extra)]
    slow: Vec<(CaseId, f64)>,
    /// Lie, hang, die or answer wrongly, to see it noticed
    #[arg(long, value_enum, hide = true)]
    misbehave: Option<Misbehaviour>,
}

fn extra(text: &str) -> Result<(CaseId, f64), String> {
    let (id, share) = text
        .split_once('=')
        .ok_or("a planted slowdown is written like decode/o/best/1t=1%")?;
    let id = id.parse::<CaseId>().map_err(|e| e.to_string())?;
    Ok((id, fraction(share)?))
}

/// Serves until stdin ends.
///
/// # Errors
/// None: [`serve`] says on stderr what went wrong.
pub fn run(arguments: &Arguments, threads: usize) -> Result<Exit, Failure> {
    let cases = match arguments.case.as_slice() {
        [] => default_suite(threads),
        cases => cases.to_vec(),
    };
    let options = Options {
        judged: arguments.judged,
        extra: arguments.slow.iter().cloned().collect(),
    };
    let identity = Identity {
        name: "bitgauge".to_owned(),
        revision: None,
        isa: Some(Isa::highest().to_string()),
    };
    let mut served = Served(Suite::new(cases, options));
    let ended = match arguments.misbehave {
        None => serve(&identity, &mut served),
        Some(mode) => serve(&identity, &mut Misbehaving::new(served, mode)),
    };
    Ok(match ended == ExitCode::SUCCESS {
        true => Exit::Held,
        false => Exit::CouldNotRun,
    })
}

struct Served(Suite);

impl Serve for Served {
    fn cases(&self) -> Vec<CaseInfo> {
        let each = |(id, threads)| CaseInfo::new(id).threads(threads);
        self.0.cases().into_iter().map(each).collect()
    }

    fn run(&mut self, case: &str, iterations: u64) -> Result<(Duration, String), Refusal> {
        self.0.run(case, iterations).map_err(|error| Refusal {
            wrong_answers: matches!(error, SuiteError::Wrong { .. }),
            message: error.to_string(),
        })
    }
}
