//! `verify` holds on the repository's golden files, and turns red when something is wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use bitgauge::defects::{DROPPED_COLUMNS, FLOAT_SUM, I16_OVERFLOW, ONE_VALUE};
use bitgauge::fixtures::{self, Fixtures};
use bitgauge::verify::{self, Check, Options, Status, VerifyError, dispatch, identity};
use bitgauge_engine::checkpoint::Checkpoint;
use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::{self, Kernel, Spec, TABLE};
use bitgauge_engine::model::Model;
use bitgauge_engine::threads::Pool;
use serde_json::Value;

fn fixtures_without_text() -> Fixtures {
    let mut found = fixtures::discover(verify::default_fixtures().unwrap()).unwrap();
    found
        .goldens
        .retain(|golden| golden.content.name != "trained");
    found
}

#[test]
fn everything_is_right() {
    let mut told = Vec::new();
    let verification =
        verify::run(&Options::default(), &mut |check| told.push(check.clone())).unwrap();
    let failed: Vec<_> = verification.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(
        told, verification.checks,
        "progress tells of every check, in order"
    );
    assert_eq!(verification.unread, Vec::<String>::new());

    let parts: BTreeSet<&str> = verification
        .checks
        .iter()
        .map(|check| check.id.split('/').next().unwrap())
        .collect();
    let expected = [
        "cache",
        "dispatch",
        "golden",
        "greedy",
        "identity",
        "isa",
        "kernel",
        "operations",
        "perplexity",
        "pieces",
        "planned",
        "reject",
        "taps",
        "units",
    ];
    assert_eq!(parts, BTreeSet::from(expected));

    // What is asked of one kernel is asked of all, but for whole texts and refusals, for which one will do.
    let asked = |kernel: &str| -> BTreeSet<&str> {
        let of_kernel = verification.checks.iter();
        of_kernel
            .filter(|check| check.kernel.as_deref() == Some(kernel))
            .map(|check| &check.id[..])
            .filter(|id| {
                !["cache/", "perplexity/", "reject/"]
                    .iter()
                    .any(|part| id.starts_with(part))
            })
            .collect()
    };
    assert!(asked("naive").iter().any(|id| id.starts_with("kernel/")));
    for kernel in kernels::available() {
        let name = kernel.spec().name();
        assert_eq!(asked(name), asked("naive"), "{name}");
    }

    for spec in TABLE {
        let of_kernel = |c: &&Check| c.kernel.as_deref() == Some(spec.name());
        let own: Vec<&Check> = verification.checks.iter().filter(of_kernel).collect();
        match Kernel::new(spec) {
            Ok(_) => {
                let threads: BTreeSet<_> = own.iter().filter_map(|c| c.threads).collect();
                assert_eq!(
                    threads,
                    BTreeSet::from(identity::THREADS),
                    "{}",
                    spec.name()
                );
                assert!(own.iter().all(|c| c.status == Status::Pass));
                assert!(own.iter().any(|c| c.id == "perplexity/trained/relative"));
            }
            Err(_) => assert!(
                matches!(
                    own[..],
                    [Check {
                        status: Status::Skipped,
                        ..
                    }]
                ),
                "{} is listed with the reason",
                spec.name()
            ),
        }
    }
}

#[test]
fn a_wrong_kernel_in_the_table_turns_it_red() {
    let fixtures = fixtures_without_text();
    let wrong: [&'static Spec; 4] = [&ONE_VALUE, &I16_OVERFLOW, &FLOAT_SUM, &DROPPED_COLUMNS];
    for spec in wrong {
        let table = [&TABLE[0], spec];
        let verification = verify::judge(&table, &fixtures, &mut |_| {}).unwrap();
        assert!(!verification.all_right(), "{}", spec.name());
        for check in verification.failed() {
            assert_eq!(check.kernel.as_deref(), Some(spec.name()), "{check:?}");
        }
    }
}

#[test]
fn one_kernel_alone_is_compared_too() {
    let options = Options {
        kernel: Some("naive".into()),
        fixtures: vec![verify::default_fixtures().unwrap().join("A")],
    };
    let verification = verify::run(&options, &mut |_| {}).unwrap();
    assert!(verification.all_right());
    let kernels = verification
        .checks
        .iter()
        .filter_map(|c| c.kernel.as_deref());
    assert_eq!(kernels.collect::<BTreeSet<_>>(), BTreeSet::from(["naive"]));
}

#[test]
fn a_kernel_that_can_t_be_had_is_an_error() {
    let options = Options {
        kernel: Some("fastest".into()),
        ..Options::default()
    };
    let error = verify::run(&options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, VerifyError::Kernel(_)), "{error}");
    assert!(error.to_string().contains("naive"), "{error}");
}

/// A copy of golden folder A, changed.
fn changed_copy(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let original = verify::default_fixtures().unwrap().join("A");
    for name in ["config.json", "model.safetensors", "golden.json"] {
        std::fs::copy(original.join(name), folder.path().join(name)).unwrap();
    }
    change(folder.path());
    folder
}

fn verify_folder(folder: &Path) -> Result<verify::Verification, VerifyError> {
    let options = Options {
        fixtures: vec![folder.into()],
        kernel: Some("naive".into()),
    };
    verify::run(&options, &mut |_| {})
}

fn edit_golden(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("golden.json");
    let mut golden: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut golden);
    std::fs::write(path, golden.to_string()).unwrap();
}

#[test]
fn golden_answers_that_are_not_met_turn_it_red() {
    let unchanged = changed_copy(|_| {});
    assert!(verify_folder(unchanged.path()).unwrap().all_right());

    let red = |edit: &dyn Fn(&mut Value), id: &str| {
        let folder = changed_copy(|folder| edit_golden(folder, edit));
        let verification = verify_folder(folder.path()).unwrap();
        let failed: BTreeSet<_> = verification.failed().map(|c| &c.id[..]).collect();
        assert_eq!(failed, BTreeSet::from([id]));
    };
    let tight = |g: &mut Value, key: &str| g["cases"][0]["tolerance"][key] = 1e-9.into();
    red(&|g| tight(g, "logit_abs"), "golden/A/tight-1+4/logit_abs");
    red(
        &|g| tight(g, "logit_rel_l2"),
        "golden/A/tight-1+4/logit_rel_l2",
    );
    red(
        &|g| tight(g, "logit_rel_l2_median"),
        "golden/A/tight-1+4/logit_rel_l2_median",
    );
    // The last token is fed in by nobody, so only the choice is wrong.
    red(
        &|g| g["cases"][0]["continuation"][3] = 5.into(),
        "golden/A/tight-1+4/strict_prefix",
    );
    red(
        &|g| g["taps"]["linears"]["o_proj"]["acc_i32"][0] = 0.into(),
        "taps/A",
    );
    red(
        &|g| g["taps"]["linears"]["o_proj"]["input_i8"][0] = 0.into(),
        "taps/A",
    );
}

#[test]
fn what_can_t_be_read_is_an_error_and_never_green() {
    let nothing = tempfile::tempdir().unwrap();
    let broken = [
        changed_copy(|f| std::fs::write(f.join("golden.json"), "{\"format\": 1,").unwrap()),
        changed_copy(|f| edit_golden(f, |g| g["cases"][0]["logits_b64"] = "AAAA".into())),
        changed_copy(|f| edit_golden(f, |g| g["format"] = 2.into())),
        changed_copy(|f| std::fs::remove_file(f.join("model.safetensors")).unwrap()),
        changed_copy(|f| {
            let path = f.join("model.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
    ];
    for folder in broken.iter().chain([&nothing]) {
        let error = verify_folder(folder.path()).unwrap_err();
        let message = error.to_string();
        let named = message.contains(&folder.path().display().to_string());
        assert!(named, "{message} should say where");
    }
}

#[test]
fn without_golden_files_or_kernels_there_is_nothing_to_be_right_about() {
    let table: Vec<&'static Spec> = TABLE.iter().collect();
    for (table, fixtures) in [
        (&[][..], fixtures_without_text()),
        (&table[..], Fixtures::default()),
    ] {
        let error = verify::judge(table, &fixtures, &mut |_| {}).unwrap_err();
        assert!(
            matches!(error, VerifyError::NothingChecked { .. }),
            "{error}"
        );
    }
}

/// Detection is judged on machines that this one is not.
#[test]
fn a_level_without_one_of_its_features_is_refused() {
    let all = verify::check::collect(|book| {
        dispatch::judge_detection(&dispatch::engine_detection, book);
    });
    assert!(all.iter().all(|c| c.status == Status::Pass), "{all:?}");
    let careless = |isa: Isa, _: &dyn Fn(&str) -> bool| isa <= Isa::Avx2;
    let all = verify::check::collect(|book| dispatch::judge_detection(&careless, book));
    assert!(all.iter().all(|c| c.status == Status::Fail), "{all:?}");
}

/// Logits of golden model A as one number; kernels and vector widths must not change it.
fn fingerprint() -> u64 {
    let folder = verify::default_fixtures().unwrap().join("A");
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let pool = Pool::new(1).unwrap();
    let mut prints = BTreeSet::new();
    for kernel in kernels::available() {
        let model = Model::load(&checkpoint, &kernel).unwrap();
        let tokens: Vec<u32> = (0..40).map(|i| i * 7 % 96).collect();
        let rows = identity::logits(&model, &pool, &tokens, tokens.len()).unwrap();
        // FNV-1a (Fowler, Noll and Vo).
        let hash = |h: u64, l: &f32| (h ^ u64::from(l.to_bits())).wrapping_mul(0x100_0000_01b3);
        prints.insert(rows.iter().flatten().fold(0xcbf2_9ce4_8422_2325, hash));
    }
    assert_eq!(prints.len(), 1, "kernels differ");
    prints.pop_first().unwrap()
}

const CAPPED: &str = "capped_in_a_process_of_its_own";

/// Run by the next test in processes of their own, since a process reads its cap once.
#[test]
#[ignore = "makes sense under a cap only"]
fn capped_in_a_process_of_its_own() {
    let table: Vec<&'static Spec> = TABLE.iter().collect();
    let verification = verify::judge(&table, &fixtures_without_text(), &mut |_| {}).unwrap();
    let failed: Vec<_> = verification.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
    println!("fingerprint {:016x}", fingerprint());
}

#[test]
fn lower_levels_of_this_machine_are_right_and_give_the_same_bits() {
    for isa in Isa::ALL.into_iter().filter(|isa| *isa <= Isa::highest()) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CAPPED, "--ignored", "--nocapture"])
            .env("BITGAUGE_ISA", isa.name())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{isa}: {text}");
        let same = format!("fingerprint {:016x}", fingerprint());
        assert!(text.contains(&same), "{isa}: {text}");
    }
}

/// A model whose context ends with the last golden token that is fed in.
#[test]
fn a_context_without_a_position_to_spare_is_enough() {
    let folder = changed_copy(|folder| {
        let path = folder.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config["max_position_embeddings"] = (61 + 32 - 1).into();
        std::fs::write(path, config.to_string()).unwrap();
    });
    let verification = verify_folder(folder.path()).unwrap();
    assert!(verification.all_right());
}
