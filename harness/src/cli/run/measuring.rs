//! What every section of a run needs.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Model, Source, Vocabulary};
use bitgauge_engine::synthetic::{self, Synthetic};

use super::super::progress::Progress;
use crate::decoder::judge::Judge;
use crate::exit::Failure;
use crate::ladder::definition::Definition;
use crate::machine::Machine;
use crate::model_source::{ModelSource, tenth};
use crate::run::{Section, SectionName, Store};

/// A run on its way: what was asked for, and where sections are recorded.
pub struct Measuring<'a> {
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
    /// Where progress is shown.
    pub progress: &'a Progress,
    /// The whole model, once a section has asked for it.
    pub packed: Option<Rc<Packed>>,
}

/// A model packed for the fastest kernel, with a quantised head, and who judges that kernel.
pub struct Packed {
    /// The kernel.
    pub kernel: Kernel,
    /// The model.
    pub model: Model,
    /// The judge.
    pub judge: Judge,
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
        if let Some(packed) = &self.packed {
            return Ok(Rc::clone(packed));
        }
        self.progress.stage("packing the whole model", 0);
        let packed = Rc::new(self.pack(self.source.source())?);
        self.packed = Some(Rc::clone(&packed));
        Ok(packed)
    }

    /// Packs a model for the fastest kernel, with a quantised head.
    ///
    /// # Errors
    /// When it or the trained model can't be read.
    pub fn pack(&self, source: &dyn Source) -> Result<Packed, Failure> {
        let kernel = Kernel::best();
        let vocabulary = Vocabulary::load(source)?.with_quantized_head();
        Ok(Packed {
            model: Model::with_vocabulary(source, &kernel, Arc::new(vocabulary))?,
            judge: Judge::open(&self.trained)?,
            kernel,
        })
    }
}
