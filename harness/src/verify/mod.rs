//! verify
pub mod check;
pub mod kernels;
pub(crate) mod random;
