//! Workers: programs that time cases of their own and are told which by JSON lines, so that two
//! builds, or programs in any language, can be paired.
//!
//! One line in, one line out, on stdin and stdout:
//!
//! | request | answer |
//! | --- | --- |
//! | `{"op":"hello"}` | `{"name":…,"revision":…,"isa":…,"cases":[{"id":…,"unit":"iteration","threads":1}…]}` |
//! | `{"op":"run","case":ID,"iterations":N}` | `{"ns":ELAPSED,"check":"HEX"}` |
//! | `{"op":"bye"}` | none; the worker ends, as it does at the end of its input |
//!
//! - `revision`, `isa`, `unit` and `threads` may be left out; fields that are not named here are
//!   passed over.
//! - An iteration is one whole repetition of the case. `ns` is the wall time of `iterations` of
//!   them, without set-up and without the digest.
//! - `check` is a digest of the results, in hexadecimal. Equal work gives the same one: the same
//!   case and as many iterations, in any run of either worker. Workers that disagree about it do
//!   not do equal work.
//! - `{"error":TEXT}` in place of an answer says that this case can't be run; with `"exit":3` it
//!   says that its results were found to be wrong.
//! - What a worker writes to stderr is shown where it fails.
//!
//! [`Worker`] is the side that asks; [`Server`] the side that answers.

mod case;
mod digest;
mod error;
mod honesty;
mod launch;
mod pipes;
mod protocol;
mod server;
mod stderr;

mod client;

pub use case::{PairError, WorkerCase, verified_pair};
pub use client::{Answer, Worker};
pub use digest::{Checkable, digest};
pub use error::{Fault, WorkerError};
pub use launch::Launch;
pub use protocol::{CaseInfo, Hello};
pub use server::{Identity, Refusal, Serve, Server, serve};
