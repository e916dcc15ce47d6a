//! Caches, counters and targets of a machine that does not exist.

use bitgauge::run::{
    CacheLevel, CacheStudy, Claim, CostStudy, Costs, Estimate, Measured, PartCosts, Prefetch,
    PrefetchDistance, PrefetchSet, PromptProduct, Run, Stair, Target, Verdict,
};

use super::around;

/// Puts these sections into a run.
pub fn add(run: &mut Run) {
    run.cache = Measured::Is(caches());
    run.counters = Measured::Is(counters());
    run.targets = Measured::Is(targets());
    run.prompts = Measured::Is(prompts());
}

fn prompts() -> Vec<PromptProduct> {
    let product = |name: &str, gops, percent_of_peak| PromptProduct {
        name: name.into(),
        n: 768,
        k: 512,
        tokens: 16,
        kernel: "made-up-wide".into(),
        instruction: "made-up".into(),
        gops,
        percent_of_peak,
    };
    let why = "no round was measured";
    vec![
        product("qkv", Measured::Is(131.0), is(61.9)),
        product("o", Measured::unavailable(why), Measured::unavailable(why)),
    ]
}

fn targets() -> Vec<Target> {
    let target = |id: &str, figure, verdict| Target {
        id: id.into(),
        text: format!("an aim called {id}: 71.3 % at least"),
        unit: "%".into(),
        figure,
        verdict,
    };
    let refuted = Verdict::Refuted {
        by: "55.1 against 71.3".into(),
    };
    let why = "a time could not be measured";
    let open = Verdict::NotMeasurable { why: why.into() };
    vec![
        target("reached", is(88.3), Verdict::Confirmed),
        target("missed", is(55.1), refuted),
        target("open", Measured::unavailable(why), open),
    ]
}

/// The estimate that stands for `value`.
fn is(value: f64) -> Measured<Estimate> {
    Measured::Is(around(value))
}

fn caches() -> CacheStudy {
    let level = |level, bytes, shared| CacheLevel {
        level,
        bytes,
        shared_by: Measured::Is(shared),
    };
    let set = |name: &str, bytes, speedups: [f64; 3]| PrefetchSet {
        name: name.into(),
        bytes,
        matrices: 1,
        distances: ["off", "4 KiB", "own"]
            .into_iter()
            .zip(speedups)
            .map(|(name, speedup)| PrefetchDistance {
                name: name.into(),
                gb_s: is(11.3 * speedup),
                speedup: is(speedup),
            })
            .collect(),
    };
    let stair = |shift: u32, read: f64, load: f64| Stair {
        bytes: 16 << (10 + shift),
        read_gb_s: is(read),
        load_ns: is(load),
    };
    CacheStudy {
        levels: Measured::Is(vec![level(1, 33 << 10, 1), level(3, 3 << 20, 2)]),
        prefetch: Measured::Is(Prefetch {
            kernel: "made-up-wide".into(),
            cols: 1136,
            sets: vec![
                set("half of L1", 17 << 10, [1.0, 0.971, 0.955]),
                set("7 times L3", 21 << 20, [1.0, 1.31, 1.77]),
            ],
            claim: Claim {
                text: "made-up claim about prefetching".into(),
                low: 1.5,
                high: 1.5,
                error_below: None,
            },
            verdict: Verdict::Confirmed,
        }),
        stairs: vec![
            stair(0, 311.0, 1.37),
            stair(5, 93.7, 9.91),
            stair(11, 17.3, 131.0),
        ],
    }
}

fn counters() -> CostStudy {
    let part = |part: &str, instructions: f64, hit: f64| PartCosts {
        part: part.into(),
        instructions: Measured::Is(instructions),
        cpi: Measured::unavailable("a made-up simulation has no cycles"),
        branch_miss_percent: Measured::Is(1.39),
        l1_hit_percent: Measured::Is(hit),
        l2_hit_percent: Measured::unavailable("no second level was made up"),
        llc_hit_percent: Measured::Is(97.1),
        gb_s: Measured::unavailable("a made-up simulation has no time"),
    };
    CostStudy {
        hardware: Measured::unavailable("perf_event_paranoid is 7"),
        grant: Measured::Is("sysctl of a made-up kernel".into()),
        simulated: Measured::Is(Costs {
            source: "simulated by nobody, AVX2 path".into(),
            on: "a model that is not there".into(),
            tokens: 17,
            parts: vec![
                part("whole token", 1_115_000.0, 93.3),
                part("ternary products", 911_000.0, 91.9),
            ],
        }),
    }
}
