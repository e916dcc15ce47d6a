//! The oracle is judged by files that other programs made.

use bitgauge::fixtures::golden::{Case, Protocol, Tolerance};
use bitgauge::fixtures::{self, Drift, Fixtures, Golden};
use bitgauge::oracle::{Decoder, LinearName, Model, OracleError, Windows, ops, perplexity};

/// Golden logits are `f32`, so that half a unit in the last place of the
/// largest (below 32) is all the difference there should be.
const STORAGE_ROUNDING: Tolerance = Tolerance {
    logit_abs: 1e-6,
    logit_rel_l2: 6e-8,
    logit_rel_l2_median: 6e-8,
};

fn repository_fixtures() -> Fixtures {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures");
    fixtures::discover(folder).expect("the repository's fixtures")
}

/// Rows in the order of [`Case::rows`], with the golden tokens fed in.
fn teacher_forced(model: &Model, case: &Case) -> Vec<Vec<f64>> {
    let mut decoder = Decoder::new(model);
    let mut feed = |tokens: &[u32]| -> Vec<Vec<f64>> {
        let step = |&token| decoder.step(token).expect("a golden token");
        tokens.iter().map(step).collect()
    };
    let prompt = feed(&case.prompt);
    let fed = &case.continuation[..case.continuation.len().saturating_sub(1)];
    let continuation = feed(fed);
    let chosen_at = case
        .positions
        .iter()
        .map(|&position| prompt[position].clone());
    let last = prompt.last().cloned();
    chosen_at.chain(last).chain(continuation).collect()
}

#[test]
fn every_golden_logit_is_met_up_to_the_rounding_of_the_file() {
    for golden in repository_fixtures().goldens {
        let model = Model::open(golden.model_folder()).unwrap();
        for case in &golden.content.cases {
            let name = format!("{} {}", golden.content.name, case.id);
            assert_eq!(case.vocabulary(), model.shape().vocabulary, "{name}");
            let rows = teacher_forced(&model, case);
            let drift = Drift::measure(&case.rows(), &rows);
            println!("{name}: {drift:?}");
            assert!(drift.within(&STORAGE_ROUNDING), "{name}: {drift:?}");
            for (row, &top) in rows.iter().zip(&case.top1) {
                assert_eq!(ops::argmax(row), Some(top as usize), "{name}");
            }
        }
    }
}

#[test]
fn greedy_continuations_are_equal_to_the_last_token() {
    for golden in repository_fixtures().goldens {
        let model = Model::open(golden.model_folder()).unwrap();
        for case in &golden.content.cases {
            let steps = case.continuation.len();
            let greedy = Decoder::new(&model).greedy(&case.prompt, steps).unwrap();
            assert_eq!(greedy.tokens, case.continuation, "{}", case.id);
        }
    }
}

#[test]
fn taps_are_equal_to_the_bit() {
    for golden in repository_fixtures().goldens {
        let model = Model::open(golden.model_folder()).unwrap();
        let taps = golden.content.taps.as_ref().expect("all three have taps");
        let mut met = Vec::new();
        let mut decoder = Decoder::new(&model);
        for (position, &token) in taps.prompt[..=taps.token_index].iter().enumerate() {
            decoder
                .step_with(token, &mut |tap| {
                    if (tap.layer, position) != (taps.layer, taps.token_index) {
                        return;
                    }
                    let expected = &taps.linears[tap.linear.as_str()];
                    assert_eq!(tap.position, position);
                    assert_eq!(tap.input, expected.input);
                    assert_eq!(tap.quantized.scale.to_bits(), expected.scale.to_bits());
                    assert_eq!(tap.quantized.values, expected.quantized);
                    assert_eq!(tap.accumulators, expected.accumulators);
                    met.push(tap.linear);
                })
                .unwrap();
        }
        assert_eq!(met, LinearName::ALL);
        assert_eq!(taps.linears.len(), LinearName::ALL.len());
    }
}

#[test]
fn the_likelihood_of_the_trained_models_text_is_met() {
    let fixtures = repository_fixtures();
    let golden = fixtures
        .goldens
        .iter()
        .find(|g| g.content.name == "trained")
        .unwrap();
    let expected = golden.content.perplexity.as_ref().unwrap();
    let protocol = Protocol::parse(&expected.protocol).unwrap();
    let text = golden.evaluation_text().unwrap();
    let tokens: Vec<u32> = text.iter().map(|&byte| u32::from(byte)).collect();
    let model = Model::open(golden.model_folder()).unwrap();
    let windows = Windows {
        length: protocol.window,
        stride: protocol.stride,
    };
    let found = perplexity(&model, &tokens, windows).unwrap();
    println!(
        "nll {} differs by {:e} nats",
        found.nll_nats(),
        found.nll_nats() - expected.nll_nats
    );
    assert_eq!(found.predicted, expected.predicted);
    assert!((found.nll_nats() - expected.nll_nats).abs() < 1e-6);
    assert!((found.perplexity() - expected.ppl).abs() < 1e-9);
    assert_eq!(found.window_nll_nats.len(), expected.window_nll_nats.len());
    for (found, rounded) in found.window_nll_nats.iter().zip(&expected.window_nll_nats) {
        assert!((found - rounded).abs() < 1e-4, "{found} {rounded}");
    }
}

#[test]
fn broken_checkpoints_are_errors_and_odd_ones_are_models() {
    for reject in repository_fixtures().rejects {
        for recipe in &reject.content.load {
            let folder = reject.materialise(recipe).unwrap();
            let error = Model::open(folder.path()).expect_err(&recipe.name);
            println!("{}: {error}", recipe.name);
        }
        let base = Model::open(reject.base_folder()).unwrap();
        let golden = Golden::read(&reject.base_folder().join("golden.json")).unwrap();
        for recipe in &reject.content.accept {
            let folder = reject.materialise(recipe).unwrap();
            let model = Model::open(folder.path()).expect(&recipe.name);
            for case in &golden.content.cases {
                let drift = Drift::measure(&case.rows(), &teacher_forced(&model, case));
                assert!(
                    drift.within(&STORAGE_ROUNDING),
                    "{}: {drift:?}",
                    recipe.name
                );
            }
        }
        for recipe in &reject.content.run {
            let error = Decoder::new(&base)
                .greedy(&recipe.prompt, 1)
                .expect_err(&recipe.name);
            assert!(
                matches!(
                    error,
                    OracleError::EmptyPrompt
                        | OracleError::UnknownToken { .. }
                        | OracleError::ContextFull { .. }
                ),
                "{error}"
            );
        }
    }
}
