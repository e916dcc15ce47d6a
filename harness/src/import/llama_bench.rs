//! llama-bench: `-o json` (a list), `-o jsonl` (an object a line) and `-o csv` (a header and a row a
//! test). Speeds are token/s.
//!
//! A case is called as llama-bench's own table calls it, `tg128`, `pp512`, `pp512+tg128`, with the
//! depth where there is one, after the model, backend and threads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Figure, ImportError, LeftOut, Place, Statistic, Unit, source};

/// One result as JSON has it. Of two fields of a name, a map would keep the last without a word.
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a result as an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Map::new();
                while let Some(name) = map.next_key::<String>()? {
                    if object.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{name}` stands there twice")));
                    }
                    object.insert(name, map.next_value()?);
                }
                Ok(Object(object))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Fields of one test, as text; samples apart.
struct Test {
    fields: BTreeMap<String, String>,
    samples: Vec<f64>,
    line: usize,
}

/// Fields that are results or circumstances of one run and not part of what was run.
const NOT_SETTINGS: [&str; 8] = [
    "build_commit",
    "build_number",
    "test_time",
    "avg_ns",
    "stddev_ns",
    "avg_ts",
    "stddev_ts",
    "model_filename",
];

pub fn looks_like(text: &str) -> bool {
    let head = text.trim_start();
    let names = ["\"avg_ts\"", "\"n_prompt\"", "\"n_gen\""];
    let first_line = head.lines().next().unwrap_or("");
    (head.starts_with(['[', '{']) && names.iter().all(|name| head.contains(name)))
        || is_header(first_line)
}

fn is_header(line: &str) -> bool {
    let fields: Vec<&str> = line
        .split(',')
        .map(|f| f.trim().trim_matches('"'))
        .collect();
    ["avg_ts", "n_prompt", "n_gen"]
        .iter()
        .all(|f| fields.contains(f))
}

pub fn read(path: &Path) -> Result<(Vec<Figure>, Vec<LeftOut>), ImportError> {
    let tests = tests(path, &source::text(path)?)?;
    let mut figures = Vec::new();
    for (test, name) in tests.iter().zip(names(path, &tests)?) {
        figures.push(figure(path, test, name)?);
    }
    Ok((figures, Vec::new()))
}

/// The figures of `text`, which errors call `origin`. Each case is called by what it does alone,
/// such as `tg128`.
pub fn tests_of(origin: &Path, text: &str) -> Result<Vec<Figure>, ImportError> {
    let tests = tests(origin, text)?;
    let figure = |test: &Test| figure(origin, test, kind(origin, test)?);
    tests.iter().map(figure).collect()
}

fn tests(path: &Path, text: &str) -> Result<Vec<Test>, ImportError> {
    let head = text.trim_start();
    if head.starts_with('[') {
        let objects: Vec<Object> =
            serde_json::from_str(text).map_err(|e| ImportError::json(path, &e))?;
        let tests = objects.into_iter().enumerate();
        tests.map(|(i, o)| test(path, o, i + 1)).collect()
    } else if head.starts_with('{') {
        json_lines(path, text)
    } else {
        comma_separated(path, text)
    }
}

fn json_lines(path: &Path, text: &str) -> Result<Vec<Test>, ImportError> {
    let mut tests = Vec::new();
    for (i, line) in text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
    {
        let object = serde_json::from_str(line).map_err(|e| ImportError::Corrupt {
            path: path.into(),
            place: Place {
                line: i + 1,
                column: e.column(),
            },
            what: e.to_string(),
        })?;
        tests.push(test(path, object, i + 1)?);
    }
    Ok(tests)
}

fn test(path: &Path, Object(object): Object, line: usize) -> Result<Test, ImportError> {
    let mut samples = Vec::new();
    let mut fields = BTreeMap::new();
    for (name, value) in object {
        match value {
            Value::String(text) => {
                fields.insert(name, text);
            }
            Value::Number(_) | Value::Bool(_) => {
                fields.insert(name, value.to_string());
            }
            Value::Array(values) if name == "samples_ts" => {
                let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
                samples = numbers.ok_or_else(|| {
                    let what = format!("result {line}: samples_ts holds what is no number");
                    ImportError::content(path, what)
                })?;
            }
            _ => {}
        }
    }
    Ok(Test {
        fields,
        samples,
        line,
    })
}

fn comma_separated(path: &Path, text: &str) -> Result<Vec<Test>, ImportError> {
    let corrupt = |line: usize, what: String| ImportError::Corrupt {
        path: path.into(),
        place: Place { line, column: 0 },
        what,
    };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader
        .headers()
        .map_err(|e| corrupt(1, e.to_string()))?
        .clone();
    if !header.iter().any(|name| name == "avg_ts") {
        let what = "no column avg_ts; the first line of llama-bench's CSV names the columns";
        return Err(corrupt(1, what.into()));
    }
    let mut columns = BTreeSet::new();
    if let Some(name) = header.iter().find(|name| !columns.insert(*name)) {
        return Err(corrupt(1, format!("column `{name}` stands there twice")));
    }
    let mut tests = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| {
            let line = e.position().map_or(0, |p| p.line() as usize);
            corrupt(line, e.to_string())
        })?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        let pairs = header.iter().zip(&record);
        tests.push(Test {
            fields: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            samples: Vec::new(),
            line,
        });
    }
    Ok(tests)
}

/// A name a test. Tests of one name that differ in further settings have those in their names.
fn names(path: &Path, tests: &[Test]) -> Result<Vec<String>, ImportError> {
    let mut names = tests
        .iter()
        .map(|t| name(path, t))
        .collect::<Result<Vec<_>, _>>()?;
    let mut same: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        same.entry(name.clone()).or_default().push(i);
    }
    for group in same.into_values().filter(|group| group.len() > 1) {
        let keys: BTreeSet<&String> = group.iter().flat_map(|&i| tests[i].fields.keys()).collect();
        for key in keys {
            let value = |i: usize| tests[i].fields.get(key);
            let differs = group.iter().any(|&i| value(i) != value(group[0]));
            if differs && !NOT_SETTINGS.contains(&key.as_str()) {
                for &i in &group {
                    let value = value(i).map_or("none", String::as_str);
                    names[i] += &format!(" {key}={value}");
                }
            }
        }
    }
    Ok(names)
}

/// `pp512`, `tg128 @ d512`.
fn kind(path: &Path, test: &Test) -> Result<String, ImportError> {
    let count = |key: &str| -> Result<u64, ImportError> {
        number(path, test, key).and_then(|text| {
            text.parse().map_err(|_| {
                let what = format!("result {}: {key} is `{text}`, no count", test.line);
                ImportError::content(path, what)
            })
        })
    };
    let (prompt, generated) = (count("n_prompt")?, count("n_gen")?);
    let mut kind = match (prompt, generated) {
        (p, 0) => format!("pp{p}"),
        (0, n) => format!("tg{n}"),
        (p, n) => format!("pp{p}+tg{n}"),
    };
    if let Some(depth) = test.fields.get("n_depth").filter(|d| *d != "0") {
        kind += &format!(" @ d{depth}");
    }
    Ok(kind)
}

fn name(path: &Path, test: &Test) -> Result<String, ImportError> {
    let setting = |key: &str| {
        test.fields
            .get(key)
            .filter(|text| !text.is_empty())
            .cloned()
    };
    let words = [
        setting("model_type"),
        setting("backends"),
        setting("n_threads").map(|n| format!("t{n}")),
        Some(kind(path, test)?),
    ];
    Ok(words.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn number<'a>(path: &Path, test: &'a Test, key: &str) -> Result<&'a str, ImportError> {
    test.fields
        .get(key)
        .map(String::as_str)
        .ok_or_else(|| ImportError::content(path, format!("result {}: no {key}", test.line)))
}

fn figure(path: &Path, test: &Test, case: String) -> Result<Figure, ImportError> {
    let unit = Unit::TokensPerSecond;
    if let Some(figure) = Figure::of_samples(case.clone(), unit, test.samples.clone()) {
        return Ok(figure);
    }
    let text = number(path, test, "avg_ts")?;
    let value = text.parse().map_err(|_| {
        ImportError::content(
            path,
            format!("result {}: avg_ts is `{text}`, no number", test.line),
        )
    })?;
    Ok(Figure {
        case,
        unit,
        smaller_is_better: unit.smaller_is_better(),
        value,
        statistic: Statistic::Mean,
        interval: None,
        samples: Vec::new(),
    })
}
