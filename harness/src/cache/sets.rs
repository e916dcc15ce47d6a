//! Working sets of packed weights, by the caches that hold them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bitgauge_engine::input::Input;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::matrix::Matrix;
use bitgauge_engine::prefetch::{self, Distance};
use bitgauge_engine::trits::Trits;

use crate::exit::Failure;
use crate::measure::{self, Answer, Timed, Tolerance, Verified};
use crate::oracle;
use crate::run::CacheLevel;
use crate::verify::random::Random;

/// Bytes of one matrix at most; a larger set is made of several of them.
const MATRIX: u64 = 8 << 20;
/// Rows of a matrix are a multiple of what any kernel takes together.
const ROWS: usize = 16;

/// How large a set shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// What it is to the machine.
    pub name: String,
    /// Bytes; the set comes near to it.
    pub bytes: u64,
}

/// Half of each cache of the core's own, a sixteenth at most of a shared one, and `most` bytes.
pub fn sizes(levels: &[CacheLevel], most: u64) -> Vec<Size> {
    let mut sizes = Vec::new();
    let last = levels.last().map(|c| c.level);
    for cache in levels {
        // Of the last cache, a virtual machine sees all, and others use it too.
        let (share, what) = match Some(cache.level) == last && levels.len() > 2 {
            true => (16, "a sixteenth"),
            false => (2, "half"),
        };
        sizes.push(Size {
            name: format!("{what} of L{}", cache.level),
            bytes: cache.bytes / share,
        });
    }
    let name = match levels.last() {
        Some(cache) => format!(
            "{:.1} times L{}",
            most as f64 / cache.bytes as f64,
            cache.level
        ),
        None => "largest; the caches are not known".to_owned(),
    };
    sizes.push(Size { name, bytes: most });
    sizes.retain(|s| (1..=most).contains(&s.bytes));
    sizes
}

/// Matrices of equal content in memory of their own, one after the other; all that read them share
/// one position, so that nobody finds in a cache what another has just read.
pub struct WorkingSet {
    matrices: Vec<Matrix>,
    input: Input,
    want: Vec<i32>,
    next: Cell<usize>,
    sums: RefCell<Vec<i32>>,
}

impl WorkingSet {
    /// A set of about `bytes`, and what each of its products must be by the oracle.
    ///
    /// # Errors
    /// When a matrix can't be made.
    pub fn new(kernel: Kernel, cols: usize, bytes: u64, seed: u64) -> Result<Rc<Self>, Failure> {
        let a_row = (cols as f64 * kernel.spec().bits_per_weight() / 8.0).ceil() as u64;
        let one = bytes / bytes.div_ceil(MATRIX).max(1);
        let rows = (one / a_row) as usize / ROWS * ROWS;
        let rows = rows.max(ROWS);
        let mut random = Random::new(seed);
        let (weights, activations) = (random.trits(rows * cols), random.int8s(cols));
        let want = oracle::ops::dot_rows(&weights, rows, cols, &activations);
        let mut input = Input::default();
        input.set(&activations, cols);
        input.prepare(kernel);
        let first = Matrix::pack(kernel, &Trits::new(rows, cols, weights)?);
        let copies = (bytes / first.bytes() as u64).max(1) as usize;
        Ok(Rc::new(Self {
            matrices: vec![first; copies],
            input,
            want,
            next: Cell::new(0),
            sums: RefCell::new(vec![i32::MIN; rows]),
        }))
    }

    /// Bytes of one matrix.
    pub fn matrix_bytes(&self) -> u64 {
        self.matrices[0].bytes() as u64
    }

    /// Matrices.
    pub fn matrices(&self) -> usize {
        self.matrices.len()
    }

    /// The product of the next matrix.
    fn multiply(&self) {
        let at = self.next.get();
        self.next.set((at + 1) % self.matrices.len());
        let mut sums = self.sums.borrow_mut();
        self.matrices[at].sums(&self.input, 0..self.want.len(), &mut sums);
    }
}

/// Products of a set with one prefetch distance.
pub struct Walk {
    set: Rc<WorkingSet>,
    distance: Distance,
}

impl Walk {
    /// Products of every matrix of the set, compared with the oracle.
    ///
    /// # Errors
    /// When one is wrong.
    pub fn verified(set: &Rc<WorkingSet>, distance: Distance) -> Result<Verified<Self>, Failure> {
        let mut walk = Self {
            set: Rc::clone(set),
            distance,
        };
        for _ in 1..set.matrices() {
            walk.time(1)
                .map_err(|wrong| Failure::could_not_run(wrong.to_string()))?;
        }
        walk.iterate(1);
        let got = Answer::Integers(set.sums.borrow().clone());
        let want = Answer::Integers(set.want.clone());
        Verified::check(walk, &got, &want, Tolerance::Exact)
            .map_err(|wrong| Failure::could_not_run(format!("{distance:?}: {}", wrong.reason())))
    }
}

impl Timed for Walk {
    fn iterate(&mut self, iterations: u64) {
        prefetch::set(self.distance);
        for _ in 0..iterations {
            self.set.multiply();
        }
        prefetch::set(Distance::default());
    }

    /// The last product of every slice is compared with the oracle's.
    fn time(&mut self, iterations: u64) -> Result<std::time::Duration, measure::Failure> {
        let begin = std::time::Instant::now();
        self.iterate(iterations);
        let time = begin.elapsed();
        let sums = self.set.sums.borrow();
        match sums.iter().zip(&self.set.want).position(|(a, b)| a != b) {
            None => Ok(time),
            Some(row) => Err(measure::Failure::new(format!(
                "row {row} is {}, expected {}",
                sums[row], self.set.want[row]
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Measured;

    fn level(level: u32, bytes: u64) -> CacheLevel {
        CacheLevel {
            level,
            bytes,
            shared_by: Measured::Is(1),
        }
    }

    #[test]
    fn sets_fit_the_caches_that_they_are_named_after() {
        let caches = [level(1, 48 << 10), level(2, 2 << 20), level(3, 480 << 20)];
        let sizes = sizes(&caches, 1 << 30);
        let names: Vec<&str> = sizes.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "half of L1",
                "half of L2",
                "a sixteenth of L3",
                "2.1 times L3"
            ]
        );
        assert_eq!(sizes[2].bytes, 30 << 20);
        // Little memory: what can't be had is left out.
        assert_eq!(super::sizes(&caches, 1 << 20).len(), 3);
    }

    #[test]
    fn every_distance_is_verified_and_a_wrong_product_is_seen() {
        let kernel = Kernel::best();
        let set = WorkingSet::new(kernel, 320, 40 << 10, 1).unwrap();
        for distance in [Distance::Off, Distance::default()] {
            assert!(Walk::verified(&set, distance).is_ok());
        }
        let mut set = Rc::into_inner(set).unwrap();
        *set.want.last_mut().unwrap() += 1;
        assert!(Walk::verified(&Rc::new(set), Distance::Off).is_err());
    }

    #[test]
    fn a_large_set_is_several_matrices() {
        let set = WorkingSet::new(Kernel::best(), 2560, 20 << 20, 1).unwrap();
        assert!((2..=4).contains(&set.matrices()), "{}", set.matrices());
        let bytes = set.matrix_bytes() * set.matrices() as u64;
        assert!((12 << 20..=21 << 20).contains(&bytes), "{bytes}");
    }
}
