//! The suite as a worker offers it: cases by name, made when they are first asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::blueprint::Blueprint;
use super::id::CaseId;
use super::placed::Placed;
use super::placement::Placement;
use super::{Refusal, SuiteCase, SuiteError, hold};
use crate::measure::{Digest, Timed, Tolerance};

/// How a worker makes its cases.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Judge each case by the oracle when it is first run, and refuse results that differ from
    /// the judged ones; without it a worker gives digests, for its client to compare.
    pub judged: bool,
    /// Extra work to be planted, as a share of the case's own.
    pub extra: BTreeMap<CaseId, f64>,
}

/// Cases that are made when first run, each at a place of the process's own entropy, and kept.
pub struct Suite {
    cases: Vec<CaseId>,
    options: Options,
    ready: BTreeMap<CaseId, Ready>,
}

struct Ready {
    case: Placed,
    judged: Option<Digest>,
    planted: Option<f64>,
}

impl Suite {
    /// A suite that lists `cases`. Others can be run too.
    pub fn new(cases: Vec<CaseId>, options: Options) -> Self {
        Self {
            cases,
            options,
            ready: BTreeMap::new(),
        }
    }

    /// The name of each listed case, and the threads that it runs on.
    pub fn cases(&self) -> Vec<(String, usize)> {
        let each = |id: &CaseId| (id.to_string(), id.threads());
        self.cases.iter().map(each).collect()
    }

    /// Runs a case; the time that `iterations` took, and the digest of the last one's result.
    /// Making the case and judging it are not timed.
    ///
    /// # Errors
    /// What is wrong with the name, the machine, the answers or the run.
    pub fn run(&mut self, id: &str, iterations: u64) -> Result<(Duration, String), SuiteError> {
        let ready = self.ready(id)?;
        let failed = |message: String| Refusal::Failed(message).of(ready.case.id());
        if iterations == 0 {
            return Err(failed("0 iterations do nothing; at least 1".to_owned()));
        }
        let time = ready.case.time(iterations);
        let time = time.map_err(|failure| Refusal::Failed(failure.message).of(ready.case.id()))?;
        let digest = ready.case.digest();
        if let Some(judged) = ready.judged {
            let [got, want] = [digest, judged].map(Digest::as_answer);
            hold("the digest", &got, &want, Tolerance::Exact)
                .map_err(|refusal| refusal.of(ready.case.id()))?;
        }
        Ok((time, digest.to_string()))
    }

    /// The extra work that was really planted in a case, as a share of its own; `None` where none
    /// was. Makes the case if it was never run.
    ///
    /// # Errors
    /// As [`Suite::run`].
    pub fn planted(&mut self, id: &str) -> Result<Option<f64>, SuiteError> {
        Ok(self.ready(id)?.planted)
    }

    fn ready(&mut self, id: &str) -> Result<&mut Ready, SuiteError> {
        let id: CaseId = id.parse()?;
        if !self.ready.contains_key(&id) {
            let ready = make(&id, &self.options)?;
            self.ready.insert(id.clone(), ready);
        }
        Ok(self.ready.get_mut(&id).expect("made above"))
    }
}

fn make(id: &CaseId, options: &Options) -> Result<Ready, SuiteError> {
    let mut blueprint = Blueprint::new(id)?;
    if let Some(&share) = options.extra.get(id) {
        blueprint = blueprint.with_extra(share)?;
    }
    let judged = match options.judged {
        true => Some(blueprint.judge()?),
        false => None,
    };
    Ok(Ready {
        case: blueprint.place(&mut Placement::fresh())?,
        judged,
        planted: blueprint.planted(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CaseId {
        text.parse().unwrap()
    }

    const PRODUCT: &str = "decode/64x256/naive/1t";

    #[test]
    fn it_lists_its_cases_and_runs_them_with_equal_digests() {
        let cases = vec![id(PRODUCT), id("op/softmax/4x64/1t")];
        let mut judged = Suite::new(
            cases.clone(),
            Options {
                judged: true,
                ..Options::default()
            },
        );
        let mut plain = Suite::new(cases, Options::default());
        for (case, threads) in judged.cases() {
            assert_eq!(threads, 1);
            let (time, digest) = judged.run(&case, 3).unwrap();
            assert!(time > Duration::ZERO);
            assert_eq!(plain.run(&case, 1).unwrap().1, digest);
            assert_eq!(digest.len(), 16);
        }
    }

    #[test]
    fn a_plant_changes_no_digest_and_its_size_is_told() {
        let extra = BTreeMap::from([(id(PRODUCT), 0.5)]);
        let options = Options {
            judged: true,
            extra,
        };
        let mut planted = Suite::new(vec![id(PRODUCT)], options);
        let mut plain = Suite::new(vec![id(PRODUCT)], Options::default());
        assert_eq!(planted.planted(PRODUCT).unwrap(), Some(0.5));
        assert_eq!(plain.planted(PRODUCT).unwrap(), None);
        let digest = |suite: &mut Suite| suite.run(PRODUCT, 2).unwrap().1;
        assert_eq!(digest(&mut planted), digest(&mut plain));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_the_reason() {
        let mut suite = Suite::new(Vec::new(), Options::default());
        let refuse = |suite: &mut Suite, id: &str, n| suite.run(id, n).unwrap_err();
        assert!(
            refuse(&mut suite, "nonsense", 1)
                .to_string()
                .contains("is no case")
        );
        assert!(
            refuse(&mut suite, PRODUCT, 0)
                .to_string()
                .contains("at least 1")
        );
    }
}
