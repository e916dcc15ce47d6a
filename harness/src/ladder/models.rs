//! The timed model, packed for each kernel and on the pages that setups ask for.

use std::sync::Arc;

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Model, Source, Vocabulary};

use super::definition::{Head, Pages};
use super::setup::Setup;
use crate::exit::Failure;

/// One model for each kernel and kind of pages.
pub struct Models(Vec<(Kernel, Pages, Model)>);

impl Models {
    /// Packs what `setups` need; `step` is called after each.
    ///
    /// # Errors
    /// When the weights can't be read, or small pages are asked for where the system's choice can't
    /// be turned off.
    pub fn load(
        source: &dyn Source,
        setups: &[&Setup],
        stage: &dyn Fn(usize),
        step: &dyn Fn(),
    ) -> Result<Self, Failure> {
        let mut kinds: Vec<(Kernel, Pages)> = Vec::new();
        for setup in setups {
            if !kinds.contains(&(setup.kernel, setup.pages)) {
                kinds.push((setup.kernel, setup.pages));
            }
        }
        stage(kinds.len());
        let quantized = setups.iter().any(|setup| setup.head == Head::Quantized);
        let vocabulary = || -> Result<_, Failure> {
            let vocabulary = Vocabulary::load(source)?;
            Ok(Arc::new(match quantized {
                true => vocabulary.with_quantized_head(),
                false => vocabulary,
            }))
        };
        let mut models = Vec::new();
        for pages in [Pages::Large, Pages::Small] {
            if !kinds.iter().any(|(_, p)| *p == pages) {
                continue;
            }
            let vocabulary = on(pages, &vocabulary)?;
            for &(kernel, _) in kinds.iter().filter(|(_, p)| *p == pages) {
                let model = on(pages, &|| {
                    let vocabulary = Arc::clone(&vocabulary);
                    Ok(Model::with_vocabulary(source, &kernel, vocabulary)?)
                })?;
                models.push((kernel, pages, model));
                step();
            }
        }
        Ok(Self(models))
    }

    /// The one that `setup` runs on.
    pub fn get(&self, setup: &Setup) -> Option<&Model> {
        let found = self
            .0
            .iter()
            .find(|(kernel, pages, _)| *kernel == setup.kernel && *pages == setup.pages);
        found.map(|(_, _, model)| model)
    }
}

/// Does `make`, with the memory that it takes on pages of this kind.
fn on<T>(pages: Pages, make: &dyn Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    match pages {
        Pages::Large => make(),
        Pages::Small => on_small(make),
    }
}

#[cfg(target_os = "linux")]
fn on_small<T>(make: &dyn Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    use rustix::thread::disable_transparent_huge_pages;
    let refused = |e| Failure::could_not_run(format!("pages = \"small\": {e}"));
    // The setting is the whole process's, and counts when memory is first touched.
    disable_transparent_huge_pages(true).map_err(refused)?;
    let made = make();
    disable_transparent_huge_pages(false).map_err(refused)?;
    made
}

#[cfg(not(target_os = "linux"))]
fn on_small<T>(_make: &dyn Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    Err(Failure::could_not_run(
        "pages = \"small\": only Linux lets a program turn large pages off",
    ))
}
