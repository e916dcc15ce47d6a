//! Bencher Metric Format: <https://bencher.dev/docs/reference/bencher-metric-format/>.
//!
//! `{case: {measure: {value, lower_value?, upper_value?}}}`. The built-in measure `latency` is in
//! nanoseconds; `speedup` is one of ours, and the only one that has an interval here.

use serde_json::{Map, Value, json};

use super::words::real;
use crate::verdicts::Verdicts;

/// The document. A case without any figure is not in it, and neither is one without a verdict: the
/// format can't say that something was not measured.
pub fn document(v: &Verdicts) -> Value {
    let mut cases = Map::new();
    for c in &v.cases {
        let mut measures = Map::new();
        if let Some(ns) = real(c.after_ns) {
            measures.insert("latency".into(), json!({ "value": ns }));
        }
        if let Some(speedup) = real(c.speedup) {
            let mut metric = Map::from_iter([("value".to_owned(), json!(speedup))]);
            for (name, end) in [("lower_value", c.low), ("upper_value", c.high)] {
                if let Some(end) = real(end) {
                    metric.insert(name.into(), json!(end));
                }
            }
            measures.insert("speedup".into(), Value::Object(metric));
        }
        // Bencher refuses names that are empty or padded.
        let name = c.case.trim();
        if !measures.is_empty() && !name.is_empty() {
            cases.insert(name.to_owned(), Value::Object(measures));
        }
    }
    Value::Object(cases)
}
