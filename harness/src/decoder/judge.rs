//! Whether a kernel answers right: on the trained model against the oracle, and on the model that
//! will be timed.

use std::path::Path;

use bitgauge_engine::attention::CacheFormat;
use bitgauge_engine::checkpoint::{Checkpoint, Linear};
use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::model::{Group, Model, Source};
use bitgauge_engine::session::{Session, Settings};
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::trits::Trits;

use crate::exit::Failure;
use crate::fixtures::golden::Golden;
use crate::measure::{Answer, Tolerance, Verified, Wrong};
use crate::oracle;
use crate::run::WrongAnswer;
use crate::verify::{self, random::Random};

/// One linear of the trained model with a real token's activations, and the exact sums.
struct Tap {
    trits: Trits,
    activations: Vec<i8>,
    sums: Vec<i32>,
}

/// The oracle's answers on the trained model.
pub struct Judge {
    checkpoint: Checkpoint,
    oracle: oracle::Model,
    prompt: Vec<u32>,
    logits: Answer,
    tolerance: Tolerance,
    taps: Vec<Tap>,
}

/// The proof that a kernel's sums on the trained model are the oracle's.
pub struct Right {
    got: Answer,
    want: Answer,
}

impl Right {
    /// Lets a case that runs on the same kernel be timed.
    ///
    /// # Errors
    /// None for a `Right` that a [`Judge`] made.
    pub fn verify<C>(&self, case: C) -> Result<Verified<C>, Failure> {
        Verified::check(case, &self.got, &self.want, Tolerance::Exact)
            .map_err(|wrong| Failure::could_not_run(wrong.to_string()))
    }
}

impl Judge {
    /// Lets the oracle answer the first golden prompt of the trained model in `folder`.
    ///
    /// # Errors
    /// When the model or its golden file can't be read.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let golden = Golden::read(&folder.join("golden.json"))?;
        let case = golden.content.cases.first().ok_or_else(|| {
            Failure::could_not_run(format!("{}: no case to judge by", golden.path.display()))
        })?;
        let checkpoint = Checkpoint::open(&golden.model_folder())?;
        let oracle = oracle::Model::open(golden.model_folder())?;
        let mut decoder = oracle::Decoder::new(&oracle);
        let mut taps = Vec::new();
        let mut logits = Vec::new();
        for (i, &token) in case.prompt.iter().enumerate() {
            let last = i + 1 == case.prompt.len();
            let mut seen = Vec::new();
            logits = decoder.step_with(token, &mut |tap| {
                if last {
                    let linear = Linear::ALL
                        .into_iter()
                        .find(|l| l.name() == tap.linear.as_str());
                    let q = tap.quantized.values.clone();
                    seen.push((tap.layer, linear, q, tap.accumulators.to_vec()));
                }
            })?;
            for (layer, linear, activations, sums) in seen {
                let Some(linear) = linear else { continue };
                let (rows, cols) = linear.shape(checkpoint.config());
                let trits = Trits::new(rows, cols, checkpoint.linear(layer, linear)?.0)?;
                taps.push(Tap {
                    trits,
                    activations,
                    sums,
                });
            }
        }
        Ok(Self {
            checkpoint,
            oracle,
            prompt: case.prompt.clone(),
            logits: Answer::Floats(logits),
            tolerance: Tolerance::RelativeL2(case.tolerance.logit_rel_l2),
            taps,
        })
    }

    /// Judges a kernel on the trained model: the sums of every linear, and the logits.
    ///
    /// # Errors
    /// The inner one says how wrong the answers are, the outer that they could not be had.
    pub fn trained(
        &self,
        kernel: Kernel,
        scheduler: &dyn Scheduler,
    ) -> Result<Result<Right, WrongAnswer>, Failure> {
        self.with_settings(kernel, scheduler, Settings::default())
    }

    /// As [`Judge::trained`], with logits from sessions that are set otherwise. Where they round keys
    /// and values, so does the oracle.
    ///
    /// # Errors
    /// As [`Judge::trained`].
    pub fn with_settings(
        &self,
        kernel: Kernel,
        scheduler: &dyn Scheduler,
        settings: Settings<'_>,
    ) -> Result<Result<Right, WrongAnswer>, Failure> {
        let (got, want) = self.sums(kernel);
        let all_got = Answer::Integers(got.concat());
        let all_want = Answer::Integers(want.concat());
        if let Err(wrong) = Verified::check((), &all_got, &all_want, Tolerance::Exact) {
            return Ok(Err(wrong_sums(&wrong, &got, &want)));
        }
        let model = Model::load(&self.checkpoint, &kernel)?;
        let tokens = self.prompt.len();
        let mut session = Session::with_settings(&model, scheduler, tokens, settings)?;
        let logits = Answer::from_f32(session.prefill(&self.prompt)?);
        let verified = match settings.cache {
            CacheFormat::F32 => Verified::check((), &logits, &self.logits, self.tolerance),
            rounded => Verified::check((), &logits, &self.rounded(rounded)?, self.tolerance),
        };
        Ok(match verified {
            Ok(_) => Ok(Right {
                got: all_got,
                want: all_want,
            }),
            Err(wrong) => Err(WrongAnswer {
                relative_error: relative_l2(&wrong),
                seen_on: format!("logits of the trained model: {}", wrong.reason()),
            }),
        })
    }

    /// The oracle's logits after the prompt with keys and values in `format`.
    fn rounded(&self, format: CacheFormat) -> Result<Answer, Failure> {
        let mut decoder =
            oracle::Decoder::with_cache(&self.oracle, verify::cache::rounding(format));
        let mut logits = Vec::new();
        for &token in &self.prompt {
            logits = decoder.step(token)?;
        }
        Ok(Answer::Floats(logits))
    }

    /// The kernel's sums and the oracle's, for each linear.
    fn sums(&self, kernel: Kernel) -> (Vec<Vec<i32>>, Vec<Vec<i32>>) {
        self.taps
            .iter()
            .map(|tap| (sums(kernel, &tap.trits, &tap.activations), tap.sums.clone()))
            .unzip()
    }
}

fn sums(kernel: Kernel, trits: &Trits, activations: &[i8]) -> Vec<i32> {
    let matrix = Matrix::pack(kernel, trits);
    let mut input = Input::default();
    input.set(activations, trits.cols());
    input.prepare(kernel);
    let mut sums = vec![i32::MIN; trits.rows()];
    matrix.sums(&input, 0..trits.rows(), &mut sums);
    sums
}

fn relative_l2<C>(wrong: &Wrong<C>) -> f64 {
    wrong
        .errors()
        .and_then(|e| e.relative_l2)
        .unwrap_or(f64::INFINITY)
}

/// How wrong sums are, linear by linear: the median is the figure.
fn wrong_sums<C>(wrong: &Wrong<C>, got: &[Vec<i32>], want: &[Vec<i32>]) -> WrongAnswer {
    let mut errors: Vec<f64> = got
        .iter()
        .zip(want)
        .map(|(got, want)| {
            let square = |x: f64| x * x;
            let difference: f64 = got
                .iter()
                .zip(want)
                .map(|(&g, &w)| square(f64::from(g) - f64::from(w)))
                .sum();
            let norm: f64 = want.iter().map(|&w| square(f64::from(w))).sum();
            (difference / norm).sqrt()
        })
        .filter(|e| e.is_finite())
        .collect();
    errors.sort_by(f64::total_cmp);
    match errors.as_slice() {
        [] => WrongAnswer {
            relative_error: relative_l2(wrong),
            seen_on: "the trained model's own layers".into(),
        },
        [first, .., last] | [first @ last] => WrongAnswer {
            relative_error: errors[errors.len() / 2],
            seen_on: format!(
                "the trained model's own layers: median of {} linears, {:.0} % to {:.0} %",
                errors.len(),
                first * 100.0,
                last * 100.0
            ),
        },
    }
}

/// What the first right case answered on the timed model; all others must answer the same bits.
#[derive(Default)]
pub struct Reference(Option<Vec<u32>>);

impl Reference {
    /// Judges the model that will be timed: each product of its first and last layer against the
    /// oracle's sums on random activations, and its logits bit for bit against those of the cases
    /// before it.
    ///
    /// # Errors
    /// The inner one says how wrong the answers are, the outer that they could not be had.
    pub fn timed(
        &mut self,
        model: &Model,
        source: &dyn Source,
        logits: &[f32],
    ) -> Result<Result<(), WrongAnswer>, Failure> {
        Ok(Self::products(model, source)?.and_then(|()| self.same_bits(logits)))
    }

    /// Judges each product of the model's first and last layer against the oracle's sums on
    /// random activations.
    ///
    /// # Errors
    /// As [`Reference::timed`].
    pub fn products(
        model: &Model,
        source: &dyn Source,
    ) -> Result<Result<(), WrongAnswer>, Failure> {
        let layers = source.config().num_hidden_layers;
        for layer in [0, layers - 1] {
            for group in Group::ALL {
                let matrix = model.layers()[layer].projection(group).matrix();
                let mut trits = Vec::new();
                for &linear in group.linears() {
                    trits.extend(source.linear(layer, linear)?.0);
                }
                let activations = Random::new(layer as u64).int8s(matrix.cols());
                let mut input = Input::default();
                input.set(&activations, matrix.cols());
                input.prepare(matrix.kernel());
                let mut got = vec![i32::MIN; matrix.rows()];
                matrix.sums(&input, 0..matrix.rows(), &mut got);
                let want =
                    oracle::ops::dot_rows(&trits, matrix.rows(), matrix.cols(), &activations);
                let (got, want) = (Answer::Integers(got), Answer::Integers(want));
                if let Err(wrong) = Verified::check((), &got, &want, Tolerance::Exact) {
                    return Ok(Err(WrongAnswer {
                        relative_error: relative_l2(&wrong),
                        seen_on: format!("layer {layer}, {}: {}", group.name(), wrong.reason()),
                    }));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Judges logits bit for bit against those of the cases before.
    ///
    /// # Errors
    /// How wrong they are.
    pub fn same_bits(&mut self, logits: &[f32]) -> Result<(), WrongAnswer> {
        let bits: Vec<u32> = logits.iter().map(|l| l.to_bits()).collect();
        let reference = self.0.get_or_insert_with(|| bits.clone());
        if bits.len() != reference.len() {
            return Err(WrongAnswer {
                relative_error: f64::INFINITY,
                seen_on: format!(
                    "the timed model's answer has {} logits, and the first case's has {}",
                    bits.len(),
                    reference.len()
                ),
            });
        }
        if let Some(at) = bits.iter().zip(&*reference).position(|(a, b)| a != b) {
            return Err(WrongAnswer {
                relative_error: f64::from(logits[at] / f32::from_bits(reference[at]) - 1.0).abs(),
                seen_on: format!("logit {at} of the timed model differs from the first case's"),
            });
        }
        match logits.iter().position(|l| !l.is_finite()) {
            None => Ok(()),
            Some(at) => Err(WrongAnswer {
                relative_error: f64::INFINITY,
                seen_on: format!("logit {at} of the timed model is not finite"),
            }),
        }
    }
}

/// Where the largest is, the first of equals.
pub fn largest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_is_the_largest() {
        assert_eq!(largest(&[-3.0, 2.0, 2.0, 1.0]), 1);
        assert_eq!(largest(&[-0.0, 0.0]), 0);
    }

    #[test]
    fn fewer_logits_than_the_first_case_s_are_wrong() {
        let mut reference = Reference::default();
        assert!(reference.same_bits(&[1.0, 2.0, 3.0]).is_ok());
        assert!(reference.same_bits(&[1.0, 2.0, 3.0]).is_ok());
        for wrong in [&[1.0, 2.0][..], &[], &[1.0, 2.0, 3.0, 4.0]] {
            let error = reference.same_bits(wrong).unwrap_err();
            assert!(
                error.seen_on.contains("and the first case's has 3"),
                "{error:?}"
            );
        }
    }
}
