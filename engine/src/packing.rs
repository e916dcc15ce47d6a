//! The matrices of a layer, read from a source and packed next to each other.
//!
//! A matrix is unpacked for a moment, a byte a weight, in memory that is used again for the next: what
//! was touched before is cheaper.

use std::sync::Arc;

use crate::aligned::Aligned;
use crate::checkpoint::{CheckpointError, WeightScale};
use crate::error::Error;
use crate::kernels::Kernel;
use crate::kernels::layout::Layout;
use crate::matrix::{Matrix, side_by_side};
use crate::model::{Group, Projection, Source, matrices, no_memory};
use crate::trits::{self, Trits};

/// Reads and packs all four, with `trits` as scratch.
///
/// # Errors
/// As the source has them; a value that is no trit; no memory.
pub(crate) fn layer(
    source: &dyn Source,
    kernels: [Kernel; 4],
    layer: usize,
    trits: &mut Vec<i8>,
) -> Result<[Projection; 4], Error> {
    for group in Group::ALL {
        make_room(trits, group.shape(source.config()), || {
            format!("layer {layer}, {}", group.name())
        })?;
    }
    let layouts = kernels.map(|kernel| kernel.spec().layout());
    match layouts {
        [Some(qkv), Some(o), Some(gate_up), Some(down)] => {
            in_place(source, kernels, [qkv, o, gate_up, down], layer, trits)
        }
        _ => apart(source, kernels, layer, trits),
    }
}

/// Packs each where it stays.
fn in_place(
    source: &dyn Source,
    kernels: [Kernel; 4],
    layouts: [&Layout; 4],
    layer: usize,
    trits: &mut Vec<i8>,
) -> Result<[Projection; 4], Error> {
    let shapes = Group::ALL.map(|group| group.shape(source.config()));
    let bytes = |g: usize| (layouts[g].bytes)(shapes[g].0, shapes[g].1);
    let (places, end) = side_by_side(std::array::from_fn::<_, 4, _>(bytes));
    let mut memory =
        Aligned::try_zeroed(end).ok_or_else(|| no_memory(format!("layer {layer}"), end))?;
    let mut parts: [Vec<(usize, WeightScale)>; 4] = Default::default();
    for (g, group) in Group::ALL.into_iter().enumerate() {
        let (matrix, scales) = read(source, layer, group, trits)?;
        (layouts[g].pack)(&matrix, &mut memory.as_mut_slice()[places[g].clone()]);
        parts[g] = scales;
        *trits = matrix.into_values();
    }
    let memory = Arc::new(memory);
    Ok(std::array::from_fn(|g| {
        let matrix = Matrix::within(kernels[g], shapes[g], &memory, places[g].clone());
        Projection::new(matrix, std::mem::take(&mut parts[g]))
    }))
}

/// Packs each by itself, as kernels from outside of this crate want it, and then brings them together.
fn apart(
    source: &dyn Source,
    kernels: [Kernel; 4],
    layer: usize,
    trits: &mut Vec<i8>,
) -> Result<[Projection; 4], Error> {
    let mut project = |group: Group| -> Result<Projection, Error> {
        let (matrix, parts) = read(source, layer, group, trits)?;
        let packed = Matrix::pack(kernels[group as usize], &matrix);
        *trits = matrix.into_values();
        Ok(Projection::new(packed, parts))
    };
    let mut projections = [
        project(Group::Qkv)?,
        project(Group::O)?,
        project(Group::GateUp)?,
        project(Group::Down)?,
    ];
    Matrix::try_gather(matrices(&mut projections))
        .map_err(|bytes| no_memory(format!("layer {layer}"), bytes))?;
    Ok(projections)
}

/// The matrix of a group in the memory of `trits`, which has room for it; rows and scale of each of
/// its linears.
fn read(
    source: &dyn Source,
    layer: usize,
    group: Group,
    trits: &mut Vec<i8>,
) -> Result<(Trits, Vec<(usize, WeightScale)>), Error> {
    let (rows, cols) = group.shape(source.config());
    let mut parts = Vec::new();
    let mut rest = &mut trits[..];
    for &linear in group.linears() {
        let rows = linear.shape(source.config()).0;
        let (part, after) = rest.split_at_mut(rows * cols);
        rest = after;
        let scale = source.read_linear(layer, linear, part)?;
        trits::check(rows, cols, part).map_err(|source| Error::Trits {
            layer,
            linear,
            source,
        })?;
        parts.push((rows, scale));
    }
    Ok((Trits::checked(rows, cols, std::mem::take(trits)), parts))
}

/// Lets `trits` be long enough for a matrix.
pub(crate) fn make_room(
    trits: &mut Vec<i8>,
    (rows, cols): (usize, usize),
    what: impl Fn() -> String,
) -> Result<(), CheckpointError> {
    let bytes = rows.saturating_mul(cols);
    let Some(more) = bytes.checked_sub(trits.len()) else {
        return Ok(());
    };
    let room = trits.try_reserve_exact(more);
    room.map_err(|_| no_memory(what(), bytes))?;
    trits.resize(bytes, 0);
    Ok(())
}
