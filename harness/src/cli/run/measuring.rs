//! What every section of a run needs.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use bitgauge_engine::model::{Model, Source, Vocabulary};
use bitgauge_engine::synthetic::{self, Synthetic};

use super::super::progress::Progress;
use super::super::selection;
use super::Suite;
use crate::decoder::judge::Judge;
use crate::decoder::plan::Plan;
use crate::exit::Failure;
use crate::ladder::definition::Definition;
use crate::machine::Machine;
use crate::model_source::{ModelSource, tenth};
use crate::run::{Section, SectionName, Store};
use crate::tuning::Chosen;

/// A run on its way: what was asked for, and where sections are recorded.
pub struct Measuring<'a> {
    /// What is measured.
    pub suite: Suite,
    /// The run's folder.
    pub store: Store,
    /// The model that was named.
    pub source: &'a ModelSource,
    /// This machine.
    pub machine: &'a Machine,
    /// The ladder.
    pub definition: &'a Definition,
    /// Folder of the trained model, by which kernels are judged.
    pub trained: PathBuf,
    /// The most threads.
    pub threads: usize,
    /// Whether the short form was asked for.
    pub quick: bool,
    /// Seed of every random order.
    pub seed: u64,
    /// Whether what `tune` found is left out.
    pub no_tune: bool,
    /// Where progress is shown.
    pub progress: &'a Progress,
    /// The whole model, once a section has asked for it.
    pub whole: Option<Rc<Packed>>,
    /// The tenth of it that the short form times, likewise.
    pub tenth: Option<Rc<Packed>>,
}

/// A model packed for the fastest kernels, with a quantised head, and who judges these.
pub struct Packed {
    /// What selected the kernels.
    pub chosen: Chosen,
    /// The model.
    pub model: Model,
    /// The judge.
    pub judge: Judge,
    /// The weights, where they are not those that were named.
    cut: Option<Synthetic>,
}

impl Measuring<'_> {
    /// Whether the run already has a section.
    pub fn has(&self, section: SectionName) -> bool {
        self.store.is_done(section)
    }

    /// Records a complete section.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn record(&mut self, section: Section) -> Result<(), Failure> {
        Ok(self.store.record(section)?)
    }

    /// A tenth of the model, for the short form; a checkpoint is never cut.
    pub fn cut(&self) -> Option<Synthetic> {
        match (self.source, self.quick) {
            (ModelSource::Synthetic(..), true) => {
                Some(synthetic::model(tenth(self.source.source().config()), 1))
            }
            _ => None,
        }
    }

    /// The whole model; packed once for all sections that ask for it, until it is let go.
    ///
    /// # Errors
    /// When the model or the trained one can't be read.
    pub fn packed(&mut self) -> Result<Rc<Packed>, Failure> {
        if let Some(packed) = &self.whole {
            return Ok(Rc::clone(packed));
        }
        self.progress.stage("packing the whole model", 0);
        let packed = Rc::new(self.pack(None)?);
        self.whole = Some(Rc::clone(&packed));
        Ok(packed)
    }

    /// The model that single tokens and generations are timed on: in the short form a tenth,
    /// otherwise, or where it can't be cut, the whole.
    ///
    /// # Errors
    /// When the model or the trained one can't be read.
    pub fn packed_or_tenth(&mut self) -> Result<Rc<Packed>, Failure> {
        let Some(cut) = self.cut() else {
            return self.packed();
        };
        if let Some(packed) = &self.tenth {
            return Ok(Rc::clone(packed));
        }
        self.progress.stage("packing a tenth of the model", 0);
        let packed = Rc::new(self.pack(Some(cut))?);
        self.tenth = Some(Rc::clone(&packed));
        Ok(packed)
    }

    /// Lets every packed model go.
    pub fn let_go(&mut self) {
        (self.whole, self.tenth) = (None, None);
    }

    /// What single tokens and generations are measured by.
    pub fn plan<'p>(&'p self, packed: &'p Packed) -> Plan<'p> {
        let named = self.source.source();
        Plan {
            name: self.source.name(),
            model: &packed.model,
            source: packed.cut.as_ref().map_or(named, |cut| cut),
            layers_in_shape: named.config().num_hidden_layers,
            judge: &packed.judge,
            threads: self.threads,
            seed: self.seed,
        }
    }

    /// Packs a model for the fastest kernels, with a quantised head, and says which these are.
    fn pack(&self, cut: Option<Synthetic>) -> Result<Packed, Failure> {
        let chosen = selection::choose(None, self.no_tune, self.threads)?;
        let source: &dyn Source = cut.as_ref().map_or(self.source.source(), |cut| cut);
        let vocabulary = Vocabulary::load_quantized(source)?;
        let model = Model::with_vocabulary(source, &chosen, Arc::new(vocabulary))?;
        self.progress.stage(&selection::told(&model, &chosen), 0);
        Ok(Packed {
            model,
            judge: Judge::open(&self.trained)?,
            chosen,
            cut,
        })
    }
}
