//! bitgauge: did this change make it faster, by how much, and is the answer still right?

// Printing panics where nobody reads any more; `cli::output` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod agreement;
pub mod baseline;
pub mod bench;
pub mod bisect;
pub mod busy;
pub mod cache;
pub mod calibration;
pub mod case_filter;
pub mod cli;
pub mod compare;
pub mod costs;
pub mod counters;
pub mod decoder;
pub mod defects;
pub mod diagnosis;
pub mod exit;
pub mod export;
pub mod fixtures;
pub mod gate;
pub mod generation;
pub mod history;
pub mod import;
pub mod ladder;
pub mod latency;
pub mod limits;
pub mod loading;
pub mod machine;
pub mod measure;
pub mod model_source;
pub mod oracle;
pub mod process;
pub mod rayon_pool;
pub mod report;
pub mod run;
pub mod scaling;
pub mod selftest;
pub mod suite;
pub mod text_file;
pub mod tuning;
pub mod user_cache;
pub mod verdicts;
pub mod verify;
pub mod whole_file;
pub mod worker;
pub mod yardsticks;
