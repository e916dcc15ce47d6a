//! The kernels of a model's matrices, by what was measured here.

use bitgauge_engine::kernels::{Kernel, KernelError};
use bitgauge_engine::model::{Dispatch, Place};

use super::store::Tuning;

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
