//! The zoo: each defect with where it was seen, and the checks that catch it.
//!
//! The outcome of a row comes from the checks that [`verify`](crate::verify) makes on every good
//! kernel. A row counts as caught only if they fail on the defect and hold on its control, the
//! same thing done right.

use std::sync::OnceLock;

use bitgauge_engine::checkpoint::Checkpoint;
use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::{Kernel, Spec};
use bitgauge_engine::model::{Best, Model};
use bitgauge_engine::threads::Pool;
use serde::{Deserialize, Serialize};

use super::*;
use crate::fixtures::Fixtures;
use crate::verify::check::{Book, Check, Status, collect, totals};
use crate::verify::kernels::KernelCases;
use crate::verify::planned::PlannedModels;
use crate::verify::{dispatch, golden};

/// The checks' material, made once for all rows.
pub struct Bench {
    cases: KernelCases,
    planned: PlannedModels,
    fixtures: Fixtures,
    /// What the checks say about [`GROUPED`], the control of every kernel.
    control: OnceLock<Vec<Check>>,
}

impl Bench {
    /// Checks on shapes, on planned models and, where `fixtures` has them, on golden files.
    pub fn new(fixtures: Fixtures) -> Self {
        Self {
            cases: KernelCases::new(),
            planned: PlannedModels::new(),
            fixtures,
            control: OnceLock::new(),
        }
    }

    fn control(&self) -> Vec<Check> {
        let judge = || collect(|book| self.judge_kernel(&GROUPED, book));
        self.control.get_or_init(judge).clone()
    }

    /// All that `verify` asks of one kernel alone.
    fn judge_kernel(&self, spec: &'static Spec, book: &mut Book<'_>) {
        self.cases.judge_table(&[spec], book);
        let Ok(kernel) = Kernel::new(spec) else {
            return;
        };
        self.planned.judge(kernel, book);
        for document in &self.fixtures.goldens {
            let golden = &document.content;
            let loaded = Checkpoint::open(&document.model_folder())
                .map_err(|e| e.to_string())
                .and_then(|checkpoint| {
                    let model = Model::load(&checkpoint, &kernel).map_err(|e| e.to_string())?;
                    let pool = Pool::new(1).map_err(|e| e.to_string())?;
                    Ok((checkpoint, model, pool))
                });
            let (checkpoint, model, pool) = match loaded {
                Ok(loaded) => loaded,
                Err(why) => {
                    let id = format!("golden/{}", golden.name);
                    book.record(Check::broken(id, why).kernel(kernel));
                    continue;
                }
            };
            if let Some(taps) = &golden.taps {
                golden::judge_taps(golden, taps, &checkpoint, kernel, book);
            }
            for case in &golden.cases {
                let id = golden::case_id(golden, case);
                golden::judge_case(&id, case, &model, kernel, &pool, book);
            }
        }
    }
}

/// One row of the zoo.
pub struct Exhibit {
    /// Stable name; variants of one defect follow a slash.
    pub id: &'static str,
    /// What went wrong.
    pub what: &'static str,
    /// Where it was seen in public.
    pub seen_in: &'static str,
    /// What catches it, in words.
    pub caught_by: &'static str,
    /// Re-enacts it under the checks.
    pub run: fn(&Bench) -> Outcome,
}

/// What the checks made of a defect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// They failed on the defect and held on the control. `None` where this machine can't show it.
    pub caught: Option<bool>,
    /// The checks that failed on the defect.
    pub by: Vec<Check>,
    /// Checks that were made on the defect and did not see it.
    pub blind: usize,
    /// The checks that failed on the control, which should be none.
    pub control_failed: Vec<Check>,
    /// What else there is to say.
    pub note: String,
}

impl Outcome {
    fn new(defect: Vec<Check>, control: Vec<Check>) -> Self {
        let failed = |checks: Vec<Check>| -> Vec<Check> {
            let failed = |c: &Check| c.status == Status::Fail;
            checks.into_iter().filter(failed).collect()
        };
        let (defect_totals, control_totals) = (totals(&defect), totals(&control));
        let (by, control_failed) = (failed(defect), failed(control));
        let judged = defect_totals.passed + defect_totals.failed > 0;
        // A control that no check has looked at is none.
        let held = control_failed.is_empty() && control_totals.passed > 0;
        Self {
            caught: judged.then_some(!by.is_empty() && held),
            by,
            blind: defect_totals.passed,
            control_failed,
            note: String::new(),
        }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The first check that failed on the defect.
    pub fn first(&self) -> Option<&Check> {
        self.by.first()
    }
}

fn kernel(bench: &Bench, defect: &'static Spec) -> Outcome {
    let defect = collect(|book| bench.judge_kernel(defect, book));
    Outcome::new(defect, bench.control())
}

/// Every row, in the order of the list that it re-enacts.
pub fn zoo() -> Vec<Exhibit> {
    vec![
        Exhibit {
            id: "flag-never-set",
            what: "SIMD is compiled in, the dispatch flag is never set, the scalar loop runs",
            seen_in: "the reports that bitgauge starts from",
            caught_by: "the kernel of every linear is asked for, and portable ones are counted",
            run: |_| {
                let judge = dispatch::judge_dispatch;
                Outcome::new(
                    collect(|book| judge(&NeverSimd::default(), book)),
                    collect(|book| judge(&Best, book)),
                )
            },
        },
        Exhibit {
            id: "sign-table/weights",
            what: "the table is indexed by the weights' sign bits: zero weights add their activation",
            seen_in: "the reports that bitgauge starts from",
            caught_by: "exact sums on random trits, a third of which is zero",
            run: |bench| kernel(bench, &SIGNS_OF_WEIGHTS),
        },
        Exhibit {
            id: "sign-table/activations",
            what: "the table is indexed by activation bits read as signs, each worth the absmax",
            seen_in: "the reports that bitgauge starts from",
            caught_by: "exact sums on random int8 activations",
            run: |bench| kernel(bench, &SIGNS_OF_ACTIVATIONS),
        },
        Exhibit {
            id: "sign-table/both",
            what: "signs of weights and signs of activations",
            seen_in: "the reports that bitgauge starts from",
            caught_by: "exact sums on random trits and activations",
            run: |bench| kernel(bench, &SIGNS_OF_BOTH),
        },
        Exhibit {
            id: "one-value-table",
            what: "the published repair: one int8 value shared by a whole group of eight",
            seen_in: "the reports that bitgauge starts from",
            caught_by: "activations that differ within a group",
            run: |bench| kernel(bench, &ONE_VALUE),
        },
        Exhibit {
            id: "empty-body",
            what: "no code for this architecture: the kernel returns and its output is what was there before",
            seen_in: "microsoft/BitNet 547",
            caught_by: "the output is poisoned before every call",
            run: |bench| kernel(bench, &EMPTY_BODY),
        },
        Exhibit {
            id: "wrong-group",
            what: "packed 128 weights in 32 bytes, read 64 in 16: finite, plausible, wrong",
            seen_in: "microsoft/BitNet 585, 600",
            caught_by: "exact sums on values without symmetry",
            run: |bench| kernel(bench, &WRONG_GROUP),
        },
        Exhibit {
            id: "double-correction/both-bugs",
            what: "wrong groups, and the sum of the activations subtracted twice",
            seen_in: "microsoft/BitNet 600",
            caught_by: "exact sums on activations of one sign",
            run: |bench| kernel(bench, &BOTH_BUGS),
        },
        Exhibit {
            id: "double-correction/groups-mended",
            what: "the first bug is mended: the sum is still subtracted twice",
            seen_in: "microsoft/BitNet 600",
            caught_by: "exact sums on activations of one sign",
            run: |bench| kernel(bench, &TWICE_CORRECTED),
        },
        Exhibit {
            id: "double-correction/correction-mended",
            what: "the second bug is mended: the groups are still wrong",
            seen_in: "microsoft/BitNet 600",
            caught_by: "exact sums on values without symmetry",
            run: |bench| kernel(bench, &WRONG_GROUP),
        },
        Exhibit {
            id: "i16-overflow",
            what: "int16 accumulators wrap when all weights and activations saturate",
            seen_in: "bitnet.cpp I2_S",
            caught_by: "saturated activations and weights of one sign on long rows",
            run: |bench| kernel(bench, &I16_OVERFLOW),
        },
        Exhibit {
            id: "float-sum",
            what: "the sum of the activations is formed in float32: off on long rows far from zero only",
            seen_in: "ikawrakow/ik_llama.cpp 168",
            caught_by: "exact sums on real activations of a mean far from zero, quantised with scales that are no powers of two",
            run: |bench| kernel(bench, &FLOAT_SUM),
        },
        Exhibit {
            id: "judged-elsewhere",
            what: "the wrong kernel is not the one that the testing machine chooses, so no test runs it",
            seen_in: "paiml/aprender 3105",
            caught_by: "every row that can run here is judged, not only the chosen one",
            run: judged_elsewhere,
        },
        Exhibit {
            id: "native-only",
            what: "a body that only builds for the native CPU contain is wrong",
            seen_in: "binius-zk/binius64 1801",
            caught_by: "bodies are rows, chosen at run time, so every binary holds and judges all; and the tests run in a native build too",
            run: native_only,
        },
        Exhibit {
            id: "half-an-isa",
            what: "\"AVX-512\" is tested as one bit where the code needs several features",
            seen_in: "several",
            caught_by: "detection is asked about machines that lack one feature at a time",
            run: |_| {
                let judge = dispatch::judge_detection;
                Outcome::new(
                    collect(|book| judge(&one_bit, book)),
                    collect(|book| judge(&dispatch::engine_detection, book)),
                )
            },
        },
        Exhibit {
            id: "tail/columns",
            what: "columns beyond the last whole tile are left out",
            seen_in: "paiml/aprender 3105 and others",
            caught_by: "widths that are no multiple of any tile",
            run: |bench| kernel(bench, &DROPPED_COLUMNS),
        },
        Exhibit {
            id: "tail/rows",
            what: "rows beyond the last whole tile are not written",
            seen_in: "paiml/aprender 3105 and others",
            caught_by: "row counts that are no multiple of any tile, and poisoned outputs",
            run: |bench| kernel(bench, &DROPPED_ROWS),
        },
    ]
}

/// The table of a machine whose best kernel is right and whose other one is not.
static TWO_ROWS: [&Spec; 2] = [&DROPPED_COLUMNS, &GROUPED];

fn judged_elsewhere(bench: &Bench) -> Outcome {
    let [other, _] = TWO_ROWS;
    let chosen = bench.control();
    let mut every = collect(|book| bench.judge_kernel(other, book));
    every.extend(chosen.clone());
    let missed = totals(&chosen).failed == 0;
    Outcome::new(every, chosen).note(if missed {
        "judging the chosen row alone finds nothing"
    } else {
        "even the chosen row is wrong"
    })
}

fn native_only(bench: &Bench) -> Outcome {
    let as_compiled = collect(|book| bench.judge_kernel(&AS_COMPILED, book));
    let found = totals(&as_compiled).failed > 0;
    let build = if NATIVE_BUILD { "native" } else { "portable" };
    let seen = if found { "is caught" } else { "goes unseen" };
    kernel(bench, &NATIVE_BODY).note(format!(
        "this is a {build} build: chosen at compile time the defect {seen}, as a row it is caught in every build"
    ))
}

/// Detection by the one feature that gives a level its name.
fn one_bit(isa: Isa, has: &dyn Fn(&str) -> bool) -> bool {
    match isa {
        Isa::Portable => true,
        Isa::Avx2 => has("avx2"),
        _ => has("avx512f"),
    }
}
