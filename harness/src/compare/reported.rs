//! Times as programs report them of themselves, in place of the wall time of their processes: what
//! they spend on loading doesn't count then.
//!
//! A program's own word is believed here. Its clock, its warm-up and what it leaves out of a test are
//! its own, and a lie can't be seen; verdicts say that their times are as reported
//! ([`crate::verdicts::Times`]). That both sides report the same test is checked.

use std::time::Duration;

use clap::ValueEnum;

use crate::import;

/// How a program reports its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reporter {
    /// One test on stdout, as llama-bench writes it with `-o json`, `-o jsonl` or `-o csv`
    LlamaBench,
}

/// What a program says of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The test, such as `tg128`.
    pub test: String,
    /// Time a token: from the median of the samples, or the mean where there are none.
    pub token: Duration,
}

/// Of an output that is not understood, so much is shown.
const SHOWN: usize = 60;

impl Reporter {
    /// Reads what a program wrote to stdout.
    ///
    /// # Errors
    /// What it says instead of one test with a speed, and what would be right.
    pub fn read(self, stdout: &[u8]) -> Result<Reported, String> {
        let Self::LlamaBench = self;
        let right = "one test as `-o json -r 1` gives it, with either -p or -n above 0";
        let text = std::str::from_utf8(stdout)
            .map_err(|e| format!("wrote what is no text to stdout ({e}); {right} is needed"))?;
        if text.trim().is_empty() {
            return Err(format!("wrote nothing to stdout; {right} is needed"));
        }
        if !import::is_llama_bench(text) {
            let begin: String = text.trim_start().chars().take(SHOWN).collect();
            return Err(format!(
                "wrote no results with n_prompt, n_gen and avg_ts to stdout, but {begin:?}; {right} is needed"
            ));
        }
        let tests = import::llama_bench_tests(text)
            .map_err(|e| format!("reports what can't be used: {e}; {right} is needed"))?;
        let [test] = &tests[..] else {
            let names: Vec<&str> = tests.iter().map(|t| t.case.as_str()).collect();
            let names = names.join(", ");
            return Err(format!(
                "reports {} tests ({names}); {right} is needed",
                tests.len()
            ));
        };
        let token = Duration::from_secs_f64(1.0 / test.value);
        if token.is_zero() {
            return Err(format!(
                "reports {} token/s; below {:e} is what a clock can tell",
                test.value, 1e9
            ));
        }
        Ok(Reported {
            test: test.case.clone(),
            token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Reported, String> {
        Reporter::LlamaBench.read(text.as_bytes())
    }

    fn test(avg_ts: &str, samples: &str) -> String {
        format!(
            r#"{{"n_prompt": 0, "n_gen": 64, "n_depth": 0, "avg_ts": {avg_ts}, "samples_ts": [{samples}]}}"#
        )
    }

    #[test]
    fn a_token_takes_the_inverse_of_the_speed() {
        let said = |ms| {
            Ok(Reported {
                test: "tg64".into(),
                token: Duration::from_millis(ms),
            })
        };
        assert_eq!(read(&format!("[{}]\n", test("20.0", ""))), said(50));
        assert_eq!(read(&test("20.0", "40.0")), said(25));
        assert_eq!(read(&test("20.0", "40.0, 25.0, 20.0")), said(40));
        let csv = "n_prompt,n_gen,avg_ts\n\"0\",\"64\",\"50.0\"\n";
        assert_eq!(read(csv), said(20));
    }

    #[test]
    fn what_is_not_one_test_with_a_speed_is_refused() {
        let two = format!("[{}, {}]", test("1.0", ""), test("2.0", ""));
        for (text, reason) in [
            ("", "nothing to stdout"),
            (" \n", "nothing to stdout"),
            ("[]", "wrote no results"),
            ("| model | size |", "\"| model"),
            (&two, "2 tests (tg64, tg64)"),
            (&two[..two.len() - 9], "stdout:1:"),
            (&test("0.0", ""), "above zero"),
            (&test("-1.0", ""), "above zero"),
            (&test("1e300", ""), "what a clock can tell"),
            (&test("20.0", "0.0"), "above zero"),
            (&test("\"fast\"", ""), "`fast`, no number"),
            (&test("null", ""), "no avg_ts"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(reason), "{text}: {why}");
        }
        let latin = Reporter::LlamaBench.read(b"\xe9").unwrap_err();
        assert!(latin.contains("no text"), "{latin}");
    }
}
