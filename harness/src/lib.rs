//! bitgauge: did this change make it faster, by how much, and is the answer still right?

pub mod machine;
pub mod measure;
pub mod oracle;
pub mod report;
pub mod yardsticks;
