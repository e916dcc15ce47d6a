//! The kernels, one row each in [`TABLE`].
//!
//! A kernel multiplies a packed ternary matrix with int8 activations, exactly, in int32. Adding
//! one is a new file and a line in the table; it is then listed, verified and timed with no
//! further edit.

use std::fmt;
use std::ops::Range;

use crate::aligned::{Aligned, LINE};
use crate::input::Quantized;
use crate::isa::{Isa, Missing};
use crate::matrix::Scaling;
use crate::trits::Trits;

use self::layout::Layout;
use self::prepare::Preparation;

#[cfg(not(target_arch = "x86_64"))]
mod absent;
mod lanes_avx512;
pub(crate) mod layout;
#[cfg(target_arch = "x86_64")]
mod maddubs_avx2;
mod naive;
mod prepare;
#[cfg(target_arch = "x86_64")]
mod several_avx512;
#[cfg(target_arch = "x86_64")]
mod sums_avx512;
mod tables_avx512;
mod tiles_amx;
#[cfg(target_arch = "x86_64")]
mod tmac_avx2;
mod tmac_avx512;
mod tmac_scalar;
#[cfg(target_arch = "x86_64")]
mod token_tables_avx2;
#[cfg(target_arch = "x86_64")]
mod token_tables_avx512;
mod vbmi_avx512;
mod vnni_avx512;

/// Every kernel, slowest first: the last that can run here is the default.
pub static TABLE: &[Spec] = &[
    naive::SPEC,
    tmac_scalar::SPEC,
    #[cfg(target_arch = "x86_64")]
    tmac_avx2::SPEC,
    #[cfg(target_arch = "x86_64")]
    maddubs_avx2::SPEC,
    tmac_avx512::SPEC,
    vnni_avx512::SPEC,
    tables_avx512::SPEC,
    vbmi_avx512::SPEC,
    tiles_amx::SPEC,
];

/// What one call of a kernel reads.
pub struct Operands<'a> {
    /// The matrix, as the kernel's own `pack` laid it out.
    pub weights: &'a [u8],
    /// N, the number of outputs.
    pub rows: usize,
    /// K, the number of inputs.
    pub cols: usize,
    /// The activations: one row of K int8 values a token, zero-padded.
    pub quantized: &'a Quantized,
    /// What the kernel's own `prepare` made of the activations.
    pub tables: &'a Aligned,
    /// How a kernel that scales is to do it; `None` where sums are asked for.
    pub(crate) scaling: Option<Scaling<'a>>,
}

impl<'a> Operands<'a> {
    /// The factors by which a tile is scaled that begins at `row`, one for each token; `None` where
    /// sums stay as they are.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
    fn factors(&self, row: usize) -> Option<&'a [f32]> {
        self.scaling.map(|scaling| scaling.of(row).1)
    }
}

/// Packs a matrix into the kernel's layout.
pub type Pack = fn(&Trits) -> Aligned;
/// Makes whatever the kernel wants from the activations, once for all rows.
pub type Prepare = fn(&Quantized, &mut Aligned);
/// Computes `out[(n - range.start) * tokens + t] = sum over k of w[n][k] * q[t][k]`.
pub type Rows = fn(&Operands<'_>, Range<usize>, &mut [i32]);

/// The least that a kernel issues for the product with one token: what is done once a row or a run of
/// columns is left out, and so are loads, which other ports take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Bytes of a vector.
    pub vector: usize,
    /// Vector instructions for each vector of packed weights.
    pub instructions: usize,
}

/// A row of the table: one way to multiply.
///
/// Specs outside of this crate are made with [`Spec::portable`] from safe functions; what needs
/// instructions that a machine may lack is made here only, so that a [`Kernel`] is proof enough.
pub struct Spec {
    name: &'static str,
    idea: &'static str,
    isa: Isa,
    bits_per_weight: f64,
    tile: usize,
    rows_of_a_call: fn(usize) -> usize,
    /// Whether `rows` scales the sums of several tokens by the factors of its operands, where there
    /// are any: to the bits of floats, in the order of [`crate::tiled`].
    scales: bool,
    /// What it issues for one token; `None` where it has no vectors.
    mix: Option<Mix>,
    packing: Packing,
    prepare: Preparation,
    /// Preconditions: the machine has the instructions of `isa`, and the weights begin on a cache line.
    rows: unsafe fn(&Operands<'_>, Range<usize>, &mut [i32]),
}

/// How a matrix is packed.
enum Packing {
    /// By a function from outside of this crate: nobody else knows what its bytes say.
    Own(Pack),
    /// In a layout that is known.
    LaidOut(Layout),
}

impl Spec {
    /// A kernel of safe, portable functions.
    ///
    /// `tile`: ranges of rows begin at multiples of it. `bits_per_weight` is that of a matrix
    /// large enough for padding not to count.
    pub const fn portable(
        name: &'static str,
        idea: &'static str,
        bits_per_weight: f64,
        tile: usize,
        pack: Pack,
        prepare: Prepare,
        rows: Rows,
    ) -> Self {
        let packing = Packing::Own(pack);
        Self::scalar(name, idea, bits_per_weight, tile, packing, prepare, rows)
    }

    /// As [`Spec::portable`], however it packs.
    const fn scalar(
        name: &'static str,
        idea: &'static str,
        bits_per_weight: f64,
        tile: usize,
        packing: Packing,
        prepare: Prepare,
        rows: Rows,
    ) -> Self {
        Self {
            name,
            idea,
            isa: Isa::Portable,
            bits_per_weight,
            tile,
            rows_of_a_call: |_| 0,
            scales: false,
            mix: None,
            packing,
            prepare: Preparation::Whole(prepare),
            rows,
        }
    }

    /// What its packed bytes say; `None` for kernels from outside of this crate.
    pub(crate) fn layout(&self) -> Option<&Layout> {
        match &self.packing {
            Packing::Own(_) => None,
            Packing::LaidOut(layout) => Some(layout),
        }
    }

    /// Packs a matrix into memory of its own. Where there is none the process ends, as with `Vec`.
    pub(crate) fn pack(&self, trits: &Trits) -> Aligned {
        match &self.packing {
            Packing::Own(pack) => pack(trits),
            Packing::LaidOut(layout) => {
                let mut packed = Aligned::zeroed((layout.bytes)(trits.rows(), trits.cols()));
                (layout.pack)(trits, packed.as_mut_slice());
                packed
            }
        }
    }

    /// Stable name, as `--kernel` takes it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How it multiplies, in one line.
    pub fn idea(&self) -> &'static str {
        self.idea
    }

    /// The instruction set that it needs.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bits that one weight takes in memory, padding aside.
    pub fn bits_per_weight(&self) -> f64 {
        self.bits_per_weight
    }

    /// What it issues for one token; `None` where it has no vectors.
    pub fn mix(&self) -> Option<Mix> {
        self.mix
    }

    /// Ranges of rows begin at multiples of this.
    pub fn tile(&self) -> usize {
        self.tile
    }

    /// Whether products of several tokens come scaled where that is asked for.
    pub(crate) fn scales(&self) -> bool {
        self.scales
    }

    /// The fewest rows that are worth what the kernel makes anew in each call for so many tokens; 0
    /// where it makes nothing.
    pub fn rows_of_a_call(&self, tokens: usize) -> usize {
        (self.rows_of_a_call)(tokens)
    }
}

/// A kernel that can run here: the proof that this machine has its instructions.
#[derive(Clone, Copy)]
pub struct Kernel(&'static Spec);

impl Kernel {
    /// Checks that `spec` can run here.
    ///
    /// # Errors
    /// Names the features that are missing.
    pub fn new(spec: &'static Spec) -> Result<Self, KernelError> {
        match spec.isa.check() {
            Ok(()) => Ok(Self(spec)),
            Err(missing) => Err(KernelError::Unavailable {
                name: spec.name,
                isa: spec.isa,
                missing,
            }),
        }
    }

    /// The kernel of [`TABLE`] called `name`.
    ///
    /// # Errors
    /// When the table has none of that name, or it can't run here.
    pub fn by_name(name: &str) -> Result<Self, KernelError> {
        Self::new(spec(name)?)
    }

    /// The kernel of [`TABLE`] expected to be fastest here.
    pub fn best() -> Self {
        available()
            .last()
            .expect("the table holds a portable kernel")
    }

    /// Its row of the table.
    pub fn spec(self) -> &'static Spec {
        self.0
    }

    /// # Panics
    /// When the weights do not begin on a cache line, or sizes do not fit.
    pub(crate) fn rows(self, operands: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
        assert!(
            operands.weights.as_ptr().addr().is_multiple_of(LINE),
            "weights begin on a cache line"
        );
        // SAFETY: a `Kernel` proves the instruction set, and where the weights begin was just seen.
        // Sizes are the kernel's own to check: it slices `weights` and `out` before any pointer.
        unsafe { (self.0.rows)(operands, range, out) }
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Kernel {}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.0.name)
    }
}

/// The row of [`TABLE`] called `name`.
pub(crate) fn spec(name: &str) -> Result<&'static Spec, KernelError> {
    let spec = TABLE.iter().find(|s| s.name == name);
    spec.ok_or_else(|| KernelError::Unknown {
        name: name.to_owned(),
        known: TABLE.iter().map(|s| s.name).collect(),
    })
}

/// The kernels of [`TABLE`] that can run here, slowest first.
pub fn available() -> impl Iterator<Item = Kernel> {
    TABLE.iter().filter_map(|spec| Kernel::new(spec).ok())
}

/// A kernel that can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// No kernel has this name.
    #[error("there is no kernel `{name}`; known: {}", .known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names in the table.
        known: Vec<&'static str>,
    },
    /// The kernel exists but can't run here.
    #[error("kernel `{name}` needs {isa}, but {missing}")]
    Unavailable {
        /// The kernel.
        name: &'static str,
        /// The level that it needs.
        isa: Isa,
        /// What is missing.
        missing: Missing,
    },
}
