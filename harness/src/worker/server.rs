//! The side that answers: a loop over stdin for any [`Serve`], and [`Server`], which makes one of
//! closures.

use super::digest::{Checkable, digest};
use super::protocol::{CaseInfo, Hello, LONGEST_LINE, Reply, Request, check_cases};
use std::any::Any;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What a worker says of itself, besides its cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Revision of its source.
    pub revision: Option<String>,
    /// Instruction set that it uses.
    pub isa: Option<String>,
}

/// Why a case can't be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What happened and what would be right.
    pub message: String,
    /// The case was judged, and its results are wrong.
    pub wrong_answers: bool,
}

impl<T: Into<String>> From<T> for Refusal {
    fn from(message: T) -> Self {
        Self {
            message: message.into(),
            wrong_answers: false,
        }
    }
}

/// Cases that can be run by id.
pub trait Serve {
    /// The cases, the same ones at each call.
    fn cases(&self) -> Vec<CaseInfo>;

    /// Runs `iterations` (at least 1) repetitions of one of them. Answers their wall time, without
    /// set-up, and the digest of a result (see [`digest`]), taken after the clock has stopped.
    ///
    /// # Errors
    /// [`Refusal`], which is passed on to whoever asked.
    fn run(&mut self, case: &str, iterations: u64) -> Result<(Duration, String), Refusal>;
}

/// Answers requests on stdin until it ends or says bye. stdout belongs to the protocol: whatever
/// else is written there meanwhile goes to stderr.
///
/// A panic in a case is answered as an error, and the next request is served.
pub fn serve(identity: &Identity, worker: &mut dyn Serve) -> ExitCode {
    let cases = worker.cases();
    let result = check_cases(&cases).and_then(|()| {
        let hello = Hello {
            name: identity.name.clone(),
            revision: identity.revision.clone(),
            isa: identity.isa.clone(),
            cases,
        };
        own_stdout()
            .and_then(|output| converse(io::stdin().lock(), output, &hello, worker))
            .map_err(|e| e.to_string())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Whoever started it may be gone.
            let _ = writeln!(io::stderr(), "worker {}: {message}", identity.name);
            ExitCode::from(crate::exit::Exit::CouldNotRun as u8)
        }
    }
}

/// Takes stdout over; printing goes to stderr from now on.
fn own_stdout() -> io::Result<File> {
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(own))
}

fn converse(
    mut input: impl BufRead,
    mut output: impl Write,
    hello: &Hello,
    worker: &mut dyn Serve,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = LONGEST_LINE as u64 + 1;
        if (&mut input).take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let answer = if line.len() > LONGEST_LINE && !line.ends_with(b"\n") {
            skip_line(&mut input)?;
            refuse(format!("a request has {LONGEST_LINE} bytes at most").into())
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            match serde_json::from_slice(&line) {
                Ok(Request::Bye) => return Ok(()),
                Ok(Request::Hello) => serde_json::to_vec(hello),
                Ok(Request::Run { case, iterations }) => run(hello, worker, &case, iterations),
                Err(error) => refuse(format!("no request that I know: {error}").into()),
            }
        };
        let mut answer = answer?;
        answer.push(b'\n');
        output.write_all(&answer)?;
        output.flush()?;
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let chunk = input.fill_buf()?;
        let newline = chunk.iter().position(|b| *b == b'\n');
        let (skipped, done) = match newline {
            Some(at) => (at + 1, true),
            None => (chunk.len(), chunk.is_empty()),
        };
        input.consume(skipped);
        if done {
            return Ok(());
        }
    }
}

fn run(
    hello: &Hello,
    worker: &mut dyn Serve,
    case: &str,
    iterations: u64,
) -> serde_json::Result<Vec<u8>> {
    if iterations == 0 {
        return refuse("iterations must be at least 1".into());
    }
    if !hello.cases.iter().any(|known| known.id == case) {
        let ids: Vec<&str> = hello.cases.iter().map(|known| known.id.as_str()).collect();
        return refuse(format!("no case {case:?}; there are: {}", ids.join(", ")).into());
    }
    let ran = catch_unwind(AssertUnwindSafe(|| worker.run(case, iterations)));
    match ran.unwrap_or_else(|panic| Err(panicked(&*panic))) {
        Err(refusal) => refuse(refusal),
        Ok((elapsed, check)) => serde_json::to_vec(&Reply {
            ns: Some(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).into()),
            check: Some(check),
            ..Reply::default()
        }),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Refusal {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without a message")).into()
}

fn refuse(refusal: Refusal) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Reply {
        error: Some(refusal.message),
        exit: refusal.wrong_answers.then_some(3),
        ..Reply::default()
    })
}

/// Times so many iterations, and says the digest of the last one's result.
type Run = Box<dyn FnMut(u64) -> (Duration, String)>;

struct Closures {
    info: CaseInfo,
    set_up: Box<dyn FnMut() -> Run>,
    ready: Option<Run>,
}

/// A worker made of closures.
///
/// ```no_run
/// use bitgauge::worker::Server;
///
/// fn main() -> std::process::ExitCode {
///     Server::new("my-engine")
///         .revision("abc1234")
///         .case("sum", || {
///             let numbers: Vec<u64> = (0..4096).collect();
///             move || numbers.iter().sum::<u64>()
///         })
///         .serve()
/// }
/// ```
pub struct Server {
    identity: Identity,
    cases: Vec<Closures>,
}

impl Server {
    /// A worker of this name, without cases.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            identity: Identity {
                name,
                revision: None,
                isa: None,
            },
            cases: Vec::new(),
        }
    }

    /// Says which revision of the source this is.
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.identity.revision = Some(revision.into());
        self
    }

    /// Says which instruction set it uses.
    pub fn isa(mut self, isa: impl Into<String>) -> Self {
        self.identity.isa = Some(isa.into());
        self
    }

    /// Adds a case: an id, or a [`CaseInfo`] where it runs on several threads. `set_up` runs
    /// before the first iteration, untimed, and makes the closure that does one iteration. What
    /// that answers is the result that workers are compared by; it must be the same each time.
    pub fn case<W, R>(
        mut self,
        case: impl Into<CaseInfo>,
        mut set_up: impl FnMut() -> W + 'static,
    ) -> Self
    where
        W: FnMut() -> R + 'static,
        R: Checkable,
    {
        self.cases.push(Closures {
            info: case.into(),
            set_up: Box::new(move || {
                let mut work = set_up();
                Box::new(move |iterations| timed(iterations, &mut work))
            }),
            ready: None,
        });
        self
    }

    /// Serves the cases; see [`serve`].
    pub fn serve(mut self) -> ExitCode {
        let identity = self.identity.clone();
        serve(&identity, &mut self)
    }
}

fn timed<R: Checkable>(iterations: u64, work: &mut impl FnMut() -> R) -> (Duration, String) {
    let start = Instant::now();
    for _ in 1..iterations {
        black_box(work());
    }
    let last = black_box(work());
    let elapsed = start.elapsed();
    (elapsed, digest(&last))
}

impl Serve for Server {
    fn cases(&self) -> Vec<CaseInfo> {
        self.cases.iter().map(|case| case.info.clone()).collect()
    }

    fn run(&mut self, case: &str, iterations: u64) -> Result<(Duration, String), Refusal> {
        let case = self
            .cases
            .iter_mut()
            .find(|known| known.info.id == case)
            .ok_or_else(|| Refusal::from("no such case"))?;
        // Out of its place while it runs: after a panic it must be set up anew.
        let mut run = case.ready.take().unwrap_or_else(|| (case.set_up)());
        let answer = run(iterations);
        case.ready = Some(run);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::cell::Cell;
    use std::rc::Rc;

    fn hello() -> Hello {
        Hello {
            name: "test".to_owned(),
            revision: Some("r1".to_owned()),
            isa: None,
            cases: vec!["sum".into(), CaseInfo::new("panics").threads(2)],
        }
    }

    /// What is answered to these bytes, line by line, and how often a case was set up.
    fn talk(input: &[u8]) -> (Vec<Value>, u32) {
        let set_ups = Rc::new(Cell::new(0));
        let counted = Rc::clone(&set_ups);
        let mut server = Server::new("test")
            .case("sum", move || {
                counted.set(counted.get() + 1);
                let numbers = [1_u64, 2, 3];
                move || numbers.iter().sum::<u64>()
            })
            .case(CaseInfo::new("panics").threads(2), || {
                || -> u64 { panic!("on purpose") }
            });
        let mut output = Vec::new();
        converse(input, &mut output, &hello(), &mut server).unwrap();
        let text = String::from_utf8(output).unwrap();
        let answers = text.lines().map(|l| serde_json::from_str(l).unwrap());
        (answers.collect(), set_ups.get())
    }

    fn error(answer: &Value) -> &str {
        answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {answer}"))
    }

    #[test]
    fn hello_says_what_the_protocol_asks_for() {
        let (answers, _) = talk(b"{\"op\":\"hello\"}\n");
        assert_eq!(
            answers,
            [
                json!({"name": "test", "revision": "r1", "isa": null, "cases": [
                    {"id": "sum", "unit": "iteration", "threads": 1},
                    {"id": "panics", "unit": "iteration", "threads": 2},
                ]})
            ]
        );
    }

    #[test]
    fn a_run_answers_time_and_digest_and_sets_up_once() {
        let run = "{\"op\":\"run\",\"case\":\"sum\",\"iterations\":5}\n";
        let (answers, set_ups) = talk(format!("{run}\n  \n{run}").as_bytes());
        assert_eq!((answers.len(), set_ups), (2, 1));
        for answer in answers {
            assert!(answer["ns"].is_u64(), "{answer}");
            assert_eq!(answer["check"], digest(&6_u64).as_str());
        }
    }

    #[test]
    fn nothing_follows_bye() {
        let (answers, _) = talk(b"{\"op\":\"bye\"}\n{\"op\":\"hello\"}\n");
        assert_eq!(answers, [] as [Value; 0]);
    }

    #[test]
    fn each_bad_request_is_answered_and_the_next_one_served() {
        let mut input = Vec::new();
        let bad: [&[u8]; 9] = [
            b"garbage",
            b"\xff\xfe\x00",
            b"{}",
            b"{\"op\":\"fly\"}",
            b"{\"op\":\"run\",\"case\":\"sum\"}",
            b"{\"op\":\"run\",\"case\":\"sum\",\"iterations\":-1}",
            b"{\"op\":\"run\",\"case\":\"sum\",\"iterations\":0}",
            b"{\"op\":\"run\",\"case\":\"absent\",\"iterations\":1}",
            b"{\"op\":\"run\",\"case\":\"panics\",\"iterations\":1}",
        ];
        for line in bad {
            input.extend_from_slice(line);
            input.push(b'\n');
        }
        input.extend_from_slice(&vec![b'['; 3 * LONGEST_LINE]);
        input.extend_from_slice(b"\n{\"op\":\"hello\"}");
        let (answers, _) = talk(&input);
        assert_eq!(answers.len(), bad.len() + 2);
        let errors: Vec<&str> = answers[..=bad.len()].iter().map(error).collect();
        assert!(errors[3].contains("`fly`"), "{}", errors[3]);
        assert!(errors[6].contains("at least 1"), "{}", errors[6]);
        assert!(
            errors[7].contains("there are: sum, panics"),
            "{}",
            errors[7]
        );
        assert!(errors[8].contains("on purpose"), "{}", errors[8]);
        assert!(errors[9].contains("bytes at most"), "{}", errors[9]);
        assert_eq!(answers[bad.len() + 1]["name"], "test");
    }

    #[test]
    fn a_case_that_panicked_is_set_up_anew() {
        let set_ups = Rc::new(Cell::new(0));
        let counted = Rc::clone(&set_ups);
        let mut server = Server::new("test").case("second-time", move || {
            counted.set(counted.get() + 1);
            let mut calls = 0_u32;
            move || {
                calls += 1;
                assert!(calls < 2, "used up");
                calls
            }
        });
        let ran: Vec<bool> = (0..4)
            .map(|_| catch_unwind(AssertUnwindSafe(|| server.run("second-time", 1))).is_ok())
            .collect();
        assert_eq!(ran, [true, false, true, false]);
        assert_eq!(set_ups.get(), 2);
    }

    #[test]
    fn a_refusal_for_wrong_answers_says_exit_3() {
        let refusal = Refusal {
            message: "judged".to_owned(),
            wrong_answers: true,
        };
        let answer: Value = serde_json::from_slice(&refuse(refusal).unwrap()).unwrap();
        assert_eq!(answer, json!({"error": "judged", "exit": 3}));
    }
}
