//! Documents held against a JSON schema: the keywords that this repository's schemas use, and a
//! panic at any other, so that none is passed over.

use serde_json::Value;

/// Why `document` is not what `schema` describes; `None` where it is.
pub fn refusal(schema: &Value, document: &Value) -> Option<String> {
    Check { root: schema }
        .value(schema, document, "document")
        .err()
}

struct Check<'s> {
    root: &'s Value,
}

impl Check<'_> {
    fn value(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{at}: {what}: {value}"));
        for (keyword, rule) in schema.as_object().expect("a schema is an object") {
            match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => {}
                "$ref" => {
                    let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    self.value(self.root.pointer(pointer).unwrap(), value, at)?;
                }
                "type" if !types(rule).any(|name| is(name, value)) => {
                    return wrong(&format!("not of type {rule}"));
                }
                "const" if rule != value => return wrong(&format!("not {rule}")),
                "enum" if !rule.as_array().unwrap().contains(value) => {
                    return wrong(&format!("none of {rule}"));
                }
                "minimum" if value.as_f64().is_some_and(|n| n < rule.as_f64().unwrap()) => {
                    return wrong(&format!("below {rule}"));
                }
                "maximum" if value.as_f64().is_some_and(|n| n > rule.as_f64().unwrap()) => {
                    return wrong(&format!("above {rule}"));
                }
                "type" | "const" | "enum" | "minimum" | "maximum" => {}
                "required" => {
                    for name in rule.as_array().unwrap() {
                        let name = name.as_str().unwrap();
                        if value.as_object().is_some_and(|v| !v.contains_key(name)) {
                            return wrong(&format!("lacks {name}"));
                        }
                    }
                }
                "properties" => {
                    for (name, rule) in rule.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            self.value(rule, value, &format!("{at}.{name}"))?;
                        }
                    }
                }
                "additionalProperties" => {
                    assert_eq!(rule, false);
                    let known = schema["properties"].as_object().unwrap();
                    for name in value.as_object().into_iter().flat_map(|v| v.keys()) {
                        if !known.contains_key(name) {
                            return wrong(&format!("{name} is not described"));
                        }
                    }
                }
                "items" => {
                    for (i, value) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(rule, value, &format!("{at}[{i}]"))?;
                    }
                }
                "oneOf" => {
                    let ways = rule.as_array().unwrap().iter();
                    let tried: Vec<_> = ways.map(|way| self.value(way, value, at)).collect();
                    if tried.iter().filter(|tried| tried.is_ok()).count() != 1 {
                        return wrong(&format!("not exactly one of {tried:?}"));
                    }
                }
                other => panic!("{at}: the keyword {other} is not understood"),
            }
        }
        Ok(())
    }
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    let one = rule.as_str().into_iter();
    one.chain(
        rule.as_array()
            .into_iter()
            .flatten()
            .flat_map(Value::as_str),
    )
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("no type {other}"),
    }
}
