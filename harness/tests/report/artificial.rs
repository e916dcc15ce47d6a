//! A run whose every figure is made up, on a machine that does not exist.

mod agreement;
mod costs;
mod limits;

use bitgauge::measure::stats::{Between, Percentile};
use bitgauge::run::{
    Block, CacheGain, Check, CheckStatus, Checks, Claim, Comparison, ContextGain, Defect,
    DefectError, DefectOutcome, Estimate, Figures, Generation, GenerationTime, Isolated, KernelRow,
    Knob, Ladder, Latency, LatencyTarget, MachineSummary, Masking, Measured, ModelSummary, Origin,
    Part, PartTimes, Profile, Range, Run, Scaled, ScalingPoint, Selected, Selection, Settings,
    Skipped, Step, Target, TimedModel, TokenTimes, Tool, Totals, Verdict, WrongAnswer,
};

/// A run that was begun and measured nothing.
pub fn bare_run() -> Run {
    Run::new(
        "artificial",
        Tool {
            version: "0.0.0-test".into(),
            revision: Measured::unavailable("not a repository"),
        },
        "2001-02-03T04:05:06Z",
        ["bitgauge", "run", "--quick"].map(String::from).to_vec(),
        Settings {
            suite: "all".into(),
            quick: true,
            threads: 2,
            seed: 1101,
            model: "imaginary".into(),
            options: Default::default(),
        },
    )
}

fn around(value: f64) -> Estimate {
    Estimate {
        value,
        low: value * 0.96,
        high: value * 1.05,
        level: 0.999,
        blocks: 111,
    }
}

fn figures(token_s: f64, share: f64) -> Figures {
    Figures {
        token_s: around(token_s),
        ms_token: around(1000.0 / token_s),
        gb_s: Measured::Is(token_s * 0.777),
        percent_of_bandwidth: Measured::Is(token_s * 4.44),
        product_share: Measured::Is(share),
        utilisation: Measured::Is(vec![81.5, 79.25]),
        relative_error: Measured::Is(0.000_222),
        tokens: 33,
        threads: 2,
    }
}

fn timed(before: f64, after: f64, share: f64, verdict: Verdict) -> Comparison {
    Comparison::Timed {
        before: figures(before, 95.0),
        after: figures(after, share),
        part: None,
        speedup: around(after / before),
        samples: (0..3)
            .map(|i| Block {
                order: if i == 1 { "BAAB" } else { "ABBA" }.into(),
                before_ns: vec![1e9 / before + f64::from(i), 1e9 / before / 3.0],
                after_ns: vec![1e9 / after, 1e9 / after * 1.01],
            })
            .collect(),
        verdict,
    }
}

fn step(
    id: &str,
    title: &str,
    claim: Option<(f64, f64)>,
    with: &str,
    comparison: Comparison,
) -> Step {
    Step {
        id: id.into(),
        title: title.into(),
        change: format!("What {id} changes, in a sentence of ordinary length."),
        why: format!("Why {id} should help: because of something that is made up here."),
        claim: claim.map(|(low, high)| Claim {
            text: format!("made-up claim about {id}"),
            low,
            high,
            error_below: None,
        }),
        knobs: Vec::new(),
        prediction: "About as much as was claimed.".into(),
        compared_with: with.into(),
        comparison,
    }
}

fn wrong(seen_on: &str) -> Comparison {
    Comparison::Wrong {
        error: WrongAnswer {
            relative_error: 3.11,
            seen_on: seen_on.into(),
        },
    }
}

/// What the steps turn, and the error that the tables promise.
fn annotate(ladder: &mut Ladder) {
    let knobs = [
        vec![Knob::Dispatch],
        vec![Knob::Kernel],
        vec![Knob::Kernel],
        vec![Knob::Scheduler],
        Vec::new(),
    ];
    for (step, knobs) in ladder.rungs.iter_mut().zip(knobs) {
        step.knobs = knobs;
    }
    for (at, below) in [(1, 0.01), (2, 0.001)] {
        if let Some(claim) = &mut ladder.rungs[at].claim {
            claim.error_below = Some(below);
        }
    }
}

fn ladder() -> Ladder {
    let refuted = Verdict::Refuted {
        by: "1.33× where at least 1.5× was claimed".into(),
    };
    Ladder {
        name: "made-up".into(),
        targets: vec![
            Target {
                id: "speed".into(),
                text: "10 to 12 token/s".into(),
                unit: "token/s".into(),
                figure: Measured::Is(around(11.1)),
                verdict: Verdict::Confirmed,
            },
            Target {
                id: "busy".into(),
                text: "every core is busy more than 80 % of the time".into(),
                unit: "%".into(),
                figure: Measured::unavailable("no per-thread clock"),
                verdict: Verdict::NotMeasurable {
                    why: "no per-thread clock".into(),
                },
            },
        ],
        rungs: vec![
            step(
                "select-simd",
                "SIMD is selected",
                Some((4.0, 6.0)),
                "original",
                timed(0.333, 1.77, 88.0, Verdict::Confirmed),
            ),
            step(
                "published-table",
                "Table of the published repair",
                Some((2.0, 2.0)),
                "select-simd",
                wrong("gaussian K=2560"),
            ),
            step(
                "right-table",
                "Table indexed by weight trits, built for each token from its activations",
                Some((2.0, 2.0)),
                "select-simd",
                timed(1.77, 4.44, 77.0, Verdict::Confirmed),
            ),
            step(
                "contiguous-rows",
                "Threads own contiguous rows",
                Some((1.5, 2.5)),
                "right-table",
                timed(4.44, 5.9, 66.0, refuted.clone()),
            ),
            step(
                "tidy",
                "Buffers are reused",
                None,
                "contiguous-rows",
                timed(5.9, 6.01, 65.0, Verdict::NoClaim),
            ),
        ],
        alone: vec![
            Isolated {
                step: "select-simd".into(),
                comparison: timed(0.333, 1.71, 87.0, Verdict::NoClaim),
            },
            Isolated {
                step: "published-table".into(),
                comparison: wrong("gaussian K=2560"),
            },
            Isolated {
                step: "right-table".into(),
                comparison: timed(0.333, 0.344, 87.0, Verdict::NoClaim),
            },
            Isolated {
                step: "contiguous-rows".into(),
                comparison: timed(0.333, 0.355, 87.0, Verdict::NoClaim),
            },
        ],
        left_out: vec![
            Isolated {
                step: "select-simd".into(),
                comparison: timed(0.6, 6.01, 87.0, Verdict::NoClaim),
            },
            Isolated {
                step: "right-table".into(),
                comparison: Comparison::Mended {
                    error_before: WrongAnswer {
                        relative_error: 2.99,
                        seen_on: "the trained model".into(),
                    },
                    after: figures(6.01, 65.0),
                    verdict: Verdict::NoClaim,
                },
            },
            Isolated {
                step: "contiguous-rows".into(),
                comparison: timed(4.5, 6.01, 87.0, Verdict::NoClaim),
            },
            Isolated {
                step: "tidy".into(),
                comparison: Comparison::NotRun {
                    why: "the time was spent".into(),
                },
            },
            Isolated {
                step: "published-table".into(),
                comparison: Comparison::NoEffect,
            },
        ],
        masking: Measured::Is(Masking {
            feature: "KV cache".into(),
            claim: Some(Claim {
                text: "1.5 to 2 times faster, hidden until the products are fast".into(),
                low: 1.5,
                high: 2.0,
                error_below: None,
            }),
            tokens: 50,
            at_bottom: timed(0.321, 0.333, 95.0, Verdict::NoClaim),
            at_top: timed(3.21, 6.01, 65.0, Verdict::NoClaim),
            verdict: Verdict::Confirmed,
        }),
    }
}

fn scaling() -> Vec<ScalingPoint> {
    let point = |phase: &str, scheduler: &str, threads, speedup, claimed_efficiency| ScalingPoint {
        phase: phase.into(),
        scheduler: scheduler.into(),
        threads,
        speedup,
        claimed_efficiency,
    };
    let measured = |x: f64, busy: Vec<f64>| Scaled::Measured {
        speedup: around(x),
        utilisation: Measured::Is(busy),
    };
    let projected = |value: f64| Scaled::Projected {
        value,
        low: value * 0.9,
        high: value * 1.06,
        model: "Universal Scalability Law".into(),
    };
    vec![
        point("decode", "contiguous", 1, measured(1.0, vec![98.5]), None),
        point(
            "decode",
            "contiguous",
            2,
            measured(1.82, vec![97.5, 96.5]),
            Some(0.95),
        ),
        point("decode", "contiguous", 4, projected(3.5), Some(0.93)),
        point("decode", "contiguous", 8, projected(6.5), Some(0.89)),
        point("decode", "contiguous", 16, projected(11.7), Some(0.84)),
        point("decode", "contended", 1, measured(1.0, vec![93.5]), None),
        point(
            "decode",
            "contended",
            2,
            measured(0.77, vec![60.5, 58.5]),
            None,
        ),
        point("prefill", "contiguous", 1, measured(1.0, vec![99.5]), None),
        point(
            "prefill",
            "contiguous",
            2,
            measured(1.93, vec![98.25, 97.75]),
            None,
        ),
        point(
            "prefill",
            "contiguous",
            4,
            Scaled::Unavailable {
                why: "two cores only".into(),
            },
            None,
        ),
    ]
}

fn timed_model() -> TimedModel {
    TimedModel {
        name: "imaginary".into(),
        layers_run: 30,
        layers_in_shape: 30,
        kernel: "made-up-wide".into(),
        threads: 2,
    }
}

fn latency() -> Latency {
    let choice = |choice: &str, least: u64, tokens: u64| {
        let ns: Vec<u64> = (0..tokens)
            .map(|i| least + 11_100 * (i * 7 % 100))
            .collect();
        let at = |share: f64| (least as f64 + 1_110_000.0 * share) * 1e-6;
        let percentile = |percent, value: f64, interval: bool| Percentile {
            percent,
            value,
            interval: interval.then_some(Between {
                low: value - 0.0777,
                high: value + 0.0888,
                coverage: 0.9611,
            }),
        };
        TokenTimes {
            choice: choice.into(),
            ns,
            percentiles: vec![
                percentile(50, at(0.5), true),
                percentile(90, at(0.9), true),
                percentile(99, at(0.98), false),
            ],
            max_ms: at(0.99),
        }
    };
    let part = |part: &str, mean_us: f64, share| PartTimes {
        part: part.into(),
        mean_us,
        p50_us: mean_us * 0.93,
        p99_us: mean_us * 1.77,
        share,
    };
    let target = |text: &str, percent, below_ms, measured_ms, verdict| LatencyTarget {
        text: text.into(),
        percent,
        below_ms,
        measured_ms: Measured::Is(measured_ms),
        verdict,
    };
    Latency {
        model: timed_model(),
        context: 13,
        choices: vec![
            choice("greedy, quantised head", 61_100_000, 300),
            choice("all logits", 73_300_000, 100),
        ],
        parts: vec![
            part("attention", 7_331.0, 11.9),
            part("output head", 54_321.0, 88.1),
        ],
        targets: vec![
            target("a token below 77 ms", 50, 77.0, 61.655, Verdict::Confirmed),
            target(
                "99 % of all tokens below 62 ms",
                99,
                62.0,
                62.1878,
                Verdict::Refuted {
                    by: "62.2 ms".into(),
                },
            ),
        ],
    }
}

fn generation() -> Generation {
    let context = |positions: usize, with: f64, without: f64| ContextGain {
        positions,
        with_ns: vec![(with * 1e6) as u64; 6],
        without_ns: vec![(without * 1e6) as u64; 6],
        with_ms: Measured::Is(around(with)),
        without_ms: Measured::Is(around(without)),
        speedup: Measured::Is(around(without / with)),
    };
    Generation {
        model: timed_model(),
        prompt: 8,
        tokens: 50,
        samples: vec![
            GenerationTime {
                first_ns: 151_000_000,
                rest_ns: 3_003_000_000,
            };
            6
        ],
        first_token_ms: Measured::Is(around(151.0)),
        rest_ms: Measured::Is(around(3003.0)),
        token_s: Measured::Is(around(16.3)),
        kv_bytes: 8_760_000,
        peak_resident_bytes: Measured::Is(1_919_000_000),
        gain: Measured::Is(CacheGain {
            claim: Claim {
                text: "above 2x on 50 made-up tokens".into(),
                low: 2.0,
                high: 2.0,
                error_below: None,
            },
            with_s: 3.35,
            without_s: 11.7,
            speedup: around(3.51),
            blocks: vec![Block {
                order: "ABBA".into(),
                before_ns: vec![1e8, 3e8],
                after_ns: vec![6e7, 6.1e7],
            }],
            verdict: Verdict::Confirmed,
        }),
        contexts: vec![
            context(8, 61.7, 93.1),
            context(64, 63.3, 411.0),
            context(256, 71.9, 1999.0),
        ],
    }
}

fn profiles() -> Vec<Profile> {
    let profile = |state: &str, total: f64, shares: &[(&str, f64)]| Profile {
        state: state.into(),
        parts: shares
            .iter()
            .map(|&(part, share)| Part {
                part: part.into(),
                us: total * share / 100.0,
                share,
            })
            .collect(),
    };
    vec![
        profile(
            "original",
            3_003_000.0,
            &[
                ("matrix products", 95.5),
                ("attention", 2.25),
                ("norms", 0.5),
                ("quantiser", 0.75),
                ("head", 1.0),
            ],
        ),
        profile(
            "every fix",
            166_000.0,
            &[
                ("matrix products", 61.5),
                ("attention", 12.5),
                ("norms", 3.5),
                ("quantiser", 4.5),
                ("head", 18.0),
            ],
        ),
    ]
}

fn checks() -> Checks {
    let mut list = Vec::new();
    for (kernel, threads) in [("made-up-wide", 1), ("made-up-wide", 2), ("naive", 1)] {
        for (id, figure, limit, unit) in [
            ("edge/one-row", 0.0, 0.0, "values that differ"),
            ("edge/saturated", 0.0, 0.0, "values that differ"),
            ("golden/A/logits", 0.123, 1.0, "tolerances"),
        ] {
            list.push(Check {
                id: id.into(),
                kernel: kernel.into(),
                threads,
                status: CheckStatus::Pass,
                figure: Some(figure),
                limit: Some(limit),
                unit: unit.into(),
                note: String::new(),
            });
        }
    }
    list.push(Check {
        id: "edge/one-row".into(),
        kernel: "made-up-matrix".into(),
        threads: 1,
        status: CheckStatus::Skipped,
        figure: None,
        limit: None,
        unit: String::new(),
        note: "this machine has no such instructions".into(),
    });
    Checks { list }
}

fn defects() -> Vec<Defect> {
    vec![
        Defect {
            id: "sign-table".into(),
            what: "activation bits are read as signs".into(),
            seen_in: "the reports".into(),
            outcome: DefectOutcome::Caught {
                by: "edge/saturated".into(),
            },
            errors: vec![
                DefectError {
                    data: "gaussian".into(),
                    k: 2560,
                    relative_error: Measured::Is(3.456),
                },
                DefectError {
                    data: "trained".into(),
                    k: 256,
                    relative_error: Measured::unavailable("the fixture is not there"),
                },
            ],
            claimed: Some(Range {
                low: 2.91,
                high: 4.30,
            }),
        },
        Defect {
            id: "tail".into(),
            what: "the last values of a row are dropped".into(),
            seen_in: "several projects".into(),
            outcome: DefectOutcome::Caught {
                by: "edge/one-row".into(),
            },
            errors: Vec::new(),
            claimed: None,
        },
    ]
}

/// A run that measured everything.
pub fn full_run() -> Run {
    let mut run = bare_run();
    run.tool.revision = Measured::Is("0123abc".into());
    run.machine = Measured::Is(MachineSummary {
        cpu: "Imaginary Processor 1111 at 1.11 GHz".into(),
        cpus: 16,
        allowed_cpus: 2,
        isa: ["sse2", "avx2", "avx512f", "avx512bw", "avx512vnni"]
            .map(String::from)
            .to_vec(),
        memory_bytes: Measured::Is(11_100_000_000),
        os: Measured::Is("Imaginary 1.1".into()),
        hypervisor: Measured::unavailable("the processor does not say"),
        class: "x86-64-imaginary-2".into(),
        warnings: vec!["the clock rate is not fixed".into()],
    });
    run.kernels = Measured::Is(
        [
            ("made-up-wide", "avx2", None),
            ("naive", "any", None),
            ("made-up-matrix", "amx", Some("no AMX")),
        ]
        .map(|(name, isa, why)| KernelRow {
            name: name.into(),
            idea: "an idea that nobody had".into(),
            isa: isa.into(),
            bits_per_weight: 2.0,
            available: why.map_or(Measured::Is(()), Measured::unavailable),
        })
        .to_vec(),
    );
    run.selection = Measured::Is(Selection {
        rows: ["q_proj", "down_proj"]
            .map(|linear| Selected {
                first_layer: 0,
                last_layer: 3,
                linear: linear.into(),
                kernel: "made-up-wide".into(),
                fallback: false,
                origin: Some(Origin::Tuned),
            })
            .to_vec(),
        fallbacks: 0,
    });
    run.model = Measured::Is(ModelSummary {
        name: "imaginary".into(),
        layers_run: 4,
        layers_in_shape: 30,
        weights: 606_000_000,
        bytes_per_token: Some(555_000_000),
    });
    limits::add(&mut run);
    run.checks = Measured::Is(checks());
    run.agreement = Measured::Is(agreement::agreement());
    run.defects = Measured::Is(defects());
    let mut ladder = ladder();
    annotate(&mut ladder);
    run.ladder = Measured::Is(ladder);
    run.scaling = Measured::Is(scaling());
    run.profiles = Measured::Is(profiles());
    run.latency = Measured::Is(latency());
    run.generation = Measured::Is(generation());
    costs::add(&mut run);
    run.totals = Measured::Is(Totals {
        seconds: 77.7,
        skipped: vec![Skipped {
            what: "hardware counters".into(),
            why: "the kernel does not grant them".into(),
        }],
    });
    run
}
