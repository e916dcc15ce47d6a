//! What a measurement of single tokens or of generations runs on.

use bitgauge_engine::model::{Model, Source};
use bitgauge_engine::threads::Pool;

use super::judge::{Judge, Reference};
use crate::exit::Failure;
use crate::run::TimedModel;
use crate::scaling::{Team, wrong_answers};

/// A packed model, and what is known about it.
pub struct Plan<'a> {
    /// Its name.
    pub name: String,
    /// The model, with a quantised head.
    pub model: &'a Model,
    /// Its weights, for the oracle.
    pub source: &'a dyn Source,
    /// Layers of the shape; more than the model's where it was cut.
    pub layers_in_shape: usize,
    /// Who judges its kernels.
    pub judge: &'a Judge,
    /// Threads.
    pub threads: usize,
    /// Seed of the orders.
    pub seed: u64,
}

impl Plan<'_> {
    /// Judges the kernels on the trained model and on this one's products; a pool to run them on.
    ///
    /// # Errors
    /// When it answers wrongly, or threads can't be had.
    pub fn team(&self) -> Result<Team, Failure> {
        let team = Team::new(Box::new(Pool::new(self.threads)?), self.model, self.judge)?;
        Reference::products(self.model, self.source)?
            .map_err(|wrong| wrong_answers(&kernels(self.model), &wrong))?;
        Ok(team)
    }

    /// What ran, as a page shows it.
    pub fn summary(&self) -> TimedModel {
        TimedModel {
            name: self.name.clone(),
            layers_run: self.model.config().num_hidden_layers,
            layers_in_shape: self.layers_in_shape,
            kernel: kernels(self.model),
            threads: self.threads,
        }
    }
}

/// The names of a model's kernels, as pages show them.
pub fn kernels(model: &Model) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (_, _, kernel) in model.kernels() {
        if !names.contains(&kernel.spec().name()) {
            names.push(kernel.spec().name());
        }
    }
    names.join(", ")
}

/// Plans on a small synthetic model, for tests.
#[cfg(test)]
pub(crate) mod tiny {
    use std::sync::Arc;

    use bitgauge_engine::checkpoint::Config;
    use bitgauge_engine::model::{Best, Vocabulary};
    use bitgauge_engine::synthetic::{self, Synthetic};

    use super::*;

    /// What a plan borrows.
    pub struct Tiny {
        source: Synthetic,
        model: Model,
        judge: Judge,
    }

    impl Tiny {
        /// A model for so many positions.
        pub fn new(positions: usize) -> Self {
            let config = Config {
                max_position_embeddings: positions,
                ..synthetic::shape("tiny").unwrap()
            };
            let source = synthetic::model(config, 1);
            let vocabulary = Vocabulary::load(&source).unwrap().with_quantized_head();
            let vocabulary = Arc::new(vocabulary);
            let trained = crate::verify::default_fixtures().unwrap().join("trained");
            Self {
                model: Model::with_vocabulary(&source, &Best, vocabulary).unwrap(),
                judge: Judge::open(&trained).unwrap(),
                source,
            }
        }

        /// All of its layers on two threads.
        pub fn plan(&self) -> Plan<'_> {
            Plan {
                name: "tiny".into(),
                model: &self.model,
                source: &self.source,
                layers_in_shape: self.source.config().num_hidden_layers,
                judge: &self.judge,
                threads: 2,
                seed: 5,
            }
        }
    }
}
