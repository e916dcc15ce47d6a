//! From a state, as a ladder describes it, to what runs it.

use bitgauge_engine::attention::{CacheFormat, Chunked};
use bitgauge_engine::kernels::{self, Kernel, KernelError};
use bitgauge_engine::model::{Dispatch as _, Group, Place};
use bitgauge_engine::session::Settings;
use bitgauge_engine::threads::{Pool, PoolError, Scheduler};

use super::definition::{self, Attention, Head, Pages, State};
use crate::defects::{
    Contended, NeverSimd, ONE_VALUE, SIGNS_OF_BOTH, ScalarSoftmax, SerialAttention,
};
use crate::rayon_pool::Halving;

/// What a state comes down to: states that come down to the same are one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The kernel that every product runs.
    pub kernel: Kernel,
    /// How rows are spread.
    pub scheduler: definition::Scheduler,
    /// Whether keys and values of earlier tokens are kept.
    pub cache: bool,
    /// Who computes attention.
    pub attention: Attention,
    /// In what keys and values are kept.
    pub kv: CacheFormat,
    /// How the next token is chosen.
    pub head: Head,
    /// On what pages the weights lie.
    pub pages: Pages,
    /// Tokens of a prompt that go through a layer at once.
    pub batch: usize,
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
            attention: state.attention,
            kv: state.kv,
            head: state.head,
            pages: state.pages,
            batch: state.batch,
        })
    }

    /// What a session is told of it.
    pub fn settings(&self) -> Settings<'static> {
        static SERIAL_SCALAR: SerialAttention<ScalarSoftmax> = SerialAttention(ScalarSoftmax);
        static CHUNKED: Chunked = Chunked::new();
        Settings {
            cache: self.kv,
            attend: match self.attention {
                Attention::SerialScalar => &SERIAL_SCALAR,
                Attention::Scalar => &ScalarSoftmax,
                Attention::Chunked => &CHUNKED,
            },
            batch: self.batch,
        }
    }

    /// Whether the logits of both are the same to the bit where both are right: what rounds keys and
    /// values, or takes another exponential, has bits of its own.
    pub fn same_bits(&self, other: &Self) -> bool {
        let scalar = |setup: &Self| setup.attention != Attention::Chunked;
        self.kv == other.kv && scalar(self) == scalar(other)
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
        "two-bits" => last(&|k| !is_table(k) && k.spec().bits_per_weight() == 2.0),
        _ => None,
    };
    family.map_or_else(|| Kernel::by_name(name), Ok)
}

/// The schedulers that a ladder can name, with their threads started.
pub struct Schedulers {
    pool: Pool,
    rayon: Halving,
    contended: Contended,
}

impl Schedulers {
    /// All, with `threads` each.
    ///
    /// # Errors
    /// When the system refuses the threads.
    pub fn start(threads: usize) -> Result<Self, PoolError> {
        Ok(Self {
            pool: Pool::new(threads)?,
            rayon: Halving::new(threads)?,
            contended: Contended::new(threads)?,
        })
    }

    /// The one that a state names.
    pub fn get(&self, scheduler: definition::Scheduler) -> &dyn Scheduler {
        match scheduler {
            definition::Scheduler::Pool => &self.pool,
            definition::Scheduler::Rayon => &self.rayon,
            definition::Scheduler::Contended => &self.contended,
        }
    }
}
