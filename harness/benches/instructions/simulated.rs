//! The part that gungraun runs: one process under Valgrind for each case of a plan.

use gungraun::{
    Bench, BinaryBenchmark, BinaryBenchmarkConfig, Callgrind, Command, EntryPoint,
    binary_benchmark_group, main,
};

use crate::plan::{Plan, identifier};
use crate::{COUNT, REGION};

/// Counts what `Plan::from_environment` says; the process ends when gungraun's runner fails.
pub fn run() {
    main();
}

fn config() -> BinaryBenchmarkConfig {
    // Cycles and cache misses of a processor that nobody has would only mislead.
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.entry_point(EntryPoint::Custom(format!("*{REGION}")));
    let mut config = BinaryBenchmarkConfig::default();
    config.tool(callgrind).pass_through_env("BITGAUGE_ISA");
    config
}

/// One benchmark an instruction set, which its name says, and in it one a case.
fn benchmarks() -> Vec<BinaryBenchmark> {
    let plan = Plan::from_environment().expect("the plan of the process that started this one");
    let program = std::env::current_exe().expect("the path of this program");
    let mut isas: Vec<&str> = plan.cases.iter().map(|c| c.isa.as_str()).collect();
    isas.dedup();
    let of_isa = |isa: &str| {
        let mut benchmark = BinaryBenchmark::new(identifier(isa));
        for case in plan.cases.iter().filter(|c| c.isa == isa) {
            let mut command = Command::new(&program);
            command.args([COUNT, &case.name, &plan.shown]);
            benchmark.bench(Bench::new(identifier(&case.name)).command(command));
        }
        benchmark
    };
    isas.into_iter().map(of_isa).collect()
}

binary_benchmark_group!(
    name = counts;
    benchmarks = |group: &mut BinaryBenchmarkGroup| {
        group.binary_benchmarks(super::benchmarks());
    }
);

main!(config = config(), binary_benchmark_groups = counts);
