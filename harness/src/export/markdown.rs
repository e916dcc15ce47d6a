//! `report.md`: what changed, how sure, and whether it is still right; to paste into a pull request.

use super::words::{self, change, interval, speedup, time};
use super::{caveat, interleaved, with};
use crate::exit::Exit;
use crate::measure::Verdict;
use crate::report::markdown::{line, text};
use crate::report::wording::{plural, printable, round};
use crate::verdicts::{CaseVerdict, Verdicts};

/// The report. What needs a reader's eye comes first; unchanged cases are folded.
pub fn report(v: &Verdicts) -> String {
    let name = v.command.split_whitespace().next().unwrap_or("verdicts");
    let mut out = format!("## bitgauge {}: {}\n\n", line(name), words::exit(v.exit));
    out += &format!("{} {}.\n\n", sign(v), words::headline(v));
    out += &format!(
        "- **After**: {}\n- **Before**: {}\n- **Is it right?** {}\n- **How sure?** {}\n",
        line(&words::side(&v.after)),
        line(&words::side(&v.before)),
        words::answers(v),
        line(&sureness(v)),
    );
    if let Some(caveat) = caveat(v) {
        out += &format!("- **Mind**: {}\n", text(caveat));
    }
    if v.cases.is_empty() && v.not_checked.is_empty() {
        out += "\n### Nothing was checked\n\nNo case has a verdict, so nothing is known.\n";
    }
    if !v.not_checked.is_empty() {
        out += &format!(
            "\n### ✗ Not checked: {}\n\n",
            plural(v.not_checked.len(), "case")
        );
        out += "| case | why | amounts to |\n| --- | --- | --- |\n";
        for c in &v.not_checked {
            out += &format!(
                "| {} | {} | {} |\n",
                line(&c.case),
                line(&c.why),
                words::exit(c.exit)
            );
        }
    }
    for (verdict, title) in [
        (Verdict::Regressed, "✗ Regressed"),
        (Verdict::Improved, "✓ Improved"),
        (Verdict::Unclear, "? Unclear"),
    ] {
        let cases = with(v, verdict);
        if !cases.is_empty() {
            let count = plural(cases.len(), "case");
            out += &format!("\n### {title}: {count}\n\n{}", table(v, &cases));
        }
    }
    let unchanged = with(v, Verdict::Unchanged);
    if !unchanged.is_empty() {
        out += &format!(
            "\n<details><summary>Unchanged: {}</summary>\n\n{}\n</details>\n",
            plural(unchanged.len(), "case"),
            table(v, &unchanged)
        );
    }
    out += &format!(
        "\n<details><summary>How it was measured, and how to repeat it</summary>\n\n\
         - Machine: {}\n- Started: {}\n- Margin: {}, from: {}\n- Alpha: {}\n- Seed: {}\n\n{}\n</details>\n",
        line(&v.machine),
        line(&v.started),
        words::percent(v.margin),
        line(&v.margin_from),
        round(v.alpha),
        v.seed,
        fenced(&words::repeat(v)),
    );
    out
}

fn sign(v: &Verdicts) -> &'static str {
    match v.exit {
        e if e == Exit::Held as u8 && !v.cases.is_empty() => "✓",
        e if e == Exit::Unclear as u8 => "?",
        _ => "✗",
    }
}

/// What the margin and alpha mean, in a sentence.
pub fn sureness(v: &Verdicts) -> String {
    format!(
        "Within {} of each other counts as unchanged ({}). The probability of any false alarm in this report is at most {}.",
        words::percent(v.margin),
        v.margin_from,
        words::percent(v.alpha)
    )
}

fn table(v: &Verdicts, cases: &[&CaseVerdict]) -> String {
    let interleaved = interleaved(v);
    let mut out = String::from("| case | speedup | interval | change | before | after |");
    out += if interleaved { " blocks |\n" } else { "\n" };
    out += "| --- | ---: | --- | ---: | ---: | ---: |";
    out += if interleaved { " ---: |\n" } else { "\n" };
    for c in cases {
        out += &format!(
            "| {} | {} | {} | {} | {} | {} |",
            line(&c.case),
            words::real(c.speedup).map_or_else(|| "unavailable".into(), speedup),
            interval(c),
            change(c),
            time(c.before_ns),
            time(c.after_ns),
        );
        out += &if interleaved {
            format!(" {} |\n", c.blocks)
        } else {
            "\n".to_owned()
        };
    }
    out
}

/// Literal text in a code block: the fence is longer than any run of backticks in it.
fn fenced(code: &str) -> String {
    let code = printable(code);
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sh\n{code}\n{fence}\n")
}
