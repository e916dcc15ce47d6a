//! Hardware counters: which there are, or why there are none.

use serde::Serialize;

use crate::counters::{self, Event};
use crate::run::Measured;

/// The counters of this process.
#[derive(Debug, Clone, Serialize)]
pub struct Counters {
    /// The events that count, by name; or why none does.
    pub events: Measured<Vec<CountedEvent>>,
    /// The command that would grant them, where one would.
    pub grant: Measured<String>,
}

/// One event.
#[derive(Debug, Clone, Serialize)]
pub struct CountedEvent {
    /// Its name.
    pub event: &'static str,
    /// What a loop of some thousand steps counted.
    pub trial: Measured<u64>,
}

impl Counters {
    pub(super) fn open() -> Self {
        let work = || {
            for step in 0..10_000_u32 {
                std::hint::black_box(step);
            }
        };
        match counters::open() {
            Ok(mut open) => {
                let (_, counts) = open.measure(work);
                let event = |event: Event| CountedEvent {
                    event: event.name(),
                    trial: counts.of(event).as_ref().map(|count| count.value),
                };
                Self {
                    events: Measured::Is(Event::HARDWARE.into_iter().map(event).collect()),
                    grant: Measured::unavailable("counters are granted"),
                }
            }
            Err(unavailable) => Self {
                events: Measured::unavailable(unavailable.why),
                grant: Measured::or(unavailable.grant, "no command alone would"),
            },
        }
    }
}
