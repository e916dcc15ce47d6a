//! Figures at the ends of float64.

use super::artificial::full_run;
use bitgauge::report::documents;
use serde_json::Value;

/// JSON can say such figures, and no file is so right that a page of it may hang.
#[test]
fn figures_at_the_ends_of_float64_are_drawn_or_left_out() {
    fn change(value: &mut Value, next: &mut dyn FnMut() -> f64) {
        match value {
            Value::Number(n) if n.is_f64() => *value = next().into(),
            Value::Array(values) => values.iter_mut().for_each(|v| change(v, next)),
            Value::Object(fields) => fields.values_mut().for_each(|v| change(v, next)),
            _ => {}
        }
    }
    for figures in [
        &[1.7e308][..],
        &[5e-324],
        &[1.7e308, 5e-324],
        &[1.0, -1.7e308, 1.7e308],
    ] {
        let mut run = serde_json::to_value(full_run()).unwrap();
        let mut turn = figures.iter().cycle();
        change(&mut run, &mut || *turn.next().unwrap());
        let run = serde_json::from_value(run).unwrap();
        let documents = documents(&run).unwrap();
        for document in documents.iter().filter(|d| d.path.ends_with(".svg")) {
            let svg = String::from_utf8(document.bytes.clone()).unwrap();
            let shapes = svg.split_once("</desc>").unwrap().1;
            for word in ["NaN", "inf\"", "inf,", "inf "] {
                assert!(!shapes.contains(word), "{}: {word}", document.path);
            }
        }
    }
}
