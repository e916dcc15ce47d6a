//! What is timed on every number of threads: a token, a batch of the prompt, one product.

use std::time::{Duration, Instant};

use bitgauge_engine::checkpoint::WeightScale;
use bitgauge_engine::input::Input;
use bitgauge_engine::model::{Group, Model, Projection, Source};
use bitgauge_engine::session::{BATCH, Session};
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::tiled::Tiled;
use bitgauge_engine::{Error, Token};
use serde::Serialize;

use super::team::{Team, wrong_answers};
use crate::decoder::cases::{Attempt, Case, Decode, How, token};
use crate::decoder::judge::Reference;
use crate::exit::{Exit, Failure};
use crate::measure::{self, Answer, Entrant, Timed, Tolerance, Verified};
use crate::oracle;
use crate::verify::random::Random;

/// What the engine does in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// One token after two others
    Decode,
    /// A batch of the prompt, 64 tokens
    Prefill,
    /// The product of gate and up with one token's activations, layer after layer
    Product,
}

impl Phase {
    /// In the order of reports.
    pub const ALL: [Self; 3] = [Self::Decode, Self::Prefill, Self::Product];

    /// Stable name for reports and baselines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Prefill => "prefill",
            Self::Product => "product",
        }
    }
}

/// A case of any phase.
pub type PhaseCase<'m> = Verified<Box<dyn Timed + 'm>>;

/// Makes the cases of one phase, and judges each.
pub struct Bench<'m> {
    phase: Phase,
    model: &'m Model,
    /// Logits of the first case, whose bits all others must give.
    first: Reference,
    /// The oracle's answer to the products.
    products: Option<Products>,
}

impl<'m> Bench<'m> {
    /// Judges the model that will be timed, or lets the oracle answer its products.
    ///
    /// # Errors
    /// When the model's products are wrong, or its source can't be read.
    pub fn new(phase: Phase, model: &'m Model, source: &dyn Source) -> Result<Self, Failure> {
        let products = match phase {
            Phase::Product => Some(Products::new(model, source)?),
            Phase::Decode | Phase::Prefill => {
                Reference::products(model, source)?.map_err(|w| wrong_answers(phase.name(), &w))?;
                None
            }
        };
        Ok(Self {
            phase,
            model,
            first: Reference::default(),
            products,
        })
    }

    /// The phase on the threads of `team`, if it answers right there: logits to the bit those of
    /// the first case, products those of the oracle.
    ///
    /// # Errors
    /// When the answers are wrong, or can't be had.
    pub fn case(&mut self, team: &'m Team) -> Result<PhaseCase<'m>, Failure> {
        let scheduler = &*team.scheduler;
        let (logits, case): (Vec<f32>, Box<dyn Timed + 'm>) = match (self.phase, &self.products) {
            (Phase::Product, Some(products)) => return products.case(self.model, scheduler),
            (Phase::Prefill, _) => {
                let mut case = Prefill::new(self.model, scheduler)?;
                (case.logits()?.to_vec(), Box::new(Case(case)))
            }
            _ => {
                let mut case = Decode::new(self.model, scheduler, How::default())?;
                (case.logits()?.to_vec(), Box::new(case))
            }
        };
        self.first
            .same_bits(&logits)
            .map_err(|wrong| wrong_answers(&team.name(), &wrong))?;
        team.right.verify(case)
    }
}

/// Reading a batch from an empty context.
struct Prefill<'m> {
    session: Session<'m>,
    tokens: Vec<Token>,
}

impl<'m> Prefill<'m> {
    fn new(model: &'m Model, scheduler: &'m dyn Scheduler) -> Result<Self, Error> {
        let length = BATCH.min(model.config().max_position_embeddings);
        Ok(Self {
            session: Session::new(model, scheduler, length)?,
            tokens: (0..length).map(|i| token(model, i)).collect(),
        })
    }

    fn logits(&mut self) -> Result<&[f32], Error> {
        self.session.truncate(0);
        self.session.prefill(&self.tokens)
    }
}

impl Attempt for Prefill<'_> {
    fn attempt(&mut self) -> Result<(), Error> {
        self.logits().map(drop)
    }
}

/// The oracle's answers to the products of every layer on one vector of activations.
struct Products {
    activations: Vec<i8>,
    want: Vec<f64>,
}

/// What float32 may add to exact sums that are multiplied by one factor.
const ROUNDING: f64 = 1e-6;

impl Products {
    fn new(model: &Model, source: &dyn Source) -> Result<Self, Failure> {
        let group = Group::GateUp;
        let cols = model.layers()[0].projection(group).matrix().cols();
        let activations = Random::new(1).int8s(cols);
        let mut want = Vec::new();
        for layer in 0..model.layers().len() {
            for &linear in group.linears() {
                let (rows, _) = linear.shape(model.config());
                let (trits, scale) = source.linear(layer, linear)?;
                let sums = oracle::ops::dot_rows(&trits, rows, cols, &activations);
                let real = |sum: i32| match scale {
                    WeightScale::Multiply(ws) => f64::from(sum) * f64::from(ws),
                    WeightScale::Divide(ws) => f64::from(sum) / f64::from(ws),
                };
                want.extend(sums.into_iter().map(real));
            }
        }
        Ok(Self { activations, want })
    }

    fn case<'m>(
        &self,
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
    ) -> Result<PhaseCase<'m>, Failure> {
        let mut case = Product::new(model, scheduler, &self.activations);
        let mut got = Vec::new();
        for _ in model.layers() {
            case.iterate(1);
            got.extend_from_slice(case.out.in_order().expect("one token"));
        }
        let (got, want) = (Answer::from_f32(&got), Answer::Floats(self.want.clone()));
        let case: Box<dyn Timed + 'm> = Box::new(case);
        let tolerance = Tolerance::RelativeL2(ROUNDING);
        Verified::check(case, &got, &want, tolerance).map_err(|wrong| Failure {
            exit: Exit::WrongAnswers,
            message: format!(
                "gate and up, {} {}: {}",
                scheduler.name(),
                scheduler.threads(),
                wrong.reason()
            ),
        })
    }
}

/// The gate and up product of one layer after the other, so that the weights come from where
/// decoding finds them and not from a cache that holds one matrix.
struct Product<'m> {
    layers: Vec<&'m Projection>,
    next: usize,
    scheduler: &'m dyn Scheduler,
    input: Input,
    factors: Vec<f32>,
    out: Tiled,
}

impl<'m> Product<'m> {
    fn new(model: &'m Model, scheduler: &'m dyn Scheduler, activations: &[i8]) -> Self {
        let layers: Vec<_> = model
            .layers()
            .iter()
            .map(|l| l.projection(Group::GateUp))
            .collect();
        let matrix = layers[0].matrix();
        let mut input = Input::default();
        input.set(activations, matrix.cols());
        input.prepare(matrix.kernel());
        Self {
            layers,
            next: 0,
            scheduler,
            input,
            factors: Vec::new(),
            out: Tiled::default(),
        }
    }
}

impl Timed for Product<'_> {
    fn iterate(&mut self, iterations: u64) {
        let scheduler = self.scheduler;
        // As within a token: the workers are awake from one product to the next.
        scheduler.enter(&mut || {
            for _ in 0..iterations {
                let projection = self.layers[self.next];
                self.next = (self.next + 1) % self.layers.len();
                projection.multiply(&self.input, scheduler, &mut self.factors, &mut self.out);
            }
        });
    }
}

/// A case is tried for this long to see its pace.
const PACE: Duration = Duration::from_millis(10);

/// About how long one iteration of a case takes, warm.
///
/// # Errors
/// As the case has them.
pub fn pace(case: &mut Entrant<'_>) -> Result<Duration, measure::Failure> {
    case.time(1)?;
    let start = Instant::now();
    let mut iterations = 0;
    while iterations == 0 || start.elapsed() < PACE {
        case.time(1)?;
        iterations += 1;
    }
    Ok(start.elapsed() / iterations)
}
