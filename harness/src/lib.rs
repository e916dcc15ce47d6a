//! bitgauge: did this change make it faster, by how much, and is the answer still right?

pub mod cli;
pub mod compare;
pub mod decoder;
pub mod defects;
pub mod exit;
pub mod fixtures;
pub mod gate;
pub mod ladder;
pub mod limits;
pub mod machine;
pub mod measure;
pub mod model_source;
pub mod oracle;
pub mod process;
pub mod report;
pub mod run;
pub mod selftest;
pub mod suite;
pub mod text_file;
pub mod verdicts;
pub mod verify;
pub mod worker;
pub mod yardsticks;
