//! Values that may be missing, and values with an interval.

use serde::{Deserialize, Serialize};

/// A value, or the reason why there is none. In JSON: `{"is": ...}` or `{"unavailable": "why"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured<T> {
    /// The value.
    Is(T),
    /// Why there is no value, as a phrase that can follow "unavailable: ".
    Unavailable(String),
}

impl<T> Default for Measured<T> {
    fn default() -> Self {
        Self::Unavailable("this run did not measure it".into())
    }
}

impl<T> Measured<T> {
    /// No value, for this reason.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(why.into())
    }

    /// The value, or why there is none.
    pub fn or(value: Option<T>, why: &str) -> Self {
        value.map_or_else(|| Self::unavailable(why), Self::Is)
    }

    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unavailable(_) => None,
        }
    }

    /// The reason why there is no value, if there is none.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Is(_) => None,
            Self::Unavailable(why) => Some(why),
        }
    }

    /// The same with a reference inside.
    pub fn as_ref(&self) -> Measured<&T> {
        match self {
            Self::Is(value) => Measured::Is(value),
            Self::Unavailable(why) => Measured::Unavailable(why.clone()),
        }
    }

    /// Applies `f` to the value and keeps the reason otherwise.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Measured<U> {
        match self {
            Self::Is(value) => Measured::Is(f(value)),
            Self::Unavailable(why) => Measured::Unavailable(why),
        }
    }
}

/// A value with its interval, and how sure the interval is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value, in the unit of the field that holds it.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Confidence level of the interval, 0 to 1: 0.95 for 95 %.
    pub level: f64,
    /// Blocks that it rests on: interleaved A B B A blocks for a comparison, repetitions otherwise.
    pub blocks: u64,
}

impl Estimate {
    /// The same in another unit: value and ends times `by`, which is above 0.
    pub fn scaled(&self, by: f64) -> Self {
        Self {
            value: by * self.value,
            low: by * self.low,
            high: by * self.high,
            ..*self
        }
    }
}

/// A closed range of what somebody claimed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}
