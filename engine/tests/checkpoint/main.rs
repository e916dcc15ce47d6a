//! Checkpoints: what loads, what it loads as, and what is refused.

mod content;
mod folder;
mod fuzz;
mod gguf;
mod packed;
mod reject;
mod shards;
mod synthetic;
