//! The `bitgauge` command.
fn main() {}
