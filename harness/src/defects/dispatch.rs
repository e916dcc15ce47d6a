//! SIMD is compiled in and never selected.

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Dispatch, Place};

/// Chooses a kernel by a flag that no code ever sets, so every matrix gets the scalar loop.
///
/// All answers are right: only the kernel's name and its speed show the defect.
#[derive(Debug, Clone, Copy, Default)]
pub struct NeverSimd {
    simd_enabled: bool,
}

impl Dispatch for NeverSimd {
    fn choose(&self, _place: &Place) -> Kernel {
        if self.simd_enabled {
            Kernel::best()
        } else {
            Kernel::by_name("naive").expect("a portable kernel of the table")
        }
    }
}
