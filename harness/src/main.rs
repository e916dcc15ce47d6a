//! The `bitgauge` command.

fn main() -> std::process::ExitCode {
    bitgauge::cli::main()
}
