//! The side that asks.

use super::error::{Fault, WorkerError};
use super::honesty::{Finding, Hearing, Record, Seen};
use super::launch::Launch;
use super::pipes::{NoLine, Pipes};
use super::protocol::{CaseInfo, Hello, Reply, Request, check_cases};
use super::stderr::LastWords;
use crate::process::Group;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a worker whose pipes closed has to end, before it is killed.
const PATIENCE: Duration = Duration::from_millis(300);

/// Characters of a bad line that are shown.
const SHOWN: usize = 120;

/// What a worker says of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Wall time of the iterations, in nanoseconds.
    pub ns: u64,
    /// Digest of the results, in hexadecimal, lower case.
    pub check: String,
}

/// A running worker, which has said hello. Dropping it kills its whole process group.
pub struct Worker {
    name: String,
    timeout: Duration,
    pipes: Pipes,
    process: Group,
    stderr: LastWords,
    hello: Hello,
    records: HashMap<String, Record>,
    /// Why it can't be asked any more.
    ended: Option<WorkerError>,
}

impl Worker {
    /// Starts a worker and has it introduce itself.
    ///
    /// # Errors
    /// [`WorkerError`] where it can't be started or held to its processor, or where its answer is
    /// not as the protocol wants it; one without cases, or with two of the same id, is refused.
    pub fn start(launch: &Launch) -> Result<Self, WorkerError> {
        let name = launch.name();
        let not_started = |reason: String| WorkerError {
            worker: name.clone(),
            case: None,
            fault: Fault::NotStarted(reason),
            stderr: Box::default(),
        };
        let mut process = launch.spawn().map_err(&not_started)?;
        let child = &mut process.child;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(not_started("it has no pipes".to_owned()));
        };
        let stderr = LastWords::of(stderr)
            .map_err(|e| not_started(format!("no thread to read its stderr: {e}")))?;
        let mut worker = Self {
            name,
            timeout: launch.timeout,
            pipes: Pipes::new(stdin, stdout),
            process,
            stderr,
            hello: Hello {
                name: String::new(),
                revision: None,
                isa: None,
                cases: Vec::new(),
            },
            records: HashMap::new(),
            ended: None,
        };
        worker.hello = worker.greet().map_err(|fault| worker.end(None, fault))?;
        Ok(worker)
    }

    /// What the worker said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Its command line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it said of a case; `None` where it has no such case.
    pub fn case(&self, id: &str) -> Option<&CaseInfo> {
        self.hello.cases.iter().find(|case| case.id == id)
    }

    /// Has it run a case.
    ///
    /// A case whose time seems to be mostly hidden from its clock is run several times more
    /// before this returns.
    ///
    /// # Errors
    /// [`WorkerError`]. After [`Fault::Refused`] and [`Fault::NoSuchCase`] it can be asked again;
    /// after any other it is ended, and each further call fails in the same way.
    pub fn run(&mut self, case: &str, iterations: u64) -> Result<Answer, WorkerError> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        if self.case(case).is_none() {
            return Err(self.error(Some(case), Fault::NoSuchCase));
        }
        self.heard(case, iterations).map_err(|fault| match fault {
            Fault::Refused { .. } => self.error(Some(case), fault),
            _ => self.end(Some(case), fault),
        })
    }

    /// Ends it politely, or else by force.
    pub fn bye(mut self) {
        if self.ended.is_none() && self.send(&Request::Bye).is_ok() {
            self.pipes.close_stdin();
            self.process.exits_within(PATIENCE);
        }
    }

    fn greet(&mut self) -> Result<Hello, Fault> {
        let line = self.exchange(&Request::Hello, self.timeout)?;
        // A refusal has no other field that is asked for.
        if let Ok(Reply { error: Some(e), .. }) = serde_json::from_slice(&line) {
            return Err(refused(e, None));
        }
        let hello: Hello = serde_json::from_slice(&line)
            .map_err(|e| garbage(format!("no answer to hello ({e})"), &line))?;
        check_cases(&hello.cases).map_err(|reason| garbage(reason, &line))?;
        Ok(hello)
    }

    /// Runs a case, and hears it where its times make it suspicious.
    fn heard(&mut self, case: &str, iterations: u64) -> Result<Answer, Fault> {
        let (answer, seen) = self.timed(case, iterations, self.timeout)?;
        if !self.record(case).note(&seen) {
            return Ok(answer);
        }
        let mut hearing = Hearing::new(iterations);
        let longer = hearing.many.div_ceil(iterations.max(1));
        let patience = self.timeout * u32::try_from(longer).unwrap_or(u32::MAX);
        loop {
            let [first, second] = hearing.order();
            let (_, first) = self.timed(case, first, patience)?;
            let (_, second) = self.timed(case, second, patience)?;
            let mut seen = [first, second];
            seen.sort_by_key(|seen| seen.iterations);
            let [short, long] = seen;
            match hearing.hear(&short, &long) {
                Finding::GoOn => {}
                Finding::Convicted(reason) => return Err(Fault::Lied(reason)),
                Finding::Acquitted => {
                    self.record(case).acquit();
                    return Ok(answer);
                }
            }
        }
    }

    fn record(&mut self, case: &str) -> &mut Record {
        if !self.records.contains_key(case) {
            self.records.insert(case.to_owned(), Record::default());
        }
        self.records.get_mut(case).expect("it was just put there")
    }

    fn timed(
        &mut self,
        case: &str,
        iterations: u64,
        timeout: Duration,
    ) -> Result<(Answer, Seen), Fault> {
        let request = Request::Run {
            case: case.to_owned(),
            iterations,
        };
        let start = Instant::now();
        let line = self.exchange(&request, timeout)?;
        let wall = start.elapsed();
        let answer = answer(&line)?;
        let seen = Seen {
            iterations,
            ns: answer.ns,
            wall,
        };
        seen.check().map_err(Fault::Lied)?;
        Ok((answer, seen))
    }

    fn exchange(&mut self, request: &Request, timeout: Duration) -> Result<Vec<u8>, Fault> {
        let deadline = Instant::now() + timeout;
        self.send(request)
            .and_then(|()| self.pipes.receive(deadline, &self.process))
            .map_err(|no_line| self.fault(no_line, timeout))
    }

    fn send(&mut self, request: &Request) -> Result<(), NoLine> {
        let mut line =
            serde_json::to_vec(request).map_err(|e| NoLine::System(std::io::Error::other(e)))?;
        line.push(b'\n');
        self.pipes.send(&line)
    }

    fn fault(&mut self, no_line: NoLine, timeout: Duration) -> Fault {
        let closed = |stream| match self.process.exits_within(PATIENCE) {
            true => None,
            false => Some(Fault::Closed { stream }),
        };
        let alive = match no_line {
            NoLine::TimedOut => Some(Fault::Hung { timeout }),
            NoLine::TooLong(head) => Some(garbage("an endless line".to_owned(), &head)),
            NoLine::Unasked(line) => Some(garbage("it was not asked for".to_owned(), &line)),
            NoLine::System(error) => Some(garbage(format!("its pipe failed: {error}"), b"")),
            NoLine::StdoutClosed => closed("stdout"),
            NoLine::StdinClosed => closed("stdin"),
            NoLine::Exited => None,
        };
        alive.unwrap_or_else(|| Fault::Died {
            status: match self.process.end() {
                Some(status) => status.to_string(),
                None => "exit status unknown".to_owned(),
            },
        })
    }

    fn error(&self, case: Option<&str>, fault: Fault) -> WorkerError {
        WorkerError {
            worker: self.name.clone(),
            case: case.map(str::to_owned),
            fault,
            stderr: Box::default(),
        }
    }

    /// Ends it for good, with the reason.
    pub(super) fn end(&mut self, case: Option<&str>, fault: Fault) -> WorkerError {
        self.process.end();
        let error = WorkerError {
            stderr: self.stderr.text().into(),
            ..self.error(case, fault)
        };
        self.ended = Some(error.clone());
        error
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Worker").field(&self.name).finish()
    }
}

fn refused(message: String, exit: Option<u8>) -> Fault {
    Fault::Refused {
        message,
        wrong_answers: exit == Some(3),
    }
}

fn garbage(reason: String, line: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(line);
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str(&format!("… ({} bytes)", line.len()));
    }
    Fault::Garbage {
        reason,
        line: format!("`{shown}`"),
    }
}

/// Reads the answer to a run.
fn answer(line: &[u8]) -> Result<Answer, Fault> {
    let wrong = |reason: String| garbage(reason, line);
    let reply: Reply =
        serde_json::from_slice(line).map_err(|e| wrong(format!("no answer to run ({e})")))?;
    if let Some(message) = reply.error {
        return Err(refused(message, reply.exit));
    }
    let ns = reply.ns.ok_or_else(|| wrong("no `ns`".to_owned()))?;
    let check = reply.check.ok_or_else(|| wrong("no `check`".to_owned()))?;
    let ns = match (ns.as_u64(), ns.as_f64()) {
        (Some(ns), _) => ns,
        // Some languages have no other numbers.
        (None, Some(ns)) if (0.0..1e18).contains(&ns) => ns.round() as u64,
        _ => return Err(wrong(format!("`ns` is {ns}, which is no time"))),
    };
    if check.is_empty() || !check.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong("`check` must be hexadecimal digits".to_owned()));
    }
    Ok(Answer {
        ns,
        check: check.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_documented() {
        let read = |line: &str| answer(line.as_bytes());
        let want = |ns: u64, check: &str| {
            let check = check.to_owned();
            Ok(Answer { ns, check })
        };
        assert_eq!(read(r#"{"ns":17,"check":"0aF"}"#), want(17, "0af"));
        assert_eq!(read(r#"{"ns":1.7e1,"check":"0","x":{}}"#), want(17, "0"));
        assert!(matches!(
            read(r#"{"error":"no","exit":3}"#),
            Err(Fault::Refused {
                wrong_answers: true,
                ..
            })
        ));
        assert!(matches!(
            read(r#"{"error":"no","exit":2}"#),
            Err(Fault::Refused {
                wrong_answers: false,
                ..
            })
        ));
    }

    #[test]
    fn everything_else_is_garbage() {
        for line in [
            "",
            "12",
            "null",
            "[]",
            "{}",
            r#"{"ns":1}"#,
            r#"{"check":"aa"}"#,
            r#"{"ns":-1,"check":"aa"}"#,
            r#"{"ns":1e300,"check":"aa"}"#,
            r#"{"ns":"1","check":"aa"}"#,
            r#"{"ns":1,"check":""}"#,
            r#"{"ns":1,"check":"0x1"}"#,
            r#"{"ns":1,"check":"aa"} {"ns":1,"check":"aa"}"#,
            "{\"ns\":1,\"check\":\"\u{e9}\"}",
        ] {
            let fault = answer(line.as_bytes()).unwrap_err();
            assert!(matches!(fault, Fault::Garbage { .. }), "{line}: {fault}");
        }
        assert!(answer(b"\xff\xfe").is_err());
    }

    #[test]
    fn a_long_bad_line_is_shortened_and_harmless_on_a_terminal() {
        let line = [b"\x1b[31m".as_slice(), &[b'x'; 5000]].concat();
        let shown = garbage("bad".to_owned(), &line).to_string();
        assert!(shown.len() < 300 && shown.contains("5005 bytes"), "{shown}");
        assert!(!shown.contains('\x1b'));
    }
}
