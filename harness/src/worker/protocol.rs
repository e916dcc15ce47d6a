//! The lines of the protocol as types.

use serde::{Deserialize, Serialize};

/// Longest line that either side reads, in bytes.
pub(super) const LONGEST_LINE: usize = 1 << 20;

/// Longest case id, in bytes: a request must fit into a pipe that nobody reads.
pub(super) const LONGEST_ID: usize = 1024;

/// What a worker is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Request {
    Hello,
    Run { case: String, iterations: u64 },
    Bye,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its name.
    pub name: String,
    /// Revision of its source.
    #[serde(default)]
    pub revision: Option<String>,
    /// Instruction set that it uses.
    #[serde(default)]
    pub isa: Option<String>,
    /// The cases that it can run.
    pub cases: Vec<CaseInfo>,
}

/// A case that a worker can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseInfo {
    /// Its id, unique within the worker.
    pub id: String,
    /// What one iteration is called.
    #[serde(default)]
    pub unit: Option<String>,
    /// Threads that it runs on at once.
    #[serde(default = "one")]
    pub threads: usize,
}

fn one() -> usize {
    1
}

impl CaseInfo {
    /// A case on one thread.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            unit: Some("iteration".to_owned()),
            threads: 1,
        }
    }

    /// The same case on so many threads.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }
}

impl From<&str> for CaseInfo {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for CaseInfo {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

/// Refuses a list of cases that can't be asked for one by one.
pub(super) fn check_cases(cases: &[CaseInfo]) -> Result<(), String> {
    if cases.is_empty() {
        return Err("it has no cases".to_owned());
    }
    let mut ids = std::collections::HashSet::new();
    for case in cases {
        let id = &case.id;
        if id.is_empty() {
            return Err("a case has an empty id".to_owned());
        }
        if id.len() > LONGEST_ID {
            return Err(format!(
                "a case id has {} bytes; {LONGEST_ID} is the limit",
                id.len()
            ));
        }
        if id.chars().any(char::is_control) {
            return Err(format!("case id {id:?} holds control characters"));
        }
        if case.threads == 0 {
            return Err(format!("case {id:?} says that it runs on 0 threads"));
        }
        if !ids.insert(id) {
            return Err(format!("two cases are called {id:?}"));
        }
    }
    Ok(())
}

/// Any answer to a run, and a refusal of either request.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reply {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ns: Option<serde_json::Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) check: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exit: Option<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_documented_lines() {
        let line = |r: &Request| serde_json::to_string(r).unwrap();
        let run = Request::Run {
            case: "a \"b\"".to_owned(),
            iterations: u64::MAX,
        };
        assert_eq!(line(&Request::Hello), r#"{"op":"hello"}"#);
        assert_eq!(
            line(&run),
            r#"{"op":"run","case":"a \"b\"","iterations":18446744073709551615}"#
        );
        assert_eq!(line(&Request::Bye), r#"{"op":"bye"}"#);
    }

    #[test]
    fn a_foreign_hello_may_leave_out_what_is_optional_and_say_more() {
        let text = r#"{"name":"x","isa":null,"more":[1],"cases":[{"id":"a","colour":1}]}"#;
        let hello: Hello = serde_json::from_str(text).unwrap();
        let case = CaseInfo {
            id: "a".to_owned(),
            unit: None,
            threads: 1,
        };
        assert_eq!((hello.revision, hello.isa), (None, None));
        assert_eq!(hello.cases, [case]);
    }

    #[test]
    fn lists_of_cases_that_cannot_be_asked_for_are_refused() {
        let refused = |cases: &[CaseInfo]| check_cases(cases).unwrap_err();
        assert!(refused(&[]).contains("no cases"));
        assert!(refused(&["a".into(), "b".into(), "a".into()]).contains("two cases"));
        assert!(refused(&["".into()]).contains("empty"));
        assert!(refused(&["a\nb".into()]).contains("control"));
        assert!(refused(&[CaseInfo::new("a").threads(0)]).contains("0 threads"));
        assert!(refused(&["x".repeat(LONGEST_ID + 1).into()]).contains("limit"));
        assert_eq!(check_cases(&["a".into(), "b".into()]), Ok(()));
    }
}
