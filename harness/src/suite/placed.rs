//! A case in its place, or in several: slices of a small case take them by turns.
//!
//! Where the operands of a small case lie to each other, in pages and cache sets, can be worth ten
//! per cent. In one place, that luck would last for a whole placement.

use std::time::{Duration, Instant};

use super::id::CaseId;
use super::placement::Padding;
use super::seats::Seat;
use super::{Body, Refusal, SuiteCase};
use crate::machine::with_current_thread_on;
use crate::measure::{Answer, Digest, Failure, Timed};

/// Copies of a case, each in memory of its own.
pub(crate) struct Placed {
    id: CaseId,
    /// At least one.
    bodies: Vec<Box<dyn Body>>,
    /// The one that ran last.
    turn: usize,
    seat: Seat,
    _padding: Padding,
}

impl Placed {
    pub(super) fn new(
        id: CaseId,
        bodies: Vec<Box<dyn Body>>,
        seat: Seat,
        padding: Padding,
    ) -> Self {
        Self {
            id,
            bodies,
            turn: 0,
            seat,
            _padding: padding,
        }
    }

    /// Runs each copy once; what they answered.
    pub(super) fn answers(&mut self) -> Result<Vec<(Answer, Digest)>, Refusal> {
        let answer = |body: &mut Box<dyn Body>| {
            body.run(1)?;
            Ok((body.answer(), body.digest()))
        };
        self.bodies.iter_mut().map(answer).collect()
    }
}

impl Timed for Placed {
    fn iterate(&mut self, iterations: u64) {
        // A failure shows there, which is what runs call.
        let _ = self.time(iterations);
    }

    fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
        self.turn = (self.turn + 1) % self.bodies.len();
        let body = &mut self.bodies[self.turn];
        let (result, time) = with_current_thread_on(&self.seat, || {
            let start = Instant::now();
            let result = body.run(iterations);
            (result, start.elapsed())
        });
        match result {
            Ok(()) => Ok(time),
            Err(error) => Err(Failure::new(format!("{}: {error}", self.id))),
        }
    }
}

impl SuiteCase for Placed {
    fn id(&self) -> &CaseId {
        &self.id
    }

    fn threads(&self) -> usize {
        self.id.threads()
    }

    fn digest(&self) -> Digest {
        self.bodies[self.turn].digest()
    }
}
