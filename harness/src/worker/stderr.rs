//! The last words of a worker.

use std::collections::VecDeque;
use std::io::Read;
use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bytes that are kept.
const KEPT: usize = 2048;

#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
    closed: bool,
}

/// The end of what a worker wrote to stderr. A thread drains the pipe, so that the worker never
/// waits for a reader.
pub(super) struct LastWords {
    shared: Arc<(Mutex<Tail>, Condvar)>,
}

impl LastWords {
    /// Reads until the pipe closes. The thread is not joined: whoever inherited the pipe from the
    /// worker may hold it open for ever.
    pub(super) fn of(mut stderr: ChildStderr) -> std::io::Result<Self> {
        let shared = Arc::new((Mutex::new(Tail::default()), Condvar::new()));
        let for_thread = Arc::clone(&shared);
        let drain = move || {
            let (tail, closed) = &*for_thread;
            let mut chunk = [0; 4096];
            loop {
                let read = stderr.read(&mut chunk);
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                match read {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => break tail.closed = true,
                    Ok(n) => {
                        tail.bytes.extend(&chunk[..n]);
                        let excess = tail.bytes.len().saturating_sub(KEPT);
                        tail.cut |= excess > 0;
                        tail.bytes.drain(..excess);
                    }
                }
            }
            closed.notify_all();
        };
        std::thread::Builder::new()
            .name("worker-stderr".to_owned())
            .spawn(drain)?;
        Ok(Self { shared })
    }

    /// What was written last, on one line. Waits a little for the pipe to close, since the last
    /// words of a dying worker matter most.
    pub(super) fn text(&self) -> String {
        let (tail, closed) = &*self.shared;
        let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        let (tail, _) = closed
            .wait_timeout_while(tail, Duration::from_millis(200), |t| !t.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let text = lines.join(" | ");
        let shown: String = text.trim_matches([' ', '|']).escape_debug().collect();
        match tail.cut {
            true => format!("…{shown}"),
            false => shown,
        }
    }
}
