//! The timed model, packed for each kernel and on the pages that setups ask for.

use std::sync::Arc;

use bitgauge_engine::checkpoint::Config;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Model, Source, Vocabulary};

use super::definition::{Head, Pages};
use super::setup::Setup;
use crate::cli::room;
use crate::exit::Failure;

/// One model for each kernel and kind of pages.
pub struct Models(Vec<(Kernel, Pages, Model)>);

impl Models {
    /// Packs what `setups` need into the `available` bytes of memory; `step` is called after each.
    ///
    /// # Errors
    /// When the memory is too small, the weights can't be read, or small pages are asked for where the system's choice can't
    /// be turned off.
    pub fn load(
        source: &dyn Source,
        setups: &[&Setup],
        available: Option<u64>,
        quick: bool,
        stage: &dyn Fn(usize),
        step: &dyn Fn(),
    ) -> Result<Self, Failure> {
        let mut kinds: Vec<(Kernel, Pages)> = Vec::new();
        for setup in setups {
            if !kinds.contains(&(setup.kernel, setup.pages)) {
                kinds.push((setup.kernel, setup.pages));
            }
        }
        let quantized = setups.iter().any(|setup| setup.head == Head::Quantized);
        fits(&kinds, quantized, source.config(), available, quick)?;
        stage(kinds.len());
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

/// Refuses what there is no memory for, before it is taken.
fn fits(
    kinds: &[(Kernel, Pages)],
    quantized: bool,
    config: &Config,
    available: Option<u64>,
    quick: bool,
) -> Result<(), Failure> {
    let ternary: usize = config.linears().iter().map(|(_, (n, k))| n * k).sum();
    let ternary = (ternary * config.num_hidden_layers) as f64;
    let packed: f64 = kinds
        .iter()
        .map(|(kernel, _)| ternary * kernel.spec().bits_per_weight() / 8.0)
        .sum();
    let vocabularies = [Pages::Large, Pages::Small]
        .into_iter()
        .filter(|pages| kinds.iter().any(|(_, p)| p == pages))
        .count();
    // Embedding and head in bf16, one matrix where they are tied; a byte a weight more if quantised.
    let matrices = if config.tie_word_embeddings { 1 } else { 2 };
    let each = 2 * matrices + usize::from(quantized);
    let vocabulary = (config.vocab_size * config.hidden_size * each * vocabularies) as f64;
    let what = format!(
        "the ladder's setups need the model in {} ways,",
        kinds.len()
    );
    let needed = (packed + vocabulary) as u64;
    room::refuse_beyond(&what, needed, available, room::smaller(quick))
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

#[cfg(test)]
mod tests {
    use bitgauge_engine::synthetic;

    use super::*;

    #[test]
    fn a_model_that_does_not_fit_is_refused_before_it_is_packed() {
        let config = synthetic::shape("2b4t").unwrap();
        let kernel = Kernel::by_name("naive").unwrap();
        let once = [(kernel, Pages::Large)];
        let twice = [(kernel, Pages::Large), (kernel, Pages::Small)];
        // 2.08 G weights of 2 bits; 0.33 G of 2 bytes in one tied matrix, 3 with the quantised copy.
        for (kinds, quantized, least) in [
            (&once[..], false, 0.521 + 0.657),
            (&once[..], true, 0.521 + 0.985),
            (&twice[..], true, 2.0 * (0.521 + 0.985)),
        ] {
            let with = |gigabytes: f64, quick| {
                let available = Some((gigabytes * 1e9) as u64);
                fits(kinds, quantized, &config, available, quick)
            };
            assert!(with(least + 0.01, false).is_ok(), "{least}");
            for quick in [false, true] {
                let refused = with(least - 0.01, quick).unwrap_err();
                assert!(refused.message.contains("--model"), "{}", refused.message);
                assert_eq!(refused.message.contains("--quick"), !quick);
            }
        }
        assert!(fits(&twice, true, &config, None, false).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn large_pages_are_off_for_just_as_long_as_small_ones_are_asked_for() {
        use rustix::thread::transparent_huge_pages_are_disabled as off;
        for (pages, want) in [
            (Pages::Large, false),
            (Pages::Small, true),
            (Pages::Large, false),
        ] {
            match on(pages, &|| Ok(off().unwrap())) {
                Ok(off) => assert_eq!(off, want, "{pages:?}"),
                Err(refused) => assert!(want && refused.message.contains("small"), "{refused}"),
            }
        }
    }
}
