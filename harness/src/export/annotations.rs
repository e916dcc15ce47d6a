//! Annotations of a GitHub Actions run, as workflow commands:
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>.

use super::words::{self, figures, headline};
use super::{caveat, with};
use crate::exit::Exit;
use crate::measure::Verdict;
use crate::report::wording::printable;
use crate::verdicts::Verdicts;

/// GitHub shows ten annotations of a level a step; the first is the sum of all.
const SHOWN: usize = 9;

/// One line a finding: an error for each regression and each case without a verdict, a warning for
/// each unclear case, a notice for each improvement. The first line is the sum of all, and is there
/// even when nothing changed, so that "held" never looks like "did not run".
pub fn lines(v: &Verdicts) -> Vec<String> {
    let level = match v.exit {
        0 if v.cases.is_empty() => "error",
        0 => "notice",
        e if e == Exit::Unclear as u8 => "warning",
        _ => "error",
    };
    let mut sum = format!("{} (exit {}: {})", headline(v), v.exit, words::exit(v.exit));
    if let Some(caveat) = caveat(v) {
        sum += &format!(". {caveat}");
    }
    let mut out = vec![line(level, "bitgauge", &sum)];
    let failed = v
        .not_checked
        .iter()
        .map(|c| (format!("not checked: {}", c.case), c.why.clone()));
    let regressed = with(v, Verdict::Regressed)
        .into_iter()
        .map(|c| (format!("regressed: {}", c.case), figures(c)));
    few(&mut out, "error", failed.chain(regressed).collect());
    for (level, verdict) in [("warning", Verdict::Unclear), ("notice", Verdict::Improved)] {
        let cases = with(v, verdict)
            .into_iter()
            .map(|c| (format!("{verdict}: {}", c.case), figures(c)));
        few(&mut out, level, cases.collect());
    }
    out
}

fn few(out: &mut Vec<String>, level: &str, findings: Vec<(String, String)>) {
    let fits = if findings.len() <= SHOWN {
        findings.len()
    } else {
        SHOWN - 1
    };
    for (title, message) in &findings[..fits] {
        out.push(line(level, title, message));
    }
    if findings.len() > fits {
        let rest = format!("{} more; report.md lists them all", findings.len() - fits);
        out.push(line(level, "bitgauge", &rest));
    }
}

fn line(level: &str, title: &str, message: &str) -> String {
    format!("::{level} title={}::{}", property(title), data(message))
}

/// A message: what ends a line, and the escape itself. Other control characters have no form.
fn data(text: &str) -> String {
    let escaped = |c: char| match c {
        '%' => "%25".to_owned(),
        '\r' => "%0D".to_owned(),
        '\n' => "%0A".to_owned(),
        c => printable(c.encode_utf8(&mut [0; 4])),
    };
    text.chars().map(escaped).collect()
}

/// A property: also what ends a property and the list of them.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_is_escaped_as_the_runner_undoes_it() {
        assert_eq!(
            line("error", "a,b::c\n100%\r", "50% ::warning::\nx\u{7}"),
            "::error title=a%2Cb%3A%3Ac%0A100%25%0D::50%25 ::warning::%0Ax\u{fffd}"
        );
    }
}
