//! A path that exists only in builds for the machine at hand.

use std::ops::Range;

use bitgauge_engine::kernels::{Operands, Spec};

use super::bytes;

/// Whether this build was made for a CPU with vectors beyond the architecture's baseline, as
/// `-C target-cpu=native` does.
pub const NATIVE_BUILD: bool = cfg!(target_feature = "avx2");

/// Chooses its body when it is compiled: right in a portable build, wrong in a native one. No test
/// of a portable build can see the other body, because it is not in the binary.
pub static AS_COMPILED: Spec = bytes::spec(
    "defect-as-compiled",
    "the body is chosen at compile time",
    as_compiled,
);

/// The native body as a row of its own, which is what choosing at run time comes to: every binary
/// holds it, so every binary's checks run it.
pub static NATIVE_BODY: Spec = bytes::spec(
    "defect-native-body",
    "the body that only a native build would have had",
    native_body,
);

fn as_compiled(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    if NATIVE_BUILD {
        native_body(op, range, out);
    } else {
        portable_body(op, range, out);
    }
}

fn portable_body(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    bytes::each_sum(op, range, out, |_, products| {
        products.map(|(w, q)| i32::from(w) * i32::from(q)).sum()
    });
}

/// Wrong where an activation is -128, whose magnitude does not fit int8.
fn native_body(op: &Operands<'_>, range: Range<usize>, out: &mut [i32]) {
    bytes::each_sum(op, range, out, |_, products| {
        products
            .map(|(w, q)| i32::from(w) * i32::from(q.signum()) * i32::from(q.saturating_abs()))
            .sum()
    });
}
