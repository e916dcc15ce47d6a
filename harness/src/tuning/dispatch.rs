//! The kernels of a model's matrices, by what was measured here.

use bitgauge_engine::kernels::{Kernel, KernelError};
use bitgauge_engine::model::{Dispatch, Place};

use super::store::Tuning;
use crate::run::Origin;

/// A kernel for each size that was measured, and the detected one for all others.
#[derive(Debug, Clone)]
pub struct Tuned {
    sizes: Vec<(usize, usize, Kernel)>,
    measured: Option<String>,
}

impl Tuned {
    /// What `tuning` says about this number of threads.
    ///
    /// # Errors
    /// When a kernel can't run here: nothing of such a file is believed.
    pub fn new(tuning: &Tuning, threads: usize) -> Result<Self, KernelError> {
        let here = || tuning.entries.iter().filter(|e| e.threads == threads);
        let sizes = here()
            .map(|e| Ok((e.rows, e.cols, Kernel::by_name(e.kernel())?)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sizes,
            measured: here().map(|e| e.measured.clone()).max(),
        })
    }

    /// The kernel for a size that was measured.
    pub fn kernel(&self, rows: usize, cols: usize) -> Option<Kernel> {
        let found = self
            .sizes
            .iter()
            .find(|(n, k, _)| [*n, *k] == [rows, cols])?;
        Some(found.2)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// When the latest of them was measured, as RFC 3339 in UTC; `None` where none was.
    pub fn measured(&self) -> Option<&str> {
        self.measured.as_deref()
    }
}

impl Dispatch for Tuned {
    fn choose(&self, place: &Place) -> Kernel {
        self.kernel(place.rows, place.cols)
            .unwrap_or_else(Kernel::best)
    }
}

/// What selects the kernels of a model.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// The user: one kernel for all.
    Named(Kernel),
    /// What was measured here, and detection for the rest.
    Tuned(Tuned),
    /// Detection.
    Detected,
}

impl Chosen {
    /// What selects the kernel of a size.
    pub fn origin(&self, rows: usize, cols: usize) -> Origin {
        match self {
            Self::Named(_) => Origin::Named,
            Self::Tuned(tuned) if tuned.kernel(rows, cols).is_some() => Origin::Tuned,
            Self::Tuned(_) | Self::Detected => Origin::Detected,
        }
    }
}

impl Dispatch for Chosen {
    fn choose(&self, place: &Place) -> Kernel {
        match self {
            Self::Named(kernel) => *kernel,
            Self::Tuned(tuned) => tuned.choose(place),
            Self::Detected => Kernel::best(),
        }
    }
}
