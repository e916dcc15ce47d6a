//! From a state, as a ladder describes it, to what runs it.

use bitgauge_engine::kernels::{self, Kernel, KernelError};
use bitgauge_engine::model::{Dispatch as _, Group, Place};
use bitgauge_engine::threads::{Pool, PoolError, Scheduler};

use super::definition::{self, State};
use crate::defects::{Contended, NeverSimd, ONE_VALUE, SIGNS_OF_BOTH};

/// What a state comes down to: states that come down to the same are one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The kernel that every product runs.
    pub kernel: Kernel,
    /// How rows are spread.
    pub scheduler: definition::Scheduler,
    /// Whether keys and values of earlier tokens are kept.
    pub cache: bool,
}

impl Setup {
    /// Follows the state's dispatch to a kernel.
    ///
    /// # Errors
    /// When the kernel that a working dispatch would select is unknown or can't run here.
    pub fn of(state: &State) -> Result<Self, KernelError> {
        let kernel = match state.dispatch {
            definition::Dispatch::NeverSimd => {
                let anywhere = Place {
                    layer: 0,
                    group: Group::Qkv,
                    rows: 1,
                    cols: 1,
                };
                NeverSimd::default().choose(&anywhere)
            }
            definition::Dispatch::Detect => kernel(&state.kernel)?,
        };
        Ok(Self {
            kernel,
            scheduler: state.scheduler,
            cache: state.cache,
        })
    }
}

/// A kernel as ladders name it.
fn kernel(name: &str) -> Result<Kernel, KernelError> {
    let is_table = |k: &Kernel| k.spec().name().starts_with("tmac-");
    let last = |wanted: &dyn Fn(&Kernel) -> bool| kernels::available().filter(|k| wanted(k)).last();
    let family = match name {
        "best" => return Ok(Kernel::best()),
        "sign-table" => return Kernel::new(&SIGNS_OF_BOTH),
        "one-value-table" => return Kernel::new(&ONE_VALUE),
        "tmac" => last(&is_table),
        "direct" => last(&|k| !is_table(k)),
        _ => None,
    };
    family.map_or_else(|| Kernel::by_name(name), Ok)
}

/// The schedulers that a ladder can name, with their threads started.
pub struct Schedulers {
    pool: Pool,
    contended: Contended,
}

impl Schedulers {
    /// Both, with `threads` each.
    ///
    /// # Errors
    /// When the system refuses the threads.
    pub fn start(threads: usize) -> Result<Self, PoolError> {
        Ok(Self {
            pool: Pool::new(threads)?,
            contended: Contended::new(threads)?,
        })
    }

    /// The one that a state names.
    pub fn get(&self, scheduler: definition::Scheduler) -> &dyn Scheduler {
        match scheduler {
            definition::Scheduler::Pool => &self.pool,
            definition::Scheduler::Contended => &self.contended,
        }
    }
}
