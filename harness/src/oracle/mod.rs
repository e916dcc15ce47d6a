//! The judge: a naive BitNet b1.58 decoder, written to be read.
//!
//! One token at a time, one multiplication at a time, `f64` everywhere except
//! where the format fixes `f32` (activation quantiser, weight quantiser, RoPE
//! angles) or integers (ternary products). It has its own checkpoint loader
//! and shares no code with the engine, so that a mistake can't be on both
//! sides of a comparison.
//!
//! Read in this order: [`ops`] (each operation as a formula), [`weights`] (how
//! trits are stored), [`decoder`] (one token through the model). [`load`] and
//! what it uses turn a folder into a [`Model`].
//!
//! ```no_run
//! use bitgauge::oracle::{Decoder, Model, ops};
//!
//! # fn main() -> Result<(), bitgauge::oracle::OracleError> {
//! let model = Model::open("fixtures/trained")?;
//! let mut decoder = Decoder::new(&model);
//! let logits = decoder.step(84)?;
//! println!("{:?}", ops::argmax(&logits));
//! # Ok(())
//! # }
//! ```

pub mod cache;
pub mod config;
pub mod decoder;
mod error;
pub mod float_formats;
pub mod load;
pub mod model;
pub mod ops;
pub mod perplexity;
pub mod safetensors;
pub mod weights;

pub use cache::CacheRounding;
pub use decoder::{Decoder, Greedy, Tap};
pub use error::OracleError;
pub use model::{Layer, LinearName, Model, Parts, Shape};
pub use perplexity::{Perplexity, Windows, perplexity};
pub use weights::{Linear, ScaleRule};
