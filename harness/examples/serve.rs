//! A worker in a few lines: try `echo '{"op":"hello"}' | cargo run --example serve`.

use bitgauge::worker::Server;

fn main() -> std::process::ExitCode {
    Server::new("serve-example")
        .revision(env!("CARGO_PKG_VERSION"))
        .case("sum", || {
            let numbers: Vec<u64> = (0..4096).collect();
            move || {
                numbers
                    .iter()
                    .fold(0, |sum: u64, n| sum.wrapping_mul(31) + n)
            }
        })
        .case("sort", || {
            println!("stdout belongs to the protocol, so this goes to stderr");
            let numbers: Vec<u32> = (0..1024)
                .map(|n: u32| n.wrapping_mul(2_654_435_761))
                .collect();
            move || {
                let mut sorted = numbers.clone();
                sorted.sort_unstable();
                sorted
            }
        })
        .serve()
}
