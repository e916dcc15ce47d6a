//! bitgauge: did this change make it faster, by how much, and is the answer still right?

pub mod fixtures;
pub mod measure;
pub mod oracle;
pub mod report;
