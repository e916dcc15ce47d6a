//! Which yardstick a case is held against, and the yardsticks themselves.
//!
//! | what the case does | yardstick |
//! | --- | --- |
//! | walks through memory, or multiplies a large matrix for one token | read bandwidth, as many threads |
//! | multiplies for 32 tokens | int8 dot-product peak of the kernel's instruction set, as many threads |
//! | anything else | a small product by the naive kernel, one thread |
//!
//! A product that stays in the cache next to the core waits for no memory, so read bandwidth would
//! bring a neighbour's noise into its ratio and take none out. Which is large is a number of
//! weights and not a share of some cache, so that all machines hold a case against the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::machine::Machine;
use crate::measure::{Entrant, SplitMix64, Verified};
use crate::suite::{Blueprint, CaseId, KernelName, Phase, Placement, SuiteCase, SuiteError, Work};
use crate::yardsticks::{
    self, Instruction, ReadBuffer, ReadVariant, Unavailable, Yardstick, best_read_bandwidth,
    dot_peak,
};

use super::file::{StoredYardstick, Unit};

/// The product of the yardstick that is the naive kernel: one slice's work.
pub const NAIVE: &str = "decode/16x2560/naive/1t";

/// From so many weights on, a matrix is taken to lie outside of the cache next to the core: four
/// million at 1.6 bits are 0.8 MB.
const LARGE: usize = 4 << 20;

/// A kind of yardstick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Read bandwidth.
    Read {
        /// Threads.
        threads: usize,
    },
    /// int8 dot-product peak.
    Dot {
        /// Of this instruction.
        instruction: Instruction,
        /// Threads.
        threads: usize,
    },
    /// The naive kernel.
    Naive,
}

impl Kind {
    /// What a case is held against.
    pub fn of(id: &CaseId) -> Self {
        let threads = id.threads();
        let of = |phase: Phase, kernel: KernelName| match phase {
            Phase::Decode => Self::Read { threads },
            // What is written for any machine is held against the like.
            Phase::Prefill => match Instruction::of(kernel.spec().isa()) {
                None => Self::Naive,
                Some(instruction) => Self::Dot {
                    instruction,
                    threads,
                },
            },
        };
        match id.work() {
            Work::Product {
                tokens,
                shape,
                kernel,
            } => match (tokens, shape.rows * shape.cols) {
                (1, weights) if weights < LARGE => Self::Naive,
                (1, _) => of(Phase::Decode, *kernel),
                _ => of(Phase::Prefill, *kernel),
            },
            // All layers of this one lie in the cache next to the core.
            Work::Decoder { model: "tiny", .. } => Self::Naive,
            Work::Decoder { phase, kernel, .. } => of(*phase, *kernel),
            Work::Walk { .. } => Self::Read { threads },
            Work::Operation { .. } | Work::Lcg { .. } => Self::Naive,
        }
    }
}

/// The yardsticks of a run, each made when it is first asked for.
pub struct Bench {
    machine: Machine,
    buffer: Option<Result<Arc<ReadBuffer>, Unavailable>>,
    made: BTreeMap<String, Made>,
    /// Names of those that were chosen for a kind.
    chosen: Vec<(Kind, String)>,
}

enum Made {
    /// Threads that wait for work.
    Loop(Verified<Yardstick>),
    /// Placed anew beside every placement of a case.
    Case(Box<Blueprint>),
}

/// A yardstick made for one placement.
pub struct Fresh(Option<Verified<Box<dyn SuiteCase>>>);

impl Bench {
    /// None made yet.
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            buffer: None,
            made: BTreeMap::new(),
            chosen: Vec::new(),
        }
    }

    /// The best yardstick of a kind on this machine, and its name.
    ///
    /// # Errors
    /// Why the machine has none.
    pub fn best(&mut self, kind: Kind) -> Result<String, Unavailable> {
        if let Some((_, name)) = self.chosen.iter().find(|(k, _)| *k == kind) {
            return Ok(name.clone());
        }
        let name = match kind {
            Kind::Naive => {
                self.open(NAIVE)?;
                NAIVE.to_owned()
            }
            Kind::Read { threads } => {
                let made = best_read_bandwidth(&self.buffer()?, threads)?;
                self.keep(made)
            }
            Kind::Dot {
                instruction,
                threads,
            } => self.keep(dot_peak(instruction, threads)?),
        };
        self.chosen.push((kind, name.clone()));
        Ok(name)
    }

    /// Makes the yardstick of this name, as [`Bench::best`] gave it on some machine.
    ///
    /// # Errors
    /// Why it can't be had here.
    pub fn open(&mut self, name: &str) -> Result<(), Unavailable> {
        if self.made.contains_key(name) {
            return Ok(());
        }
        let unavailable = |why: String| Unavailable {
            what: format!("yardstick {name}"),
            why,
        };
        let made = match Parsed::read(name) {
            None => return Err(unavailable("this bitgauge knows none of that name".into())),
            Some(Parsed::Naive) => {
                let made = || Blueprint::new(&NAIVE.parse::<CaseId>()?);
                Made::Case(Box::new(made().map_err(|e| unavailable(e.to_string()))?))
            }
            Some(Parsed::Read(variant, threads)) => {
                self.fits(threads).map_err(unavailable)?;
                let variant = ReadVariant::candidates()
                    .into_iter()
                    .find(|v| v.name() == variant)
                    .ok_or_else(|| unavailable("this processor lacks its instructions".into()))?;
                let buffer = self.buffer()?;
                Made::Loop(yardsticks::read_bandwidth(&buffer, threads, variant)?)
            }
            Some(Parsed::Dot(instruction, threads)) => {
                self.fits(threads).map_err(unavailable)?;
                Made::Loop(dot_peak(instruction, threads)?)
            }
        };
        self.made.insert(name.to_owned(), made);
        Ok(())
    }

    fn fits(&self, threads: usize) -> Result<(), String> {
        match self.machine.usable.threads {
            usable if threads <= usable => Ok(()),
            usable => Err(format!("this process may use {usable} CPUs")),
        }
    }

    fn buffer(&mut self) -> Result<Arc<ReadBuffer>, Unavailable> {
        let make = || ReadBuffer::for_machine(&self.machine);
        self.buffer.get_or_insert_with(make).clone()
    }

    fn keep(&mut self, made: Verified<Yardstick>) -> String {
        let name = made.case().name().to_owned();
        self.made.insert(name.clone(), Made::Loop(made));
        name
    }

    /// What a baseline keeps of one that was made.
    ///
    /// # Panics
    /// When it was not.
    pub fn stored(&self, name: &str) -> StoredYardstick {
        let (unit, per_iteration) = match &self.made[name] {
            Made::Case(_) => (Unit::Products, 1.0),
            Made::Loop(yardstick) => {
                let unit = match yardstick.case().unit() {
                    yardsticks::Unit::GigabytesPerSecond => Unit::Megabytes,
                    yardsticks::Unit::GigaOpsPerSecond => Unit::MegaOps,
                };
                (unit, 1e3 * yardstick.case().giga_work_per_iteration())
            }
        };
        StoredYardstick {
            name: name.to_owned(),
            unit,
            per_iteration,
        }
    }

    /// Places the yardstick anew, where it is one that has a place.
    ///
    /// # Errors
    /// When it answers wrongly.
    pub(super) fn fresh(&self, name: &str, rng: &mut SplitMix64) -> Result<Fresh, SuiteError> {
        Ok(Fresh(match &self.made[name] {
            Made::Loop(_) => None,
            Made::Case(blueprint) => Some(blueprint.verified(&mut Placement::new(rng.next_u64()))?),
        }))
    }

    /// The yardstick as one side of a placement.
    pub(super) fn entrant<'a>(&'a mut self, name: &str, fresh: &'a mut Fresh) -> Entrant<'a> {
        match (self.made.get_mut(name), &mut fresh.0) {
            (Some(Made::Loop(yardstick)), _) => Entrant::new(name, yardstick),
            (_, Some(case)) => Entrant::new(name, case),
            _ => unreachable!("a yardstick that was not made"),
        }
    }
}

/// A name of a yardstick, taken apart.
#[derive(Debug, PartialEq)]
enum Parsed<'n> {
    Read(&'n str, usize),
    Dot(Instruction, usize),
    Naive,
}

impl<'n> Parsed<'n> {
    fn read(name: &'n str) -> Option<Self> {
        if name == NAIVE {
            return Some(Self::Naive);
        }
        let (kind, rest) = name.split_once('-')?;
        let (what, threads) = rest.rsplit_once('-')?;
        let threads = threads.strip_suffix('t')?.parse().ok().filter(|&n| n > 0)?;
        match kind {
            "read" => Some(Self::Read(what, threads)),
            "dot" => {
                let mut all = Instruction::ALL.into_iter();
                let instruction = all.find(|i| i.name() == what)?;
                Some(Self::Dot(instruction, threads))
            }
            _ => None,
        }
    }
}

/// The unit that a yardstick of this name has; `None` for a name of none.
pub(super) fn unit_of(name: &str) -> Option<Unit> {
    Some(match Parsed::read(name)? {
        Parsed::Read(..) => Unit::Megabytes,
        Parsed::Dot(..) => Unit::MegaOps,
        Parsed::Naive => Unit::Products,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitgauge_engine::kernels::Kernel;

    #[test]
    fn what_a_case_does_decides_its_yardstick() {
        let (one, four) = (1, 4);
        let dot = |instruction, threads| Kind::Dot {
            instruction,
            threads,
        };
        let best = Instruction::of(Kernel::best().spec().isa());
        let of_best = best.map_or(Kind::Naive, |instruction| dot(instruction, one));
        for (id, kind) in [
            ("decode/o/naive/1t", Kind::Read { threads: one }),
            ("decode/gate_up/naive/4t", Kind::Read { threads: four }),
            ("decode/256x2560/naive/1t", Kind::Naive),
            ("decode/o/tiles-amx/1t", Kind::Read { threads: one }),
            ("prefill/o/naive/4t", Kind::Naive),
            (
                "prefill/o/tmac-avx512/4t",
                dot(Instruction::Avx2Maddubs, four),
            ),
            (
                "prefill/16x6912/vbmi-avx512/1t",
                dot(Instruction::Vnni512, one),
            ),
            ("prefill/o/tiles-amx/1t", dot(Instruction::AmxInt8, one)),
            (
                "prompt/2b4t-quarter/tiles-amx/4t",
                dot(Instruction::AmxInt8, four),
            ),
            ("token/2b4t-quarter/best/4t", Kind::Read { threads: four }),
            ("prompt/2b4t-quarter/best/1t", of_best),
            ("token/tiny/best/4t", Kind::Naive),
            ("op/rms_norm/64x2560/1t", Kind::Naive),
            ("op/head/2000x2560/4t", Kind::Naive),
            ("loop/lcg/1000/1t", Kind::Naive),
            ("memory/walk/1024MiB/1t", Kind::Read { threads: one }),
        ] {
            assert_eq!(Kind::of(&id.parse().unwrap()), kind, "{id}");
        }
    }

    #[test]
    fn names_are_taken_apart_as_they_were_made() {
        let name = "read-avx512+prefetch2048-2t";
        assert_eq!(
            Parsed::read(name),
            Some(Parsed::Read("avx512+prefetch2048", 2))
        );
        for instruction in Instruction::ALL {
            let name = format!("dot-{}-8t", instruction.name());
            assert_eq!(Parsed::read(&name), Some(Parsed::Dot(instruction, 8)));
        }
        assert_eq!(unit_of(NAIVE), Some(Unit::Products));
        for bad in ["", "read", "read-x", "read-x-0t", "dot-x-1t", "lead-x-1t"] {
            assert_eq!(unit_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_was_made_can_be_made_again_by_its_name() {
        let mut first = Bench::new(Machine::detect());
        let dots = Instruction::ALL.map(|instruction| Kind::Dot {
            instruction,
            threads: 1,
        });
        for kind in dots.into_iter().chain([Kind::Naive]) {
            let Ok(name) = first.best(kind) else {
                continue;
            };
            let mut second = Bench::new(Machine::detect());
            second.open(&name).unwrap();
            assert_eq!(first.stored(&name), second.stored(&name));
            assert_eq!(first.best(kind), Ok(name));
        }
        for gone in ["read-mmx-1t", "dot-portable-1t", "dot-vnni-512-4000t", "x"] {
            assert!(first.open(gone).is_err(), "{gone}");
        }
    }
}
